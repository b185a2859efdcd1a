"""manifest.json: what vouches for a model file. Validated when read; its JSON Schema is docs/manifest.schema.json."""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import ArtifactError, BrokenArtifact
from ..settings import Execution
from ..system.files import read_file
from .compiled.model import CompiledForm
from .distribution import Distribution
from .formats.registry import FILE_PATTERN, MODEL_FILE
from .inspection import Scalar
from .signature import Signature

MANIFEST = "manifest.json"
FORMAT_VERSION: Literal[2] = 2
MOST_BYTES = 64 * 1024 * 1024  # a column, with its example values and its training distribution, has about 500
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"

Output = Scalar | None


class Serving(BaseModel):
    """How a model is served; models.toml in the models folder can override it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    execution: Execution = Field(
        "auto", description="Where inference runs: auto (measured at warm-up), inline, thread or process."
    )
    batching: bool = Field(
        True, description="Calls that wait may be joined; false where a row's answer depends on the rows beside it."
    )
    compiled: bool = Field(True, description="Its compiled form answers, where there is one.")
    lazy: bool = Field(False, description="Load on the first request instead of at the start.")
    optional: bool = Field(False, description="The service is ready even if this model is not.")
    default: bool = Field(False, description="Answers where a request names no model.")
    log_rate: float | None = Field(
        None, ge=0, le=1, description="Share of its requests that are logged; null: as the server is set."
    )


class Example(BaseModel):
    """A row and the answer that the estimator gave when it was packed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    features: list[Output] = Field(description="The values in column order; null: missing.")
    prediction: Output | list[Output] = Field(
        None, description="A list where there are several outputs; null: not finite."
    )
    probabilities: list[float] | list[list[float]] | None = Field(
        None, description="In the classes' order; null: it has none."
    )


class Manifest(BaseModel):
    """The content of manifest.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1, 2] = Field(
        FORMAT_VERSION, description="Version of this format; 1 knows neither categories nor integers for sure."
    )
    name: str = Field(pattern=NAME_PATTERN, description="Name of the model, and of the folder above the version's.")
    version: str = Field(pattern=NAME_PATTERN, description="Version of the model, and the name of its folder.")
    file: str = Field(MODEL_FILE, pattern=FILE_PATTERN, description="The model's file, in the same folder.")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="SHA-256 of that file; another is not loaded.")
    code: str | None = Field(
        None,
        pattern=r"^sha256:[0-9a-f]{64}$",
        description="SHA-256 of code.zip, modules of your own that the model alone imports; null: there are none.",
    )
    created: datetime = Field(description="When it was packed, in UTC.")
    libraries: dict[str, str] = Field(description="Versions at packing; another version of scikit-learn is not loaded.")
    estimator: str = Field(description="Class of the estimator.")
    signature: Signature = Field(description="What the model takes and answers.")
    examples: list[Example] = Field(
        [], description="Rows with the answers expected of them; readiness asks them again and again."
    )
    serving: Serving = Serving()
    compiled: CompiledForm | None = Field(
        None, description="Answers in the estimator's place; null: the estimator answers."
    )
    distribution: Distribution | None = Field(
        None, description="What drift is measured against; null: it is not measured."
    )

    @model_validator(mode="after")
    def _examples_have_the_outputs(self) -> Self:
        outputs = self.signature.outputs
        for example in self.examples if outputs else ():
            if not isinstance(example.prediction, list) or len(example.prediction) != len(outputs or ()):
                raise ValueError(
                    f"the signature names {len(outputs or ())} outputs, an example has another number of them"
                )
        return self

    def write(self, directory: Path) -> None:
        """Writes manifest.json; what is null is left out."""
        (directory / MANIFEST).write_text(self.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")


def read_manifest(directory: Path, digest: str | None = None) -> Manifest | None:
    """The manifest of a model directory, None where there is none. Raises ArtifactError for an invalid one, and for
    another than that of `digest`.
    """
    path = directory / MANIFEST
    try:
        content = read_file(path, MOST_BYTES)
    except FileNotFoundError:
        if path.is_symlink():  # a model that was vouched for must not become a bare one
            raise BrokenArtifact(
                f"{path} is a link to a file that is not there: restore that file, or pack the model again"
            ) from None
        return None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    if digest not in (None, "sha256:" + hashlib.sha256(content).hexdigest()):
        raise BrokenArtifact(f"{path} is not the one that was signed: restore it")
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise BrokenArtifact(f"{path} is not a valid manifest: {first_error(error)}. Pack the model again") from None


def first_error(error: ValidationError) -> str:
    """The first thing that is wrong, as a path and a sentence, without the value."""
    found = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(part) for part in found["loc"])
    message = found["msg"].removeprefix("Value error, ")
    return f"{path}: {message}" if path else message
