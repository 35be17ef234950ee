"""The lower rungs of the ladder: recorded commits that are like one that was not recorded, in change, tree or files.

Each search returns every recorded commit that fits. What facts rule out is left out: a commit that was rewritten into another of
the candidates; and one that does not have the very tree, or is not named in the message, where another does or is. A commit that
this one descends from cannot have become it, so an equal tree or equal files mean no more than that it was gone back to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ledger.core.text import format_path, parse_path
from ledger.errors import FormatError
from ledger.index.rows import path_key
from ledger.repo.commits import CommitFacts, PathChange
from ledger.repo.compare import Comparer
from ledger.repo.git import run_git
from ledger.repo.ranges import list_commits
from ledger.trace.logs import Logs
from ledger.trace.recorded import Recorded, distinct, find_recorded, first_part, linked_paths

_MAX_HEADS = 48  # recorded commits whose ranges are looked at: git makes a diff of each
_MAX_PER_PATH = 40
_MAX_PATHS = 400
_MAX_STEPS = 1000
_MAX_NAMED = 100
EMPTY_BLOBS = frozenset(
    {"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"}
)


class Likeness(NamedTuple):
    """The recorded commits that fit, of which there is one unless the match is ambiguous; `others` count beside it."""

    candidates: list[Recorded]
    others: list[Recorded]
    notes: tuple[str, ...] = ()


_NOTHING = Likeness([], [])


def same_patch(compare: Comparer, logs: Logs, facts: CommitFacts) -> Likeness:
    """Find recorded commits that make the same change, apart from those that this one descends from: it made it once more."""
    found = _narrow(logs, not_before(compare, _equal_changes(logs, facts), facts), facts)
    return Likeness(found, _predecessors(logs, found))


def made_before(compare: Comparer, logs: Logs, facts: CommitFacts) -> list[Recorded]:
    """Return the recorded commits that made the same change, and that this one descends from: it may have brought theirs back."""
    found = _equal_changes(logs, facts)
    before = compare.ancestors(facts.oid, [item.oid for item in found]) if found else set()
    return drop_rewritten(logs, distinct(item for item in found if item.oid in before))


def _equal_changes(logs: Logs, facts: CommitFacts) -> list[Recorded]:
    return find_recorded(logs, "patch_id", facts.patch_id) if facts.patch_id else []


def same_range(compare: Comparer, logs: Logs, facts: CommitFacts) -> Likeness:
    """Find recorded commits H such that the change from the merge base with this commit's parent up to H is this commit's change.

    That is what a forge's squash merge makes of a branch. All recorded commits of the branch count, the last one first.
    """
    if not facts.patch_id or len(facts.parents) != 1:
        return _NOTHING
    heads = _tips_first(_of_paths(logs, facts))[:_MAX_HEADS]
    bases = compare.bases(facts.parents[0], [head.oid for head in heads])
    pairs = [(base, head) for head, base in bases.items()]
    wanted = frozenset(change.path for change in facts.paths)
    pairs = [pair for pair, paths in zip(pairs, compare.changed(pairs), strict=True) if paths == wanted]
    equal = {new for (_, new), patch_id in zip(pairs, compare.patch_ids(pairs), strict=True) if patch_id == facts.patch_id}
    found = _narrow(logs, [head for head in heads if head.oid in equal], facts)
    others = [] if len({item.oid for item in found}) != 1 else _of_range(compare, logs, bases[found[0].oid], found[0].oid)
    return Likeness(found, [*others, *_predecessors(logs, [*found, *others])])


def same_tree(compare: Comparer, logs: Logs, facts: CommitFacts) -> Likeness:
    """Find recorded commits that left the same tree, unless it is also the parent's."""
    found = find_recorded(logs, "tree", facts.tree)
    if not found or not _changes_tree(compare, facts):
        return _NOTHING
    found = _narrow(logs, not_before(compare, found, facts), facts)
    return Likeness(found, _predecessors(logs, found))


