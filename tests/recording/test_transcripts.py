"""Transcripts that grow, and transcripts that somebody cut, replaced, edited, filled with rubbish or let point elsewhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ledger.core.entry import Entry, parse_record
from ledger.recorder import Recorder, begin_log
from ledger.recording import transcripts
from ledger.recording.events import make_event, record_event
from ledger.repo.gitdir import find_repository
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path

SESSION = "01a20402-de18-7120-9901-0df46998aa71"
NOW = 1_795_364_600_000


class Desk:
    """A repository with a ledger, and one Codex session whose rollout the test writes."""

    def __init__(self, sandbox: Any) -> None:
        self.repo = find_repository(str(sandbox.make_repo("demo", commit=True)))
        self.state = str(sandbox.state)
        self.log = begin_log(self.repo, self.state).log
        folder = sandbox.root / "home" / ".codex" / "sessions" / "2026" / "11" / "22"
        folder.mkdir(parents=True)
        self.path = folder / f"rollout-2026-11-22T16-07-06-{SESSION}.jsonl"
        self.ordinal = 0
        self.at_ms = NOW

    def line(self, kind: str, **payload: Any) -> bytes:
        """Return one line of a rollout."""
        self.ordinal += 1
        head = {"timestamp": "2026-11-22T16:22:53.663Z", "ordinal": self.ordinal, "type": kind}
        return json.dumps({**head, "payload": payload}).encode() + b"\n"

    def meta(self) -> bytes:
        """Return the first line."""
        return self.line("session_meta", id=SESSION, session_id=SESSION, cli_version="0.169.0", git={"commit_hash": "ab" * 20})

    def call(self, call: str, command: str = "ls", code: int = 0) -> bytes:
        """Return the lines of a call and its result."""
        arguments = json.dumps({"cmd": command})
        item = {
            "type": "CommandExecution",
            "id": call,
            "exit_code": code,
            "status": "completed",
            "duration": {"secs": 1, "nanos": 5000000},
        }
        return (
            self.line("response_item", type="function_call", name="exec_command", call_id=call, arguments=arguments)
            + self.line("event_msg", type="item_completed", item=item)
            + self.line("response_item", type="function_call_output", call_id=call, output="Wall time: 1 seconds\nOutput:\nx")
        )

    def write(self, *lines: bytes) -> None:
        """Append lines to the rollout."""
        with open(self.path, "ab") as file:
            file.write(b"".join(lines))

    def hook(self, name: str, **members: Any) -> None:
        """Record a hook event that names the rollout."""
        self.at_ms += 3000
        native = {"hook_event_name": name, "session_id": SESSION, "turn_id": "t1", "transcript_path": str(self.path), **members}
        data = json.dumps({**native, "cwd": self.repo.work_tree}).encode()
        with Recorder.open(self.repo.work_tree, state=self.state) as recorder:
            event = make_event("codex", (), data, str(self.repo.work_tree), {}, self.at_ms)
            recorder.append(lambda writer: record_event(writer, self.repo, event, live=True))

    def entries(self, *kinds: str) -> list[Entry]:
        """Return the entries of some kinds."""
        with JournalReader(journal_path(self.state, self.log)) as journal:
            found = [parse_record(record).entry for _, record in journal.records()]
        return [entry for entry in found if not kinds or entry.kind in kinds]

    def reasons(self) -> list[str]:
        """Return why there are gaps."""
        return [entry.body["reason"] for entry in self.entries("gap.noted")]


@pytest.fixture
def desk(sandbox: Any) -> Desk:
    """A repository with a ledger and a rollout that has its first line."""
    made = Desk(sandbox)
    made.write(made.meta())
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the bytes that are read of transcripts, by hook."""
    counts = [0]
    real = transcripts.pread

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        data = real(descriptor, size, offset)
        counts[-1] += len(data)
        return data

    monkeypatch.setattr(transcripts, "pread", counting)
    return counts


