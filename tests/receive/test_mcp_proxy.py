"""`ledger record mcp` between a client and a server: every byte passes, and what was called is recorded."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from listener import SESSION, Scene

from ledger.core.entry import Entry

SERVER = [sys.executable, str(Path(__file__).with_name("mcp_server.py"))]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "clientInfo": {"name": "some-agent", "version": "9"}},
}


def call(number: int | str, tool: str, arguments: Any = None, **meta: Any) -> dict[str, Any]:
    """Return a tools/call request."""
    params = {"name": tool, "arguments": {} if arguments is None else arguments, **({"_meta": meta} if meta else {})}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


class Client:
    """An agent: it starts the server behind the proxy and speaks with it."""

    def __init__(self, scene: Scene, *command: str, options: tuple[str, ...] = ("--server", "tickets")) -> None:
        argv = [sys.executable, "-I", "-m", "ledger", "record", "mcp", *options, "--", *(command or SERVER)]
        self.process = subprocess.Popen(
            argv, cwd=scene.path, env=scene.sandbox.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def ask(self, message: Any) -> Any:
        """Send a message and return the next line that comes back, parsed."""
        self.send(json.dumps(message).encode() + b"\n")
        return json.loads(self.line())

    def send(self, data: bytes) -> None:
        """Send bytes."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def line(self) -> bytes:
        """Return the next line that comes back."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> tuple[int, bytes, bytes]:
        """Say that nothing more comes; return exit code, what still came, and stderr."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def recorded(scene: Scene) -> list[Entry]:
    """Return what the proxy recorded, once it has recorded how the server ended (it does so beside, and perhaps later)."""
    for _ in range(300):
        found = scene.entries(source="mcp")
        if found and found[-1].body.get("event") == "mcp.exit":
            return found
        time.sleep(0.05)
    raise AssertionError(f"the end was not recorded: {[entry.kind for entry in found]}")


def of_kind(entries: list[Entry], kind: str) -> list[Entry]:
    """Return the entries of a kind."""
    return [entry for entry in entries if entry.kind == kind]


def test_a_call_is_recorded_with_result_and_identities(scene: Scene) -> None:
    """Who is at both ends, what was called with which arguments, and what came of it."""
    client = Client(scene)
    assert client.ask(INITIALIZE)["result"]["serverInfo"]["name"] == "tickets-server"
    assert client.ask(call(1, "lookup", {"ticket": "T-1"}))["id"] == 1
    assert client.end()[0] == 0
    introduced, asked, finished, ended = recorded(scene)
    assert introduced.body["server_version"] == "1.2.3" and introduced.body["client_name"] == "some-agent"
    assert introduced.body["basis"]["server_name"] == "claimed"
    assert (asked.kind, asked.body["mcp_server"], asked.body["mcp_tool"]) == ("tool.requested", "tickets", "lookup")
    assert asked.actor == {"type": "agent", "name": "some-agent"}
    assert json.loads(scene.payload(asked.seq, "input")) == {"ticket": "T-1"}
    assert (finished.cause, finished.body["outcome"], finished.call) == (asked.seq, "finished", asked.call)
    assert "T-1" in scene.payload(finished.seq, "output").decode()
    assert (ended.body["exit_code"], ended.body["open_calls"], ended.body["crashed"]) == (0, 0, False)


def test_errors_are_told_apart_from_results(scene: Scene) -> None:
    """A tool that failed and a server that refused are both `failed`, each with what it said."""
    client = Client(scene)
    client.ask(call(1, "fail"))
    client.ask(call("1", "broken"))
    client.end()
    first, second = of_kind(recorded(scene), "tool.finished")
    assert [first.body["outcome"], second.body["outcome"]] == ["failed", "failed"]
    assert b"isError" in scene.payload(first.seq, "output") and b"out of order" in scene.payload(second.seq, "output")


def test_a_batch_is_as_many_calls(scene: Scene) -> None:
    """Requests in one frame are calls of their own, and so are the answers in one."""
    client = Client(scene)
    assert len(client.ask([call(1, "lookup", {"n": 1}), call(2, "fail"), call(3, "lookup", {"n": 3})])) == 3
    client.end()
    entries = recorded(scene)
    asked, finished = of_kind(entries, "tool.requested"), of_kind(entries, "tool.finished")
    assert [entry.cause for entry in finished] == [entry.seq for entry in asked]
    assert [entry.body["outcome"] for entry in finished] == ["finished", "failed", "finished"]


def test_a_call_that_the_hooks_recorded_is_not_recorded_again(scene: Scene) -> None:
    """With the agent's own name on the wire, the call is the hook's; the result comes once, whoever is first."""
    hook = {"session_id": SESSION, "turn_id": "t", "tool_name": "mcp__tickets__lookup", "tool_use_id": "toolu_1"}
    scene.tell("codex", hook_event_name="PreToolUse", tool_input={"ticket": "T-1"}, **hook)
    client = Client(scene)
    client.ask(call(1, "lookup", {"ticket": "T-1"}, **{"claudecode/toolUseId": "toolu_1"}))
    client.end()
    entries = recorded(scene)
    scene.tell("codex", hook_event_name="PostToolUse", tool_input={"ticket": "T-1"}, tool_response={"content": []}, **hook)
    assert of_kind(entries, "tool.requested") == []
    (finished,) = of_kind(scene.entries(), "tool.finished")
    assert (finished.session, finished.turn, finished.call, finished.source) == (SESSION, "t", "toolu_1", "mcp")
    assert "basis" not in finished.body


