"""Dates as JSON carries them: text in ISO 8601, with an offset where the column's dtype has a time zone and without
one elsewhere.
"""

import re
from datetime import datetime

_DATE = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T "
    r"]\d\d:\d\d(?::\d\d(?:\.(?P<fraction>\d{1,9}))?)?(?P<offset>Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_NANOSECONDS = range(1678, 2262)  # years that 64 bits of nanoseconds hold whole


def is_date(text: str, dtype: str | None) -> bool:
    """Whether the text is a date that a column of this pandas dtype can hold, such as datetime64[ns, Europe/Berlin]."""
    found = _DATE.fullmatch(text)
    if found is None or (found["offset"] is not None) != has_zone(dtype):
        return False
    try:
        year = datetime.fromisoformat(text).year
    except ValueError:
        return False
    return year in _NANOSECONDS or not (dtype or "").startswith("datetime64[ns")


def has_zone(dtype: str | None) -> bool:
    return "," in (dtype or "")


def wanted(dtype: str | None) -> str:
    """What to send, in words."""
    if has_zone(dtype):
        return "a date and time in ISO 8601 with its offset, such as 2026-11-30T12:00:00+01:00"
    return "a date in ISO 8601 without a time zone, such as 2026-11-30T12:00:00"
