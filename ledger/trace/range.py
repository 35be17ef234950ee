"""`build_range_trace`: a pull request, or any other range of commits, in one answer (docs/trace.md).

Lines are those that its commits added, each counted in the commit that added it, and attributed as `ledger blame` does.
"""

from __future__ import annotations

from collections import Counter
from typing import TypedDict

from ledger.core.text import format_path
from ledger.repo.gitdir import GitDir
from ledger.repo.manycommits import list_commits
from ledger.trace.answers import (
    Unknown,
    build_approvals,
    build_asked,
    build_boundary,
    build_network,
    build_ran,
)
from ledger.trace.attribution import Attribution, Line, count_added
from ledger.trace.blame import count_lines, say_why
from ledger.trace.logs import Logs
from ledger.trace.match import Match, Recorded, describe_match
from ledger.trace.matching import Commits
from ledger.trace.model import Approval, Asked, Boundary, Commit, MatchedBy, Network, Who
from ledger.trace.window import concerned_sessions, find_windows

_BATCH = 500


class RangeCommit(TypedDict):
    """One commit: `sessions` are those that made it or whose calls left what it changed; `lines` counts what it added."""

    commit: Commit
    match: MatchedBy
    entry: str | None
    made_in_call: bool
    sessions: list[str]
    lines: dict[str, int]


class RangeSession(TypedDict):
    """One session that had a hand in the range, with what it did for these commits."""

    session: str
    log: str
    agent: str | None
    who: Who | None
    prompts: int
    calls: int
    commits: list[str]


class RangePath(TypedDict):
    """A path, and whose the lines are that the range added to it."""

    path: str | dict[str, str]
    lines: dict[str, int]


class Calls(TypedDict):
    """How many calls ran, by outcome, by tool and by MCP server."""

    count: int
    outcomes: dict[str, int]
    tools: dict[str, int]
    mcp_servers: dict[str, int]


class RangeTrace(TypedDict):
    """The whole answer."""

    range: str
    verdict: str
    commits: list[RangeCommit]
    sessions: list[RangeSession]
    asked: list[Asked]
    ran: Calls
    approvals: list[Approval]
    network: list[Network]
    boundary: list[Boundary]
    lines: dict[str, int]
    paths: list[RangePath]
    contradictions: list[str]
    unknown: list[str]


def build_range_trace(repo: GitDir, logs: Logs, revisions: str, verdict: str = "unchecked") -> RangeTrace:
    """Return what is on record of the commits of `revisions`. Raises RepoError where they name nothing."""
    unknown = Unknown()
    for sentence in logs.missing:
        unknown.say(sentence)
    commits = Commits(repo, logs)
    oids = list_commits(repo, [revisions])
    paths: dict[bytes, Counter[Line]] = {}
    found: list[RangeCommit] = []
    with Attribution(commits) as attribution:
        for start in range(0, len(oids), _BATCH):
            batch = oids[start : start + _BATCH]
            commits.prepare(batch)
            for oid, added in attribution.added(batch).items():
                by_path = count_added(attribution, oid, added)
                for path, counts in by_path.items():
                    paths.setdefault(path, Counter()).update(counts)
                found.append(_commit(commits, oid, _total(by_path)))
    lines = _total(paths)
    recorded = [item for one in found for item in _counted(commits.match(one["commit"]["oid"]), one["sessions"])]
    trace = _answers(recorded, found, unknown)
    unrecorded = sum(one["match"]["rung"] == "none" for one in found)
    if unrecorded:
        unknown.say(f"{unrecorded} of the {len(found)} commits are in no log here.")
    for oid in filter(commits.is_border, oids):
        unknown.say(f"The history is shallow here and ends at {oid[:12]}: of what it added, only what its record lists is counted.")
    for note in dict.fromkeys(note for oid in oids for note in commits.match(oid).notes if "ambiguous" in note):
        unknown.say(note)
    say_why(((line.why, count) for line, count in lines.items()), unknown)
    for log in {item.log.name: item.log for item in recorded}.values():
        for doubt in log.doubts:
            unknown.say(doubt)
    return {
        **trace,
        "range": revisions,
        "verdict": verdict,
        "lines": count_lines((line.by, count) for line, count in lines.items()),
        "paths": [_path(path, counts) for path, counts in sorted(paths.items())],
        "unknown": list(unknown),
    }


