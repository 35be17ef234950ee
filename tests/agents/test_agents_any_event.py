"""What holds for every adapter and every event, real or made up."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.agents import claude_code, codex, gemini, opencode, registry
from ledger.core.canonical import format_canonical
from ledger.core.fact import Fact, Observation
from ledger.core.kinds import ACTOR_TYPES, KINDS, is_reserved
from ledger.errors import FormatError

ROOT = Path(__file__).parents[2]
CAPTURES = ROOT.parent / "shared" / "captures"
ADAPTERS = [claude_code, codex, gemini, opencode]

is_payload_name = re.compile(r"[a-z][a-z0-9_.-]{0,63}").fullmatch


def check_fact(fact: Fact) -> None:
    """Assert that the recorder can make an entry of `fact`."""
    assert fact.kind in KINDS
    assert not is_reserved(fact.kind)
    assert fact.actor["type"] in ACTOR_TYPES - {"human", "recorder"}
    assert fact.actor.get("name", "x")
    assert type(fact.body) is dict
    assert len(format_canonical({"actor": fact.actor, "body": fact.body}, depth=14)) < 1 << 16
    for identifier in (fact.session, fact.turn, fact.call):
        assert identifier is None or 0 < len(identifier) <= 512
    for name, (data, media) in fact.payloads.items():
        assert is_payload_name(name)
        assert media in ("text/plain", "text/markdown", "application/json")
        text = data.decode("utf-8")
        if media == "application/json":
            json.loads(text)
    assert fact.answers in (None, "call", "input", "open")
    assert fact.once is None or fact.once.startswith(f"{fact.kind}:")
    assert fact.once is None or fact.call is None or fact.once.startswith(f"{fact.kind}:{fact.call}")
    assert (fact.answers == "call") <= (fact.call is not None)
    assert (fact.answers == "input") <= (fact.input_digest is not None)


def check(observation: Observation) -> None:
    """Assert that an observation is one that the recorder can take."""
    assert observation.cwd is None or (observation.cwd and "\0" not in observation.cwd)
    for path in observation.touched:
        assert path and "\0" not in path
        path.encode("utf-8")
    keys = [fact.once for fact in observation.facts if fact.once]
    for fact in observation.facts:
        check_fact(fact)
    assert len(keys) == len(set(keys)) or observation.facts[0].body.get("event") == "PostToolBatch"


# Real events


def captured(agent: str) -> list[Any]:
    """Return the native events of an agent's captured sessions, as test parameters with names."""
    found = []
    places = {"codex": "codex/*/hooks.jsonl", "claude-code": "claude/*/hooks/*.json"}
    for path in sorted(CAPTURES.glob(places.get(agent, f"{agent}/*/hooks/*.json"))):
        for number, line in enumerate(path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]):
            event = json.loads(line)
            event = event.get("stdin", event)
            found.append(pytest.param(event, id=f"{path.parts[-2]}-{path.stem}-{number}"))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason="there are no captured sessions beside this repository"))]


@pytest.mark.parametrize("event", captured("codex"))
def test_captured_event_of_codex(event: Any) -> None:
    """Every event that Codex really sent becomes at least one fact, and none of its members is unknown."""
    observation = codex.translate(event)
    check(observation)
    assert observation.facts
    assert observation.cwd == event["cwd"]
    assert {fact.session for fact in observation.facts} == {event["session_id"]}
    assert all("extra" not in fact.payloads and "raw" not in fact.payloads for fact in observation.facts)


@pytest.mark.parametrize("event", captured("claude-code"))
def test_captured_event_of_claude_code(event: Any) -> None:
    """Every event that Claude Code really sent becomes at least one fact of its session."""
    observation = claude_code.translate(event)
    check(observation)
    assert observation.facts
    assert observation.cwd == event["cwd"]
    assert {fact.session for fact in observation.facts} == {event["session_id"]}
    assert all("raw" not in fact.payloads for fact in observation.facts)


@pytest.mark.parametrize("event", captured("gemini"))
def test_captured_event_of_gemini(event: Any) -> None:
    """Every event that Gemini CLI really sent becomes facts of its session, and a call's facts can be named."""
    observation = gemini.translate(event)
    check(observation)
    assert observation.facts
    assert {fact.session for fact in observation.facts} == {event["session_id"]}
    assert all(fact.mark and fact.input_digest for fact in observation.facts if fact.kind.startswith("tool."))
    assert all("raw" not in fact.payloads for fact in observation.facts)


