"""What a source offers: files, with what tells whether they have changed, and their bytes from any place on."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

from ..errors import ArtifactError


class Item(NamedTuple):
    """`tag`: another one means another content. `digest`: SHA-256 where the source itself tells it."""

    path: str
    size: int | None
    tag: str
    digest: str | None = None
    packed: Literal["tar", "zip"] | None = None  # an archive or a layer, whose files are wanted


class Source(Protocol):
    """`place`: the model's name and version, where the source knows better than what is fetched."""

    place: tuple[str, str] | None
    root: str  # the folder of archives and layers whose files are wanted, such as models

    def items(self) -> list[Item]: ...

    def chunks(self, item: Item, start: int) -> Iterator[bytes]:
        """From a byte on. Raises Interrupted, Changed or ArtifactError."""


class Interrupted(Exception):
    """What may go better the next time: a sentence."""


class Changed(Exception):
    """The file is another one by now."""


class Unreachable(ArtifactError):
    """The source does not answer, or not in time: what was fetched before may be served."""
