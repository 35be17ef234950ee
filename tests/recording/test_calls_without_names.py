"""Agents whose calls have no identifiers (Gemini CLI): requests and results join, and commits are found without git hooks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from desk import Desk

from ledger.agents.otel import translate_record
from ledger.recorder import Recorder
from ledger.recording import transcripts
from ledger.recording.events import make_event, record_event
from ledger.recording.facts import Setting, record_observation

OFF = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath", "GIT_CONFIG_VALUE_0": ""}


class Gemini:
    """Gemini CLI at a desk: a clock that goes on by a second with each event."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.seconds = 0

    def event(self, name: str, **members: Any) -> dict[str, Any]:
        """Return an event, a second after the one before."""
        self.seconds += 1
        at = f"2026-01-02T03:{self.seconds // 60:02}:{self.seconds % 60:02}.000Z"
        return {"session_id": "g-1", "cwd": str(self.desk.path), "hook_event_name": name, "timestamp": at, **members}

    def before(self, command: str) -> dict[str, Any]:
        """Return the event before a shell command."""
        return self.event("BeforeTool", tool_name="run_shell_command", tool_input={"command": command})

    def after(self, command: str, text: str = "Output: x") -> dict[str, Any]:
        """Return the event after it."""
        given = {"tool_name": "run_shell_command", "tool_input": {"command": command}}
        return self.event("AfterTool", **given, tool_response={"llmContent": text})

    def tell(self, *events: dict[str, Any]) -> None:
        """Run the hook for each event; it must say nothing at all."""
        self.desk.tell(*events, agent="gemini", env={"GEMINI_CLI": "1"})


def tell_telemetry(desk: Desk, command: str, at: str, **more: Any) -> None:
    """Record what Gemini's telemetry says of a shell command that ended."""
    attributes = {"event.name": "gemini_cli.tool_call", "session.id": "g-1", "prompt_id": "g-1", "event.timestamp": at}
    attributes |= {"function_name": "run_shell_command", "function_args": f'{{"command": "{command}"}}', "success": True, **more}
    seen = translate_record("gemini-cli", "", attributes, None, 1)
    assert seen is not None
    with Recorder.open(str(desk.path), state=str(desk.state)) as recorder:
        setting = Setting(desk.repo, "otel", "gemini", {}, 1, live=False)
        recorder.append(lambda writer: record_observation(writer, seen, setting))


def test_telemetry_of_a_call_that_hooks_told_of_adds_its_decision_only(desk: Desk) -> None:
    """The n-th call with this input is the n-th on either surface; `accept` says nothing of who accepted."""
    gemini = Gemini(desk)
    for _ in range(2):
        gemini.tell(gemini.before("make"), gemini.after("make"))
    for at in ("10", "20", "20"):
        tell_telemetry(desk, "make", at, decision="accept")
    requests = desk.entries("tool.requested")
    assert len(requests) == len(desk.entries("tool.finished")) == 2
    decisions = desk.entries("approval.decided")
    assert [(entry.call, entry.cause) for entry in decisions] == [(entry.call, entry.seq) for entry in requests]
    assert [(entry.body["decision"], entry.body["decider"], entry.actor["type"]) for entry in decisions] == (
        [("approved", "unknown", "unknown")] * 2
    )


def test_accept_is_a_persons_only_where_a_dialogue_was_shown(desk: Desk) -> None:
    """In a session that somebody attends, with a dialogue on record, a person accepted: inferred. Else nobody knows who did."""
    gemini = Gemini(desk)
    details = {"type": "exec", "title": "Confirm", "command": "make", "rootCommand": "make"}
    ask = gemini.event("Notification", notification_type="ToolPermission", message="Allow?", details=details)
    gemini.tell(gemini.before("make"), ask, gemini.after("make"), gemini.before("ls"), gemini.after("ls"))
    tell_telemetry(desk, "make", "10", decision="accept", interactive=True)
    tell_telemetry(desk, "ls", "20", decision="accept", interactive=True)
    answered, allowed = desk.entries("approval.decided")
    assert (answered.body["decider"], answered.body["grounds"], answered.actor) == ("human", "answer", {"type": "human"})
    assert answered.body["basis"]["decider"] == "inferred" and answered.cause == desk.one("approval.requested").seq
    assert (allowed.body["decider"], allowed.actor) == ("unknown", {"type": "unknown"})


def test_a_call_that_only_telemetry_saw_takes_nothing_from_the_next(desk: Desk) -> None:
    """The recorder missed a call; the same command again is a call of its own, which makes its commit, and not a repetition."""
    gemini = Gemini(desk)
    gemini.tell(gemini.event("SessionStart", source="startup"))
    tell_telemetry(desk, "git commit", "10")
    gemini.tell(gemini.before("git commit"))
    desk.git("commit", "-q", "--allow-empty", "-m", "by the agent", **OFF)
    gemini.tell(gemini.after("git commit"))
    first, second = desk.entries("tool.requested")
    assert (first.source, second.source) == ("otel", "hook")
    assert desk.one("commit.recorded").call == second.call != first.call
    assert [entry.call for entry in desk.entries("tool.finished")] == [first.call, second.call]


