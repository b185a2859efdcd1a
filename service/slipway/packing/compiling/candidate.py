"""What may become a compiled form, before it is proven."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...model.compiled.model import Form


class CannotCompile(Exception):
    """No such form of this model; the message is a sentence that says why."""


@dataclass(frozen=True)
class Candidate:
    """The content of a form's file. `thresholds`: by column, the values at which its trees split; the proof looks
    around them.
    """

    form: Form
    content: bytes
    thresholds: Mapping[int, np.ndarray[Any, Any]] = field(default_factory=dict)
