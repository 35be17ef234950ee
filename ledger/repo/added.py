"""Which lines a commit added, from the patch that git makes of it.

For a merge, the lines that none of its parents has (the combined diff, git-diff-tree(1)): what came from a parent was written
elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.repo.commits import PathChange

Ranges = list[tuple[int, int]]


def read_added(patch: bytes, changes: Sequence[PathChange]) -> dict[bytes, Ranges] | None:
    """Return the ranges of added lines of each text among `changes`, 1-based and inclusive; None where the patch is of others.

    Paths are told by their order, which is that of the changes: in the patch they may be quoted.
    """
    files = _split(patch)
    # A path that became another kind of thing is two files in a patch: one goes, one comes.
    changed = [change for change in changes for _ in range(2 if change.status == "T" else 1)]
    if len(files) != len(changed):
        return None
    found: dict[bytes, Ranges] = {}
    for change, ranges in zip(changed, files, strict=True):
        if ranges is None or not change.is_file:
            found.pop(change.path, None)
        else:
            found[change.path] = ranges
    return found


def _split(patch: bytes) -> list[Ranges | None]:
    """Return the added ranges of each file of a patch, in its order; None for a file that is no text."""
    files: list[Ranges | None] = []
    ranges: Ranges | None = None
    at, parents, plus = 0, 1, b"+"
    for line in patch.split(b"\n"):
        if line.startswith(b"diff --"):
            ranges, at = [], 0
            files.append(ranges)
        elif line.startswith(b"@@"):
            words = line.split(b" ")
            parents = len(words[0]) - 1
            plus = b"+" * parents
            at = int(words[parents + 1].lstrip(b"+").partition(b",")[0])
        elif not at:
            if files and line.startswith(b"Binary files "):
                files[-1] = None
        elif line and line[:1] != b"\\":
            marks = line[:parents]
            if marks == plus and ranges is not None:
                _extend(ranges, at)
            if b"-" not in marks:
                at += 1
    return files


def _extend(ranges: Ranges, line: int) -> None:
    if ranges and ranges[-1][1] == line - 1:
        ranges[-1] = (ranges[-1][0], line)
    else:
        ranges.append((line, line))
