"""Whose each line is that a commit added: from the versions of its paths that were seen, and from when the rest was written.

What no version accounts for is a person's only where nobody else can have written it: the commit is an ordinary one, no call was
open that could write, and every earlier look was whole. In a call, it is that call's (`inferred`); else it is unknown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from ledger.core.linediff import split_text
from ledger.recording.calls import Call
from ledger.recording.effects import CLOCK_MS, in_doubt
from ledger.recording.origins import HERE, HUMAN, NEW, UNKNOWN, Origin, agents, carry, describe, less_sure
from ledger.recording.snapshots import Snapshots, Version
from ledger.repo.added import Ranges
from ledger.repo.commits import CommitFacts, PathChange
from ledger.repo.gitdir import GitDir
from ledger.repo.reflog import read_moves_near_end
from ledger.repo.snapshots import MAX_TEXT_BYTES, FileState
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
    made: str = ""  # `how_made`


class Left(NamedTuple):
    """What must be known of a commit to follow the rest of its lines afterwards: the `Rest`, and the id of its newest version."""

    rest: Rest
    newest: int


def note_left(journal: Journal, repo: GitDir, seq: int, oid: str, left: Left) -> None:
    """Note that lines of the commit `oid`, whose entry is `seq`, are still to be followed (ledger.recording.later does)."""
    # Which commit was amended is not known any more when the lines are followed.
    rest = json.dumps([left.rest.new, left.rest.here, left.rest.made and "commit"])
    journal.run("INSERT INTO unfollowed VALUES (?, ?, ?, ?, ?, 0)", (seq, oid, repo.git_dir, left.newest, rest))


def judge_rest(journal: Journal, repo: GitDir, call: Call | None, others: Sequence[Call], made: str) -> Rest:
    """Return whose what is left of a commit is, which `call` made, while `others` were open as well; `made` is `how_made`."""
    ordinary = made != ""
    sure = ordinary and not in_doubt(journal, repo)
    here = HUMAN if sure else UNKNOWN
    since = min((each.at_ms for each in (*others, *([call] if call else []))), default=None) if sure else None
    if call is not None and all(each.seq == call.seq for each in others):
        return Rest(agents(call.seq, "inferred") if ordinary else UNKNOWN, here, since, made)
    return Rest(HUMAN if sure and not others else UNKNOWN, here, since, made)


def how_made(journal: Journal, repo: GitDir, oid: str) -> str:
    """Return how a commit that is HEAD was made of the files that lay there, by the reflog: `commit`, or `amend` where the one
    before it was recorded; empty where it was made of other commits, or that is not known.
    """
    moves = read_moves_near_end(repo)
    made = next((move for move in reversed(moves) if move.new == oid and move.old != oid), None)
    if made is None:
        return ""
    if made.action == "commit (amend)":
        return "amend" if journal.one("SELECT 1 FROM commits WHERE oid = ?", (made.old,)) is not None else ""
    return "commit" if made.action in ("commit", "commit (initial)", "commit (merge)") else ""


def note_committed(snapshots: Snapshots, facts: CommitFacts) -> None:
    """Remember what a commit left at its paths, and that it lies in the work tree, where it does.

    What was there at one commit and is gone at the next is then known to have been gone, should it come back.
    """
    for change in facts.paths:
        snapshots.note_committed(change.path, change.blob)
        if snapshots.has_changed(change.path):
            state = snapshots.state(change.path)
            if state.blob == change.blob:
                snapshots.note(change.path, state)


def lines_of_commit(
    snapshots: Snapshots, facts: CommitFacts, added: dict[bytes, Ranges], rest: Rest, budget_s: float
) -> tuple[dict[bytes, list[dict[str, Any]]], int]:
    """Return the member `lines` of each path of a commit, and of how many paths it was not established for want of time or room.

    What was learned is kept. Texts are compared only within `budget_s`.
    """
    found: dict[bytes, list[dict[str, Any]]] = {}
    gone = _gone(facts)
    room, left = _MAX_IN_ALL, max(len(facts.paths) - _MAX_PATHS, 0)
    until = time.monotonic() + budget_s
    _fetch(snapshots, [change for change in facts.paths[:_MAX_PATHS] if added.get(change.path)])
    for change in facts.paths[:_MAX_PATHS]:
        ranges = added.get(change.path)
        if change.blob is None or ranges is None:
            continue
        lines = _lines_of_path(snapshots, change, ranges, gone, rest, until)
        if lines is None or len(lines) > min(_MAX_RANGES, room):
            left += 1
        elif ranges:
            found[change.path] = lines
            room -= len(lines)
    return found, left


def lines_left(
    snapshots: Snapshots,
    facts: CommitFacts,
    added: dict[bytes, Ranges],
    rest: Rest,
    told: Collection[bytes],
    start: int,
    budget_s: float,
) -> tuple[dict[bytes, list[dict[str, Any]]], int]:
    """Return the member `lines` of paths from the one at `start` on that are not `told`, and where to go on after `budget_s`.

    `snapshots` and `rest` are as they were at the commit; the work tree has gone on, and is not looked at.
    """
    found: dict[bytes, list[dict[str, Any]]] = {}
    lines: list[dict[str, Any]] | None
    gone = _gone(facts)
    room, until, tried = _MAX_IN_ALL, time.monotonic() + budget_s, False
    for at, change in enumerate(facts.paths[start:], start):
        ranges = added.get(change.path)
        if change.blob is None or not ranges or change.path in told or not _can_be_told(snapshots, change, gone, rest):
            continue
        if tried and time.monotonic() > until:
            return found, at
        tried = True  # each round gets at least one done
        known = snapshots.find(change.path, change.blob) if at < _MAX_PATHS else None
        if known is not None:  # the hook settled it, and had no room
            lines = _describe(ranges, known.origins(ranges[-1][1]))
        else:
            lines = _lines_of_path(snapshots, change, ranges, gone, rest, until + 3600)
        if lines is None or len(lines) > _MAX_RANGES:
            continue
        if len(lines) > room:
            return found, at
        found[change.path] = lines
        room -= len(lines)
    return found, len(facts.paths)


def _can_be_told(snapshots: Snapshots, change: PathChange, gone: list[bytes], rest: Rest) -> bool:
    """Say whether a path can be followed afterwards: of one that nobody saw, only the work tree knew when it came there."""
    if rest.new == rest.here == UNKNOWN or snapshots.newest(change.path, 1):
        return True
    return change.status == "A" and bool(_moved(snapshots, gone))


def _is_gone(snapshots: Snapshots, path: bytes, gone: list[bytes]) -> bool:
    return path in gone or (snapshots.repo.work_tree is not None and snapshots.state(path).blob is None)


def _gone(facts: CommitFacts) -> list[bytes]:
    return [change.path for change in facts.paths if change.blob is None]


def _lines_of_path(
    snapshots: Snapshots, change: PathChange, ranges: Ranges, gone: list[bytes], rest: Rest, until: float
) -> list[dict[str, Any]] | None:
    """Return the member `lines` of a path and keep what was learned of it; None where its text was not compared in time."""
    version, origins = _follow(snapshots, change, ranges[-1][1] if ranges else 0, gone, rest, until)
    if origins is None:
        return None
    settled = _doubt_again(snapshots, change, ranges, _settle(origins, ranges, rest), rest, until)
    _keep(snapshots, change, version, settled)
    return _describe(ranges, settled)


def _describe(ranges: Ranges, origins: list[Origin]) -> list[dict[str, Any]]:
    return describe(ranges, lambda number: origins[number - 1])


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
    version = snapshots.find(path, blob)
    if version is not None:
        origins = version.all_origins(count)
        came_back = rest.made and _came_back(snapshots, path, blob)
        return (version if version.own else None), list(map(less_sure, origins)) if came_back else origins
    older = snapshots.newest(path, 4 if rest.made else 16, anywhere=not rest.made)
    elsewhere = None if older else snapshots.find_anywhere(blob)
    # Of two files that read alike neither is the other, moved.
    if elsewhere is not None and (not rest.made or _is_gone(snapshots, elsewhere.path, gone)):
        return None, list(map(less_sure, elsewhere.all_origins(count)))
    moved = _moved(snapshots, gone) if not older and change.status == "A" else []
    older = older or moved
    seen = snapshots.seen(path)
    if not older and seen is not None and seen.blob is not None:
        return None, None  # it was looked at, and is nothing whose lines are followed
    if older and time.monotonic() > until:
        return None, None
    fresh = _of_unseen(snapshots, path, blob, rest, until)
    if not older or fresh is None:
        return None, None if fresh is None else [fresh] * count
    text = snapshots.text_in_git(blob)
    if text is None:
        return None, None
    traced = _trace(snapshots, path, blob, split_text(text), older, rest)
    if traced is not None:
        # If nobody wrote since the last look, what no version has a filter of git's made, or it never lay in the work tree.
        fresh = UNKNOWN if snapshots.is_as_seen(path) else fresh
        traced = [fresh if origin == NEW else origin for origin in traced]
    return None, list(map(less_sure, traced)) if moved and traced is not None else traced


def _of_unseen(snapshots: Snapshots, path: bytes, blob: str, rest: Rest, until: float) -> Origin | None:
    """Return whose the lines of a committed version are that none before it has, by when it came to lie there; None for no text.

    That a person wrote it wants evidence: no command ran when the file was written, and what was committed is what lies there.
    Where it is something else, the index was written apart from the file, which a command may have done since the last commit.
    """
    if rest.new == rest.here == UNKNOWN or snapshots.repo.work_tree is None:
        return NEW
    size, at_ms = snapshots.stat(path)
    if size > MAX_TEXT_BYTES:
        return None
    is_older = rest.since_ms is not None and at_ms < rest.since_ms - CLOCK_MS
    if snapshots.did_run(at_ms, at_ms):
        return UNKNOWN if is_older or rest.new == HUMAN else NEW
    wants_text = rest.since_ms is not None or (rest.new == HUMAN and snapshots.did_run_since_commit())
    if not wants_text:
        return NEW
    if time.monotonic() > until:
        return UNKNOWN
    is_there = snapshots.holds(path, blob)
    if is_there and is_older:
        return HERE
    return NEW if is_there or rest.new != HUMAN else UNKNOWN


def _came_back(snapshots: Snapshots, path: bytes, blob: str) -> bool:
    """Say whether a version that was here before has come back into the work tree since the last look, which saw another."""
    seen = snapshots.seen(path)
    return seen is not None and seen.blob != blob and not snapshots.is_as_seen(path) and snapshots.state(path).blob == blob


def _trace(
    snapshots: Snapshots, path: bytes, blob: str, lines: list[bytes], older: list[Version], rest: Rest
) -> list[Origin] | None:
    """Follow a text from the version that was seen last; what that has not, from older ones: parts may be staged, or come back.

    Where git made the commit of other commits, from the version that is most like it.
    """
    texts = [(version, text) for version in older if (text := snapshots.text_of(version)) is not None]
    if not texts:
        return None
    if not rest.made:
        ours = set(lines)
        texts.sort(key=lambda item: len(ours.intersection(split_text(item[1]))), reverse=True)  # of equals the first stays first
    version, text = texts[0]
    old = split_text(text)
    origins = version.origins(len(old))
    if rest.made and not snapshots.is_as_seen(path):
        # A part of what lies there now may be staged. Lines that are there twice cannot be told apart.
        state = snapshots.state(path)
        if state.text is not None and state.blob not in (blob, version.blob):
            now = split_text(state.text)
            old, origins = now, carry(old, origins, now, NEW)
    carried = carry(old, origins, lines, NEW)
    return snapshots.recall(path, lines, carried, old, without=version.blob, by_git=not rest.made)


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


def _doubt_again(
    snapshots: Snapshots, change: PathChange, ranges: Ranges, origins: list[Origin], rest: Rest, until: float
) -> list[Origin]:
    """Take `exact` from lines that a commit of the files that lay there adds once more.

    An earlier commit of the path had them, so they were gone meanwhile, and somebody may have typed them again. Those that the
    amended commit had were not gone.
    """
    added = [at for first, last in ranges for at in range(first - 1, last) if origins[at].by == 1 and origins[at].link == 0]
    if not rest.made or not added:
        return origins
    calls = {origins[at].call for at in added}
    last = snapshots.last_committed(change.path) if rest.made == "amend" else None
    kept: set[tuple[bytes, Origin]] = set()
    before: set[tuple[bytes, Origin]] = set()
    for version in snapshots.committed(change.path):
        if any(by == 1 and link == 0 and call in calls for _, by, call, link in version.runs):
            text = snapshots.text_in_git(version.blob) if time.monotonic() < until else None
            if text is None:
                return [less_sure(origin) for origin in origins]
            lines = split_text(text)
            pairs = zip(lines, version.origins(len(lines)), strict=True)
            (kept if version.blob == last else before).update(pair for pair in pairs if pair[1].call in calls)
    before -= kept
    text = snapshots.text_of_blob(change.path, change.blob) if before else None
    if not before:
        return origins
    lines = [] if text is None else split_text(text)
    doubted = list(origins)
    for at in added:
        if at >= len(lines) or (lines[at], origins[at]) in before:
            doubted[at] = less_sure(origins[at])
    return doubted


def _keep(snapshots: Snapshots, change: PathChange, version: Version | None, settled: list[Origin]) -> None:
    """Remember the committed version and drop its text, which git keeps."""
    blob = change.blob or ""
    if version is not None:
        snapshots.set_origins(version, settled)
        snapshots.forget_text(change.path, blob)
    else:
        snapshots.save(change.path, FileState(blob, 0, None, "", 0), settled, stored=True)
