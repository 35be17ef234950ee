"""Questions that the index answers. Each answer is a list of seqs, to be re-read from the journal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlite_utils import Database

from ledger.index.database import open_database
from ledger.store.reader import JournalReader


class Query(NamedTuple):
    """What entries are wanted; None does not restrict. `kind` may end in `.*`, `session` may be a prefix, `path` a folder.

    `since` and `until` are times as in an entry, or prefixes of one.
    """

    kind: str | None = None
    session: str | None = None
    actor: str | None = None
    path: str | None = None
    since: str | None = None
    until: str | None = None
    tool: str | None = None
    host: str | None = None
    decision: str | None = None


class LogIndex:
    """The index of one log. Use as a context manager, or close it."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def __enter__(self) -> LogIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index's file."""
        self.db.conn.close()

    def find(self, query: Query, *, newest_first: bool = True) -> Iterator[int]:
        """Yield the seqs of the entries that `query` wants."""
        where, values = _where(query)
        order = "DESC" if newest_first else "ASC"
        yield from self._seqs(f"SELECT seq FROM entries WHERE {where} ORDER BY seq {order}", values)

    def of_kind(self, *kinds: str, before: int | None = None, after: int = -1) -> list[int]:
        """Return the seqs of these kinds with `after` < seq < `before`, in order."""
        marks = ", ".join("?" * len(kinds))
        sql = f"SELECT seq FROM entries WHERE kind IN ({marks}) AND seq > ? AND seq < ? ORDER BY seq"
        return list(self._seqs(sql, (*kinds, after, 2**62 if before is None else before)))

    def of_session(self, session: str, after: int = -1, until: int = 2**62) -> list[int]:
        """Return the seqs of a session's entries with `after` < seq ≤ `until`, in order."""
        sql = "SELECT seq FROM entries WHERE session = ? AND seq > ? AND seq <= ? ORDER BY seq"
        return list(self._seqs(sql, (session, after, until)))

    def sessions(self, prefix: str, limit: int) -> list[str]:
        """Return at most `limit` names of sessions that begin with `prefix`, each found by one step in the index."""
        found: list[str] = []
        sql = "SELECT min(session) FROM entries WHERE session > ? AND session >= ?"
        while len(found) < limit:
            (name,) = self.db.conn.execute(sql, (found[-1] if found else "", prefix)).fetchone()
            if name is None or not name.startswith(prefix):
                break
            found.append(name)
        return found

    def commits_of_session(self, session: str) -> list[int]:
        """Return the seqs of the `commit.recorded` entries made in `session`, or with paths or lines of its calls, in order."""
        sql = """
            SELECT seq FROM entries WHERE session = :session AND kind = 'commit.recorded'
            AND EXISTS (SELECT 1 FROM commits WHERE commits.seq = entries.seq)
            UNION SELECT link.seq FROM entries AS made JOIN commit_calls AS link ON link.call_seq = made.seq
            WHERE made.session = :session AND made.kind = 'tool.finished'
            UNION SELECT lines.seq FROM entries AS made JOIN lines ON lines.call_seq = made.seq
            WHERE made.session = :session AND made.kind = 'tool.requested' ORDER BY 1"""
        return list(self._seqs(sql, {"session": session}))

    def newest(self, session: str, kind: str, before: int) -> Iterator[int]:
        """Yield the seqs of a session's entries of `kind` before `before`, newest first."""
        sql = "SELECT seq FROM entries WHERE session = ? AND kind = ? AND seq < ? ORDER BY seq DESC"
        return self._seqs(sql, (session, kind, before))

    def of_call(self, session: str | None, call: str) -> list[int]:
        """Return the seqs of the entries that bear this call's identifiers, in order."""
        return list(self._seqs("SELECT seq FROM entries WHERE session IS ? AND call = ? ORDER BY seq", (session, call)))

    def answers(self, seq: int) -> list[int]:
        """Return the seqs of the entries whose cause is `seq`, in order."""
        return list(self._seqs("SELECT seq FROM entries WHERE cause = ? ORDER BY seq", (seq,)))

    def commits(self, column: str, value: str) -> list[int]:
        """Return the seqs of `commit.recorded` entries by `oid`, `tree` or `patch_id`, in order."""
        if column not in ("oid", "tree", "patch_id"):
            raise ValueError(column)
        return list(self._seqs(f"SELECT seq FROM commits WHERE {column} = ? ORDER BY seq", (value,)))

    def first_commit(self) -> list[int]:
        """Return the seq of the first `commit.recorded`, if there is one."""
        return [seq for seq in self._seqs("SELECT min(seq) FROM commits", ()) if seq is not None]

    def old_commits(self, new: str) -> list[str]:
        """Return the ids of the commits that were rewritten to `new`, in the order of the entries and their lists."""
        sql = "SELECT old FROM rewrites WHERE new = ? GROUP BY old ORDER BY min(rowid)"
        return [row[0] for row in self.db.conn.execute(sql, (new,))]

    def has_path(self, path: str) -> bool:
        """Say whether a `commit.recorded` lists this path, as `rows.path_key` spells it."""
        return self.db.conn.execute("SELECT 1 FROM paths WHERE path = ? LIMIT 1", (path,)).fetchone() is not None

    def rewrites_to(self, new: str) -> list[tuple[int, str]]:
        """Return (seq of the `commit.rewritten`, old id) of what says that `new` was made of old commits, as `old_commits` does."""
        sql = "SELECT seq, old FROM rewrites WHERE new = ? ORDER BY rowid"
        return [(row[0], row[1]) for row in self.db.conn.execute(sql, (new,))]

    def commits_of_path(self, path: str, limit: int) -> list[int]:
        """Return the seqs of the `commit.recorded` entries that list `path` (as `path_key` spells it), the newest first."""
        sql = """
            SELECT path.seq FROM paths AS path JOIN commits AS made ON made.seq = path.seq
            WHERE path.path = ? ORDER BY path.seq DESC LIMIT ?"""
        return list(self._seqs(sql, (path, limit)))

    def commits_of_blob(self, blob: str, limit: int) -> list[int]:
        """Return the seqs of the `commit.recorded` entries that list a path with this blob, the newest first."""
        return list(self._seqs("SELECT DISTINCT seq FROM paths WHERE blob = ? ORDER BY seq DESC LIMIT ?", (blob, limit)))

    def commit_before(self, session: str, before: int) -> int:
        """Return the seq of the last `commit.recorded` before `before` made in or linked to `session`, or -1."""
        made = """
            SELECT seq FROM entries WHERE session = :session AND kind = 'commit.recorded' AND seq < :before
            AND EXISTS (SELECT 1 FROM commits WHERE commits.seq = entries.seq) ORDER BY seq DESC LIMIT 1"""
        # From the newest link backwards, no further than the session's beginning: most sessions' last commit is not far.
        linked = """
            SELECT link.seq FROM commit_calls AS link CROSS JOIN entries AS made ON made.seq = link.call_seq
            WHERE link.seq < :before AND link.seq > (SELECT min(seq) FROM entries WHERE session = :session)
            AND made.session = :session ORDER BY link.seq DESC LIMIT 1"""
        values = {"session": session, "before": before}
        rows = (self.db.conn.execute(sql, values).fetchone() for sql in (made, linked))
        return max((int(row[0]) for row in rows if row is not None and row[0] is not None), default=-1)

    def _seqs(self, sql: str, values: Any) -> Iterator[int]:
        for row in self.db.conn.execute(sql, values):
            yield row[0]


