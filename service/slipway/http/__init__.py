"""What all protocols share: around a request, before it and beside it.

`envelope`: around every request: its id, its metrics, the access line.
`operation`: a POST path: handler, answer, and what OpenAPI shows of it.
`fast_path`: prediction paths in front of FastAPI's router.
`body`: the model that is meant and the body, bounded in size and time: 404, 408, 413, 415.
`counting`: what became of it, by model.
`decoding`: JSON to Python, refused before it costs more than a valid body.
`problems`: every error in one shape.
`auth`: API keys: 401.
`probes`: /health, /ready, /metrics.
`models`: /models.
`feedback`: /feedback.
`openapi`: /openapi.json.
`docs`: /docs.

Protocols use `operation.Operation` and `body.Exchange`.
"""
