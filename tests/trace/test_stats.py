"""`ledger stats`: what the logs have on record, counted."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from story import HOSTILE, Story, usual_story

from ledger.cli.main import run

_STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_NONE = {"agent": 0, "human": 0, "unknown": 0}


@pytest.fixture
def story(sandbox: Any) -> Story:
    """Two people's sessions; three commits, of which one was amended; one of the old kind, without lines."""
    story, _ = usual_story(sandbox)
    edit = story.call("Edit", {"file_path": "a.py"})
    story.commit("one", {"a.py": "1\n2\n3\n"}, inside=edit, lines={"a.py": [(1, 2, edit, "exact"), (3, 3, "human")]})
    story.session = "grace"
    story.start(git_name="Grace Example", git_email="grace@example.invalid")
    story.ask("more, please")
    edit = story.call("Edit", {"file_path": "b.py"})
    old = story.commit("two", {"b.py": "1\n"}, links={"b.py": edit}, lines={"b.py": [(1, 1, edit, "exact")]})
    story.sandbox.git("commit", "-q", "--amend", "-m", "two, better", cwd=story.repo)
    new = story.sandbox.git("rev-parse", "HEAD", cwd=story.repo)
    story.log.append("commit.rewritten", {"how": "amend", "rewrites": [{"old": old, "new": new}]}, source="git")
    story.record(new, links={"b.py": edit}, lines={"b.py": [(1, 1, edit, "exact")]})
    story.write()
    return story


def stats(story: Story, capfd: Any, *words: str) -> Any:
    """Return what `ledger stats --json` prints."""
    capfd.readouterr()
    assert run(["-C", str(story.repo), "stats", "--json", *words]) == 0
    return json.loads(capfd.readouterr().out)


def test_agents_people_paths_and_time_are_counted(story, capfd):
    """Calls, prompts, commits and lines come out by agent, by who asked, by path and by month."""
    found = stats(story, capfd)
    (agent,) = found["agents"]
    assert (agent["agent"], agent["sessions"], agent["prompts"], agent["calls"]) == ("codex", 2, 2, 7)
    assert (agent["failed"], agent["denied"], agent["commits"], agent["lines"]) == (1, 0, 3, 3)
    people = {item["who"]["name"]: (item["calls"], item["commits"], item["lines"]) for item in found["people"]}
    assert people == {"Ada Example": (6, 2, 2), "Grace Example": (1, 1, 1)}
    paths = {item["path"]: (item["commits"], item["lines"]) for item in found["paths"]}
    assert paths == {
        "a.py": (1, {"agent": 2, "human": 1, "unknown": 0}),
        "b.py": (1, {"agent": 1, "human": 0, "unknown": 0}),
        "calc.py": (1, _NONE),
    }
    (month,) = found["time"]
    assert (month["period"], month["sessions"], month["commits"]) == ("2026-01", 2, 3)
    assert found["lines"] == month["lines"] == {"agent": 3, "human": 1, "unknown": 0}
    assert found["approvals"] == {"approved": 1} and found["network"] == {"denied": 1}


def test_an_amended_commit_counts_once(story, capfd):
    """What became another recorded commit is counted as that; commits without lines are said to be."""
    found = stats(story, capfd)
    assert found["commits"] == {"recorded": 3, "made_in_calls": 2}
    assert any("1 of 3 recorded commits list no lines" in sentence for sentence in found["unknown"])


@pytest.mark.parametrize(
    ("how", "basis", "counted"),
    [
        ("amend", None, 1),
        ("rebase", None, 1),
        ("other", None, 1),
        ("cherry-pick", None, 2),
        ("link", "inferred", 2),
        ("amend", "claimed", 2),
    ],
)
def test_only_what_became_another_commit_is_counted_as_that(sandbox, capfd, how, basis, counted):
    """What was picked is still there; what a link infers, or somebody claimed, takes no commit out of the count."""
    story = Story(sandbox)
    old, new = (story.commit(path, {path: "1\n"}, lines={path: [(1, 1, "human")]}) for path in ("a", "b"))
    said = {} if basis is None else {"basis": {"rewrites": basis}}
    rewrites = [{"old": old, "new": new}, {"old": new, "new": new}]
    story.log.append("commit.rewritten", {"how": how, "rewrites": rewrites, **said}, source="git")
    story.write()
    found = stats(story, capfd)
    assert (found["commits"]["recorded"], found["lines"]["human"], len(found["paths"])) == (counted, counted, counted)


