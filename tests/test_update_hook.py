"""`hooks/update`: on a plain git server logs only grow, and nothing else is touched."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from githttp import serve

HOOK = Path(__file__).resolve().parents[1] / "hooks" / "update"
LOG = "ab" * 16
PREFIXES = ("refs/ledger", "refs/heads/ledger")


class Server:
    """A bare repository with the hook, and a clone that pushes to it."""

    def __init__(self, sandbox: Any, url: str, *init: str, prefix: str | None = None) -> None:
        self.sandbox = sandbox
        self.bare = sandbox.make_repo("served/server.git", "--bare", *init)
        shutil.copy2(HOOK, self.bare / "hooks" / "update")
        if prefix is not None:
            sandbox.git("config", "ledger.refPrefix", prefix, cwd=self.bare)
        self.clone = sandbox.make_repo("clone", *init, commit=True)
        sandbox.git("remote", "add", "origin", url, cwd=self.clone)
        self.one = self.commit()
        self.two = self.commit(self.one)
        self.other = self.commit(subject="another beginning")

    def commit(self, *parents: str, subject: str = "seal") -> str:
        """Make a commit of an empty tree that no ref names."""
        tree = self.sandbox.git("mktree", cwd=self.clone)
        named = [part for parent in parents for part in ("-p", parent)]
        oid: str = self.sandbox.git("commit-tree", tree, *named, "-m", subject, cwd=self.clone)
        return oid

    def push(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Push from the clone; the first word says what, or is an option."""
        done: subprocess.CompletedProcess[str] = self.sandbox.run("git", "push", "origin", *words, cwd=self.clone)
        return done

    def refs(self) -> dict[str, str]:
        """Return what the server has."""
        lines = self.sandbox.git("for-each-ref", "--format=%(refname) %(objectname)", cwd=self.bare).splitlines()
        return dict(line.split() for line in lines)


@pytest.fixture(params=["file", "http"])
def url(request: pytest.FixtureRequest, sandbox: Any) -> Iterator[str]:
    """The server's address: a path, or loopback HTTP."""
    (sandbox.root / "served").mkdir()
    over_http = request.param == "http"
    with serve(sandbox.root / "served") if over_http else nullcontext(str(sandbox.root / "served")) as base:
        yield f"{base}/server.git"


@pytest.fixture
def path(sandbox: Any) -> str:
    """The server's address where the way there does not matter."""
    (sandbox.root / "served").mkdir()
    return f"{sandbox.root}/served/server.git"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_log_only_grows(sandbox: Any, url: str, prefix: str) -> None:
    """Begun and continued is accepted; rolled back, replaced and deleted is refused with a remedy, and leaves the ref."""
    server = Server(sandbox, url, prefix=prefix)
    ref = f"{prefix}/logs/{LOG}"
    for oid in (server.one, server.two, server.two):
        assert server.push(f"{oid}:{ref}").returncode == 0
    for refspec in (f"+{server.one}:{ref}", f"+{server.other}:{ref}", f":{ref}"):
        said = server.push(refspec)
        assert said.returncode != 0
        assert f"ledger: {ref} is refused" in said.stderr
        assert "hint: " in said.stderr
    assert server.refs()[ref] == server.two


def test_a_mirror_push_deletes_no_log(sandbox: Any, url: str) -> None:
    """`git push --mirror` from a clone that never fetched the logs deletes everything but them."""
    server = Server(sandbox, url)
    ref = f"refs/ledger/logs/{LOG}"
    assert server.push(f"{server.one}:{ref}", "main", "main:refs/heads/old").returncode == 0
    said = server.push("--mirror")
    assert said.returncode != 0
    assert "--mirror" in said.stderr
    assert server.refs()[ref] == server.one
    assert "refs/heads/old" not in server.refs()


def test_everything_else_passes(sandbox: Any, url: str) -> None:
    """Branches and tags are made, forced and deleted as ever, in one push with a refused log too."""
    server = Server(sandbox, url)
    assert server.push(f"{server.two}:refs/heads/main", f"{server.one}:refs/tags/v1", f"{server.one}:refs/notes/x").returncode == 0
    assert server.push(f"{server.one}:refs/ledger/logs/{LOG}").returncode == 0
    said = server.push(f"+{server.other}:refs/heads/main", ":refs/tags/v1", f"+{server.other}:refs/ledger/logs/{LOG}")
    assert said.returncode != 0
    assert server.refs() == {
        "refs/heads/main": server.other,
        "refs/notes/x": server.one,
        f"refs/ledger/logs/{LOG}": server.one,
    }