def test_without_a_name_a_call_is_joined_by_what_it_asks(scene: Scene) -> None:
    """Agents that put nothing on the wire are joined by server, tool and arguments: inferred, and each hook's call only once."""
    hook = {"session_id": SESSION, "turn_id": "t", "tool_name": "mcp__tickets__lookup", "tool_input": {"ticket": "T-1"}}
    for name in ("c1", "c2"):
        scene.tell("codex", hook_event_name="PreToolUse", tool_use_id=name, **hook)
    client = Client(scene)
    for number in range(3):
        client.ask(call(number, "lookup", {"ticket": "T-1"}))
    client.end()
    entries = recorded(scene)
    assert {entry.call for entry in of_kind(entries, "tool.finished")} > {"c1", "c2"}
    assert all(entry.body["basis"]["call"] == "inferred" for entry in of_kind(entries, "tool.finished"))
    assert len(of_kind(entries, "tool.requested")) == 1


def test_arguments_that_changed_on_the_way_are_evidence(scene: Scene) -> None:
    """Where the server got others than the hook was told, both are on record."""
    hook = {"session_id": SESSION, "turn_id": "t", "tool_name": "mcp__tickets__lookup", "tool_use_id": "toolu_2"}
    scene.tell("codex", hook_event_name="PreToolUse", tool_input={"ticket": "T-1"}, **hook)
    client = Client(scene)
    client.ask(call(1, "lookup", {"ticket": "T-2"}, **{"claudecode/toolUseId": "toolu_2"}))
    client.end()
    (note,) = [entry for entry in recorded(scene) if entry.body.get("event") == "mcp.arguments"]
    assert note.body["input_changed"] is True and note.call == "toolu_2"
    assert json.loads(scene.payload(note.seq, "message")) == {"ticket": "T-2"}


@pytest.mark.parametrize(("tool", "status"), [("crash", 7), ("kill", -signal.SIGKILL)])
def test_a_crash_is_passed_on_and_closes_open_calls(scene: Scene, tool: str, status: int) -> None:
    """The agent sees the server's own exit; calls without an answer have failed with it."""
    client = Client(scene)
    client.send(json.dumps(call(1, "silent")).encode() + b"\n" + json.dumps(call(2, tool)).encode() + b"\n")
    assert client.process.wait(60) == status
    entries = recorded(scene)
    assert [entry.body["outcome"] for entry in of_kind(entries, "tool.finished")] == ["failed", "failed"]
    assert all(entry.body["basis"]["outcome"] == "inferred" for entry in of_kind(entries, "tool.finished"))
    assert entries[-1].body["crashed"] is True and entries[-1].body["open_calls"] == 2
    client.end()


def test_a_server_that_is_told_to_stop_has_not_crashed(scene: Scene) -> None:
    """SIGTERM reaches the server; an open call's outcome is unknown then, and a cancelled one is cancelled."""
    client = Client(scene)
    client.ask(INITIALIZE)
    client.send(json.dumps(call(1, "silent")).encode() + b"\n" + json.dumps(call(2, "silent")).encode() + b"\n")
    client.send(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}\n')
    client.ask(call(3, "lookup"))
    client.process.terminate()
    assert client.process.wait(60) == -signal.SIGTERM
    entries = recorded(scene)
    outcomes = {entry.call.rpartition("-")[2]: entry.body["outcome"] for entry in of_kind(entries, "tool.finished") if entry.call}
    assert outcomes == {"1": "unknown", "2": "cancelled", "3": "finished"}
    assert entries[-1].body["crashed"] is False and entries[-1].body["signal"] == signal.SIGTERM
    client.end()


def test_a_killed_proxy_takes_the_server_along_and_leaves_a_record(scene: Scene) -> None:
    """Nobody else would end the server; the recorder outlives both, and says that it did not see the end."""
    client = Client(scene, sys.executable, "-c", "import os, sys, time; print(os.getpid(), flush=True); time.sleep(600)")
    server = int(client.line())
    client.send(json.dumps(call(1, "silent")).encode() + b"\n")
    for _ in range(200):
        if of_kind(scene.entries(source="mcp"), "tool.requested"):
            break
        time.sleep(0.05)
    client.process.kill()
    client.process.wait(60)
    entries = recorded(scene)
    assert entries[-1].body["proxy"] == "killed"
    assert of_kind(entries, "tool.finished")[0].body["outcome"] == "unknown"
    if sys.platform == "linux":
        assert not Path(f"/proc/{server}").exists() or b"Z" in Path(f"/proc/{server}/stat").read_bytes().split(b")")[-1][:3]
    client.end()


