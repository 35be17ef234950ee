"""Text and paths as a record may hold them (docs/spec/entry.md, section 1)."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from typing import Any

from ledger.errors import FormatError


def clean_text(text: str) -> str:
    """Return `text` with each lone surrogate replaced by U+FFFD, so that it can be written as UTF-8."""
    if text.isascii():
        return text
    # A valid pair of surrogate code points in a str is one character in UTF-16, and comes back as that.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean_value(value: Any) -> Any:
    """Return JSON data with every string in it cleaned, member names included."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(key): clean_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean_value(item) for item in value]
    return value


def format_path(path: bytes) -> str | dict[str, str]:
    """Return a path as a record holds it: a string where it is UTF-8, else `{"base64": …}`."""
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": b2a_base64(path, newline=False).decode("ascii")}


def parse_path(value: Any) -> bytes:
    """Return the bytes of a path that `format_path` wrote. Raises FormatError for anything else."""
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise FormatError("a path has a lone surrogate") from error
    if isinstance(value, dict) and list(value) == ["base64"] and isinstance(value["base64"], str):
        try:
            path = a2b_base64(value["base64"], strict_mode=True)
        except ValueError as error:
            raise FormatError("a path is not base64") from error
        if format_path(path) == value:
            return path
    raise FormatError('a path is neither UTF-8 text nor {"base64": …}')
