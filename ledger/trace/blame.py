"""`build_blame`: of each line of a file, which commit it stems from, which call wrote it, and with which words (docs/blame.md).

Git says which commit; the ladder finds the commit in the logs; the record's ranges say which call. Neighbouring lines with the
same answer are one range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypedDict

from ledger.core.text import format_path
from ledger.repo.blame import BlamedLine, blame_file
from ledger.repo.gitdir import GitDir
from ledger.trace.answers import Unknown
from ledger.trace.attribution import Attribution, Line
from ledger.trace.calls import Cause, Causes
from ledger.trace.logs import Logs
from ledger.trace.match import describe_match
from ledger.trace.matching import Commits
from ledger.trace.model import Asked, Commit, MatchedBy

_BATCH = 500


class BlamedRange(TypedDict):
    """Lines in a row with one answer. `original` is their range in `commit`, whose name for the file is `path`.

    `by` is `agent`, `human` or `unknown`; `why` says in one word of ours what is not known.
    """

    range: list[int]
    commit: str
    path: str | dict[str, str]
    original: list[int]
    by: str
    link: str | None
    basis: str
    call: str | None
    candidates: list[str]
    why: str | None
    text: list[str | dict[str, str]]


class BlamedCommit(TypedDict):
    """A commit that lines stem from, how it was found, and the entry that recorded it."""

    commit: Commit
    match: MatchedBy
    entry: str | None


class Blame(TypedDict):
    """The whole answer. `counts` are numbers of lines."""

    path: str | dict[str, str]
    revision: str
    verdict: str
    counts: dict[str, int]
    lines: list[BlamedRange]
    commits: dict[str, BlamedCommit]
    calls: dict[str, Cause]
    prompts: dict[str, Asked]
    unknown: list[str]


class LineTrace(TypedDict):
    """One line, with the whole way from it to who asked; what does not apply is null."""

    path: str | dict[str, str]
    line: int
    text: str | dict[str, str]
    revision: str
    verdict: str
    by: str
    link: str | None
    basis: str
    commit: BlamedCommit
    original: int
    call: Cause | None
    asked: Asked | None
    candidates: list[str]
    unknown: list[str]


class _Judged(NamedTuple):
    blamed: BlamedLine
    line: Line


WHY = {
    "unrecorded": "no log here recorded the commit",
    "not-established": "the commit's record says that who wrote this is not known",
    "not-listed": "the commit's record lists lines, and not these",
    "no-lines": "the commit's record says nothing of lines, and ties the path to no call",
    "several-calls": "the commit's record says nothing of lines, and not one call alone left the path so",
    "ambiguous": "several recorded commits fit the commit equally well",
    "no-such-call": "the commit's record names a call that is none",
    "content-gone": "the commit was recorded under another id, and the content recorded then is not here to compare",
}


def build_blame(
    repo: GitDir, logs: Logs, revision: str, path: bytes, spans: Sequence[str] = (), verdict: str = "unchecked"
) -> Blame:
    """Return who wrote the lines of `path` at the commit `revision`. Raises RepoError where git has no such file or lines."""
    return build_blame_of(repo, logs, revision, path, blame_file(repo, revision, path, spans), verdict)


def build_blame_of(
    repo: GitDir, logs: Logs, revision: str, path: bytes, blamed: Sequence[BlamedLine], verdict: str = "unchecked"
) -> Blame:
    """Return who wrote these lines of `path`, which git has told the commits of."""
    unknown = Unknown()
    causes = Causes(unknown)
    commits = Commits(repo, logs)
    oids = list(dict.fromkeys(line.oid for line in blamed))
    for start in range(0, len(oids), _BATCH):
        commits.prepare(oids[start : start + _BATCH])
    for sentence in logs.missing:
        unknown.say(sentence)
    with Attribution(commits) as attribution:
        judged = [_Judged(line, attribution.line(line.oid, line.path, line.original)) for line in blamed]
    ranges = [build_range(group, causes) for group in _groups(judged)]
    say_why(((item.line.why, 1) for item in judged), unknown)
    if any(item.blamed.boundary and item.line.why == "not-listed" for item in judged):
        unknown.say("Lines of the oldest commit that is here may be older than it: git looked no further.")
    for log in {item.line.log.name: item.line.log for item in judged if item.line.log is not None}.values():
        for doubt in log.doubts:
            unknown.say(doubt)
    return {
        "path": format_path(path),
        "revision": revision,
        "verdict": verdict,
        "counts": count_lines((item.line.by, 1) for item in judged),
        "lines": ranges,
        "commits": {oid: build_commit(commits, oid) for oid in oids},
        "calls": causes.calls,
        "prompts": causes.prompts,
        "unknown": list(unknown),
    }


def build_line(repo: GitDir, logs: Logs, revision: str, path: bytes, number: int, verdict: str = "unchecked") -> LineTrace:
    """Return the way from one line to who asked for it. Raises NoLines where there is none."""
    blame = build_blame(repo, logs, revision, path, [f"{number},{number}"], verdict)
    (item,) = blame["lines"]
    cause = blame["calls"].get(item["call"] or "")
    return {
        "path": blame["path"],
        "line": number,
        "text": item["text"][0],
        "revision": revision,
        "verdict": verdict,
        "by": item["by"],
        "link": item["link"],
        "basis": item["basis"],
        "commit": blame["commits"][item["commit"]],
        "original": item["original"][0],
        "call": cause,
        "asked": blame["prompts"].get(cause["prompt"] or "") if cause else None,
        "candidates": item["candidates"],
        "unknown": blame["unknown"],
    }


def build_commit(commits: Commits, oid: str) -> BlamedCommit:
    """Return a commit with where the logs know it from."""
    match = commits.match(oid)
    closest = match.recorded[0] if match.recorded and not match.is_ambiguous else None
    return {
        "commit": commits.commit(oid),
        "match": describe_match(match),
        "entry": closest.log.ref(closest.entry.seq) if closest else None,
    }


def count_lines(found: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return how many lines are whose, of (by, count) pairs."""
    counts = {"agent": 0, "human": 0, "unknown": 0}
    for by, count in found:
        counts[by] += count
    return counts


