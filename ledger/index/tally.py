"""Counts over a whole log, straight from the index: what `ledger stats` is made of. Nothing of it is re-read from records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from ledger.index.search import LogIndex

_KINDS = ("session.started", "prompt.submitted", "tool.requested", "tool.finished", "approval.decided", "network.decided")

# A commit that became another recorded one (amended, rebased) is counted as that, and one that another log counts is left to it.
_KEPT = """
    SELECT made.seq AS seq, made.oid AS oid, entry.at AS at, entry.session AS session
    FROM commits AS made JOIN entries AS entry ON entry.seq = made.seq
    WHERE NOT EXISTS (
        SELECT 1 FROM rewrites JOIN commits AS later ON later.oid = rewrites.new
        WHERE rewrites.old = made.oid AND rewrites.new <> made.oid AND rewrites.replaces)
    AND made.oid NOT IN (SELECT value FROM json_each(:elsewhere))
    AND entry.at >= :since AND substr(entry.at, 1, :length) <= :until"""

# The calls of a commit: results that left its paths, and requests that wrote its lines.
_CALLS = "SELECT seq, call_seq FROM commit_calls UNION SELECT seq, call_seq FROM lines WHERE call_seq >= 0"


class Span(NamedTuple):
    """Times as in an entry, or prefixes of one; None does not restrict. Another log counts the commits in `elsewhere`."""

    since: str | None = None
    until: str | None = None
    elsewhere: frozenset[str] = frozenset()

    def values(self) -> dict[str, object]:
        """Return what the queries below want."""
        return {
            "since": self.since or "",
            "until": self.until or "9999",
            "length": len(self.until or "9999"),
            "elsewhere": json.dumps(sorted(self.elsewhere)),
        }


class Done(NamedTuple):
    """How many entries of `kind` a session has on a day."""

    day: str
    session: str | None
    kind: str
    agent: str | None
    outcome: str | None
    decision: str | None
    number: int


class Committed(NamedTuple):
    """One commit, the session that it was made in, and those whose calls left its paths or wrote its lines."""

    oid: str
    day: str
    session: str | None
    linked: tuple[str, ...]
    has_lines: bool


class Wrote(NamedTuple):
    """How many lines of a path were written on a day by `writer`, in the session of the call where it was an agent's."""

    day: str
    path: str
    writer: str
    session: str | None
    agent: str | None
    number: int


def count_entries(index: LogIndex, span: Span) -> Iterator[Done]:
    """Yield how many entries there are, by day, session, kind, agent and outcome."""
    marks = ", ".join(f"'{kind}'" for kind in _KINDS)
    sql = f"""
        SELECT substr(at, 1, 10), session, kind, CASE actor_type WHEN 'agent' THEN actor_name END, outcome, decision, count(*)
        FROM entries WHERE kind IN ({marks}) AND at >= :since AND substr(at, 1, :length) <= :until
        GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1"""
    return (Done(*row) for row in index.db.conn.execute(sql, span.values()))


def list_commits(index: LogIndex, span: Span) -> Iterator[Committed]:
    """Yield each commit once, in the order of their entries."""
    sql = f"""
        SELECT kept.oid, min(substr(kept.at, 1, 10)), max(kept.session), json_group_array(DISTINCT call.session),
            max(EXISTS (SELECT 1 FROM lines WHERE lines.seq = kept.seq))
        FROM ({_KEPT}) AS kept
        LEFT JOIN ({_CALLS}) AS link ON link.seq = kept.seq LEFT JOIN entries AS call ON call.seq = link.call_seq
        GROUP BY kept.oid ORDER BY min(kept.seq)"""
    for oid, day, session, linked, has_lines in index.db.conn.execute(sql, span.values()):
        yield Committed(oid, day, session, tuple(name for name in json.loads(linked) if name is not None), bool(has_lines))


def count_lines(index: LogIndex, span: Span) -> Iterator[Wrote]:
    """Yield how many lines were written, by day, path, writer, session and agent."""
    sql = f"""
        SELECT substr(kept.at, 1, 10), lines.path, lines.writer, call.session, call.actor_name, sum(lines.count)
        FROM ({_KEPT}) AS kept JOIN lines ON lines.seq = kept.seq LEFT JOIN entries AS call ON call.seq = lines.call_seq
        GROUP BY 1, 2, 3, 4, 5 ORDER BY 1"""
    return (Wrote(*row) for row in index.db.conn.execute(sql, span.values()))


def count_path_commits(index: LogIndex, span: Span) -> Iterator[tuple[str, int]]:
    """Yield each path with the number of commits that list it."""
    sql = f"""
        SELECT paths.path, count(DISTINCT kept.oid) FROM ({_KEPT}) AS kept JOIN paths ON paths.seq = kept.seq GROUP BY 1"""
    yield from index.db.conn.execute(sql, span.values())


def count_left(index: LogIndex, span: Span) -> int:
    """Return of how many paths no record tells the lines, which their commits' first entries left for want of time or room."""
    sql = f"""
        SELECT sum(more) FROM (
            SELECT max(sum(lines_left.count), 0) AS more FROM ({_KEPT}) AS kept JOIN lines_left ON lines_left.seq = kept.seq
            GROUP BY kept.seq)"""
    (count,) = index.db.conn.execute(sql, span.values()).fetchone()
    return int(count or 0)
