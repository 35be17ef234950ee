"""Where HEAD is and how it came there, read from git's own files: a hook looks on every event, and a child costs it 2 ms.

Reftable repositories keep neither in files; there git is asked (gitrepository-layout(5), git-reflog(1)).
"""

from __future__ import annotations

import os
from typing import NamedTuple

from ledger.errors import RepoError
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir

_MAX_REFLOG_BYTES = 1 << 20


class Move(NamedTuple):
    """One line of HEAD's reflog: commit ids (zeros for none) and the action, which is git's words up to the first colon."""

    old: str
    new: str
    action: str
    made_by_merge: bool


def read_head(repo: GitDir) -> str:
    """Return the commit id that HEAD names, or the empty string on an unborn branch."""
    text = _read(os.path.join(repo.git_dir, "HEAD"))
    if not text.startswith("ref: "):
        return text
    ref = text[5:]
    if ref == "refs/heads/.invalid":  # reftable
        return _ask_git(repo)
    for folder in (repo.git_dir, repo.common_dir):
        oid = _read(os.path.join(folder, ref))
        if oid:
            return oid if not oid.startswith("ref: ") else _ask_git(repo)
    return _read_packed(repo.common_dir, ref)


def reflog_size(repo: GitDir) -> int:
    """Return the size of HEAD's reflog in bytes, 0 where there is none."""
    try:
        return os.stat(os.path.join(repo.git_dir, "logs", "HEAD")).st_size
    except OSError:
        return 0


def read_moves(repo: GitDir, start: int) -> list[Move] | None:
    """Return HEAD's moves since byte `start` of its reflog, or None where that cannot be said (trimmed, too much, no reflog)."""
    try:
        with open(os.path.join(repo.git_dir, "logs", "HEAD"), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < start or size - start > _MAX_REFLOG_BYTES:
                return None
            if start:
                file.seek(start - 1)
                if file.read(1) != b"\n":
                    return None
            data = file.read()
    except OSError:
        return None
    moves = [_parse_move(line) for line in data.split(b"\n") if line]
    return None if None in moves else [move for move in moves if move is not None]


def is_rebasing(repo: GitDir) -> bool:
    """Say whether a rebase or `git am` is under way in this work tree."""
    return any(os.path.isdir(os.path.join(repo.git_dir, name)) for name in ("rebase-merge", "rebase-apply"))


def _parse_move(line: bytes) -> Move | None:
    head, _, message = line.partition(b"\t")
    ids = head.split(b" ", 2)
    if len(ids) < 3 or len(ids[0]) not in (40, 64) or len(ids[1]) != len(ids[0]):
        return None
    said = message.decode("utf-8", "replace")
    return Move(ids[0].decode("ascii", "replace"), ids[1].decode("ascii", "replace"), said.partition(":")[0], "Merge made" in said)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(4096).decode("utf-8", "surrogateescape").strip()
    except OSError:
        return ""


def _read_packed(common_dir: str, ref: str) -> str:
    try:
        with open(os.path.join(common_dir, "packed-refs"), "rb") as file:
            data = file.read()
    except OSError:
        return ""
    at = data.find(b" " + ref.encode("utf-8", "surrogateescape") + b"\n")
    if at < 0:
        return ""
    return data[data.rfind(b"\n", 0, at) + 1 : at].decode("ascii", "replace")


def _ask_git(repo: GitDir) -> str:
    try:
        return run_git(["rev-parse", "--verify", "-q", "HEAD"], cwd=repo.git_dir).decode().strip()
    except RepoError:
        return ""
