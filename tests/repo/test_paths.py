"""Which path of the work tree an agent means by what it names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger.repo.blobs import path_inside

NAMED = {
    "a.txt": b"a.txt",
    "./sub//a.txt": b"sub/a.txt",
    "sub/../a.txt": b"a.txt",
    "link/../a.txt": b"sub/a.txt",
    "link": b"link",
    "sub/": b"sub",
    "sub/..": None,
    "..": None,
    ".": None,
    "": None,
    "/": None,
    "//": None,
    "../outside": None,
    ".git/config": None,
    "a\0b": None,
}


@pytest.mark.parametrize("name", NAMED)
def test_a_name_is_a_path_inside_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Links on the way are followed, the last part is not; the work tree itself is no path in it, wherever this process is."""
    tree = Path(os.path.realpath(tmp_path)) / "tree"
    (tree / "sub/deep").mkdir(parents=True)
    (tree / "link").symlink_to("sub/deep")
    monkeypatch.chdir(tree)
    assert path_inside(str(tree), str(tree), name) == NAMED[name]
