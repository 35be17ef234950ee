"""Events from the doors: an agent's JSON or a git hook's arguments, live or out of a spool, become entries."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.agents import registry
from ledger.errors import FormatError, KeyUnavailable, LedgerError, RepoError, StoreError
from ledger.recording import calls
from ledger.recording.claims import Claims, read_claims
from ledger.recording.facts import Setting, note_gap, record_observation
from ledger.recording.heads import Making, note_head, notice_moves
from ledger.recording.writer import Writer, now_ms
from ledger.repo.gitdir import GitDir, find_repository
from ledger.repo.heads import is_rebasing, read_head
from ledger.store.state import git_spool_dir, spool_dir

if TYPE_CHECKING:
    from ledger.recording import spool

MAX_EVENT_BYTES = 16 << 20
_DRAIN_S = 1.0
_WATCHED = frozenset({"session.started", "prompt.submitted", "session.ended"})


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


def make_event(door: str, arguments: tuple[str, ...], data: bytes, cwd: str, environ: Mapping[str, str], at_ms: int) -> Event:
    """Return the event of bytes that are all here."""
    return Event(door, arguments, data, len(data), hashlib.sha256(data).hexdigest(), cwd, environ, at_ms)


def record_event(writer: Writer, repo: GitDir, event: Event, *, live: bool, ancestors: list[str] | None = None) -> None:
    """Append what one event means; whatever cannot be understood becomes a gap.noted with its size and digest.

    Only a store or a key that fails is an error: anything else would come again with every event while this one waits in a spool.
    """
    if writer.journal.is_paused():
        return
    mark = writer.mark()
    writer.journal.run("SAVEPOINT event")
    try:
        if event.door == "git":
            _record_git(writer, repo, event, live=live, ancestors=ancestors)
        else:
            _record_agent(writer, repo, event, live=live)
    except (StoreError, KeyUnavailable):
        raise  # the transaction is undone as a whole
    except Exception as error:
        writer.journal.run("ROLLBACK TO event")
        writer.back_to(mark)
        _note_failure(writer, event, error)
    writer.journal.run("RELEASE event")


def drain(writer: Writer, repo: GitDir, state: str) -> list[tuple[spool.Place, list[str]]]:
    """Append what waits in the two spools; return the files to remove once that is durable.

    It stops after a second, so that no hook is slow for long; the rest waits for the next event.
    """
    if not (_waits(spool_dir(state, writer.journal.log)) or _waits(git_spool_dir(repo.common_dir))):
        return []
    from ledger.recording import spool  # mostly nothing waits

    done = []
    enough = time.monotonic() + _DRAIN_S
    for place in spool.spools(state, writer.journal.log, repo.common_dir):
        paths: list[str] = []
        for item in spool.read_spool(place):
            if paths and time.monotonic() > enough:
                break
            path = item if isinstance(item, str) else item.path
            # In hex, for whoever can write the repository can give a file a name that is no text.
            key = f"spool:{os.fsencode(os.path.basename(path)).hex()}"
            if writer.journal.one("SELECT 1 FROM done WHERE key = ?", (key,)) is None:
                _record_spooled(writer, repo, item)
                writer.journal.run("INSERT INTO done VALUES (?, ?, ?, ?)", (key, writer.head.seq, now_ms(), "spool"))
            paths.append(path)
        if paths:
            done.append((place, paths))
    return done


def forget(drained: list[tuple[spool.Place, list[str]]]) -> None:
    """Remove the spooled files whose entries are durable now."""
    if drained:
        from ledger.recording import spool

        for place, paths in drained:
            spool.remove(place, paths)


def _waits(folder: str) -> bool:
    try:
        return bool(os.listdir(folder))
    except OSError:
        return False


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


def _record_agent(writer: Writer, repo: GitDir, event: Event, *, live: bool) -> None:
    adapter = registry.load(event.door)
    if adapter is None:
        raise FormatError("no adapter of this name")
    native = parse_event(event.data, event.size)
    agent, seen = registry.translate(adapter, native, event.environ)
    setting = Setting(repo, "hook", agent, event.environ, event.at_ms, live, seen.account)
    if live and isinstance(native.get("transcript_path"), str) and registry.has_transcript(agent):
        from ledger.recording.transcripts import record_with_transcript  # not every agent writes one

        record_with_transcript(writer, native, seen, setting)
    else:
        record_observation(writer, seen, setting)
    if live and any(fact.kind in _WATCHED for fact in seen.facts):
        from ledger.recording.watch import notice_hooks  # not on every call

        notice_hooks(writer, repo)


def _record_git(writer: Writer, repo: GitDir, event: Event, *, live: bool, ancestors: list[str] | None) -> None:
    from ledger.recording.commits import record_commit, record_pick, record_rewrites
    from ledger.repo.reflog import has_just_merged

    name, more = event.arguments[0] if event.arguments else "", event.arguments[1:2]
    claims = read_claims(event.environ)
    making = Making("hook" if live else "spool", "git" if live else "spool", claims, ancestors, event.at_ms)
    if live and is_passing(repo, event.arguments):
        return
    if name == "post-rewrite":
        record_rewrites(writer, repo, "".join(more), event.data.decode("ascii", "replace"), making)
    elif name == "post-commit":
        for oid in [read_head(repo)] if live else more:
            record_commit(writer, repo, oid, making)
            if live:
                record_pick(writer, repo, oid, making)
    elif live and name == "post-merge" and has_just_merged(repo):
        # A fast-forward fires post-merge as well: its commits were made elsewhere.
        record_commit(writer, repo, read_head(repo), making)
    # What else HEAD did, no hook of ours saw: the claims and processes of this one say nothing of it.
    notice_moves(writer, repo, making._replace(via="reflog", claims=Claims(), ancestors=None) if live else making)


def is_passing(repo: GitDir, arguments: tuple[str, ...]) -> bool:
    """Say whether a git event is of a rebase under way: its commits and amendments are nobody's result, and its end tells all."""
    return arguments[:2] != ("post-rewrite", "rebase") and is_rebasing(repo)