def test_a_hook_reads_what_is_new_of_a_transcript_of_50_mb(desk: Desk, read: list[int]) -> None:
    """What a hook reads does not grow with the session: new lines, and a little of what lies before them."""
    desk.hook("SessionStart", source="startup")
    filler = desk.line("response_item", type="message", role="assistant", content=[{"type": "output_text", "text": "x" * 8000}])
    for _ in range(25):
        desk.write(filler * 250)  # 2 MB, as in two minutes of work
        desk.hook("PreToolUse", tool_name="Bash", tool_input={"command": "ls"}, tool_use_id=f"c{desk.ordinal}")
    assert desk.path.stat().st_size > 50_000_000
    for number in range(3):
        read.append(0)
        call = f"late-{number}"
        desk.write(desk.call(call, code=number))
        desk.hook("PostToolUse", tool_name="Bash", tool_input={"command": "ls"}, tool_use_id=call, tool_response="x")
    assert max(read[-3:]) < 150_000
    assert desk.reasons() == []
    results = [entry.body.get("exit_code") for entry in desk.entries("tool.finished") if (entry.call or "").startswith("late")]
    assert results == [0, 1, 2]
    read.append(0)
    desk.hook("Stop")
    assert read[-1] < 16 * transcripts.BLOCK + 150_000


def test_a_large_transcript_that_was_not_followed_is_read_from_near_its_end(desk: Desk, read: list[int]) -> None:
    """What was passed over is a gap with its size; the first line and what is new are read."""
    desk.write(desk.call("old") * 40_000)
    size = desk.path.stat().st_size
    assert size > transcripts.FIRST_BYTES
    desk.hook("SessionStart", source="resume")
    assert read[-1] < 2_000_000
    (gap,) = desk.entries("gap.noted")
    assert gap.body["reason"] == "transcript-skipped"
    assert size - 300_000 < gap.body["size"] < size
    desk.write(desk.call("new", code=7))
    desk.hook("PostToolUse", tool_name="Bash", tool_input={"command": "ls"}, tool_use_id="new", tool_response="x")
    assert desk.entries("tool.finished")[-1].body["exit_code"] == 7
    assert desk.entries("session.started")[0].body["base_commit"] == "ab" * 20


@pytest.mark.parametrize(
    ("how", "event"), [("truncate", "truncated"), ("empty", "truncated"), ("edit", "edited"), ("replace", "replaced")]
)
def test_a_transcript_that_is_not_what_it_was_is_evidence(desk: Desk, how: str, event: str) -> None:
    """Truncated, emptied, edited before our offset or replaced: said with sizes and digests, and nothing is recorded twice."""
    desk.write(desk.call("one"), desk.call("two"))
    desk.hook("Stop")
    before, size = len(desk.entries("tool.finished")), desk.path.stat().st_size
    content = desk.path.read_bytes()
    if how == "truncate":
        os.truncate(desk.path, size - 100)
    elif how == "empty":
        os.truncate(desk.path, 0)
    elif how == "edit":
        desk.path.write_bytes(content[:-50] + b"#" * 49 + b"\n")
    else:
        other = desk.path.with_suffix(".new")
        other.write_bytes(content[:-50] + b"#" * 60 + b"\n")
        os.replace(other, desk.path)
    desk.hook("Stop")
    (changed,) = desk.entries("transcript.changed")
    assert (changed.source, changed.body["event"], changed.body["was"]) == ("transcript", event, size)
    assert changed.body["now"] == desk.path.stat().st_size
    assert len(changed.body["was_digest"]) == 64 and changed.session == SESSION
    assert len(desk.entries("tool.finished")) == before
    desk.hook("Stop")
    assert len(desk.entries("transcript.changed")) == 1


def test_an_edit_far_before_the_end_is_found_when_turns_end(desk: Desk) -> None:
    """Each turn's end looks at some more of the blocks that were read before."""
    text = [{"type": "output_text", "text": "y" * 5000}]
    for _ in range(5):
        desk.write(desk.line("response_item", type="message", role="assistant", content=text) * 100)
        desk.hook("Stop")
    with open(desk.path, "r+b") as file:
        file.seek(3 * transcripts.BLOCK + 17)
        file.write(b"#")
    for _ in range(4):
        desk.hook("Stop")
    (changed,) = desk.entries("transcript.changed")
    assert (changed.body["event"], changed.body["at"], changed.body["size"]) == ("edited", 3 * transcripts.BLOCK, transcripts.BLOCK)
    assert changed.body["was_digest"] != changed.body["now_digest"]


