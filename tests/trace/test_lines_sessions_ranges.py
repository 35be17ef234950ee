"""`ledger trace` of a line, of a session and of a range of commits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from story import HOSTILE, Story, usual_story

from ledger.cli.main import run

_STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


class Said(NamedTuple):
    """What a command exited with and printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed, as JSON."""
        return json.loads(self.out)


@pytest.fixture
def ledger(capfd: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Return a function that runs a command in a story's repository, on a page wide enough not to break short lines."""
    monkeypatch.setenv("COLUMNS", "120")

    def call(story: Story, *words: str, below: str = "") -> Said:
        capfd.readouterr()
        code = run(["-C", str(story.repo / below), *words])
        return Said(code, *capfd.readouterr())

    return call


@pytest.fixture
def story(sandbox: Any) -> Story:
    """Two sessions of two people, three commits of which two are recorded, in one log."""
    story, _ = usual_story(sandbox)
    edit = story.call("Edit", {"file_path": "calc.py"})
    story.commit(
        "Add mul()",
        {"sub/calc.py": "one\ntwo\nthree\n"},
        inside=edit,
        links={"sub/calc.py": edit},
        lines={"sub/calc.py": [(1, 2, edit, "exact"), (3, 3, "human")]},
    )
    story.session = "02b20402-de18-7120-9901-0df46998aa71"
    story.start(git_name="Grace Example", git_email="grace@example.invalid")
    story.ask("document it")
    edit = story.call("Edit", {"file_path": "calc.py"})
    lines = {"sub/calc.py": [(1, 1, edit, "exact")]}
    story.commit("Document it", {"sub/calc.py": "# doc\none\ntwo\nthree\n"}, links={"sub/calc.py": edit}, lines=lines)
    sandbox.commit(story.repo, "unrecorded", {"other.py": "x\ny\n"})
    story.write()
    return story


# A line


def test_a_line_leads_to_the_words_that_caused_it(story, ledger):
    """The line's writer, commit, entry, call and prompt are all there."""
    found = ledger(story, "trace", "--json", "sub/calc.py:1").json
    assert (found["path"], found["line"], found["text"]) == ("sub/calc.py", 1, "# doc")
    assert (found["by"], found["link"], found["basis"]) == ("agent", "exact", "lines")
    assert found["commit"]["commit"]["subject"] == "Document it" and found["commit"]["match"]["rung"] == "exact"
    assert found["call"]["call"]["tool"] == "Edit" and found["call"]["session"] == story.session
    assert found["asked"]["prompt"] == "document it" and found["asked"]["who"]["name"] == "Grace Example"
    assert found["verdict"] == "consistent"


@pytest.mark.parametrize(
    ("what", "below", "line", "subject"),
    [
        ("calc.py:2", "sub", "one", "Add mul()"),
        ("HEAD~2:sub/calc.py:1", "", "one", "Add mul()"),
        ("HEAD~2:sub/calc.py:1", "sub", "one", "Add mul()"),
        ("HEAD~2:./calc.py:1", "sub", "one", "Add mul()"),
        ("sub/../other.py:2", "", "y", "unrecorded"),
    ],
)
def test_a_line_is_named_as_git_names_files(story, ledger, what, below, line, subject):
    """A path is relative to where one stands; behind a revision it begins at the root, unless with a dot."""
    found = ledger(story, "trace", "--json", what, below=below).json
    assert (found["text"], found["commit"]["commit"]["subject"]) == (line, subject)


def test_a_persons_line_has_no_call(story, ledger):
    """What a person wrote leads to the commit, and no further."""
    found = ledger(story, "trace", "--json", "sub/calc.py:4").json
    assert (found["by"], found["call"], found["asked"]) == ("human", None, None)
    assert "human" in ledger(story, "trace", "sub/calc.py:4").out


def test_a_file_with_a_colon_in_its_name_can_be_named(story, ledger):
    """What is no revision before the colon is part of the path."""
    story.sandbox.commit(story.repo, "odd", {"we:ird.py": "z\n"})
    assert ledger(story, "trace", "--json", "we:ird.py:1").json["path"] == "we:ird.py"


