"""From the model that is meant to its answers.

`predictor`: the one way to a prediction.
`entry`: one version of one model, and how far it has come.
`repository`: which models are served, each loaded once.
`residence`: lazily loaded models come and go within a bound of memory.
`loading`: which model is being loaded, in case the process ends of it.
`reloading`: which new files a reload must not take.
`readiness`: every model asked its example rows, again and again.
`cache`: answers by exact row.
`benchmark`: `slipway bench`: the ways to run a model, measured.
`comparison`: which of them to choose.

Others use `predictor.Predictor` and `repository.Repository`.
"""