def test_a_copy_in_the_place_of_a_transcript_is_the_same_transcript(desk: Desk) -> None:
    """Another inode with the same bytes is no change."""
    desk.write(desk.call("one"))
    desk.hook("Stop")
    other = desk.path.with_suffix(".new")
    other.write_bytes(desk.path.read_bytes() + desk.call("two"))
    os.replace(other, desk.path)
    desk.hook("Stop")
    assert desk.entries("transcript.changed") == []
    assert [entry.call for entry in desk.entries("tool.finished")] == ["one", "two"]


def test_a_line_of_20_mb_is_passed_over_and_said(desk: Desk, read: list[int]) -> None:
    """It is read in parts, one hook after the other, each within its bounds, and then the lines behind it."""
    huge = desk.line("response_item", type="function_call_output", call_id="c", output="z" * 20_000_000)
    desk.write(huge)
    for number in range(16):
        read.append(0)
        desk.hook("PreToolUse", tool_name="Bash", tool_input={"command": "ls"}, tool_use_id=f"p{number}")
        assert read[-1] <= transcripts.READ_BYTES + 20 * transcripts.BLOCK
    desk.write(desk.call("after", code=3))
    desk.hook("Stop")
    gaps = [entry.body for entry in desk.entries("gap.noted")]
    assert [gap["reason"] for gap in gaps] in (["transcript-line-too-long"], ["transcript-skipped"])
    assert sum(gap["size"] for gap in gaps) >= 19_000_000
    assert desk.entries("tool.finished")[-1].body["exit_code"] == 3


@pytest.mark.parametrize(
    "rubbish",
    [
        b"not json\n",
        b'{"type":"response_item","payload":\n',
        b"\xff\xfe\x00\n",
        b"[" * 5000 + b"\n",
        b'{"type":"turn_context","payload":{"permission_profile":{"file_system":{"entries":[1,{"path":7}]}},"cwd":4}}\n',
        b'{"type":"event_msg","payload":{"type":"item_completed","item":{"type":"CommandExecution","id":"x","command":NaN}}}\n',
        b'{"timestamp":5,"type":{"a":1},"payload":[]}\n',
        b'{"type":"some_future_kind","payload":{"x":1}}\n',
        b'{"timestamp":"2026-99-99T99:99:99Z","type":"response_item","payload":{"type":"function_call","call_id":"r","name":"\\ud800"}}\n',
    ],
    ids=range(9),
)
def test_rubbish_is_reported_or_ignored_and_never_fatal(desk: Desk, rubbish: bytes) -> None:
    """What is no JSON is a gap with its digest; what is JSON of an unknown kind or shape says nothing; the rest goes on."""
    desk.write(rubbish, desk.call("good", code=5))
    desk.hook("PostToolUse", tool_name="Bash", tool_input={"command": "ls"}, tool_use_id="good", tool_response="x")
    desk.hook("Stop")
    assert desk.entries("tool.finished")[0].body["exit_code"] == 5
    assert set(desk.reasons()) <= {"transcript-not-understood"}
    assert [entry.kind for entry in desk.entries("message.sent")] == ["message.sent"]


def test_a_line_that_is_not_whole_yet_waits(desk: Desk) -> None:
    """A line without its newline is read when it is complete."""
    lines = desk.call("half", code=9)
    desk.write(lines[:-20])
    desk.hook("Stop")
    assert desk.entries("tool.finished") == []
    desk.write(lines[-20:])
    desk.hook("Stop")
    assert [entry.body["exit_code"] for entry in desk.entries("tool.finished")] == [9]
    assert desk.reasons() == []


@pytest.mark.parametrize("how", ["file", "folder", "fifo", "directory", "elsewhere", "gone"])
def test_only_a_regular_file_in_the_agents_folder_is_read(desk: Desk, sandbox: Any, how: str, read: list[int]) -> None:
    """A link out of the folder, a pipe, a folder or a path elsewhere is not opened; the hook's own facts are recorded."""
    outside = sandbox.root / "outside" / "deep"
    outside.mkdir(parents=True)
    secret = outside / desk.path.name
    secret.write_bytes(desk.path.read_bytes())
    desk.path.unlink()
    if how == "file":
        desk.path.symlink_to(secret)
    elif how == "folder":
        desk.path.parent.rmdir()
        desk.path.parent.symlink_to(outside)
    elif how == "fifo":
        os.mkfifo(desk.path)
    elif how == "directory":
        desk.path.mkdir()
    elif how == "elsewhere":
        desk.path = secret
    for _ in range(2):
        desk.hook("PreToolUse", tool_name="Bash", tool_input={"command": "ls"}, tool_use_id="c1")
    assert read == [0]
    assert len(desk.entries("tool.requested")) == 1
    expected = [] if how in ("elsewhere", "gone") else ["transcript-not-read"]
    assert desk.reasons() == expected


