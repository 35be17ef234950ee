"""Pins: what this machine last verified of every log it has met, kept outside the repositories (docs/spec/journal.md).

A pin says: this log had at least `size` records, and record `size` − 1 hashed to `hash`. Whoever shows less, or another record
there, shows another history. Beside the pins lies the digest of the trust file that the repository had committed then.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Any, NamedTuple

from ledger.errors import StoreCorrupt
from ledger.store.sqlite import connect
from ledger.store.state import make_folder

_SCHEMA = """CREATE TABLE IF NOT EXISTS pin (
  log TEXT PRIMARY KEY, size INTEGER NOT NULL, hash TEXT NOT NULL, key TEXT NOT NULL, at TEXT NOT NULL
) WITHOUT ROWID"""
_REMEDY = "move the file away; the next verify pins anew"
_TRUST_SCHEMA = "CREATE TABLE IF NOT EXISTS trust (log TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID"


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
    rows = _read(state, "SELECT log, size, hash, key, at FROM pin", ())
    for row in rows:
        if type(row[1]) is not int or any(type(text) is not str for text in (row[0], *row[2:])):  # SQLite takes any type anywhere
            raise StoreCorrupt(f"the pins {pins_path(state)} are damaged: {row!r}", remedy=_REMEDY)
    return {row[0]: Pin(*row) for row in rows}


def write_pin(state: str, pin: Pin) -> None:
    """Store `pin`, unless a larger one of its log is there already: a pin never goes back."""
    _write(
        state,
        "INSERT INTO pin VALUES (?, ?, ?, ?, ?) ON CONFLICT (log) DO UPDATE SET size = excluded.size,"
        " hash = excluded.hash, key = excluded.key, at = excluded.at WHERE excluded.size > pin.size",
        pin,
    )


def read_trust(state: str, log: str) -> str | None:
    """Return the SHA-256 of the trust file that was committed when `log` was last found good; empty where there was none.

    None where `log` was never verified here. Raises StoreCorrupt.
    """
    rows = _read(state, "SELECT digest FROM trust WHERE log = ?", (log,))
    return str(rows[0][0]) if rows else None


def write_trust(state: str, log: str, digest: str) -> None:
    """Remember the SHA-256, in hex, of the committed trust file beside the pin of `log`."""
    _write(state, "INSERT INTO trust VALUES (?, ?) ON CONFLICT (log) DO UPDATE SET digest = excluded.digest", (log, digest))


def _read(state: str, sql: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
    path = pins_path(state)
    if not os.path.exists(path):
        return []
    try:
        db = connect(path, read_only=True)
        try:
            if db.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('pin', 'trust')").fetchone()[0] < 2:
                return []  # another process is just making the file
            return db.execute(sql, values).fetchall()
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreCorrupt(f"the pins {path} cannot be read: {error}", remedy=_REMEDY) from error


def _write(state: str, sql: str, values: tuple[object, ...]) -> None:
    path = pins_path(state)
    make_folder(state)
    try:
        db = sqlite3.connect(path, timeout=5.0)
        try:
            with db:
                db.execute(_SCHEMA)
                db.execute(_TRUST_SCHEMA)
                db.execute(sql, values)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreCorrupt(f"the pins {path} cannot be written: {error}", remedy="check the disk, or move the file away") from error
