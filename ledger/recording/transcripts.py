"""What an agent writes of itself while it works: its transcript, read as it grows, from where the last hook left off.

A transcript may be edited, cut, replaced or of any size, so reading it is bounded and what is found is said:

    1. it is a regular file below the agent's own folder (`sessions`, `projects`), through no link; else gap.noted, once
    2. the bytes before our offset are what they were: their number, the inode, the last 4 KiB; at a turn's end also some of the
       blocks before those, in turn. Else transcript.changed, with sizes and digests
    3. whole lines from the offset on, at most READ_BYTES a hook; a line longer than MAX_LINE is passed over, as is the beginning
       of a file that had grown large before it was first met: gap.noted, with the number of bytes
    4. each line by the agent's own module; a line that is no JSON: gap.noted, with size and digest

Where we are is a row of the journal's working notes, in the same transaction as the entries: a crash reads the same lines again,
and nothing is recorded twice, for facts of a call are named (`Fact.once`). Nothing here fails a hook.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.core.fact import Fact, Observation, PayloadData
from ledger.errors import FormatError
from ledger.recording.facts import Setting, note_gap, record_observation
from ledger.recording.writer import Writer

if TYPE_CHECKING:
    from types import ModuleType

READ_BYTES = 2 << 20  # of new lines, in one hook
READ_BYTES_AT_END = 8 << 20  # where a turn or a session ends, and somebody waits less
MAX_LINE = 1 << 20
FIRST_BYTES = 4 << 20  # a file that is larger when it is first met is read from near its end
TAIL = 4096
BLOCK = 64 << 10
_MAX_STATE = 200_000  # characters; an agent cannot make our notes grow
_MAX_BLOCKS = 16  # looked at again in one hook
_RECENT_MS = 3600 * 1000
_ENDS = frozenset({"AfterAgent", "Stop", "SessionEnd", "Interrupt", "StopFailure", "SubagentStop"})

# When standing grants are looked at.
_WATCHED = frozenset({"SessionStart", "UserPromptSubmit", "BeforeAgent", "Stop", "AfterAgent", "SessionEnd", "Interrupt"})
_UNFIT = (ValueError, KeyError, TypeError, RecursionError, AttributeError, FormatError)

_TABLE = """CREATE TABLE IF NOT EXISTS transcript (
  path TEXT PRIMARY KEY, inode INTEGER NOT NULL, offset INTEGER NOT NULL, tail TEXT NOT NULL, passing INTEGER NOT NULL,
  blocks TEXT NOT NULL, looked INTEGER NOT NULL, state TEXT NOT NULL
) WITHOUT ROWID"""


class Place(NamedTuple):
    """Where a transcript lies: its path, and the agent's folder that holds it."""

    path: str
    root: str


class Position(NamedTuple):
    """How far a transcript was read. `passing` counts the bytes of a line that is too long; `blocks` are 8 hex digits each."""

    inode: int = 0
    offset: int = 0
    tail: str = ""
    passing: int = 0
    blocks: str = ""
    looked: int = 0


class Reading:
    """One transcript under one hook: what was new in it."""

    def __init__(self, place: Place, position: Position, state: dict[str, Any]) -> None:
        self.place = place
        self.position = position
        self.state = state
        self.facts: list[tuple[Fact, int | None]] = []
        self.lines: dict[str, str] = {}  # the exact arguments of the calls in the new lines
        self.gaps: list[dict[str, Any]] = []
        self.is_new = False


def module_of(agent: str) -> ModuleType | None:
    """Return the module that reads an agent's transcripts, or None."""
    if agent == "codex":
        from ledger.agents import codex_rollout

        return codex_rollout
    if agent == "claude-code":
        from ledger.agents import claude_transcript

        return claude_transcript
    if agent == "gemini":
        from ledger.agents import gemini_transcript

        return gemini_transcript
    return None