@pytest.mark.parametrize("what", ["sub/calc.py:99", "nothing.py:1", "sub/calc.py:0", "sub/calc.py:x", "HEAD:sub/calc.py", "../x:1"])
def test_what_names_no_line_is_wrong_usage(story, ledger, what):
    """No such line or file, and what has another form, is refused in a line."""
    said = ledger(story, "trace", what)
    assert said.code == 2 and "Traceback" not in said.err and said.err.strip()


# A session


def test_a_session_is_shown_with_all_it_did_and_the_commits_that_came_of_it(story, ledger):
    """The eight answers over the whole session, and its commits with the lines that its calls wrote."""
    found = ledger(story, "trace", "--json", "--session", "01a2").json
    assert found["session"]["id"].startswith("01a20402") and found["session"]["agent"] == "codex"
    assert found["session"]["who"]["principal"] == "ada@example.invalid"
    assert len(found["asked"]) == 1 and len(found["ran"]) == 6 and len(found["approvals"]) == 1
    assert found["network"][0]["decision"] == "denied" and found["boundary"][0]["mode"] == "workspace-write"
    subjects = [(item["commit"]["subject"], item["lines"], item["made_in_session"]) for item in found["commits"]]
    assert subjects == [("Fix add()", None, True), ("Add mul()", 2, True)]


def test_a_commit_by_hand_of_what_a_session_left_is_told_apart(story, ledger):
    """The session's calls wrote it, and somebody else committed it."""
    found = ledger(story, "trace", "--json", "--session", story.session).json
    assert [(item["made_in_session"], item["lines"]) for item in found["commits"]] == [(False, 1)]
    assert "committed by somebody else" in ledger(story, "trace", "--session", story.session).out


def renamed(sandbox: Any) -> tuple[Story, str]:
    """Return a story in which a person amends and then renames what an agent wrote; records tie lines to its call, and no path."""
    story = Story(sandbox)
    story.start()
    story.add("boundary.declared", {"mode": "workspace-write"})
    story.ask("write it")
    call = story.call("Write", {"file_path": "a.py"})
    wrote = [(1, 2, call, "exact")]
    old = story.commit("by hand", {"a.py": "one\ntwo\n"}, links={"a.py": call}, lines={"a.py": wrote}, trailer=False)
    story.ask("and now something else")
    story.call("Bash", {"command": "make unrelated"})
    sandbox.git("commit", "-q", "--amend", "-m", "better words", cwd=story.repo)
    new = sandbox.git("rev-parse", "HEAD", cwd=story.repo)
    story.log.append("commit.rewritten", {"how": "amend", "rewrites": [{"old": old, "new": new}]}, source="git")
    story.record(new, lines={"a.py": wrote})
    sandbox.git("mv", "a.py", "b.py", cwd=story.repo)
    sandbox.git("commit", "-q", "-m", "rename", cwd=story.repo)
    story.record(sandbox.git("rev-parse", "HEAD", cwd=story.repo), lines={"b.py": wrote})
    story.write()
    return story, f"{story.log.name}/{call.request}"


def test_calls_whose_lines_a_commit_has_are_in_every_answer(sandbox, ledger):
    """After a rename the path is linked to no call; its lines are, so call, prompt, bounds, session and commit are told of it."""
    story, call = renamed(sandbox)
    found = ledger(story, "trace", "--json", "HEAD").json
    lines = [part for path in found["changed"] for part in path["lines"]]
    assert lines == [{"range": [1, 2], "call": call}]
    assert [item["entry"] for item in found["ran"]] == [call] and found["ran"][0]["outcome"] == "finished"
    assert [item["prompt"] for item in found["asked"]] == ["write it"], "what the session does by now is another thing"
    assert [item["mode"] for item in found["boundary"]] == ["workspace-write"]
    range_ = ledger(story, "trace", "--json", "HEAD~1..HEAD").json
    assert range_["commits"][0]["sessions"] == [story.session] and range_["ran"]["count"] == 1
    session = ledger(story, "trace", "--json", "--session", story.session).json
    subjects = [(item["commit"] or {"subject": None})["subject"] for item in session["commits"]]
    assert subjects == ["by hand", "better words", "rename"]
    assert [item["lines"] for item in session["commits"]] == [2, 2, 2]
    stats = ledger(story, "stats", "--json").json
    assert (stats["agents"][0]["commits"], stats["people"][0]["commits"]) == (2, 2), "the amended one and the rename"


