"""Fitted estimators of every sort, small and seeded, with the rows to ask them. Reused by the unit and the HTTP
tests.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans, MeanShift
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.covariance import EllipticEnvelope
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import load_diabetes, load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, LocalOutlierFactor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import LabelPropagation
from sklearn.svm import SVC, SVR, LinearSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier

ROWS = 40  # that each estimator is asked


class NearestMean(ClassifierMixin, BaseEstimator):
    """A custom estimator that does not tell how many features it wants."""

    def fit(self, X: Any, y: Any) -> "NearestMean":
        self.classes_ = np.unique(y)
        self.means_ = np.array([np.asarray(X)[np.asarray(y) == value].mean(axis=0) for value in self.classes_])
        return self

    def predict(self, X: Any) -> Any:
        return self.classes_[((np.asarray(X)[:, None, :] - self.means_) ** 2).sum(axis=2).argmin(axis=1)]


@dataclass(frozen=True)
class Specimen:
    """`train` gives (estimator, X, y), unfitted; y is None where it learns without. `requires`: a package that may
    be missing.
    """

    name: str
    train: Callable[[], tuple[Any, Any, Any]]
    requires: str | None = None
    tags: frozenset[str] = field(default=frozenset())

    @cached_property
    def _fitted(self) -> tuple[Any, Any]:
        estimator, X, y = self.train()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # convergence on so few rows, and parameters that are on their way out
            return estimator.fit(X) if y is None else estimator.fit(X, y), X

    @property
    def estimator(self) -> Any:
        return self._fitted[0]

    @cached_property
    def data(self) -> Any:
        """What predict is asked: an array, a DataFrame or a list of texts, of at most ROWS rows."""
        X = self._fitted[1]
        step = max(1, len(X) // ROWS)
        return X.iloc[::step][:ROWS].reset_index(drop=True) if isinstance(X, pd.DataFrame) else X[::step][:ROWS]

    @cached_property
    def rows(self) -> list[list[Any]]:
        """The same rows as JSON holds them: lists in column order, None where a value is missing."""
        data = self.data
        if isinstance(data, list):
            return [[text] for text in data]
        values = data.astype(object).to_numpy() if isinstance(data, pd.DataFrame) else data
        return [[None if pd.isna(value) else value for value in row] for row in values.tolist()]


def iris(labels: Any = None) -> tuple[Any, Any]:
    X, y = load_iris(return_X_y=True)
    # Rounded to a coarse grid with some noise: the classes overlap, so that probabilities are not all 0 and 1.
    noisy = (X + np.random.default_rng(0).normal(0, 0.4, X.shape)).round(3)
    return noisy, y if labels is None else np.array(labels)[y]


def two_classes(labels: Any = (0, 1)) -> tuple[Any, Any]:
    X, y = iris()
    return X[50:], np.array(labels)[y[50:] - 1]


def diabetes() -> tuple[Any, Any]:
    X, y = load_diabetes(return_X_y=True)
    return X, y


def indicators() -> tuple[Any, Any]:
    X, _ = iris()
    return X, np.column_stack([X[:, 0] > 5.8, X[:, 1] > 3.0, X[:, 2] > 3.5]).astype(int)


def with_missing() -> tuple[Any, Any]:
    X, y = iris()
    X[np.random.default_rng(1).random(X.shape) < 0.1] = np.nan
    return X, y


def passengers() -> tuple[pd.DataFrame, Any]:
    random = np.random.default_rng(2)
    size = 200
    frame = pd.DataFrame(
        {
            "age": random.normal(35, 12, size).round(1),
            "sex": random.choice(["female", "male"], size),
            "port": random.choice(["C", "Q", "S"], size),
            "class": random.integers(1, 4, size),
            "alone": random.random(size) < 0.5,
        }
    )
    y = np.where((frame["sex"] == "female") ^ (random.random(size) < 0.2), "yes", "no")
    frame.loc[random.random(size) < 0.2, "age"] = np.nan
    frame.loc[random.random(size) < 0.1, "port"] = np.nan
    return frame, y


def columns_pipeline() -> Any:
    return make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["age"]),
            (OneHotEncoder(handle_unknown="ignore"), ["sex", "port", "class"]),
            ("passthrough", ["alone"]),
        ),
        LogisticRegression(),
    )


def categories() -> tuple[pd.DataFrame, Any]:
    frame, y = passengers()
    return frame.astype({"sex": "category", "port": "category", "class": "category"}), y


def texts() -> tuple[list[str], Any]:
    random = np.random.default_rng(3)
    words = {"praise": ["good", "great", "fine", "lovely"], "blame": ["bad", "poor", "awful", "dull"]}
    shared = ["film", "plot", "actor", "scene", "été"]
    labels = random.choice(list(words), 80)
    return [" ".join(random.choice(words[label] + shared, 6)) for label in labels], labels


def ratings() -> tuple[list[str], Any]:
    found, labels = texts()
    return found, np.where(labels == "praise", 4.0, 2.0)


def xgboost(name: str, **parameters: Any) -> Any:
    import xgboost  # an optional package

    return getattr(xgboost, name)(n_estimators=8, max_depth=3, n_jobs=2, random_state=0, **parameters)


def lightgbm(name: str) -> Any:
    import lightgbm  # an optional package

    return getattr(lightgbm, name)(n_estimators=8, num_leaves=7, n_jobs=2, random_state=0, verbose=-1)


NAMES = ("setosa", "versicolor", "virginica")

ZOO = [
    # classifiers with predict_proba
    Specimen("logistic_regression", lambda: (LogisticRegression(max_iter=300), *iris())),
    Specimen(
        "scaled_logistic_regression_str", lambda: (make_pipeline(StandardScaler(), LogisticRegression()), *iris(NAMES))
    ),
    Specimen("logistic_regression_float_labels", lambda: (LogisticRegression(max_iter=300), *iris((0.0, 1.0, 2.0)))),
    Specimen("logistic_regression_bool_labels", lambda: (LogisticRegression(), *two_classes((False, True)))),
    Specimen("decision_tree", lambda: (DecisionTreeClassifier(max_depth=3, random_state=0), *iris())),
    Specimen("random_forest", lambda: (RandomForestClassifier(20, n_jobs=2, random_state=0), *iris(NAMES))),
    Specimen("extra_trees", lambda: (ExtraTreesClassifier(10, random_state=0), *iris())),
    Specimen("gradient_boosting", lambda: (GradientBoostingClassifier(n_estimators=5, random_state=0), *iris())),
    Specimen(
        "gradient_boosting_two_classes",
        lambda: (GradientBoostingClassifier(n_estimators=5, random_state=0), *two_classes()),
    ),
    Specimen("hist_gradient_boosting_missing", lambda: (HistGradientBoostingClassifier(max_iter=5), *with_missing())),
    Specimen("ada_boost", lambda: (AdaBoostClassifier(n_estimators=5, random_state=0), *iris())),
    Specimen("bagging", lambda: (BaggingClassifier(DecisionTreeClassifier(max_depth=2), 5, random_state=0), *iris())),
    Specimen("k_neighbors", lambda: (KNeighborsClassifier(4, n_jobs=2), *iris())),
    Specimen("k_neighbors_by_distance", lambda: (KNeighborsClassifier(4, weights="distance"), *iris(NAMES))),
    Specimen("gaussian_naive_bayes", lambda: (GaussianNB(), *iris())),
    Specimen("bernoulli_naive_bayes", lambda: (BernoulliNB(binarize=3), *iris())),
    Specimen("linear_discriminant_analysis", lambda: (LinearDiscriminantAnalysis(), *iris())),
    Specimen("quadratic_discriminant_analysis", lambda: (QuadraticDiscriminantAnalysis(), *iris())),
    Specimen("multilayer_perceptron", lambda: (MLPClassifier((8,), max_iter=50, random_state=0), *iris(NAMES))),
    Specimen(
        "multilayer_perceptron_two_classes", lambda: (MLPClassifier((8,), max_iter=50, random_state=0), *two_classes())
    ),
    Specimen("gaussian_process", lambda: (GaussianProcessClassifier(random_state=0), *two_classes())),
    Specimen("label_propagation", lambda: (LabelPropagation(), *iris())),
    Specimen("dummy", lambda: (DummyClassifier(strategy="prior"), *iris())),
    Specimen("calibrated", lambda: (CalibratedClassifierCV(LinearSVC(), cv=2), *iris())),
    Specimen(
        "grid_search",
        lambda: (GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [0.1, 1]}, cv=2, n_jobs=1), *iris()),
    ),
    Specimen(
        "grid_search_forest",
        lambda: (GridSearchCV(RandomForestClassifier(5, random_state=0), {"max_depth": [1, 3]}, cv=2), *iris()),
    ),
    Specimen(
        "voting_soft",
        lambda: (VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())], voting="soft"), *iris(NAMES)),
    ),
    Specimen("stacking", lambda: (StackingClassifier([("a", GaussianNB()), ("b", LinearSVC())], cv=2), *iris())),
    Specimen("one_vs_rest", lambda: (OneVsRestClassifier(LogisticRegression()), *iris())),
    # where argmax(predict_proba) is not predict
    Specimen("svc_probability", lambda: (SVC(probability=True, random_state=0), *iris())),
    Specimen("sgd_modified_huber", lambda: (SGDClassifier(loss="modified_huber", random_state=0), *iris())),
    Specimen(
        "fixed_threshold", lambda: (FixedThresholdClassifier(LogisticRegression(), threshold=0.8), *two_classes())
    ),
    # classifiers with decision_function only, and with neither
    Specimen("linear_svc", lambda: (LinearSVC(random_state=0), *iris(NAMES))),
    Specimen("ridge_classifier", lambda: (RidgeClassifier(), *two_classes((False, True)))),
    Specimen("voting_hard", lambda: (VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())]), *iris())),
    Specimen("output_code", lambda: (OutputCodeClassifier(LinearSVC(random_state=0), random_state=0), *iris())),
    Specimen("custom", lambda: (NearestMean(), *iris(NAMES))),
    # several outputs
    Specimen(
        "forest_two_outputs",
        lambda: (RandomForestClassifier(5, random_state=0), iris()[0], np.column_stack([iris()[1], iris()[1] % 2])),
    ),
    Specimen(
        "multi_output_str",
        lambda: (
            MultiOutputClassifier(LogisticRegression()),
            iris()[0],
            np.column_stack([iris(NAMES)[1], iris(("a", "b", "a"))[1]]),
        ),
    ),
    Specimen("multi_output_without_probabilities", lambda: (MultiOutputClassifier(LinearSVC()), *indicators())),
    Specimen("classifier_chain", lambda: (ClassifierChain(LogisticRegression()), *indicators())),
    Specimen("k_neighbors_multilabel", lambda: (KNeighborsClassifier(3), *indicators())),
    Specimen("one_vs_rest_multilabel", lambda: (OneVsRestClassifier(LogisticRegression()), *indicators())),
    Specimen("perceptron_multilabel", lambda: (MLPClassifier((8,), max_iter=50, random_state=0), *indicators())),
    Specimen("ridge_multilabel", lambda: (RidgeClassifier(), *indicators())),
    Specimen("ridge_two_targets", lambda: (Ridge(), diabetes()[0], np.column_stack([diabetes()[1], -diabetes()[1]]))),
    Specimen(
        "multi_output_regressor",
        lambda: (
            MultiOutputRegressor(SVR(), n_jobs=1),
            diabetes()[0][:80],
            np.column_stack([diabetes()[1], diabetes()[1] ** 2])[:80],
        ),
    ),
    # regressors
    Specimen("linear_regression", lambda: (LinearRegression(), *diabetes())),
    Specimen("linear_regression_column_target", lambda: (LinearRegression(), diabetes()[0], diabetes()[1][:, None])),
    Specimen("partial_least_squares", lambda: (PLSRegression(), *diabetes())),
    Specimen("forest_regressor", lambda: (RandomForestRegressor(10, n_jobs=2, random_state=0), *diabetes())),
    Specimen(
        "gradient_boosting_regressor", lambda: (GradientBoostingRegressor(n_estimators=5, random_state=0), *diabetes())
    ),
    Specimen("hist_gradient_boosting_regressor", lambda: (HistGradientBoostingRegressor(max_iter=5), *diabetes())),
    Specimen("k_neighbors_regressor", lambda: (KNeighborsRegressor(), *diabetes())),
    # without a target
    Specimen("k_means", lambda: (KMeans(3, n_init=1, random_state=0), iris()[0], None)),
    Specimen("mean_shift", lambda: (MeanShift(bandwidth=2), iris()[0], None)),
    Specimen("gaussian_mixture", lambda: (GaussianMixture(3, random_state=0), iris()[0], None)),
    Specimen(
        "bayesian_mixture",
        lambda: (BayesianGaussianMixture(n_components=3, max_iter=20, random_state=0), iris()[0], None),
    ),
    Specimen("isolation_forest", lambda: (IsolationForest(n_estimators=10, random_state=0), iris()[0], None)),
    Specimen("local_outlier_factor", lambda: (LocalOutlierFactor(novelty=True), iris()[0], None)),
    Specimen("one_class_svm", lambda: (OneClassSVM(nu=0.2), iris()[0], None)),
    Specimen("elliptic_envelope", lambda: (EllipticEnvelope(random_state=0), iris()[0], None)),
    # texts and data frames
    Specimen("text_pipeline", lambda: (make_pipeline(TfidfVectorizer(), LogisticRegression()), *texts())),
    Specimen(
        "text_hashing",
        lambda: (make_pipeline(HashingVectorizer(n_features=64), SGDClassifier(random_state=0)), *texts()),
    ),
    Specimen(
        "text_regression",
        lambda: (
            TransformedTargetRegressor(make_pipeline(TfidfVectorizer(), Ridge()), func=np.log1p, inverse_func=np.expm1),
            *ratings(),
        ),
    ),
    Specimen(
        "text_calibrated",
        lambda: (CalibratedClassifierCV(make_pipeline(TfidfVectorizer(), LinearSVC()), cv=2), *texts()),
    ),
    Specimen(
        "named_columns",
        lambda: (LogisticRegression(max_iter=300), pd.DataFrame(iris()[0], columns=list("abcd")), iris()[1]),
    ),
    Specimen("column_transformer", lambda: (columns_pipeline(), *passengers())),
    Specimen("hist_gradient_boosting_categories", lambda: (HistGradientBoostingClassifier(max_iter=5), *categories())),
    # other libraries
    Specimen("xgboost_classifier", lambda: (xgboost("XGBClassifier"), *iris()), requires="xgboost"),
    Specimen("xgboost_two_classes", lambda: (xgboost("XGBClassifier"), *two_classes()), requires="xgboost"),
    Specimen("xgboost_multilabel", lambda: (xgboost("XGBClassifier"), *indicators()), requires="xgboost"),
    Specimen("xgboost_regressor_missing", lambda: (xgboost("XGBRegressor"), *with_missing()), requires="xgboost"),
    Specimen(
        "xgboost_named_columns",
        lambda: (xgboost("XGBClassifier"), pd.DataFrame(iris()[0], columns=list("abcd")), iris()[1]),
        requires="xgboost",
    ),
    Specimen("lightgbm_classifier", lambda: (lightgbm("LGBMClassifier"), *iris(NAMES)), requires="lightgbm"),
    Specimen(
        "lightgbm_two_classes_missing",
        lambda: (lightgbm("LGBMClassifier"), with_missing()[0], with_missing()[1] > 0),
        requires="lightgbm",
    ),
    Specimen("lightgbm_regressor", lambda: (lightgbm("LGBMRegressor"), *diabetes()), requires="lightgbm"),
]
