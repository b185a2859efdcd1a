"""A model's signature: its columns with their types and bounds, its classes and their labels. Part of the manifest."""

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import WrongAnswer
from . import inspection
from .formats.native import Native
from .inspection import Scalar
from .known_columns import Knowledge, known_columns

ColumnType = Literal["number", "integer", "boolean", "string", "datetime", "any"]
Input = Literal["array", "frame", "text"]
SHORT_FLOATS = ("float16", "float32")
MOST_CATEGORIES = 50  # strings with more distinct values are free text: their values are not listed


class Column(BaseModel):
    """One feature. What was observed informs; only what the packer declared (bounds, `allowed`) refuses a request."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1, description="Name in JSON rows and in the data frame.")
    type: ColumnType = Field(
        "number",
        description="JSON type of the values; datetime: a string in ISO 8601; any: number, boolean, string or null.",
    )
    dtype: str | None = Field(
        None, description="pandas dtype that the estimator is given; null: float64, bool or object."
    )
    categories: tuple[Scalar, ...] | None = Field(
        None, description="Of dtype category: the categories that the estimator knows, in its order."
    )
    ordered: bool = Field(False, description="Of dtype category: whether the categories are ordered.")
    nullable: bool = Field(False, description="Whether null, a missing value, is taken.")
    missing: Literal["None"] | None = Field(
        None, description="What a missing value is in a column of objects; null: NaN."
    )
    missing_words: tuple[str, ...] = Field(
        ("",), description="Cells of a CSV that mean a missing value in a column of text."
    )
    description: str | None = Field(None, description="What the column means, with its unit.")
    observed_minimum: float | None = Field(None, description="Smallest value in the data at packing; informs only.")
    observed_maximum: float | None = Field(None, description="Largest value in the data at packing; informs only.")
    observed_categories: tuple[Scalar, ...] | None = Field(
        None, description="Values in the data at packing; inform only."
    )
    minimum: float | None = Field(None, description="Declared: smaller values are refused.")
    exclusive_minimum: float | None = Field(None, description="Declared: values up to and including it are refused.")
    maximum: float | None = Field(None, description="Declared: larger values are refused.")
    exclusive_maximum: float | None = Field(None, description="Declared: values from it on are refused.")
    allowed: tuple[str, ...] | None = Field(None, min_length=1, description="Declared: other strings are refused.")

    @model_validator(mode="after")
    def _declarations_fit_the_type(self) -> Self:
        low = [bound for bound in (self.minimum, self.exclusive_minimum) if bound is not None]
        high = [bound for bound in (self.maximum, self.exclusive_maximum) if bound is not None]
        if (low or high) and not self.numeric:
            raise ValueError(f"column {self.name!r} has bounds, but its type is {self.type}: only numbers have bounds")
        if self.allowed is not None and self.type != "string":
            raise ValueError(
                f"column {self.name!r} lists allowed values, but its type is {self.type}: only strings can be listed"
            )
        if low and high and max(low) > min(high):
            raise ValueError(f"column {self.name!r} has a lower bound above its upper bound")
        return self

    @property
    def numeric(self) -> bool:
        return self.type in ("number", "integer")

    @property
    def keeps_integers(self) -> bool:
        """Whether a JSON integer stays one on its way to the estimator, instead of becoming a float."""
        dtype = self.dtype or ""
        of_integers = dtype.lower().startswith(("int", "uint")) or dtype in ("object", "category")
        return self.type in ("integer", "any") or (self.type == "number" and of_integers)

    @property
    def known_categories(self) -> tuple[Scalar, ...]:
        """Of dtype category, in order; manifests of format 1 have those of the data at packing."""
        return self.categories if self.categories is not None else self.observed_categories or ()


class Signature(BaseModel):
    """What a model takes and answers. `columns` is None where a bare estimator does not tell how many it wants."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    input: Input = Field("array", description="What predict is called with: an array, a DataFrame, or a list of texts.")
    columns: tuple[Column, ...] | None = Field(
        None, description="The features in the estimator's order; null: unknown."
    )
    named: bool = Field(False, description="Whether the columns' names are real; false: x0, x1, ... were made up.")
    classes: list[Scalar] | list[list[Scalar]] | None = Field(
        None, description="Classes in the order of the probabilities; one list per output where there are several."
    )
    labels: list[str] | list[list[str]] | None = Field(
        None, description="Names of the classes as answers show them, parallel to `classes`."
    )
    outputs: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        None,
        min_length=2,
        description="Names of several outputs: answers are objects by them; null: answers of several are lists.",
    )

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.columns is not None:
            names = [column.name for column in self.columns]
            if len(set(names)) != len(names):
                raise ValueError("two columns have the same name")
            if self.input == "text" and len(names) != 1:
                raise ValueError("a text model has exactly one column")
        elif self.input != "array":
            raise ValueError(f"a signature of input {self.input} needs its columns")
        labels = _per_output(self.labels)
        if self.labels is not None:
            if [len(output) for output in labels] != [len(output) for output in _per_output(self.classes)]:
                raise ValueError("labels must be as many as classes")
            if any(len(set(output)) != len(output) for output in labels):
                raise ValueError("two classes have the same label")
        if self.outputs is not None:
            if len(set(self.outputs)) != len(self.outputs):
                raise ValueError("two outputs have the same name")
            if self.classes is not None and not (self.multi_output and len(self.classes) == len(self.outputs)):
                raise ValueError("outputs must be as many as the lists of classes")
        return self

    @classmethod
    def of(cls, estimator: Any) -> Self:
        """The signature that a fitted estimator tells by itself: names or their number, and classes."""
        if isinstance(estimator, Native) and isinstance(estimator.told_signature, cls):
            return estimator.told_signature
        classes = inspection.classes(estimator)
        labels = class_labels(classes)
        if inspection.takes_text(estimator):
            return cls(input="text", columns=(Column(name="text", type="string"),), classes=classes, labels=labels)
        names, width = inspection.names(estimator), inspection.width(estimator)
        numbers = not inspection.takes_strings(estimator) if names is None else inspection.numbers_only(estimator)
        column = Column(
            name="x", type="number" if numbers else "any", nullable=not numbers or inspection.allows_missing(estimator)
        )
        if names is None and width is None:
            return cls(classes=classes, labels=labels)
        made_up = [f"x{i}" for i in range(width or 0)]
        known = known_columns(estimator, names or made_up)
        columns = tuple(
            _told_column(column.model_copy(update={"name": name}), known, in_frame=names is not None)
            for name in names or made_up
        )
        return cls(
            input="frame" if names else "array",
            columns=columns,
            named=names is not None,
            classes=classes,
            labels=labels,
        )

    @cached_property
    def names(self) -> tuple[str, ...] | None:
        return None if self.columns is None else tuple(column.name for column in self.columns)

    @property
    def of_objects(self) -> bool:
        """Of input array: whether it is one of Python's own values, not of numbers."""
        return not all(
            (column.numeric or column.type == "boolean") and column.dtype != "object" for column in self.columns or ()
        )

    @property
    def float_dtype(self) -> str:
        """Of input array, which has one for all columns: a short one where an encoder tells it of any."""
        found = {column.dtype for column in self.columns or ()}
        return next((dtype for dtype in SHORT_FLOATS if dtype in found), "float64")

    @property
    def multi_output(self) -> bool:
        """Whether the classes are one list per output. False for every regressor: its predictions tell."""
        return bool(self.classes) and isinstance(self.classes[0], list)  # type: ignore[index]

    def by_output(self, values: Sequence[Any]) -> dict[str, Any]:
        """What an answer has per output, by the names of the outputs, which there must be."""
        return dict(zip(self.outputs or (), values, strict=True))

    def label(self, prediction: Any) -> Any:
        """The label of a predicted class: a str, a list of them (or a dict, as the prediction is) for several
        outputs, else None.
        """
        if self.multi_output:
            if isinstance(prediction, dict):
                return self.by_output(self.label(list(prediction.values())))
            return [output.get(value) for output, value in zip(self._labels, prediction, strict=True)]
        return self._labels[0].get(prediction) if self._labels and not isinstance(prediction, list) else None

    def by_label(self, probabilities: Any) -> Any:
        """One row's probabilities as a dict by label; a list of dicts (or a dict by name) for several outputs; None
        for None.
        """
        if probabilities is None or self.labels is None:
            return None
        if self.multi_output:
            if isinstance(probabilities, dict):
                return self.by_output(self.by_label(list(probabilities.values())))
            return [
                dict(zip(labels, output, strict=True))
                for labels, output in zip(self.labels, probabilities, strict=True)
            ]
        try:
            return dict(zip(self.labels, probabilities, strict=True))
        except (ValueError, TypeError) as exc:  # of another width than the classes
            raise WrongAnswer from exc

    @cached_property
    def _labels(self) -> list[dict[Scalar, str]]:
        outputs = zip(_per_output(self.classes), _per_output(self.labels), strict=True)
        return [dict(zip(classes, labels, strict=True)) for classes, labels in outputs]


