"""`ledger export agent-trace`: the attribution in the form of Agent Trace 0.1.0, with the names of our entries."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from story import HOSTILE, Story, usual_story

from ledger.cli.main import run

_is_time = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z").fullmatch


def check_record(record: dict[str, Any]) -> None:
    """Hold a record to the schema of the specification's section 6.1 (its pattern for `version` apart: docs/export.md)."""
    assert set(record) <= {"version", "id", "timestamp", "vcs", "tool", "files", "metadata"}
    assert record["version"] == "0.1.0" and str(uuid.UUID(record["id"])) == record["id"] and _is_time(record["timestamp"])
    assert record["vcs"]["type"] == "git" and re.fullmatch("[0-9a-f]{40}", record["vcs"]["revision"])
    assert set(record["tool"]) == {"name", "version"}
    for file in record["files"]:
        assert set(file) == {"path", "conversations"} and isinstance(file["path"], str)
        for conversation in file["conversations"]:
            assert set(conversation) == {"contributor", "ranges"} and conversation["ranges"]
            assert set(conversation["contributor"]) <= {"type", "model_id"}
            assert conversation["contributor"]["type"] in ("human", "ai", "mixed", "unknown")
            assert len(conversation["contributor"].get("model_id", "")) <= 250
            for span in conversation["ranges"]:
                assert set(span) == {"start_line", "end_line"} and 1 <= span["start_line"] <= span["end_line"]


@pytest.fixture
def story(sandbox: Any) -> Story:
    """Two sessions that wrote one file, a person's line and an unknown one in it, and a commit that nobody recorded."""
    story, _ = usual_story(sandbox)
    first = story.call("Edit", {"file_path": "a.py"})
    story.session = "second"
    story.add("session.started", {"model": "somebody/some-model"})
    second = story.call("Edit", {"file_path": "a.py"})
    lines = [(1, 1, first, "exact"), (2, 2, second, "inferred"), (3, 3, "human"), (4, 4, "unknown"), (5, 5, first, "exact")]
    story.commit("both", {"a.py": "1\n2\n3\n4\n5\n"}, inside=second, lines={"a.py": lines})
    sandbox.commit(story.repo, "unrecorded", {"b.py": "x\n"})
    story.write()
    return story


def export(story: Story, capfd: Any, *words: str) -> list[dict[str, Any]]:
    """Return the records that are printed, one a line."""
    capfd.readouterr()
    assert run(["-C", str(story.repo), "export", "agent-trace", *words]) == 0
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    for record in records:
        check_record(record)
    return records


def test_each_recorded_commit_is_one_record_in_the_form(story, capfd):
    """Oldest first, and no record of what nobody recorded."""
    records = export(story, capfd)
    subjects = [story.sandbox.git("log", "-1", "--format=%s", item["vcs"]["revision"], cwd=story.repo) for item in records]
    assert subjects == ["Fix add()", "both"]


def test_lines_are_grouped_by_session_and_writer(story, capfd):
    """One conversation a session, one for people, one for what is unknown; a model only where it was named with its provider."""
    record = export(story, capfd, "HEAD~1")[-1]
    (file,) = record["files"]
    assert file["conversations"] == [
        {"contributor": {"type": "ai"}, "ranges": [{"start_line": 1, "end_line": 1}, {"start_line": 5, "end_line": 5}]},
        {"contributor": {"type": "ai", "model_id": "somebody/some-model"}, "ranges": [{"start_line": 2, "end_line": 2}]},
        {"contributor": {"type": "human"}, "ranges": [{"start_line": 3, "end_line": 3}]},
        {"contributor": {"type": "unknown"}, "ranges": [{"start_line": 4, "end_line": 4}]},
    ]


def test_the_metadata_names_our_entries_and_no_words(story, capfd):
    """From each range one gets to the call and the prompt, by their names; no prompt, command or person is in it."""
    record = export(story, capfd)[-1]
    mine = record["metadata"]["git-ledger"]
    assert mine["entry"].startswith(f"{story.log.name}/") and mine["match"]["rung"] == "exact"
    assert mine["verdict"] == "consistent"
    by = [(item["range"], item["by"], item.get("link"), item.get("session")) for item in mine["lines"]]
    assert by[:2] == [([1, 1], "agent", "exact", "01a20402-de18-7120-9901-0df46998aa71"), ([2, 2], "agent", "inferred", "second")]
    assert mine["lines"][0]["prompt"] == f"{story.log.name}/2" and mine["lines"][3]["why"] == "not-established"
    text = json.dumps(record)
    assert "ticket" not in text and "ada@" not in text


