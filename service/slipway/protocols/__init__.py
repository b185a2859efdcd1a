"""From a body to rows and from answers to a body: a file a protocol, which ends at the predictor and never touches a
model.

`native`: /predict and /models/NAME/predict: rows in order or by name.
`techniques`: /predict-iris, -safe, -threaded, -slow, -cached, -with-logging.

`app.py` has a line for each: what is returned are `Operation`s, which carry all that OpenAPI shows.
"""
