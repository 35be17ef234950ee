"""SQLite files, opened with care, and their errors as a user should meet them."""

from __future__ import annotations

import os
import sqlite3

from ledger.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreReadOnly

REMEDY_CORRUPT = "keep the folder as it is, copy it aside, and try `sqlite3 journal.db .recover` on the copy"


def connect(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the SQLite file at `path`, which must exist. Transactions are the caller's own."""
    if not os.path.isfile(path):  # SQLite would wait for ever at a FIFO
        raise sqlite3.OperationalError("there is no such file")
    mode = "ro" if read_only else "rw"
    # SQLite's URIs want these three escaped and take every other character as it is; urllib costs a hook 5 ms.
    name = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return sqlite3.connect(f"file:{name}?mode={mode}", uri=True, isolation_level=None, timeout=5.0)


def translate(error: sqlite3.Error, path: str) -> StoreError:
    """Return the StoreError that an SQLite error on the journal at `path` means."""
    code = getattr(error, "sqlite_errorcode", 0) or 0
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return StoreFull(f"no space left for the journal {path}", remedy="free some space; what was acknowledged is safe")
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreReadOnly(f"the journal {path} cannot be written: {error}", remedy="check the folder's permissions")
    if primary == sqlite3.SQLITE_CANTOPEN:
        return StoreError(f"the journal {path} cannot be opened: {error}", remedy="check the folder and its permissions")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(f"the journal {path} is in use: {error}", remedy="try again; nothing was lost")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
        return StoreCorrupt(f"the journal {path} is damaged: {error}", remedy=REMEDY_CORRUPT)
    return StoreError(f"the journal {path} failed: {error}", remedy="check the disk and the folder's permissions")
