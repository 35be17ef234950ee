"""Which commits are here, are in a range, or descend from which."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.repo.commits import is_oid
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir


def are_here(repo: GitDir, oids: Sequence[str]) -> list[bool]:
    """Say of each id whether a commit of that id is in the repository."""
    wanted = "".join(f"{oid if is_oid(oid) else '0' * 40}\n" for oid in oids)
    said = run_git(["cat-file", "--batch-check=%(objecttype)"], cwd=repo.git_dir, input=wanted.encode(), check=False)
    return [line == b"commit" for line in said.split(b"\n")[: len(oids)]]


def is_ancestor(repo: GitDir, older: str, newer: str) -> bool:
    """Say whether `newer` descends from `older`; not where one of them is not here."""
    said = run_git(["merge-base", "--all", older, newer], cwd=repo.git_dir, check=False)
    return older.encode() in said.split()


def list_commits(repo: GitDir, revisions: Sequence[str]) -> list[str]:
    """Return the commits that `revisions` name as `git rev-list` does, oldest first. Raises RepoError where git cannot tell."""
    said = run_git(["rev-list", "--reverse", "--topo-order", *revisions, "--"], cwd=repo.git_dir)
    return said.decode("ascii", "replace").split()