def find_place(path: Any, agent: ModuleType) -> Place | None:
    """Return where the transcript lies that an event names, or None where it names none that is the agent's."""
    if not isinstance(path, str) or not os.path.isabs(path) or "\0" in path or not path.isprintable():
        return None
    folder, name = os.path.split(os.path.normpath(path))
    parts = folder.split("/")
    for at in range(len(parts) - 1, 0, -1):
        if parts[at] in agent.FOLDERS:
            return Place(os.path.join(folder, name), "/".join(parts[: at + 1])) if agent.is_ours(name) else None
    return None


def read_news(writer: Writer, agent: ModuleType, place: Place, *, ends: bool) -> Reading | None:
    """Read what is new in a transcript and note where that ends; None where it cannot be read."""
    journal = writer.journal
    journal.run(_TABLE)
    key = hashlib.sha256(os.fsencode(place.path)).hexdigest()
    row = journal.one("SELECT inode, offset, tail, passing, blocks, looked, state FROM transcript WHERE path = ?", (key,))
    position, state = (Position(*row[:6]), _parse_state(row[6])) if row else (Position(), {})
    descriptor = _open(place)
    if descriptor is None:
        if row is not None or os.path.lexists(place.path):
            _note_once(writer, key, "transcript-not-read", os.path.basename(place.path))
        return None
    reading = Reading(place, position, state)
    try:
        _check_before(reading, descriptor, ends)
        _read_lines(reading, descriptor, agent, READ_BYTES_AT_END if ends else READ_BYTES)
        _note_blocks(reading, descriptor)
    finally:
        os.close(descriptor)
    reading.is_new = reading.position != position or row is None
    return reading


def save(writer: Writer, reading: Reading) -> None:
    """Note how far a transcript was read."""
    if not reading.is_new:
        return
    text = json.dumps(reading.state, separators=(",", ":"))
    if len(text) > _MAX_STATE:
        kept = {name: value for name, value in reading.state.items() if type(value) is str}
        text = json.dumps(kept, separators=(",", ":"))
    key = hashlib.sha256(os.fsencode(reading.place.path)).hexdigest()
    # A block's digest stays 8 characters, so a transcript of a gigabyte takes 130 kB here.
    sql = "INSERT OR REPLACE INTO transcript VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    writer.journal.run(sql, (key, *reading.position, text))


def record_news(writer: Writer, setting: Setting, reading: Reading, cwd: str | None) -> None:
    """Append what a reading found, as said by the transcript."""
    for gap in reading.gaps:
        reason = gap.pop("reason")
        if reason == "changed":
            _record_change(writer, setting, reading, gap)
        else:
            note_gap(writer, reason, **gap)
    for fact, said_at in reading.facts:
        at_ms = said_at if said_at and setting.at_ms - _RECENT_MS < said_at <= setting.at_ms else setting.at_ms
        if fact.kind == "gap.noted":
            body = {name: value for name, value in fact.body.items() if name not in ("reason", "count", "size", "basis")}
            told: dict[str, Any] = {name: str(value) for name, value in body.items()}
            note_gap(writer, str(fact.body["reason"]), **told)
            continue
        source = setting._replace(source="transcript", at_ms=at_ms, live=False)
        record_observation(writer, Observation((fact,), cwd), source)


def complete(seen: Observation, reading: Reading, agent: ModuleType) -> Observation:
    """Return a hook's observation with what its transcript has on the same call: exact arguments, exit code, duration."""
    facts = []
    for fact in seen.facts:
        if fact.kind == "session.started":
            fact = _with(fact, agent.session_details(reading.state))
        elif fact.kind == "prompt.submitted":
            fact = _prompt(fact, reading)
        elif fact.kind == "tool.requested" and fact.call:
            details = agent.details_of(fact.call, reading.state)
            fact = _with(fact, details["requested"])
            exact = reading.lines.get(fact.call or "")
            if exact is not None and details["requested"]:
                data = PayloadData(exact.encode("utf-8", "replace"), "application/json")
                basis = {**fact.body.get("basis", {}), "arguments": "agent-file"}
                fact = fact._replace(payloads={**fact.payloads, "arguments": data}, body={**fact.body, "basis": basis})
        elif fact.kind == "tool.finished" and fact.call:
            fact = _finished(fact, agent.details_of(fact.call, reading.state)["finished"])
        facts.append(fact)
    return seen._replace(facts=tuple(facts))


