"""Records of sealed logs that this machine has no journal of, copied out of git so that each can be found by its seq.

    <cache>/ledger/<log>/copy.db

Only records of genuine seals get in: the walk over the ref checks keys, links and roots as the verifier does. Like the index it is
derived and disposable: where it does not fit the ref it is made anew, and where the cache cannot be written, in memory's stead
in a temporary folder. It has a journal's form without payloads, which do not travel with seals.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile

from ledger.errors import StoreError
from ledger.index.database import index_path
from ledger.repo.gitdir import GitDir
from ledger.store.reader import JournalReader
from ledger.verify.notes import Notes
from ledger.verify.sealed import walk_ref
from ledger.verify.signatures import SomeSignatures
from ledger.verify.verdict import Findings

_VERSION = "1"
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE record (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE payload (seq INTEGER NOT NULL, name TEXT NOT NULL, salt BLOB NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (seq, name));
"""


def copy_path(log: str) -> str:
    """Return where the copy of a log's records lies for this user."""
    return os.path.join(os.path.dirname(index_path(log)), "copy.db")


def open_copy(repo: GitDir, log: str, tip: str) -> JournalReader:
    """Return a reader of what is genuine behind the commit `tip` on the ref of `log`. Raises RepoError where git fails."""
    path = copy_path(log)
    try:
        if _tip_of(path, log) != tip:
            _write(path, repo, log, tip)
        return JournalReader(path)
    except (OSError, sqlite3.Error, StoreError):
        folder = tempfile.mkdtemp(prefix="ledger-")  # a cache that cannot be written, or a damaged file in it
        path = os.path.join(folder, "copy.db")
        _write(path, repo, log, tip)
        reader = JournalReader(path)
        reader.count()
        os.unlink(path)  # the open file stays readable
        os.rmdir(folder)
        return reader


def _tip_of(path: str, log: str) -> str | None:
    """Return the commit up to which the copy at `path` goes, or None where there is none that can be used."""
    if not os.path.exists(path):
        return None
    try:
        with JournalReader(path) as reader:
            return reader.meta("tip") if (reader.meta("version"), reader.log) == (_VERSION, log) else None
    except StoreError:
        return None


def _write(path: str, repo: GitDir, log: str, tip: str) -> None:
    """Make the copy aside and rename it into place."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    aside = f"{path}.tmp-{os.getpid()}"
    if os.path.lexists(aside):
        os.unlink(aside)
    os.close(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(aside, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous=OFF")  # after a power cut it is made anew
        db.executescript("BEGIN;" + _SCHEMA)

        def take(seq: int, record: bytes) -> None:
            db.execute("INSERT OR REPLACE INTO record VALUES (?, ?)", (seq, record))

        walk_ref(repo, log, tip, Findings(), SomeSignatures(lambda seq: None), Notes(log), take=take)
        db.executemany("INSERT INTO meta VALUES (?, ?)", [("version", _VERSION), ("log", log), ("tip", tip)])
        db.execute("COMMIT")
    finally:
        db.close()
    os.rename(aside, path)