def _commit(commits: Commits, oid: str, counts: Counter[Line]) -> RangeCommit:
    match = commits.match(oid)
    closest = match.recorded[0] if match.recorded and not match.is_ambiguous else None
    made = [session for item in match.recorded if closest is not None for session in concerned_sessions(item)]
    return {
        "commit": commits.commit(oid),
        "match": describe_match(match),
        "entry": closest.log.ref(closest.entry.seq) if closest else None,
        "made_in_call": closest is not None and any(item.entry.call is not None for item in match.recorded),
        "sessions": list(dict.fromkeys([*made, *_sessions_of(counts)])),
        "lines": count_lines((line.by, count) for line, count in counts.items()),
    }


def _sessions_of(counts: Counter[Line]) -> list[str]:
    """Return the sessions whose calls wrote these lines: of a picked commit they are another commit's."""
    calls = {(line.log.name, line.call): line.log for line in counts if line.log is not None and line.call is not None}
    found = (log.entry(seq) for (_, seq), log in calls.items())
    return [entry.session for entry in found if entry is not None and entry.session is not None]


def _counted(match: Match, sessions: list[str]) -> list[Recorded]:
    """Return the records that an answer is made of: none of an ambiguous match, and of origins those whose lines are there."""
    if match.is_ambiguous:
        return []
    borne_out = [item for item in match.origins if set(concerned_sessions(item)) & set(sessions)]
    return [*match.recorded, *borne_out]


def _total(by_path: dict[bytes, Counter[Line]]) -> Counter[Line]:
    total: Counter[Line] = Counter()
    for counts in by_path.values():
        total.update(counts)
    return total


def _path(path: bytes, counts: Counter[Line]) -> RangePath:
    return {"path": format_path(path), "lines": count_lines((line.by, count) for line, count in counts.items())}


def _answers(recorded: list[Recorded], found: list[RangeCommit], unknown: Unknown) -> RangeTrace:
    windows = find_windows(recorded)
    asked = [item for window in windows for item in build_asked(window, unknown)]
    contradictions = Unknown()
    said = Unknown()  # what is unknown of single calls is for the trace of a commit
    ran = [item for window in windows for item in build_ran(window, said)]
    sessions: dict[str, RangeSession] = {}
    for window in windows:
        for session in window.sessions:
            mine = [entry for entry in window.entries if entry.session == session]
            prompts = [item for item in asked if item["session"] == session]
            sessions[session] = {
                "session": session,
                "log": window.log.name,
                "agent": next((item["agent"] for item in prompts if item["agent"]), None)
                or next((entry.actor["name"] for entry in mine if entry.actor["type"] == "agent" and "name" in entry.actor), None),
                "who": next((item["who"] for item in prompts if item["who"]["basis"] != "agent"), None),
                "prompts": len(prompts),
                "calls": sum(entry.kind == "tool.requested" for entry in mine),
                "commits": [one["commit"]["oid"] for one in found if session in one["sessions"]],
            }
    open_calls = sum(call["result_entry"] is None for call in ran)
    if open_calls:
        unknown.say(f"What became of {open_calls} calls was not recorded: they have no result.")
    return {
        "range": "",
        "verdict": "",
        "commits": found,
        "sessions": list(sessions.values()),
        "asked": asked,
        "ran": {
            "count": len(ran),
            "outcomes": dict(Counter(call["outcome"] for call in ran).most_common()),
            "tools": dict(Counter(call["tool"] or "?" for call in ran if not call["mcp_server"]).most_common()),
            "mcp_servers": dict(Counter(call["mcp_server"] for call in ran if call["mcp_server"]).most_common()),
        },
        "approvals": [item for window in windows for item in build_approvals(window, unknown, contradictions)],
        "network": [item for window in windows for item in build_network(window, unknown)],
        "boundary": [item for window in windows for item in build_boundary(window)],
        "lines": {},
        "paths": [],
        "contradictions": contradictions,
        "unknown": [],
    }
