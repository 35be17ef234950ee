"""The recorder behind the MCP proxy: what client and server said to each other becomes entries (docs/mcp.md).

A call that the agent's hooks have recorded is not recorded again. It is found by the name that the agent gives it on the wire
(`_meta`), else by server, tool and arguments, which makes it `inferred`. What only the wire shows is added: that the arguments
which reached the server are others than the hook was told, a result that no hook reports, who the server says it is, how it ended.

This runs in a process of its own. It may wait for the log's lock as long as it has to; meanwhile copies wait, and then are counted.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ledger.core.entry import Entry, parse_record
from ledger.core.fact import Fact, Observation, PayloadData
from ledger.errors import KeyUnavailable, LedgerError, StoreError
from ledger.receive.conversation import Began, Conversation, Ended, Event, Introduced, Missed
from ledger.receive.frames import Splitter
from ledger.receive.proxy import DIRECTIONS, EXIT, LOST, Copies
from ledger.recorder import Recorder
from ledger.recording.claims import pick
from ledger.recording.detached import start_sealer
from ledger.recording.facts import Setting, record_observation
from ledger.recording.spool import spool_event
from ledger.recording.writer import Writer, format_at, now_ms
from ledger.repo.gitdir import GitDir
from ledger.store.journal import Journal
from ledger.store.state import spool_dir

_MAX_TOGETHER = 500  # events in one transaction
_MAX_WAITING = 5_000  # events that wait for a log which cannot be written
_LOOK_BACK = 400  # newest records among which a call's request is looked for
_LOOK_BACK_MS = 10 * 60 * 1000
_LAST_TRIES_S = 30.0
_JSON = "application/json"


class Match(NamedTuple):
    """The entry that has a call's request: who wrote it as what. `same` says whether its arguments are those on the wire."""

    seq: int
    entry: Entry
    same: bool


