"""What surrounds git cannot make the recorder run a program of the agent's, nor wait for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from desk import Desk, Sandbox

from ledger.errors import RepoError
from ledger.repo import git
from ledger.repo.commits import read_commit
from ledger.repo.gitdir import find_repository


def lay_false_git(folder: Path) -> Path:
    """Write a program called git that leaves a mark; return where the mark would be."""
    folder.mkdir(exist_ok=True)
    mark = folder / "ran"
    program = folder / "git"
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    program.chmod(0o755)
    return mark


@pytest.mark.parametrize("entry", ["bin", ".", "", "{repo}/bin", "{repo}"])
def test_a_git_of_the_work_tree_is_never_run(desk: Desk, entry: str) -> None:
    """PATH may lead into the work tree, as with node_modules/.bin: the recorder takes the next git."""
    marks = [lay_false_git(desk.path / "bin"), lay_false_git(desk.path)]
    desk.tell(desk.prompt("hi"), env={"PATH": f"{entry.format(repo=desk.path)}:{os.environ['PATH']}"})
    assert not any(mark.exists() for mark in marks)
    assert b"ada@example" in desk.payload(desk.one("session.started").seq, "principal")


def test_without_another_git_the_event_is_recorded_all_the_same(desk: Desk) -> None:
    """An agent whose PATH has no git but its own loses git's identity, and nothing else."""
    mark = lay_false_git(desk.path / "bin")
    desk.tell(desk.prompt("hi"), env={"PATH": f"{desk.path}/bin"})
    assert not mark.exists()
    assert desk.kinds() == ["session.started", "prompt.submitted"]


def test_a_git_elsewhere_is_found_from_anywhere(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Being called from the folder that holds git is no reason not to use it."""
    found = git.find_git("/")
    monkeypatch.chdir(os.path.dirname(found))
    assert git.find_git(str(sandbox.root)) == found


def test_attributes_that_never_end_cost_the_patch_id_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a FIFO for git to read, `git diff -p` waits for ever; the commit is read without it."""
    monkeypatch.setattr("ledger.repo.commits.PATIENCE_S", 4.0)
    oid = desk.commit("a change", {"a.txt": "a\n"})
    os.mkfifo(desk.path / ".git/info/attributes")
    facts = read_commit(find_repository(str(desk.path)), oid)
    assert facts is not None
    assert (facts.oid, [change.path for change in facts.paths], facts.patch_id) == (oid, [b"a.txt"], "")


def test_settings_that_never_end_are_an_error(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git itself waits for a FIFO, the recorder gives up, and leaves no process behind."""
    monkeypatch.setattr("ledger.repo.commits.PATIENCE_S", 1.0)
    oid = desk.commit("a change", {"a.txt": "a\n"})
    (desk.path / ".git/config").unlink()
    os.mkfifo(desk.path / ".git/config")
    with pytest.raises(RepoError, match="did not end"):
        read_commit(find_repository(str(desk.path)), oid)
    assert git_children() == []


def git_children() -> list[str]:
    """Return the pids of this process's children that are git, dead ones that nobody waited for among them."""
    if not os.path.isdir("/proc/self"):
        pytest.skip("the children of a process are looked for in /proc")
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            head, _, rest = Path("/proc", pid, "stat").read_text().rpartition(")")
        except OSError:
            continue  # it ended meanwhile
        if rest.split()[1] == str(os.getpid()) and head.partition("(")[2] == "git":
            found.append(pid)
    return found
