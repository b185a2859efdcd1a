"""The compiled form of a model, made when it is packed, and the proof that it answers as the estimator does.

`compilation`: the first form that is proven and quicker is kept.
`candidate`: what may become a form.
`columns`: fitted preprocessing, column by column.
`linear`: linear estimators as weights.
`forests`: scikit-learn's trees.
`boosters`: XGBoost's and LightGBM's trees.
`ensemble`: trees of any library as arrays.
`graph`: an ensemble as a graph in float64.
`converted`: any other estimator, by skl2onnx.
`edge_rows`: rows where a form may go wrong.
`proof`: the comparison on all of them.

Others use `compilation.compile_model`.
"""
