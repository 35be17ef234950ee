"""What entries say of git, held against git: recorded commits, and the roots that bind a log to its repository."""

from __future__ import annotations

from collections.abc import Collection

from ledger.core.entry import Entry
from ledger.repo.commits import is_oid
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir
from ledger.repo.objects import CommitObject, Objects
from ledger.repo.seals import read_prefix, refs_of_ledger
from ledger.verify.notes import RecordedCommit
from ledger.verify.verdict import Findings

MANY = 20  # absent commits beyond this number become one finding


class Reach:
    """What HEAD and the refs outside the ledger's own reach, asked of git once, and only when somebody wants to know."""

    def __init__(self, repo: GitDir) -> None:
        self._repo = repo
        self.everything = (*refs_of_ledger(read_prefix(repo)), "--all")
        self._roots: frozenset[str] | None = None
        self._commits: frozenset[str] | None = None
        self._is_shallow: bool | None = None

    def roots(self) -> frozenset[str]:
        """Return the commits without parents."""
        if self._roots is None:
            self._roots = self._list("--max-parents=0")
        return self._roots

    def commits(self) -> frozenset[str]:
        """Return all commits."""
        if self._commits is None:
            self._commits = self._list()
        return self._commits

    def is_shallow(self) -> bool:
        """Say whether the repository's history was cut when it was cloned."""
        if self._is_shallow is None:
            self._is_shallow = run_git(["rev-parse", "--is-shallow-repository"], cwd=self._repo.git_dir).strip() == b"true"
        return self._is_shallow

    def _list(self, *options: str) -> frozenset[str]:
        listed = run_git(["rev-list", *options, *self.everything, "--"], cwd=self._repo.git_dir)
        return frozenset(listed.decode("ascii").split())


def check_commits(log: str, recorded: Collection[RecordedCommit], objects: Objects, findings: Findings) -> frozenset[str]:
    """Compare each recorded commit that is here with its object; return the ids of those that are here."""
    commits = list(recorded)
    absent: list[RecordedCommit] = []
    here: set[str] = set()
    ids = [commit.oid if type(commit.oid) is str else "" for commit in commits]
    for commit, found in zip(commits, objects.commits(ids), strict=True):
        if not is_oid(commit.oid):
            findings.add("commit.mismatch", log, commit.seq, "commit.recorded names no commit id", "a commit id", commit.oid)
        elif found is None:
            absent.append(commit)
        else:
            here.add(found.oid)
            _compare(log, commit, found, findings)
    _report_absent(log, absent, findings)
    return frozenset(here)


def check_roots(
    log: str,
    genesis: Entry,
    recorded: Collection[RecordedCommit],
    here: Collection[str],
    repo: GitDir,
    objects: Objects,
    findings: Findings,
    *,
    ours: bool,
    reach: Reach | None = None,
) -> bool:
    """Say whether the log belongs to this repository (docs/spec/entry.md, section 6), and report where it does not.

    One of its roots does, or one of the commits that it recorded, where a ref reaches it: people amend first commits and
    rewrite whole histories, and then the roots are gone though the log went on.
    """
    roots = genesis.body.get("roots")
    wanted = [root for root in roots if type(root) is str] if type(roots) is list else []
    reach = reach or Reach(repo)
    reachable = reach.roots()
    candidates = objects.commits([root for root in wanted if root in reachable])
    if any(commit is not None and not commit.parents for commit in candidates):
        return True
    known = [commit.oid for commit in recorded if type(commit.oid) is str and commit.oid in here]
    if (roots == [] and not known) or (known and not reach.commits().isdisjoint(known)):
        return True
    expected = ", ".join(wanted) or "a recorded commit that a ref reaches"
    found = ", ".join(sorted(reachable)[:4]) or "none"
    if reach.is_shallow():
        message = "the history here is shallow, so it cannot be told whether the log belongs to this repository"
        findings.add("genesis.shallow", log, 0, message, expected, found)
        return True
    if ours:
        findings.add("genesis.roots", log, 0, "the log belongs to another repository", expected, found)
    else:
        findings.add(
            "predecessor.roots", log, 0, "the log belongs to another repository, whose place this one took", expected, found
        )
    return False


def has_head(repo: GitDir) -> bool:
    """Say whether HEAD is a commit; in a new repository it is not."""
    return bool(run_git(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], cwd=repo.git_dir, check=False).strip())


def _compare(log: str, commit: RecordedCommit, found: CommitObject, findings: Findings) -> None:
    if commit.tree != found.tree:
        findings.add("commit.mismatch", log, commit.seq, f"commit {found.oid} has another tree", commit.tree, found.tree)
    parents = list(found.parents)
    if commit.parents != parents:
        findings.add("commit.mismatch", log, commit.seq, f"commit {found.oid} has other parents", commit.parents, parents)


def _report_absent(log: str, absent: list[RecordedCommit], findings: Findings) -> None:
    """Abandoned and unpushed commits are normal, so this is information."""
    if len(absent) > MANY:
        message = f"{len(absent)} recorded commits are not in this repository: abandoned, never pushed, or not fetched"
        findings.add("commit.absent", log, absent[0].seq, message, None, f"{absent[0].oid} and others")
        return
    for commit in absent:
        findings.add("commit.absent", log, commit.seq, f"commit {commit.oid} is not in this repository", commit.oid)
