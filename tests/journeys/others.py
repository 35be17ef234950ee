"""Captured sessions of Gemini CLI and opencode, played again in a repository in which their edits and commits really happen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ledger.agents.otel import translate_record
from ledger.core.entry import Entry, parse_record
from ledger.recorder import Recorder, begin_log
from ledger.recording.events import make_event, record_event
from ledger.recording.facts import Setting, record_observation
from ledger.repo.gitdir import find_repository
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path

CAPTURES = Path(__file__).resolve().parents[2].parent / "shared" / "captures"
_CAPTURED_AT = "/home/dev/demo"  # where the sessions were recorded
OFF = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath", "GIT_CONFIG_VALUE_0": ""}


class Stage:
    """A repository with a ledger, a README that says hello, and a home for the agent's transcripts."""

    def __init__(self, sandbox: Any) -> None:
        self.sandbox = sandbox
        self.path = sandbox.make_repo("demo")
        sandbox.commit(self.path, "first", {"README.md": "hello\n"})
        self.repo = find_repository(str(self.path))
        self.state = str(sandbox.state)
        self.log = begin_log(self.repo, self.state).log
        self.home = sandbox.root / "agent-home"

    def hook(self, agent: str, native: dict[str, Any], at_ms: int) -> None:
        """Record one event, with the paths of this repository."""
        data = self.moved(json.dumps(native)).encode()
        with Recorder.open(str(self.path), state=self.state) as recorder:
            event = make_event(agent, (), data, str(self.path), {}, at_ms)
            recorder.append(lambda writer: record_event(writer, self.repo, event, live=True))

    def moved(self, text: str) -> str:
        """Return captured text with this repository's paths."""
        return text.replace(_CAPTURED_AT, str(self.path))

    def edit(self, path: str, before: str, after: str) -> None:
        """Do what an editing tool does."""
        target = Path(self.moved(path))
        target.parent.mkdir(exist_ok=True)
        target.write_text((target.read_text() if target.exists() else "").replace(before, after) if before else after)

    def run(self, command: str) -> None:
        """Do what a shell command does, as far as it commits; no git hook runs."""
        if "git commit" in command:
            self.sandbox.git("add", "-A", cwd=self.path)
            self.sandbox.git("commit", "-q", "-m", "agent commit", cwd=self.path, **OFF)

    def telemetry(self, agent: str, folder: Path) -> None:
        """Record a session's telemetry."""
        with Recorder.open(str(self.path), state=self.state) as recorder:
            for service, attributes in read_telemetry(folder):
                here = {name: self.moved(value) if isinstance(value, str) else value for name, value in attributes.items()}
                seen = translate_record(service, "", here, None, 0)
                if seen is not None:
                    setting = Setting(self.repo, "otel", agent, {}, 1, live=False)
                    recorder.append(lambda writer, seen=seen, setting=setting: record_observation(writer, seen, setting))

    def entries(self, *kinds: str) -> list[Entry]:
        """Return the entries of some kinds, or all."""
        with JournalReader(journal_path(self.state, self.log)) as journal:
            found = [parse_record(record).entry for _, record in journal.records()]
        return [entry for entry in found if not kinds or entry.kind in kinds]

    def payload(self, entry: Entry, name: str) -> Any:
        """Return a payload: JSON as its value, else the text; None where there is none."""
        if name not in [ref.name for ref in entry.payloads]:
            return None
        with JournalReader(journal_path(self.state, self.log)) as journal:
            found = journal.payload(entry.seq, name)
        media = next(ref.media for ref in entry.payloads if ref.name == name)
        return json.loads(found.data) if media == "application/json" else found.data.decode()


