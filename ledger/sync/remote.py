"""A remote, spoken to by the git command line: which refs of logs it has, fetching some of them, pushing some of them.

Everything is asked for by name. `remote.*.fetch` is neither read nor written, no push is ever forced, no tag or branch comes along,
and no hook runs (a pre-push hook of ours called us). What a remote says is bounded before it is believed: a million refs are
cut off, and said to be.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from ledger.core.entry import is_hex
from ledger.core.seal import format_ref
from ledger.errors import RepoError
from ledger.repo.commits import is_oid
from ledger.repo.git import Child, connecting_env, run_git
from ledger.repo.gitdir import GitDir
from ledger.repo.seals import edit_refs

MAX_LOGS = 5_000  # of one remote
_MAX_LISTING_BYTES = 4 << 20
_MAX_FAILURES = 50
_NETWORK = (
    "-c",
    "protocol.version=2",
    "-c",
    "gc.auto=0",
    "-c",
    "core.bigFileThreshold=4m",
    "-c",
    "maintenance.auto=false",
    "-c",
    "push.recurseSubmodules=no",
)


class Listing(NamedTuple):
    """The tips of a remote's refs of logs, and whether there were more than anybody should have."""

    tips: Mapping[str, str]
    truncated: bool


class Pushed(NamedTuple):
    """What became of one pushed ref: `done`, `current` or `rejected`, with git's reason."""

    log: str
    how: str
    reason: str


def choose_remote(repo: GitDir, named: str | None) -> str:
    """Return the remote to talk to: the one named, else that of the current branch, else origin, else the only one.

    Raises RepoError where there is none, or several and no reason to choose.
    """
    if named is not None:
        return named
    known = run_git(["remote"], cwd=repo.git_dir).decode("utf-8", "replace").split("\n")[:-1]
    branch = run_git(["symbolic-ref", "--short", "-q", "HEAD"], cwd=repo.git_dir, check=False).decode("utf-8", "replace").strip()
    tracked = (
        run_git(["config", "--get", f"branch.{branch}.remote"], cwd=repo.git_dir, check=False).decode("utf-8", "replace").strip()
    )
    for name in (tracked if branch else "", "origin", known[0] if len(known) == 1 else ""):
        if name in known and name:
            return name
    if not any(known):
        raise RepoError("this repository has no remote", remedy="add one with `git remote add`, or name a URL")
    raise RepoError(f"this repository has several remotes: {', '.join(known[:10])}", remedy="name one: `ledger sync <remote>`")


def is_configured(repo: GitDir, name: str) -> bool:
    """Say whether `name` is one of this repository's remotes."""
    return name != "" and name in _ask(repo, "remote").split("\n")


def _ask(repo: GitDir, *args: str) -> str:
    return run_git(args, cwd=repo.git_dir, check=False).decode("utf-8", "replace").rstrip("\n")


def folder_name(remote: str) -> str:
    """Return the name under which refs of a remote are kept here; URLs and odd names are hashed."""
    plain = remote.isascii() and all(character.isalnum() or character in "_-" for character in remote) and len(remote) < 100
    return remote if plain else "url-" + hashlib.sha256(remote.encode("utf-8", "surrogateescape")).hexdigest()[:16]