def _record_spooled(writer: Writer, repo: GitDir, item: spool.Spooled | str) -> None:
    if isinstance(item, str):
        note_gap(writer, "spool-not-understood", file=os.path.basename(item))
        return
    digest = item.digest or hashlib.sha256(item.data).hexdigest()
    event = Event(item.door, item.arguments, item.data, item.size, digest, item.cwd, item.environ, item.at_ms)
    record_event(writer, _work_tree_of(event, repo), event, live=False)


def _work_tree_of(event: Event, repo: GitDir) -> GitDir:
    """Return the work tree that a spooled event arose in, if it is one of this clone, else `repo`."""
    for place in (*named_places(event.data)[:1], event.cwd):
        try:
            found = find_repository(place) if place else repo
        except (RepoError, ValueError):
            continue
        if found.common_dir == repo.common_dir:
            return found
    return repo


def named_places(data: bytes) -> list[str]:
    """Return the `cwd` of an agent's event, or "", and the folders of the files it names, without judging the rest of it."""
    try:
        value = json.loads(data)
        cwd = value.get("cwd")
        tool_input = value.get("tool_input")
    except (ValueError, RecursionError, AttributeError):
        return [""]
    named = [tool_input.get(name) for name in ("file_path", "notebook_path")] if isinstance(tool_input, dict) else []
    folders = [os.path.dirname(path) for path in named if isinstance(path, str) and os.path.isabs(path)]
    return [place if isinstance(place, str) and "\0" not in place else "" for place in (cwd, *folders)]


def _note_failure(writer: Writer, event: Event, error: Exception) -> None:
    understood = not isinstance(error, (FormatError, RecursionError))
    why = error.message if isinstance(error, LedgerError) else f"{type(error).__name__}: {error}"
    name = event.arguments[0] if event.door == "git" and event.arguments else _name_of(event)
    reason = "recorder-failed" if understood else "event-not-understood"
    note_gap(writer, reason, size=event.size, digest=event.digest, agent=event.door, event=name, why=why)
    what = "could not be recorded" if understood else "was not understood"
    say(f"an event of {event.door} {what} ({why[:200]}); its size and digest are recorded")


def _name_of(event: Event) -> str:
    try:
        name = parse_event(event.data, event.size).get("hook_event_name", "")
    except FormatError:
        return ""
    return name if isinstance(name, str) else ""


def resume_here(writer: Writer, repo: GitDir) -> None:
    """Look at every HEAD anew: what was committed while recording was paused was not seen, and stays without entries."""
    seen = [str(row[0]) for row in writer.journal.all("SELECT path FROM worktree")]
    for git_dir in dict.fromkeys([repo.git_dir, *seen]):
        tree = repo._replace(git_dir=git_dir)
        note_head(writer.journal, tree)
        for call in calls.committing_calls(writer.journal, tree, now_ms()):
            calls.close_call(writer.journal, call)
        writer.journal.set_meta(calls.doubt_name(git_dir), "1")  # and who wrote what there is now, nobody saw


def say(text: str) -> None:
    """Write one line to standard error; where nobody reads it any more, that must not cost us the event."""
    printable = "".join(character if character.isprintable() else "?" for character in text)
    try:
        os.write(2, f"ledger: {printable}\n".encode("utf-8", "replace"))
    except OSError:
        pass
