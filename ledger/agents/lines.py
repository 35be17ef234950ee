"""What the readers of transcripts share: a fact with its time, and members of a line that a record may hold."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ledger.core.fact import Fact, PayloadData
from ledger.core.text import clean_text, clean_value

MAX_TEXT = 512


class Said(NamedTuple):
    """A fact, and when the line says that it happened (milliseconds since 1970, or None)."""

    fact: Fact
    at_ms: int | None


def read_text(value: Any, name: str, limit: int = MAX_TEXT) -> str | None:
    """Return a member of an object that is a text of 1 to `limit` characters, or None."""
    found = value.get(name) if type(value) is dict else None
    return clean_text(found) if type(found) is str and 0 < len(found) <= limit else None


def words(text: str) -> PayloadData:
    """Return a text as a payload."""
    return PayloadData(clean_text(text).encode("utf-8"), "text/plain")


def clean(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body as a record may hold it: without lone surrogates."""
    cleaned: dict[str, Any] = clean_value(body)
    return cleaned


def dump(value: Any) -> bytes:
    """Return a value as compact JSON with sorted members."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return clean_text(text).encode("utf-8")


def parse_time(stamp: Any) -> int | None:
    """Return the milliseconds since 1970 of `2026-11-22T16:22:53.663Z`, or None."""
    if type(stamp) is not str or not (20 <= len(stamp) <= 30 and stamp.isascii() and stamp[-1] == "Z" and stamp[10] == "T"):
        return None
    digits = stamp[:4] + stamp[5:7] + stamp[8:10] + stamp[11:13] + stamp[14:16] + stamp[17:19] + (stamp[20:-1] or "0")
    if not digits.isdigit():
        return None
    year, month, day = int(digits[:4]), int(digits[4:6]), int(digits[6:8])
    hour, minute, second = int(digits[8:10]), int(digits[10:12]), int(digits[12:14])
    if not (year >= 1970 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    # Days from civil, with March as the first month, so that a leap day comes last (proleptic Gregorian).
    shifted = year - (month <= 2)
    era, of_era = divmod(shifted, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
    return ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + int((stamp[20:-1] + "000")[:3])