def open_index(reader: JournalReader, log: str, path: str | None = None) -> LogIndex:
    """Return the index of the journal behind `reader`, up to date; in memory where the cache cannot be written."""
    return LogIndex(open_database(reader, log, path))


def _where(query: Query) -> tuple[str, list[object]]:
    terms: list[str] = ["1"]
    values: list[object] = []

    def want(term: str, *found: object) -> None:
        terms.append(term)
        values.extend(found)

    for column in ("tool", "host", "decision"):
        value = getattr(query, column)
        if value is not None:
            want(f"{column} = ?", value)
    if query.kind is not None and query.kind.endswith(".*"):
        want("kind GLOB ?", _glob(query.kind[:-1]))
    elif query.kind is not None:
        want("kind = ?", query.kind)
    if query.session is not None:
        want("session GLOB ?", _glob(query.session))
    if query.actor is not None:
        want("(actor_type = ? OR actor_name = ?)", query.actor, query.actor)
    if query.path is not None:
        folder = query.path.rstrip("/") + "/"
        want("seq IN (SELECT seq FROM paths WHERE path = ? OR path GLOB ?)", query.path, _glob(folder))
    if query.since is not None:
        want("at >= ?", query.since)
    if query.until is not None:
        want("substr(at, 1, ?) <= ?", len(query.until), query.until)
    return " AND ".join(terms), values


def _glob(prefix: str) -> str:
    """Return the GLOB pattern of texts that begin with `prefix`, whose own wildcards mean themselves."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in prefix) + "*"
