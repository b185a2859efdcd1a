"""Whether who calls one version can call another."""

from typing import Any

import pytest

from slipway.model.compatibility import incompatibility
from slipway.model.signature import Column, Signature

AGE = Column(name="age", type="number", nullable=True)
CITY = Column(name="city", type="string", allowed=("Bonn", "Ulm"))
SERVED = Signature(input="frame", columns=(AGE, CITY), named=True, classes=[0, 1], labels=["no", "yes"])


def with_column(place: int, **facts: Any) -> Signature:
    columns = list(SERVED.columns or ())
    columns[place] = Column.model_validate(columns[place].model_dump() | facts)
    return SERVED.model_copy(update={"columns": tuple(columns)})


def of(*columns: Column, **facts: Any) -> Signature:
    return Signature(input="frame", columns=columns, **({"named": True} | facts))


BREAKING = {
    "it wants columns more: 'zip'": of(AGE, CITY, Column(name="zip")),
    "it does not know the columns 'city'": of(AGE),
    "its columns are in another order: 'city', 'age'": of(CITY, AGE),
    "it takes 3 columns, not 2": of(AGE, CITY, Column(name="zip"), named=False),
    "its column 'age' is of type string, not number": with_column(0, type="string"),
    "its column 'age' is of type integer, not number": with_column(0, type="integer"),
    "its column 'age' may not be missing": with_column(0, nullable=False),
    "its column 'age' has the minimum 18": with_column(0, minimum=18),
    "its column 'age' has the exclusive maximum 120": with_column(0, exclusive_maximum=120),
    "its column 'city' allows these values alone: 'Bonn'": with_column(1, allowed=("Bonn",)),
    "its classes are 0, 1, 2, not 0, 1": SERVED.model_copy(update={"classes": [0, 1, 2]}),
    "its classes are none, not 0, 1": of(AGE, CITY),
    "its labels are 'false', 'true', not 'no', 'yes'": SERVED.model_copy(update={"labels": ["false", "true"]}),
}


@pytest.mark.parametrize("what", BREAKING)
def test_what_callers_would_stumble_over_is_named(what: str) -> None:
    assert incompatibility(SERVED, BREAKING[what]) == what


COMPATIBLE = {
    "the same": SERVED,
    "a wider type": with_column(0, type="any"),
    "more allowed values": with_column(1, allowed=("Bonn", "Ulm", "Jena")),
    "any value": with_column(1, allowed=None),
    "another range and description": with_column(0, observed_maximum=99.0, description="in years"),
    "a column that may be missing": with_column(1, nullable=True),
}


@pytest.mark.parametrize("what", COMPATIBLE)
def test_what_callers_do_not_notice_is_no_obstacle(what: str) -> None:
    assert incompatibility(SERVED, COMPATIBLE[what]) is None


def test_a_wider_bound_is_no_obstacle_and_a_narrower_one_is() -> None:
    wide, narrow = with_column(0, minimum=0, maximum=120), with_column(0, minimum=18, maximum=120)
    assert incompatibility(narrow, wide) is None
    assert incompatibility(wide, narrow) == "its column 'age' has the minimum 18"


def test_of_a_bare_estimator_only_what_it_tells_is_compared() -> None:
    assert incompatibility(SERVED, Signature(classes=[0, 1], labels=["no", "yes"])) is None
