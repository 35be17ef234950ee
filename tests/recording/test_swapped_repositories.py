"""Whoever can write the work tree can move `.git` away, or lead it elsewhere: recording goes on, and says what happened."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from desk import Desk, Sandbox

from ledger.recorder import begin_log
from ledger.repo.gitdir import find_repository
from ledger.store.state import clone_of_tree, find_clone, find_state, state_inside


def lead_away(desk: Desk) -> Path:
    """Replace `.git` by a file that names a copy of it outside the work tree, without the ledger's folder; keep the original."""
    copy = desk.sandbox.root / "copy.git"
    shutil.copytree(desk.path / ".git", copy, symlinks=True)
    shutil.rmtree(copy / "ledger")
    (desk.path / ".git").rename(desk.sandbox.root / "original.git")
    return copy


def successor(desk: Desk) -> str:
    """Return the log that the repository at the desk's path has now."""
    clone = find_clone(str(desk.state), desk.repo.common_dir).clone
    assert clone is not None
    return clone.log


@pytest.mark.parametrize("how", ["file", "link", "commondir"])
def test_a_git_folder_elsewhere_gets_a_successor_log(sandbox: Sandbox, how: str) -> None:
    """Events go on, in a log that names the one before and keeps its settings."""
    desk = Desk.begin(sandbox, settings={"required": True})
    desk.tell(desk.prompt("one"))
    first = desk.log
    if how == "commondir":
        copy = sandbox.root / "copy.git"
        shutil.copytree(desk.path / ".git", copy, symlinks=True)
        shutil.rmtree(copy / "ledger")
        (desk.path / ".git/commondir").write_text(f"{copy}\n")
    else:
        copy = lead_away(desk)
        dot_git = desk.path / ".git"
        dot_git.symlink_to(copy) if how == "link" else dot_git.write_text(f"gitdir: {copy}\n")
    desk.tell(desk.prompt("two"))
    desk.log = successor(desk)
    assert desk.log != first
    assert desk.check()[0].body["predecessor"]["log"] == first
    assert [desk.payload(entry.seq, "prompt") for entry in desk.entries("prompt.submitted")] == [b"two"]
    clone = find_clone(str(desk.state), desk.repo.common_dir).clone
    assert clone is not None and clone.settings["required"] is True


def test_a_linked_work_tree_cannot_be_led_away_either(sandbox: Sandbox, desk: Desk) -> None:
    """A work tree is known from its first event on."""
    tree = sandbox.root / "tree"
    desk.git("worktree", "add", "-q", str(tree))
    desk.tell(desk.prompt("one", cwd=str(tree)), cwd=tree)
    copy = sandbox.root / "copy.git"
    shutil.copytree(desk.path / ".git", copy, symlinks=True)
    shutil.rmtree(copy / "ledger")
    (tree / ".git").write_text(f"gitdir: {copy}\n")
    desk.tell(desk.prompt("two", cwd=str(tree)), cwd=tree)
    found = find_clone(str(desk.state), str(copy))
    assert found.how == "known" and found.clone is not None and found.clone.log != desk.log


def test_events_wait_while_the_git_folder_is_away(desk: Desk) -> None:
    """Nothing is lost of what an agent does meanwhile, and the folder is not made anew."""
    desk.tell(desk.prompt("one"))
    away = desk.path.parent / "away.git"
    (desk.path / ".git").rename(away)
    (desk.path / "sub").mkdir()
    line = desk.complain(desk.prompt("two", cwd=str(desk.path / "sub")))
    assert "waits in the spool" in line
    assert not (desk.path / ".git").exists()
    away.rename(desk.path / ".git")
    desk.tell(desk.prompt("three"))
    said = [desk.payload(entry.seq, "prompt") for entry in desk.entries("prompt.submitted")]
    assert said == [b"one", b"two", b"three"]
    desk.check()


