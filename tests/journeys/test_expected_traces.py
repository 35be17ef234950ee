"""What each captured session says, written down by reading the captures, and what the code makes of it.

Each session is played with all of its surfaces: hooks with the transcript as it grew, then the telemetry, twice. A call, an
approval and a network decision are spelled in the order in which they were recorded:

    ran        (tool, how its command begins, outcome, exit code)
    approvals  (what it was about, decision, scope, decider, grounds, whether leave was asked for)
    network    (host, port, protocol, decision, rule)
    boundary   (mode, network, who needs leave, whose, exit codes of what hit it)
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from replay import CAPTURES, Stage, play_claude, play_codex, play_rollouts

BY_SETTINGS = ("approved", "once", "policy", "settings", False)
BY_RULE = ("approved", "always", "policy", "rule", False)
WORKSPACE = ("workspace-write", "restricted")
ADD = "git add codex_demo_"

EXPECTED: dict[str, dict[str, Any]] = {
    # codex exec --approve-for-me: a plan, a patch, an MCP call, a commit that the sandbox refuses, one that a reviewer allows.
    "codex/drive_auto": {
        "asked": [("Please add the demo file for ticket T-42 and commit it", "command line")],
        "planned": [["Inspect", "Edit", "Commit"], ["Inspect", "Edit", "Commit"]],
        "ran": [
            ("update_plan", "{", "finished", None),
            ("Bash", "git log --oneline | head -3; ls", "finished", 0),
            ("apply_patch", "*** Begin Patch\n*** Add File: codex_demo_", "finished", 0),
            ("mcp__tickets__lookup", '{"ticket":"T-42"}', "finished", None),
            ("Bash", "git commit --allow-empty", "failed", 128),
            ("Bash", ADD, "finished", 0),
            ("update_plan", "{", "finished", None),
        ],
        "approvals": [
            ("git log", *BY_SETTINGS),
            ("*** Begin Patch", *BY_SETTINGS),
            ("git commit --allow-empty", *BY_SETTINGS),
            (ADD, "approved", "once", "auto-review", "review", True),
        ],
        "boundary": [(*WORKSPACE, "on-request", None, [128]), ("read-only", "restricted", "never", "guardian", [])],
        "subagents": ["guardian"],
    },
    # The TUI: allow an MCP tool for the session, a command once, a prefix for good, and Esc; then a person's own command.
    "codex/tui": {
        "asked": [("Please fix add() per ticket T-42 and commit", "screen")],
        "planned": [["Fix add", "Commit"]],
        "ran": [
            ("update_plan", "{", "finished", None),
            ("apply_patch", "*** Begin Patch\n*** Update File: calc.py", "finished", 0),
            ("mcp__tickets__write_note", '{"text":"fixing T-42"}', "finished", None),
            ("Bash", "curl -sS -m 5 https://example.com/", "finished", 0),
            ("Bash", "git commit -aqm 'Fix add'", "finished", 0),
            ("Bash", "touch /etc/zz_research_should_not_exist", "cancelled", None),
            ("Bash", "/bin/bash -lc 'echo from-user-shell'", "finished", 0),
        ],
        "approvals": [
            ("*** Begin Patch", *BY_SETTINGS),
            ('{"text":"fixing T-42"}', "approved", "session", "human", "answer", True),
            ("curl", "approved", "once", "human", "answer", True),
            ("git commit -aqm", "approved", "always", "human", "answer", True),
            ("touch /etc/zz", "cancelled", "once", "human", "interrupt", True),
        ],
        "boundary": [(*WORKSPACE, "on-request", None, [])],
    },
    # Two turns of one thread, resumed, and an ephemeral one; only hooks and telemetry, and no tool at all.
    "codex/resume": {
        "asked": [("first secret prompt", "unknown"), ("second prompt", "unknown"), ("ephemeral prompt", "unknown")],
        "boundary": [("workspace-write", None, "never", None, [])] * 2,
    },
    # A PreToolUse hook exits 2.
    "codex/hooktests/ht_deny": {
        "asked": [("Do it", "command line")],
        "ran": [("Bash", "echo ran >> ran.txt", "denied", None)],
        "approvals": [("echo ran", "denied", "once", "policy", "hook", False)],
        "boundary": [(*WORKSPACE, "never", None, [])],
    },
    # The reviewer says no, and yes; asked for on a call of its own, and when a command is tried again outside of the sandbox.
    "codex/hooktests/ht_gdeny": {
        "asked": [("Do it", "command line")],
        "ran": [("Bash", "echo ran >> ran.txt", "denied", None)],
        "approvals": [("echo ran", "denied", "once", "auto-review", "review", False)],
        "boundary": [(*WORKSPACE, "on-request", None, []), ("read-only", "restricted", "never", "guardian", [])],
        "subagents": ["guardian"],
    },
    "codex/hooktests/ht_gassess": {
        "asked": [("Do it", "command line")],
        "ran": [("Bash", "echo ran >> ran.txt", "finished", 0)],
        "approvals": [("echo ran", "approved", "once", "auto-review", "review", False)],
        "boundary": [(*WORKSPACE, "on-request", None, []), ("read-only", "restricted", "never", "guardian", [])],
        "subagents": ["guardian"],
    },
    "codex/hooktests/ht_rprompt": {
        "asked": [("Do it", "command line")],
        "ran": [("Bash", "touch ran.txt", "finished", 0)],
        "approvals": [("touch ran.txt", "approved", "once", "auto-review", "review", False)],
        "boundary": [(*WORKSPACE, "on-request", None, []), ("read-only", "restricted", "never", "guardian", [])],
        "subagents": ["guardian"],
    },
    # A hook answers the request for leave with no: telemetry calls that `Config`.
    "codex/hooktests/ht_permdeny": {
        "asked": [("Do it", "command line")],
        "ran": [("Bash", "echo ran >> ran.txt", "denied", None)],
        "approvals": [("echo ran", "denied", "once", "policy", "settings", False)],
        "boundary": [(*WORKSPACE, "on-request", None, [])],
    },
    # The network proxy: one destination allowed, one on the deny list, one on no list, one that is local.
    "codex/hooktests/ht_net1": {
        "asked": [("Do it", "command line")],
        "ran": [
            ("Bash", "env | grep", "finished", 0),
            ("Bash", "curl -sS -m 8 --noproxy", "finished", 0),
            ("Bash", "curl -sS -m 8 -D - http://evil.example/x", "failed", -1),
            ("Bash", "curl -sS -m 8 -D - https://other.example/y", "failed", -1),
            ("Bash", "curl -sS -m 8 -D - http://allowed.example/z", "failed", -1),
        ],
        "approvals": [("env", *BY_SETTINGS), *[("curl", *BY_SETTINGS)] * 4],
        "network": [
            ("127.0.0.1", 18999, "http", "allowed", "allow"),
            ("evil.example", 80, "http", "denied", "denied"),
            ("other.example", 443, "https_connect", "denied", "not_allowed"),
            ("allowed.example", 80, "http", "denied", "not_allowed_local"),
        ],
        "boundary": [("workspace-write", "enabled", "never", None, [])],
    },
    # Headless: rules that allow, one that denies, what would need a person and has none, a subagent, a commit.
    "claude/full": {
        "asked": [("MAIN-SCRIPT please change the greeting and commit", "command line"), ("<task-notification>", "agent")],
        "planned": [["Edit README"], ["Edit README"]],
        "ran": [
            ("TaskCreate", '{"subject":"Edit README"', "failed", None),
            ("TodoWrite", '{"todos":', "failed", None),
            ("Bash", "echo hello-ledger; ls", "finished", None),
            ("Read", '{"file_path":', "finished", None),
            ("Edit", '{"file_path":', "finished", None),
            ("Write", '{"content":', "finished", None),
            ("mcp__ledgerprobe__echo", '{"text":"hi-mcp"}', "finished", None),
            ("Bash", "echo parallel", "finished", None),
            ("mcp__ledgerprobe__fail", "{}", "failed", None),
            ("Bash", "curl http://127.0.0.1:9/denied", "denied", None),
            ("WebFetch", '{"prompt":"read"', "denied", None),
            ("Bash", "rm -f /tmp/does-not-exist-ledger", "denied", None),
            ("Bash", "exit 3", "failed", 3),
            ("Agent", '{"description":"sub work"', "finished", None),
            ("Bash", "echo from-subagent", "finished", None),
            ("Bash", "git add -A && git commit", "finished", None),
        ],
        "approvals": [
            ("echo hello-ledger", *BY_SETTINGS),
            ('{"file_path"', *BY_RULE),
            ('{"file_path"', *BY_RULE),
            ('{"content"', *BY_RULE),
            ('{"text":"hi-mcp"}', *BY_RULE),
            ("echo parallel", *BY_SETTINGS),
            ("mcp__ledgerprobe__fail", *BY_RULE),
            ("curl", "denied", "once", "policy", "settings", False),
            ('{"prompt":"read"', "denied", "once", "policy", "none", True),
            ("rm -f", "denied", "once", "policy", "none", True),
            ("exit 3", *BY_SETTINGS),
            ('{"description"', *BY_SETTINGS),
            ("echo from-subagent", *BY_SETTINGS),
            ("git add", *BY_SETTINGS),
        ],
        "boundary": [("unsandboxed", None, None, None, []), ("unsandboxed", None, None, "a96861ef4c531d959", [])],
        "subagents": ["general-purpose"],
    },
    # A person allows once, then for the session, and leaves a question unanswered.
    "claude/interactive": {
        "asked": [("MAIN-SCRIPT please change the greeting and commit", "typed")],
        "ran": [
            ("Bash", "touch asked-file", "finished", None),
            ("Bash", "touch second-file", "finished", None),
            ("AskUserQuestion", '{"questions":', "denied", None),
        ],
        "approvals": [
            ("touch asked-file", "approved", "once", "human", "answer", True),
            ("touch second-file", "approved", "session", "human", "answer", True),
            ('{"questions":', "denied", "once", "human", "answer", True),
        ],
        "boundary": [("unsandboxed", None, "default", None, [])],
    },
    # Plan mode: the plan is in a file of the agent's or in the call, and a person lets it go on for the session.
    "claude/plan": {
        "asked": [("MAIN-SCRIPT please change the greeting and commit", "typed")],
        "planned": [["# Plan", "1. edit README", "2. commit"]],
        "ran": [
            ("Bash", "ls", "finished", None),
            ("ExitPlanMode", "{}", "finished", None),
            ("Edit", '{"file_path":', "finished", None),
        ],
        "approvals": [
            ("ls", "approved", "once", "policy", "rule", False),
            ("ExitPlanMode", "approved", "session", "human", "answer", True),
            ('{"file_path"', "approved", "once", "policy", "rule", False),
        ],
        "boundary": [("unsandboxed", None, "plan", None, [])],
    },
    # A person says no, compacts, types a command, says yes, and quits at a question.
    "claude/reject": {
        "asked": [("MAIN-SCRIPT please change the greeting and commit", "typed")],
        "ran": [
            ("Bash", "touch asked-file", "denied", None),
            ("Bash", "touch second-file", "denied", None),
            ("Bash", "echo bang-mode", "finished", None),
            ("Bash", "touch second-file", "finished", None),
            ("AskUserQuestion", '{"questions":', "unknown", None),
        ],
        "approvals": [
            ("touch asked-file", "denied", "once", "human", "answer", True),
            ("touch second-file", "denied", "once", "policy", "settings", False),
            ("touch second-file", "approved", "once", "human", "answer", True),
            ('{"questions":', "unknown", None, "unknown", None, True),
        ],
        "boundary": [("unsandboxed", None, "default", None, [])],
    },
}
ORIGINS = {
    "That a person typed the prompts is as": "typed",
    "The prompts came by the command line": "command line",
    "That the prompts came from the agent's own screen": "screen",
    "Whether a person typed the prompts was not observed": "unknown",
}


@pytest.fixture
def played(sandbox, request) -> Stage:
    """Play the session that the test names."""
    family, name = request.param.split("/", 1)
    folder = CAPTURES / family / name
    if not folder.exists():
        pytest.skip(f"the captured session {request.param} is not beside this checkout")
    stage = Stage(sandbox)
    play = play_claude if family == "claude" else play_rollouts if "hooktests" in name else play_codex
    play(stage, name)
    stage.telemetry(folder / ("otel" if family == "codex" else "otlp"), times=2)
    return stage


def begins(found: list[Any], expected: list[Any]) -> bool:
    """Say whether each found row is the expected one; a text needs only to begin as expected where it is a command."""
    return len(found) == len(expected) and all(
        len(mine) == len(wanted) and all(_begins(one, other) for one, other in zip(mine, wanted, strict=True))
        for mine, wanted in zip(found, expected, strict=True)
    )


def _begins(found: Any, expected: Any) -> bool:
    return found.startswith(expected) if isinstance(found, str) and isinstance(expected, str) else found == expected


@pytest.mark.parametrize(("played", "name"), [(name, name) for name in EXPECTED], ids=[*EXPECTED], indirect=["played"])
def test_captured_session_answers_as_it_reads(played: Stage, name: str) -> None:
    """Who asked and how, the plan, each call with its outcome, each decision with decider and scope, network and bounds."""
    expected, found = EXPECTED[name], played.answers()
    origin = next((word for start, word in ORIGINS.items() if any(said.startswith(start) for said in found["unknown"])), "?")
    asked = [(item["prompt"], "agent" if item["who"]["basis"] == "agent" else origin) for item in found["asked"]]
    assert begins(asked, expected["asked"]), asked
    assert [[step["step"] for step in item["steps"]] for item in found["planned"]] == expected.get("planned", [])
    ran = [(item["tool"], item["command"], item["outcome"], item["exit_code"]) for item in found["ran"]]
    assert begins(ran, expected.get("ran", [])), ran
    names = ("decision", "scope", "decider", "grounds")
    approvals = [(item["subject"], *(item[key] for key in names), item["asked"] is not None) for item in found["approvals"]]
    assert begins(approvals, expected.get("approvals", [])), approvals
    network = [tuple(item[key] for key in ("host", "port", "protocol", "decision", "rule")) for item in found["network"]]
    assert network == expected.get("network", [])
    boundary = [
        (item["mode"], item["network"], item["approvals"], item["subagent"], [hit.get("exit_code") for hit in item["hits"]])
        for item in found["boundary"]
        if item["grants"] is None
    ]
    assert boundary == expected["boundary"]
    started = [entry.body["subagent_type"] for entry in played.entries() if entry.kind == "subagent.started"]
    assert started == expected.get("subagents", [])
    assert found["contradictions"] == []


@pytest.mark.parametrize("played", [*EXPECTED], indirect=True)
def test_a_call_that_all_surfaces_report_is_recorded_once(played: Stage) -> None:
    """Each call has one request and one result, each statement about it is there once, and nothing is a gap."""
    entries = played.entries()
    calls = [(entry.kind, entry.session, entry.turn, entry.call) for entry in entries if entry.kind.startswith("tool.")]
    assert all(call is not None for *_, call in calls)
    assert set(Counter(calls).values()) <= {1}
    decided = [
        (entry.session, entry.turn, entry.call, entry.body["decision"], entry.body["decider"])
        for entry in entries
        if entry.kind == "approval.decided"
    ]
    assert set(Counter(decided).values()) <= {1}
    ends = [entry.body["subagent"] for entry in entries if entry.kind == "subagent.ended"]
    assert len(ends) == len(set(ends))
    assert [entry.body for entry in entries if entry.kind == "gap.noted"] == []


@pytest.mark.parametrize("played", [*EXPECTED], indirect=True)
def test_what_was_not_observed_says_how_it_is_known(played: Stage) -> None:
    """Whatever a file of the agent's or its telemetry says bears that as its basis, member by member."""
    for entry in played.entries():
        if entry.source in ("transcript", "otel") and entry.kind in ("approval.decided", "network.decided", "boundary.declared"):
            basis = entry.body["basis"]
            said = {name for name in entry.body if name not in ("basis", "native", "event", "tool", "mcp_server", "mcp_tool")}
            allowed = {"otel": {"telemetry", "inferred", "agent-file"}, "transcript": {"agent-file", "inferred"}}[entry.source]
            assert set(basis.values()) <= allowed
            unsaid = (
                said
                - set(basis)
                - {"alike", "subagent", "permission_mode", "risk_level", "user_authorization", "review", "rule_source", "reason"}
            )
            assert unsaid == set(), (entry.kind, unsaid)
