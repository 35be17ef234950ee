"""Settings that git has around it, and that change no answer of ours: what a commit added, and its patch-id."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ledger.repo.added import read_added
from ledger.repo.commits import read_commit_and_patch
from ledger.repo.compare import Comparer
from ledger.repo.gitdir import find_repository
from ledger.repo.manycommits import Added, read_patch_ids
from ledger.repo.manycommits import read_added as read_many

_BEFORE = "a\n\n/**\n * d\n */\nfoo\n\n/**\n * d\n */\nbar\n\nx  \n"
_AFTER = _BEFORE.replace("foo\n", "foo\n\n/**\n * d\n */\nnew\n") + "\ny\n"
_RANGES = [(8, 12), (19, 20)]  # the comment goes with what it stands above

# What git-config(1) lists of diffs, as a person may have it; a file of attributes is made by the test.
SETTINGS = """
    diff.suppressBlankEmpty=true diff.indentHeuristic=false core.bigFileThreshold=1 core.attributesFile=~/attributes
    core.abbrev=4 core.abbrev=40 core.quotePath=true
    diff.noprefix=true diff.mnemonicPrefix=true diff.context=0 diff.context=20 diff.interHunkContext=50 diff.renames=copies
    diff.algorithm=patience diff.algorithm=minimal diff.submodule=log diff.submodule=diff diff.wsErrorHighlight=all
    diff.orderFile=~/order diff.relative=true diff.ignoreSubmodules=all diff.colorMoved=zebra diff.wordRegex=. diff.srcPrefix=x/
    diff.external=/bin/false color.ui=always color.diff=always log.showRoot=false log.diffMerges=first-parent
""".split()


@pytest.fixture
def repo(sandbox: Any) -> Path:
    """A repository whose last commit changes text around empty lines, and binary files."""
    path: Path = sandbox.make_repo("odd")
    (path / "binary").write_bytes(b"\0\1")
    sandbox.git("add", "-A", cwd=path)
    sandbox.commit(path, "root", {"b.txt": _BEFORE, "a.txt": "x\n"})
    (path / "binary").write_bytes(b"\0\2")
    sandbox.git("add", "-A", cwd=path)
    sandbox.commit(path, "change", {"b.txt": _AFTER, "a.txt": "y\n"})
    return path


def answers(path: Path, oid: str) -> tuple[Any, ...]:
    """Return all that is asked of a patch: added ranges by both ways, and the patch-id by all four."""
    here = find_repository(str(path))
    facts, patch = read_commit_and_patch(here, oid)
    assert facts is not None and patch is not None
    ids = {facts.patch_id, read_patch_ids(here, [oid])[oid], Comparer(here).patch_ids([(facts.parents[0], oid)])[0]}
    return read_added(patch, facts.paths), read_many(here, [oid])[oid], ids


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_setting_of_the_users_changes_what_a_commit_added(sandbox: Any, repo: Path, setting: str) -> None:
    """Lines and patch-id are those of a git without settings, and one patch-id, however it is asked for."""
    oid = sandbox.git("rev-parse", "HEAD", cwd=repo)
    added, many, ids = answers(repo, oid)
    assert added == {b"a.txt": [(1, 1)], b"b.txt": _RANGES} and len(ids) == 1
    assert many == [Added(b"a.txt", 1, 1), *(Added(b"b.txt", *span) for span in _RANGES)]
    (sandbox.home / "attributes").write_text("*.txt -diff\n")
    (sandbox.home / "order").write_text("b.txt\n")
    name, _, value = setting.partition("=")
    sandbox.git("config", "--global", name, value.replace("~", str(sandbox.home)), cwd=repo)
    assert answers(repo, oid) == (added, many, ids)


def test_a_patch_id_is_what_the_command_of_the_specification_says(sandbox: Any, repo: Path) -> None:
    """Anybody can compute it, also of a binary file, with git alone."""
    page = Path(__file__).parents[2].joinpath("docs/spec/entry.md").read_text()
    (command,) = re.findall(r"^    (git -C (?:.*\\\n)*.*patch-id --stable)$", page, re.MULTILINE)
    sandbox.git("config", "--global", "core.abbrev", "7", cwd=repo)
    (repo / ".gitattributes").write_text("*.txt -diff\n")  # a work tree's may change any time, and are not asked
    for revision in ("HEAD", "HEAD~1"):
        oid = sandbox.git("rev-parse", revision, cwd=repo)
        said = sandbox.run("sh", "-c", command.replace("<oid>", oid), cwd=repo)
        assert said.stdout.split() == [read_patch_ids(find_repository(str(repo)), [oid])[oid], oid]
