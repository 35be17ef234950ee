"""Decisions from several surfaces: joined, told apart from reused answers, each once, in whatever order they come."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from ledger.agents.otel import translate_record
from ledger.core.entry import Entry, parse_record
from ledger.recorder import Recorder, begin_log
from ledger.recording.events import make_event, record_event
from ledger.recording.facts import Setting, record_observation
from ledger.repo.gitdir import find_repository
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path

SESSION = "01a20402-de18-7120-9901-0df46998aa71"
NOW = 1_795_364_600_000


class Desk:
    """A repository with a ledger, hooks of Codex, and its telemetry."""

    def __init__(self, sandbox: Any) -> None:
        self.repo = find_repository(str(sandbox.make_repo("demo", commit=True)))
        self.state = str(sandbox.state)
        self.log = begin_log(self.repo, self.state).log
        self.at_ms = NOW

    def hook(self, name: str, call: str | None = None, command: str = "make", turn: str = "t1", **members: Any) -> None:
        """Record a hook event about a shell command."""
        self.at_ms += 3000
        given = {"command": command, **({"description": "May I?"} if name == "PermissionRequest" else {})}
        native = {
            "hook_event_name": name,
            "session_id": SESSION,
            "turn_id": turn,
            "tool_name": "Bash",
            "tool_input": given,
            **members,
        }
        if call:
            native["tool_use_id"] = call
        data = json.dumps({**native, "cwd": self.repo.work_tree}).encode()
        with Recorder.open(self.repo.work_tree, state=self.state) as recorder:
            event = make_event("codex", (), data, str(self.repo.work_tree), {}, self.at_ms)
            recorder.append(lambda writer: record_event(writer, self.repo, event, live=True))

    def call(self, call: str, command: str = "make", *, asks: bool = True, turn: str = "t1") -> None:
        """Record a call for which leave is asked, and its result."""
        self.hook("PreToolUse", call, command, turn)
        if asks:
            self.hook("PermissionRequest", None, command, turn)
        self.hook("PostToolUse", call, command, turn, tool_response="ok")

    def tell(self, event: str, session: str = SESSION, **attributes: Any) -> None:
        """Record one record of telemetry."""
        self.at_ms += 10
        named = {name.replace("__", "."): value for name, value in attributes.items()}
        seen = translate_record(
            "codex_exec", "", {"event.name": f"codex.{event}", "conversation.id": session, **named}, None, self.at_ms
        )
        assert seen is not None
        setting = Setting(self.repo, "otel", "codex", {}, self.at_ms, live=False)
        with Recorder.open(self.repo.work_tree, state=self.state) as recorder:
            recorder.append(lambda writer: record_observation(writer, seen, setting))

    def decide(self, call: str, decision: str = "approved", source: str = "User") -> None:
        """Record a decision's telemetry."""
        self.tell("tool_decision", call_id=call, decision=decision, source=source, tool_name="exec_command")

    def entries(self, *kinds: str) -> list[Entry]:
        """Return the entries of some kinds."""
        with JournalReader(journal_path(self.state, self.log)) as journal:
            found = [parse_record(record).entry for _, record in journal.records()]
        return [entry for entry in found if entry.kind in kinds]

    def decisions(self) -> list[tuple[Any, ...]]:
        """Return (call, decision, scope, decider, grounds) of each decision."""
        names = ("decision", "scope", "decider", "grounds")
        return [(entry.call, *(entry.body[name] for name in names)) for entry in self.entries("approval.decided")]


@pytest.fixture
def desk(sandbox: Any) -> Desk:
    """A desk."""
    return Desk(sandbox)


def test_a_decision_is_joined_to_the_request_for_leave(desk: Desk) -> None:
    """Telemetry knows the call's id only: turn and cause are those of what the hooks told."""
    desk.call("c1")
    desk.decide("c1")
    (asked,), (decided,) = desk.entries("approval.requested"), desk.entries("approval.decided")
    assert (decided.cause, decided.turn, decided.source, decided.actor) == (asked.seq, "t1", "otel", {"type": "human"})
    assert decided.body["basis"] | {"turn": "inferred"} == decided.body["basis"]
    assert decided.body["native"] == {"decision": "approved", "source": "User"}