class McpRecorder:
    """Records one server's conversation. `server` is its name in the agent's settings, where that is known."""

    def __init__(self, repo: GitDir, state: str, server: str | None, command: Sequence[str]) -> None:
        self._repo = repo
        self._state = state
        self._command = list(command)
        self._named = server
        self._run = os.urandom(4).hex()
        self._conversation = Conversation()
        self._splitters = {what: Splitter() for what in DIRECTIONS}
        self._recorder: Recorder | None = None
        self._waiting: list[Event | Mapping[str, Any]] = []
        self._dropped = 0
        self._matches: dict[int, Match] = {}
        self._taken: set[int] = set()
        self._calls: dict[int, Began] = {}

    def listen(self, descriptor: int) -> None:
        """Record until the copies end."""
        copies = Copies(descriptor)
        status: dict[str, Any] | None = None
        while (copy := copies.read()) is not None:
            what, at_ms, data = copy
            if what == EXIT:
                status = json.loads(data)
            else:
                self._hear(what, at_ms, data)
            if not copies.waits() or len(self._waiting) >= _MAX_TOGETHER:
                self._flush()
        self._end(status)

    def _hear(self, what: bytes, at_ms: int, data: bytes) -> None:
        if what == LOST:
            self._splitters[data[:1]].lose()
            self._waiting.append(Missed("mcp-bytes-dropped", DIRECTIONS[data[:1]], int(data[1:]), "", at_ms))
            return
        for frame in self._splitters[what].feed(data):
            self._waiting += self._conversation.hear(DIRECTIONS[what], frame, at_ms)

    def _end(self, status: dict[str, Any] | None) -> None:
        """Close what is open: as failed where the server ended by itself, as unknown where it was told to, or nobody knows."""
        now = now_ms()
        for what, splitter in self._splitters.items():
            for frame in splitter.end():
                self._waiting += self._conversation.hear(DIRECTIONS[what], frame, now)
        crashed = status is not None and status["status"] != 0 and not status["stopped"] and not status["client_gone"]
        body: dict[str, Any] = {"open_calls": self._conversation.open_calls, "crashed": crashed}
        if status is None:
            body["proxy"] = "killed"
        elif status["status"] < 0:
            body["signal"] = -status["status"]
        else:
            body["exit_code"] = status["status"]
        self._waiting += self._conversation.end("failed" if crashed else "unknown", now)
        self._waiting.append({**body, "at_ms": now})
        deadline = time.monotonic() + _LAST_TRIES_S
        while self._waiting and not self._flush() and time.monotonic() < deadline:
            time.sleep(0.5)
        if self._waiting:
            self._spool()
        if self._recorder is not None:
            self._recorder.close()

    def _flush(self) -> bool:
        """Append what waits, and say whether that could be done."""
        if not self._waiting:
            return True
        batch, dropped = self._waiting[:_MAX_TOGETHER], self._dropped
        state = dict(self._matches), set(self._taken), dict(self._calls)
        try:
            if self._recorder is None:
                self._recorder = Recorder.find(self._repo, self._state)
            if self._recorder is None:  # the ledger was taken away meanwhile
                self._waiting.clear()
                return True
            self._recorder.append(lambda writer: self._write(writer, batch, dropped))
        except (LedgerError, OSError):
            self._matches, self._taken, self._calls = state
            while len(self._waiting) > _MAX_WAITING:
                self._waiting.pop(0)
                self._dropped += 1
            return False
        del self._waiting[: len(batch)]
        self._dropped -= dropped
        if self._recorder.wants_seal:
            self._recorder.wants_seal = False
            try:
                start_sealer(self._repo, self._state)
            except OSError:
                pass
        return not self._waiting or self._flush()

    def _spool(self) -> None:
        """Leave a note of what could not be recorded: the next recorder makes a gap of it, with its size and digest."""
        if self._recorder is None:
            return
        counts = Counter(type(event).__name__ for event in self._waiting)
        data = json.dumps({"hook_event_name": "mcp", **counts, "dropped": self._dropped}).encode()
        try:
            spool_event(spool_dir(self._state, self._recorder.clone.log), "mcp", now_ms(), "", (), {}, data)
        except StoreError:
            pass  # the disk that could not take the entries cannot take this either

    # Entries

    @property
    def server(self) -> str:
        """The server's name: as the agent's settings have it, as it calls itself, or its program's."""
        return self._named or self._conversation.identity.server or os.path.basename(self._command[0]) or "?"

    def _write(self, writer: Writer, batch: Sequence[Event | Mapping[str, Any]], dropped: int) -> None:
        if writer.journal.is_paused():
            return
        if dropped:
            _note_gap(writer, {"reason": "mcp-not-recorded", "count": dropped, "size": 0}, self.server, now_ms())
        for event in batch:
            mark = writer.mark()
            writer.journal.run("SAVEPOINT event")
            try:
                self._write_event(writer, event)
            except (StoreError, KeyUnavailable):
                raise
            except Exception as error:  # what no entry can hold costs only itself
                writer.journal.run("ROLLBACK TO event")
                writer.back_to(mark)
                body = {"reason": "mcp-not-understood", "count": 1, "size": 0, "why": f"{type(error).__name__}: {error}"[:200]}
                _note_gap(writer, body, self.server, now_ms())
            writer.journal.run("RELEASE event")

    def _write_event(self, writer: Writer, event: Event | Mapping[str, Any]) -> None:
        if isinstance(event, Began):
            self._begin_call(writer, event)
        elif isinstance(event, Ended):
            self._end_call(writer, event)
        elif isinstance(event, Introduced):
            self._introduce(writer, event)
        elif isinstance(event, Missed):
            digest = {"digest": event.digest} if event.digest else {}
            body = {"reason": event.reason, "count": 1, "size": event.size, "from": event.direction, **digest}
            _note_gap(writer, body, self.server, event.at_ms)
        else:
            body = {"event": "mcp.exit", "mcp_server": self.server, **{k: v for k, v in event.items() if k != "at_ms"}}
            writer.append("message.sent", source="mcp", actor=_tool(self.server), body=body, at_ms=event["at_ms"])

    def _introduce(self, writer: Writer, event: Introduced) -> None:
        said = event.identity
        names = {
            "server_name": said.server,
            "server_version": said.server_version,
            "protocol_version": said.protocol,
            "client_name": said.client,
            "client_version": said.client_version,
        }
        known = {name: text for name, text in names.items() if text is not None}
        body = {"event": "mcp.initialize", "mcp_server": self.server, **known, "basis": dict.fromkeys(known, "claimed")}
        payloads = {"message": PayloadData(_dump({"command": self._command}), _JSON)}
        writer.append("message.sent", source="mcp", actor=_tool(self.server), body=body, payloads=payloads, at_ms=event.at_ms)

    def _begin_call(self, writer: Writer, event: Began) -> None:
        self._calls[event.number] = event
        match = find_request(writer.journal, event, self.server, self._taken)
        if match is None:
            record_observation(writer, Observation((self._request(event),)), self._setting(self._client, event.at_ms))
            return
        self._matches[event.number] = match
        self._taken.add(match.seq)
        if not match.same:
            self._note_arguments(writer, event, match)

    def _note_arguments(self, writer: Writer, event: Began, match: Match) -> None:
        """Say that what reached the server is not what the agent's hook was told."""
        body: dict[str, Any] = {"event": "mcp.arguments", "mcp_server": self.server, "mcp_tool": event.tool, "input_changed": True}
        payloads = {"message": PayloadData(_dump(event.arguments), _JSON)}
        entry = match.entry
        writer.append(
            "message.sent",
            source="mcp",
            actor=entry.actor,
            body=body,
            session=entry.session,
            turn=entry.turn,
            call=entry.call,
            cause=match.seq,
            payloads=payloads,
            at_ms=event.at_ms,
        )

    def _end_call(self, writer: Writer, event: Ended) -> None:
        began, match = self._calls.pop(event.number), self._matches.pop(event.number, None)
        call: str | None
        if match is None:
            asked, call, agent = self._request(began), self._call_name(began), self._client
        elif match.entry.call is None or (not event.seen and is_finished(writer.journal, match.seq)):
            return  # the hook's own result tells, and ours could not be joined to the request
        else:
            entry = match.entry
            asked = Fact(entry.kind, entry.actor, entry.body, entry.session, entry.turn)
            call, agent = entry.call, str(entry.actor.get("name", "unknown"))
        body = {name: asked.body[name] for name in ("tool", "mcp_server", "mcp_tool", "subagent") if name in asked.body}
        body |= {"outcome": event.outcome, "duration_ms": event.duration_ms}
        if event.size:
            body |= {"output_size": event.size, "output_digest": event.digest}
        basis = {**({} if event.seen else {"outcome": "inferred"}), **({} if began.call else {"call": "inferred"})}
        if basis:
            body["basis"] = basis
        payloads = {"output": PayloadData(_dump(event.output), _JSON)} if event.seen and not event.size else {}
        fact = Fact("tool.finished", _tool(str(body["tool"])), body, asked.session, asked.turn, call, payloads)
        fact = fact._replace(once=f"tool.finished:{call}", answers="call")
        record_observation(writer, Observation((fact,)), self._setting(agent, event.at_ms))

    def _request(self, event: Began) -> Fact:
        """Return the request of a call that no hook told of. Where the agent gave the call no name, it gets one here."""
        tool = f"mcp__{self.server}__{event.tool}"
        call = self._call_name(event)
        basis = {"actor": "claimed", **({} if event.call else {"call": "inferred"})}
        body: dict[str, Any] = {"tool": tool, "mcp_server": self.server, "mcp_tool": event.tool, "basis": basis}
        payloads = {}
        if event.size:
            body |= {"input_size": event.size, "input_digest": event.digest}
        else:
            payloads["input"] = PayloadData(_dump(event.arguments), _JSON)
        actor = {"type": "agent", "name": self._client}
        digest = hashlib.sha256(_dump([tool, None, event.arguments])).hexdigest()
        once = f"tool.requested:{call}"
        return Fact("tool.requested", actor, body, call=call, payloads=payloads, once=once, input_digest=digest)

    def _call_name(self, event: Began) -> str:
        return event.call or f"mcp-{self._run}-{event.number}"

    @property
    def _client(self) -> str:
        return self._conversation.identity.client or "unknown"

    def _setting(self, agent: str, at_ms: int) -> Setting:
        return Setting(self._repo, "mcp", agent, pick(os.environ), at_ms)


