"""The hot door: `python -I -m ledger.hook [--state DIR] <agent>`, `… git <event> [arguments]`, `… seal <git dir>`.

It runs on every tool call, so it loads the standard library and Ed25519 and nothing else; a test holds the list. It prints
nothing on standard output (agents read it), one line on standard error when something is wrong, and exits 0, or 2 where the
repository requires recording and recording failed.

    1. read standard input, whatever it is
    2. find the repository and whether this state folder knows it; if not, nobody is interested
    3. append under the lock
    4. what could not be appended waits in a spool, or is said to be lost
    5. where a commit was recorded, or a session began or ended, the log is sealed: by a process of its own that this one does not
       wait for, or right here with `ledger.seal = inline`
"""

from __future__ import annotations

import gc
import sys

# What is imported lives until the process ends, some 40 ms later: looking for garbage meanwhile costs 2 ms and finds none.
gc.disable()
if __name__ == "__main__":
    # hashlib would load OpenSSL, and the cryptography package brings one of its own; Python's own SHA-2 does as well here.
    sys.modules["_hashlib"] = None  # type: ignore[assignment]  # this is how an import is made to fail
    try:
        # sqlite3's Python half adapts dates, for which it loads datetime; the other half is all that is used here.
        import _sqlite3

        sys.modules["sqlite3"] = _sqlite3
    except ImportError:
        pass

import hashlib
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ledger.errors import LedgerError, NoRepository, StoreBusy, StoreReadOnly
from ledger.recorder import Recorder
from ledger.recording.ancestry import ancestors
from ledger.recording.claims import pick
from ledger.recording.events import MAX_EVENT_BYTES, Event, is_passing, named_places, parse_event, record_event, say
from ledger.repo.gitdir import GitDir, find_repository, repository_of_hook
from ledger.store import state as places

if TYPE_CHECKING:
    from ledger.repo.git import Child

_MAX_TOUCHED = 50
_MAX_SPOOLED = 1000


def main(argv: list[str]) -> int:
    """Record one event and return the exit code."""
    _open_descriptors()
    state_option, words = _arguments(argv)
    if not words:
        say("usage: python -I -m ledger.hook [--state DIR] AGENT | git EVENT [ARGUMENT …]")
        return 0
    if words[0] == "seal":
        return _seal_detached(words[1:], state_option)
    event = _read_event(words)
    repo, state, recorder, asked = None, "", None, None
    try:
        for repo in _repositories(event):
            state = places.find_state(state_option, repo.common_dir)
            recorder = Recorder.find(repo, state)
            if recorder is not None:
                break
        if repo is None or recorder is None:
            return _unknown(event, repo, state_option)
        where, known = ancestors() if event.door == "git" else None, repo
        if event.arguments[:1] == ("post-commit",):
            from ledger.recording.detached import ask_how  # a call seals nothing

            asked = ask_how(repo)
        recorder.append(lambda writer: record_event(writer, known, event, live=True, ancestors=where))
    except (Exception, KeyboardInterrupt) as error:  # a recorder must never break the agent by accident: all is handled below
        return _failed(error, event, repo, state, recorder)
    if recorder.wants_seal:
        _seal(recorder, asked)
    return 0


def _seal(recorder: Recorder, asked: Child | None) -> None:
    """Have the log sealed. Whatever fails: the next seal takes what this one did not, and `ledger status` says what waits.

    `asked` is the question how, where it was put to git already.
    """
    from ledger.recording.detached import ask_how, read_how, start_sealer

    try:
        how = read_how(asked or ask_how(recorder.repo))
        if not how.inline:
            start_sealer(recorder.repo, recorder.state)
            return
    except (LedgerError, OSError):
        return  # no git, or no process to be had: nobody asked for it to be done here and now
    try:
        recorder.seal(prefix=how.prefix)
        if recorder.has_left():
            start_sealer(recorder.repo, recorder.state)
    except Exception as error:
        message = error.message if isinstance(error, LedgerError) else f"{type(error).__name__}: {error}"
        say(f"recorded, and not sealed yet ({message})")


def _seal_detached(words: list[str], state: str | None) -> int:
    """Seal the log of the clone whose git folder is named, in a process of its own. Nobody listens to what it says."""
    from ledger.recording.detached import detach

    detach()
    try:
        with Recorder.open(words[0], state=state) as recorder:
            recorder.look_again()
            recorder.seal()
            if recorder.has_left() and recorder.follow_left():
                recorder.seal()
    except Exception:  # at the next seal it is said by one that has a listener
        return 1
    return 0


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


