"""Blame, line, session, range, stats and export in a clone that has nothing but sealed logs: no journal, no key, no texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fleet import Fleet, Member

from ledger.core.fact import PayloadData
from ledger.recording.writer import Writer
from ledger.repo.commits import read_commit

AGENT = {"type": "agent", "name": "codex"}


def wrote(member: Member) -> str:
    """Let an agent of this clone write a file and a person one line of it; commit, record, push, and sync."""
    (member.path / "a.py").write_text("one\ntwo\nthree\n")
    member.git("add", "a.py")
    member.git("commit", "-qm", "add a.py")
    facts = read_commit(member.repo, member.git("rev-parse", "HEAD"))
    assert facts is not None

    def append(writer: Writer) -> None:
        about: dict[str, Any] = {"source": "hook", "session": "s-1"}
        who = {"principal": PayloadData(b'{"git_name":"Ada Example"}', "application/json")}
        writer.append("session.started", actor=AGENT, body={}, payloads=who, **about)
        writer.append("prompt.submitted", body={}, payloads={"prompt": PayloadData(b"a secret wish", "text/plain")}, **about)
        call = writer.append("tool.requested", actor=AGENT, body={"tool": "Write"}, call="c", **about)
        done = writer.append("tool.finished", body={"tool": "Write", "outcome": "finished"}, call="c", cause=call, **about)
        lines = [{"range": [1, 2], "by": "agent", "call": call, "link": "exact"}, {"range": [3, 3], "by": "human"}]
        path = {"path": "a.py", "status": "A", "blob": facts.paths[0].blob, "link": "exact", "calls": [done], "lines": lines}
        body = {"oid": facts.oid, "tree": facts.tree, "parents": list(facts.parents), "paths": [path], "trailers": []}
        writer.append("commit.recorded", source="git", body={**body, "patch_id": facts.patch_id, "via": "hook"})

    with member.recorder() as recorder:
        recorder.append(append)
    member.git("push", "-q", "origin", "main")
    member.sync()
    return facts.oid


@pytest.fixture
def auditor(sandbox: Any) -> Member:
    """A clone without `init`, after `ledger sync`."""
    fleet = Fleet.begin(sandbox, 1)
    wrote(fleet.members[0])
    auditor = fleet.join("audit", log=False)
    auditor.sync()
    return auditor


def test_lines_sessions_ranges_and_figures_come_from_seals(auditor):
    """Who wrote which line is in the entries, so it travels; the words stay where they were said, and are said to be withheld."""
    log = auditor.fleet.members[0].log
    blame = auditor.run_json("blame", "a.py")
    assert [(item["range"], item["by"], item["link"]) for item in blame["lines"]] == [
        ([1, 2], "agent", "exact"),
        ([3, 3], "human", None),
    ]
    (cause,) = blame["calls"].values()
    assert cause["call"]["agent"] == "codex" and cause["call"]["entry"].startswith(f"{log}/")
    assert blame["prompts"][cause["prompt"]]["prompt"] == {"withheld": True}
    assert auditor.run_json("trace", "a.py:1")["call"] == cause
    assert auditor.run_json("trace", "--session", "s-1")["commits"][0]["lines"] == 2
    assert auditor.run_json("trace", "HEAD~1..HEAD")["lines"] == {"agent": 2, "human": 1, "unknown": 0}
    stats = auditor.run_json("stats")
    assert stats["logs"] == [log] and stats["lines"]["agent"] == 2
    assert stats["people"][0]["who"] is None and any("not on this machine" in sentence for sentence in stats["unknown"])
    (record,) = [json.loads(line) for line in auditor.run("export", "agent-trace").stdout.splitlines()]
    assert record["files"][0]["conversations"][0]["ranges"] == [{"start_line": 1, "end_line": 2}]
    assert "secret" not in json.dumps([blame, stats, record])


def test_a_log_that_nobody_vouches_for_says_nothing_of_lines(auditor):
    """A stranger's log that claims the same commit is left out of blame, though nobody asked for the verdict."""
    writer = auditor.fleet.members[0]
    assert writer.run("keys", "enroll").returncode == 0
    writer.git("add", ".ledger")
    writer.git("commit", "-qm", "trust the writer")
    writer.git("push", "-q", "origin", "main")
    auditor.git("pull", "-q")
    stranger = auditor.fleet.join("stranger")
    oid = auditor.git("rev-parse", "HEAD~1")
    facts = read_commit(auditor.repo, oid)
    assert facts is not None

    def claim(writer: Writer) -> None:
        lines = [{"range": [1, 3], "by": "human"}]
        path = {"path": "a.py", "status": "A", "blob": facts.paths[0].blob, "link": "none", "calls": [], "lines": lines}
        body = {"oid": oid, "tree": facts.tree, "parents": list(facts.parents), "paths": [path], "trailers": []}
        writer.append("commit.recorded", source="git", session="z", body={**body, "patch_id": facts.patch_id, "via": "hook"})

    with stranger.recorder() as recorder:
        recorder.append(claim)
    stranger.sync()
    auditor.sync()
    verdict = auditor.run_json("verify")
    uncounted = {finding["log"] for finding in verdict["findings"] if finding["code"] == "log.uncounted"}
    assert uncounted == {stranger.log}
    asked = {item["entry"].partition("/")[0] for item in auditor.run_json("blame", "a.py")["commits"].values() if item["entry"]}
    assert asked == {writer.log}
    assert auditor.run_json("stats")["logs"] == [writer.log]


def test_without_log_and_seals_there_is_nothing_to_count(auditor):
    """Figures and export need a log; a blame answers all the same, and everything is unknown."""
    empty = auditor.fleet.join("empty", log=False)
    for words in (["stats"], ["export", "agent-trace"]):
        done = empty.run(*words)
        assert done.returncode == 3 and "ledger sync" in done.stderr
    assert empty.run_json("blame", "a.py")["counts"] == {"agent": 0, "human": 0, "unknown": 3}