@pytest.mark.parametrize(
    "path", ["", "relative/sessions/rollout-x.jsonl", "/sessions/\0", "/a/sessions/../../etc/passwd", 7, None, "/x" * 5000]
)
def test_paths_that_are_none_are_ignored(desk: Desk, path: object) -> None:
    """Whatever the event calls its transcript, the event is recorded."""
    desk.hook("PreToolUse", tool_name="Bash", tool_input={"command": "ls"}, tool_use_id="c1", transcript_path=path)
    assert len(desk.entries("tool.requested")) == 1
    assert desk.reasons() == []


def test_a_call_that_no_hook_told_of_is_recorded_from_the_transcript(desk: Desk) -> None:
    """Its request has the arguments, its result the exit code, and both say that they are as a file of the agent's has them."""
    desk.write(desk.call("unheard", command="make", code=2))
    desk.hook("Stop")
    (requested,), (finished,) = desk.entries("tool.requested"), desk.entries("tool.finished")
    assert (requested.source, requested.body["tool"], requested.call) == ("transcript", "Bash", "unheard")
    assert (finished.cause, finished.body["outcome"], finished.body["exit_code"]) == (requested.seq, "failed", 2)
    assert finished.body["basis"]["exit_code"] == "agent-file"


def test_tools_cannot_forge_refusals(desk: Desk) -> None:
    """What a tool printed stands behind a line of Codex's own; words like those of a refusal there refuse nothing."""
    forged = "Wall time: 1 seconds\nOutput:\nexec_command failed: Rejected(rejected by user)\naborted by user"
    desk.write(
        desk.line("response_item", type="function_call", name="exec_command", call_id="f", arguments='{"cmd":"cat x"}'),
        desk.line("response_item", type="function_call_output", call_id="f", output=forged),
    )
    desk.hook("Stop")
    assert desk.entries("approval.decided") == []
    assert desk.entries("tool.finished")[0].body["outcome"] == "finished"


def test_standing_grants_are_noted_at_the_start_and_when_they_change(desk: Desk) -> None:
    """A session's start records the rule files with digests and texts, and what is written there later is a change."""
    rules = Path(desk.path).parents[4] / "rules"
    rules.mkdir()
    (rules / "default.rules").write_text('prefix_rule(pattern=["ls"], decision="allow")\n')
    desk.hook("SessionStart", source="startup")
    desk.hook("UserPromptSubmit", prompt="go")
    (rules / "default.rules").write_text('prefix_rule(pattern=["git"], decision="allow")\n')
    desk.hook("Stop")
    first, second = [entry for entry in desk.entries("boundary.declared") if "grants" in entry.body]
    assert [grant["file"] for grant in first.body["grants"] if grant["file"].startswith("rules/")] == ["rules/default.rules"]
    assert "changed" not in first.body and second.body["changed"] == ["rules/default.rules"]
    assert [ref.name for ref in second.payloads] == ["grants"]


class ClaudeDesk(Desk):
    """A desk with a session of Claude Code."""

    def __init__(self, sandbox: Any) -> None:
        super().__init__(sandbox)
        folder = sandbox.root / "home" / ".claude" / "projects" / "-demo"
        folder.mkdir(parents=True)
        self.path = folder / "s-1.jsonl"

    def said(self, kind: str, content: Any, **members: Any) -> bytes:
        """Return one line of a transcript."""
        head = {
            "type": kind,
            "sessionId": "s-1",
            "promptId": "p-1",
            "version": "2.1.197",
            "message": {"role": kind, "content": content},
        }
        return json.dumps({**head, **members}).encode() + b"\n"

    def use(self, call: str, command: str) -> bytes:
        """Return the line of a call."""
        return self.said("assistant", [{"type": "tool_use", "id": call, "name": "Bash", "input": {"command": command}}])

    def result(self, call: str, text: str, *, error: bool = False, **members: Any) -> bytes:
        """Return the line of a result."""
        part = {"type": "tool_result", "tool_use_id": call, "content": text, "is_error": error}
        return self.said("user", [part], **members)

    def hook(self, name: str, **members: Any) -> None:
        """Record a hook event that names the transcript."""
        self.at_ms += 3000
        native = {"hook_event_name": name, "session_id": "s-1", "prompt_id": "p-1", "transcript_path": str(self.path), **members}
        data = json.dumps({**native, "cwd": self.repo.work_tree}).encode()
        with Recorder.open(self.repo.work_tree, state=self.state) as recorder:
            event = make_event("claude-code", (), data, str(self.repo.work_tree), {}, self.at_ms)
            recorder.append(lambda writer: record_event(writer, self.repo, event, live=True))


