"""Pins: what this machine last verified of every log it has met, kept outside the repositories (docs/spec/journal.md).

A pin says: this log had at least `size` records, and record `size` − 1 hashed to `hash`. Whoever shows less, or another record
there, shows another history. Beside the pins lie

    trust   the digest of the trust files that the repository had committed then
    met     which logs had a ref, by repository: one that is gone now was removed
    healed  logs whose ref was gone or had gone back, and was put back: verify goes on saying so

and, in files of their own, what a next run need not verify again (`read_verified`): those only save time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ledger.errors import StoreCorrupt
from ledger.store.sqlite import connect
from ledger.store.state import make_folder, read_regular_file, write_file

_TABLES = {
    "pin": "log TEXT PRIMARY KEY, size INTEGER NOT NULL, hash TEXT NOT NULL, key TEXT NOT NULL, at TEXT NOT NULL",
    "trust": "log TEXT PRIMARY KEY, digest TEXT NOT NULL",
    "met": "place TEXT NOT NULL, log TEXT NOT NULL, PRIMARY KEY (place, log)",
    "healed": "log TEXT PRIMARY KEY, what TEXT NOT NULL, at TEXT NOT NULL",
}
_REMEDY = "move the file away; the next verify pins anew"
_MAX_VERIFIED = 1 << 30


class Pin(NamedTuple):
    """`key` is the fingerprint of the genesis key; `at` says when this was verified, as in an entry."""

    log: str
    size: int
    hash: str
    key: str
    at: str


class Healed(NamedTuple):
    """A loss that was made good: in words what was lost, and when it was noticed last, as in an entry."""

    what: str
    at: str


def pins_path(state: str) -> str:
    """Return the path of the pins."""
    return os.path.join(state, "pins.db")


def read_pins(state: str) -> dict[str, Pin]:
    """Return every pin by its log's name; none where nothing was verified yet. Raises StoreCorrupt."""
    rows = _read(state, "pin", "SELECT log, size, hash, key, at FROM pin", ())
    for row in rows:
        if type(row[1]) is not int or any(type(text) is not str for text in (row[0], *row[2:])):  # SQLite takes any type anywhere
            raise StoreCorrupt(f"the pins {pins_path(state)} are damaged: {row!r}", remedy=_REMEDY)
    return {row[0]: Pin(*row) for row in rows}


def write_pins(state: str, pins: Sequence[Pin], digest: str, place: str, met: Iterable[str]) -> None:
    """Store what a good run at `place` found: pins, the digest of the committed trust files, and the logs that had a ref there.

    A pin never goes back: where a larger one of its log is there, that stays.
    """
    pin = (
        "INSERT INTO pin VALUES (?, ?, ?, ?, ?) ON CONFLICT (log) DO UPDATE SET size = excluded.size,"
        " hash = excluded.hash, key = excluded.key, at = excluded.at WHERE excluded.size > pin.size"
    )
    trust = "INSERT INTO trust VALUES (?, ?) ON CONFLICT (log) DO UPDATE SET digest = excluded.digest"
    here = "INSERT OR IGNORE INTO met VALUES (?, ?)"
    _write(state, [(pin, pins), (trust, [(each.log, digest) for each in pins]), (here, [(place, log) for log in met])])


def read_trust(state: str) -> dict[str, str]:
    """Return, by log, the SHA-256 of the trust files that were committed when it was last found good; empty where none were.

    A log that was never verified here is not in it. Raises StoreCorrupt.
    """
    return {str(log): str(digest) for log, digest in _read(state, "trust", "SELECT log, digest FROM trust", ())}


def read_met(state: str, place: str) -> frozenset[str]:
    """Return the logs that had a ref when they were found good at `place`. Raises StoreCorrupt."""
    return frozenset(str(row[0]) for row in _read(state, "met", "SELECT log FROM met WHERE place = ?", (place,)))


def note_healed(state: str, log: str, what: str, at: str) -> None:
    """Remember that `what` was lost of a log's ref, and was put back at `at`. Raises StoreCorrupt."""
    sql = "INSERT INTO healed VALUES (?, ?, ?) ON CONFLICT (log) DO UPDATE SET what = excluded.what, at = excluded.at"
    _write(state, [(sql, [(log, what, at)])])


def read_healed(state: str) -> dict[str, Healed]:
    """Return the losses that were made good, by log. Raises StoreCorrupt."""
    rows = _read(state, "healed", "SELECT log, what, at FROM healed", ())
    return {str(log): Healed(str(what), str(at)) for log, what, at in rows}


def read_verified(state: str, name: str) -> bytes | None:
    """Return what an earlier run left under `name`, or None where there is nothing that can be read."""
    return read_regular_file(_verified_path(state, name), _MAX_VERIFIED)


def write_verified(state: str, name: str, data: bytes) -> None:
    """Leave `data` for the next run under `name`, in the place of what was there. Raises StoreError."""
    write_file(_verified_path(state, name), data)


def _verified_path(state: str, name: str) -> str:
    return os.path.join(state, "verified", name)


def _read(state: str, table: str, sql: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
    path = pins_path(state)
    if not os.path.exists(path):
        return []
    try:
        db = connect(path, read_only=True)
        try:
            if not db.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]:
                return []  # another process is just making the file, or an older version made it
            return db.execute(sql, values).fetchall()
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreCorrupt(f"the pins {path} cannot be read: {error}", remedy=_REMEDY) from error


def _write(state: str, changes: Iterable[tuple[str, Iterable[tuple[object, ...]]]]) -> None:
    """Make all changes in one transaction, or none."""
    path = pins_path(state)
    make_folder(state)
    try:
        db = sqlite3.connect(path, timeout=5.0)
        try:
            with db:
                for table, columns in _TABLES.items():
                    db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) WITHOUT ROWID")
                for sql, rows in changes:
                    db.executemany(sql, rows)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreCorrupt(f"the pins {path} cannot be written: {error}", remedy="check the disk, or move the file away") from error
