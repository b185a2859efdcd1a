"""Slipway: a fitted scikit-learn model, from a file to a Kubernetes cluster.

>>> packed = slipway.pack(estimator, X, y, name="churn")
>>> slipway.load("models/churn/1").predict(X)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import ArtifactError as ArtifactError
    from .notebook.models import Checked as Checked
    from .notebook.models import ServableModel as ServableModel
    from .notebook.models import check as check
    from .notebook.models import load as load
    from .notebook.models import pack as pack

__version__ = "0.1.0"

# Nothing is imported before it is used: `slipway drain` and the client do without scikit-learn, pandas and FastAPI.
_WHERE = {
    "ArtifactError": ".errors",
    "Checked": ".notebook.models",
    "ServableModel": ".notebook.models",
    "check": ".notebook.models",
    "load": ".notebook.models",
    "pack": ".notebook.models",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'slipway' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
