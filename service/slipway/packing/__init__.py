"""Makes, checks and tries model directories, without a server.

`pack`: a model directory out of a model's file.
`from_memory`: an estimator and its data that are in memory, for the same.
`data`: the data of `slipway pack`, in the dtypes that the estimator was fitted with.
`first_look`: what a data file is, by its first bytes and lines.
`csv_shape`: a CSV's encoding, header and rows, checked before it is read.
`tables`: CSV and Parquet as frames and as rows.
`own_code`: what it does not tell of columns that code of one's own sees.
`mlflow_example`: the input example of MLflow as data.
`targets`: the columns that a model predicts.
`columns`: the columns of a signature: shown by data, declared by columns.toml.
`example_rows`: the manifest's examples, answered alike as frame, JSON and CSV.
`explaining`: why an estimator fails on the packer's own rows.
`check`: `slipway check`.
`predict_frame`: the rows of a frame, answered as the server would.
`predict_file`: `slipway predict`.
`example_models`: the models of `slipway example`.
`compiling/`: the compiled form, and its proof.

Others use `pack.pack`, `check.check` and `predict_file.predict_file`.
"""
