"""One model directory and how it answers. Knows no server.

`artifact`: the directory, loaded.
`manifest`: manifest.json.
`verify`: what may be loaded: digest, library versions.
`signing`: signatures of directories.
`own_modules`: modules of a user's own beside it.
`estimator_file`: the estimator in its file, of any of the formats.
`formats/`: a file a format: joblib, skops, ONNX, XGBoost, LightGBM.
`file_kinds`: what a file is, told by its bytes.
`format_one`: what manifests of format 1 may get wrong.
`signature`: columns, classes, labels.
`compatibility`: whether who calls one version can call another.
`known_columns`: what the estimator knows of its columns.
`inspection`: what it says of itself.
`rows`: request rows to a validated batch.
`row_checks`: the types that they are checked with.
`row_schema`: their JSON Schema.
`batch`: a batch as a model takes it.
`frames`: as a DataFrame in the fitted dtypes.
`integers`: integers of which no digit is lost, and short floats.
`dates`: dates in JSON.
`estimator`: a fitted estimator as a model.
`answers`: what it answered, JSON-ready.
`client_fault`: whether the rows explain a failure.
`contained`: around a model's code.
`onnx_runtime`: ONNX Runtime, which reports nothing to its maker.
`distribution`: the training distribution.
`compiled/`: forms that answer in an estimator's place.

Others use `artifact.load`, `signature.Signature` and `rows.RowValidator`.
"""
