"""What a page says does not depend on how wide the screen is."""

from __future__ import annotations

from typing import Any

import pytest
from story import Story, usual_story

from ledger.cli.main import run

_LONG = "python -m pytest -q tests/unit/test_calc.py --maxfail=1 -k 'add or sub' && git status --short"
_PERSON = "Ada Example <ada@example.invalid>"
_COMMIT = "git add calc.py && git commit -qm 'Fix add()'"
_SAID = {
    "trace": [_PERSON, "ticket T-42", "Read the ticket", _LONG, _COMMIT, "https example.invalid:443", "not on the list", "calc.py"],
    "trace HEAD~1..HEAD": [_PERSON, "Fix add()", "calc.py", _COMMIT, "https example.invalid:443", "1 commit"],
    "trace --session 01a2": [_PERSON, _LONG, _COMMIT, "https example.invalid:443", "Fix add()"],
    "stats": ["codex", _PERSON, "calc.py", "2026-01", "prompts", "commits", "unknown"],
}


@pytest.fixture
def story(sandbox: Any) -> Story:
    """The usual story, with a long command in it."""
    story, _ = usual_story(sandbox)
    edit = story.call("Edit", {"file_path": "calc.py"})
    call = story.call("Bash", {"command": _LONG}, open=True)
    asked = story.add("approval.requested", {"tool": "Bash"}, {"input": b"{}"}, cause=call.request)
    story.add("approval.decided", {"decision": "approved", "scope": "once", "decider": "human"}, cause=asked)
    story.finish(call, "Bash", exit_code=1, duration_ms=5123)
    oid = story.sandbox.git("rev-parse", "HEAD", cwd=story.repo)
    story.record(oid, inside=call, links={"calc.py": edit})
    story.write()
    return story


@pytest.mark.parametrize("width", [40, 60, 64, 80, 200])
@pytest.mark.parametrize("words", _SAID)
def test_nothing_is_lost_on_a_narrow_screen(story, capfd, monkeypatch, words, width):
    """Commands, approvals, names and paths are there at any width, and within it."""
    monkeypatch.setenv("COLUMNS", str(width))
    capfd.readouterr()
    assert run(["-C", str(story.repo), *words.split()]) == 0
    out = capfd.readouterr().out
    assert max(map(len, out.splitlines())) <= width
    squeezed = "".join(out.split())
    assert [text for text in _SAID[words] if "".join(text.split()) not in squeezed] == []


def test_words_are_not_broken_where_there_is_room_below(story, capfd, monkeypatch):
    """At 64 columns the long text has a line of its own instead of a column of a few characters."""
    monkeypatch.setenv("COLUMNS", "64")
    for words, texts in {"trace": ["--maxfail=1", _COMMIT], "stats": [f"{_PERSON} asserted", "prompts 1"]}.items():
        capfd.readouterr()
        assert run(["-C", str(story.repo), *words.split()]) == 0
        lines = capfd.readouterr().out.splitlines()
        assert all(any(text in line for line in lines) for text in texts)
