"""The plugin for opencode, run by node: it forwards in order, injects identifiers, and never throws, hangs or holds much."""

from __future__ import annotations

import json
import re
import shutil
import sys

import pytest

from ledger.install.templates import is_plugin, render_plugin

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")

# A recorder that keeps what it was told, one line an event.
KEEPER = "import sys; text = sys.stdin.read(); open(sys.argv[1], 'a').write(text + chr(10))"
# What opencode does: load the plugin, then call its hooks. `tell` is a bus event.
DRIVER = """
import {{ GitLedger }} from {plugin}
const hooks = await GitLedger({{ directory: {folder}, worktree: {folder} }})
let count = 0
const tell = (type, properties) => hooks.event({{ event: {{ id: "evt_" + count++, type, properties }} }})
const call = (session, id, tool, args) => hooks["tool.execute.before"]({{ tool, sessionID: session, callID: id }}, {{ args }})
const after = hooks["tool.execute.after"]
const result = (session, id, tool, args, output) => after({{ tool, sessionID: session, callID: id, args }}, output)
{script}
"""


class Node:
    """A folder in which node runs the plugin."""

    def __init__(self, sandbox, command: list[str] | None = None, **constants: int) -> None:
        self.sandbox = sandbox
        self.folder = sandbox.root / "opencode"
        self.folder.mkdir()
        self.told = sandbox.root / "told"
        text = render_plugin(command or [sys.executable, "-I", "-c", KEEPER, str(self.told)]).decode()
        for name, value in constants.items():
            text, count = re.subn(rf"(?m)^const {name} = [^/\n]+", f"const {name} = {value} ", text)
            assert count == 1
        (self.folder / "plugin.mjs").write_text(text)

    def run(self, script: str) -> str:
        """Run a script against the hooks; it must succeed and say nothing but what it prints itself."""
        words = {"plugin": json.dumps(str(self.folder / "plugin.mjs")), "folder": json.dumps(str(self.folder))}
        (self.folder / "driver.mjs").write_text(DRIVER.format(script=script, **words))
        done = self.sandbox.run("node", "driver.mjs", cwd=self.folder)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def events(self) -> list[dict]:
        """Return what the recorder was told."""
        return [json.loads(line) for line in self.told.read_text().splitlines()] if self.told.exists() else []


def test_a_plugin_is_known_by_its_first_line():
    """`init` and `deinit` tell ours from somebody else's; what is baked in stays a word, whatever it is made of."""
    data = render_plugin(['/it\'s "a" ${path}/python', "-I"])
    assert is_plugin(data) and not is_plugin(b"// something else")
    assert b'const COMMAND = ["/it\'s \\"a\\" ${path}/python", "-I"]\n' in data


def test_events_go_in_order_and_only_those_that_tell(sandbox):
    """A call's request is handed over before the call may begin; progress, deltas and counters are not forwarded."""
    node = Node(sandbox)
    node.run("""
    await hooks.config({ permission: { bash: "ask" }, mcp: { probe: {} } })
    await tell("session.created", { sessionID: "ses_1", info: { id: "ses_1", version: "1.0" } })
    const parts = [{ type: "text", text: "go" }]
    await hooks["chat.message"]({ sessionID: "ses_1" }, { message: { id: "msg_1", role: "user" }, parts })
    await tell("message.part.delta", { sessionID: "ses_1" })
    await tell("session.status", { sessionID: "ses_1" })
    await call("ses_1", "c1", "bash", { command: "ls" })
    await tell("message.part.updated", { sessionID: "ses_1", part: { type: "tool", state: { status: "running" } } })
    await result("ses_1", "c1", "bash", { command: "ls" }, { output: "x", metadata: { exit: 0 } })
    await tell("message.part.updated", { part: { type: "text", sessionID: "ses_1", text: "Done.", time: { end: 1 } } })
    await tell("session.idle", { sessionID: "ses_1" })
    """)
    events = node.events()
    names = "event.session.created chat.message tool.execute.before tool.execute.after event.session.idle".split()
    assert [event["hook_event_name"] for event in events] == names
    assert all(event["cwd"] == str(node.folder) for event in events)
    assert events[0]["ledger"]["rules"] == {"bash": "ask"} and events[0]["ledger"]["entrypoint"] == "tui"
    assert events[2]["ledger"] == {"turn": "msg_1", "servers": ["probe"]}
    assert events[-1]["ledger"]["message"] == "Done."


def test_identifiers_reach_what_runs_in_a_call(sandbox):
    """`shell.env` names session and call; of a subagent's call the session is the root's."""
    node = Node(sandbox)
    out = node.run("""
    await tell("session.created", { sessionID: "ses_1", info: { id: "ses_1" } })
    await tell("session.created", { sessionID: "ses_2", info: { id: "ses_2", parentID: "ses_1" } })
    await tell("session.created", { sessionID: "ses_3", info: { id: "ses_3", parentID: "ses_2" } })
    for (const [sessionID, callID] of [["ses_1", "c1"], ["ses_3", "c3"], [undefined, undefined]]) {
      const output = { env: { KEPT: "1" } }
      await hooks["shell.env"]({ cwd: "/", sessionID, callID }, output)
      console.log(JSON.stringify(output.env))
    }
    """)
    first, third, none = map(json.loads, out.splitlines())
    assert first == {"KEPT": "1", "LEDGER_SESSION_ID": "ses_1", "LEDGER_CALL_ID": "c1"}
    assert third == {"KEPT": "1", "LEDGER_SESSION_ID": "ses_1", "LEDGER_CALL_ID": "c3"}
    assert none == {"KEPT": "1"}
    assert node.events()[2]["ledger"]["session"] == "ses_1"


