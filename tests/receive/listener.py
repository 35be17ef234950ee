"""A repository with recorded sessions, telemetry as agents send it, and the receiver as a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.core.entry import Entry, hash_record, parse_record
from ledger.recorder import Recorder, begin_log
from ledger.recording.events import make_event, record_event
from ledger.recording.writer import now_ms
from ledger.repo.gitdir import find_repository
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path

if TYPE_CHECKING:
    from sandboxes import Sandbox
else:
    Sandbox = Any  # a folder's own conftest hides the one above it

SESSION = "s-codex"
Pairs = Mapping[str, Any]


class Scene(NamedTuple):
    """One clone and its log."""

    sandbox: Sandbox
    path: Path
    state: Path
    log: str

    @classmethod
    def begin(cls, sandbox: Sandbox, name: str = "repo", session: str = SESSION) -> Scene:
        """Make a repository with a log and let Codex's hook begin `session` in it."""
        path = sandbox.make_repo(name, commit=True)
        log = begin_log(find_repository(str(path)), str(sandbox.state)).log
        scene = cls(sandbox, path, sandbox.state, log)
        scene.tell("codex", hook_event_name="SessionStart", session_id=session, source="startup")
        return scene

    def tell(self, agent: str, **event: Any) -> None:
        """Record one hook event of `agent`."""
        data = json.dumps({"cwd": str(self.path), **event}).encode()
        repo = find_repository(str(self.path))
        with Recorder.open(str(self.path), state=str(self.state)) as recorder:
            told = make_event(agent, (), data, str(self.path), {}, now_ms())
            recorder.append(lambda writer: record_event(writer, repo, told, live=True))

    def entries(self, *, source: str | None = None) -> list[Entry]:
        """Return the entries, of one source if it is named, after checking how they are linked."""
        with JournalReader(journal_path(str(self.state), self.log)) as journal:
            records = [record for _, record in journal.records()]
        found = [parse_record(record).entry for record in records]
        assert [entry.prev for entry in found[1:]] == [hash_record(record) for record in records[:-1]]
        return [entry for entry in found if source in (None, entry.source)]

    def payload(self, seq: int, name: str) -> bytes:
        """Return a payload's bytes."""
        with JournalReader(journal_path(str(self.state), self.log)) as journal:
            found = journal.payload(seq, name)
        assert found is not None
        return found.data

    def ledger(self, *args: str) -> list[str]:
        """Return the command line that runs `ledger` in this repository."""
        return [sys.executable, "-I", "-m", "ledger", "-C", str(self.path), *args]

    @contextlib.contextmanager
    def listening(self, *args: str, **env: str) -> Iterator[Listener]:
        """Run `ledger record otlp` on a free port; it is stopped, by its pid, at the end."""
        command = self.ledger("record", "otlp", "--json", "--listen", "127.0.0.1:0", *args)
        process = subprocess.Popen(
            command, env={**self.sandbox.env, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None and process.stderr is not None
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield Listener(process, int(json.loads(line)["listening"].rpartition(":")[2]), {})
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=30)


class Listener(NamedTuple):
    """A running receiver, and what it said at its end."""

    process: subprocess.Popen[str]
    port: int
    said: dict[str, Any]

    def post(self, data: bytes, path: str = "/v1/logs", **headers: str) -> tuple[int, dict[str, Any]]:
        """Send one request and return status and JSON of the answer."""
        status, body = self.post_raw(data, path, **headers)
        return status, json.loads(body)

    def post_raw(self, data: bytes, path: str = "/v1/logs", **headers: str) -> tuple[int, bytes]:
        """Send one request and return status and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        try:
            connection.request("POST", path, data, named)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self, number: int = signal.SIGTERM) -> dict[str, Any]:
        """Send a signal and return what the receiver says at its end."""
        os.kill(self.process.pid, number)
        out, err = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, err
        return dict(json.loads(out.splitlines()[-1]))


def value(held: Any) -> dict[str, Any]:
    """Return an AnyValue as OTLP's JSON spells it."""
    if isinstance(held, bool):
        return {"boolValue": held}
    if isinstance(held, int):
        return {"intValue": str(held)}
    if isinstance(held, list):
        return {"arrayValue": {"values": [value(item) for item in held]}}
    return {"stringValue": held}


def pairs(attributes: Pairs) -> list[dict[str, Any]]:
    """Return attributes as OTLP's JSON spells them."""
    return [{"key": key, "value": value(held)} for key, held in attributes.items()]


def record(name: str, session: str = SESSION, **attributes: Any) -> dict[str, Any]:
    """Return a log record of Codex; `__` in a name stands for a dot."""
    named = {"event.name": name, "conversation.id": session, **{key.replace("__", "."): held for key, held in attributes.items()}}
    return {"timeUnixNano": "0", "observedTimeUnixNano": str(now_ms() * 1_000_000), "body": None, "attributes": pairs(named)}


def decision(call: str, session: str = SESSION, source: str = "User") -> dict[str, Any]:
    """Return Codex's record of an approval."""
    return record("codex.tool_decision", session, tool_name="exec_command", call_id=call, decision="approved", source=source)


def request(*records: Mapping[str, Any], service: str = "codex_exec") -> bytes:
    """Return an ExportLogsServiceRequest in JSON."""
    resource = {"attributes": pairs({"service.name": service})}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": list(records)}]}]}).encode()


def kinds(entries: Sequence[Entry]) -> list[str]:
    """Return the kinds of entries."""
    return [entry.kind for entry in entries]
