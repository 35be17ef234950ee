"""Pins: what this machine last verified of every log it has met, kept outside the repositories (docs/spec/journal.md).

A pin says: this log had at least `size` records, and record `size` − 1 hashed to `hash`. Whoever shows less, or another record
there, shows another history.
"""

from __future__ import annotations

import os
import sqlite3
from typing import NamedTuple

from ledger.errors import StoreCorrupt
from ledger.store.state import make_folder

_SCHEMA = """CREATE TABLE IF NOT EXISTS pin (
  log TEXT PRIMARY KEY, size INTEGER NOT NULL, hash TEXT NOT NULL, key TEXT NOT NULL, at TEXT NOT NULL
) WITHOUT ROWID"""


class Pin(NamedTuple):
    """`key` is the fingerprint of the genesis key; `at` says when this was verified, as in an entry."""

    log: str
    size: int
    hash: str
    key: str
    at: str


def pins_path(state: str) -> str:
    """Return the path of the pins."""
    return os.path.join(state, "pins.db")


def read_pins(state: str) -> dict[str, Pin]:
    """Return every pin by its log's name; none where nothing was verified yet. Raises StoreCorrupt."""
    path = pins_path(state)
    if not os.path.exists(path):
        return {}
    try:
        db = sqlite3.connect(path, timeout=5.0)
        try:
            return {row[0]: Pin(*row) for row in db.execute("SELECT log, size, hash, key, at FROM pin")}
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreCorrupt(
            f"the pins {path} cannot be read: {error}", remedy="move the file away; the next verify pins anew"
        ) from error


def write_pin(state: str, pin: Pin) -> None:
    """Store `pin`, unless a larger one of its log is there already: a pin never goes back."""
    path = pins_path(state)
    make_folder(state)
    try:
        db = sqlite3.connect(path, timeout=5.0)
        try:
            with db:
                db.execute(_SCHEMA)
                db.execute(
                    "INSERT INTO pin VALUES (?, ?, ?, ?, ?) ON CONFLICT (log) DO UPDATE SET size = excluded.size,"
                    " hash = excluded.hash, key = excluded.key, at = excluded.at WHERE excluded.size > pin.size",
                    pin,
                )
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreCorrupt(f"the pins {path} cannot be written: {error}", remedy="check the disk, or move the file away") from error
