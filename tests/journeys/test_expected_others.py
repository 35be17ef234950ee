"""The captured sessions of Gemini CLI and opencode give the traces that were written by reading the captures."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from others import CAPTURES, Stage, captured, expected, forwarded, play_gemini, play_opencode, tell

from ledger.install.templates import render_plugin
from ledger.verify.verifier import Options, verify_repository

PLAYS = {"gemini": play_gemini, "opencode": play_opencode}


@pytest.fixture
def stage(sandbox):
    """A repository to play in."""
    return Stage(sandbox)


def need(name: str) -> None:
    """Skip where the captured session is not here."""
    if not (CAPTURES / name).exists():
        pytest.skip(f"the captured session {name} is not beside this checkout")


@pytest.mark.parametrize("name", ["gemini/full", "opencode/full"])
def test_captured_session_gives_the_expected_trace(stage, name):
    """Prompts and their origin, plan, calls with outcome and decision, bounds, subagents, links: nothing more, nothing less."""
    need(name)
    agent = name.partition("/")[0]
    PLAYS[agent](stage, name)
    if agent == "gemini":
        stage.telemetry(agent, CAPTURES / name / "otlp")
    assert "gap.noted" not in [entry.kind for entry in stage.entries()]
    assert tell(stage) == expected(name)
    report = verify_repository(stage.repo, stage.state, Options(full=True))
    assert [finding for finding in report.findings if finding.severity == "error"] == []


def test_telemetry_that_comes_twice_adds_no_call(stage):
    """Hooks, transcript and telemetry tell of the same calls: each has one request and one result, however often it is told."""
    need("gemini/full")
    play_gemini(stage, "gemini/full")
    for _ in range(2):
        stage.telemetry("gemini", CAPTURES / "gemini/full" / "otlp")
    wanted = {(ran["tool"], ran.get("command"), ran["outcome"]) for ran in expected("gemini/full")["ran"]}
    ran = [(item["tool"], item.get("command"), item["outcome"]) for item in tell(stage)["ran"]]
    assert len(ran) == len(wanted) and set(ran) == wanted


def test_what_no_hook_saw_says_where_it_is_from(stage):
    """A refusal is the transcript's word, a decision the telemetry's, and each is graded so."""
    need("gemini/full")
    play_gemini(stage, "gemini/full")
    stage.telemetry("gemini", CAPTURES / "gemini/full" / "otlp")
    denied = [entry for entry in stage.entries("tool.finished") if entry.body["outcome"] == "denied"]
    assert {entry.source for entry in denied} == {"transcript"}
    assert all(entry.body["basis"]["outcome"] == "inferred" and entry.cause is not None for entry in denied)
    decided = stage.entries("approval.decided")
    assert {(entry.source, entry.body["decision"]) for entry in decided} == {("transcript", "denied"), ("otel", "approved")}
    assert all(entry.actor["type"] in ("policy", "unknown") for entry in decided)  # nobody was there
    (bounds,) = stage.entries("boundary.declared")
    assert bounds.body["basis"]["sandbox_said"] == "telemetry"


def test_the_plugin_forwards_what_the_replay_says(sandbox):
    """Fed with the captured events, the plugin itself sends what the replay above is made of."""
    need("opencode/full")
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    folder = sandbox.root / "plugin"
    folder.mkdir()
    keeper = "import sys; text = sys.stdin.read(); open(sys.argv[1], 'a').write(text + chr(10))"
    (folder / "plugin.mjs").write_bytes(render_plugin([sys.executable, "-I", "-c", keeper, str(folder / "told")]))
    (folder / "events.json").write_text(json.dumps([native for native, _ in captured("opencode/full")]))
    (folder / "driver.mjs").write_text(
        """
        import { readFileSync } from "node:fs"
        import { GitLedger } from "./plugin.mjs"
        const hooks = await GitLedger({ directory: "/home/dev/demo" })
        for (const native of JSON.parse(readFileSync("events.json"))) {
          const { hook_event_name: name, input, output, event, permission } = native
          if (name === "config") await hooks.config({ permission, mcp: { ledgerprobe: {} } })
          else if (event) await hooks.event({ event })
          else if (hooks[name]) await hooks[name](input, output)
        }
        """
    )
    # The recorder is started in the session's folder, which is not here.
    text = (folder / "plugin.mjs").read_text().replace("cwd: item.cwd, ", "")
    (folder / "plugin.mjs").write_text(text)
    done = sandbox.run("node", "driver.mjs", "run", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    told = [json.loads(line) for line in (folder / "told").read_text().splitlines()]
    wanted = [native for native, _ in forwarded("opencode/full")]
    assert [item["hook_event_name"] for item in told] == [item["hook_event_name"] for item in wanted]
    for said, want in zip(told, wanted, strict=True):
        want = {name: value for name, value in want.items() if name != "tool_name"}
        if want["hook_event_name"] == "chat.message":
            want["input"] = {"sessionID": want["input"]["sessionID"]}
        if "event" in want:
            want["event"] = {"type": want["event"]["type"], "properties": want["event"]["properties"]}
            want["event"]["properties"].pop("time", None)
        assert said == want
