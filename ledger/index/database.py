"""The index's database: one SQLite file a log under the user's cache folder, kept up with the journal.

    <cache>/ledger/<log>/index.db

It remembers how far it read and the hash of the record there. Where that does not fit the journal, or the file was made by another
version or is damaged, it is thrown away and built anew; where the cache cannot be written, it is built in memory. Two processes
that build at once wait for each other, for each brings the index up to date in one transaction.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from sqlite_utils import Database

from ledger.core.entry import hash_record
from ledger.index.rows import Row, build_rows
from ledger.store.reader import JournalReader

VERSION = 8
_BATCH = 5_000

_INTEGERS = frozenset({"seq", "cause", "call_seq", "count", "version", "said_by", "replaces"})
_TABLES = {
    "entries": "seq kind at source actor_type actor_name session turn call cause tool mcp_server outcome host decision".split(),
    "commits": ["seq", "oid", "tree", "patch_id"],
    "commit_calls": ["seq", "call_seq"],
    "paths": ["path", "seq", "blob"],
    "lines": ["seq", "path", "writer", "call_seq", "count"],
    "lines_left": ["seq", "said_by", "count"],
    "rewrites": ["seq", "old", "new", "replaces"],
    "progress": ["version", "log", "seq", "hash"],
}
_KEYS: dict[str, str | tuple[str, ...]] = {
    "entries": "seq",
    "commits": "seq",
    "commit_calls": ("seq", "call_seq"),
    "paths": ("path", "seq"),
    "lines": ("seq", "path", "writer", "call_seq"),
    "lines_left": ("seq", "said_by"),
    "rewrites": ("seq", "old", "new"),
    "progress": "seq",
}
_INDEXES = [
    ("entries", ["kind"]),
    ("entries", ["session"]),
    ("entries", ["session", "kind"]),
    ("entries", ["cause"]),
    ("entries", ["call"]),
    ("commits", ["oid"]),
    ("commits", ["tree"]),
    ("commits", ["patch_id"]),
    ("commit_calls", ["call_seq"]),
    ("lines", ["call_seq"]),
    ("paths", ["blob"]),
    ("rewrites", ["new"]),
    ("rewrites", ["old"]),
]


def index_path(log: str) -> str:
    """Return where the index of `log` lies for this user."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "ledger", log, "index.db")


def open_database(reader: JournalReader, log: str, path: str | None = None) -> Database:
    """Return the index of the journal behind `reader`, up to date. Raises StoreError only where the journal cannot be read."""
    path = index_path(log) if path is None else path
    for attempt in (1, 2):
        connection = None
        try:
            connection = _connect(path)
            return _follow(connection, reader, log)
        except (sqlite3.Error, OSError):
            if connection is not None:
                connection.close()
            if attempt == 1:
                _discard(path)  # damaged, most likely; if it was busy or read-only, the second try says so again
    return _follow(sqlite3.connect(":memory:", isolation_level=None), reader, log)


def _connect(path: str) -> sqlite3.Connection:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    return sqlite3.connect(path, isolation_level=None, timeout=10.0)


def _discard(path: str) -> None:
    for name in (path, path + "-journal", path + "-wal", path + "-shm"):
        try:
            os.unlink(name)
        except OSError:
            pass


def _follow(connection: sqlite3.Connection, reader: JournalReader, log: str) -> Database:
    """Bring the index up to the journal's last record, in one transaction.

    Derived data need not survive a power cut, so nothing is synced; a torn file is damaged, and so built anew.
    """
    connection.execute("PRAGMA synchronous=OFF")
    db = Database(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        start = _fitting_end(connection, reader, log)
        if start is None:
            _create(db)
            start = 0
        _read_on(db, reader, log, start)
        if connection.in_transaction:
            connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return db


def _fitting_end(connection: sqlite3.Connection, reader: JournalReader, log: str) -> int | None:
    """Return the seq to go on from, or None where the index does not fit the journal."""
    try:
        row = connection.execute("SELECT version, log, seq, hash FROM progress").fetchone()
    except sqlite3.OperationalError:
        return None  # no such table: new, or of another version
    if row is None or row[0] != VERSION or row[1] != log or not isinstance(row[2], int):
        return None
    record = reader.record(row[2])
    if record is None or hash_record(record) != row[3]:
        return None
    return row[2] + 1


def _create(db: Database) -> None:
    for table in [name for name in db.table_names() if not name.startswith("sqlite_")]:
        db.table(table).drop()
    for table, columns in _TABLES.items():
        db.table(table).create({name: int if name in _INTEGERS else str for name in columns}, pk=_KEYS[table])
    for table, names in _INDEXES:
        db.table(table).create_index(names)


def _read_on(db: Database, reader: JournalReader, log: str, start: int) -> None:
    rows: dict[str, list[Row]] = {name: [] for name in _TABLES}
    last: tuple[int, bytes] | None = None
    for seq, record in reader.records(start):
        last = seq, record
        for table, row in build_rows(seq, record):
            rows[table].append(row)
        if len(rows["entries"]) >= _BATCH:
            _insert(db.conn, rows)
    _insert(db.conn, rows)
    if last is not None:
        db.conn.execute("DELETE FROM progress")
        db.conn.execute("INSERT INTO progress VALUES (?, ?, ?, ?)", (VERSION, log, last[0], hash_record(last[1])))


def _insert(connection: sqlite3.Connection, rows: dict[str, list[Row]]) -> None:
    """Insert and forget the gathered rows. Written out: sqlite-utils' inserts look at each row's form, and commit on their own."""
    for table, found in rows.items():
        columns = _TABLES[table]
        values: Iterable[Sequence[Any]] = ([row.get(column) for column in columns] for row in found)
        marks = ", ".join("?" * len(columns))
        connection.executemany(f'INSERT OR REPLACE INTO "{table}" VALUES ({marks})', values)
        found.clear()
