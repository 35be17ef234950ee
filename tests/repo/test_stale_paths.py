"""Which tracked files are not as git's index has them, by reading that file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.repo.gitdir import find_repository
from ledger.repo.index import stale_paths


def change(path: Path) -> None:
    """Let a person write, remove, move and replace tracked files."""
    (path / "changed").write_text("longer than before\n")
    (path / "sub/gone").unlink()
    (path / "link").unlink()
    (path / "kind").unlink()
    (path / "kind").mkdir()
    for name in ("folder/a", "folder/b"):
        (path / name).unlink()
    (path / "folder").rmdir()
    (path / "folder").write_text("a file now\n")


@pytest.fixture
def repo(sandbox: Any) -> Path:
    """A repository with files of some kinds."""
    path: Path = sandbox.make_repo()
    (path / "link").symlink_to("kept")
    sandbox.git("add", "-A", cwd=path)
    sandbox.commit(path, "one", {name: f"{name}\n" for name in ("kept", "changed", "sub/gone", "kind", "folder/a", "folder/b")})
    return path


def test_what_is_gone_and_what_changed_is_stale(sandbox: Any, repo: Path) -> None:
    """Each comes with the blob that the index has; what is gone comes first."""
    assert stale_paths(find_repository(str(repo)), "sha1") == {}
    change(repo)
    found = stale_paths(find_repository(str(repo)), "sha1")
    assert list(found) == [b"folder/a", b"folder/b", b"link", b"sub/gone", b"changed", b"kind"]
    for name, blob in found.items():
        assert blob == sandbox.git("rev-parse", f"HEAD:{name.decode()}", cwd=repo)


def test_what_a_sparse_checkout_leaves_out_is_not_gone(sandbox: Any, repo: Path) -> None:
    """Git took it away, and would not show it as deleted; nor is a file gone that is only meant to be added."""
    sandbox.git("sparse-checkout", "set", "--no-cone", "/kept", "/changed", cwd=repo)
    (repo / "meant").write_text("x\n")
    sandbox.git("add", "--sparse", "-N", "meant", cwd=repo)
    (repo / "meant").unlink()
    (repo / "kept").unlink()
    assert not (repo / "sub").exists()
    assert list(stale_paths(find_repository(str(repo)), "sha1")) == [b"kept"]


@pytest.mark.parametrize("form", [("--index-version=4",), ("--split-index",)])
def test_an_index_that_is_not_read_says_nothing(sandbox: Any, repo: Path, form: tuple[str, ...]) -> None:
    """Version 4 and split indexes are for large repositories."""
    sandbox.git("update-index", *form, cwd=repo)
    change(repo)
    assert stale_paths(find_repository(str(repo)), "sha1") == {}