def test_a_session_must_be_named_so_that_it_is_one(story, ledger):
    """A beginning that fits two sessions lists them, one that fits none says so."""
    said = ledger(story, "trace", "--session", "0")
    assert said.code == 2 and "01a20402" in said.err and "02b20402" in said.err
    assert ledger(story, "trace", "--session", "nope").code == 2
    assert ledger(story, "trace", "--session", "").code == 2
    assert ledger(story, "trace", "--session", "01a2", "HEAD").code == 2


# A range


def test_a_range_sums_up_commits_sessions_lines_and_what_was_allowed(story, ledger):
    """A pull request in one answer: who asked whom, whose lines, what ran, what was decided, what is unknown."""
    found = ledger(story, "trace", "--json", f"{story.root}..HEAD").json
    assert [item["commit"]["subject"] for item in found["commits"]] == ["Fix add()", "Add mul()", "Document it", "unrecorded"]
    assert [item["match"]["rung"] for item in found["commits"]] == ["exact"] * 3 + ["none"]
    assert [item["lines"] for item in found["commits"]][1:] == [
        {"agent": 2, "human": 1, "unknown": 0},
        {"agent": 1, "human": 0, "unknown": 0},
        {"agent": 0, "human": 0, "unknown": 2},
    ]
    # The first record is of the old kind, without lines: what its one call left is inferred.
    assert found["lines"] == {"agent": 5, "human": 1, "unknown": 2}
    assert [(item["who"]["name"], item["agent"], len(item["commits"])) for item in found["sessions"]] == [
        ("Ada Example", "codex", 2),
        ("Grace Example", "codex", 1),
    ]
    assert found["ran"]["count"] == 7 and found["ran"]["outcomes"] == {"finished": 6, "failed": 1}
    assert found["ran"]["mcp_servers"] == {"tickets": 1}
    assert len(found["approvals"]) == len(found["network"]) == len(found["boundary"]) == 1
    assert {item["path"]: item["lines"]["agent"] for item in found["paths"]} == {"calc.py": 2, "sub/calc.py": 3, "other.py": 0}
    assert "1 of the 4 commits are in no log here." in found["unknown"]


def test_an_empty_range_has_no_commits_and_is_no_error(story, ledger):
    """HEAD..HEAD is a range."""
    found = ledger(story, "trace", "--json", "HEAD..HEAD").json
    assert found["commits"] == [] and found["lines"] == {"agent": 0, "human": 0, "unknown": 0}
    assert ledger(story, "trace", "HEAD..HEAD").code == 0


@pytest.mark.parametrize("what", ["nowhere..HEAD", "HEAD..nowhere", "..nowhere", "--all..HEAD"])
def test_a_range_that_names_nothing_is_wrong_usage(story, ledger, what):
    """What git cannot resolve is refused, and no option gets through to git."""
    said = ledger(story, "trace", "--", what)
    assert said.code == 2 and "Traceback" not in said.err


@pytest.mark.parametrize("what", [["sub/calc.py:1"], ["--session", "02b2"], ["HEAD~3..HEAD"]], ids=["line", "session", "range"])
def test_the_pages_say_it_to_people(story, ledger, what):
    """Each has a page, in which the writer, the person and the words or the commits can be read."""
    said = ledger(story, "trace", *what)
    assert said.code == 0 and "Grace Example" in said.out and "Document it" in said.out


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["page", "json"])
def test_hostile_texts_steer_no_terminal(sandbox, ledger, form):
    """Prompts, sessions, tools, hosts, subjects and lines with escapes in them are shown as escapes."""
    story = Story(sandbox)
    story.session = HOSTILE
    story.start(git_name=HOSTILE, git_email=HOSTILE)
    story.ask(HOSTILE)
    call = story.call(HOSTILE, {"command": HOSTILE}, mcp_server=HOSTILE)
    story.add("network.decided", {"host": HOSTILE, "decision": HOSTILE, "reason": HOSTILE})
    story.commit(HOSTILE, {"a.py": f"{HOSTILE}\n"}, inside=call, links={"a.py": call}, lines={"a.py": [(1, 1, call, "exact")]})
    story.write()
    for what in (["a.py:1"], ["--session", "[red]"], ["HEAD~1..HEAD"]):
        said = ledger(story, "trace", *what, *form)
        assert said.code == 0 and not _STEERING.search(said.out)