def same_blobs(compare: Comparer, logs: Logs, facts: CommitFacts) -> Likeness:
    """Find recorded commits that left this commit's files, at this commit's paths or (after a filter that moved them) at others.

    The one that left the most of them is the match, the others count beside it. Empty and removed files, and those
    of which only the mode changed, say nothing.
    """
    telling = [change for change in facts.paths if _is_telling(change)][:_MAX_PATHS]
    left: dict[bytes, list[Recorded]] = {}
    moved = 0
    for change in telling:
        fitting = [item for item in _of_blob(logs, change.blob or "") if _left_at(item, change.blob)]
        here = [item for item in fitting if path_key(format_path(change.path)) in _left_at(item, change.blob)]
        left[change.path] = here or fitting
        moved += bool(fitting and not here)
    later = set(_names(not_before(compare, distinct(item for items in left.values() for item in items), facts)))
    left = {path: [item for item in items if _name(item) in later] for path, items in left.items()}
    left = {path: drop_rewritten(logs, items) for path, items in left.items() if items}
    if not left:
        return _NOTHING
    counts: dict[tuple[str, int], int] = {}
    for items in left.values():
        for item in items:
            counts[_name(item)] = counts.get(_name(item), 0) + 1
    most = max(counts.values())
    everything = distinct(item for items in left.values() for item in items)
    best = _narrow(logs, [item for item in everything if counts[_name(item)] == most], facts)
    others = [item for item in everything if item not in best]
    elsewhere = f", {moved} of them at other paths" if moved else ""
    note = f"{len(left)} of the {len(facts.paths)} files of this commit are as recorded commits left them{elsewhere}."
    return Likeness(best, [*others, *_predecessors(logs, [*best, *others])], (note,))


def find_origins(compare: Comparer, logs: Logs, facts: CommitFacts, recorded: Recorded) -> list[Recorded]:
    """Return recorded commits, other than `recorded`, that its content may come from: for a copy that was itself recorded.

    Those that its message names (a pick, a squash), those that make the same change, and those that left its files. Of a revert,
    those that touched its paths before what it reverts. Content is to be held against theirs. Asked of every commit that a person
    made, so git is asked only where there are candidates.
    """
    facts = facts._replace(patch_id=str(recorded.entry.body.get("patch_id", "")), paths=tuple(_changes(recorded)))
    message = facts.message.decode("utf-8", "replace")
    named = [oid for oid in _named_oids(message) if oid != facts.oid]
    reverted = _reverted(message)
    found = [item for oid in named if oid not in reverted for item in find_recorded(logs, "oid", oid)[:1]]
    if reverted:
        touched = _of_paths(logs, facts)
        before = {old for oid in reverted for old in compare.ancestors(f"{oid}^", [item.oid for item in touched])}
        found += [item for item in touched if item.oid in before]
    if not found:  # whenever it was made: this commit is known, and is none of them
        found = [item for item in _narrow(logs, _equal_changes(logs, facts), facts) if item.oid != facts.oid]
    if not found:
        likeness = same_blobs(compare, logs, facts)
        found = [item for item in (*likeness.candidates, *likeness.others) if item.oid != facts.oid]
    return [item for item in distinct([*found, *_predecessors(logs, found)]) if item.oid != facts.oid]


def shares_content(recorded: Recorded, facts: CommitFacts) -> bool:
    """Say whether some of what `recorded` changed is in the commit of `facts`: its change, or a file as it left it.

    Files that are gone, empty, or of which only the mode changed are alike everywhere.
    """
    body = recorded.entry.body
    if facts.patch_id and body.get("patch_id") == facts.patch_id:
        return True
    blobs = {path_key(format_path(change.path)): change.blob for change in facts.paths if _is_telling(change)}
    return any(
        path_key(path.get("path")) in blobs and path.get("blob") == blobs[path_key(path.get("path"))]
        for path in linked_paths(recorded)
    )


def _is_telling(change: PathChange) -> bool:
    """Say whether a path's blob says something of the commit that left it."""
    return change.blob is not None and change.blob not in EMPTY_BLOBS and change.blob != change.before


def drop_rewritten(logs: Logs, found: list[Recorded]) -> list[Recorded]:
    """Return `found` without those that were rewritten into another of them: these are one commit and its older forms."""
    if len({item.oid for item in found}) < 2:
        return found
    older = {item.oid: _older_ids(logs, item.oid) for item in found}
    return [item for item in found if not any(item.oid in ids for oid, ids in older.items() if oid != item.oid)] or found


def _narrow(logs: Logs, found: list[Recorded], facts: CommitFacts) -> list[Recorded]:
    """Leave out what facts rule out; what remains fits equally well."""
    found = drop_rewritten(logs, distinct(found))
    message = facts.message.decode("utf-8", "replace")
    for fits in (lambda item: item.entry.body.get("tree") == facts.tree, lambda item: item.oid in message):
        if len({item.oid for item in found}) > 1:
            found = [item for item in found if fits(item)] or found
    return found


