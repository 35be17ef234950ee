"""Git's index, read directly: which tracked files are gone, or have other stat data than git noted (gitformat-index(5)).

Asking git costs a process; for a small index this costs less, so that it can be done before a call as well. Larger ones, and the
forms that a small repository hardly has (version 4, split), are not read.
"""

from __future__ import annotations

import os
import struct

from ledger.repo.gitdir import GitDir, read_plain

MAX_BYTES = 160_000  # some 1,500 files
_HEADER = struct.Struct(">4sII")
_STAT = struct.Struct(">IIIIIIIIII")
_LINK = b"link"
_FILE, _LINK_TO, _SUBMODULE = 0o10, 0o12, 0o16


def stale_paths(repo: GitDir, object_format: str) -> dict[bytes, str]:
    """Return the tracked paths that are gone, then the files whose stat data differs, each with the blob that the index has of it.

    Empty as well where the index is not read. A file that git wrote within the same clock tick as the index is not looked into.
    What a sparse checkout leaves out is not gone.
    """
    data = read_plain(os.path.join(repo.git_dir, "index"), MAX_BYTES + 1)
    if data is None or len(data) > MAX_BYTES or len(data) < _HEADER.size or repo.work_tree is None:
        return {}
    magic, version, count = _HEADER.unpack_from(data)
    if magic != b"DIRC" or version not in (2, 3):
        return {}
    hash_bytes = 32 if object_format == "sha256" else 20
    root = os.fsencode(repo.work_tree)
    gone: dict[bytes, str] = {}
    changed: dict[bytes, str] = {}
    at = _HEADER.size
    try:
        for _ in range(count):
            names = at + _STAT.size + hash_bytes
            _, _, seconds, nanoseconds, _, _, mode, _, _, size = _STAT.unpack_from(data, at)
            flags = data[names] << 8 | data[names + 1]
            start = names + (4 if flags & 0x4000 else 2)
            end = data.index(b"\0", start)
            path = data[start:end]
            at += (end - at + 8) & ~7
            if flags & 0x7000 or mode >> 12 not in (_FILE, _LINK_TO, _SUBMODULE):  # in conflict, sparse, or only intended
                continue
            try:
                found = _stat(root + b"/" + path)
            except OSError:
                continue  # in a folder that may not be entered
            if found is None:
                gone[path] = data[names - hash_bytes : names].hex()
            elif mode >> 12 == _FILE and _differs(found, seconds, nanoseconds, size):
                changed[path] = data[names - hash_bytes : names].hex()
    except (IndexError, ValueError, struct.error):
        return {}
    return {} if data[at : at + 4] == _LINK else gone | changed


def sign(found: os.stat_result) -> str:
    """Return what of a file's stat data changes when somebody writes it."""
    return f"{found.st_mode:o} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def sign_path(repo: GitDir, path: bytes) -> str:
    """Return the signature of a path without reading it, empty where nothing is."""
    try:
        return sign(os.lstat(os.path.join(os.fsencode(repo.work_tree or ""), path)))
    except OSError:
        return ""


def _stat(place: bytes) -> os.stat_result | None:
    """Return the stat data of what is there, or None where nothing is."""
    try:
        return os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _differs(found: os.stat_result, seconds: int, nanoseconds: int, size: int) -> bool:
    """Say whether a file is not as the index noted it."""
    noted = seconds * 1_000_000_000 + nanoseconds
    return found.st_mtime_ns != noted or found.st_size & 0xFFFFFFFF != size
