"""Which lines a commit added: git's own diff against its parents, of which only the heads of hunks are read.

For a merge, the lines that none of its parents has (the combined diff, git-diff-tree(1)): what came from a parent was written
elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.errors import RepoError
from ledger.repo.commits import PathChange
from ledger.repo.git import PATIENCE_S, Child, start_git
from ledger.repo.gitdir import GitDir

MAX_PATCH_BYTES = 4 << 20
_PATCH = (
    *("diff-tree", "-r", "--root", "--no-commit-id", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color"),
    *("-c", "-p", "-U0", "--inter-hunk-context=0", "--no-indent-heuristic", "--diff-algorithm=myers"),
)
Ranges = list[tuple[int, int]]


def ask_added(repo: GitDir, oid: str) -> Child:
    """Start asking git for the patch of a commit."""
    return start_git([*_PATCH, oid], cwd=repo.git_dir)


def read_added(asked: Child, changes: Sequence[PathChange]) -> dict[bytes, Ranges] | None:
    """Return the ranges of added lines of each text among `changes`, 1-based and inclusive; None where git does not say.

    Paths are told by their order, which is that of the changes: in the patch they may be quoted.
    """
    try:
        patch = asked.finish(check=False, patience_s=PATIENCE_S, limit=MAX_PATCH_BYTES)
    except RepoError:
        return None
    if asked.code != 0 or len(patch) > MAX_PATCH_BYTES:
        return None
    files = _split(patch)
    # A path that became another kind of thing is two files in a patch: one goes, one comes.
    paths = [change.path for change in changes for _ in range(2 if change.status == "T" else 1)]
    if len(files) != len(paths):
        return None
    found: dict[bytes, Ranges] = {}
    for path, ranges in zip(paths, files, strict=True):
        if ranges is None:
            found.pop(path, None)
        else:
            found[path] = ranges
    return found


def _split(patch: bytes) -> list[Ranges | None]:
    """Return the added ranges of each file of a patch, in its order; None for a file that is no text."""
    files: list[Ranges | None] = []
    at, parents = 0, 1
    for line in patch.split(b"\n"):
        if line.startswith((b"diff --git ", b"diff --cc ", b"diff --combined ")):
            files.append([])
            at = 0
        elif line.startswith(b"@@") and files:
            words = line.split(b" ")
            parents = len(words[0]) - 1
            first, length = _numbers(words[parents + 1])
            at = first
            ranges = files[-1]
            if parents == 1 and length and ranges is not None:
                ranges.append((first, first + length - 1))
        elif line.startswith(b"Binary files ") and files:
            files[-1] = None
        elif parents > 1 and at and line and not line.startswith(b"\\"):
            marks = line[:parents]
            if b"-" not in marks:
                ranges = files[-1]
                if marks == b"+" * parents and ranges is not None:
                    _extend(ranges, at)
                at += 1
    return files


def _extend(ranges: Ranges, line: int) -> None:
    if ranges and ranges[-1][1] == line - 1:
        ranges[-1] = (ranges[-1][0], line)
    else:
        ranges.append((line, line))


def _numbers(word: bytes) -> tuple[int, int]:
    """Return first line and length of `+12,3`."""
    first, comma, length = word.lstrip(b"+").partition(b",")
    return int(first), int(length) if comma else 1
