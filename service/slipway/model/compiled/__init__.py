"""Compiled forms of models: small files beside model.joblib that answer as the estimator does, without scikit-learn.

`model`: a form as a model.
`encoding`: columns to numbers.
`linear`: scores by weights.
`onnx_graph`: scores by ONNX Runtime.
`decision`: scores to answers.

Others use `model.CompiledModel`.
"""
