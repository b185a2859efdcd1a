"""Which new files a reload must not take: those that do not load, answer their example rows otherwise, or break who
calls what is served.
"""

from collections.abc import Iterator, Mapping

from ..model.artifact import path_of
from ..model.compatibility import incompatibility
from ..model.contained import contained, kind
from ..settings import Settings
from ..telemetry.metrics import Metrics
from .entry import Entry
from .loading import Loading
from .repository import Repository


def refused(settings: Settings, served: Repository, known: Mapping[str, str], loading: Loading) -> dict[str, str]:
    """By name and version, and why; `known`: those of which it is known. Only for a process that ends after it, for
    models are asked here.

    Raises ArtifactError where the folder cannot be served at all.
    """
    repository = Repository(settings, Metrics(None, None), served=served, refused=known)
    found = dict(known)
    for entry in repository:
        if not entry.changed or entry.refused is not None:
            continue
        with loading.of(entry.label, path_of(entry.directory), repository.size(entry)):
            error = repository.load(entry) or _failing(entry)
        if error is not None:
            found[entry.label] = error
    return found | {entry.label: what for entry, what in _breaking(served, repository) if entry.label not in found}


def _failing(entry: Entry) -> str | None:
    """What is wrong with its answers."""
    model = entry.model
    assert model is not None, "it is loaded"
    try:
        with contained:
            error = model.check()
            if error is None and (batch := model.warm_up_batch) is not None:
                model.timed(batch.data)
            return error
    except Exception as exc:
        return model.artifact.failing(kind(exc))


def _breaking(served: Repository, new: Repository) -> Iterator[tuple[Entry, str]]:
    """The new default versions that answer otherwise than those that they replace."""
    for name in set(served.names()) & set(new.names()):
        before, after = served.find(name), new.find(name)
        overrides = new.overrides.get(name)
        if not after.changed or before.validator is None or after.validator is None:
            continue
        what = incompatibility(before.validator.signature, after.validator.signature)
        if what is not None and not (overrides and overrides.signature_change):
            yield (
                after,
                f"who calls {name} {before.version} cannot call it: {what}; serve it under another name, or allow it "
                f"with signature_change = true under [{name}] in models.toml",
            )
