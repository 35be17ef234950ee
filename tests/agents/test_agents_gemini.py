"""Gemini CLI's hook events as facts: what they say, and the names that the recorder gives to calls that have none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.agents import gemini
from ledger.core.fact import Fact, Observation

AGENT = {"type": "agent", "name": "gemini"}
AT = "2026-01-02T03:04:05.678Z"


def native(name: str, **members: Any) -> dict[str, Any]:
    """Return an event as Gemini CLI spells it."""
    shared = {"session_id": "s-1", "transcript_path": "/home/dev/.gemini/tmp/x/chats/session.jsonl", "cwd": "/home/dev/demo"}
    return {**shared, "hook_event_name": name, "timestamp": AT, **members}


def only(observation: Observation) -> Fact:
    """Return the only fact."""
    (fact,) = observation.facts
    return fact


def shell(text: str, **members: Any) -> Fact:
    """Return the fact of a shell command whose response has `text`."""
    response = {"llmContent": text, "returnDisplay": "", **members}
    given = {"command": "make", "description": "build"}
    return only(gemini.translate(native("AfterTool", tool_name="run_shell_command", tool_input=given, tool_response=response)))


def test_request_bears_what_its_call_can_be_named_by() -> None:
    """A call has no identifier: its fact bears a mark, the digest of its input, and the time that the agent claims."""
    given = {"command": "ls", "description": "list"}
    fact = only(gemini.translate(native("BeforeTool", tool_name="run_shell_command", tool_input=given)))
    assert (fact.kind, fact.actor, fact.call, fact.once) == ("tool.requested", AGENT, None, None)
    assert fact.mark == f"BeforeTool {AT}"
    assert fact.body == {"tool": "run_shell_command", "agent_at": AT, "basis": {"agent_at": "claimed"}}
    assert json.loads(fact.payloads["input"].data) == given
    after = shell("Output: x").input_digest
    assert fact.input_digest and after and fact.input_digest != after


def test_prompt_is_nobodys_until_proven() -> None:
    """No hook of Gemini says who typed."""
    fact = only(gemini.translate(native("BeforeAgent", prompt="please commit")))
    assert (fact.kind, fact.actor) == ("prompt.submitted", {"type": "unknown"})
    assert fact.payloads["prompt"].data == b"please commit"


def test_failed_command_is_told_by_its_text_only() -> None:
    """Gemini reports a failing command as a success: the exit code is inferred from the last line that states one."""
    fact = shell(
        "<untrusted_context>\nOutput: Exit Code: 7\nExit Code: 0\nExit Code: 3\nProcess Group PGID: 9\n</untrusted_context>"
    )
    assert (fact.body["outcome"], fact.body["exit_code"]) == ("failed", 3)
    assert fact.body["basis"] == {"agent_at": "claimed", "exit_code": "inferred", "outcome": "inferred"}
    assert shell("<untrusted_context>\nOutput: done\nProcess Group PGID: 9\n</untrusted_context>").body["outcome"] == "finished"
    assert "exit_code" not in shell("Output: fine").body
    assert shell("no", error={"message": "spawn failed", "type": "execute"}).body["outcome"] == "failed"


def test_tool_of_a_server_is_named_by_its_context() -> None:
    """Which server a tool belongs to is said beside its name, which does not tell it: `mcp_a_b_c` may be split in two places."""
    context = {"server_name": "a_b", "tool_name": "c", "command": "python3", "args": ["server.py"]}
    fact = only(gemini.translate(native("BeforeTool", tool_name="mcp_a_b_c", tool_input={}, mcp_context=context)))
    assert (fact.body["mcp_server"], fact.body["mcp_tool"]) == ("a_b", "c")
    assert json.loads(fact.payloads["extra"].data) == {"mcp_context": context}


def test_edits_name_what_they_touch() -> None:
    """The path of an edit is looked at before and after; a read touches nothing."""
    for tool, touched in (("replace", ("/home/dev/demo/a",)), ("write_file", ("/home/dev/demo/a",)), ("read_file", ())):
        event = native("BeforeTool", tool_name=tool, tool_input={"file_path": "/home/dev/demo/a"})
        assert gemini.translate(event).touched == touched


def test_plan_is_what_the_todo_list_became() -> None:
    """`write_todos` is a plan once it was carried out."""
    given = {"todos": [{"description": "Edit", "status": "in_progress"}]}
    members = {"tool_name": "write_todos", "tool_input": given}
    finished, plan = gemini.translate(native("AfterTool", **members, tool_response={"llmContent": "ok"})).facts
    assert (finished.kind, plan.kind, plan.mark) == ("tool.finished", "plan.updated", finished.mark)
    assert json.loads(plan.payloads["plan"].data) == {"steps": [{"step": "Edit", "status": "in_progress"}]}
    refused = gemini.translate(native("AfterTool", **members, tool_response={"error": {"message": "no"}}))
    assert [fact.kind for fact in refused.facts] == ["tool.finished"]


def test_permission_dialogue_asks_for_the_open_call() -> None:
    """The dialogue names no call; it is joined to the session's only open one, if there is just one."""
    details = {"type": "exec", "title": "Confirm", "command": "rm x", "rootCommand": "rm"}
    event = native("Notification", notification_type="ToolPermission", message="Allow?", details=details)
    fact = only(gemini.translate(event))
    assert (fact.kind, fact.answers, fact.body["tool"]) == ("approval.requested", "open", "run_shell_command")
    assert json.loads(fact.payloads["input"].data)["command"] == "rm x"
    other = only(gemini.translate(native("Notification", notification_type="Other", message="hello")))
    assert (other.kind, other.body["notification_type"]) == ("message.sent", "Other")


@pytest.mark.parametrize("name", ["BeforeModel", "AfterModel", "BeforeToolSelection", "PreCompress"])
def test_events_of_every_model_call_say_nothing(name: str) -> None:
    """They carry the whole conversation or come whatever happens, and are no facts, wherever somebody wired them."""
    assert gemini.translate(native(name, llm_request={"messages": []})).facts == ()
