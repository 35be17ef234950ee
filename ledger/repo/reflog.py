"""How HEAD came where it is: its reflog (git-reflog(1)), which whoever can write the repository can write too."""

from __future__ import annotations

import os
from typing import NamedTuple

from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir, read_plain
from ledger.repo.heads import is_hex, reflog_size

_MAX_REFLOG_BYTES = 1 << 20
_MAX_END_BYTES = 32 << 10
_MAX_VERB = 40


class Move(NamedTuple):
    """One line of HEAD's reflog: commit ids (zeros for none) and the action, which is git's words up to the first colon."""

    old: str
    new: str
    action: str
    made_by_merge: bool


class RefMove(NamedTuple):
    """One line of a ref's reflog: `how` is git's words up to the first colon, `at` seconds since 1970, 0 where that is not said."""

    ref: str
    old: str
    new: str
    how: str
    at: int


def list_branches(repo: GitDir) -> list[tuple[str, str]]:
    """Return (full name, commit id) of each branch. Raises RepoError."""
    said = run_git(["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/"], cwd=repo.git_dir)
    return [(name, oid) for name, _, oid in (line.rpartition(" ") for line in said.decode("utf-8", "replace").splitlines())]


def read_ref_moves(repo: GitDir, ref: str) -> list[RefMove]:
    """Return what the reflog of HEAD or of a branch still says, oldest first: its last megabyte, or nothing where there is none."""
    path = os.path.join(repo.git_dir if ref == "HEAD" else repo.common_dir, "logs", ref)
    try:
        size = os.stat(path).st_size
    except (OSError, ValueError):
        return []
    data = read_plain(path, _MAX_REFLOG_BYTES + 1, max(size - _MAX_REFLOG_BYTES, 0)) or b""
    found = []
    for line in data.split(b"\n"):
        move = _parse_move(line) if line else None
        if move is not None:
            words = line.partition(b"\t")[0].split(b" ")
            at = int(words[-2]) if len(words) > 4 and words[-2].isdigit() and len(words[-2]) < 16 else 0
            found.append(RefMove(ref, move.old, move.new, move.action, at))
    return found


def read_moves(repo: GitDir, start: int) -> list[Move] | None:
    """Return HEAD's moves since byte `start` of its reflog, or None where that cannot be said (trimmed, too much, no reflog)."""
    path = os.path.join(repo.git_dir, "logs", "HEAD")
    size = reflog_size(repo)
    if size < start or size - start > _MAX_REFLOG_BYTES:
        return None
    data = read_plain(path, _MAX_REFLOG_BYTES + 1, max(start - 1, 0))
    if data is None or (start and not data.startswith(b"\n")):
        return None
    # A line that git would not write is passed over: it must not hide the others.
    return [move for line in data.split(b"\n") if line and (move := _parse_move(line)) is not None]


def read_moves_near_end(repo: GitDir, *, far: bool = False) -> list[Move]:
    """Return the last of HEAD's moves: some hundreds, or some thousands with `far`."""
    size = _MAX_REFLOG_BYTES if far else _MAX_END_BYTES
    data = read_plain(os.path.join(repo.git_dir, "logs", "HEAD"), size, max(reflog_size(repo) - size, 0)) or b""
    return [move for line in data.split(b"\n") if line and (move := _parse_move(line)) is not None]


def has_just_merged(repo: GitDir) -> bool:
    """Say whether the last thing that HEAD did was to take the commit of a merge: not a fast-forward, not a squash."""
    moves = read_moves(repo, 0) or []
    return bool(moves) and moves[-1].made_by_merge


def read_beginning(repo: GitDir) -> tuple[str, int] | None:
    """Return the commit at which a work tree began, and where in HEAD's reflog what followed begins; None where it does not say."""
    line, newline, _ = (read_plain(os.path.join(repo.git_dir, "logs", "HEAD"), 8192) or b"").partition(b"\n")
    move = _parse_move(line) if newline else None
    return None if move is None or move.old.strip("0") else (move.new, len(line) + 1)


def _parse_move(line: bytes) -> Move | None:
    head, _, message = line.partition(b"\t")
    ids = head.split(b" ", 2)
    if len(ids) < 3:
        return None
    old, new = ids[0].decode("ascii", "replace"), ids[1].decode("ascii", "replace")
    if not is_hex(old) or not is_hex(new):
        return None
    said = message.decode("utf-8", "replace")
    # The message is whatever GIT_REFLOG_ACTION says, so it may be long.
    return Move(old, new, said.partition(":")[0][:_MAX_VERB], "Merge made" in said)
