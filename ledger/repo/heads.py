"""Where HEAD is, read from git's own files: a hook looks on every event, and a child costs it 2 ms.

Reftable repositories do not keep it in files; there git is asked (gitrepository-layout(5)).
"""

from __future__ import annotations

import os

from ledger.errors import RepoError
from ledger.repo.gitdir import GitDir, read_plain

_MAX_PACKED_BYTES = 256 << 20


def read_head(repo: GitDir) -> str:
    """Return the commit id that HEAD names, or the empty string on an unborn branch."""
    oid = _resolve_head(repo)
    return oid if is_hex(oid) else ""


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


def read_loose(repo: GitDir, ref: str) -> str | None:
    """Return the object id in the loose file of `ref`, or None where there is none (packed, reftable, gone, nonsense)."""
    oid = _read(os.path.join(repo.common_dir, ref))
    return oid if is_hex(oid) else None


def read_special(repo: GitDir, name: str) -> str:
    """Return the commit id in one of git's own files beside HEAD (CHERRY_PICK_HEAD …), or "" where there is none."""
    oid = _read(os.path.join(repo.git_dir, name))
    return oid if is_hex(oid) else ""


def reflog_size(repo: GitDir) -> int:
    """Return the size of HEAD's reflog in bytes, 0 where there is none."""
    try:
        return os.stat(os.path.join(repo.git_dir, "logs", "HEAD")).st_size
    except OSError:
        return 0


def is_rebasing(repo: GitDir) -> bool:
    """Say whether a rebase or `git am` is under way in this work tree."""
    return any(os.path.isdir(os.path.join(repo.git_dir, name)) for name in ("rebase-merge", "rebase-apply"))


def is_hex(text: str) -> bool:
    """Say whether `text` has the form of an object id."""
    return len(text) in (40, 64) and not text.strip("0123456789abcdef")


def _read(path: str) -> str:
    data = read_plain(path, 4096)
    return "" if data is None else os.fsdecode(data).strip()  # a name in it becomes a path again


def _read_packed(common_dir: str, ref: str) -> str:
    data = read_plain(os.path.join(common_dir, "packed-refs"), _MAX_PACKED_BYTES) or b""
    at = data.find(b" " + os.fsencode(ref) + b"\n")
    if at < 0:
        return ""
    return data[data.rfind(b"\n", 0, at) + 1 : at].decode("ascii", "replace")


def _ask_git(repo: GitDir) -> str:
    from ledger.repo.git import run_git  # few repositories need it

    try:
        return run_git(["rev-parse", "--verify", "-q", "HEAD"], cwd=repo.git_dir).decode().strip()
    except RepoError:
        return ""
