"""Which repository a session belongs to: the one whose journal has an entry of it.

Telemetry names a conversation and no folder. So the journals of this state folder are asked, newest first, whether a hook has
recorded something of that session; the answer is kept, a "no" only for a moment, since a session's first events may overtake its
hooks. An agent's subagents may have conversations of their own: they are found by the entries that name them.

Journals are read here and never written. What is remembered is bounded, whatever names a client makes up.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections import OrderedDict
from typing import NamedTuple

from ledger.agents.registry import AGENTS
from ledger.errors import LedgerError, NoRepository
from ledger.repo.gitdir import GitDir, find_repository
from ledger.store.sqlite import connect
from ledger.store.state import Clone, journal_path, read_clones

_MAX_KNOWN = 10_000
_MAX_ASKED = 500  # unknown names that are looked up in one second
_NO_S = 1.0  # how long a "no" holds
_YES_S = 300.0  # how long a "yes" holds: a session can go on in another repository
_CLONES_S = 1.0
_MAX_SUBAGENTS = 10_000
_SUBAGENT_ROWS = 5_000  # newest records that are searched when a journal is opened


class Home(NamedTuple):
    """Where a session belongs: the clone's common dir, the agent's name there, and the session's as its hooks gave it.

    `subagent` is the name that was asked for, where that is a subagent of `session`; else None.
    """

    common_dir: str
    agent: str
    session: str
    subagent: str | None = None


class Sessions:
    """Looks sessions up in the journals of one state folder. For one thread."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._journals: dict[str, _Journal] = {}
        self._listed = -1e9
        self._known: OrderedDict[str, tuple[float, Home | None]] = OrderedDict()
        self._asked = (0.0, 0)

    def find(self, session: str) -> Home | None:
        """Return where `session` belongs, or None where no journal knows it."""
        now = time.monotonic()
        known = self._known.get(session)
        if known is not None and now - known[0] < (_NO_S if known[1] is None else _YES_S):
            return known[1]
        if known is None or known[1] is None:
            since, asked = self._asked
            if now - since > 1.0:
                since, asked = now, 0
            self._asked = since, asked + 1
            if asked >= _MAX_ASKED:
                return None
        found = self._search(session, now)
        self._known.pop(session, None)
        self._known[session] = now, found
        while len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        return found

    def close(self) -> None:
        """Let go of the journals."""
        for journal in self._journals.values():
            journal.close()
        self._journals.clear()

    def _search(self, session: str, now: float) -> Home | None:
        if now - self._listed > _CLONES_S:
            self._list_clones()
            self._listed = now
        found = [hit for journal in self._journals.values() if (hit := journal.find_session(session))]
        if found:
            return max(found, key=lambda hit: hit[0])[1]
        for journal in self._journals.values():
            parent = journal.find_parent(session)
            if parent is not None and (hit := journal.find_session(parent)):
                return hit[1]._replace(subagent=session)
        return None

    def _list_clones(self) -> None:
        """Open the journals of clones that are new here, and let go of those that are no more."""
        paths = {}
        for clone in read_clones(self._state):
            paths[journal_path(self._state, clone.log)] = clone
        for path in [path for path in self._journals if path not in paths or not self._journals[path].is_current()]:
            self._journals.pop(path).close()
        for path, clone in paths.items():
            if path not in self._journals:
                try:
                    self._journals[path] = _Journal(path, clone)
                except (sqlite3.Error, OSError):
                    continue  # gone or damaged: `ledger status` and `ledger verify` say so there


class _Journal:
    """One journal, read-only, each question a transaction of its own."""

    def __init__(self, path: str, clone: Clone) -> None:
        self._path = path
        self._clone = clone
        self._db = connect(path, read_only=True)
        self._inode = os.stat(path).st_ino
        self._next: int | None = None
        self._parents: OrderedDict[str, str] = OrderedDict()  # of subagents

    def close(self) -> None:
        self._db.close()

    def is_current(self) -> bool:
        """Say whether this is still the file at its path."""
        try:
            return os.stat(self._path).st_ino == self._inode
        except OSError:
            return False

    def find_session(self, session: str) -> tuple[int, Home] | None:
        """Return when this session was last heard of, and its home, or None."""
        keys = [f"session:{agent}:{session}" for agent in AGENTS]
        marks = ", ".join("?" * len(keys))
        try:
            row = self._db.execute(
                f"SELECT at_ms, key FROM done WHERE key IN ({marks}) ORDER BY at_ms DESC LIMIT 1", keys
            ).fetchone()
        except (sqlite3.Error, UnicodeEncodeError):
            return None
        if row is None:
            return None
        return int(row[0]), Home(self._clone.common_dir, str(row[1]).split(":", 2)[1], session)

    def find_parent(self, subagent: str) -> str | None:
        """Return the session that has a subagent of this name, or None. Reads only what was appended since the last question."""
        try:
            if self._next is None:
                row = self._db.execute("SELECT max(seq) FROM record").fetchone()
                self._next = max(0, int(row[0] or 0) - _SUBAGENT_ROWS)
            rows = self._db.execute("SELECT seq, bytes FROM record WHERE seq >= ? ORDER BY seq LIMIT 20000", (self._next,))
            for seq, record in rows:
                self._next = int(seq) + 1
                if b'"subagent":"' in record and b'"kind":"subagent.started"' in record:
                    self._note_subagent(record)
        except sqlite3.Error:
            return None
        return self._parents.get(subagent)

    def _note_subagent(self, record: bytes) -> None:
        try:
            entry = json.loads(record)["entry"]
            name, session = entry["body"]["subagent"], entry["session"]
        except (ValueError, KeyError, TypeError):
            return
        if isinstance(name, str) and isinstance(session, str):
            self._parents[name] = session
            while len(self._parents) > _MAX_SUBAGENTS:
                self._parents.popitem(last=False)


def repository_at(common_dir: str) -> GitDir | None:
    """Return the repository whose common dir is at `common_dir`, with its main work tree, or None where there is none now."""
    places = [os.path.dirname(common_dir), common_dir] if os.path.basename(common_dir) == ".git" else [common_dir]
    for place in places:
        try:
            found = find_repository(place)
        except (NoRepository, LedgerError, OSError):
            continue
        if found.common_dir == common_dir:
            return found
    return None
