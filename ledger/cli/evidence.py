"""What the commands that answer from logs share: the logs here, without those that nobody vouches for, and the verdict on them."""

from __future__ import annotations

import os

import click

from ledger.cli.main import Place
from ledger.errors import LedgerError
from ledger.repo.blame import NoLines
from ledger.repo.blobs import path_inside
from ledger.repo.commits import root_commits
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir
from ledger.trace.build import resolve_commit
from ledger.trace.logs import Logs


def judge(repo: GitDir, state: str) -> tuple[str, list[str]]:
    """Return the verifier's verdict (`unchecked` where it could not check), and the logs that it does not count."""
    from ledger.verify.verifier import Options, verify_repository

    try:
        report = verify_repository(repo, state, Options())
    except LedgerError:
        return "unchecked", []
    return report.verdict, [finding.log for finding in report.findings if finding.code == "log.uncounted" and finding.log]


def open_logs(place: Place, *, verify: bool) -> tuple[str, Logs]:
    """Return the verdict and the logs that may know the commits here. The caller closes them.

    Without `verify` the verdict is `unchecked`, but where others' logs are here the verifier still says which of them count.
    """
    repo, clone, state = place.repository(), place.clone_if_any(), place.state()
    roots = root_commits(repo) if clone is None else ()
    logs = Logs(state, clone, roots, repo=repo)
    strangers = [log for log in logs.sealed if log != logs.own_name]
    if not verify and not strangers:
        return "unchecked", logs
    verdict, uncounted = judge(repo, state)
    if uncounted:
        logs = Logs(state, clone, roots, repo=repo, without=uncounted)
    return verdict, logs


def path_from_root(place: Place, repo: GitDir, path: str) -> bytes:
    """Return a path as git has it: below the root of the work tree, of one that is relative to where the command was called."""
    if repo.work_tree is None or not _is_below(place.cwd, repo.work_tree):
        return os.fsencode(path)
    if not path:
        raise click.UsageError("the path is empty: name a file")
    found = path_inside(repo.work_tree, os.path.realpath(place.cwd), path)
    if found is None and os.path.realpath(os.path.join(place.cwd, path)) == repo.work_tree:
        raise click.UsageError(f"{path!r} is a folder: name a file in it")
    if found is None:
        raise click.UsageError(f"{path!r} lies outside the work tree")
    return found


def names_nothing(repo: GitDir, said: str) -> click.UsageError:
    """Return the error for a revision that names nothing: `said`, or that the repository has no commits at all yet."""
    any_ref = run_git(["for-each-ref", "--count=1", "refs/heads", "refs/tags", "refs/remotes"], cwd=repo.git_dir, check=False)
    return click.UsageError(said if any_ref or resolve_commit(repo, "HEAD") else "there are no commits here yet")


def no_lines(repo: GitDir, oid: str, path: bytes, error: NoLines) -> click.UsageError:
    """Return the error for a path that has no lines at the commit `oid`: git does not say what else it is."""
    asked = ["--literal-pathspecs", "ls-tree", "-z", "--full-tree", oid, "--", os.fsdecode(path)]
    kind = run_git(asked, cwd=repo.git_dir, check=False).split(b"\t")[0].split(b" ")[1:2]
    whats = {b"tree": "is a folder: name a file in it", b"commit": "is a submodule: ask in its own repository"}
    what = whats.get(kind[0]) if kind else None
    return click.UsageError(error.message if what is None else f"{path.decode('utf-8', 'replace')!r} {what}")


def _is_below(folder: str, root: str) -> bool:
    real = os.path.realpath(folder)
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)