def test_every_byte_passes_unchanged_in_both_directions(scene: Scene) -> None:
    """Whatever the two say, also what is no JSON, no UTF-8 and no lines, arrives as it was sent: megabytes, and single bytes."""
    noise = random.Random(7)
    data = b"\n".join([b"", b"\xff\xfe\x00", b'{"jsonrpc":"2.0"', b"[[[", b"\r\n", noise.randbytes(3 << 20), b"a" * 100_000])
    client = Client(scene, sys.executable, "-c", _ECHO)
    code, out, err = _talk(client, data)
    assert (code, out, err) == (0, data, b"")
    recorded(scene)


_ECHO = "import os\nwhile chunk := os.read(0, 7777):\n    while chunk:\n        chunk = chunk[os.write(1, chunk):]"


def _talk(client: Client, data: bytes) -> tuple[int, bytes, bytes]:
    out, err = client.process.communicate(data, timeout=120)
    return client.process.returncode, out, err


def test_lines_that_are_no_json_are_passed_over(scene: Scene) -> None:
    """Servers print what belongs elsewhere; the answer after it is understood."""
    client = Client(scene)
    client.send(json.dumps(call(1, "noise")).encode() + b"\n")
    assert client.line() == b"this is no JSON\n"
    assert json.loads(client.line())["id"] == 1
    client.end()
    assert [entry.body["outcome"] for entry in of_kind(recorded(scene), "tool.finished")] == ["finished"]


def test_a_huge_result_is_recorded_by_size_and_digest(scene: Scene) -> None:
    """A frame that is too large to be held is known by its digest; its call is closed all the same."""
    client = Client(scene)
    client.send(json.dumps(call(5, "big", {"size": 17 << 20})).encode() + b"\n")
    frame = client.line().rstrip(b"\n")
    client.end()
    entries = recorded(scene)
    (finished,), (gap,) = of_kind(entries, "tool.finished"), of_kind(entries, "gap.noted")
    digest = hashlib.sha256(frame).hexdigest()
    assert (finished.body["outcome"], finished.body["output_size"], finished.body["output_digest"]) == (
        "finished",
        len(frame),
        digest,
    )
    assert (gap.body["reason"], gap.body["size"], gap.body["digest"], gap.source) == (
        "mcp-frame-too-large",
        len(frame),
        digest,
        "mcp",
    )
    assert finished.payloads == ()


def test_a_log_in_use_delays_nobody(scene: Scene) -> None:
    """While somebody holds the log's lock, the two go on talking; what they said is recorded afterwards."""
    from ledger.store.lock import Lock
    from ledger.store.state import lock_path

    client = Client(scene)
    with Lock(lock_path(str(scene.state), scene.log)):
        for number in range(50):
            assert client.ask(call(number, "lookup", {"n": number}))["id"] == number
        assert scene.entries(source="mcp") == []
    client.end()
    assert len(of_kind(recorded(scene), "tool.finished")) == 50


def test_outside_of_a_known_repository_the_server_is_simply_started(scene: Scene, tmp_path: Path) -> None:
    """No proxy, no entry, no word: the process is the server itself."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    argv = [sys.executable, "-I", "-m", "ledger", "record", "mcp", "--", sys.executable, "-c", "import os; print(os.getpid())"]
    process = subprocess.Popen(
        argv, cwd=elsewhere, env=scene.sandbox.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = process.communicate(timeout=60)
    assert (int(out), err) == (process.pid, b"")
    assert scene.entries(source="mcp") == []


@pytest.mark.parametrize("where", ["known", "unknown"])
def test_a_server_that_cannot_be_started_is_said_to_be(scene: Scene, tmp_path: Path, where: str) -> None:
    """As a shell would: 127, and one line on stderr."""
    argv = [sys.executable, "-I", "-m", "ledger", "record", "mcp", "--", "/nonexistent/server"]
    done = scene.sandbox.run(*argv, cwd=scene.path if where == "known" else tmp_path)
    assert done.returncode == 127
    assert "cannot start" in done.stderr and done.stdout == ""


def test_environment_folder_and_arguments_reach_the_server(scene: Scene) -> None:
    """The server is started as the agent would start it."""
    code = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), os.environ.get('TICKETS')]))"
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "ledger", "record", "mcp", "--", sys.executable, "-c", code, "--server", "x", "--", "-h"],
        cwd=scene.path,
        env={**scene.sandbox.env, "TICKETS": "yes"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    out, _ = process.communicate(timeout=60)
    assert json.loads(out) == [["--server", "x", "--", "-h"], os.path.realpath(scene.path), "yes"]
    recorded(scene)


def test_nothing_of_the_proxy_keeps_the_agents_pipes_open(scene: Scene) -> None:
    """When the server has ended, the agent reads to the end at once, though the recorder may still wait for the log."""
    from ledger.store.lock import Lock
    from ledger.store.state import lock_path

    client = Client(scene)
    with Lock(lock_path(str(scene.state), scene.log)):
        client.ask(call(1, "lookup"))
        assert client.end() == (0, b"", b"")
    recorded(scene)
