"""`slipway check`: whether a model directory would be served, and what vouches for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from ..errors import ArtifactError
from ..model.answers import Answers
from ..model.artifact import Artifact, open_model
from ..model.batch import Batch
from ..model.compiled.model import CompiledForm, CompiledModel
from ..model.contained import described
from ..model.estimator import Model
from ..model.verify import NOBODY, Trusted
from ..settings import Trust


class Verdict(NamedTuple):
    """One line of the report. `off` makes the command fail."""

    state: Literal["ok", "note", "off"]
    subject: str
    sentence: str


def check(
    directory: Path,
    *,
    trust: Trust = "any",
    allow_version_mismatch: bool = False,
    compiled: bool = True,
    trusted: Trusted = NOBODY,
) -> Iterator[Verdict]:
    """Loads the model and answers its examples; the last verdict is the first that is off."""
    try:
        artifact = open_model(
            directory,
            trust=trust,
            allow_version_mismatch=allow_version_mismatch,
            compiled=compiled,
            trusted=trusted,
        )
    except ArtifactError as error:
        yield Verdict("off", "load", str(error))
        return
    manifest = artifact.manifest
    if manifest is None:
        yield Verdict(
            "off", "manifest", "there is none, so nothing vouches for this model: pack it with `slipway pack`"
        )
        return
    yield Verdict("ok", "digest", f"{artifact.digest} is what was packed")
    if artifact.form is None:
        yield Verdict(
            "ok", "versions", ", ".join(f"{library} {version}" for library, version in manifest.libraries.items())
        )
    what = artifact.estimator_name if artifact.form is None else f"the compiled form of {artifact.estimator_name}"
    yield Verdict("ok", "load", f"{what} in {artifact.load_seconds:.2f} s")
    for note in artifact.notes:
        yield Verdict("note", "load", note)
    if (directory.resolve().parent.name, directory.resolve().name) != (manifest.name, manifest.version):
        yield Verdict(
            "note", "folder", f"a server finds it only as {manifest.name}/{manifest.version} in its folder of models"
        )
    if manifest.compiled is not None and compiled:
        if artifact.form is None:
            yield Verdict(
                "off",
                "compiled",
                "it cannot be used, so the slower estimator would answer: pack again, or check with --no-compiled",
            )
            return
        yield Verdict("ok", "compiled", _proof(manifest.compiled, len(manifest.examples)))
    yield _check_examples(artifact)


def _proof(compiled: CompiledForm, examples: int) -> str:
    return (
        f"{compiled.form}: within {compiled.bound:g} of the estimator, on {compiled.rows:,} rows when it was packed "
        f"and on {examples} now"
    )


def _check_examples(artifact: Artifact) -> Verdict:
    batch = artifact.trial_batch()
    try:
        answers = None if batch is None else tried(artifact.model, batch)
    except Exception as error:  # an estimator may raise anything
        return Verdict("off", "examples", artifact.failing(described(error)))
    if answers is None or artifact.example_batch() is None:
        return Verdict("note", "examples", "there are none, so its answers are not verified: pack it with --data")
    if (difference := artifact.disagreement(answers)) is not None:
        return Verdict("off", "examples", difference)
    return Verdict("ok", "examples", f"all {len(answers)} are answered as packed")


def tried(model: Model | CompiledModel, batch: Batch) -> Answers:
    """The answers to all rows of what a server tries a model with, which asks for some of them alone, too."""
    for place in range(len(batch)):
        model.infer(batch.take([place]).data)
    return model.infer(batch.data)
