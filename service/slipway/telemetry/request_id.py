"""X-Request-ID: a client's, or our own, a UUID of version 7, which is also the key of the request's first row in the
prediction log.

They sort by time; the rows of a request are numbered in the last 20 bits.
"""

import re
from contextvars import ContextVar
from random import getrandbits
from time import time_ns

TEXT = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"  # a pattern
MOST_ROWS = 1 << 20  # of one request whose keys are all next to each other

_ALL = 0xFFFF_FFFF_FFFF
_FORTY = 0xFF_FFFF_FFFF
HARMLESS_ID = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}")
# The request that this context works for; the envelope around each request sets it, every line carries it.
request_id: ContextVar[str] = ContextVar("request_id", default="")


def new_key() -> str:
    """The key of a request's first row: the time, and 52 random bits a millisecond, seeded anew in each fork."""
    random = getrandbits(52)
    digits = f"{time_ns() // 1_000_000 << 16 | 0x7000 | random >> 40:016x}{0xB << 60 | (random & _FORTY) << 20:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def time_of(key: str) -> float:
    """Seconds since 1970, in UTC, when it was made."""
    return int(key[:8] + key[9:13], 16) / 1000


def row_key(first: str, position: int) -> str:
    """The key of another row of the request whose first row has the key `first`."""
    return f"{first[:24]}{int(first[24:], 16) + position & _ALL:012x}" if position else first


def identity_of(headers: dict[bytes, bytes]) -> tuple[str, str | None]:
    """The request's id: a client's if it can do no harm in a header or a log line, else our own, which is also a key
    that no other has.
    """
    identity = headers.get(b"x-request-id")
    if identity is not None and HARMLESS_ID.fullmatch(identity):
        return identity.decode(), None
    # The time first: in the order of time an index of ids grows at its end, which takes a fifth of the work.
    key = new_key()
    return key, key
