"""Where HEAD is and how it came there, read from git's own files: a hook looks on every event, and a child costs it 2 ms.

Reftable repositories keep neither in files; there git is asked (gitrepository-layout(5), git-reflog(1)).
"""

from __future__ import annotations

import os
from typing import NamedTuple

from ledger.errors import RepoError
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir, read_plain

_MAX_REFLOG_BYTES = 1 << 20
_MAX_PACKED_BYTES = 256 << 20
_MAX_VERB = 40


class Move(NamedTuple):
    """One line of HEAD's reflog: commit ids (zeros for none) and the action, which is git's words up to the first colon."""

    old: str
    new: str
    action: str
    made_by_merge: bool


def read_head(repo: GitDir) -> str:
    """Return the commit id that HEAD names, or the empty string on an unborn branch."""
    oid = _resolve_head(repo)
    return oid if _is_hex(oid) else ""


def _resolve_head(repo: GitDir) -> str:
    """Return what HEAD names. An agent can write HEAD: no file outside the refs is read for it."""
    text = _read(os.path.join(repo.git_dir, "HEAD"))
    if not text.startswith("ref: "):
        return text
    ref = text[5:]
    if not ref.startswith("refs/") or ".." in ref or "\0" in ref:
        return ""
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
    path = os.path.join(repo.git_dir, "logs", "HEAD")
    size = reflog_size(repo)
    if size < start or size - start > _MAX_REFLOG_BYTES:
        return None
    data = read_plain(path, _MAX_REFLOG_BYTES + 1, max(start - 1, 0))
    if data is None or (start and not data.startswith(b"\n")):
        return None
    # A line that git would not write is passed over: it must not hide the others.
    return [move for line in data.split(b"\n") if line and (move := _parse_move(line)) is not None]


def is_rebasing(repo: GitDir) -> bool:
    """Say whether a rebase or `git am` is under way in this work tree."""
    return any(os.path.isdir(os.path.join(repo.git_dir, name)) for name in ("rebase-merge", "rebase-apply"))


def has_just_merged(repo: GitDir) -> bool:
    """Say whether the last thing that HEAD did was to take the commit of a merge: not a fast-forward, not a squash."""
    moves = read_moves(repo, 0) or []
    return bool(moves) and moves[-1].made_by_merge


def _parse_move(line: bytes) -> Move | None:
    head, _, message = line.partition(b"\t")
    ids = head.split(b" ", 2)
    if len(ids) < 3:
        return None
    old, new = ids[0].decode("ascii", "replace"), ids[1].decode("ascii", "replace")
    if not _is_hex(old) or not _is_hex(new):
        return None
    said = message.decode("utf-8", "replace")
    # The message is whatever GIT_REFLOG_ACTION says, so it may be long.
    return Move(old, new, said.partition(":")[0][:_MAX_VERB], "Merge made" in said)


def _is_hex(text: str) -> bool:
    return len(text) in (40, 64) and not text.strip("0123456789abcdef")


def _read(path: str) -> str:
    data = read_plain(path, 4096)
    return "" if data is None else data.decode("utf-8", "surrogateescape").strip()


def _read_packed(common_dir: str, ref: str) -> str:
    data = read_plain(os.path.join(common_dir, "packed-refs"), _MAX_PACKED_BYTES) or b""
    at = data.find(b" " + ref.encode("utf-8", "surrogateescape") + b"\n")
    if at < 0:
        return ""
    return data[data.rfind(b"\n", 0, at) + 1 : at].decode("ascii", "replace")


def _ask_git(repo: GitDir) -> str:
    try:
        return run_git(["rev-parse", "--verify", "-q", "HEAD"], cwd=repo.git_dir).decode().strip()
    except RepoError:
        return ""
