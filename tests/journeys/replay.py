"""Captured sessions, played again: each hook with its transcript as it was at that moment, then the telemetry."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ledger.agents.otel import agent_of, session_of, translate_record
from ledger.core.entry import Entry, parse_record
from ledger.index.search import open_index
from ledger.recorder import Recorder, begin_log
from ledger.recording.events import make_event, record_event
from ledger.recording.facts import Setting, record_observation
from ledger.repo.gitdir import GitDir, find_repository
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path
from ledger.trace.answers import (
    Unknown,
    build_approvals,
    build_asked,
    build_boundary,
    build_network,
    build_planned,
    build_ran,
)
from ledger.trace.logs import Log
from ledger.trace.window import Window

CAPTURES = Path(__file__).resolve().parents[2].parent / "shared" / "captures"


class Hook(NamedTuple):
    """A captured hook event and when it came, in milliseconds since 1970."""

    native: dict[str, Any]
    at_ms: int


class Stage:
    """A repository with a ledger, and a home for the agent's transcripts."""

    def __init__(self, sandbox: Any) -> None:
        self.sandbox = sandbox
        self.repo: GitDir = find_repository(str(sandbox.make_repo("demo", commit=True)))
        self.state = str(sandbox.state)
        self.log = begin_log(self.repo, self.state).log
        self.home = sandbox.root / "agent-home"

    def entries(self) -> list[Entry]:
        """Return all entries."""
        with JournalReader(journal_path(self.state, self.log)) as journal:
            return [parse_record(record).entry for _, record in journal.records()]

    def payload(self, entry: Entry, name: str) -> str:
        """Return a payload of an entry as text."""
        with JournalReader(journal_path(self.state, self.log)) as journal:
            return journal.payload(entry.seq, name)[1].decode()

    def answers(self) -> dict[str, Any]:
        """Return the answers of `ledger trace` over everything that was recorded, as if one commit had come of all of it."""
        reader = JournalReader(journal_path(self.state, self.log))
        log = Log(self.log, reader, open_index(reader, self.log, ":memory:"))
        entries = tuple(self.entries())
        sessions = tuple(dict.fromkeys(entry.session for entry in entries if entry.session))
        window = Window(log, sessions, entries, 0, len(entries))
        unknown, contradictions = Unknown(), Unknown()
        found = {
            "asked": build_asked(window, unknown),
            "planned": build_planned(window, unknown),
            "ran": build_ran(window, unknown),
            "approvals": build_approvals(window, unknown, contradictions),
            "network": build_network(window, unknown),
            "boundary": build_boundary(window),
            "unknown": list(unknown),
            "contradictions": list(contradictions),
        }
        log.close()
        return found

    def hook(self, agent: str, native: dict[str, Any], at_ms: int) -> None:
        """Record one hook event."""
        data = json.dumps({**native, "cwd": self.repo.work_tree}).encode()
        with Recorder.open(self.repo.work_tree, state=self.state) as recorder:
            event = make_event(agent, (), data, self.repo.work_tree, {}, at_ms)
            recorder.append(lambda writer: record_event(writer, self.repo, event, live=True))

    def knows(self, session: str | None) -> bool:
        """Say whether a hook or a transcript has told of a session: a receiver of telemetry drops what nobody knows."""
        return any(session in (entry.session, entry.body.get("subagent")) for entry in self.entries())

    def telemetry(self, folder: Path, *, times: int = 1) -> None:
        """Record a session's telemetry, in the order in which it is said to have happened."""
        records = sorted(read_telemetry(folder), key=lambda record: record[-1])
        with Recorder.open(self.repo.work_tree, state=self.state) as recorder:
            for service, name, attributes, body, at_ms in records * times:
                seen = translate_record(service, name, attributes, body, at_ms)
                agent = agent_of(service, name, attributes, body)
                if seen is not None and agent is not None and self.knows(session_of(attributes)):
                    setting = Setting(self.repo, "otel", agent, {}, at_ms, live=False)
                    recorder.append(lambda writer, seen=seen, setting=setting: record_observation(writer, seen, setting))


def read_telemetry(folder: Path) -> Iterator[tuple[str, str, dict[str, Any], Any, int]]:
    """Yield (service, name, attributes, body, at_ms) of every log record that was captured."""
    for path in sorted(folder.glob("*.json")):
        value = json.loads(path.read_text())
        for group in value.get("body", value).get("resourceLogs", []):
            resource = dict(_attributes(group["resource"]["attributes"]))
            for scope in group["scopeLogs"]:
                for record in scope["logRecords"]:
                    attributes = dict(_attributes(record.get("attributes", [])))
                    body = next(iter(record["body"].values())) if record.get("body") else None
                    at_ms = parse_time(attributes["event.timestamp"]) if "event.timestamp" in attributes else 0
                    yield str(resource.get("service.name", "")), record.get("eventName", ""), attributes, body, at_ms


