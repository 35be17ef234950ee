"""Where a repository's folders are, found as git finds them, without starting a process (gitrepository-layout(5))."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from ledger.errors import NoRepository


class GitDir(NamedTuple):
    """Absolute, resolved paths: this work tree's git folder, the one all work trees share, and the work tree if any."""

    git_dir: str
    common_dir: str
    work_tree: str | None


def find_repository(start: str) -> GitDir:
    """Return the repository that holds the folder `start`. Raises NoRepository where there is none."""
    try:
        place = os.path.realpath(start, strict=True)
    except OSError as error:
        raise NoRepository(f"{start} cannot be read: {error.strerror}") from error
    if not os.path.isdir(place):
        place = os.path.dirname(place)
    while True:
        git_dir = _git_dir_at(os.path.join(place, ".git"))
        if git_dir is not None:
            return GitDir(git_dir, _common_dir(git_dir), place)
        if _is_git_dir(place):
            return GitDir(place, _common_dir(place), None)
        parent = os.path.dirname(place)
        if parent == place:
            raise NoRepository(
                f"{start} is not inside a git repository", remedy="run this in a repository, or name one with -C DIR"
            )
        place = parent


def how_to_start(repo: GitDir) -> str:
    """Return what to do where a repository has no ledger: `init` refuses one without a work tree."""
    return "start one with `ledger init`" if repo.work_tree is not None else "run `ledger init` in a clone that has a work tree"


def repository_of_hook(environ: dict[str, str]) -> GitDir:
    """Return the repository whose hook this process is: git says so in GIT_DIR, or stands in its work tree."""
    named = environ.get("GIT_DIR")
    if named and _is_git_dir(os.path.realpath(named)):
        git_dir = os.path.realpath(named)
        work_tree = environ.get("GIT_WORK_TREE")
        tree = os.path.realpath(work_tree) if work_tree else os.getcwd()
        return GitDir(git_dir, _common_dir(git_dir), tree)
    return find_repository(os.getcwd())


def _git_dir_at(dot_git: str) -> str | None:
    if os.path.isdir(dot_git):
        real = os.path.realpath(dot_git)
        return real if _is_git_dir(real) else None
    first = read_plain(dot_git, 8192)
    if first is None or not first.startswith(b"gitdir: "):
        return None
    target = os.fsdecode(first[8:].rstrip(b"\r\n"))
    real = os.path.realpath(os.path.join(os.path.dirname(dot_git), target))
    return real if _is_git_dir(real) else None


def _is_git_dir(path: str) -> bool:
    if not os.path.lexists(os.path.join(path, "HEAD")):
        return False
    if os.path.isfile(os.path.join(path, "commondir")):
        return True
    return os.path.isdir(os.path.join(path, "objects")) and os.path.isdir(os.path.join(path, "refs"))


def _common_dir(git_dir: str) -> str:
    named = read_plain(os.path.join(git_dir, "commondir"), 8192)
    if named is None:
        return git_dir
    return os.path.realpath(os.path.join(git_dir, os.fsdecode(named.rstrip(b"\r\n"))))


def read_plain(path: str, limit: int, start: int = 0) -> bytes | None:
    """Return at most `limit` bytes of a file from byte `start` on, or None unless it is a regular file that can be read.

    An agent can write a repository's files. Opening a FIFO would wait for ever, and a hook that waits records nothing.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        parts = []
        while limit and (chunk := os.pread(descriptor, min(limit, 1 << 20), start)):
            parts.append(chunk)
            start, limit = start + len(chunk), limit - len(chunk)
        return b"".join(parts)
    except OSError:
        return None
    finally:
        os.close(descriptor)