class Remote:
    """One remote as it is reached from one repository. `patience_s` bounds each conversation; None waits for ever."""

    def __init__(self, repo: GitDir, name: str, prefix: str, *, patience_s: float | None = None) -> None:
        if name.startswith("-"):
            raise RepoError(f"{name!r} is no remote")
        self.repo = repo
        self.name = name
        self.folder = folder_name(name)
        self.prefix = prefix
        self._patience_s = patience_s

    def list_tips(self, first: Callable[[], Collection[str]] = tuple) -> Listing:
        """Return what the remote's refs of logs name; where there are too many, those of the logs `first()` before all others.

        Raises RepoError where the remote cannot be reached.
        """
        tips, truncated = self._list([f"{self.prefix}/logs/*"])
        if truncated and (asked := list(first())[:MAX_LOGS]):
            tips = self._list([format_ref(self.prefix, log) for log in asked])[0] | tips
        return Listing(dict(itertools.islice(tips.items(), MAX_LOGS)), truncated)

    def _list(self, patterns: Sequence[str]) -> tuple[dict[str, str], bool]:
        child = self._start(["ls-remote", "--refs", "--", self.name, *patterns])
        try:
            data = child.finish(patience_s=self._patience_s, limit=_MAX_LISTING_BYTES)
        except RepoError as error:
            raise RepoError(error.message, remedy="see `git remote -v`, the connection, and your rights there") from error
        tips: dict[str, str] = {}
        for line in data.decode("utf-8", "replace").split("\n")[:-1]:
            oid, _, ref = line.partition("\t")
            log = ref.removeprefix(f"{self.prefix}/logs/")
            if is_hex(log, 32) and is_oid(oid):
                tips[log] = oid
        return tips, len(data) >= _MAX_LISTING_BYTES or len(tips) > MAX_LOGS

    def fetch(self, logs: Sequence[str]) -> dict[str, str]:
        """Fetch the refs of `logs` into quarantine; return those that did not come, and why. Raises RepoError where none can.

        One that cannot be fetched (damaged objects, say) costs itself only; what failed once is tried once more. So that a remote
        that went away is not asked hundreds of times, `_MAX_FAILURES` conversations may fail.
        """
        failed: dict[str, str] = {}
        todo = [list(logs)] if logs else []
        failures = 0
        while todo:
            some = todo.pop()
            try:
                self._fetch(some)
            except RepoError as error:
                failures += 1
                if failures == 1:
                    self._list([f"{self.prefix}/logs/none"])  # raises where it is the connection that fails
                    todo.append(some)
                elif len(some) == 1 or failures >= _MAX_FAILURES:
                    failed |= dict.fromkeys(some, error.message)
                else:
                    todo += [some[: len(some) // 2], some[len(some) // 2 :]]
        return failed

    def _fetch(self, logs: Sequence[str]) -> None:
        # Were one of these a symbolic ref, git would write through it, into a branch.
        edit_refs(self.repo, {}, [self.incoming(log) for log in logs])
        lines = "".join(f"+{format_ref(self.prefix, log)}:{self.incoming(log)}\n" for log in logs)
        # --no-filter: in a partial clone git would leave the segments out, and fetch them one by one when they are read.
        options = [
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-prune",
            "--no-filter",
            "--refmap=",
            "--quiet",
        ]
        self._start(["fetch", *options, "--stdin", "--", self.name], lines.encode()).finish(patience_s=self._patience_s)

    def incoming(self, log: str) -> str:
        """Return the ref that holds what was fetched of a log and is not verified yet."""
        return f"refs/ledger/incoming/{self.folder}/{log}"

    def known(self, log: str) -> str:
        """Return the ref that remembers what the remote had of a log when we last looked."""
        return f"refs/ledger/remotes/{self.folder}/{log}"

    def push(self, tips: Mapping[str, str]) -> list[Pushed]:
        """Push each log's tip to its ref and return what became of each. Raises RepoError where the remote cannot be reached."""
        if not tips:
            return []
        specs = [f"{oid}:{format_ref(self.prefix, log)}" for log, oid in tips.items()]
        options = ["--porcelain", "--no-verify", "--no-follow-tags", "--no-signed", "--no-force", "--no-mirror"]
        # A clone made with --mirror would push all it has, and refuses to push less.
        plain = ["-c", f"remote.{self.name}.mirror=false"] if self.name == self.folder else []
        child = self._start([*plain, "push", *options, "--", self.name, *specs])
        said = child.finish(check=False, patience_s=self._patience_s).decode("utf-8", "replace")
        found = {}
        for line in said.split("\n"):
            flag, _, rest = line.partition("\t")
            names, _, reason = rest.partition("\t")
            log = names.partition(":")[2].removeprefix(f"{self.prefix}/logs/")
            if log in tips:
                found[log] = Pushed(log, {"!": "rejected", "=": "current"}.get(flag, "done"), reason)
        if not found and child.code != 0:
            raise RepoError(
                f"git push to {self.name} failed: {child.complaint}", remedy="check the connection and your rights there"
            )
        return [found.get(log, Pushed(log, "rejected", "no answer")) for log in tips]

    def _start(self, args: Sequence[str], input: bytes | None = None) -> Child:
        # In the work tree, as the user's own git: a remote's relative path counts from there.
        return Child([*_NETWORK, *args], cwd=self.repo.work_tree or self.repo.git_dir, input=input, env=connecting_env())