def _prompt(fact: Fact, reading: Reading) -> Fact:
    """Add where a prompt came from; its line in the transcript, where that is here already, says no more than this."""
    if reading.state.get("trigger"):
        fact = _with(fact, {"trigger": reading.state["trigger"]})
    for said in reading.facts:
        if said[0].kind == "prompt.submitted" and said[0].turn == fact.turn:
            reading.facts.remove(said)
            fact = _with(fact, {name: value for name, value in said[0].body.items() if name != "basis" and name not in fact.body})
            if said[0].actor["type"] != "unknown" and fact.actor["type"] == "unknown":
                basis = {**fact.body.get("basis", {}), "actor": "agent-file"}
                fact = fact._replace(actor=said[0].actor, body={**fact.body, "basis": basis})
            break
    return fact


def _finished(fact: Fact, said: Mapping[str, Any]) -> Fact:
    """Add what the transcript says of a result; where that is a failure, believe it over the hook, which cannot tell."""
    more = {name: value for name, value in said.items() if name not in fact.body}
    if said.get("outcome") in ("failed", "denied") and fact.body.get("outcome") == "finished":
        more["outcome"] = said["outcome"]
    return _with(fact, more)


def _with(fact: Fact, more: Mapping[str, Any]) -> Fact:
    if not more:
        return fact
    basis = {**fact.body.get("basis", {}), **dict.fromkeys(more, "agent-file")}
    return fact._replace(body={**fact.body, **more, "basis": basis})


# Files


