"""Text of lines, as C2SP's forms are: split, and the numbers and base64 in them, each with one spelling."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

from ledger.errors import FormatError


def split_lines(text: str, most: int) -> list[str]:
    """Return the lines of `text`, each ended by a newline, at least one and at most `most`. Raises FormatError."""
    if not text.endswith("\n"):
        raise FormatError("the last line does not end in a newline")
    if text.count("\n") > most:
        raise FormatError(f"there are more than {most} lines")
    return text[:-1].split("\n")  # str.splitlines would split at other characters too


def parse_count(text: str, most: int) -> int:
    """Return the number that `text` spells in ASCII decimal, without leading zeros. Raises FormatError, also above `most`."""
    # Length first: int() is slow on long texts, and takes signs, underscores and the digits of other scripts.
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)) or (text[0] == "0" and text != "0"):
        raise FormatError("a number is not decimal without leading zeros, or too large")
    number = int(text)
    if number > most:
        raise FormatError(f"{number} is more than {most}")
    return number


def format_base64(data: bytes) -> str:
    """Return `data` in padded base64 (RFC 4648 section 4)."""
    return b2a_base64(data, newline=False).decode("ascii")


def parse_base64(text: str, what: str) -> bytes:
    """Return the bytes that `text` spells; `what` names it in messages. Raises FormatError for any spelling but ours."""
    try:
        data = a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise FormatError(f"{what} is not base64") from error
    if format_base64(data) != text:
        raise FormatError(f"{what} is not canonical base64")
    return data
