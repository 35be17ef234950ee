"""`build_stats`: how much was asked, run, committed and written, by agent, by person, by path and over time.

The figures are counted in the indexes of the logs, which are derived and not checked against each record; who a session's person is
comes from its record. `ledger trace` and `ledger blame` answer for single commits and lines from the records themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from ledger.index.rows import parse_key
from ledger.index.tally import (
    Committed,
    Done,
    Span,
    Wrote,
    count_entries,
    count_left,
    count_lines,
    count_path_commits,
    list_commits,
)
from ledger.trace.answers import Unknown
from ledger.trace.logs import Log, Logs
from ledger.trace.model import Who
from ledger.trace.principals import principal_of

EVERY: dict[str, Callable[[str], str]] = {
    "day": lambda day: day,
    "month": lambda day: day[:7],
    "year": lambda day: day[:4],
}


class Figures(TypedDict):
    """What was counted. `commits` are those that a session made, or whose content its calls left; `lines` those of its calls."""

    sessions: int
    prompts: int
    calls: int
    failed: int
    denied: int
    commits: int
    lines: int


class AgentFigures(Figures):
    """One agent's; null is an agent that no entry names."""

    agent: str | None


class PersonFigures(Figures):
    """What one person asked for; null where it is not on record who asked."""

    who: Who | None


class PathFigures(TypedDict):
    """One path's commits, and lines by writer."""

    path: str | dict[str, str]
    commits: int
    lines: dict[str, int]


class PeriodFigures(TypedDict):
    """One day, month or year."""

    period: str
    sessions: int
    prompts: int
    calls: int
    commits: int
    lines: dict[str, int]


class Stats(TypedDict):
    """The whole answer."""

    since: str | None
    until: str | None
    every: str
    verdict: str
    logs: list[str]
    commits: dict[str, int]
    lines: dict[str, int]
    approvals: dict[str, int]
    network: dict[str, int]
    agents: list[AgentFigures]
    people: list[PersonFigures]
    paths: list[PathFigures]
    time: list[PeriodFigures]
    unknown: list[str]


