"""Changes over several commits, as a squash makes one commit of them: merge bases, patch-ids of ranges, changed paths."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.errors import RepoError
from ledger.repo.commits import PLAIN, is_oid
from ledger.repo.git import PATIENCE_S, pipe_git, run_git
from ledger.repo.gitdir import GitDir

_DIFF = ("diff-tree", "-r", *PLAIN)


def are_here(repo: GitDir, oids: Sequence[str]) -> list[bool]:
    """Say of each id whether a commit of that id is in the repository."""
    wanted = "".join(f"{oid if is_oid(oid) else '0' * 40}\n" for oid in oids)
    said = run_git(["cat-file", "--batch-check=%(objecttype)"], cwd=repo.git_dir, input=wanted.encode(), check=False)
    return [line == b"commit" for line in said.split(b"\n")[: len(oids)]]


def is_ancestor(repo: GitDir, older: str, newer: str) -> bool:
    """Say whether `newer` descends from `older`; not where one of them is not here."""
    said = run_git(["merge-base", "--all", older, newer], cwd=repo.git_dir, check=False)
    return older.encode() in said.split()


def merge_base(repo: GitDir, one: str, other: str) -> str | None:
    """Return a best common ancestor of two commits, or None where there is none."""
    said = run_git(["merge-base", one, other], cwd=repo.git_dir, check=False).decode("ascii", "replace").strip()
    return said if is_oid(said) else None


def patch_id_between(repo: GitDir, old: str, new: str) -> str:
    """Return `git patch-id --stable` of the change from `old` to `new`, or "" where it changes nothing or takes too long."""
    child = pipe_git([*_DIFF, "-p", old, new], ["patch-id", "--stable"], cwd=repo.git_dir)
    try:
        return child.finish(check=False, patience_s=PATIENCE_S).partition(b" ")[0].decode("ascii", "replace").strip()
    except RepoError:
        return ""


def changed_between(repo: GitDir, old: str, new: str) -> frozenset[bytes]:
    """Return the paths that differ between two commits."""
    said = run_git([*_DIFF, "--name-only", "-z", old, new], cwd=repo.git_dir, check=False)
    return frozenset(path for path in said.split(b"\0") if path)


def list_commits(repo: GitDir, revisions: Sequence[str]) -> list[str]:
    """Return the commits that `revisions` name as `git rev-list` does, oldest first. Raises RepoError where git cannot tell."""
    said = run_git(["rev-list", "--reverse", "--topo-order", *revisions, "--"], cwd=repo.git_dir)
    return said.decode("ascii", "replace").split()
