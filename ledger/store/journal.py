"""The journal: one SQLite file a log, holding the records' exact bytes (docs/spec/journal.md).

An append is one transaction: records, payloads and the recorder's working notes together. It returns when it is durable: the
journal runs in WAL mode with `synchronous=FULL`, so a commit ends with an fsync of the log file. A crash before that leaves nothing
of the transaction; after it, all. `secure_delete` overwrites what is deleted. Cost does not grow with the log: the last row is
found from the end of the rowid tree.

The lock (`ledger.store.lock`) is taken before the transaction begins, and is held by whoever calls `append`.

Beside records and payloads there are working notes, which only the recorder reads, which are never evidence, and without which
a journal still verifies:

    done      what was recorded already, for idempotency
    call      calls that were requested and whose outcome is not here yet
    effect    which blob a call left at which path
    worktree  HEAD and reflog of each work tree as last seen
    commits   commits that have an entry
    transcript  how far each transcript of an agent was read; made when the first one is
    version   versions of a path in a work tree, whose each line of them is, and the text where git does not keep it
    seen      each path's state when it was last looked at
    committed  the blob that the last recorded commit of a path left there
    ran       when commands ran in a work tree that may have written anything
    unfollowed  commits some of whose lines a hook had not the time to follow, and what it knew of the rest
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from ledger.errors import StoreCorrupt, StoreError
from ledger.store.sqlite import REMEDY_CORRUPT, connect, translate
from ledger.store.state import journal_path, make_folder, sync_folder

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE record (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE payload (seq INTEGER NOT NULL, name TEXT NOT NULL, salt BLOB NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (seq, name));
CREATE TABLE done (key TEXT PRIMARY KEY, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL, door TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE call (
  session TEXT NOT NULL, call TEXT NOT NULL, turn TEXT NOT NULL, seq INTEGER NOT NULL, worktree TEXT NOT NULL, head TEXT NOT NULL,
  digest TEXT NOT NULL, shell INTEGER NOT NULL, ancestors TEXT NOT NULL, before TEXT NOT NULL,
  subagent TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (session, call)
) WITHOUT ROWID;
CREATE TABLE effect (
  worktree TEXT NOT NULL, path BLOB NOT NULL, seq INTEGER NOT NULL, blob TEXT, session TEXT NOT NULL, sure INTEGER NOT NULL,
  PRIMARY KEY (worktree, path, seq)
) WITHOUT ROWID;
CREATE TABLE worktree (
  path TEXT PRIMARY KEY, head TEXT NOT NULL, reflog_size INTEGER NOT NULL, seen_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE commits (oid TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
"""
# Made where they are missing: what nobody but the recorder reads needs no other version of the schema.
_LATER_NOTES = (
    """CREATE TABLE IF NOT EXISTS version (
  id INTEGER PRIMARY KEY, worktree TEXT NOT NULL, path BLOB NOT NULL, blob TEXT NOT NULL, at_ms INTEGER NOT NULL,
  origins TEXT NOT NULL, size INTEGER NOT NULL, text BLOB)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS version_of ON version (path, blob, worktree)",
    "CREATE INDEX IF NOT EXISTS version_path ON version (path)",
    "CREATE INDEX IF NOT EXISTS version_blob ON version (blob)",
    "CREATE INDEX IF NOT EXISTS version_text ON version (at_ms) WHERE size > 0",
    """CREATE TABLE IF NOT EXISTS seen (
  worktree TEXT NOT NULL, path BLOB NOT NULL, blob TEXT, mode INTEGER NOT NULL, signature TEXT NOT NULL, at_ms INTEGER NOT NULL,
  PRIMARY KEY (worktree, path)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS seen_at ON seen (worktree, at_ms)",
    "CREATE TABLE IF NOT EXISTS committed (path BLOB PRIMARY KEY, blob TEXT) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS ran (worktree TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS ran_until ON ran (worktree, to_ms, from_ms)",
    """CREATE TABLE IF NOT EXISTS unfollowed (
  seq INTEGER PRIMARY KEY, oid TEXT NOT NULL, worktree TEXT NOT NULL, newest INTEGER NOT NULL, rest TEXT NOT NULL,
  next INTEGER NOT NULL)""",
)


def create_journal(state: str, log: str, record: bytes, notes: dict[str, str]) -> None:
    """Make the journal of a new log with its genesis record. Raises StoreError; leaves nothing behind when it fails.

    It is made under another name and renamed into place, so that a journal without genesis never exists.
    """
    path = journal_path(state, log)
    make_folder(os.path.dirname(path))
    aside = f"{path}.tmp-{os.getpid()}"
    try:
        if os.path.exists(aside):
            os.unlink(aside)
        os.close(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        db = connect(aside)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.executescript("BEGIN;" + _SCHEMA)
            db.executemany("INSERT INTO meta VALUES (?, ?)", {"schema": str(SCHEMA_VERSION), "log": log, **notes}.items())
            db.execute("INSERT INTO record VALUES (0, ?)", (record,))
            db.execute("COMMIT")
        finally:
            db.close()  # the last connection folds the WAL into the file, so that renaming the one file moves all of it
        os.rename(aside, path)
        sync_folder(os.path.dirname(path))
    except sqlite3.Error as error:
        raise translate(error, path) from error


class Journal:
    """A journal open for appending. Whoever begins a transaction holds the log's lock."""

    def __init__(self, state: str, log: str) -> None:
        self.path = journal_path(state, log)
        self.state = state
        self.log = log
        if not os.path.exists(self.path):
            raise StoreError(
                f"the journal {self.path} is gone", remedy="restore it from a backup, or `ledger init` a successor log"
            )
        try:
            self.db = connect(self.path)
            self.db.execute("PRAGMA synchronous=FULL")
            self.db.execute("PRAGMA secure_delete=ON")
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        schema = self.meta("schema")
        if schema != str(SCHEMA_VERSION) or self.meta("log") != log:
            raise StoreCorrupt(f"{self.path} is not the journal of {log}, or of another version ({schema})", remedy=REMEDY_CORRUPT)

    def close(self) -> None:
        """Close the file. A hook does without: what was committed is durable, and folding the WAL costs it two syncs."""
        self.db.close()

    def __enter__(self) -> Journal:
        """Begin a transaction."""
        self.run("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Make the transaction durable, or undo it after an error."""
        try:
            if self.db.in_transaction:
                self.db.execute("COMMIT" if kind is None else "ROLLBACK")
        except sqlite3.Error as failure:
            if self.db.in_transaction:  # a COMMIT that failed for want of space leaves it open
                self.db.execute("ROLLBACK")
            raise translate(failure, self.path) from failure

    def last(self) -> tuple[int, bytes]:
        """Return seq and bytes of the last record. Raises StoreCorrupt where there is none."""
        row = self.one("SELECT seq, bytes FROM record ORDER BY seq DESC LIMIT 1")
        if row is None or not isinstance(row[1], bytes):
            raise StoreCorrupt(f"the journal {self.path} has no genesis, or no bytes in its last row", remedy=REMEDY_CORRUPT)
        return int(row[0]), bytes(row[1])

    def is_paused(self) -> bool:
        """Say whether an entry says that recording is paused."""
        note = self.meta("paused")
        if note in (None, "0"):
            return False
        from ledger.store.pausing import is_paused  # hardly ever

        sql = "SELECT bytes FROM record WHERE seq >= ? ORDER BY seq LIMIT ?"
        return is_paused(note, lambda seq, limit: [bytes(row[0]) for row in self.all(sql, (seq, limit))])

    def append(self, seq: int, record: bytes, payloads: Iterable[tuple[str, bytes, bytes]]) -> None:
        """Add one record with its payloads (name, salt, bytes)."""
        self.run("INSERT INTO record VALUES (?, ?)", (seq, record))
        for name, salt, data in payloads:
            self.run("INSERT INTO payload VALUES (?, ?, ?, ?)", (seq, name, salt, data))

    def make_later_notes(self) -> None:
        """Make the tables of notes that a journal of an older version has not."""
        for sql in _LATER_NOTES:
            self.run(sql)

    def meta(self, name: str) -> str | None:
        """Return one of the journal's own notes, or None."""
        row = self.one("SELECT value FROM meta WHERE name = ?", (name,))
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        """Set one of the journal's own notes."""
        self.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value))

    def one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Return the first row of a query, or None."""
        try:
            row: tuple[Any, ...] | None = self.db.execute(sql, values).fetchone()
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        return row

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        try:
            return self.db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Change rows."""
        try:
            self.db.execute(sql, values)
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
