"""Keys of the prediction log: UUIDs of version 7, which sort by time; the rows of a request are numbered in the last 20 bits."""

from random import getrandbits
from time import time_ns

TEXT = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"  # a pattern
MOST_ROWS = 1 << 20  # of one request whose keys are all next to each other

_ALL = 0xFFFF_FFFF_FFFF


def new_key() -> str:
    """The key of a request's first row: the time, and 52 random bits a millisecond, seeded anew in each fork."""
    digits = (time_ns() // 1_000_000 << 56 | getrandbits(52) << 4).to_bytes(13).hex()
    return f"{digits[:8]}-{digits[8:12]}-7{digits[12:15]}-b{digits[15:18]}-{digits[18:]}0000"


def row_key(first: str, position: int) -> str:
    """The key of another row of the request whose first row has the key `first`."""
    return f"{first[:24]}{int(first[24:], 16) + position & _ALL:012x}" if position else first
