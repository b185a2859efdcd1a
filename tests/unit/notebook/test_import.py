"""`import slipway` costs nothing that is not used."""

import subprocess
import sys

import pytest

import slipway

HEAVY = {"sklearn", "pandas", "numpy", "fastapi", "pydantic", "httpx", "joblib", "sqlalchemy"}


def test_nothing_heavy_is_imported_with_it() -> None:
    code = f"import sys, slipway; dir(slipway); print(*sorted({HEAVY!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split() == []


@pytest.mark.parametrize("name", slipway.__all__)
def test_each_name_is_there_and_told_to_editors(name: str) -> None:
    assert name in dir(slipway)
    assert (getattr(slipway, name).__doc__ or "").strip()


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'packs'"):
        slipway.packs  # type: ignore[attr-defined]  # noqa: B018
