"""Reading a journal, for whoever does not write it (docs/spec/journal.md).

The connection is read-only. It sees one consistent state of the journal from its first read to `close`, also while a
recorder appends.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from ledger.errors import StoreError
from ledger.store.pausing import NOTE, is_paused
from ledger.store.sqlite import connect, translate


class Payload(NamedTuple):
    """A payload's bytes and the 32-byte salt of its commitment."""

    salt: bytes
    data: bytes


class JournalReader:
    """One journal, read-only. Use as a context manager. Raises StoreError and its kin."""

    def __init__(self, path: str) -> None:
        self.path = path
        if not os.path.exists(path):
            raise StoreError(
                f"there is no journal at {path}", remedy="restore it from a backup, or run `ledger init` for a new log"
            )
        try:
            self._db = connect(path, read_only=True)
            self._db.execute("BEGIN")
            self._db.execute("SELECT count(*) FROM record WHERE seq < 0").fetchone()
        except sqlite3.Error as error:
            raise translate(error, path) from error

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the journal."""
        self._db.close()

    def meta(self, name: str) -> str | None:
        """Return one of the journal's own notes, or None."""
        row = self._one("SELECT value FROM meta WHERE name = ?", (name,))
        return None if row is None else str(row[0])

    @property
    def log(self) -> str:
        """The name of the log that the journal says it holds."""
        return self.meta("log") or ""

    def is_paused(self) -> bool:
        """Say whether an entry says that recording is paused."""
        return is_paused(self.meta(NOTE), lambda seq, limit: [record for _, record in islice(self.records(seq), limit)])

    def count(self) -> int:
        """Return how many records there are."""
        row = self._one("SELECT count(*) FROM record", ())
        return int(row[0]) if row else 0

    def last_seq(self) -> int:
        """Return the largest seq, or -1 of an empty journal. Does not read the log."""
        row = self._one("SELECT max(seq) FROM record", ())
        return -1 if row is None or row[0] is None else int(row[0])

    def records(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield (seq, record bytes) in the order of seq, from seq `start` on."""
        try:
            yield from self._db.execute("SELECT seq, bytes FROM record WHERE seq >= ? ORDER BY seq", (start,))
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def record(self, seq: int) -> bytes | None:
        """Return the bytes of one record, or None."""
        row = self._one("SELECT bytes FROM record WHERE seq = ?", (seq,))
        return None if row is None else bytes(row[0])

    def payload(self, seq: int, name: str) -> Payload | None:
        """Return one payload of the entry `seq`, or None where it is not here."""
        row = self._one("SELECT salt, bytes FROM payload WHERE seq = ? AND name = ?", (seq, name))
        return None if row is None else Payload(bytes(row[0]), bytes(row[1]))

    def payloads(self, start: int | None = None) -> Iterator[tuple[int, str, bytes, bytes]]:
        """Yield (seq, name, salt, bytes) of every payload that is here, or from seq `start` on, in the order of seq and name."""
        condition, values = ("", ()) if start is None else ("WHERE seq >= ?", (start,))
        try:
            yield from self._db.execute(f"SELECT seq, name, salt, bytes FROM payload {condition} ORDER BY seq, name", values)
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def digest(self, size: int) -> str | None:
        """Return a digest of the rows of the first `size` records and their payloads; None where they are not rows 0 to `size` − 1.

        What it is over is private to it: it tells whether anything changed since it was computed last.
        """
        ends = self._one("SELECT count(*), min(seq), max(seq) FROM record WHERE seq IS NULL OR seq < ?", (size,))
        if ends != (size, 0, size - 1):
            return None
        whole = hashlib.sha256(b"%d" % size)
        try:
            rows = self._db.execute("SELECT bytes FROM record WHERE seq < ? ORDER BY seq", (size,))
            while chunk := rows.fetchmany(1024):
                # A record has no newline in it (RFC 8785), so equal bytes are equal rows.
                whole.update(b"\n".join(chain.from_iterable(chunk)))
                whole.update(b"\n")
            rows = self._db.execute(
                "SELECT seq, name, salt, bytes FROM payload WHERE seq IS NULL OR seq < ? ORDER BY seq, name", (size,)
            )
            for seq, name, salt, data in rows:
                whole.update(b"%d %d %d %d " % (seq, len(name), len(salt), len(data)))
                whole.update(name.encode())
                whole.update(salt)
                whole.update(data)
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        except (TypeError, AttributeError, UnicodeEncodeError):
            return None  # a row holds something else than a journal's rows do
        return whole.hexdigest()

    def _one(self, sql: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._db.execute(sql, values).fetchone()
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        return row
