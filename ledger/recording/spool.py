"""Spools: what could not be recorded where it arose, kept for the next recorder (docs/spec/journal.md, section 5).

    <state>/spool/<log>/             whole events that waited too long for the lock, or for the key. Ours alone
    <common dir>/ledger/spool/       git facts from hooks inside a sandbox. An agent can write there, so nothing in it is believed
                                     but names of git events, and commit ids that git then confirms

A file is written aside, synced and renamed; it is removed after the entries made of it are durable. A crash between the two
leaves both, and the file's name, noted in the same transaction, keeps it from being recorded twice.
"""

from __future__ import annotations

import json
import os
import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ledger.core.canonical import MAX_INTEGER
from ledger.core.text import clean_text
from ledger.recording.claims import pick
from ledger.store.state import open_folder, read_regular_file, write_file

MAX_FILES = 200  # taken up by one event, so that no hook is slow for long; the rest waits for the next
MAX_GIT_BYTES = 64 << 10
MAX_EVENT_BYTES = 40 << 20
GIT_EVENTS = frozenset({"post-commit", "post-merge", "post-rewrite"})


class Place(NamedTuple):
    """A spool: the folder `names` below `anchor`. Of the `git` one only git facts are taken, and links in it are not followed."""

    anchor: str
    names: tuple[str, ...]
    git: bool


class Spooled(NamedTuple):
    """One spooled event: its file, the door it came through, and what the door read. `git` says which spool it lay in.

    `size` and `digest` are of what was read where that was too large to keep; else `digest` is empty.
    """

    path: str
    git: bool
    door: str
    at_ms: int
    cwd: str
    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    data: bytes
    size: int
    digest: str


def spools(state: str, log: str, common_dir: str) -> tuple[Place, Place]:
    """Return the two spools of a clone: the state folder's first, for it is ours alone."""
    return Place(state, ("spool", log), False), Place(common_dir, ("ledger", "spool"), True)


def spool_event(
    folder: str,
    door: str,
    at_ms: int,
    cwd: str,
    arguments: tuple[str, ...],
    environ: Mapping[str, str],
    data: bytes,
    *,
    cut: tuple[int, str] | None = None,
) -> str:
    """Write one event into a spool and return its path. Raises StoreError.

    `cut` is size and digest of an input that is too large to keep; `data` is empty then.
    """
    value: dict[str, Any] = {
        "v": 1,
        "door": door,
        "at_ms": at_ms,
        "cwd": os.fsencode(cwd).decode("utf-8", "replace"),
        "arguments": [os.fsencode(word).decode("utf-8", "replace") for word in arguments],
        "environ": dict(environ),
        "data": b2a_base64(data, newline=False).decode("ascii"),
    }
    if cut is not None:
        value["size"], value["digest"] = cut
    path = os.path.join(folder, f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}.json")
    write_file(path, json.dumps(value, ensure_ascii=True).encode("ascii"))
    return path


def read_spool(place: Place) -> Iterator[Spooled | str]:
    """Yield the oldest spooled events, one in memory at a time; a file that is none is yielded as its path alone."""
    folder = open_folder(place.anchor, *place.names)
    if folder is None:
        return
    try:
        for name in sorted(_names(folder))[:MAX_FILES]:
            yield _read(os.path.join(place.anchor, *place.names, name), place.git, folder)
    except OSError:
        return
    finally:
        os.close(folder)


def count_spool(place: Place) -> int:
    """Return how many events wait."""
    folder = open_folder(place.anchor, *place.names)
    if folder is None:
        return 0
    try:
        return len(_names(folder))
    finally:
        os.close(folder)


def _names(folder: int) -> list[str]:
    """Return the names of what waits. Folders are passed over: they cannot be removed like files, and would stay for ever."""
    with os.scandir(folder) as found:
        return [item.name for item in found if item.name.endswith(".json") and not item.is_dir(follow_symlinks=False)]


def remove(place: Place, paths: list[str]) -> None:
    """Remove spooled files whose entries are durable.

    One that stays (not ours to remove) is not recorded again, for its name is noted.
    """
    folder = open_folder(place.anchor, *place.names)
    if folder is None:
        return
    for path in paths:
        try:
            os.unlink(os.path.basename(path), dir_fd=folder)
        except OSError:
            pass
    os.close(folder)


def _read(path: str, git: bool, folder: int) -> Spooled | str:
    data = read_regular_file(os.path.basename(path), MAX_GIT_BYTES if git else MAX_EVENT_BYTES, dir_fd=folder)
    if data is None:
        return path
    try:
        return _parse(path, git, json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return path


def _parse(path: str, git: bool, value: dict[str, Any]) -> Spooled:
    if value["v"] != 1 or not isinstance(value["door"], str) or not isinstance(value["cwd"], str):
        raise ValueError("not a spooled event")
    if git and value["door"] != "git":
        raise ValueError("only git events are taken from the repository's spool")
    at_ms = value["at_ms"]
    if not isinstance(at_ms, int) or not 0 <= at_ms < min(MAX_INTEGER, 253402300800000):
        raise ValueError("no time")
    arguments = tuple(str(word) for word in value["arguments"])
    if value["door"] == "git" and arguments[:1] and arguments[0] not in GIT_EVENTS:
        raise ValueError("not a git event we record")
    environ = pick({clean_text(str(name)): clean_text(str(text)) for name, text in value["environ"].items()})
    data = a2b_base64(value["data"], strict_mode=True)
    size, digest = value.get("size", len(data)), value.get("digest", "")
    if not isinstance(size, int) or not isinstance(digest, str) or not 0 <= size <= MAX_INTEGER or len(digest) not in (0, 64):
        raise ValueError("no size and digest")
    return Spooled(path, git, value["door"], at_ms, value["cwd"], arguments, environ, data, size, digest)
