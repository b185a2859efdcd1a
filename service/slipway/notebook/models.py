"""`slipway.pack`, `slipway.load` and `slipway.check`: a model directory made, asked and verified without a server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArtifactError
from ..model.artifact import Artifact, open_model
from ..model.signature import Column
from ..packing.check import Verdict
from ..packing.check import check as verdicts
from ..packing.columns import Declaration, read_declarations
from ..packing.from_memory import estimator_file, frame_of, with_targets
from ..packing.pack import pack as pack_file
from ..packing.predict_frame import predict_frame
from ..settings import Trust
from ..sources.folder import model_in
from .table import Fact, html_of, text_of
from .words import in_python, python_words

if TYPE_CHECKING:
    import pandas as pd

_MOST_COLUMNS = 12  # shown


@dataclass(frozen=True, eq=False)
class ServableModel:
    """A model directory that was packed or loaded. `notes`: what one should know of it, in sentences; `compiled`: why
    it has a compiled form, or has none.
    """

    artifact: Artifact
    notes: tuple[str, ...]
    compiled: str

    @property
    def directory(self) -> Path:
        return self.artifact.directory

    @property
    def name(self) -> str:
        return self.artifact.name

    @property
    def version(self) -> str:
        return self.artifact.version

    def predict(self, X: Any) -> "pd.DataFrame":
        """The server's own validation and answers, offline: a row of answers per row of X, with its index: prediction,
        label, confidence, probability_LABEL. Raises ArtifactError, which names the row and the column.
        """
        signature = self.artifact.signature
        frame = frame_of(getattr(self.artifact.model, "estimator", None), X)
        if frame is not X and signature.names is not None and len(signature.names) == frame.shape[1]:
            frame = frame.set_axis(list(signature.names), axis=1)
        with python_words():
            return predict_frame(self.artifact, frame)

    def facts(self) -> list[Fact]:
        signature, manifest = self.artifact.signature, self.artifact.manifest
        vouched = "nothing: it has no manifest" if manifest is None else f"its manifest, for {self.artifact.digest}"
        examples = 0 if manifest is None else len(manifest.examples)
        facts = [
            ("estimator", self.artifact.estimator_name),
            ("directory", str(self.directory)),
            ("vouched for by", vouched),
            ("columns", _columns(signature.columns)),
        ]
        if signature.classes and not signature.multi_output:
            facts.append(("classes", ", ".join(map(str, signature.labels or signature.classes))))
        facts += [
            ("compiled", self.compiled),
            ("examples", f"{examples} rows with their answers, which a server verifies"),
        ]
        return [*facts, *(("note", note) for note in self.notes)]

    def __repr__(self) -> str:
        return text_of(f"{self.name} {self.version}", self.facts())

    def _repr_html_(self) -> str:
        return html_of(f"{self.name} {self.version}", self.facts())


def pack(
    estimator: Any,
    X: Any = None,
    y: Any = None,
    *,
    name: str,
    version: str = "1",
    output: str | Path = "models",
    compile: bool = False,
    labels: Sequence[str] | None = None,
    columns: Mapping[str, Declaration] | str | Path | None = None,
    replace: bool = False,
) -> ServableModel:
    """Writes OUTPUT/NAME/VERSION, all of it or nothing: the estimator, and a manifest that vouches for it.

    `X`: the rows it was fitted on, a DataFrame with its real dtypes or an array; `y`: what it predicts, row by row.
    `compile`: with a compiled form, where one is proven on X and quicker. `columns`: bounds and descriptions, as in
    docs/models.md. Raises ArtifactError, in one sentence.
    """
    folder = Path(output)
    with python_words():
        if compile and X is None:
            raise ArtifactError("compile=True proves the compiled form on the rows of X, which is not given")
        if y is not None and X is None:
            raise ArtifactError("y belongs to the rows of X, which is not given")
        declarations = read_declarations(Path(columns)) if isinstance(columns, str | Path) else columns
        data, target = (None, None) if X is None else with_targets(frame_of(estimator, X), y)
        with estimator_file(estimator, folder) as path:
            packed = pack_file(
                path,
                name=name,
                version=version,
                output=folder,
                data=data,
                target=target,
                labels=labels,
                declarations=declarations,
                force=replace,
                compiled=compile,
            )
        artifact = open_model(packed.directory)
    why = _compiled(artifact)
    if packed.compilation is not None:
        why = (
            f"{packed.compilation.form.file}: {packed.compilation.won}"
            if packed.compilation.form
            else "no: " + str(packed.compilation.reason)
        )
    return ServableModel(artifact, tuple(map(in_python, packed.notes)), in_python(why))


def load(directory: str | Path, *, trust: Trust = "any", compiled: bool = True) -> ServableModel:
    """A model directory, such as models/churn/1, verified as a server would. Loading runs the code in it: load only
    what you trust. Raises ArtifactError.
    """
    with python_words():
        artifact = open_model(model_in(Path(directory)), trust=trust, compiled=compiled)
    return ServableModel(artifact, tuple(map(in_python, artifact.notes)), _compiled(artifact))


@dataclass(frozen=True)
class Checked:
    """What `slipway check` says of a model directory; `ok`: a server would serve it."""

    directory: Path
    verdicts: tuple[Verdict, ...]

    @property
    def ok(self) -> bool:
        return all(verdict.state != "off" for verdict in self.verdicts)

    def __bool__(self) -> bool:
        return self.ok

    def facts(self) -> list[Fact]:
        return [(f"{verdict.state} {verdict.subject}", in_python(verdict.sentence)) for verdict in self.verdicts]

    def _title(self) -> str:
        return f"{self.directory}: {'fit to serve' if self.ok else 'not fit to serve'}"

    def __repr__(self) -> str:
        return text_of(self._title(), self.facts())

    def _repr_html_(self) -> str:
        return html_of(self._title(), self.facts())


def check(directory: str | Path, *, trust: Trust = "any", compiled: bool = True) -> Checked:
    """Whether a model directory would be served, and what vouches for it; true where it would. Raises ArtifactError
    where there is none.
    """
    with python_words():
        found = model_in(Path(directory))
        return Checked(found, tuple(verdicts(found, trust=trust, compiled=compiled)))


def _compiled(artifact: Artifact) -> str:
    form = artifact.manifest.compiled if artifact.manifest else None
    if form is None:
        return "no: it was packed without a compiled form"
    return f"{form.file}, within {form.bound:g} of the estimator" if artifact.form else "it cannot be used here"


def _columns(columns: Sequence[Column] | None) -> str:
    if columns is None:
        return "not known"
    told = [f"{column.name} {column.dtype or column.type}" for column in columns[:_MOST_COLUMNS]]
    return ", ".join(told) + (f" and {len(columns) - _MOST_COLUMNS} more" if len(columns) > _MOST_COLUMNS else "")