def _repositories(event: Event) -> Iterator[GitDir]:
    """Yield the repositories that an event may belong to; the first that has a ledger counts.

    Of a git hook, its own. Else the one of the event's cwd, then this process's, then those of the paths that the call names; each
    with the repositories around it, for an agent that could leave the log by `git init` in a folder would.
    """
    if event.door == "git":
        try:
            yield repository_of_hook(dict(os.environ))
        except (NoRepository, OSError):
            pass
        return
    small = event.size <= MAX_EVENT_BYTES
    cwd, *named = named_places(event.data) if small else [""]
    seen = set()
    for place in (cwd, event.cwd, *named, *(_touched(event, cwd) if small else ())):
        while place and os.path.isdir(place):
            try:
                repo = find_repository(place)
            except NoRepository:
                break
            if repo.git_dir not in seen:
                seen.add(repo.git_dir)
                yield repo
            around = os.path.dirname(repo.work_tree or repo.git_dir)
            place = around if around != place else ""


def _touched(event: Event, cwd: str) -> Iterator[str]:
    """Yield the folders that a patch names, as the agent's adapter reads it: no repository was known before them."""
    if b"*** " not in event.data:
        return  # in most repositories without a ledger: at once
    from ledger.agents import registry

    try:
        adapter = registry.load(event.door)
        touched = adapter.translate(parse_event(event.data, event.size)).touched if adapter else ()
    except LedgerError:
        return
    for path in touched[:_MAX_TOUCHED]:
        yield os.path.dirname(os.path.join(cwd or event.cwd, path))


def _unknown(event: Event, repo: GitDir | None, state_option: str | None) -> int:
    """Nobody asked for this place to be recorded, unless a sandbox hides the state folder from a git hook, or `.git` is gone."""
    state = places.find_state(state_option, repo.common_dir if repo is not None else None)
    if event.door != "git":
        _keep_for_lost(event, state)
    elif repo is not None and not os.access(os.path.join(state, "clones"), os.R_OK | os.X_OK):
        _spool(event, repo, state, None)
    return 0


def _keep_for_lost(event: Event, state: str) -> None:
    """Let the event of a work tree whose `.git` is gone wait in the state folder's spool, in case it comes back."""
    place = os.path.realpath((named_places(event.data)[0] if event.size <= MAX_EVENT_BYTES else "") or event.cwd or "/")
    while place != os.path.dirname(place):
        if (clone := places.clone_of_tree(state, place)) is not None and not os.path.lexists(os.path.join(place, ".git")):
            kept = _spool_into([places.spool_dir(state, clone.log)], event, event.arguments)
            say(f"{place} has no .git any more; the event {'waits in the spool until it is back' if kept else 'is lost'}")
            return
        place = os.path.dirname(place)


def _failed(error: BaseException, event: Event, repo: GitDir | None, state: str, recorder: Recorder | None) -> int:
    """Keep the event for the next recorder, or say that it is lost; block only where the repository requires recording."""
    message = error.message if isinstance(error, LedgerError) else f"{type(error).__name__}: {error}"
    remedy = error.remedy if isinstance(error, LedgerError) else "run `ledger doctor`"
    kept = repo is not None and _spool(event, repo, state, recorder)
    if kept and (isinstance(error, StoreBusy) or (event.door == "git" and isinstance(error, StoreReadOnly))):
        return 0  # a log in use, or a git hook inside a sandbox: nothing is wrong, and the next recorder takes it up
    fate = "the event waits in the spool" if kept else "the event is lost"
    say(f"not recorded ({fate}): {message}. {remedy}")
    required = recorder is not None and recorder.clone.settings.get("required") is True
    return 2 if required else 0


def _spool(event: Event, repo: GitDir, state: str, recorder: Recorder | None) -> bool:
    """Write the event into a spool. Only git facts go where an agent can write."""
    folders = []
    if recorder is not None:
        folders.append(places.spool_dir(state, recorder.clone.log))
    arguments = event.arguments
    if event.door == "git":
        from ledger.repo.heads import read_head

        if is_passing(repo, arguments):
            return True
        if _has_room(repo):
            folders.append(places.git_spool_dir(repo.common_dir))
        if event.arguments[:1] != ("post-rewrite",):
            arguments = (*event.arguments[:1], read_head(repo))
    return _spool_into(folders, event, arguments)


def _spool_into(folders: list[str], event: Event, arguments: tuple[str, ...]) -> bool:
    """Write the event into the first of the spools that takes it."""
    from ledger.recording import spool

    cut = (event.size, event.digest) if event.size > MAX_EVENT_BYTES else None
    data = b"" if cut else event.data
    for folder in folders:
        try:
            spool.spool_event(folder, event.door, event.at_ms, event.cwd, arguments, event.environ, data, cut=cut)
            return True
        except LedgerError:
            continue
    return False


def _has_room(repo: GitDir) -> bool:
    """Say whether the repository's spool is there, is no link, and is not full: without a recorder it must not grow for ever."""
    from ledger.recording import spool

    place = spool.spools("", "", repo.common_dir)[1]
    folder = places.open_folder(place.anchor, *place.names)
    if folder is None:
        return False
    os.close(folder)
    return spool.count_spool(place) < _MAX_SPOOLED


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Nothing is left to do: what was recorded is durable, and tearing down the interpreter would cost the agent milliseconds.
    os._exit(code)