class _Tally:
    """Figures of one agent, person or period while they are counted."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.commits: set[str] = set()
        self.lines: Counter[str] = Counter()

    def done(self, done: Done) -> None:
        if done.session is not None:
            self.sessions.add(done.session)
        if done.kind == "prompt.submitted":
            self.counts["prompts"] += done.number
        elif done.kind == "tool.requested":
            self.counts["calls"] += done.number
        elif done.kind == "tool.finished" and done.outcome in ("failed", "denied"):
            self.counts[done.outcome] += done.number

    def figures(self) -> Figures:
        return {
            "sessions": len(self.sessions),
            "prompts": self.counts["prompts"],
            "calls": self.counts["calls"],
            "failed": self.counts["failed"],
            "denied": self.counts["denied"],
            "commits": len(self.commits),
            "lines": self.lines["agent"],
        }


class _Counting:
    """All tallies of an answer."""

    def __init__(self, period: Callable[[str], str]) -> None:
        self.period = period
        self.agents: dict[str | None, _Tally] = {}
        self.people: dict[str, _Tally] = {}
        self.who: dict[str, Who | None] = {}
        self.times: dict[str, _Tally] = {}
        self.paths: dict[str, Counter[str]] = {}
        self.path_commits: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        self.decisions: dict[str, Counter[str]] = {"approval.decided": Counter(), "network.decided": Counter()}
        self.commits: Counter[str] = Counter()
        self.paths_left = 0

    def log(self, log: Log, span: Span) -> None:
        done = list(count_entries(log.index, span))
        agents: dict[str, str | None] = {}
        for item in done:
            if item.session is not None and item.agent is not None:
                agents.setdefault(item.session, item.agent)
        people = {session: self._person(log, session) for session in {item.session for item in done if item.session}}
        for item in done:
            self._done(item, agents, people)
        for commit in list_commits(log.index, span):
            self._committed(log, commit, agents, people)
        for wrote in count_lines(log.index, span):
            self._wrote(log, wrote, agents, people)
        self.path_commits.update(dict(count_path_commits(log.index, span)))
        self.paths_left += count_left(log.index, span)

    def _person(self, log: Log, session: str) -> str:
        who = principal_of(log, session)
        key = "" if who is None else f"{who['principal']}\n{who['name']}\n{who['basis']}"
        self.who.setdefault(key, who)
        return key

    def _done(self, item: Done, agents: dict[str, str | None], people: dict[str, str]) -> None:
        if item.kind in self.decisions:
            self.decisions[item.kind][item.decision or "unknown"] += item.number
        self._tally(self.times, self.period(item.day)).done(item)
        if item.session is None:
            return
        self._tally(self.agents, item.agent or agents.get(item.session)).done(item)
        self._tally(self.people, people[item.session]).done(item)

    def _committed(self, log: Log, commit: Committed, agents: dict[str, str | None], people: dict[str, str]) -> None:
        self._tally(self.times, self.period(commit.day)).commits.add(commit.oid)
        self.commits["recorded"] += 1
        self.commits["made_in_calls"] += commit.session is not None
        self.commits["without_lines"] += not commit.has_lines
        for session in dict.fromkeys([*([commit.session] if commit.session else []), *commit.linked]):
            self._tally(self.agents, agents.get(session)).commits.add(commit.oid)
            person = people.get(session) or self._person(log, session)
            self._tally(self.people, person).commits.add(commit.oid)

    def _wrote(self, log: Log, wrote: Wrote, agents: dict[str, str | None], people: dict[str, str]) -> None:
        self.lines[wrote.writer] += wrote.number
        self._tally(self.times, self.period(wrote.day)).lines[wrote.writer] += wrote.number
        self.paths.setdefault(wrote.path, Counter())[wrote.writer] += wrote.number
        if wrote.writer == "agent":
            session = wrote.session or ""
            self._tally(self.agents, wrote.agent or agents.get(session)).lines["agent"] += wrote.number
            person = people.get(session) or self._person(log, session)
            self._tally(self.people, person).lines["agent"] += wrote.number

    @staticmethod
    def _tally(tallies: dict[Any, _Tally], key: Any) -> _Tally:
        if key not in tallies:
            tallies[key] = _Tally()
        return tallies[key]


def build_stats(logs: Logs, span: Span, every: str = "month", verdict: str = "unchecked") -> Stats:
    """Return the figures of the logs here in `span`; `every` is a key of EVERY. Raises StoreError for damaged journals."""
    unknown = Unknown()
    counting = _Counting(EVERY[every])
    read = logs.related()
    counts = _shares(read, span)
    for log in read:
        counting.log(log, span._replace(elsewhere=frozenset(oid for oid, name in counts.items() if name != log.name)))
    for sentence in logs.missing:
        unknown.say(sentence)
    if counting.commits["without_lines"]:
        unknown.say(
            f"{counting.commits['without_lines']:,} of {counting.commits['recorded']:,} recorded commits list no lines: "
            "whose they are is not counted."
        )
    if counting.paths_left:
        paths = "path" if counting.paths_left == 1 else "paths"
        unknown.say(f"The lines of {counting.paths_left:,} {paths} are not counted: there was no time or room to follow them.")
    if "" in counting.people:
        unknown.say(f"Who asked in {len(counting.people[''].sessions):,} sessions is not on record, or not on this machine.")
    for log in read:
        for doubt in log.doubts:
            unknown.say(doubt)
    return {
        "since": span.since,
        "until": span.until,
        "every": every,
        "verdict": verdict,
        "logs": [log.name for log in read],
        "commits": {"recorded": counting.commits["recorded"], "made_in_calls": counting.commits["made_in_calls"]},
        "lines": _writers(counting.lines),
        "approvals": dict(counting.decisions["approval.decided"].most_common()),
        "network": dict(counting.decisions["network.decided"].most_common()),
        "agents": _ranked({"agent": name, **tally.figures()} for name, tally in counting.agents.items()),
        "people": _ranked({"who": counting.who[key], **tally.figures()} for key, tally in counting.people.items()),
        "paths": _paths(counting),
        "time": [
            {
                "period": period,
                "sessions": len(tally.sessions),
                "prompts": tally.counts["prompts"],
                "calls": tally.counts["calls"],
                "commits": len(tally.commits),
                "lines": _writers(tally.lines),
            }
            for period, tally in sorted(counting.times.items())
        ],
        "unknown": list(unknown),
    }


def _shares(logs: Iterable[Log], span: Span) -> dict[str, str]:
    """Return which log counts each commit that several have recorded: the one that knows most of it, else the first.

    A pull between clones of one person's is one: the second clone may record what the first has.
    """
    known: dict[str, dict[str, tuple[bool, bool]]] = {}
    for log in logs:
        for commit in list_commits(log.index, span):
            known.setdefault(commit.oid, {})[log.name] = (bool(commit.session or commit.linked), commit.has_lines)
    return {oid: max(found, key=lambda name: found[name]) for oid, found in known.items() if len(found) > 1}


def _ranked(found: Iterable[Any]) -> list[Any]:
    return sorted(found, key=lambda item: (-item["lines"], -item["calls"], -item["sessions"]))


def _paths(counting: _Counting) -> list[PathFigures]:
    found: list[PathFigures] = [
        {"path": parse_key(path), "commits": counting.path_commits[path], "lines": _writers(counting.paths.get(path, Counter()))}
        for path in {**counting.path_commits, **counting.paths}
    ]
    return sorted(found, key=lambda item: (-sum(item["lines"].values()), -item["commits"], str(item["path"])))


def _writers(counts: Counter[str]) -> dict[str, int]:
    return {writer: counts[writer] for writer in ("agent", "human", "unknown")}