def test_a_plugin_that_is_installed_twice_tells_once(sandbox):
    """For the project and for the user: both get the same event, and the first of them forwards it."""
    node = Node(sandbox)
    (node.folder / "other.mjs").write_text((node.folder / "plugin.mjs").read_text())
    node.run("""
    const { GitLedger: Other } = await import("./other.mjs")
    const others = await Other({ directory: "." })
    const event = () => ({ id: "evt_x", type: "todo.updated", properties: { sessionID: "ses_1", todos: [] } })
    const output = { args: { command: "ls" } }
    for (const each of [hooks, others]) {
      await each.event({ event: event() })
      await each["tool.execute.before"]({ tool: "bash", sessionID: "ses_1", callID: "c1" }, output)
    }
    """)
    assert [event["hook_event_name"] for event in node.events()] == ["event.todo.updated", "tool.execute.before"]


def test_a_reply_names_the_call_that_was_asked_for(sandbox):
    """`permission.replied` bears the request only; the plugin remembers which call that was for."""
    node = Node(sandbox)
    node.run("""
    await tell("permission.asked", { id: "per_1", sessionID: "ses_1", permission: "bash", tool: { callID: "c1" } })
    await tell("permission.replied", { sessionID: "ses_1", requestID: "per_1", reply: "once" })
    """)
    assert node.events()[1]["ledger"]["call"] == "c1"


@pytest.mark.parametrize(
    "command",
    [
        ["/nonexistent/python"],
        [sys.executable, "-c", "import sys; sys.exit(2)"],
        [sys.executable, "-c", "import time; time.sleep(60)"],
    ],
    ids=["missing", "failing", "hanging"],
)
def test_a_recorder_that_does_not_work_costs_no_call(sandbox, command):
    """Nothing throws and nothing is waited for longer than its bound, whatever the recorder does."""
    node = Node(sandbox, command, WAIT_MS=50, EXIT_MS=50)
    out = node.run("""
    for (let n = 0; n < 5; n++) {
      await call("ses_1", "c" + n, "bash", { command: "ls" })
      await result("ses_1", "c" + n, "bash", { command: "ls" }, { output: "x" })
    }
    console.log("went on")
    process.exit(0)
    """)
    assert out == "went on\n"


def test_whatever_opencode_passes_nothing_throws(sandbox):
    """An error after a call would make the model believe that the call failed: members that are missing or odd are survived."""
    node = Node(sandbox)
    out = node.run("""
    const odd = [undefined, null, 1, "x", [], {}, { event: null }, { event: {} }, { sessionID: {} }, { toString: null }]
    const loop = {}; loop.self = loop; odd.push(loop, { tool: 1n }, { get tool() { throw new Error("no") } })
    let threw = 0
    for (const name of Object.keys(hooks)) for (const a of odd) for (const b of [undefined, null, {}, loop, { env: null }]) {
      try { await hooks[name](a, b) } catch { threw += 1 }
    }
    console.log(threw)
    await call("ses_1", "last", "bash", {})
    """)
    assert out == "0\n"
    assert node.events()[-1]["input"]["callID"] == "last"


def test_what_waits_at_the_exit_is_handed_over(sandbox):
    """opencode awaits no bus event: those that are on their way when it exits are still recorded."""
    node = Node(sandbox, EXIT_MS=30_000)
    node.run("""
    for (let n = 0; n < 6; n++) tell("todo.updated", { sessionID: "ses_1", todos: [{ content: "step " + n }] })
    process.exit(0)
    """)
    steps = [event["event"]["properties"]["todos"][0]["content"] for event in node.events()]
    assert sorted(steps) == [f"step {n}" for n in range(6)]  # the first one may be on its way, and come in between


def test_huge_events_and_long_queues_are_bounded(sandbox):
    """A text of ten megabytes is cut, and says so; what does not fit into the queue is counted, and said with the next event."""
    node = Node(sandbox, MAX_WAITING=3)
    node.run("""
    await result("ses_1", "c1", "bash", { command: "cat" }, { output: "x".repeat(10 << 20), metadata: { exit: 0 } })
    const all = []
    for (let n = 0; n < 10; n++) all.push(tell("todo.updated", { sessionID: "ses_1", todos: [] }))
    await Promise.all(all)
    await call("ses_1", "c2", "bash", {})
    """)
    events = node.events()
    assert len(events[0]["output"]["output"]) == 64 << 10 and events[0]["cut"] > 10 << 20
    assert events[0]["output"]["metadata"] == {"exit": 0}
    assert events[-1]["lost"] == 10 - (len(events) - 2)