def test_a_commit_that_two_logs_recorded_counts_once(sandbox, capfd):
    """A second clone of one's own saw the commit arrive: the log that knows whose it is counts it."""
    story = Story(sandbox)
    oid = story.commit("pulled", {"a.py": "1\n2\n"}, lines={"a.py": [(1, 2, "unknown")]})
    other = Story(sandbox, "other", roots=[story.root])
    other.repo = story.repo
    other.start()
    call = other.call("Write", {"file_path": "a.py"})
    other.record(oid, inside=call, links={"a.py": call}, lines={"a.py": [(1, 2, call, "exact")]})
    other.write()
    story.write()
    found = stats(story, capfd)
    assert len(found["logs"]) == 2 and found["commits"] == {"recorded": 1, "made_in_calls": 1}
    assert found["lines"] == {"agent": 2, "human": 0, "unknown": 0} and found["agents"][0]["commits"] == 1
    assert found["paths"] == [{"path": "a.py", "commits": 1, "lines": {"agent": 2, "human": 0, "unknown": 0}}]


def test_how_many_paths_lines_are_wanting_is_said(sandbox, capfd):
    """Of what the hook left, the process that seals told one path later; the other is not counted."""
    story = Story(sandbox)
    oid = sandbox.commit(story.repo, "many", {"a.py": "1\n", "b.py": "2\n"})
    paths = [{"path": name, "status": "A", "blob": name, "link": "none", "calls": []} for name in ("a.py", "b.py")]
    about = {"oid": oid, "tree": "t", "patch_id": "p", "trailers": []}
    first = story.log.append("commit.recorded", {**about, "paths": paths[:1], "lines_left": 2, "part": [1, 2]}, source="git")
    story.log.append("commit.recorded", {**about, "paths": paths[1:], "lines_left": 2, "part": [2, 2]}, source="git")
    told = {**about, "paths": [{**paths[0], "lines": [{"range": [1, 1], "by": "human"}]}], "via": "later"}
    story.log.append("commit.recorded", told, source="git", cause=first)
    story.write()
    found = stats(story, capfd)
    assert found["lines"] == {"agent": 0, "human": 1, "unknown": 0}
    assert any("The lines of 1 path are not counted" in sentence for sentence in found["unknown"])


def test_only_the_time_asked_for_is_counted(story, capfd):
    """--since and --until bound what is counted by the time that entries claim; --every divides it."""
    grace = next(seq for seq, record in enumerate(story.log.records()) if b'"session":"grace"' in record)
    at = f"2026-01-02T00:{grace // 60:02}:{grace % 60:02}"
    found = stats(story, capfd, "--since", at, "--every", "day")
    assert [item["who"]["name"] for item in found["people"]] == ["Grace Example"]
    assert [item["period"] for item in found["time"]] == ["2026-01-02"]
    before = stats(story, capfd, "--until", "2026-01-01")
    assert before["agents"] == before["time"] == [] and before["commits"]["recorded"] == 0
    assert stats(story, capfd, "--since", "2026-01-02", "--until", "2026-01")["commits"]["recorded"] == 3


def test_malformed_lines_are_not_counted(sandbox, capfd, monkeypatch):
    """Ranges that overlap, run backwards or are none add nothing, whatever an entry says."""
    monkeypatch.setattr("story.format_wrote", lambda item: item)
    story = Story(sandbox)
    bad = [{"range": [1, 2], "by": "human"}, {"range": [2, 9], "by": "human"}, {"range": [5, 4]}, {"range": "x"}, 7, {}]
    story.commit("odd", {"a.py": "1\n2\n"}, lines={"a.py": bad})
    story.write()
    assert stats(story, capfd)["lines"] == {"agent": 0, "human": 2, "unknown": 0}


def test_the_page_shows_it_and_escapes_what_is_hostile(sandbox, capfd):
    """People see names, paths and figures; what would steer a terminal is an escape."""
    story = Story(sandbox)
    story.session = HOSTILE
    story.start(git_name=HOSTILE, git_email=HOSTILE)
    call = story.call(HOSTILE, {"command": HOSTILE})
    story.add("network.decided", {"host": "x", "decision": HOSTILE})
    path = "\x1b[31m\n\u202ename"
    story.commit("x", {path: "1\n"}, links={path: call}, lines={path: [(1, 1, call, "exact")]})
    story.write()
    assert run(["-C", str(story.repo), "stats"]) == 0
    out = capfd.readouterr().out
    assert "codex" in out and "\\x1b[31m" in out and not _STEERING.search(out)


@pytest.mark.parametrize("words", [["--since", "yesterday"], ["--every", "moon"]])
def test_times_that_are_none_are_wrong_usage(story, capfd, words):
    """What is no time, or no way to divide it, is refused."""
    assert run(["-C", str(story.repo), "stats", *words]) == 2
