"""Events from the doors: an agent's JSON or a git hook's arguments, live or out of a spool, become entries."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from ledger.agents import registry
from ledger.errors import FormatError
from ledger.recording import calls, spool
from ledger.recording.claims import read_claims
from ledger.recording.facts import Setting, note_gap, record_observation
from ledger.recording.heads import Making, note_head, notice_moves
from ledger.recording.writer import Writer, now_ms
from ledger.repo.gitdir import GitDir
from ledger.repo.heads import is_rebasing, read_head

MAX_EVENT_BYTES = 16 << 20


class Event(NamedTuple):
    """What a door read. `data` is its standard input, cut at MAX_EVENT_BYTES + 1; `size` and `digest` are of all of it."""

    door: str
    arguments: tuple[str, ...]
    data: bytes
    size: int
    digest: str
    cwd: str
    environ: Mapping[str, str]
    at_ms: int


def make_event(
    door: str, arguments: tuple[str, ...], data: bytes, cwd: str, environ: Mapping[str, str], at_ms: int, size: int | None = None
) -> Event:
    """Return the event of bytes that are all here."""
    return Event(door, arguments, data, len(data) if size is None else size, hashlib.sha256(data).hexdigest(), cwd, environ, at_ms)


def record_event(writer: Writer, repo: GitDir, event: Event, *, live: bool, ancestors: list[str] | None = None) -> None:
    """Append what one event means; whatever cannot be understood becomes a gap.noted with its size and digest."""
    if writer.journal.meta("paused") == "1":
        return
    if event.door == "git":
        _record_git(writer, repo, event, live=live, ancestors=ancestors)
    else:
        _record_agent(writer, repo, event)


def drain(writer: Writer, repo: GitDir, state: str) -> list[tuple[spool.Place, list[str]]]:
    """Append what waits in the two spools; return the files to remove once that is durable."""
    done = []
    for place in spool.spools(state, writer.journal.log, repo.common_dir):
        paths = []
        for item in spool.read_spool(place):
            path = item if isinstance(item, str) else item.path
            key = f"spool:{os.path.basename(path)}"
            if writer.journal.one("SELECT 1 FROM done WHERE key = ?", (key,)) is None:
                _record_spooled(writer, repo, item)
                writer.journal.run("INSERT INTO done VALUES (?, ?, ?, ?)", (key, writer.head.seq, now_ms(), "spool"))
            paths.append(path)
        if paths:
            done.append((place, paths))
    return done


def parse_event(data: bytes, size: int) -> dict[str, Any]:
    """Return the JSON object that an agent wrote to a hook. Raises FormatError."""
    if size > MAX_EVENT_BYTES:
        raise FormatError(f"an event of {size} bytes is larger than {MAX_EVENT_BYTES}")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise FormatError("not a JSON object")
    return value


def _record_agent(writer: Writer, repo: GitDir, event: Event) -> None:
    """Translate and append; a fact that no entry can hold must not cost us the event, so it is undone and noted."""
    name = ""
    try:
        adapter = registry.load(event.door)
        if adapter is None:
            raise FormatError("no adapter of this name")
        native = parse_event(event.data, event.size)
        name = str(native.get("hook_event_name", ""))
        seen = adapter.translate(native)
        writer.journal.run("SAVEPOINT event")
        mark = writer.mark()
        try:
            setting = Setting(repo, "hook", adapter.NAME, event.environ, event.at_ms)
            record_observation(writer, seen, setting)
        except (FormatError, RecursionError):
            writer.journal.run("ROLLBACK TO event")
            writer.back_to(mark)
            raise
        finally:
            writer.journal.run("RELEASE event")
    except (FormatError, RecursionError) as error:
        why = error.message if isinstance(error, FormatError) else "nested too deeply"
        note_gap(writer, "event-not-understood", size=event.size, digest=event.digest, agent=event.door, event=name, why=why)
        say(f"an event of {event.door} was not understood ({why}); its size and digest are recorded")


def _record_git(writer: Writer, repo: GitDir, event: Event, *, live: bool, ancestors: list[str] | None) -> None:
    from ledger.recording.commits import record_commit, record_rewrites

    name = event.arguments[0] if event.arguments else ""
    claims = read_claims(event.environ)
    making = Making("hook" if live else "spool", "git" if live else "spool", claims, ancestors, event.at_ms)
    if name == "post-rewrite":
        how = event.arguments[1] if len(event.arguments) > 1 else ""
        record_rewrites(writer, repo, how, event.data.decode("ascii", "replace"), making)
    elif live:
        if is_rebasing(repo):
            return
        record_commit(writer, repo, read_head(repo), making)
    else:
        for oid in event.arguments[1:2]:
            record_commit(writer, repo, oid, making)
    notice_moves(writer, repo, making)


def _record_spooled(writer: Writer, repo: GitDir, item: spool.Spooled | str) -> None:
    if isinstance(item, str):
        note_gap(writer, "spool-not-understood", file=os.path.basename(item))
        return
    event = make_event(item.door, item.arguments, item.data, item.cwd, item.environ, item.at_ms)
    record_event(writer, repo, event, live=False)


def resume_here(writer: Writer, repo: GitDir) -> None:
    """Look at HEAD anew: what was committed while recording was paused was not seen, and stays without entries."""
    note_head(writer, repo)
    for call in calls.committing_calls(writer.journal, repo, now_ms()):
        calls.close_call(writer.journal, call)


def say(text: str) -> None:
    """Write one line to standard error; where nobody reads it any more, that must not cost us the event."""
    printable = "".join(character if character.isprintable() else "?" for character in text)
    try:
        os.write(2, f"ledger: {printable}\n".encode("utf-8", "replace"))
    except OSError:
        pass
