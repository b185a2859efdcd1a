"""Files that models are kept in: a file a format.

`registry`: which formats there are, told by their first bytes, and what their files are called.
`joblib_file`: joblib, pickle and cloudpickle.
`skops_file`: skops.
`onnx_file`: ONNX.
`onnx_labels`: the classes in a graph.
`xgboost_file`: XGBoost's JSON and UBJ.
`lightgbm_file`: LightGBM's text.
`mlflow_folder`: folders of MLflow, whose model is in one of these.
`native`: what answers without scikit-learn.
`openmp`: threads that must end before a fork.

Others use `registry.recognised`, and `model/estimator_file.py` opens them all.
"""