@pytest.mark.parametrize(
    "ref",
    [
        "refs/ledger/logs/short",
        f"refs/ledger/logs/{LOG.upper()}",
        f"refs/ledger/logs/{LOG}0",
        f"refs/ledger/logs/{LOG}/logs/{LOG}",
        f"refs/ledger/incoming/origin/{LOG}",
        f"refs/ledger/evidence/{LOG}/x",
        "refs/ledger/logs",
        "refs/heads/ledger",
        "refs/heads/ledger/logs",
        f"refs/heads/ledger/logs/{LOG}x",
    ],
)
def test_names_that_are_no_logs_are_refused(sandbox: Any, path: str, ref: str) -> None:
    """Below refs/ledger/ there are logs and nothing else, and nothing stands where they go."""
    server = Server(sandbox, path, prefix="refs/heads/ledger/")
    said = server.push(f"{server.one}:{ref}")
    assert said.returncode != 0
    assert f"ledger: {ref} is refused" in said.stderr
    assert server.refs() == {}


def test_other_branches_beside_the_prefix_pass(sandbox: Any, path: str) -> None:
    """A prefix among the branches takes no name from them but its own."""
    server = Server(sandbox, path, prefix="refs/heads/ledger")
    for ref in ("refs/heads/ledger/topic", "refs/heads/ledgers", f"refs/heads/logs/{LOG}"):
        assert server.push(f"{server.two}:{ref}").returncode == 0
        assert server.push(f"+{server.other}:{ref}").returncode == 0
        assert server.push(f":{ref}").returncode == 0


def test_what_is_no_commit_is_refused(sandbox: Any, path: str) -> None:
    """A tag that points at a seal is not one, nor is a blob."""
    server = Server(sandbox, path)
    ref = f"refs/ledger/logs/{LOG}"
    sandbox.git("tag", "-a", "-m", "x", "v1", server.two, cwd=server.clone)
    blob = sandbox.git("hash-object", "-w", "--stdin", cwd=server.clone, input="x")
    for what in ("refs/tags/v1", blob):
        assert "no commit" in server.push(f"{what}:{ref}").stderr
    assert server.refs() == {}


def test_replaced_objects_do_not_bend_history(sandbox: Any, path: str) -> None:
    """A commit that somebody pushed under refs/replace/ makes no continuation of what is none."""
    server = Server(sandbox, path)
    ref = f"refs/ledger/logs/{LOG}"
    bent = server.commit(server.two, server.other)
    assert server.push(f"{server.two}:{ref}", f"{bent}:refs/replace/{server.other}").returncode == 0
    assert server.push(f"+{server.other}:{ref}").returncode != 0
    assert server.refs()[ref] == server.two


def test_a_healing_merge_is_a_continuation(sandbox: Any, path: str) -> None:
    """A seal that takes somebody else's commit as its second parent continues the ref."""
    server = Server(sandbox, path)
    ref = f"refs/ledger/logs/{LOG}"
    foreign = server.commit(server.two)
    for oid in (server.two, foreign, server.commit(server.two, foreign)):
        assert server.push(f"{oid}:{ref}").returncode == 0


def test_a_repository_of_sha256_is_guarded_alike(sandbox: Any, path: str) -> None:
    """Ids of 64 digits, and their zeros, are understood."""
    server = Server(sandbox, path, "--object-format=sha256")
    ref = f"refs/ledger/logs/{LOG}"
    assert len(server.one) == 64
    assert server.push(f"{server.one}:{ref}").returncode == 0
    assert server.push(f"{server.two}:{ref}").returncode == 0
    assert server.push(f"+{server.one}:{ref}").returncode != 0
    assert server.push(f":{ref}").returncode != 0
    assert server.refs() == {ref: server.two}


def test_a_prefix_that_is_none_is_said_and_ignored(sandbox: Any, path: str) -> None:
    """With a setting that begins with anything but refs/ the ordinary logs stay guarded, and branches pass."""
    server = Server(sandbox, path, prefix="heads/ledger")
    ref = f"refs/ledger/logs/{LOG}"
    said = server.push(f"{server.two}:{ref}", "main")
    assert said.returncode == 0
    assert "is ignored" in said.stderr
    assert server.push(f":{ref}").returncode != 0


def test_case_is_no_way_around_where_files_do_not_tell_it(sandbox: Any, path: str) -> None:
    """Where core.ignorecase is set, another spelling of a log's ref is refused; elsewhere it is another ref."""
    server = Server(sandbox, path, prefix="refs/heads/ledger")
    other = f"refs/heads/Ledger/logs/{LOG}"
    assert server.push(f"{server.two}:{other}").returncode == 0
    sandbox.git("config", "core.ignorecase", "true", cwd=server.bare)
    for ref in (other, f"refs/Ledger/logs/{LOG}", "refs/LEDGER/x"):
        assert server.push(f"{server.other}:{ref}", "--force").returncode != 0
    assert server.push(f"{server.other}:refs/heads/Main").returncode == 0


def test_the_hook_is_plain_shell() -> None:
    """It is executable, and a shell without extensions can read it."""
    assert HOOK.stat().st_mode & 0o111 == 0o111
    shells = [shell for name in ("dash", "sh") if (shell := shutil.which(name))]
    assert shells
    for shell in shells:
        assert subprocess.run([shell, "-n", str(HOOK)], check=False).returncode == 0
