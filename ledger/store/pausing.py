"""Whether recording is paused. The journal's note `paused` only points to the entry that says so; without that entry it is nothing.

So whoever can write the journal's notes, and cannot sign, cannot stop recording unseen.
"""

from __future__ import annotations

from collections.abc import Callable

from ledger.core.entry import parse_record
from ledger.errors import FormatError

NOTE = "paused"
NOT_PAUSED = "0"
_MAX_RECORDS = 100  # while it is paused hardly anything is appended; a pause that lies further back is none

# (seq, limit) → at most `limit` records from seq on, in order
ReadFrom = Callable[[int, int], list[bytes]]


def is_paused(note: str | None, read_from: ReadFrom) -> bool:
    """Say whether `note` names a `recording.paused` entry that no `recording.resumed` follows."""
    if note is None or note == NOT_PAUSED or not (note.isascii() and note.isdecimal() and len(note) < 16):
        return False
    records = read_from(int(note), _MAX_RECORDS)
    try:
        kinds = [parse_record(record).entry.kind for record in records]
    except FormatError:
        return False
    return kinds[:1] == ["recording.paused"] and len(kinds) < _MAX_RECORDS and "recording.resumed" not in kinds
