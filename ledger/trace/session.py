"""`build_session`: what one session asked, planned, ran and was allowed, and the commits that came of it."""

from __future__ import annotations

from typing import NamedTuple, TypedDict

from ledger.core.entry import Entry
from ledger.errors import RepoError
from ledger.repo.commits import is_oid
from ledger.repo.gitdir import GitDir
from ledger.repo.manycommits import read_commit_objects
from ledger.trace.answers import (
    Unknown,
    build_approvals,
    build_asked,
    build_boundary,
    build_network,
    build_planned,
    build_ran,
)
from ledger.trace.attribution import parse_ranges
from ledger.trace.logs import Log, Logs
from ledger.trace.model import Approval, Asked, Boundary, Commit, Network, Planned, Ran, Who
from ledger.trace.people import describe_commit
from ledger.trace.recorded import Recorded, distinct, first_part, linked_paths
from ledger.trace.window import Window

MAX_ENTRIES = 20_000
_MAX_NAMED = 6


class SessionCommit(TypedDict):
    """A commit that came of the session. `made_in_session` is false where somebody else committed what its calls left.

    `lines` counts those that its calls wrote, null where the record lists none; `commit` is null where it is not here.
    """

    oid: str
    commit: Commit | None
    entry: str
    made_in_session: bool
    paths: int
    lines: int | None


class About(TypedDict):
    """The session itself; `until` is the time of its last entry."""

    id: str
    agent: str | None
    who: Who | None
    logs: list[str]
    at: str | None
    until: str | None
    entries: int


class SessionTrace(TypedDict):
    """The whole answer."""

    session: About
    verdict: str
    asked: list[Asked]
    planned: list[Planned]
    ran: list[Ran]
    approvals: list[Approval]
    network: list[Network]
    boundary: list[Boundary]
    commits: list[SessionCommit]
    contradictions: list[str]
    unknown: list[str]


class Found(NamedTuple):
    """A session's name, and the logs that have entries of it."""

    session: str
    logs: list[Log]


def find_sessions(logs: Logs, prefix: str) -> list[Found]:
    """Return the sessions whose name is `prefix`, or else those that begin with it: a few, where there are many."""
    found: dict[str, list[Log]] = {}
    for log in logs.related():
        for session in log.index.sessions(prefix, _MAX_NAMED):
            found.setdefault(session, []).append(log)
    if prefix in found:
        return [Found(prefix, found[prefix])]
    return [Found(session, found[session]) for session in sorted(found)]


def build_session(repo: GitDir, logs: Logs, found: Found, verdict: str = "unchecked") -> SessionTrace:
    """Return what is on record of one session. Raises StoreError for damaged journals."""
    unknown, contradictions = Unknown(), Unknown()
    for sentence in logs.missing:
        unknown.say(sentence)
    windows, count = [], 0
    for log in found.logs:
        seqs = log.index.of_session(found.session)
        count += len(seqs)
        if len(seqs) > MAX_ENTRIES:
            unknown.say(f"The session has {len(seqs):,} entries in {log.name}; the first {MAX_ENTRIES:,} are shown.")
        entries = tuple(log.entries(seqs[:MAX_ENTRIES]))
        if entries:
            windows.append(Window(log, (found.session,), entries, entries[0].seq, entries[-1].seq))
    asked = [item for window in windows for item in build_asked(window, unknown)]
    trace: SessionTrace = {
        "session": _about(found, windows, asked, count),
        "verdict": verdict,
        "asked": asked,
        "planned": [item for window in windows for item in build_planned(window, unknown)],
        "ran": [item for window in windows for item in build_ran(window, unknown)],
        "approvals": [item for window in windows for item in build_approvals(window, unknown, contradictions)],
        "network": [item for window in windows for item in build_network(window, unknown)],
        "boundary": [item for window in windows for item in build_boundary(window)],
        "commits": _commits(repo, found, unknown),
        "contradictions": contradictions,
        "unknown": unknown,
    }
    if not any(entry.kind == "session.ended" for window in windows for entry in window.entries):
        unknown.say("The end of the session is not on record: it may go on, or have been cut off.")
    if not trace["commits"]:
        unknown.say("No commit on record came of this session.")
    for log in found.logs:
        for doubt in log.doubts:
            unknown.say(doubt)
    trace["contradictions"], trace["unknown"] = list(contradictions), list(unknown)
    return trace


def _about(found: Found, windows: list[Window], asked: list[Asked], count: int) -> About:
    entries = [entry for window in windows for entry in window.entries]
    agents = [entry.actor["name"] for entry in entries if entry.actor["type"] == "agent" and entry.actor.get("name")]
    return {
        "id": found.session,
        "agent": agents[0] if agents else None,
        "who": next((item["who"] for item in asked if item["who"]["basis"] != "agent"), None),
        "logs": [log.name for log in found.logs],
        "at": entries[0].at if entries else None,
        "until": entries[-1].at if entries else None,
        "entries": count,
    }


def _commits(repo: GitDir, found: Found, unknown: Unknown) -> list[SessionCommit]:
    recorded = distinct(
        Recorded(log, first)
        for log in found.logs
        for entry in log.entries(log.index.commits_of_session(found.session), "commit.recorded")
        if (first := first_part(log, entry)) is not None
    )
    try:
        here = read_commit_objects(repo, dict.fromkeys(item.oid for item in recorded if is_oid(item.oid)))
    except RepoError:
        here = {}
    commits: dict[str, SessionCommit] = {}
    for item in recorded:
        one = commits.setdefault(
            item.oid,
            {
                "oid": item.oid,
                "commit": describe_commit(item.oid, here[item.oid]) if item.oid in here else None,
                "entry": item.log.ref(item.entry.seq),
                "made_in_session": item.entry.session == found.session,
                "paths": 0,
                "lines": None,
            },
        )
        one["paths"] += len(linked_paths(item))
        lines = _lines(item.log, item.entry, found.session)
        one["lines"] = lines if one["lines"] is None else one["lines"] + (lines or 0)
    gone = sum(one["commit"] is None for one in commits.values())
    if gone:
        unknown.say(f"{gone} of the {len(commits)} commits are not in this repository: rewritten, abandoned, or never pushed.")
    return list(commits.values())


def _lines(log: Log, entry: Entry, session: str) -> int | None:
    """Return how many lines of a recorded commit the session's calls wrote, or None where the record lists none."""
    listed = [path["lines"] for path in linked_paths(Recorded(log, entry)) if isinstance(path.get("lines"), list)]
    if not listed:
        return None
    count = 0
    for lines in listed:
        for span in parse_ranges(lines):
            if span.by == "agent" and span.call is not None:
                made = next(log.entries([span.call], "tool.requested"), None)
                count += span.last - span.first + 1 if made is not None and made.session == session else 0
    return count
