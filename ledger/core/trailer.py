"""The commit trailer: `Ledger-Entry: <log>/<seq>/<sha256 of the record>` (docs/spec/entry.md, section 8).

It quotes the log's last record as it was when the commit was made, so a pushed commit fixes everything before it. Squash
merges leave such lines in the middle of a message, so every line is looked at, not just the trailer block.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ledger.core.canonical import MAX_INTEGER

KEY = "Ledger-Entry"
# Compiled when they are first used: most hooks never look at a commit message.
_HEAD = r"([0-9a-f]{32})/(0|[1-9][0-9]{0,15})/([0-9a-f]{64})"
_LINE = r"^[ \t]*Ledger-Entry:[ \t]*(\S+)[ \t]*\r?$"


class Head(NamedTuple):
    """A log's state in one line: its name, the last record's seq, and that record's SHA-256 in hex."""

    log: str
    seq: int
    hash: str


def format_head(head: Head) -> str:
    """Return `<log>/<seq>/<hash>`."""
    return f"{head.log}/{head.seq}/{head.hash}"


def parse_head(text: str) -> Head | None:
    """Return what `<log>/<seq>/<hash>` says, or None for anything that `format_head` would not write."""
    match = re.fullmatch(_HEAD, text)
    if match is None or int(match[2]) > MAX_INTEGER:
        return None
    return Head(match[1], int(match[2]), match[3])


def find_trailers(message: str) -> list[tuple[str, Head | None]]:
    """Return each `Ledger-Entry` line's value in `message`, in order, with what it says (None where it is malformed)."""
    return [(value, parse_head(value)) for value in re.findall(_LINE, message, re.MULTILINE)]
