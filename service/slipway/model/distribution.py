"""The training distribution, part of the manifest: of every tracked column and of the answers, the share of rows in
each bin.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .inspection import Scalar

Kind = Literal["number", "length", "category"]

# Of bins, besides a category's own name. In brackets, for a category may well be called "other".
OTHER = "(other)"
MISSING = "(missing)"


class Variable(BaseModel):
    """A column, a prediction or its confidence. Its bins: those of `edges` or `values`, and a last one for missing
    values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(
        min_length=1,
        description="The column; or prediction, confidence, with the output's number where there are several.",
    )
    kind: Kind = Field(
        description="number: quantile bins; length: quantile bins of a text's length; category: a bin per value."
    )
    edges: tuple[float, ...] = Field(
        (), description="Ascending; a bin reaches from one edge to the next, which is in it."
    )
    values: tuple[Scalar, ...] = Field(
        (), description="The most frequent values; what is none of them is in a bin of its own."
    )
    labels: tuple[str, ...] | None = Field(
        None, description="Names of the values, parallel to them; null: as they are."
    )
    shares: tuple[float, ...] = Field(
        description="Share of the rows in each bin; last: other values (of a category), missing ones."
    )

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(f"the edges of {self.name!r} do not ascend")
        if len(self.shares) != len(self.bins) or len(set(self.bins)) != len(self.bins):
            raise ValueError(
                f"{self.name!r} needs a share for each of its {len(self.bins)} different bins, and has "
                f"{len(self.shares)}"
            )
        return self

    @cached_property
    def bins(self) -> tuple[str, ...]:
        """The bins' names, parallel to `shares`: "<=4.8", "4.8..5.1", ">5.1"; a category's name; "(other)";
        "(missing)".
        """
        if self.kind == "category":
            return (*(self.labels or map(value_label, self.values)), OTHER, MISSING)
        ends = [repr(edge).removesuffix(".0") for edge in self.edges]
        if not ends:
            return ("any", MISSING)
        inner = (f"{low}..{high}" for low, high in pairwise(ends))
        return (f"<={ends[0]}", *inner, f">{ends[-1]}", MISSING)


class Distribution(BaseModel):
    """What the data at packing looked like, and how the model answered it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(ge=1, description="Rows that it was learned from.")
    features: tuple[Variable, ...] = Field(description="Columns that are tracked.")
    predictions: tuple[Variable, ...] = Field(
        (), description="Of the model's own answers to these rows; one per output."
    )
    confidences: tuple[Variable, ...] = Field(
        (), description="Probability of the predicted class; one per output, or none."
    )

    @cached_property
    def parts(self) -> Mapping[str, tuple[Variable, ...]]:
        """Its variables by what they are of."""
        return {"feature": self.features, "prediction": self.predictions, "confidence": self.confidences}

    def within(self, most: int) -> Self | None:
        """Of its variables those that have `most` bins together: answers first, then columns in their order; None where
        there is room for none.
        """
        room = most
        kept: dict[str, list[Variable]] = {part: [] for part in self.parts}
        for part in ("prediction", "confidence", "feature"):
            for each in self.parts[part]:
                if len(each.bins) <= room:
                    room -= len(each.bins)
                    kept[part].append(each)
        if room == most:
            return None
        return type(self)(
            rows=self.rows,
            features=tuple(kept["feature"]),
            predictions=tuple(kept["prediction"]),
            confidences=tuple(kept["confidence"]),
        )


def value_label(value: Any) -> str:
    """A string stays as it is, 3.0 is "3", True is "true"."""
    return value if isinstance(value, str) else json.dumps(value).removesuffix(".0")
