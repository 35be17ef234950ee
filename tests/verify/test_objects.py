"""One contract for both ways of reading commits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.errors import RepoError
from ledger.repo.gitdir import find_repository
from ledger.repo.objects import CatFileSource, CommitObject, LibgitSource, Objects, open_source

SOURCES = {"libgit2": LibgitSource, "cat-file": CatFileSource}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> Any:
    """Either source's class."""
    return SOURCES[request.param]


def objects(source: Any, path: Path) -> Objects:
    """Return the objects of the repository at `path`, read through `source`."""
    repo = find_repository(str(path))
    return Objects(repo, source=source(repo))


def test_a_commit_is_what_git_says(sandbox: Any, source: Any) -> None:
    """Tree, parents in their order, and the message's bytes are those of the object."""
    repo = sandbox.make_repo(commit=True)
    first = sandbox.git("rev-parse", "HEAD", cwd=repo)
    side = sandbox.commit(repo, "side")
    tree = sandbox.git("rev-parse", "HEAD^{tree}", cwd=repo)
    merge = sandbox.git("commit-tree", "-p", side, "-p", first, "-m", "merge\n\nbody", tree, cwd=repo)
    assert objects(source, repo).commit(merge) == CommitObject(merge, tree, (side, first), b"merge\n\nbody\n")
    assert objects(source, repo).commit(first).parents == ()  # type: ignore[union-attr]


def test_what_is_no_commit_here_is_none(sandbox: Any, source: Any) -> None:
    """Absent ids, trees, blobs, short names, refs and other words are all None, in the order that was asked."""
    repo = sandbox.make_repo(commit=True)
    head = sandbox.git("rev-parse", "HEAD", cwd=repo)
    tree, blob = sandbox.git("rev-parse", "HEAD^{tree}", "HEAD:README", cwd=repo).split("\n")
    asked = ["", "0" * 40, tree, head, blob, head[:10], "HEAD", "HEAD\n" + head, "--batch", head.upper(), "f" * 64, head]
    found = list(objects(source, repo).commits(asked))
    assert [commit.oid if commit else None for commit in found] == [head if oid == head else None for oid in asked]


def test_messages_may_be_any_bytes(sandbox: Any, source: Any) -> None:
    """A message that is not UTF-8, or that has NUL in it, comes back byte for byte; so does a signature header's neighbourhood."""
    repo = sandbox.make_repo(commit=True)
    tree = sandbox.git("rev-parse", "HEAD^{tree}", cwd=repo)
    raw = f"tree {tree}\nauthor A <a@b.invalid> 1 +0000\ncommitter A <a@b.invalid> 1 +0000\nencoding ISO-8859-1\n\n".encode()
    file = repo / "raw"
    file.write_bytes(raw + b"caf\xe9\n\nparent of nothing\n")
    oid = sandbox.git("hash-object", "-t", "commit", "-w", "--literally", str(file), cwd=repo)
    found = objects(source, repo).commit(oid)
    assert found is not None and found.message == b"caf\xe9\n\nparent of nothing\n" and found.parents == ()


def test_a_shallow_boundary_keeps_its_parents(sandbox: Any, source: Any) -> None:
    """In a shallow clone a commit's parents are what its bytes say, though git hides them."""
    repo = sandbox.make_repo(commit=True)
    first = sandbox.git("rev-parse", "HEAD", cwd=repo)
    head = sandbox.commit(repo, "second")
    clone = sandbox.root / "shallow"
    sandbox.git("clone", "-q", "--depth=1", f"file://{repo}", str(clone), cwd=sandbox.root)
    assert objects(source, clone).commit(head).parents == (first,)  # type: ignore[union-attr]


def test_many_at_once(sandbox: Any, source: Any) -> None:
    """More ids than one batch holds come back in order."""
    repo = sandbox.make_repo(commit=True)
    head = sandbox.git("rev-parse", "HEAD", cwd=repo)
    asked = [head if number % 3 else f"{number:040x}" for number in range(2000)]
    found = list(objects(source, repo).commits(asked))
    assert [commit is not None for commit in found] == [bool(number % 3) for number in range(2000)]


def test_nothing_is_fetched_for_a_commit_that_is_not_here(sandbox: Any, source: Any) -> None:
    """In a partial clone an unknown id is absent; the promised remote is not asked, though it has the commit."""
    repo = sandbox.make_repo(commit=True)
    sandbox.git("config", "uploadpack.allowFilter", "true", cwd=repo)
    sandbox.git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=repo)
    clone = sandbox.root / "partial"
    sandbox.git("clone", "-q", "--no-local", "--filter=blob:none", f"file://{repo}", str(clone), cwd=sandbox.root)
    later = sandbox.commit(repo, "later")
    assert objects(source, clone).commit(later) is None
    assert sandbox.git("cat-file", "--batch-all-objects", "--batch-check", cwd=clone).find(later) == -1


def test_sha256_repositories_are_read_through_git(sandbox: Any) -> None:
    """Where libgit2 does not open a repository, the source is git itself, and commits have their ids of 64 digits."""
    repo = sandbox.make_repo("long", "--object-format=sha256", commit=True)
    head = sandbox.git("rev-parse", "HEAD", cwd=repo)
    place = find_repository(str(repo))
    found = Objects(place).commit(head)
    assert len(head) == 64 and found is not None and found.oid == head
    assert isinstance(open_source(place), CatFileSource)
    with pytest.raises(RepoError):
        LibgitSource(place)
