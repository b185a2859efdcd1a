"""Whether those who call one version of a model can call another."""

from .signature import Column, Signature

_MOST_NAMED = 5


def incompatibility(served: Signature, new: Signature) -> str | None:
    """What a caller of the version that is served would stumble over, as a clause; None: nothing that the signatures
    tell.
    """
    if served.columns is not None and new.columns is not None and (what := _of_columns(served, new)) is not None:
        return what
    for what in ("classes", "labels", "outputs"):
        before, after = getattr(served, what), getattr(new, what)
        if before != after:
            return f"its {what} are {_shown(after)}, not {_shown(before)}"
    return None


def _of_columns(served: Signature, new: Signature) -> str | None:
    before, after = list(served.names or ()), list(new.names or ())
    if served.named and new.named:
        if more := [name for name in after if name not in before]:
            return f"it wants columns more: {_shown(more)}"
        if fewer := [name for name in before if name not in after]:
            return f"it does not know the columns {_shown(fewer)}"
        if before != after:
            return f"its columns are in another order: {_shown(after)}"
    elif len(before) != len(after):
        return f"it takes {len(after)} columns, not {len(before)}"
    pairs = zip(served.columns or (), new.columns or (), strict=True)
    return next((what for pair in pairs if (what := _of_column(*pair)) is not None), None)


def _of_column(served: Column, new: Column) -> str | None:
    wider = new.type == "any" or (new.type == "number" and served.type == "integer")
    if new.type != served.type and not wider:
        return f"its column {new.name!r} is of type {new.type}, not {served.type}"
    if served.nullable and not new.nullable:
        return f"its column {new.name!r} may not be missing"
    if new.allowed is not None and (served.allowed is None or not {*served.allowed} <= {*new.allowed}):
        return f"its column {new.name!r} allows these values alone: {_shown(new.allowed)}"
    for bound in ("minimum", "exclusive_minimum", "maximum", "exclusive_maximum"):
        before, after = getattr(served, bound), getattr(new, bound)
        if after is not None and (before is None or (after > before if "minimum" in bound else after < before)):
            return f"its column {new.name!r} has the {bound.replace('_', ' ')} {after:g}"
    return None


def _shown(values: object) -> str:
    if not isinstance(values, list | tuple):
        return "none" if values is None else str(values)
    named = ", ".join(map(repr, values[:_MOST_NAMED]))
    return f"{named} and {len(values) - _MOST_NAMED} more" if len(values) > _MOST_NAMED else named