def test_an_answer_for_the_session_that_comes_again_is_no_persons(desk: Desk) -> None:
    """The same command in another call is let through by the grant, which is named; another command is asked for anew."""
    for number, command in enumerate(("make", "make", "rm x"), 1):
        desk.call(f"c{number}", command)
        desk.decide(f"c{number}", "approved_for_session")
    assert desk.decisions() == [
        ("c1", "approved", "session", "human", "answer"),
        ("c2", "approved", "session", "policy", "session-grant"),
        ("c3", "approved", "session", "human", "answer"),
    ]
    first, second, _ = desk.entries("approval.decided")
    assert (second.body["grant"], second.actor, second.body["basis"]["decider"]) == (first.seq, {"type": "policy"}, "inferred")


def test_what_is_sent_twice_is_recorded_once(desk: Desk) -> None:
    """Whole batches come again; a grant and its reuse stay what they are."""
    desk.call("c1")
    desk.call("c2")
    for _ in range(3):
        desk.decide("c1", "approved_for_session")
        desk.decide("c2", "approved_for_session")
        desk.tell("sandbox_outcome", call_id="c2", outcome="denied", tool_name="exec_command")
        desk.tell("tool_result", call_id="c1", success="true", tool_name="exec_command", arguments="{}", output="ok")
    assert [row[3] for row in desk.decisions()] == ["human", "policy"]
    assert len(desk.entries("boundary.hit")) == 1
    assert len(desk.entries("tool.requested", "tool.finished")) == 4


def test_a_decision_by_settings_on_a_request_was_a_hooks_answer(desk: Desk) -> None:
    """`Config` says three things; where leave was asked for it is the answer of somebody's hook, and no person's."""
    desk.call("asked")
    desk.call("free", asks=False)
    desk.decide("asked", source="Config")
    desk.decide("free", source="Config")
    assert [row[3:] for row in desk.decisions()] == [("policy", "hook"), ("policy", "settings")]


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=str)
def test_surfaces_agree_in_any_order(desk: Desk, order: tuple[int, ...]) -> None:
    """Hooks before telemetry, between it, or after it: one request, one result, one decision."""
    steps = [
        lambda: desk.call("c1"),
        lambda: desk.decide("c1"),
        lambda: desk.tell("tool_result", call_id="c1", success="true", tool_name="exec_command", arguments="{}", output="ok"),
    ]
    for number in order:
        steps[number]()
    assert len(desk.entries("approval.decided")) == 1
    assert len(desk.entries("tool.requested")) == 1
    assert len(desk.entries("tool.finished")) == 1
    assert desk.entries("gap.noted", "message.sent") == []


def test_a_calls_id_that_comes_again_in_another_turn_is_another_call(desk: Desk) -> None:
    """Whoever names the calls cannot hide a second one behind the first: decisions are placed by the newest request."""
    desk.call("c1", "make", turn="t1")
    desk.decide("c1")
    desk.call("c1", "rm -rf x", turn="t2")
    desk.decide("c1", "denied")
    assert [entry.turn for entry in desk.entries("approval.decided")] == ["t1", "t2"]
    assert len(desk.entries("tool.requested")) == 2


def test_another_outcome_from_another_surface_is_said(desk: Desk) -> None:
    """A result without success after a hook that calls the call finished is no second result, and not silently dropped."""
    desk.call("c1", asks=False)
    desk.tell("tool_result", call_id="c1", success="false", tool_name="exec_command", arguments="{}", output="")
    desk.tell("tool_result", call_id="c1", success="false", tool_name="exec_command", arguments="{}", output="")
    (finished,), (said,) = desk.entries("tool.finished"), desk.entries("message.sent")
    assert (said.cause, said.source, said.body["event"], said.body["said"]) == (finished.seq, "otel", "contradiction", "failed")


def test_a_subagents_thread_is_placed_in_its_session(desk: Desk) -> None:
    """Telemetry calls a thread a conversation; the session that began it is known."""
    desk.hook("SubagentStart", agent_id="thread-2", agent_type="explorer")
    desk.hook("PreToolUse", "s1", agent_id="thread-2")
    desk.tell("tool_decision", "thread-2", call_id="s1", decision="approved", source="Config", tool_name="exec_command")
    (decided,) = desk.entries("approval.decided")
    assert (decided.session, decided.turn, decided.body["subagent"]) == (SESSION, "t1", "thread-2")
