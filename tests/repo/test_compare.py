"""Many comparisons of commits at once say what git says of each."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.repo.compare import Comparer
from ledger.repo.gitdir import find_repository


@pytest.fixture
def repo(sandbox: Any) -> Any:
    """A branch that merged `main` once, one of a root of its own, and `main`, which went on."""
    path = sandbox.make_repo(commit=True)
    sandbox.git("checkout", "-q", "-b", "topic", cwd=path)
    sandbox.commit(path, "one", {"a.txt": "1\n"})
    sandbox.git("checkout", "-q", "main", cwd=path)
    sandbox.commit(path, "here", {"b.txt": "1\n"})
    sandbox.git("checkout", "-q", "topic", cwd=path)
    sandbox.git("merge", "-q", "--no-edit", "main", cwd=path)
    sandbox.commit(path, "two", {"a.txt": "1\n2\n"})
    sandbox.git("checkout", "-q", "--orphan", "other", cwd=path)
    sandbox.commit(path, "elsewhere", {"c.txt": "1\n"})
    sandbox.git("checkout", "-q", "main", cwd=path)
    sandbox.commit(path, "on", {"b.txt": "2\n"})
    return path


def test_ancestors_and_bases_are_those_of_git(sandbox, repo):
    """Of commits before, beside and without a common history; what is not here is neither."""
    oids = sandbox.git("rev-list", "--all", cwd=repo).split()
    compare = Comparer(find_repository(str(repo)))
    for tip in oids:
        before = {oid for oid in oids if sandbox.run("git", "merge-base", "--is-ancestor", oid, tip, cwd=repo).returncode == 0}
        assert compare.ancestors(tip, [*oids, "f" * 40, "no id"]) == before
        bases = {oid: sandbox.run("git", "merge-base", tip, oid, cwd=repo).stdout.strip() for oid in oids if oid not in before}
        assert compare.bases(tip, [*oids, "f" * 40]) == {oid: base for oid, base in bases.items() if base}


def test_changes_of_ranges_are_those_of_git(sandbox, repo):
    """Paths and patch-ids of each pair, also of two with one end; none of a pair without a difference."""
    oids = sandbox.git("rev-list", "--all", cwd=repo).split()
    pairs = [(old, new) for old in oids for new in oids]
    compare = Comparer(find_repository(str(repo)))
    for (old, new), paths, patch_id in zip(pairs, compare.changed(pairs), compare.patch_ids(pairs), strict=True):
        assert sorted(paths) == sorted(sandbox.git_bytes("diff", "--no-renames", "--name-only", old, new, cwd=repo).split())
        patch = sandbox.git_bytes("diff", "--no-renames", old, new, cwd=repo).decode()
        said = sandbox.git("patch-id", "--stable", cwd=repo, input=patch)
        assert patch_id == said.partition(" ")[0]


def test_a_commit_is_at_a_border_only_where_git_was_told_so(sandbox, repo):
    """A shallow clone's oldest commit is; a root is not."""
    assert not Comparer(find_repository(str(repo))).borders
    sandbox.git("clone", "-q", "--depth", "1", f"file://{repo}", "shallow", cwd=sandbox.root)
    shallow = sandbox.root / "shallow"
    assert Comparer(find_repository(str(shallow))).borders == {sandbox.git("rev-parse", "HEAD", cwd=shallow)}
