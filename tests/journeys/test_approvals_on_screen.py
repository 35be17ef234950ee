"""People's answers on the agents' own screens, in tmux: once, for the session, for good, no, Escape, each as `ledger trace` has it.

The real command lines against models on loopback, with the recorder as their hook and their telemetry recorded afterwards.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from replay import read_telemetry
from sandboxes import Sandbox

from ledger.agents.otel import agent_of, session_of, translate_record
from ledger.recorder import Recorder
from ledger.recording.facts import Setting, record_observation

DRIVERS = Path(__file__).resolve().parents[2].parent / "shared" / "agents"
pytestmark = pytest.mark.agents
WAIT_S = 40


class Screen:
    """A terminal in tmux, on a server of its own."""

    def __init__(self, root: Path) -> None:
        self.socket = root / "tmux"
        self.env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "xterm-256color", "LANG": "C.UTF-8"}

    def tmux(self, *words: str) -> str:
        """Run a tmux command."""
        done = subprocess.run(
            ["tmux", "-S", str(self.socket), "-f", "/dev/null", *words], env=self.env, capture_output=True, text=True, timeout=30
        )
        return done.stdout

    def start(self, script: Path) -> None:
        """Run a shell script in the terminal."""
        self.tmux("new-session", "-d", "-s", "s", "-x", "140", "-y", "45", f"env -i bash {shlex.quote(str(script))}; sleep 2")

    def wait(self, words: str) -> str:
        """Return what is on the screen once `words` (a pattern) are there."""
        shown = ""
        for _ in range(WAIT_S * 5):
            shown = self.tmux("capture-pane", "-p", "-t", "s")
            if re.search(words, shown):
                time.sleep(0.5)  # the program listens a little later than it draws
                return shown
            time.sleep(0.2)
        raise AssertionError(f"{words!r} did not come on the screen:\n{shown}")

    def keys(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.tmux("send-keys", "-t", "s", key)
            time.sleep(0.3)

    def close(self) -> None:
        """End the terminal's server, by its number."""
        number = self.tmux("display-message", "-p", "#{pid}").strip()
        if number.isdigit():
            subprocess.run(["kill", number], check=False)


@pytest.fixture
def screen(sandbox: Sandbox) -> Iterator[Screen]:
    """A terminal that is closed after the test."""
    if shutil.which("tmux") is None or not DRIVERS.exists():
        pytest.skip("tmux, or the drivers of the real agents, are not here")
    made = Screen(Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip()))
    yield made
    made.close()
    shutil.rmtree(made.socket.parent, ignore_errors=True)


@pytest.fixture
def ledgered(sandbox: Sandbox) -> tuple[Path, str]:
    """A repository with one commit and a ledger, and the command that records."""
    repo = sandbox.make_repo("demo")
    for name, value in (("user.name", "Ada Example"), ("user.email", "ada@example.invalid")):
        sandbox.git("config", name, value, cwd=repo)
    sandbox.commit(repo, "first", {"README.md": "hello\n", "calc.py": "def add(a, b):\n    return a - b\n"})
    done = sandbox.run(sys.executable, "-I", "-m", "ledger", "--state", sandbox.state, "init", "--agents", "none", cwd=repo)
    assert done.returncode == 0, done.stderr
    return repo, shlex.join([sys.executable, "-I", "-m", "ledger.hook", "--state", str(sandbox.state)])


def record_telemetry(repo: Path, sandbox: Sandbox, folder: Path) -> None:
    """Record the telemetry that a receiver kept, of the sessions that are known."""
    records = sorted(read_telemetry(folder), key=lambda record: record[-1])
    with Recorder.open(str(repo), state=str(sandbox.state)) as recorder:
        known = entries_of(repo, sandbox)
        sessions = {entry.get("session") for entry in known} | {entry["body"].get("subagent") for entry in known}
        for service, name, attributes, body, at_ms in records:
            seen, agent = translate_record(service, name, attributes, body, at_ms), agent_of(service, name, attributes, body)
            if seen is not None and agent is not None and session_of(attributes) in sessions:
                setting = Setting(recorder.repo, "otel", agent, {}, at_ms, live=False)
                recorder.append(lambda writer, seen=seen, setting=setting: record_observation(writer, seen, setting))