def find_request(journal: Journal, event: Began, server: str, taken: set[int]) -> Match | None:
    """Return the newest entry that has this call's request, or None.

    With a name on the wire, the entry of that call; else one of a hook's that names the same server, tool and arguments and that no
    other call of this conversation was found to be.
    """
    sql = "SELECT seq, bytes FROM record ORDER BY seq DESC LIMIT ?"
    earliest = format_at(max(0, event.at_ms - _LOOK_BACK_MS))
    for seq, record in journal.all(sql, (_LOOK_BACK,)):
        if seq in taken or b'"kind":"tool.requested"' not in record:
            continue
        entry = parse_record(record).entry
        if entry.at < earliest:
            return None
        if event.call is not None:
            if entry.call == event.call and entry.source != "mcp":
                return Match(seq, entry, event.arguments is None or _has_arguments(journal, seq, event.arguments))
        elif (
            entry.source != "mcp" and _names_tool(entry.body, server, event.tool) and _has_arguments(journal, seq, event.arguments)
        ):
            return Match(seq, entry, True)
    return None


def is_finished(journal: Journal, seq: int) -> bool:
    """Say whether one of the newest entries is the result of the request `seq`."""
    sql = "SELECT bytes FROM record WHERE seq > ? ORDER BY seq LIMIT ?"
    rows = journal.all(sql, (seq, _LOOK_BACK))
    needle = b'"cause":%d,' % seq
    return any(needle in row[0] and b'"kind":"tool.finished"' in row[0] for row in rows)


def _names_tool(body: Mapping[str, Any], server: str, tool: str) -> bool:
    """Say whether a request's body names this tool of this server, in one of the spellings that agents have."""
    if body.get("mcp_tool") == tool and body.get("mcp_server") == server:
        return True
    return body.get("tool") in (f"mcp__{server}__{tool}", f"mcp_{server}_{tool}", f"{server}_{tool}")


def _has_arguments(journal: Journal, seq: int, arguments: Any) -> bool:
    """Say whether the payload `input` of an entry says the same as `arguments`; one that is not here does not."""
    row = journal.one("SELECT bytes FROM payload WHERE seq = ? AND name = 'input'", (seq,))
    try:
        found = None if row is None else json.loads(row[0])
    except ValueError:
        return False
    return bool(found == arguments)


def _note_gap(writer: Writer, body: Mapping[str, Any], server: str, at_ms: int) -> None:
    writer.append("gap.noted", source="mcp", body={**body, "mcp_server": server}, at_ms=at_ms)


def _tool(name: str) -> dict[str, str]:
    return {"type": "tool", "name": name}


def _dump(value: Any) -> bytes:
    """Return JSON with sorted members, as hooks' payloads have it."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8", "replace")