def read_telemetry(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (service, attributes) of every log record that was captured."""
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text())["resourceLogs"]:
            resource = _attributes(group["resource"])
            for scope in group["scopeLogs"]:
                for record in scope["logRecords"]:
                    yield resource["service.name"], _attributes(record)


def _attributes(item: dict[str, Any]) -> dict[str, Any]:
    return {pair["key"]: next(iter(pair["value"].values()), None) for pair in item["attributes"]}


def captured(name: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield a session's hook events and the milliseconds at which each came."""
    for path in sorted((CAPTURES / name / "hooks").glob("*.json")):
        yield json.loads(path.read_text()), int(path.name.split("_")[0]) // 1_000_000


# Gemini CLI


def play_gemini(stage: Stage, name: str) -> None:
    """Play a session: at each hook the transcripts hold the lines that bear an earlier time."""
    chats = next((CAPTURES / name / "transcripts").rglob("chats"))
    for native, at_ms in captured(name):
        ends = native["hook_event_name"] in ("AfterAgent", "SessionEnd")
        for path in chats.rglob("*.jsonl"):
            place = stage.home / ".gemini/tmp/demo/chats" / path.relative_to(chats)
            place.parent.mkdir(parents=True, exist_ok=True)
            lines = [line + "\n" for line in stage.moved(path.read_text()).splitlines() if line]
            shown = [line for line in lines if ends or _stamp(line) < native["timestamp"]]
            place.write_text("".join(shown))
        main = Path(native["transcript_path"]).name
        stage.hook("gemini", {**native, "transcript_path": str(stage.home / ".gemini/tmp/demo/chats" / main)}, at_ms)
        given = native.get("tool_input", {})
        if native["hook_event_name"] == "BeforeTool":
            if native["tool_name"] in ("replace", "write_file"):
                stage.edit(given["file_path"], given.get("old_string", ""), given.get("new_string", given.get("content")))
            elif native["tool_name"] == "run_shell_command":
                stage.run(given["command"])


def _stamp(line: str) -> str:
    """Return the newest time in a line's own members: that of its calls, for they are added later."""
    value = json.loads(line)
    stamps = [value.get("startTime"), value.get("timestamp"), value.get("$set", {}).get("lastUpdated")]
    stamps += [call["timestamp"] for call in value.get("toolCalls", [])]
    return max(stamp for stamp in stamps if stamp)


# opencode


def forwarded(name: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield what the plugin forwards of a captured session, written after what it says of itself, not with its help."""
    parents: dict[str, str] = {}
    turns: dict[str, str] = {}
    texts: dict[str, str] = {}
    asked: dict[str, str] = {}
    rules = None
    for native, at_ms in captured(name):
        event = native.get("event", {})
        told, kind = event.get("properties", {}), native["hook_event_name"]
        session = native.get("input", {}).get("sessionID") or told.get("sessionID")
        more: dict[str, Any] = {}
        if kind == "config":
            rules = native["permission"]
        if kind == "event.session.created":
            if told["info"].get("parentID"):
                parents[session] = told["info"]["parentID"]
            more = {"entrypoint": "run", "rules": rules}
        elif kind == "chat.message":
            turns[session] = native["output"]["message"]["id"]
        elif kind == "event.permission.asked":
            asked[told["id"]] = told["tool"]["callID"]
        elif kind == "event.permission.replied":
            more = {"call": asked[told["requestID"]], "entrypoint": "run"}
        elif kind == "event.session.idle":
            more = {"message": texts.get(session)}
        elif kind == "event.message.part.updated":
            part = told["part"]
            if part["type"] == "text" and part.get("time", {}).get("end"):
                texts[session] = part["text"]
            if part["type"] != "tool" or part["state"]["status"] != "error":
                continue
        elif not re.fullmatch(r"tool\.execute\.(before|after)|event\.todo\.updated", kind):
            continue
        about = {"session": parents.get(session), "turn": turns.get(session), "servers": ["ledgerprobe"], **more}
        about = {name: value for name, value in about.items() if value is not None}
        if rules is not None and kind != "config":
            yield {**native, "cwd": _CAPTURED_AT, "ledger": about}, at_ms


def play_opencode(stage: Stage, name: str) -> None:
    """Play a session as the plugin forwards it."""
    for native, at_ms in forwarded(name):
        stage.hook("opencode", native, at_ms)
        if native["hook_event_name"] == "tool.execute.before":
            tool, given = native["input"]["tool"], native["output"]["args"]
            if tool in ("edit", "write"):
                stage.edit(given["filePath"], given.get("oldString", ""), given.get("newString", given.get("content")))
            elif tool == "bash":
                stage.run(given["command"])


# What came of it


def tell(stage: Stage) -> dict[str, Any]:
    """Return what the log says of the session, in the words of the expected traces."""
    requests = stage.entries("tool.requested")
    return {
        "asked": [_asked(stage, entry) for entry in stage.entries("prompt.submitted")],
        "planned": [_plan(stage, entry) for entry in stage.entries("plan.updated")],
        "ran": [_ran(stage, request) for request in requests],
        "requested": [
            {"permission": entry.body.get("permission"), "command": stage.payload(entry, "input").get("command")}
            for entry in stage.entries("approval.requested")
        ],
        "network": [entry.body for entry in stage.entries("network.decided")],
        "boundary": [_without(entry.body, "basis", "model") for entry in stage.entries("boundary.declared")],
        "subagents": [_without(entry.body, "basis") for entry in stage.entries("subagent.started")],
        "changed": _changed(stage),
    }


def _without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def _asked(stage: Stage, entry: Entry) -> dict[str, Any]:
    origin = {"origin": entry.body["origin"]} if "origin" in entry.body else {}
    return {"prompt": stage.payload(entry, "prompt"), "by": entry.actor["type"], **origin}


def _plan(stage: Stage, entry: Entry) -> list[str]:
    return [f"{step['step']}: {step['status']}" for step in stage.payload(entry, "plan")["steps"]]


def _ran(stage: Stage, request: Entry) -> dict[str, Any]:
    """Return a call with its one result and its one decision; more than one of either shows."""
    given = stage.payload(request, "input")
    found = {"tool": request.body["tool"], "server": request.body.get("mcp_server")}
    found["command"] = given.get("command") if isinstance(given, dict) else None
    same = [entry for entry in stage.entries() if entry.call == request.call and entry.session == request.session]
    results = [entry for entry in same if entry.kind == "tool.finished"]
    found["outcome"] = ", ".join(entry.body["outcome"] for entry in results)
    found["exit_code"] = results[-1].body.get("exit_code") if results else None
    found["subagent"] = request.body.get("subagent")
    decisions = [entry.body for entry in same if entry.kind == "approval.decided"]
    found["decided"] = ", ".join(_decided(body) for body in decisions) or None
    return {name: value for name, value in found.items() if value is not None}


def _decided(body: dict[str, Any]) -> str:
    grounds = f": {body['grounds']}" if body["decider"] != "unknown" else ""
    return f"{body['decision']} by {body['decider']}{grounds}"


def _changed(stage: Stage) -> dict[str, list[str]]:
    """Return each path of the only commit with its link and the tools that left it."""
    (commit,) = stage.entries("commit.recorded")
    tools = {entry.seq: entry.body["tool"] for entry in stage.entries("tool.finished")}
    assert commit.call is not None and commit.body["oid"] == stage.sandbox.git("rev-parse", "HEAD", cwd=stage.path)
    return {item["path"]: [item["link"], *(tools[seq] for seq in item["calls"])] for item in commit.body["paths"]}


def expected(name: str) -> dict[str, Any]:
    """Return the trace that was written by reading a capture."""
    path = Path(__file__).parent / "expected" / f"{name.replace('/', '-')}.json"
    return json.loads(path.read_text())