def _open(place: Place) -> int | None:
    """Open a transcript that is a regular file and lies below its root through no link, else return None."""
    try:
        inside = os.path.relpath(place.path, place.root)
        if os.path.realpath(place.path) != os.path.join(os.path.realpath(place.root), inside):
            return None
        descriptor = os.open(place.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def pread(descriptor: int, size: int, offset: int) -> bytes:
    """Read `size` bytes at `offset`, or what there is of them: the one place where a transcript is read."""
    parts: list[bytes] = []
    while size > 0:
        chunk = os.pread(descriptor, min(size, 1 << 20), offset)
        if not chunk:
            break
        parts.append(chunk)
        size -= len(chunk)
        offset += len(chunk)
    return b"".join(parts)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _check_before(reading: Reading, descriptor: int, ends: bool) -> None:
    """Compare what lies before our offset with what lay there; where it is another file or a shorter one, begin anew."""
    before, found = reading.position, os.fstat(descriptor)
    if before.offset == 0 and not before.inode:
        reading.position = before._replace(inode=found.st_ino)
        return
    how = None
    tail = ""
    if found.st_size < before.offset:
        how = "truncated"
    else:
        tail = _digest(pread(descriptor, min(TAIL, before.offset), max(0, before.offset - TAIL)))
        if tail != before.tail:
            how = "replaced" if found.st_ino != before.inode else "edited"
    if how is not None:
        gap = {"reason": "changed", "event": how, "was": before.offset, "now": found.st_size, "was_digest": before.tail}
        reading.gaps.append({**gap, "now_digest": tail} if tail else gap)
        reading.position = Position(inode=found.st_ino)
        reading.state.pop("bounds", None)
        return
    reading.position = before._replace(inode=found.st_ino)  # a copy that says the same is the same
    if ends:
        _check_blocks(reading, descriptor)


def _check_blocks(reading: Reading, descriptor: int) -> None:
    """Look again at some of the blocks that were read, those next in turn."""
    position = reading.position
    count = len(position.blocks) // 8
    blocks = position.blocks
    for step in range(min(_MAX_BLOCKS, count)):
        number = (position.looked + step) % count
        was = blocks[number * 8 : number * 8 + 8]
        now = _digest(pread(descriptor, BLOCK, number * BLOCK))[:8]
        if was not in (now, "-" * 8):
            reading.gaps.append(
                {"reason": "changed", "event": "edited", "at": number * BLOCK, "size": BLOCK, "was_digest": was, "now_digest": now}
            )
            blocks = blocks[: number * 8] + now + blocks[number * 8 + 8 :]
    looked = (position.looked + min(_MAX_BLOCKS, count)) % count if count else 0
    reading.position = position._replace(blocks=blocks, looked=looked)


def _note_blocks(reading: Reading, descriptor: int) -> None:
    """Note the digests of the blocks that are read in full now; of more than some at once, that they were not looked at."""
    position = reading.position
    known, full = len(position.blocks) // 8, position.offset // BLOCK
    blocks = position.blocks
    for number in range(known, full):
        near = full - number <= _MAX_BLOCKS
        blocks += _digest(pread(descriptor, BLOCK, number * BLOCK))[:8] if near else "-" * 8
    tail = _digest(pread(descriptor, min(TAIL, position.offset), max(0, position.offset - TAIL)))
    reading.position = position._replace(blocks=blocks, tail=tail)


def _read_lines(reading: Reading, descriptor: int, agent: ModuleType, budget: int) -> None:
    """Read whole lines from the offset on and translate them."""
    size = os.fstat(descriptor).st_size
    offset = reading.position.offset
    if (offset == 0 and size > FIRST_BYTES) or size - offset > 8 * budget:
        offset = _jump(reading, descriptor, agent, size)
    passing = reading.position.passing
    bad: list[bytes] = []
    data = pread(descriptor, min(budget, size - offset), offset)
    at = 0
    while True:
        end = data.find(b"\n", at)
        if end < 0:
            break
        if passing:
            reading.gaps.append({"reason": "transcript-line-too-long", "size": passing + end - at})
            passing = 0
        elif end - at > MAX_LINE:
            reading.gaps.append({"reason": "transcript-line-too-long", "size": end - at, "digest": _digest(data[at:end])})
        elif end > at:
            _translate(reading, agent, data[at:end], bad)
        at = end + 1
    rest = len(data) - at
    if passing or rest > MAX_LINE:
        passing, at = passing + rest, len(data)
    if bad:
        joined = b"\n".join(bad)
        gap = {"reason": "transcript-not-understood", "count": len(bad), "size": len(joined), "digest": _digest(joined)}
        reading.gaps.append(gap)
    reading.position = reading.position._replace(offset=offset + at, passing=passing)


def _jump(reading: Reading, descriptor: int, agent: ModuleType, size: int) -> int:
    """Go near the end of a file with more in it than may be read, by way of its first line; return where a line begins there."""
    offset = reading.position.offset
    if offset == 0:
        first = pread(descriptor, BLOCK, 0)
        if b"\n" in first:
            _translate(reading, agent, first[: first.index(b"\n")], [])
            reading.facts.clear()  # what it says is noted; whatever it led to was not seen
    begin = size - (256 << 10)
    data = pread(descriptor, size - begin, begin)
    begin += data.find(b"\n") + 1 if b"\n" in data else 0
    reading.gaps.append({"reason": "transcript-skipped", "size": begin - offset})
    blocks = reading.position.blocks
    reading.position = reading.position._replace(passing=0, blocks=blocks + "-" * 8 * (begin // BLOCK - len(blocks) // 8))
    return begin


def _translate(reading: Reading, agent: ModuleType, line: bytes, bad: list[bytes]) -> None:
    if not agent.is_wanted(line[:200]):
        return
    try:
        value = json.loads(line)
        reading.facts += agent.translate(value, reading.state)
    except (ValueError, RecursionError):
        bad.append(line)
        return
    except (TypeError, KeyError, AttributeError, IndexError, OverflowError):
        bad.append(line)  # of a version that says it otherwise
        return
    payload = value.get("payload") if type(value) is dict else None
    call = payload.get("call_id") if type(payload) is dict else None
    if type(call) is str and (exact := agent.arguments_of(value)) is not None:
        reading.lines[call] = exact


def _record_change(writer: Writer, setting: Setting, reading: Reading, gap: dict[str, Any]) -> None:
    """Append the evidence that a transcript is not what it was."""
    body = {**gap, "file": os.path.basename(reading.place.path)}
    writer.append(
        "transcript.changed",
        source="transcript",
        actor={"type": "unknown"},
        body=body,
        session=reading.state.get("session"),
        at_ms=setting.at_ms,
    )


def _note_once(writer: Writer, key: str, reason: str, name: str) -> None:
    """Note a gap about a transcript once."""
    mark = f"{reason}:{key}"
    if writer.journal.one("SELECT 1 FROM done WHERE key = ?", (mark,)) is None:
        seq = note_gap(writer, reason, file=name)
        writer.journal.run("INSERT INTO done VALUES (?, ?, ?, ?)", (mark, seq, 0, "transcript"))


def _parse_state(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(str(text))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


# With a hook


def record_with_transcript(writer: Writer, native: Mapping[str, Any], seen: Observation, setting: Setting) -> None:
    """Append what a hook says, completed by its transcript, and what else is new there.

    What the transcript tells lies before the event, except where that is a session's or subagent's own start or end.
    """
    agent = module_of(setting.agent)
    readings = _read_safely(writer, agent, native) if agent is not None else []
    if readings and agent is not None:
        seen = complete(seen, readings[0], agent)
    first = any(fact.kind in ("session.started", "subagent.started", "subagent.ended") for fact in seen.facts)
    if first:
        record_observation(writer, seen, setting)
    for reading in readings:
        mark = writer.mark()
        writer.journal.run("SAVEPOINT transcript")
        try:
            record_news(writer, setting, reading, seen.cwd)
        except _UNFIT as error:
            writer.journal.run("ROLLBACK TO transcript")
            writer.back_to(mark)
            note_gap(writer, "transcript-not-recorded", why=f"{type(error).__name__}: {error}")
        writer.journal.run("RELEASE transcript")
        save(writer, reading)
    if not first:
        record_observation(writer, seen, setting)
    if agent is not None and native.get("hook_event_name") in _WATCHED:
        from ledger.recording import grants  # not on every call

        place = find_place(native.get("transcript_path"), agent)
        if place is not None:
            session = seen.facts[0].session if seen.facts else None
            grants.note_grants(writer, setting, os.path.dirname(place.root), session, begins=first and not _is_subagents(seen))


def _is_subagents(seen: Observation) -> bool:
    return any(fact.kind.startswith("subagent.") for fact in seen.facts)


def _read_safely(writer: Writer, agent: ModuleType, native: Mapping[str, Any]) -> list[Reading]:
    """Return what is new in an event's transcripts; whatever is wrong with them, the hook's own facts are recorded."""
    try:
        return _read_all(writer, agent, native, ends=native.get("hook_event_name") in _ENDS)
    except (OSError, *_UNFIT) as error:
        _note_once(writer, type(error).__name__, "transcript-not-read", str(error))
        return []


def _read_all(writer: Writer, agent: ModuleType, native: Mapping[str, Any], *, ends: bool) -> list[Reading]:
    """Return what is new in the event's transcript and, where a turn ends, in those of its subagents."""
    readings: list[Reading] = []
    places = [find_place(native.get(member), agent) for member in ("transcript_path", "agent_transcript_path")]
    for place in dict.fromkeys(place for place in places if place is not None):
        reading = read_news(writer, agent, place, ends=ends)
        if reading is not None:
            readings.append(reading)
    if ends and readings:
        main = readings[0]
        read = {reading.place.path for reading in readings}
        for path in agent.beside(main.place.path, main.state, _list_folder, lambda path: _first_line(path, main.place.root)):
            reading = read_news(writer, agent, Place(path, main.place.root), ends=True) if path not in read else None
            if reading is not None:
                reading.facts = [agent.join(said, main.state) for said in reading.facts]
                readings.append(reading)
        main.is_new = True
    return readings


def _list_folder(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))[-2000:]
    except OSError:
        return []


def _first_line(path: str, root: str) -> dict[str, Any]:
    """Return the first line of a transcript as JSON, or {}."""
    descriptor = _open(Place(path, root))
    if descriptor is None:
        return {}
    try:
        value = json.loads(pread(descriptor, BLOCK, 0).partition(b"\n")[0])
    except (ValueError, RecursionError):
        return {}
    finally:
        os.close(descriptor)
    return value if isinstance(value, dict) else {}
