"""What a commit changed, and which calls left it so: `changed` of an answer (docs/trace.md).

Git says which paths. The link of a path is what the records say of it: the commit's own, and those of the commits that became it;
where none of them knows better, a recorded commit that left the same blob at another time, as a guess. Its lines are attributed as
`ledger blame` does: the ranges that the commit's own record lists, else the lines that git says were added.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ledger.core.text import format_path, parse_path
from ledger.errors import FormatError
from ledger.index.rows import path_key
from ledger.repo.commits import CommitFacts, PathChange
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir
from ledger.repo.manycommits import Added
from ledger.trace.answers import Unknown
from ledger.trace.attribution import Attribution, Line
from ledger.trace.likeness import EMPTY_BLOBS
from ledger.trace.logs import Log
from ledger.trace.match import Match
from ledger.trace.model import Changed, LinkedLines
from ledger.trace.recorded import Recorded, linked_paths

_LINKS = ("none", "inferred", "partial", "exact")


def build_changed(attribution: Attribution, facts: CommitFacts, unknown: Unknown) -> list[Changed]:
    """Return the commit's paths as git has them, each with what its records say of it.

    In a shallow clone git takes a commit at the border for one that adds every file; then the record's own list is shown, if any.
    """
    commits = attribution.commits
    match = commits.match(facts.oid)
    paths, counts = list(facts.paths), _count_lines(commits.repo, facts)
    if commits.is_border(facts.oid):
        paths, counts = [], {}
        if match.rung in ("exact", "rewrite-map"):
            paths = [_recorded_change(path) for item in match.recorded[:1] for path in linked_paths(item)]
            unknown.say("The history is shallow here and ends at this commit, so what it changed is as its record says.")
        else:
            unknown.say("What this commit changed is not shown: git has no parent of it here to compare it with.")
    links, lines = _Links(match), _Lines(attribution, facts.oid)
    changed: list[Changed] = []
    for change in paths:
        added, deleted = counts.get(change.path, (None, None))
        link, calls = links.of(change)
        wrote = lines.of(change)
        if not links.is_told(change):  # the record ties the path to no call, but its lines: a squash or a rename by a person
            calls = list(dict.fromkeys([*(name for _, line in wrote if (name := _result_of(line)) is not None), *calls]))
        changed.append(
            {
                "path": format_path(change.path),
                "status": change.status,
                "added": added,
                "deleted": deleted,
                "link": "inferred" if link == "none" and wrote else link,
                "calls": calls,
                "lines": [part for part, _ in wrote],
            }
        )
    return changed


class _Links:
    """What the recorded commits say of whole paths. A link holds only for the blob that it was made for."""

    def __init__(self, match: Match) -> None:
        self.match = match
        self.recorded = _by_path(match.recorded)
        self.origins = _by_path(match.origins)

    def of(self, change: PathChange) -> tuple[str, list[str]]:
        """Return link and calls of one path."""
        key = path_key(format_path(change.path))
        told = self.recorded.get(key, [])
        best = max((self._link(path, change) for _, path in told), key=_LINKS.index, default="none")
        if not told and change.blob is not None and change.blob not in EMPTY_BLOBS and self.match.rung != "exact":
            # A filter that moves files keeps what is in them: what a call left at another path is here by inference.
            told = [item for items in self.recorded.values() for item in items if item[1].get("blob") == change.blob]
            best = "inferred" if any(self._link(path, change) != "none" for _, path in told) else "none"
        calls = _results(told)
        if not calls:
            # Where content comes from says something of a path only where it is equal, and where nothing better is known; a path
            # whose content the commit did not change (another mode) took it from its parent.
            equal = [item for item in self.origins.get(key, []) if _is_equal(item[1], change)]
            calls = _results(equal)
            best = "inferred" if calls and best == "none" else best
        return best, calls

    def is_told(self, change: PathChange) -> bool:
        """Say whether the commit's own records tie the path to calls."""
        return any(_seqs(path.get("calls")) for _, path in self.recorded.get(path_key(format_path(change.path)), []))

    def _link(self, path: dict[str, Any], change: PathChange) -> str:
        said = path.get("link")
        link = said if isinstance(said, str) and said in _LINKS else "none"
        if path.get("blob") != change.blob and link == "exact":
            link = "partial"  # the call left something else than what is in this commit
        if self.match.confidence in ("ambiguous", "weak") and link in ("exact", "partial"):
            link = "inferred"  # that this commit is that one is itself a guess
        return link