def not_before(compare: Comparer, found: list[Recorded], facts: CommitFacts) -> list[Recorded]:
    """Return those of `found` that the commit does not descend from."""
    before = compare.ancestors(facts.oid, [item.oid for item in found]) if found else set()
    return [item for item in found if item.oid not in before]


def _predecessors(logs: Logs, found: list[Recorded]) -> list[Recorded]:
    """Return the recorded commits that became those of `found`: a commit holds what all of them changed."""
    older = dict.fromkeys(oid for item in found[:_MAX_HEADS] for oid in _older_ids(logs, item.oid))
    return [item for oid in older for item in find_recorded(logs, "oid", oid)[:1]]


def _older_ids(logs: Logs, oid: str) -> dict[str, None]:
    """Return the ids of the commits that became `oid`, as the index has them; they only lead to records that are read."""
    seen: dict[str, None] = {}
    waiting = [oid]
    while waiting and len(seen) < _MAX_STEPS:
        new = waiting.pop()
        for log in logs.related():
            for old in log.index.old_commits(new):
                if old not in seen and old != oid:
                    seen[old] = None
                    waiting.append(old)
    return seen


def _of_paths(logs: Logs, facts: CommitFacts) -> list[Recorded]:
    """Return the recorded commits that touch one of the commit's paths, the newest first."""
    found = distinct(item for change in facts.paths[:_MAX_PATHS] for item in _of_path(logs, path_key(format_path(change.path))))
    return sorted(found, key=lambda item: item.entry.at, reverse=True)


def _of_path(logs: Logs, key: str) -> list[Recorded]:
    found = []
    for log in logs.related():
        for entry in log.entries(log.index.commits_of_path(key, _MAX_PER_PATH), "commit.recorded"):
            first = first_part(log, entry)
            if first is not None:
                found.append(Recorded(log, first))
    return distinct(found)


def _of_blob(logs: Logs, blob: str) -> list[Recorded]:
    found = []
    for log in logs.related():
        for entry in log.entries(log.index.commits_of_blob(blob, _MAX_PER_PATH), "commit.recorded"):
            first = first_part(log, entry)
            if first is not None:
                found.append(Recorded(log, first))
    return distinct(found)


def _left_at(item: Recorded, blob: str | None) -> set[str]:
    """Return the paths at which a recorded commit left a blob."""
    return {path_key(path.get("path")) for path in linked_paths(item) if path.get("blob") == blob}


def _changes(recorded: Recorded) -> Iterator[PathChange]:
    """Yield the paths of a record as git's own form of them; malformed ones are left out."""
    for path in linked_paths(recorded):
        blob = path.get("blob")
        try:
            yield PathChange(str(path.get("status")), parse_path(path.get("path")), blob if isinstance(blob, str) else None)
        except FormatError:
            continue


def _named_oids(message: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"\b(?:[0-9a-f]{64}|[0-9a-f]{40})\b", message)))[:_MAX_NAMED]


def _reverted(message: str) -> list[str]:
    return re.findall(r"This reverts commit ([0-9a-f]{40,64})", message)[:_MAX_NAMED]


def _of_range(compare: Comparer, logs: Logs, base: str, head: str) -> list[Recorded]:
    """Return the recorded commits between `base` and `head`, the last first, without `head`."""
    oids = [oid for oid in reversed(list_commits(compare.repo, [head, f"^{base}"])) if oid != head]
    return [item for oid in oids[:_MAX_STEPS] for item in find_recorded(logs, "oid", oid)[:1]]


def _tips_first(found: list[Recorded]) -> list[Recorded]:
    """Order commits so that those which no other of them has as a parent come first: a branch is squashed at its end."""
    parents = {parent for item in found for parent in _parents(item)}
    return sorted(found, key=lambda item: item.oid in parents)


def _parents(item: Recorded) -> list[str]:
    parents = item.entry.body.get("parents")
    return [parent for parent in parents if isinstance(parent, str)] if isinstance(parents, list) else []


def _name(item: Recorded) -> tuple[str, int]:
    return item.log.name, item.entry.seq


def _names(items: Iterable[Recorded]) -> list[tuple[str, int]]:
    return [_name(item) for item in items]


def _changes_tree(compare: Comparer, facts: CommitFacts) -> bool:
    """Say whether the commit's tree is its own: an empty commit has its parent's, which says nothing about it."""
    if not facts.parents:
        return True
    before = run_git(["rev-parse", "--verify", "--quiet", f"{facts.parents[0]}^{{tree}}"], cwd=compare.repo.git_dir, check=False)
    return before.decode("ascii", "replace").strip() != facts.tree