def entries_of(repo: Path, sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return the entries of the log."""
    done = sandbox.run(sys.executable, "-I", "-m", "ledger", "--state", sandbox.state, "log", "--raw", cwd=repo)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["entry"] for line in done.stdout.splitlines() if line.startswith("{")]


def decisions(repo: Path, sandbox: Sandbox) -> dict[str, tuple[str, str, str]]:
    """Return (decision, scope, decider) of what was asked of a person, by what was to be done."""
    done = sandbox.run(sys.executable, "-I", "-m", "ledger", "--state", sandbox.state, "trace", "HEAD", "--json", cwd=repo)
    assert done.returncode == 0, done.stderr
    trace = json.loads(done.stdout)
    assert trace["contradictions"] == []
    return {item["subject"]: (item["decision"], item["scope"], item["decider"]) for item in trace["approvals"] if item["asked"]}


def ask(command: str, **more: Any) -> dict[str, Any]:
    """Return a model's turn with a command that asks to leave the sandbox."""
    return {"calls": [{"name": "exec_command", "arguments": {"cmd": command, "sandbox_permissions": "require_escalated", **more}}]}


def test_codex_answers_are_told_apart(sandbox: Sandbox, screen: Screen, ledgered: tuple[Path, str]) -> None:
    """For the session, once, for good, and Escape, which is also what the screen's No is."""
    repo, hook = ledgered
    out = sandbox.root / "out"
    (out / "home" / ".codex").mkdir(parents=True)
    (out / "logs").mkdir()
    patch = "*** Begin Patch\n*** Update File: calc.py\n@@\n def add(a, b):\n-    return a - b\n+    return a + b\n*** End Patch\n"
    steps = [
        {"calls": [{"custom": "apply_patch", "input": patch}]},
        {"calls": [{"name": "write_note", "namespace": "mcp__tickets", "arguments": {"text": "one"}}]},
        ask("touch asked-once", justification="Once?"),
        ask("git commit -aqm 'Fix add'", justification="Commit?", prefix_rule=["git", "commit"]),
        ask("touch never", justification="Never?"),
        {"text": "Done.", "phase": "final_answer"},
    ]
    (out / "steps.json").write_text(json.dumps(steps))
    with Model(sandbox, out) as port:
        configure_codex(sandbox, repo, out, f"{hook} codex", port)
        screen.start(codex_script(out, repo))
        if "Try new model" in screen.wait("Try new model|Allow for this session"):
            screen.keys("Escape")
        screen.wait("Allow for this session")
        screen.keys("2")
        screen.wait("asked-once` ")
        screen.keys("y")
        screen.wait("git commit` ")
        screen.keys("p")
        screen.wait("never` ")
        screen.keys("Escape")
        screen.wait("Ask Codex to do anything")
        screen.keys("/quit", "Enter")
        wait_until(lambda: any(entry["kind"] == "session.ended" for entry in entries_of(repo, sandbox)))
        time.sleep(2)  # its last telemetry
    record_telemetry(repo, sandbox, out / "logs")
    assert decisions(repo, sandbox) == {
        '{"text":"one"}': ("approved", "session", "human"),
        "touch asked-once": ("approved", "once", "human"),
        "git commit -aqm 'Fix add'": ("approved", "always", "human"),
        "touch never": ("cancelled", "once", "human"),
    }


class Model:
    """The model on loopback; its port."""

    def __init__(self, sandbox: Sandbox, out: Path) -> None:
        words = ["--script", out / "steps.json", "--log", out / "logs", "--port-file", out / "port", "--idle", "90"]
        self.argv = [sys.executable, str(DRIVERS / "codex" / "mock_model.py"), *map(str, words)]
        self.env, self.port = sandbox.env, out / "port"

    def __enter__(self) -> str:
        self.process = subprocess.Popen(self.argv, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self.port.exists() and self.port.read_text() != "")
        return self.port.read_text()

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)