def _told_column(column: Column, known: Knowledge, *, in_frame: bool) -> Column:
    """With the categories, the dates or the missing value that the estimator was fitted on, where it tells."""
    if known.knows_none(column.name):
        return column.model_copy(update={"missing": "None", "dtype": "object"})
    # An array has one dtype.
    short = known.floats.get(column.name) if in_frame else next(iter(known.floats.values()), None)
    if short is not None:
        return column.model_copy(update={"type": "number", "dtype": short})
    if column.name in known.objects:
        return column.model_copy(update={"dtype": "object"})
    if not in_frame:
        return column
    if (categories := known.codes.get(column.name)) is not None:
        facts = {"type": json_type(categories), "dtype": "category", "categories": categories, "nullable": True}
        return column.model_copy(update=facts)
    if (dtype := known.dates.get(column.name)) is not None:
        return column.model_copy(update={"type": "datetime", "dtype": dtype})
    return column


def json_type(values: Iterable[Any]) -> ColumnType:
    """The JSON type that all values have; any for a mixture."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "boolean"
    if kinds <= {int, float}:
        return "number"
    return "string" if kinds == {str} else "any"


def class_labels(classes: Any) -> Any:
    """Display labels parallel to `classes`: a string stays as it is, 0 is "0", True is "true"."""
    if classes is None:
        return None
    if classes and isinstance(classes[0], list):
        return [class_labels(output) for output in classes]
    return [value if isinstance(value, str) else json.dumps(value) for value in classes]


def _per_output(values: Any) -> list[list[Any]]:
    if values is None:
        return []
    return values if values and isinstance(values[0], list) else [values]
