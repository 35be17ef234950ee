"""Whose each line is that a commit added: from the versions of its paths that were seen, and from when the rest was written.

What no version accounts for is a person's only where nobody else can have written it: the commit is an ordinary one, no call was
open that could write, and every earlier look was whole. In a call, it is that call's (`inferred`); else it is unknown.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from ledger.core.linediff import split_text
from ledger.recording.calls import Call
from ledger.recording.effects import CLOCK_MS, in_doubt
from ledger.recording.origins import HERE, HUMAN, NEW, UNKNOWN, Origin, agents, carry, describe
from ledger.recording.snapshots import Snapshots, Version
from ledger.repo.added import Ranges
from ledger.repo.commits import CommitFacts, PathChange
from ledger.repo.gitdir import GitDir
from ledger.repo.reflog import read_moves_near_end
from ledger.repo.snapshots import FileState
from ledger.store.journal import Journal

LINES_MS = 80  # of comparing texts at a commit
_MAX_RANGES = 500  # of one path
_MAX_IN_ALL = 4000  # of one entry
_MAX_PATHS = 2000
_MAX_TEXTS = 400  # asked of git at once


class Rest(NamedTuple):
    """Whose the lines are that no version accounts for: those that are new, and those that were there at the first look."""

    new: Origin
    here: Origin
    since_ms: int | None = None  # nobody but a person wrote before: when the first call began that was open


def judge_rest(journal: Journal, repo: GitDir, call: Call | None, others: Sequence[Call], *, ordinary: bool) -> Rest:
    """Return whose what is left of a commit is, which `call` made, while `others` were open as well."""
    sure = ordinary and not in_doubt(journal, repo)
    here = HUMAN if sure else UNKNOWN
    since = min((each.at_ms for each in (*others, *([call] if call else []))), default=None) if sure else None
    if call is not None and all(each.seq == call.seq for each in others):
        return Rest(agents(call.seq, "inferred") if ordinary else UNKNOWN, here, since)
    return Rest(HUMAN if sure and not others else UNKNOWN, here, since)


def is_ordinary(journal: Journal, repo: GitDir, oid: str) -> bool:
    """Say whether a commit that is HEAD was made by `git commit`, by the reflog: of the files that lay there, not of other commits.

    An amended commit is ordinary if the one before it was recorded.
    """
    moves = read_moves_near_end(repo)
    made = next((move for move in reversed(moves) if move.new == oid and move.old != oid), None)
    if made is None:
        return False
    if made.action == "commit (amend)":
        return journal.one("SELECT 1 FROM commits WHERE oid = ?", (made.old,)) is not None
    return made.action in ("commit", "commit (initial)", "commit (merge)")


def lines_of_commit(
    snapshots: Snapshots, facts: CommitFacts, added: dict[bytes, Ranges], rest: Rest, budget_s: float
) -> tuple[dict[bytes, list[dict[str, Any]]], int]:
    """Return the member `lines` of each path of a commit, and of how many paths it was not established for want of time or room.

    What was learned is kept. Texts are compared only within `budget_s`.
    """
    found: dict[bytes, list[dict[str, Any]]] = {}
    gone = [change.path for change in facts.paths if change.blob is None]
    room, left = _MAX_IN_ALL, max(len(facts.paths) - _MAX_PATHS, 0)
    until = time.monotonic() + budget_s
    _fetch(snapshots, [change for change in facts.paths[:_MAX_PATHS] if added.get(change.path)])
    for change in facts.paths[:_MAX_PATHS]:
        ranges = added.get(change.path)
        if change.blob is None or ranges is None:
            continue
        count = ranges[-1][1] if ranges else 0
        version, origins = _follow(snapshots, change, count, gone, rest, until)
        if origins is None:
            left += 1
            continue
        settled = _settle(origins, ranges, rest)
        _keep(snapshots, change, version, settled)
        lines = describe(ranges, lambda number, settled=settled: settled[number - 1])  # type: ignore[misc]
        if ranges and len(lines) <= min(_MAX_RANGES, room):
            found[change.path] = lines
            room -= len(lines)
        elif ranges:
            left += 1
    return found, left


def _fetch(snapshots: Snapshots, changes: list[PathChange]) -> None:
    """Get the texts that will be compared: from the work tree where it still has them, the others from git in one go."""
    wanted = []
    for change in changes:
        if change.blob is None or snapshots.find(change.path, change.blob) is not None:
            continue
        versions = snapshots.newest(change.path, 1)
        if not versions and change.status != "A":
            continue
        state = snapshots.state(change.path)
        if state.blob == change.blob:
            snapshots.add_text(change.blob, state.text)
        elif versions:
            wanted.append(change.blob)
        wanted += [version.blob for version in versions if version.text is None]
    snapshots.fetch(wanted[:_MAX_TEXTS])


def _follow(
    snapshots: Snapshots, change: PathChange, count: int, gone: list[bytes], rest: Rest, until: float
) -> tuple[Version | None, list[Origin] | None]:
    """Return the version of a committed path, if it was seen, and the origins of its lines, at least `count` of them; or None."""
    path, blob = change.path, change.blob or ""
    version = snapshots.find(path, blob) or snapshots.find_anywhere(blob)
    if version is not None:
        return (version if version.path == path else None), version.origins(max(count, sum(run[0] for run in version.runs)))
    older = snapshots.newest(path, 4) or (_moved(snapshots, gone) if change.status == "A" else [])
    if not older:
        return None, [HERE if _is_older(snapshots, path, blob, rest.since_ms) else NEW] * count
    if time.monotonic() > until:
        return None, None
    text = snapshots.text_in_git(blob)
    if text is None:
        return None, None
    return None, _trace(snapshots, path, split_text(text), older)


def _is_older(snapshots: Snapshots, path: bytes, blob: str, since_ms: int | None) -> bool:
    """Say whether the committed version lay in the work tree before `since_ms`, untouched since."""
    if since_ms is None:
        return False
    state = snapshots.state(path)
    return state.blob == blob and state.at_ms < since_ms - CLOCK_MS


def _trace(snapshots: Snapshots, path: bytes, lines: list[bytes], older: list[Version]) -> list[Origin] | None:
    """Follow a text from the version that was seen last; what that has not, from older ones: parts may be staged, or come back."""
    for version in older:
        text = snapshots.text_of(version)
        if text is not None:
            old = split_text(text)
            origins = carry(old, version.origins(len(old)), lines, NEW)
            return snapshots.recall(path, lines, origins, old, without=version.blob)
    return None


def _moved(snapshots: Snapshots, gone: list[bytes]) -> list[Version]:
    """Return versions of the paths that the same commit removed: a file may have been moved and edited."""
    return [version for path in gone[:8] for version in snapshots.newest(path, 1)]


def _settle(origins: list[Origin], ranges: Ranges, rest: Rest) -> list[Origin]:
    """Decide what the versions left open; what the commit did not add stays as it was."""
    settled = [HERE if origin == NEW else origin for origin in origins]
    for first, last in ranges:
        for at in range(first - 1, min(last, len(settled))):
            settled[at] = rest.new if origins[at] == NEW else rest.here if origins[at] == HERE else origins[at]
    count = ranges[-1][1] if ranges else 0
    return settled + [UNKNOWN] * (count - len(settled))


def _keep(snapshots: Snapshots, change: PathChange, version: Version | None, settled: list[Origin]) -> None:
    """Remember the committed version and drop its text, which git keeps."""
    blob = change.blob or ""
    if version is not None:
        snapshots.set_origins(version, settled)
        snapshots.forget_text(change.path, blob)
    else:
        snapshots.save(change.path, FileState(blob, 0, None, "", 0), settled, stored=True)