def configure_codex(sandbox: Sandbox, repo: Path, out: Path, hook: str, port: str) -> None:
    """Write Codex's settings as the driver does, for a folder that is trusted."""
    driver = (DRIVERS / "codex" / "drive.sh").read_text()
    program = driver.partition("<<'P'\n")[2].partition("\nP\n")[0]
    config = out / "home" / ".codex" / "config.toml"
    top = 'approval_policy = "on-request"\nsandbox_mode = "workspace-write"'
    words = [config, hook, port, "gpt-5.5", out, DRIVERS / "codex", "hash", top]
    sandbox.run(sys.executable, "-c", program, *words, cwd=out)
    with config.open("a") as file:
        file.write(f'\n[projects.{json.dumps(str(repo))}]\ntrust_level = "trusted"\n')


def codex_script(out: Path, repo: Path) -> Path:
    """Return a shell script that runs the Codex that was installed under AGENTS_PREFIX."""
    prefix = Path(os.environ.get("AGENTS_PREFIX", "/nowhere")) / "codex"
    binary = next(prefix.glob("node_modules/@openai/codex-*/vendor/*/bin/codex"), None)
    if binary is None:
        pytest.skip("no Codex under $AGENTS_PREFIX/codex")
    (out / "tmp").mkdir()
    path = out / "tui.sh"
    path.write_text(
        f"export PATH=/usr/local/bin:/usr/bin:/bin TERM=xterm-256color LANG=C.UTF-8 HOME={out}/home CODEX_HOME={out}/home/.codex "
        f"TMPDIR={out}/tmp MOCK_KEY=dummy\ncd {repo}\n"
        f'exec timeout --foreground 90 {binary} --disable daemon_auto_start "Please fix add() and commit"\n'
    )
    return path


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, for a bounded time."""
    for _ in range(WAIT_S * 5):
        if is_so():
            return
        time.sleep(0.2)
    raise AssertionError("it did not come")


_LEAVE = ("sleep 3", "keys /exit Enter", "sleep 3", "")
CLAUDE_KEYS = {
    "once and for the session": ("sleep 9", "keys Enter", "sleep 4", "keys Down Enter", "sleep 4", "keys Escape", *_LEAVE),
    "no": ("sleep 9", "keys Down Down Down Enter", *_LEAVE),
    "Escape": ("sleep 9", "keys Escape", *_LEAVE),
}


@pytest.mark.parametrize("how", [*CLAUDE_KEYS])
def test_claude_code_answers_are_told_apart(sandbox: Sandbox, screen: Screen, ledgered: tuple[Path, str], how: str) -> None:
    """Once and for the session differ; a No and an Escape do not, on any surface of this agent, and the answer says so."""
    repo, hook = ledgered
    keys = sandbox.root / "keys"
    keys.write_text("\n".join(CLAUDE_KEYS[how]))
    cap = sandbox.root / "cap"
    sandbox.env.update(INTERACTIVE=str(keys), PERM="default")
    done = sandbox.run("bash", DRIVERS / "others" / "drive_claude.sh", repo, f"{hook} claude-code", cap, "ask", cwd=sandbox.root)
    assert "tui done" in done.stdout, done.stdout + done.stderr
    record_telemetry(repo, sandbox, cap / "otlp")
    made = [entry for entry in entries_of(repo, sandbox) if entry["kind"] == "approval.decided"]
    found = [tuple(entry["body"][name] for name in ("decision", "scope", "decider")) for entry in made]
    if how == "once and for the session":
        assert found == [("approved", "once", "human"), ("approved", "session", "human"), ("denied", "once", "human")]
    else:
        assert found == [("denied", "once", "human")]
        assert made[0]["body"]["alike"] == ["no", "escape"]