def say_why(found: Iterable[tuple[str | None, int]], unknown: Unknown) -> None:
    """Say what is not known about how many lines, of (why, count) pairs."""
    counts: Counter[str] = Counter()
    for why, count in found:
        counts[why or ""] += count
    for why, reason in WHY.items():
        if counts[why]:
            unknown.say(f"{counts[why]:,} {'line' if counts[why] == 1 else 'lines'}: {reason}.")


def build_range(group: list[_Judged], causes: Causes) -> BlamedRange:
    """Return the answer for lines in a row that have the same one."""
    first, last = group[0], group[-1]
    line = first.line
    cause = None if line.log is None or line.call is None else causes.add(line.log, line.call)
    return {
        "range": [first.blamed.number, last.blamed.number],
        "commit": first.blamed.oid,
        "path": format_path(first.blamed.path),
        "original": [first.blamed.original, last.blamed.original],
        "by": line.by,
        "link": line.link,
        "basis": line.basis,
        "call": None if cause is None or line.log is None or line.call is None else line.log.ref(line.call),
        "candidates": [] if line.log is None else [line.log.ref(seq) for seq in line.candidates],
        "why": line.why,
        "text": [format_path(item.blamed.text) for item in group],  # as a path: text, or base64 of bytes that are none
    }


def _groups(judged: list[_Judged]) -> Iterator[list[_Judged]]:
    group: list[_Judged] = []
    for item in judged:
        if group and not _is_next(group[-1], item):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _is_next(one: _Judged, two: _Judged) -> bool:
    a, b = one.blamed, two.blamed
    return (a.number + 1, a.oid, a.original + 1, a.path) == (b.number, b.oid, b.original, b.path) and one.line == two.line