def test_a_work_tree_of_nobody_is_left_alone(sandbox: Sandbox, desk: Desk) -> None:
    """A copy elsewhere of a repository without a ledger opens no log."""
    other = sandbox.make_repo("other", commit=True)
    (other / ".git").rename(sandbox.root / "other.git")
    (other / ".git").write_text(f"gitdir: {sandbox.root / 'other.git'}\n")
    desk.tell(desk.prompt("x", cwd=str(other)), cwd=other)
    assert find_clone(str(desk.state), str(sandbox.root / "other.git"), str(other)).how == "unknown"
    assert clone_of_tree(str(desk.state), str(other)) is None


def test_a_state_folder_laid_into_a_moved_clone_is_not_believed(sandbox: Sandbox) -> None:
    """With `ledger.store = state` nothing under the common dir is taken for the state folder, wherever the clone went."""
    repo = sandbox.make_repo(commit=True)
    begin_log(find_repository(str(repo)), str(sandbox.state))
    moved = repo.rename(sandbox.root / "moved")
    common_dir = find_repository(str(moved)).common_dir
    Path(state_inside(common_dir), "clones").mkdir(parents=True)
    assert find_state(None, common_dir) == str(sandbox.state)


def test_a_successor_opens_through_no_link(desk: Desk) -> None:
    """With a link where the ledger's folder was, the event that opens the successor is recorded, and nothing is made at its end."""
    desk.tell(desk.prompt("one"))
    copy = lead_away(desk)
    (desk.path / ".git").write_text(f"gitdir: {copy}\n")
    victim = desk.sandbox.root / "victim"
    victim.mkdir()
    (copy / "ledger").symlink_to(victim)
    desk.tell(desk.prompt("two"))
    desk.log = successor(desk)
    assert desk.kinds() == ["session.started", "prompt.submitted"]
    assert list(victim.iterdir()) == []


def test_commits_of_a_new_work_tree_are_found(desk: Desk) -> None:
    """A work tree made since `init` in which no hook ran: its commits are recorded at its first event, and no others."""
    tree = desk.sandbox.root / "tree"
    desk.tell(desk.prompt("one"))
    desk.git("worktree", "add", "-q", str(tree))
    quiet = ("-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m")
    for message in ("hidden", "hidden too"):
        desk.sandbox.git(*quiet, message, cwd=tree)
    made = desk.sandbox.git("rev-list", "--reverse", "-2", "HEAD", cwd=tree).split()
    desk.tell(desk.prompt("two", cwd=str(tree)), cwd=tree)
    assert [entry.body["oid"] for entry in desk.entries("commit.recorded")] == made


def test_commits_of_an_old_work_tree_before_init_are_not(sandbox: Sandbox) -> None:
    """What was there when the log was opened is not taken for new, in whichever work tree it lies."""
    repo, tree = sandbox.make_repo(commit=True), sandbox.root / "tree"
    sandbox.git("worktree", "add", "-q", str(tree), cwd=repo)
    sandbox.commit(tree, "before init")
    sandbox.commit(repo, "before init as well")
    desk = Desk.begin(sandbox, repo, stubs=False)
    desk.tell(desk.prompt("one", cwd=str(tree)), cwd=tree)
    desk.tell(desk.prompt("two"))
    assert desk.entries("commit.recorded") == []
    oid = sandbox.commit(tree, "after init")
    desk.tell(desk.prompt("three", cwd=str(tree)), cwd=tree)
    assert [entry.body["oid"] for entry in desk.entries("commit.recorded")] == [oid]


def test_a_move_hides_no_commit(sandbox: Sandbox, desk: Desk) -> None:
    """A commit that no hook saw, then a move of the whole clone: the next event finds it."""
    desk.tell(desk.prompt("one"))
    oid = desk.commit_unseen("hidden", {"a": "1\n"})
    moved = Desk(sandbox, desk.path.rename(sandbox.root / "moved"))
    moved.log = desk.log
    moved.tell(moved.prompt("two"))
    assert [entry.body["oid"] for entry in moved.entries("commit.recorded")] == [oid]