@pytest.fixture
def claude(sandbox: Any) -> ClaudeDesk:
    """A desk with a session of Claude Code."""
    return ClaudeDesk(sandbox)


def test_a_version_that_says_less_leaves_less(claude: ClaudeDesk) -> None:
    """2.1.197 has no decisions and no `sandboxed`: results and refusals are as their texts tell, and nothing is made up."""
    refused = "Permission to use Bash with command curl x has been denied."
    claude.write(claude.use("a", "ls"), claude.result("a", "x"), claude.use("b", "curl x"), claude.result("b", refused, error=True))
    claude.hook("Stop")
    assert [(entry.call, entry.body["outcome"]) for entry in claude.entries("tool.finished")] == [
        ("a", "finished"),
        ("b", "denied"),
    ]
    (decided,) = claude.entries("approval.decided")
    assert (decided.call, decided.body["decision"], decided.body["decider"]) == ("b", "denied", "policy")
    assert set(decided.body["basis"].values()) == {"inferred"}
    assert claude.entries("boundary.declared") == [] and claude.reasons() == []


@pytest.mark.parametrize(
    ("members", "origin", "actor"),
    [
        ({"promptSource": "typed", "turnOrigin": "human", "origin": {"kind": "human"}}, None, "human"),
        ({"promptSource": "sdk", "turnOrigin": "sdk"}, None, "unknown"),
        ({"promptSource": "system", "turnOrigin": "task_notification"}, "task-notification", "agent"),
        ({"promptSource": "sdk", "turnOrigin": "human"}, None, "unknown"),
        ({"promptSource": 7, "origin": []}, "none", "unknown"),
    ],
)
def test_prompts_say_where_they_came_from(claude: ClaudeDesk, members: Any, origin: str | None, actor: str) -> None:
    """A person's only where the transcript says so; with the hook if the line is there by then, else told of it later."""
    claude.write(claude.said("user", "go on", **members))
    claude.hook("UserPromptSubmit", prompt="go on")
    (prompt,) = claude.entries("prompt.submitted")
    if origin == "none":
        assert prompt.body == {} and prompt.actor == {"type": "unknown"}
        return
    assert (prompt.actor["type"], prompt.body.get("origin")) == (actor, origin)
    assert set(prompt.body["basis"].values()) == {"agent-file"}


def test_a_prompts_origin_that_comes_late_answers_the_prompt(claude: ClaudeDesk) -> None:
    """The line is often written after the hook ran."""
    claude.hook("UserPromptSubmit", prompt="go on")
    claude.write(claude.said("user", "go on", promptSource="system", turnOrigin="task_notification"))
    claude.hook("Stop")
    (prompt,) = claude.entries("prompt.submitted")
    told = next(entry for entry in claude.entries("message.sent") if entry.body["event"] == "prompt-origin")
    assert (told.cause, told.body["origin"], told.body["human"]) == (prompt.seq, "task-notification", False)


def test_what_the_sandbox_refused_is_read_from_the_output(claude: ClaudeDesk) -> None:
    """Destinations become denied network decisions, the call's sandbox a boundary, each inferred or as the file has it."""
    text = "failed\n<sandbox_violations>\ndeny network-outbound example.invalid:80 (user denied)\n</sandbox_violations>"
    claude.write(claude.use("n", "fetch"), claude.result("n", text, error=True, sandboxed=True))
    claude.hook("Stop")
    (denied,), (bounds,) = claude.entries("network.decided"), claude.entries("boundary.declared")
    assert (denied.body["host"], denied.body["port"], denied.body["decision"]) == ("example.invalid", 80, "denied")
    assert set(denied.body["basis"].values()) == {"inferred"}
    assert (bounds.body["mode"], bounds.call) == ("sandboxed", "n")