def test_request_and_result_bear_one_synthesised_name(desk: Desk) -> None:
    """Both have the call's name, which says that it was inferred, and the result names its request as its cause."""
    gemini = Gemini(desk)
    gemini.tell(gemini.before("make"), gemini.after("make"))
    request, result = desk.one("tool.requested"), desk.one("tool.finished")
    assert request.call == result.call and request.call.startswith("run_shell_command-1-")
    assert result.cause == request.seq
    assert request.body["basis"]["call"] == result.body["basis"]["call"] == "inferred"
    desk.check()


def test_same_command_again_is_another_call(desk: Desk) -> None:
    """The n-th call with one input has the number n; what is told twice is recorded once."""
    gemini = Gemini(desk)
    for _ in range(3):
        before, after = gemini.before("make"), gemini.after("make")
        gemini.tell(before, before, after, after)
    names = [entry.call for entry in desk.entries("tool.requested")]
    assert [name.split("-")[1] for name in names] == ["1", "2", "3"]
    assert [entry.call for entry in desk.entries("tool.finished")] == names
    assert [entry.cause for entry in desk.entries("tool.finished")] == [entry.seq for entry in desk.entries("tool.requested")]


def test_events_that_come_twice_are_recorded_once(desk: Desk) -> None:
    """Wired for the user and for the project, every event comes twice, with one time; the same words later are another prompt."""
    gemini = Gemini(desk)
    for name, members in (
        ("SessionStart", {"source": "startup"}),
        ("BeforeAgent", {"prompt": "go"}),
        ("BeforeAgent", {"prompt": "go"}),
    ):
        event = gemini.event(name, **members)
        gemini.tell(event, event)
    assert desk.kinds() == ["session.started", "prompt.submitted", "prompt.submitted"]


def test_refused_call_does_not_take_the_next_ones_result(desk: Desk) -> None:
    """A call that a policy denied gets no AfterTool; the same command, asked for again and allowed, gets the result."""
    gemini = Gemini(desk)
    gemini.tell(gemini.before("curl x"), gemini.before("curl x"), gemini.after("curl x"))
    first, second = desk.entries("tool.requested")
    assert desk.one("tool.finished").cause == second.seq
    assert desk.one("tool.finished").call == second.call != first.call


def test_result_without_request_is_kept(desk: Desk) -> None:
    """A recorder that was not there for the request records the result, with a name and without a cause."""
    gemini = Gemini(desk)
    gemini.tell(gemini.after("make"), gemini.before("make"))
    result, request = desk.one("tool.finished"), desk.one("tool.requested")
    assert result.cause is None
    assert (result.call.split("-")[1], request.call.split("-")[1]) == ("1", "2")


def test_commit_is_found_although_gemini_switches_git_hooks_off(desk: Desk) -> None:
    """Gemini's shell sets core.hooksPath to nothing: HEAD, compared at the result, tells which call made the commit."""
    gemini = Gemini(desk)
    command = "git commit -qm 'agent commit'"
    given = {"file_path": str(desk.path / "a.txt"), "content": "a\n"}
    write = {"tool_name": "write_file", "tool_input": given}
    gemini.tell(gemini.event("BeforeTool", **write))
    (desk.path / "a.txt").write_text("a\n")
    gemini.tell(gemini.event("AfterTool", **write, tool_response={"llmContent": "ok"}), gemini.before(command))
    desk.git("add", "a.txt")
    desk.git("commit", "-qm", "agent commit", **OFF)
    assert desk.entries("commit.recorded") == []  # no hook ran
    gemini.tell(gemini.after(command))
    request, commit = desk.entries("tool.requested")[-1], desk.one("commit.recorded")
    assert (commit.body["oid"], commit.body["via"]) == (desk.git("rev-parse", "HEAD"), "reflog")
    assert (commit.session, commit.call) == ("g-1", request.call)
    assert desk.links(commit.body["oid"]) == {"a.txt": "exact"}
    desk.check()


def test_turn_that_ends_closes_what_was_refused(desk: Desk) -> None:
    """After AfterAgent no call of the turn is open, so that a human's commit is not taken for the agent's."""
    gemini = Gemini(desk)
    gemini.tell(gemini.before("git push"), gemini.event("AfterAgent", prompt="x", prompt_response="Done."))
    desk.git("commit", "-q", "--allow-empty", "-m", "by hand", **OFF)
    gemini.tell(gemini.event("SessionEnd", reason="exit"))
    commit = desk.one("commit.recorded")
    assert (commit.session, commit.call) == (None, None)


def test_dialogue_is_joined_to_the_only_open_call(desk: Desk) -> None:
    """With one call open, the request for leave is about it; with two, it is left alone."""
    gemini = Gemini(desk)
    details = {"type": "exec", "command": "rm x", "rootCommand": "rm"}
    ask = {"notification_type": "ToolPermission", "message": "Allow?", "details": details}
    gemini.tell(
        gemini.before("rm x"), gemini.event("Notification", **ask), gemini.before("ls"), gemini.event("Notification", **ask)
    )
    first, second = desk.entries("approval.requested")
    request = desk.entries("tool.requested")[0]
    assert (first.cause, first.call, first.body["basis"]["call"]) == (request.seq, request.call, "inferred")
    assert (second.cause, second.call) == (None, None)


