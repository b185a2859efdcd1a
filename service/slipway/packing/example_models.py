"""The four example models of `slipway example`, from data sets that ship with scikit-learn or are made here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .columns import Declaration
from .pack import Packed, pack


@dataclass(frozen=True)
class Trained:
    """A fitted estimator with what packing wants to know. `data`: features alone, in the estimator's order."""

    estimator: Any
    data: pd.DataFrame
    labels: Sequence[str] | None = None
    declarations: Mapping[str, Declaration] = field(default_factory=dict)


def iris() -> Trained:
    """Species of an iris flower from four lengths; fitted on an array."""
    X, y = load_iris(return_X_y=True)
    declarations = {
        "sepal_length": Declaration(description="Sepal length in cm", exclusive_minimum=0.0, maximum=10.0),
        "sepal_width": Declaration(description="Sepal width in cm", exclusive_minimum=0.0, maximum=10.0),
        "petal_length": Declaration(description="Petal length in cm", minimum=0.0, maximum=7.0),
        "petal_width": Declaration(description="Petal width in cm", minimum=0.0, maximum=3.0),
    }
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    return Trained(
        estimator, pd.DataFrame(X, columns=list(declarations)), ("setosa", "versicolor", "virginica"), declarations
    )


def breast_cancer() -> Trained:
    """Malignant or benign from 30 measures of a cell sample; a forest of 100 trees."""
    found = load_breast_cancer(as_frame=True)
    data = found.data.rename(columns=lambda name: name.replace(" ", "_"))
    declarations = {
        name: Declaration(description=f"{name.replace('_', ' ').capitalize()} of the cell nuclei") for name in data
    }
    estimator = RandomForestClassifier(100, random_state=0).fit(data.to_numpy(), found.target)
    return Trained(estimator, data, found.target_names.tolist(), declarations)


def diabetes() -> Trained:
    """Progression of diabetes a year later, a number, from ten measures of a patient."""
    descriptions = {
        "age": "Age in years",
        "sex": "Sex, as the study coded it: 1 or 2",
        "bmi": "Body mass index in kg/m²",
        "bp": "Mean blood pressure in mmHg",
        "s1": "Total serum cholesterol in mg/dl",
        "s2": "Low-density lipoproteins in mg/dl",
        "s3": "High-density lipoproteins in mg/dl",
        "s4": "Total cholesterol / high-density lipoproteins",
        "s5": "Logarithm of serum triglycerides",
        "s6": "Blood sugar in mg/dl",
    }
    data, target = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    estimator = GradientBoostingRegressor(n_estimators=60, max_depth=2, random_state=0).fit(data, target)
    return Trained(estimator, data, None, {name: Declaration(description=text) for name, text in descriptions.items()})


def passengers() -> Trained:
    """Whether an invented passenger survived: strings, booleans and missing values in named columns."""
    random = np.random.default_rng(1912)
    size = 800
    data = pd.DataFrame(
        {
            "cabin_class": random.choice([1, 2, 3], size, p=[0.25, 0.2, 0.55]),
            "sex": random.choice(["female", "male"], size, p=[0.35, 0.65]),
            "age": random.gamma(6, 5, size).round(1),
            "fare": random.lognormal(3, 0.8, size).round(2),
            "port": random.choice(["Cherbourg", "Queenstown", "Southampton"], size, p=[0.2, 0.1, 0.7]),
            "alone": random.random(size) < 0.6,
        }
    )
    odds = (
        1.2 * (data["sex"] == "female")
        - 0.5 * data["cabin_class"]
        - 0.02 * data["age"]
        + 0.01 * data["fare"]
        + random.logistic(0, 0.5, size)
    )
    survived = np.where(odds > -0.9, "yes", "no")
    data.loc[random.random(size) < 0.2, "age"] = np.nan
    data.loc[random.random(size) < 0.05, "port"] = np.nan
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    names = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer(
        (numbers, ["age", "fare"]),
        (names, ["cabin_class", "sex", "port"]),
        ("passthrough", ["alone"]),
        verbose_feature_names_out=False,
    )
    declarations = {
        "cabin_class": Declaration(description="Class of the cabin: 1, 2 or 3", minimum=1.0, maximum=3.0),
        "sex": Declaration(allowed=["female", "male"]),
        "age": Declaration(description="Age in years", minimum=0.0, maximum=120.0),
        "fare": Declaration(description="Fare in pounds", minimum=0.0),
        "port": Declaration(description="Port of embarkation"),
        "alone": Declaration(description="Whether the passenger travelled alone"),
    }
    return Trained(make_pipeline(columns, LogisticRegression()).fit(data, survived), data, None, declarations)


EXAMPLES: dict[str, Callable[[], Trained]] = {
    "iris": iris,
    "breast-cancer": breast_cancer,
    "diabetes": diabetes,
    "passengers": passengers,
}


def train_and_pack(name: str, output: Path, *, force: bool = False) -> Packed:
    """Writes OUTPUT/NAME/1, with a compiled form where there is one. Raises ArtifactError."""
    trained = EXAMPLES[name]()
    with TemporaryDirectory() as folder:
        source = Path(folder) / "model.joblib"
        joblib.dump(trained.estimator, source)
        return pack(
            source,
            name=name,
            output=output,
            data=trained.data,
            labels=trained.labels,
            declarations=trained.declarations,
            force=force,
            compiled=True,
        )
