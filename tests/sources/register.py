"""Run by MLflow's own interpreter: register.py URL. A model of each flavour, and the answers of its own library."""

import json
import sys
from pathlib import Path

import lightgbm
import mlflow
import xgboost
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("demo")
X, Y = load_iris(return_X_y=True, as_frame=True)
X.columns = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
MODELS = {
    "iris": (mlflow.sklearn, LogisticRegression(max_iter=1000).fit(X, Y), {}),
    "pickled": (mlflow.sklearn, LogisticRegression(max_iter=1000).fit(X, Y), {"serialization_format": "cloudpickle"}),
    "boosted": (mlflow.xgboost, xgboost.XGBClassifier(n_estimators=5).fit(X, Y), {}),
    "leaves": (mlflow.lightgbm, lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, Y), {}),
}
answers = {}
with mlflow.start_run():
    for name, (flavour, estimator, options) in MODELS.items():
        flavour.log_model(estimator, name=name, registered_model_name=name, input_example=X.head(5), **options)
        answers[name] = {
            "predictions": estimator.predict(X).tolist(),
            "probabilities": estimator.predict_proba(X).tolist(),
        }
mlflow.MlflowClient().set_registered_model_alias("iris", "champion", "1")
Path("answers.json").write_text(json.dumps(answers))