@pytest.mark.parametrize("event", captured("opencode"))
def test_captured_event_of_opencode(event: Any) -> None:
    """Every event that opencode really sent is understood: it becomes facts of its session, or says nothing that lasts."""
    observation = opencode.translate(event)
    check(observation)
    named = re.findall(r'"sessionID": "([^"]+)"', json.dumps(event))
    parents = re.findall(r'"parentID": "(ses_[^"]+)"', json.dumps(event))
    assert {fact.session for fact in observation.facts} <= {*named, *parents}
    assert all("extra" not in fact.payloads and "raw" not in fact.payloads for fact in observation.facts)


# Events made up

TELLING_TEXTS = (
    *("Bash", "apply_patch", "update_plan", "ExitPlanMode", "TodoWrite", "TaskCreate", "Edit", "mcp__a__b", "mcp____"),
    *("*** Begin Patch\n*** Add File: \ud800\n*** End Patch", "Exit code: 99\nWall time: 1 seconds\n", "Exit code 9"),
    *("<task-notification>", "<tool_use_error>", "# Plan", "pending", "x" * 600, "a\0b", "\ud83d\ude00"),
)
texts = st.text(st.characters(codec=None), max_size=12) | st.sampled_from(TELLING_TEXTS)
names = st.sampled_from(
    """
    command plan todos content status step explanation description file_path filePath interrupted isError name subject
    sessionID callID tool args properties part state error info parentID session turn call servers message parts text type
    metadata exit llmContent server_name reply permission patterns id
    """.split()
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | texts, inner, max_size=4),
    max_leaves=8,
)
members = st.sampled_from(
    """
    session_id turn_id prompt_id cwd model permission_mode effort tool_name tool_input tool_use_id tool_response agent_id agent_type
    prompt source reason error is_interrupt duration_ms mcp_server last_assistant_message message notification_type file_path
    memory_type load_reason trigger permission_suggestions task task_subject strange
    timestamp mcp_context details prompt_response input output event ledger lost
    """.split()
)
calls = st.lists(
    st.dictionaries(st.sampled_from(["tool_name", "tool_input", "tool_use_id", "tool_response", "session_id"]), values) | values,
    max_size=3,
)
events = st.builds(
    lambda name, tool, rest, batch: {**rest, **tool, **batch, "hook_event_name": name},
    st.sampled_from(sorted(claude_code.EVENTS | codex.EVENTS | gemini.EVENTS | opencode.EVENTS)),
    st.fixed_dictionaries({}, optional={"tool_name": texts, "tool_use_id": texts, "tool_input": st.dictionaries(names, values)}),
    st.dictionaries(members, values, max_size=8),
    st.fixed_dictionaries({}, optional={"tool_calls": calls}),
)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.NAME)
@given(event=events | values)
@settings(derandomize=True, deadline=None, max_examples=400)
def test_any_event_is_recordable_or_refused(adapter: Any, event: Any) -> None:
    """Whatever JSON comes, the answer is facts that can be recorded or a FormatError, and the event stays as it was."""
    before = repr(event)
    try:
        observation = adapter.translate(event)
    except FormatError:
        observation = Observation(())
    check(observation)
    assert repr(event) == before


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.NAME)
def test_deep_input_is_recorded_or_refused(adapter: Any) -> None:
    """Nesting deeper than Python likes is a FormatError, never a crash."""
    value: Any = []
    for _ in range(20_000):
        value = [value]
    name = next(name for name in ("PreToolUse", "BeforeTool", "tool.execute.before") if name in adapter.EVENTS)
    with pytest.raises(FormatError):
        adapter.translate(
            {
                "hook_event_name": name,
                "tool_name": "Bash",
                "tool_input": value,
                "input": {"tool": "bash"},
                "output": {"args": value},
            }
        )


# The adapters as modules


def test_registry_knows_its_agents() -> None:
    """Each agent's name leads to its adapter, and any other name to none."""
    for name in registry.AGENTS:
        adapter = registry.load(name)
        assert adapter is not None
        assert name == adapter.NAME
    assert registry.load("../codex") is None


@pytest.mark.parametrize("module", ["codex", "claude_code", "gemini", "opencode"])
def test_adapter_needs_only_the_standard_library(module: str) -> None:
    """An adapter is on the path of every tool call: it loads nothing from outside, and nothing slow to start."""
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nimport ledger.agents.{module}\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded - {"__main__", "ledger"} <= sys.stdlib_module_names
    assert not loaded & {"dataclasses", "pathlib", "datetime", "subprocess", "asyncio", "logging", "importlib.metadata"}
