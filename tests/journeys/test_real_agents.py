"""The real command lines of four agents, driven against a model on loopback, with the recorder as their hook or plugin."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

DRIVERS = Path(__file__).resolve().parents[2].parent / "shared" / "agents"
pytestmark = pytest.mark.agents


@pytest.fixture
def ledgered(sandbox):
    """Return a repository with one commit and a ledger, and the command that records."""
    repo = sandbox.make_repo("demo")
    for name, value in (("user.name", "Ada Example"), ("user.email", "ada@example.invalid")):
        sandbox.git("config", name, value, cwd=repo)  # the agents run with a HOME of their own
    sandbox.commit(repo, "first", {"README.md": "hello\n"})
    done = sandbox.run(sys.executable, "-I", "-m", "ledger", "--state", sandbox.state, "init", "--agents", "none", cwd=repo)
    assert done.returncode == 0, done.stderr
    return repo, shlex.join([sys.executable, "-I", "-m", "ledger.hook", "--state", str(sandbox.state)])


def drive(sandbox, script: str, *words: object, cwd: Path) -> None:
    """Run one of the drivers; it installs its command line from npm once."""
    if not DRIVERS.exists():
        pytest.skip("the drivers of the real agents are not beside this checkout")
    if os.environ.get("AGENTS_PREFIX"):  # command lines that are installed already
        sandbox.env["CODEX_PREFIX"] = os.path.join(os.environ["AGENTS_PREFIX"], "codex")
    done = sandbox.run("bash", DRIVERS / script, *words, cwd=cwd)
    assert "rc=0" in done.stdout, done.stdout + done.stderr


def ledger_json(sandbox, repo: Path, *args: str) -> dict:
    """Run a ledger command and return its JSON."""
    done = sandbox.run(sys.executable, "-I", "-m", "ledger", "--state", sandbox.state, *args, "--json", cwd=repo)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_codex_session_is_recorded_verified_and_traced(sandbox, ledgered):
    """A real Codex turn leaves prompt, plan, every call with its result, the MCP server, the approval request and an exact link."""
    repo, hook = ledgered
    drive(sandbox, "codex/drive.sh", repo, f"{hook} codex", sandbox.root / "out", cwd=sandbox.root)
    verified = ledger_json(sandbox, repo, "verify", "--full")
    assert verified["verdict"] in ("consistent", "anchored")
    assert verified["findings"] == []
    trace = ledger_json(sandbox, repo, "trace", "HEAD")
    assert trace["match"]["rung"] == "exact"
    assert [asked["prompt"] for asked in trace["asked"]] == ["Please add the demo file for ticket T-42 and commit it"]
    assert [step["step"] for step in trace["planned"][0]["steps"]] == ["Inspect", "Edit", "Commit"]
    tools = [ran["tool"] for ran in trace["ran"]]
    assert tools == ["update_plan", "Bash", "apply_patch", "mcp__tickets__lookup", "Bash", "Bash", "update_plan"]
    assert [ran["outcome"] for ran in trace["ran"]] == [*["finished"] * 4, "failed", "finished", "finished"]
    assert all(ran["result_entry"] for ran in trace["ran"])
    assert [ran["mcp_server"] for ran in trace["ran"] if ran["mcp_server"]] == ["tickets"]
    (approval,) = trace["approvals"]
    assert approval["subject"].startswith("git add codex_demo_")
    assert (approval["decision"], approval["scope"], approval["decider"]) == ("approved", "once", "auto-review")
    assert [ran["exit_code"] for ran in trace["ran"] if ran["tool"] == "Bash"] == [0, 128, 0]
    modes = [(item["mode"], item["network"], item["subagent"]) for item in trace["boundary"] if item["mode"]]
    assert modes[0] == ("workspace-write", "restricted", None)
    (changed,) = trace["changed"]
    patch = next(ran for ran in trace["ran"] if ran["tool"] == "apply_patch")
    assert (changed["link"], changed["calls"]) == ("exact", [patch["result_entry"]])


def test_claude_code_session_is_recorded_verified_and_traced(sandbox, ledgered):
    """A real Claude Code session, with denials, failures and a subagent, leaves each call once and exact links for its edits."""
    repo, hook = ledgered
    drive(sandbox, "others/drive_claude.sh", repo, f"{hook} claude-code", sandbox.root / "cap", "full", cwd=sandbox.root)
    verified = ledger_json(sandbox, repo, "verify", "--full")
    assert verified["verdict"] in ("consistent", "anchored")
    assert verified["findings"] == []
    trace = ledger_json(sandbox, repo, "trace", "HEAD")
    assert trace["match"]["rung"] == "exact"
    assert trace["asked"][0]["prompt"] == "MAIN-SCRIPT please change the greeting and commit"
    assert trace["planned"]
    outcomes = {(ran["tool"], ran["command"]): ran["outcome"] for ran in trace["ran"]}
    assert outcomes[("Bash", "echo hello-ledger; ls")] == "finished"
    assert outcomes[("Bash", "exit 3")] == "failed"
    assert outcomes[("Bash", "curl http://127.0.0.1:9/denied")] == "denied"
    assert outcomes[("Bash", "echo from-subagent")] == "finished"
    assert {ran["mcp_server"] for ran in trace["ran"] if ran["mcp_server"]} == {"ledgerprobe"}
    asked = [(item["subject"], item["decision"], item["decider"], item["grounds"]) for item in trace["approvals"] if item["asked"]]
    assert [row[1:] for row in asked] == [("denied", "policy", "none")] * 2
    assert {item["decider"] for item in trace["approvals"]} == {"policy"}
    links = {changed["path"]: changed for changed in trace["changed"]}
    edits = {ran["tool"]: ran["result_entry"] for ran in trace["ran"] if ran["tool"] in ("Edit", "Write")}
    assert (links["README.md"]["link"], links["README.md"]["calls"]) == ("exact", [edits["Edit"]])
    assert (links["src/new_file.py"]["link"], links["src/new_file.py"]["calls"]) == ("exact", [edits["Write"]])


def check_edits(trace: dict, edits: dict[str, str]) -> None:
    """Assert that the commit at HEAD was made in a call, and that its paths are tied to the tools in `edits`."""
    results = {ran["tool"]: ran["result_entry"] for ran in trace["ran"]}
    links = {changed["path"]: (changed["link"], changed["calls"]) for changed in trace["changed"]}
    assert links == {path: ("exact", [results[tool]]) for path, tool in edits.items()}
    assert trace["match"]["rung"] == "exact"


def test_gemini_session_is_recorded_although_it_switches_git_hooks_off(sandbox, ledgered):
    """A real Gemini session leaves every call once, what no hook tells from its transcript, and its commit by comparing HEAD."""
    repo, hook = ledgered
    drive(sandbox, "others/drive_gemini.sh", repo, f"{hook} gemini", sandbox.root / "cap", "full", cwd=sandbox.root)
    verified = ledger_json(sandbox, repo, "verify", "--full")
    assert verified["verdict"] in ("consistent", "anchored")
    trace = ledger_json(sandbox, repo, "trace", "HEAD")
    assert trace["asked"][0]["prompt"] == "MAIN-SCRIPT please change the greeting and commit"
    assert trace["planned"][0]["steps"] == [{"step": "Edit README", "status": "in_progress"}]
    outcomes = {(ran["tool"], ran["command"]): ran["outcome"] for ran in trace["ran"] if ran["tool"] == "run_shell_command"}
    assert len(outcomes) == len([ran for ran in trace["ran"] if ran["tool"] == "run_shell_command"])
    assert outcomes[("run_shell_command", "exit 3")] == "failed"
    assert outcomes[("run_shell_command", "curl http://127.0.0.1:9/denied")] == "denied"
    assert outcomes[("run_shell_command", "rm -f /tmp/does-not-exist-ledger")] == "denied"
    assert outcomes[("run_shell_command", "echo from-subagent")] == "finished"
    assert {ran["mcp_server"] for ran in trace["ran"] if ran["mcp_server"]} == {"ledgerprobe"}
    assert {item["decider"] for item in trace["approvals"]} == {"policy"}
    check_edits(trace, {"README.md": "replace", "src/new_file.py": "write_file"})


def test_opencode_session_is_recorded_by_the_plugin_of_the_project(sandbox, ledgered):
    """A real opencode session with the plugin that `init` installs: calls, refusals, the subagent, and an exact commit."""
    repo, _ = ledgered
    done = sandbox.run(sys.executable, "-I", "-m", "ledger", "--state", sandbox.state, "init", "--agents", "opencode", cwd=repo)
    assert done.returncode == 0, done.stderr
    drive(sandbox, "others/drive_opencode.sh", repo, "true", sandbox.root / "cap", "full", cwd=sandbox.root)
    verified = ledger_json(sandbox, repo, "verify", "--full")
    assert verified["verdict"] in ("consistent", "anchored")
    trace = ledger_json(sandbox, repo, "trace", "HEAD")
    assert [(asked["who"]["basis"], asked["prompt"].strip('"')[:11]) for asked in trace["asked"]] == [
        ("asserted", "MAIN-SCRIPT"),
        ("agent", "SUB-TASK: l"),
    ]
    outcomes = {ran["command"]: ran["outcome"] for ran in trace["ran"] if ran["tool"] == "bash"}
    assert outcomes["exit 3"] == "failed" and outcomes["echo from-subagent"] == "finished"
    assert outcomes["curl http://127.0.0.1:9/denied"] == "denied"
    assert {ran["mcp_server"] for ran in trace["ran"] if ran["mcp_server"]} == {"ledgerprobe"}
    assert (trace["approvals"][0]["decision"], trace["approvals"][0]["decider"]) == ("denied", "policy")
    check_edits(trace, {"README.md": "edit", "src/new_file.py": "write"})


def test_gemini_dialogues_are_told_apart(sandbox, ledgered):
    """At a real screen, one call allowed and one given up with Esc: both were asked for, one ran and one was cancelled."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    if not DRIVERS.exists():
        pytest.skip("the drivers of the real agents are not beside this checkout")
    repo, hook = ledgered
    keys = str(DRIVERS / "others/lib/keys_gask.txt")
    words = (repo, f"{hook} gemini", sandbox.root / "cap", "ask")
    done = sandbox.run("bash", DRIVERS / "others/drive_gemini.sh", *words, cwd=sandbox.root, INTERACTIVE=keys, TIMEOUT="60")
    assert "tui done" in done.stdout, done.stdout + done.stderr
    entries = sorted(ledger_json(sandbox, repo, "log"), key=lambda entry: entry["seq"])
    told = [entry for entry in entries if entry["kind"].startswith(("tool.", "approval."))]
    assert [entry["kind"] for entry in told] == ["tool.requested", "approval.requested", "tool.finished"] * 2
    assert [entry["body"]["outcome"] for entry in told if entry["kind"] == "tool.finished"] == ["finished", "cancelled"]
    assert all(entry["call"] == told[number // 3 * 3]["call"] for number, entry in enumerate(told))
