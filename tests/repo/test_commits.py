"""What a commit changed, by two ways: all at once, as the hook asks, and one question at a time. They must agree."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ledger.repo import commits, git
from ledger.repo.added import read_added
from ledger.repo.commits import read_commit, read_commit_and_patch
from ledger.repo.gitdir import find_repository
from ledger.repo.manycommits import read_added as read_many

_PATCH = (
    "diff-tree",
    "-r",
    "--root",
    "--no-commit-id",
    "--no-renames",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--full-index",
)


@pytest.fixture
def repo(sandbox: Any) -> Path:
    """A repository with names that git quotes, a link, a binary file and a root commit."""
    path = sandbox.make_repo("odd")
    sandbox.commit(path, "root", {'a\n"b"\tc': "one\ntwo\n", "ü ü": "one\n", "gone": "x\n", "kind": "x\n", "mode": "x\n"})
    return path


def change(sandbox: Any, path: Path, name: str) -> None:
    """Make a commit of one kind."""
    if name == "odd names":
        sandbox.commit(path, name, {'a\n"b"\tc': "one\nnew\ntwo\n", "ü ü": "one\nand\n", "diff --git a/x b/x": "x\n"})
    elif name == "nothing":
        sandbox.git("commit", "-q", "--allow-empty", "-m", name, cwd=path)
    elif name == "kinds":
        (path / "mode").chmod(0o755)
        (path / "gone").unlink()
        (path / "kind").unlink()
        (path / "kind").symlink_to("mode")
        (path / "binary").write_bytes(b"\0\1")
        (path / "empty").write_bytes(b"")
        sandbox.git("add", "-A", cwd=path)
        sandbox.git("commit", "-q", "-m", name, cwd=path)
    elif name == "merge":
        sandbox.git("checkout", "-q", "-b", "side", cwd=path)
        sandbox.commit(path, "side", {"ü ü": "one\nside\n", "new": "side\n"})
        sandbox.git("checkout", "-q", "-", cwd=path)
        sandbox.commit(path, "ours", {"ü ü": "one\nours\n"})
        subprocess.run(["git", "merge", "-q", "side"], cwd=path, env=sandbox.env, capture_output=True, check=False)
        sandbox.commit(path, "merged", {"ü ü": "one\nboth\n"})


@pytest.mark.parametrize("name", ["root", "odd names", "nothing", "kinds", "merge"])
def test_asking_at_once_says_what_asking_apart_says(sandbox: Any, repo: Path, name: str) -> None:
    """Paths, patch-id and patch are the same, and each changed text's added lines are told."""
    change(sandbox, repo, name)
    here, oid = find_repository(str(repo)), sandbox.git("rev-parse", "HEAD", cwd=repo)
    facts, patch = read_commit_and_patch(here, oid)
    assert facts is not None and patch is not None
    assert facts == read_commit(here, oid)
    assert patch == git.run_git([*_PATCH, "-c", "-p", oid], cwd=here.git_dir)
    said = subprocess.run(["git", "patch-id", "--stable"], input=patch, cwd=repo, env=sandbox.env, capture_output=True, check=True)
    assert facts.patch_id == ("" if name == "merge" else said.stdout.decode().partition(" ")[0])
    added = read_added(patch, facts.paths)
    expected = {
        "root": {b'a\n"b"\tc': [(1, 2)], "ü ü".encode(): [(1, 1)], **{each: [(1, 1)] for each in (b"gone", b"kind", b"mode")}},
        "odd names": {b'a\n"b"\tc': [(2, 2)], "ü ü".encode(): [(2, 2)], b"diff --git a/x b/x": [(1, 1)]},
        "nothing": {},
        "kinds": {b"mode": [], b"gone": [], b"empty": []},
        "merge": {"ü ü".encode(): [(2, 2)]},
    }
    assert added == expected[name]