def _by_path(recorded: Iterable[Recorded]) -> dict[str, list[tuple[Log, dict[str, Any]]]]:
    found: dict[str, list[tuple[Log, dict[str, Any]]]] = {}
    for item in recorded:
        for path in linked_paths(item):
            found.setdefault(path_key(path.get("path")), []).append((item.log, path))
    return found


def _results(items: Iterable[tuple[Log, dict[str, Any]]]) -> list[str]:
    return list(dict.fromkeys(log.ref(seq) for log, path in items for seq in _seqs(path.get("calls"))))


def _is_equal(path: dict[str, Any], change: PathChange) -> bool:
    return change.blob is not None and path.get("blob") == change.blob != change.before


class _Lines:
    """The lines of one commit that calls wrote. What git added is asked once, and only where the commit's own record lists none."""

    def __init__(self, attribution: Attribution, oid: str) -> None:
        self.attribution = attribution
        self.oid = oid
        self._added: list[Added] | None = None

    def of(self, change: PathChange) -> list[tuple[LinkedLines, Line]]:
        """Return the ranges of one path with the call that wrote each."""
        found: list[tuple[LinkedLines, Line]] = []
        if change.blob is None or not self.attribution.has_lines(self.oid, change.path):
            return found
        own = self.attribution.own_spans(self.oid, change.path)
        spans = self._spans(change.path) if own is None else own
        for first, last, line in self.attribution.ranges(self.oid, change.path, spans):
            if line.by == "agent" and line.basis == "lines" and line.log is not None and line.call is not None:
                found.append(({"range": [first, last], "call": line.log.ref(line.call)}, line))
        return found

    def _spans(self, path: bytes) -> list[tuple[int, int]]:
        if self._added is None:
            self._added = self.attribution.added([self.oid]).get(self.oid, [])
        return [(part.first, part.last) for part in self._added if part.path == path]


def _result_of(line: Line) -> str | None:
    """Return the result of the call that wrote a line, or None where it is not on record."""
    if line.log is None or line.call is None:
        return None
    found = line.log.entries(line.log.index.answers(line.call), "tool.finished")
    return next((line.log.ref(entry.seq) for entry in found), None)


def _seqs(value: Any) -> list[int]:
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, int) and not isinstance(item, bool) and item >= 0]


def _recorded_change(path: dict[str, Any]) -> PathChange:
    blob = path.get("blob")
    try:
        name = parse_path(path.get("path"))
    except FormatError:
        name = b"?"
    return PathChange(str(path.get("status")), name, blob if isinstance(blob, str) else None)


def _count_lines(repo: GitDir, facts: CommitFacts) -> dict[bytes, tuple[int | None, int | None]]:
    """Return (added, deleted) by path against the first parent, from `--numstat -z`: `added TAB deleted TAB path NUL`."""
    args = ["diff-tree", "-r", "--root", "--no-commit-id", "--no-renames", "--no-ext-diff", "--no-textconv", "--numstat", "-z"]
    names = [facts.parents[0], facts.oid] if len(facts.parents) > 1 else [facts.oid]
    counts: dict[bytes, tuple[int | None, int | None]] = {}
    for field in run_git([*args, *names], cwd=repo.git_dir, check=False).split(b"\0"):
        added, _, rest = field.partition(b"\t")
        deleted, tab, path = rest.partition(b"\t")
        if tab:
            counts[path] = (int(added) if added.isdigit() else None, int(deleted) if deleted.isdigit() else None)
    return counts
