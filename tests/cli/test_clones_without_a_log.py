"""A clone in which `ledger init` never ran answers from what others have, and says what to do where there is nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from story import Story, usual_story

from ledger.cli.main import run


@pytest.fixture
def second(sandbox: Any) -> tuple[Story, Path]:
    """A story, and another clone of its project whose state folder is the same."""
    story, _ = usual_story(sandbox)
    sandbox.git("clone", "-q", str(story.repo), "second", cwd=sandbox.root)
    return story, sandbox.root / "second"


WORDS = [["log"], ["show", "1"], ["stats"], ["export", "agent-trace"], ["trace", "HEAD"], ["blame", "calc.py"]]


@pytest.mark.parametrize("words", WORDS, ids=[words[0] for words in WORDS])
def test_what_another_clone_of_ones_own_recorded_is_shown(second, capfd, words):
    """Its log is on this machine, and shares the project's root: every command answers from it."""
    story, path = second
    assert run(["-C", str(path), *words, "--json"]) == 0
    assert story.log.name in capfd.readouterr().out


@pytest.mark.parametrize("words", [["log"], ["stats"], ["export", "agent-trace"]], ids=["log", "stats", "export"])
def test_where_there_is_nothing_the_remedy_is_named(sandbox, capfd, words):
    """A stranger's log in the state folder is none of this project's."""
    usual_story(sandbox)
    other = sandbox.root / "other"
    sandbox.git("init", "-q", str(other), cwd=sandbox.root)
    sandbox.commit(other, "another root", {"x": "x\n"})
    assert run(["-C", str(other), *words]) == 3
    assert "ledger sync" in capfd.readouterr().err


def test_a_trace_where_nothing_was_synced_names_the_remedy(sandbox, capfd):
    """Git still answers; what could bring more is said."""
    path = sandbox.make_repo(commit=True)
    assert run(["-C", str(path), "trace", "HEAD", "--json"]) == 0
    assert any("ledger sync" in sentence for sentence in json.loads(capfd.readouterr().out)["unknown"])
