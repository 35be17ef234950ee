"""What the installer asks git: the hooks folder in force, and what is tracked or ignored."""

from __future__ import annotations

import os
from typing import NamedTuple

from ledger.errors import RepoError
from ledger.repo.git import run_git


class HooksPath(NamedTuple):
    """One value of core.hooksPath: `scope` is local, worktree, global or system; `value` has `~` expanded."""

    scope: str
    value: str


def read_hookspaths(cwd: str) -> list[HooksPath]:
    """Return every configured core.hooksPath, the one in force last."""
    out = run_git(["config", "-z", "--show-scope", "--type=path", "--get-all", "core.hooksPath"], cwd=cwd, check=False)
    fields = os.fsdecode(out).split("\0")[:-1]
    found = [HooksPath(scope, value) for scope, value in zip(fields[::2], fields[1::2], strict=False)]
    return [path for path in found if path.scope != "command"]  # ours, and what an agent passes along


def local_hookspath(cwd: str) -> str | None:
    """Return core.hooksPath as it is spelled in the repository's own config, or None."""
    out = run_git(["config", "--local", "-z", "--get", "core.hooksPath"], cwd=cwd, check=False)
    return os.fsdecode(out[:-1]) if out else None


def set_local_hookspath(cwd: str, value: str | None) -> None:
    """Set core.hooksPath in the repository's own config, or unset it. Raises RepoError."""
    if value is None:
        run_git(["config", "--local", "--unset-all", "core.hooksPath"], cwd=cwd)
    else:
        run_git(["config", "--local", "--replace-all", "core.hooksPath", value], cwd=cwd)


def is_tracked(work_tree: str, path: str) -> bool:
    """Say whether git tracks the file at the absolute `path`, or anything in the folder there."""
    relative = os.path.relpath(path, work_tree)
    return bool(run_git(["--literal-pathspecs", "ls-files", "-z", "--", relative], cwd=work_tree))


def is_ignored(work_tree: str, path: str) -> bool:
    """Say whether git ignores the absolute `path`."""
    relative = os.path.relpath(path, work_tree)
    try:
        return bool(run_git(["check-ignore", "--no-index", "--", relative], cwd=work_tree, check=False))
    except RepoError:
        return False
