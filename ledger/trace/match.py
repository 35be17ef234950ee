"""The ladder: how a commit is found in the logs, from its very id down to its tree. The rung that held is part of the answer.

    exact        a commit.recorded names this id
    rewrite-map  a commit.rewritten says that a recorded commit became this one
    trailer      a `Ledger-Entry` line in the message names an entry here, and a commit.recorded after it bears that line
    patch-id     a recorded commit makes the same change
    tree         a recorded commit left the same tree

Below the first two, somebody may have arranged the likeness (anyone can copy a trailer), so the answer says what it rests on. Where
commits were rewritten, each recorded predecessor counts: the commit holds what all of them changed.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.core.entry import Entry
from ledger.core.trailer import Head, find_trailers, format_head
from ledger.repo.commits import CommitFacts
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir
from ledger.trace.logs import Log, Logs

_MAX_REWRITES = 10_000


class Recorded(NamedTuple):
    """One `commit.recorded` that counts: its log, and its entry (the first part, where it goes on over several)."""

    log: Log
    entry: Entry

    @property
    def oid(self) -> str:
        """The id under which the commit was recorded."""
        return str(self.entry.body.get("oid"))


class Match(NamedTuple):
    """The rung that held, the recorded commits with the closest first, and what a reader must know about it."""

    rung: str
    recorded: tuple[Recorded, ...]
    notes: tuple[str, ...]


def match_commit(repo: GitDir, logs: Logs, facts: CommitFacts) -> Match:
    """Find the commit of `facts` in `logs`."""
    notes: list[str] = []
    exact = _by(logs, "oid", facts.oid)
    older = _rewritten(logs, facts.oid)
    if exact:
        closest = _choose(exact, facts, "This commit was recorded more than once", notes)
        return Match("exact", (closest, *older), tuple(notes))
    if older:
        return Match("rewrite-map", tuple(older), ("The commit itself was not recorded; those it was rewritten from were.",))
    borne = _by_trailer(logs, facts, notes)
    if borne:
        notes.append("The match rests on a Ledger-Entry line in the message, which anybody can copy.")
        return Match("trailer", tuple(borne), tuple(notes))
    alike = _by(logs, "patch_id", facts.patch_id) if facts.patch_id else []
    if alike:
        closest = _choose(alike, facts, "More than one recorded commit makes this change", notes)
        notes.append(f"The match rests on equal changes: {closest.oid} was recorded, this commit was not.")
        return Match("patch-id", (closest, *_rewritten(logs, closest.oid)), tuple(notes))
    same = _by(logs, "tree", facts.tree) if _changes_tree(repo, facts) else []
    if same:
        closest = _choose(same, facts, "More than one recorded commit left this tree", notes)
        notes.append(f"The match rests on equal trees: {closest.oid} was recorded, this commit was not.")
        return Match("tree", (closest, *_rewritten(logs, closest.oid)), tuple(notes))
    notes.append("No log on this machine recorded this commit.")
    return Match("none", (), tuple(notes))


def commit_parts(recorded: Recorded) -> list[Entry]:
    """Return the entry and, where the commit goes on over several (`body.part`), those that follow."""
    part = recorded.entry.body.get("part")
    if not (isinstance(part, list) and len(part) == 2 and isinstance(part[1], int)):
        return [recorded.entry]
    log, oid = recorded.log, recorded.oid
    last = recorded.entry.seq + part[1]
    return [entry for entry in log.entries(log.index.commits("oid", oid)) if recorded.entry.seq <= entry.seq < last]


def _by(logs: Logs, column: str, value: str) -> list[Recorded]:
    """Return the recorded commits whose `column` is `value`, those of this clone's log first; re-read, not from the index."""
    found = []
    for log in logs.related():
        for entry in log.entries(log.index.commits(column, value), "commit.recorded"):
            if entry.body.get(column) == value and _is_first_part(entry):
                found.append(Recorded(log, entry))
    return found


def _is_first_part(entry: Entry) -> bool:
    part = entry.body.get("part")
    return not isinstance(part, list) or part[:1] == [1]


def _choose(found: list[Recorded], facts: CommitFacts, what: str, notes: list[str]) -> Recorded:
    """Return the best of several: the same change, then made in a session, then this clone's log, then the newest."""
    ranked = sorted(
        enumerate(found),
        key=lambda item: (
            item[1].entry.body.get("patch_id") != facts.patch_id,
            item[1].entry.session is None,
            item[1].log is not found[0].log,
            -item[1].entry.seq,
        ),
    )
    best = ranked[0][1]
    if len(found) > 1:
        others = ", ".join(item.log.ref(item.entry.seq) for _, item in ranked[1:6])
        notes.append(f"{what}, so the match is ambiguous: {best.log.ref(best.entry.seq)} is shown; also {others}.")
    return best


def _rewritten(logs: Logs, oid: str) -> list[Recorded]:
    """Return the recorded commits that became `oid`, by whatever number of rewrites, the latest first."""
    seen, waiting, found = {oid}, [oid], []
    while waiting and len(seen) < _MAX_REWRITES:
        new = waiting.pop(0)
        for log in logs.related():
            for old in log.index.old_commits(new):
                if old in seen:
                    continue
                seen.add(old)
                waiting.append(old)
                found.extend(_by(logs, "oid", old)[:1])
    return found


def _by_trailer(logs: Logs, facts: CommitFacts, notes: list[str]) -> list[Recorded]:
    found: list[Recorded] = []
    for line, head in dict(find_trailers(facts.message.decode("utf-8", "replace"))).items():
        if head is None:
            continue
        log = logs.named(head.log)
        if log is None:
            notes.append(f"A line of its message names the log {head.log}, which is not on this machine.")
        elif not log.has(head):
            notes.append(f"A line of its message names {log.ref(head.seq)} with a hash that is not that entry's.")
        else:
            found.extend(_bearing(log, line, head, facts, notes))
    return _distinct(found)


def _bearing(log: Log, line: str, head: Head, facts: CommitFacts, notes: list[str]) -> list[Recorded]:
    """Return the commit that was recorded after `head` with this very line: the line itself only says where the log was."""
    later = log.index.of_kind("commit.recorded", after=head.seq)
    bearing = [Recorded(log, entry) for entry in log.entries(later) if line in _lines(entry) and _is_first_part(entry)]
    if not bearing:
        notes.append(f"A line of its message says the log was at {format_head(head)[:49]}…; no commit recorded since bears it.")
        return []
    return [_choose(bearing, facts, "More than one recorded commit bears the line", notes)]


def _lines(entry: Entry) -> list[str]:
    trailers = entry.body.get("trailers")
    if not isinstance(trailers, list):
        return []
    return [item["line"] for item in trailers if isinstance(item, dict) and isinstance(item.get("line"), str)]


def _distinct(found: list[Recorded]) -> list[Recorded]:
    seen: dict[tuple[str, int], Recorded] = {}
    for item in found:
        seen.setdefault((item.log.name, item.entry.seq), item)
    return list(seen.values())


def _changes_tree(repo: GitDir, facts: CommitFacts) -> bool:
    """Say whether the commit's tree is its own: an empty commit has its parent's, which says nothing about it."""
    if not facts.parents:
        return True
    before = run_git(["rev-parse", "--verify", "--quiet", f"{facts.parents[0]}^{{tree}}"], cwd=repo.git_dir, check=False)
    return before.decode("ascii", "replace").strip() != facts.tree
