"""The hot door: `python -I -m ledger.hook [--state DIR] <agent>` and `… git <event> [arguments]`.

It runs on every tool call, so it loads the standard library and Ed25519 and nothing else; a test holds the list. It prints
nothing on standard output (agents read it), one line on standard error when something is wrong, and exits 0, or 2 where the
repository requires recording and recording failed.

    1. read standard input, whatever it is
    2. find the repository and whether this state folder knows it; if not, nobody is interested
    3. append under the lock
    4. what could not be appended waits in a spool, or is said to be lost
"""

from __future__ import annotations

import gc

# What is imported lives until the process ends, some 40 ms later: looking for garbage meanwhile costs 2 ms and finds none.
gc.disable()

import hashlib
import os
import sys
import time

from ledger.errors import KeyUnavailable, LedgerError, NoRepository, StoreBusy
from ledger.recorder import Recorder
from ledger.recording import spool
from ledger.recording.ancestry import ancestors
from ledger.recording.claims import pick
from ledger.recording.events import MAX_EVENT_BYTES, Event, record_event, say
from ledger.repo.gitdir import GitDir, find_repository, repository_of_hook
from ledger.store import state as places


def main(argv: list[str]) -> int:
    """Record one event and return the exit code."""
    _open_descriptors()
    state_option, words = _arguments(argv)
    if not words:
        say("usage: python -I -m ledger.hook [--state DIR] AGENT | git EVENT [ARGUMENT …]")
        return 0
    event = _read_event(words)
    try:
        repo = _repository(event)
    except (NoRepository, OSError):
        return 0
    state = places.find_state(state_option, repo.common_dir)
    recorder = None
    try:
        recorder = Recorder.find(repo, state)
        if recorder is None:
            return 0
        where = ancestors() if event.door == "git" else None
        recorder.append(lambda writer: record_event(writer, repo, event, live=True, ancestors=where))
        return 0
    except Exception as error:  # a recorder must never break the agent by accident: every failure is handled below
        return _failed(error, event, repo, state, recorder)


def _open_descriptors() -> None:
    """Open what the agent closed of 0, 1 and 2: else our files would get these numbers, and whatever is printed would go there."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _arguments(argv: list[str]) -> tuple[str | None, list[str]]:
    if argv[:1] == ["--state"]:
        return (argv[1] if len(argv) > 1 else None), argv[2:]
    return None, argv


def _read_event(words: list[str]) -> Event:
    """Read standard input to its end, whatever its size; keep at most MAX_EVENT_BYTES + 1 of it, and the digest of all."""
    kept, size, digest = [], 0, hashlib.sha256()
    wants_input = words[0] != "git" or words[1:2] == ["post-rewrite"]
    while wants_input:
        try:
            chunk = os.read(0, 1 << 20)
        except OSError:
            break  # a folder, say: what came so far is judged like any other event
        if not chunk:
            break
        if size <= MAX_EVENT_BYTES:
            kept.append(chunk)
        size += len(chunk)
        digest.update(chunk)
    at_ms = time.time_ns() // 1_000_000
    try:
        cwd = os.getcwd()
    except OSError:
        cwd = ""  # removed under our feet
    return Event(words[0], tuple(words[1:]), b"".join(kept), size, digest.hexdigest(), cwd, pick(os.environ), at_ms)


def _repository(event: Event) -> GitDir:
    """Return the repository of an event: of a git hook its own, else the one of the event's cwd, of this process, of a path."""
    if event.door == "git":
        return repository_of_hook(dict(os.environ))
    cwd, paths = _places(event.data) if event.size <= MAX_EVENT_BYTES else ("", [])
    for place in (cwd, event.cwd, *paths):
        if place and os.path.isdir(place):
            try:
                return find_repository(place)
            except NoRepository:
                continue
    raise NoRepository("no repository at any place that the event names")


def _places(data: bytes) -> tuple[str, list[str]]:
    """Return the `cwd` of an agent's event and the folders of the files it names, without judging the rest of it."""
    import json

    try:
        value = json.loads(data)
        cwd = value.get("cwd")
        tool_input = value.get("tool_input")
    except (ValueError, RecursionError, AttributeError):
        return "", []
    named = [tool_input.get(name) for name in ("file_path", "notebook_path")] if isinstance(tool_input, dict) else []
    folders = [os.path.dirname(path) for path in named if isinstance(path, str) and os.path.isabs(path)]
    return (cwd if isinstance(cwd, str) and "\0" not in cwd else ""), [folder for folder in folders if "\0" not in folder]


def _failed(error: Exception, event: Event, repo: GitDir, state: str, recorder: Recorder | None) -> int:
    """Keep the event for the next recorder, or say that it is lost; block only where the repository requires recording."""
    message = error.message if isinstance(error, LedgerError) else f"{type(error).__name__}: {error}"
    remedy = error.remedy if isinstance(error, LedgerError) else "run `ledger doctor`"
    kept = _spool(event, repo, state, recorder)
    if kept and isinstance(error, (StoreBusy, KeyUnavailable)):
        return 0
    if kept and event.door == "git":
        return 0  # a git hook inside a sandbox: the next recorder signs it
    fate = "the event waits in the spool" if kept else "the event is lost"
    say(f"not recorded ({fate}): {message}. {remedy}")
    required = recorder is not None and recorder.clone.settings.get("required") is True
    return 2 if required else 0


def _spool(event: Event, repo: GitDir, state: str, recorder: Recorder | None) -> bool:
    """Write the event into the first spool that takes it. Only git facts go where an agent can write."""
    folders = []
    if recorder is not None:
        folders.append(places.spool_dir(state, recorder.clone.log))
    arguments, data = event.arguments, event.data
    if event.door == "git" and os.path.isdir(os.path.join(repo.common_dir, "ledger")):
        from ledger.repo.heads import read_head

        folders.append(places.git_spool_dir(repo.common_dir))
        if event.arguments[:1] != ("post-rewrite",):
            arguments = (*event.arguments[:1], read_head(repo))
    for folder in folders:
        try:
            spool.spool_event(folder, event.door, event.at_ms, event.cwd, arguments, event.environ, data)
            return True
        except LedgerError:
            continue
    return False


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Nothing is left to do: what was recorded is durable, and tearing down the interpreter would cost the agent milliseconds.
    os._exit(code)
