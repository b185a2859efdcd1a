"""Manifests of format 1, which kept of categories only those in the data, of text no "NA", and of integers no more
than a float does.
"""

from typing import Any

from ..errors import ArtifactError
from .known_columns import known_columns
from .manifest import Manifest

AGAIN = "pack it again"
_EXACT = 2.0**53


def risks(manifest: Manifest) -> list[str]:
    """What may be answered otherwise than the estimator would, in sentences."""
    columns = manifest.signature.columns or ()
    text = [column.name for column in columns if column.type == "string" and column.nullable]
    huge = [
        column.name
        for column in columns
        if column.type == "number"
        and max(abs(column.observed_minimum or 0.0), abs(column.observed_maximum or 0.0)) >= _EXACT
    ]
    categories = [column.name for column in columns if column.dtype == "category"]
    found = []
    if categories:
        found.append(
            f"An earlier version packed it, which knew the categories of {_listed(categories)} from its data alone: "
            f"{AGAIN}"
        )
    if text:
        found.append(
            f"An earlier version packed it, which took NA, null and their like for missing in {_listed(text)}, "
            f"where they may be values: {AGAIN}"
        )
    if huge:
        found.append(
            f"An earlier version packed it, which made floats of the integers in {_listed(huge)}, beyond 2^53: {AGAIN}"
        )
    return found


def check_categories(manifest: Manifest, estimator: Any) -> None:
    """Raises ArtifactError where the estimator knows categories that the manifest lacks, or has in another order."""
    columns = [column for column in manifest.signature.columns or () if column.dtype == "category"]
    if not columns:
        return
    known = known_columns(estimator, manifest.signature.names or (), declared=[column.name for column in columns])
    for column in columns:
        own = list(column.known_categories)
        wanted = known.codes.get(column.name)
        if wanted is not None and list(wanted) != own:
            raise ArtifactError(
                f"An earlier version packed it with {len(own)} categories of {column.name!r}, "
                f"but the estimator knows {len(wanted)}, in an order of its own: {AGAIN}"
            )
        lacking = [
            value
            for value in known.values.get(column.name, ())
            if value is not None and value == value and value not in set(own)
        ]
        if wanted is None and lacking:
            raise ArtifactError(
                f"An earlier version packed it with {len(own)} categories of {column.name!r}, "
                f"but the estimator knows {len(lacking)} more: {AGAIN}"
            )


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