def _attributes(pairs: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    for pair in pairs:
        kind, value = next(iter(pair["value"].items()), ("", None))
        yield pair["key"], int(value) if kind == "intValue" else value


def parse_time(text: str) -> int:
    """Return the milliseconds since 1970 of an ISO 8601 time."""
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def play_codex(stage: Stage, name: str) -> None:
    """Play a session of Codex with hooks.jsonl and rollouts."""
    session = CAPTURES / "codex" / name
    rollouts = {path.name: path.read_bytes().splitlines(keepends=True) for path in session.glob("sessions/*/*/*/*.jsonl")}
    native = [json.loads(line) for line in (session / "hooks.jsonl").read_text().splitlines()]
    hooks = [event.get("stdin", event) for event in native]
    folder = stage.home / ".codex" / "sessions" / "2026" / "11" / "22"
    folder.mkdir(parents=True, exist_ok=True)
    at_ms = 0
    for number, event in enumerate(hooks):
        path = Path(str(event.get("transcript_path")))
        main = rollouts.get(path.name)
        if main is not None:
            shown = main[: _flushed(main, event, hooks[number + 1 :])]
            at_ms = max(at_ms, max(parse_time(json.loads(line)["timestamp"]) for line in shown) + 1)
            (folder / path.name).write_bytes(b"".join(shown))
            for other, lines in rollouts.items():
                here = [line for line in lines if parse_time(json.loads(line)["timestamp"]) <= at_ms]
                if other != path.name and here:
                    (folder / other).write_bytes(b"".join(here))
            event = {**event, "transcript_path": str(folder / path.name)}
        stage.hook("codex", event, at_ms or 1795362800000 + 3000 * number)


def _flushed(lines: list[bytes], event: dict[str, Any], later: list[dict[str, Any]]) -> int:
    """Return how many lines a rollout had when the hook ran (captures/codex/transcript_flush_timing.txt)."""
    parsed = [json.loads(line)["payload"] for line in lines]
    turn, name, call = event.get("turn_id"), event["hook_event_name"], event.get("tool_use_id")
    if name == "PermissionRequest":
        call = next((number for number in _calls_like(parsed, event)), None)
    if call is not None:
        asked = next(n for n, payload in enumerate(parsed) if payload.get("call_id") == call and "output" not in payload)
        ended = [n for n, p in enumerate(parsed) if p.get("type") == "item_completed" and p["item"].get("id") == call]
        return (ended[0] if name == "PostToolUse" and ended else asked) + 1
    if name in ("SessionStart", "UserPromptSubmit"):
        started = [n for n, p in enumerate(parsed) if p.get("type") == "item_completed" and p["item"]["type"] == "UserMessage"]
        begun = [n for n, p in enumerate(parsed) if p.get("type") == "task_started" and p.get("turn_id") == turn]
        begin = begun[0] if begun else 0
        return next((n for n in started if n > begin), len(lines)) - 1
    if name == "Stop":
        return next((n for n, p in enumerate(parsed) if p.get("type") == "task_complete" and p.get("turn_id") == turn), len(lines))
    if name == "Interrupt":
        return (
            next((n for n, p in enumerate(parsed) if p.get("type") == "turn_aborted" and p.get("turn_id") == turn), len(lines)) + 1
        )
    return len(lines)


def _calls_like(parsed: list[dict[str, Any]], event: dict[str, Any]) -> Iterator[str]:
    given = event["tool_input"]
    for payload in parsed:
        if payload.get("type") == "function_call":
            arguments = json.loads(payload["arguments"])
            if arguments.get("cmd") == given.get("command", "") or arguments == given:
                yield payload["call_id"]


def play_rollouts(stage: Stage, name: str) -> None:
    """Play a session of Codex of which only the rollouts were kept: a start, and an end at which all of them are there."""
    session = CAPTURES / "codex" / name
    folder = stage.home / ".codex" / "sessions" / "2026" / "11" / "22"
    folder.mkdir(parents=True, exist_ok=True)
    mains = []
    for path in sorted(session.glob("sessions/*/*/*/*.jsonl")):
        (folder / path.name).write_bytes(path.read_bytes())
        meta = json.loads(path.read_bytes().splitlines()[0])["payload"]
        if meta["id"] == meta["session_id"]:
            mains.append((path.name, meta["id"], json.loads(path.read_bytes().splitlines()[-1])["timestamp"]))
    (main,) = mains
    shared = {"session_id": main[1], "transcript_path": str(folder / main[0])}
    at_ms = parse_time(main[2]) + 10
    stage.hook("codex", {**shared, "hook_event_name": "SessionStart", "source": "startup"}, at_ms)
    stage.hook("codex", {**shared, "hook_event_name": "SessionEnd", "reason": "other"}, at_ms + 1)


def play_claude(stage: Stage, name: str) -> None:
    """Play a session of Claude Code: at each hook the lines that bear an earlier time are there."""
    session = CAPTURES / "claude" / name
    transcripts = {path: path.read_bytes().splitlines(keepends=True) for path in (session / "transcripts").rglob("*.jsonl")}
    for path in sorted((session / "hooks").glob("*.json")):
        native = json.loads(path.read_text())
        at_ms = int(path.name.split("_")[0]) // 1_000_000
        for transcript, lines in transcripts.items():
            place = stage.home / transcript.relative_to(session / "transcripts")
            shown = b"".join(lines[: _before(lines, at_ms, ends=native["hook_event_name"] == "SessionEnd")])
            if shown:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(shown)
        for member in ("transcript_path", "agent_transcript_path"):
            if native.get(member):
                inside = re.sub(r"^.*/\.claude/", ".claude/", native[member])
                native[member] = os.path.join(stage.home, inside)
        stage.hook("claude-code", native, at_ms)


def _before(lines: list[bytes], at_ms: int, *, ends: bool) -> int:
    count = 0
    for number, line in enumerate(lines):
        stamp = json.loads(line).get("timestamp")
        if stamp is not None and parse_time(stamp) > at_ms and not ends:
            break
        count = number + 1
    return count