def test_standing_grants_are_on_record(desk: Desk) -> None:
    """Gemini's policies and what of its settings grants are noted when a session begins, and again when they change."""
    gemini = Gemini(desk)
    home = desk.sandbox.home / ".gemini"
    (home / "policies").mkdir(parents=True)
    (home / "policies/a.toml").write_text('[[rule]]\ntoolName = "x"\ndecision = "allow"\n')
    (home / "settings.json").write_text('{"tools": {"allowed": ["ls"]}, "apiKey": "secret-000"}')
    chat = home / "tmp/demo/chats/session-1.jsonl"
    chat.parent.mkdir(parents=True)
    chat.write_text('{"sessionId":"g-1","kind":"main"}\n')
    gemini.tell(gemini.event("SessionStart", source="startup", transcript_path=str(chat)))
    noted = desk.one("boundary.declared")
    assert [item["file"] for item in noted.body["grants"]] == ["policies/a.toml", "~/settings.json"]
    assert b"allowed" in desk.payload(noted.seq, "grants")
    assert b"secret-000" not in desk.payload(noted.seq, "grants")
    (home / "policies/a.toml").write_text("")
    gemini.tell(gemini.event("AfterAgent", prompt="x", prompt_response="y", transcript_path=str(chat)))
    assert desk.entries("boundary.declared")[-1].body["changed"] == ["policies/a.toml"]


def test_a_hook_reads_what_is_new_of_a_long_chat(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a hook reads of a transcript of 20 MB are the new lines, and a little of what lies before them."""
    counts = [0]
    real = transcripts.pread

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        data = real(descriptor, size, offset)
        counts[-1] += len(data)
        return data

    monkeypatch.setattr(transcripts, "pread", counting)
    chat = desk.sandbox.home / ".gemini/tmp/demo/chats/session-1.jsonl"
    chat.parent.mkdir(parents=True)
    chat.write_text('{"sessionId":"g-1","kind":"main"}\n')
    gemini = Gemini(desk)

    def tell(event: dict[str, Any]) -> None:
        counts.append(0)
        data = json.dumps({**event, "transcript_path": str(chat)}).encode()
        with Recorder.open(str(desk.path), state=str(desk.state)) as recorder:
            made = make_event("gemini", (), data, str(desk.path), {}, 1_795_364_600_000 + 3000 * gemini.seconds)
            recorder.append(lambda writer: record_event(writer, desk.repo, made, live=True))

    message = json.dumps({"id": "m", "type": "gemini", "content": "x" * 9000}) + "\n"
    for number in range(10):
        with chat.open("a") as file:
            file.write(message * 220)
        tell(gemini.before(f"echo {number}"))
    ended = {
        "id": "missing_1",
        "name": "missing",
        "args": {},
        "status": "error",
        "result": [],
        "timestamp": "2026-01-02T03:04:05.678Z",
    }
    with chat.open("a") as file:
        file.write(json.dumps({"id": "n", "type": "gemini", "toolCalls": [ended]}) + "\n")
    tell(gemini.before("ls"))
    assert chat.stat().st_size > 19_000_000
    assert counts[-1] < 150_000
    assert [entry.body["outcome"] for entry in desk.entries("tool.finished")] == ["failed"]
    assert "gap.noted" not in desk.kinds()


@pytest.mark.parametrize("data", [b"", b"not json", b"[]", b'{"hook_event_name": 7}', b'{"sessionId": "s", "toolName": "bash"}'])
def test_nothing_that_copilot_sends_makes_its_hook_fail(desk: Desk, data: bytes) -> None:
    """Copilot CLI refuses a call whose hook fails: whatever it sends, the exit code is 0, and what was not understood is a gap."""
    desk.complain(data, "claude-code", env={"COPILOT_CLI": "1"})
    assert desk.one("gap.noted").body["reason"] == "event-not-understood"


def test_copilots_request_and_result_join(desk: Desk) -> None:
    """Its calls have no identifiers either; they are named like Gemini's, and recorded as Copilot's."""
    shared = {"session_id": "c-1", "cwd": str(desk.path), "tool_name": "Bash", "tool_input": {"command": "ls"}}
    before = {**shared, "hook_event_name": "PreToolUse", "timestamp": 1767323045678}
    after = {**shared, "hook_event_name": "PostToolUse", "timestamp": 1767323046000, "tool_result": "ok"}
    desk.tell(before, before, after, agent="claude-code", env={"COPILOT_CLI": "1"})
    request, result = desk.one("tool.requested"), desk.one("tool.finished")
    assert (request.actor["name"], result.cause, result.call) == ("copilot", request.seq, request.call)
    assert request.body["basis"] == {"agent": "claimed", "call": "inferred"}
