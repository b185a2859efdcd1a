"""What answers as an estimator does, and needs no scikit-learn."""

from typing import Any, Literal


class Native:
    """Looks like a fitted estimator: predict, perhaps predict_proba with classes_, and what it knows of its columns."""

    runtime: str  # the distribution that computes
    is_short = False  # whether it computes in float32
    _estimator_type: Literal["classifier", "regressor"]
    told_signature: Any = None  # a Signature, where it tells more than names and widths
    n_features_in_: int | None = None
    feature_names_in_: list[str] | None = None

    def predict(self, data: Any) -> Any:
        raise NotImplementedError
