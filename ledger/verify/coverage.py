"""Which commits have entries. Hooks can be bypassed; whoever lists commits cannot be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir
from ledger.verify.commits import has_head
from ledger.verify.verdict import Coverage


def measure_coverage(repo: GitDir, asked: Sequence[str] | None, recorded: Collection[str], opened: Collection[str]) -> Coverage:
    """Compare the commits that `asked` names, or that HEAD reaches, with the `recorded` ones.

    A commit is missing where no entry has it and it was made after the first log was opened (`opened`, as in entries).
    """
    if asked is None and not has_head(repo):
        return Coverage(0, 0, ())
    listed = run_git(["log", "--format=%H %ct", "--no-show-signature", *(asked or ["HEAD"]), "--"], cwd=repo.git_dir)
    commits = [line.split(" ") for line in listed.decode("ascii").splitlines()]
    since = min((datetime.fromisoformat(at).timestamp() for at in opened), default=0.0)
    # Git counts whole seconds, so a commit of the very second in which the log was opened is not held against it.
    missing = tuple(oid for oid, at in commits if oid not in recorded and int(at) > since)
    return Coverage(len(commits), sum(oid in recorded for oid, _ in commits), missing)
