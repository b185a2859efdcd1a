"""The source of an address."""

from collections.abc import Callable
from pathlib import Path

from ..errors import BrokenArtifact
from .address import OBJECT_STORES, Address
from .https import HttpsSource, headers_in
from .mlflow_registry import MlflowRegistry
from .oci import OciSource
from .remote import Source


def opener(headers: Path | None) -> Callable[[Address], Source]:
    """`headers`: a folder with a file per header, which https: sources alone are sent."""

    def open_source(address: Address) -> Source:
        if address.scheme in OBJECT_STORES:
            try:
                # Not at the top: who has no models there does without obstore.
                from .object_store import ObjectStore
            except ModuleNotFoundError as error:
                raise BrokenArtifact(
                    f"{address.shown} needs the Python module {error.name!r}, which is not installed here: "
                    "pip install 'slipway-serve[sources]'"
                ) from None
            return ObjectStore(address.url)
        if address.scheme == "oci":
            return OciSource(address.url)
        if address.scheme == "models":
            return MlflowRegistry(address.url, open_source)
        return HttpsSource(address.url, headers_in(headers))

    return open_source