def test_the_same_commit_has_the_same_id_each_time(story, capfd):
    """A second export says the same, byte for byte."""
    assert export(story, capfd) == export(story, capfd)


def test_a_range_limits_what_is_written(story, capfd):
    """Only the commits of the range; one without recorded commits gives nothing, or an empty array."""
    assert len(export(story, capfd, "HEAD~2..HEAD")) == 1
    assert export(story, capfd, "HEAD~1..HEAD") == []
    assert run(["-C", str(story.repo), "export", "agent-trace", "--json", "HEAD~1..HEAD"]) == 0
    assert json.loads(capfd.readouterr().out) == []


def test_a_file_is_written_whole_or_not_at_all(story, capfd):
    """-o writes beside and renames; where that fails, it says so, and nothing is left."""
    target = Path(story.repo) / "out.json"
    assert run(["-C", str(story.repo), "export", "agent-trace", "--json", "-o", "out.json"]) == 0
    records = json.loads(target.read_text())
    for record in records:
        check_record(record)
    assert len(records) == 2
    assert run(["-C", str(story.repo), "export", "agent-trace", "-o", "no/such/folder.json"]) == 3
    assert [path.name for path in Path(story.repo).glob("*tmp*")] == []


def test_a_file_behind_a_link_is_replaced_and_keeps_its_mode(story, capfd):
    """The link stays one, and whoever could not read the file before cannot read it now."""
    folder, name = Path(story.repo) / "kept", Path(story.repo) / "link.json"
    folder.mkdir()
    (folder / "real.json").write_text("before\n")
    (folder / "real.json").chmod(0o640)
    name.symlink_to("kept/real.json")
    (folder / "dangling").symlink_to("new.json")
    for target in ("link.json", "kept/dangling"):
        assert run(["-C", str(story.repo), "export", "agent-trace", "--json", "-o", target]) == 0
    assert name.is_symlink() and (folder / "dangling").is_symlink()
    assert len(json.loads((folder / "real.json").read_text())) == len(json.loads((folder / "new.json").read_text())) == 2
    assert stat.S_IMODE((folder / "real.json").stat().st_mode) == 0o640
    assert sorted(path.name for path in folder.iterdir()) == ["dangling", "new.json", "real.json"]


@pytest.mark.parametrize("linked", [False, True], ids=["named", "behind a link"])
def test_what_is_no_file_is_written_into(story, capfd, linked):
    """A FIFO is still one afterwards, and its reader has the records; so is any device."""
    fifo, link = Path(story.repo) / "fifo", Path(story.repo) / "link"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    with subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE) as reader:
        try:
            assert run(["-C", str(story.repo), "export", "agent-trace", "--json", "-o", str(link if linked else fifo)]) == 0
            assert len(json.loads(reader.communicate(timeout=60)[0])) == 2
        finally:
            reader.kill()  # where nobody wrote into the FIFO it would wait for ever
    assert stat.S_ISFIFO(fifo.lstat().st_mode) and link.is_symlink()


def test_hostile_texts_are_escaped_and_odd_paths_counted(sandbox, capfd):
    """What would steer a terminal is written as an escape; a path that the form cannot say is left out, and counted."""
    story = Story(sandbox)
    story.session = HOSTILE
    call = story.call("Edit", {})
    odd = b"caf\xe9".decode("utf-8", "surrogateescape")
    oid = sandbox.commit(story.repo, HOSTILE, {"\x1b[31m.py": "x\n", odd: "y\n"})
    story.record(oid, lines={"\x1b[31m.py": [(1, 1, call, "exact")]})
    story.write()
    capfd.readouterr()
    assert run(["-C", str(story.repo), "export", "agent-trace"]) == 0
    out = capfd.readouterr().out
    assert out.isascii() and "\x1b" not in out
    record = json.loads(out.splitlines()[-1])
    check_record(record)
    assert [file["path"] for file in record["files"]] == ["\x1b[31m.py"]
    assert record["metadata"]["git-ledger"]["paths_left_out"] == 1


@pytest.mark.parametrize("words", [["nowhere"], ["--", "--all"], ["HEAD..nowhere"]])
def test_what_names_no_commits_is_wrong_usage(story, capfd, words):
    """A range that git cannot resolve is refused; no option gets through."""
    assert run(["-C", str(story.repo), "export", "agent-trace", *words]) == 2