def test_links_and_submodules_have_no_lines(sandbox: Any, repo: Path) -> None:
    """A link's target and a submodule's commit are lines to git's patch, and to nobody else; a file in their place has lines."""
    sandbox.make_repo("odd/sub", commit=True)
    (repo / "link").symlink_to("mode")
    (repo / "gone").unlink()
    (repo / "gone").symlink_to("mode")
    sandbox.git("add", "-A", cwd=repo)
    sandbox.commit(repo, "links", {"text": "x\n"})
    for name, text in (("link", "x\ny\n"), ("kind", "y\n")):
        (repo / name).unlink()
        (repo / name).write_text(text)
    (repo / "gone").unlink()
    (repo / "gone").symlink_to("kind")
    sandbox.commit(repo / "sub", "moves on", {"a": "x\n"})
    sandbox.git("add", "-A", cwd=repo)
    sandbox.commit(repo, "back", {"text": "x\ny\n"})
    assert added_both_ways(sandbox, repo, "HEAD~1") == {b"text": [(1, 1)]}
    assert added_both_ways(sandbox, repo, "HEAD") == {b"kind": [(1, 1)], b"link": [(1, 2)], b"text": [(2, 2)]}


def test_a_link_that_a_merge_made_has_no_lines(sandbox: Any, repo: Path) -> None:
    """Of a merge git tells a mode for each parent, and the one that became of them."""
    change(sandbox, repo, "merge")
    sandbox.git("reset", "-q", "--soft", "HEAD~1", cwd=repo)
    (repo / ".git/MERGE_HEAD").write_text(sandbox.git("rev-parse", "side", cwd=repo) + "\n")
    (repo / "kind").unlink()
    (repo / "kind").symlink_to("mode")
    sandbox.git("add", "-A", cwd=repo)
    sandbox.git("commit", "-q", "-m", "merged", cwd=repo)
    facts, patch = read_commit_and_patch(find_repository(str(repo)), sandbox.git("rev-parse", "HEAD", cwd=repo))
    assert facts is not None and patch is not None and len(facts.parents) == 2
    assert [(item.path, item.mode) for item in facts.paths] == [(b"kind", 0o120000), ("ü ü".encode(), 0o100644)]
    assert read_added(patch, facts.paths) == {"ü ü".encode(): [(2, 2)]}


def added_both_ways(sandbox: Any, path: Path, revision: str) -> dict[bytes, list[tuple[int, int]]]:
    """Return the lines that a commit added, which must be the same asked alone and among many."""
    here, oid = find_repository(str(path)), sandbox.git("rev-parse", revision, cwd=path)
    facts, patch = read_commit_and_patch(here, oid)
    assert facts is not None and patch is not None
    added = read_added(patch, facts.paths)
    assert added is not None
    many: dict[bytes, list[tuple[int, int]]] = {}
    for span in read_many(here, [oid])[oid]:
        many.setdefault(span.path, []).append((span.first, span.last))
    assert many == {name: ranges for name, ranges in added.items() if ranges}
    return many


def test_a_commit_is_read_by_one_walk_over_its_trees(sandbox: Any, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hook waits for at each commit are two children of git, of which one reads the trees."""
    change(sandbox, repo, "odd names")
    started: list[str] = []
    spawn = git.spawn_git
    monkeypatch.setattr(git, "spawn_git", lambda args, *more: (started.append(args[0]), spawn(args, *more))[1])
    read_commit_and_patch(find_repository(str(repo)), sandbox.git("rev-parse", "HEAD", cwd=repo))
    assert started == ["diff-tree", "patch-id"]


def test_a_patch_that_is_too_large_still_has_its_paths(sandbox: Any, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then lines are not told, and everything else is."""
    change(sandbox, repo, "odd names")
    here, oid = find_repository(str(repo)), sandbox.git("rev-parse", "HEAD", cwd=repo)
    whole = read_commit(here, oid)
    monkeypatch.setattr(commits, "MAX_PATCH_BYTES", 300)
    assert read_commit_and_patch(here, oid) == (whole, None)
    assert whole is not None and len(whole.paths) == 3 and whole.patch_id


def test_what_is_no_commit_has_no_facts(sandbox: Any, repo: Path) -> None:
    """An id of nothing and an id of a tree are answered alike."""
    here = find_repository(str(repo))
    for oid in ("0" * 40, sandbox.git("rev-parse", "HEAD^{tree}", cwd=repo)):
        assert read_commit(here, oid) is None
        assert read_commit_and_patch(here, oid)[0] is None
