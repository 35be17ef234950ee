"""Lines in `info/exclude`, which keep what we create in the work tree out of `git status`."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ledger.install.files import Content, read_content

_SPECIAL = "\\*?[!# "


def exclude_path(common_dir: str) -> str:
    """Return the path of the repository's exclude file."""
    return os.path.join(common_dir, "info", "exclude")


def exclude_line(work_tree: str, path: str) -> str:
    """Return the line that excludes exactly the absolute `path`."""
    relative = os.path.relpath(path, work_tree).replace(os.sep, "/")
    return "/" + "".join("\\" + character if character in _SPECIAL else character for character in relative)


def add_lines(before: Content | None, lines: Iterable[str]) -> Content | None:
    """Return the exclude file with `lines` at its end, without those it has already."""
    data = before.data if before else b""
    have = set(data.splitlines())
    missing = [line for line in map(os.fsencode, dict.fromkeys(lines)) if line not in have]
    if not missing:
        return before
    if data and not data.endswith(b"\n"):
        data += b"\n"
    return Content(data + b"".join(line + b"\n" for line in missing), before.mode if before else 0o644)


def drop_lines(data: bytes, lines: Iterable[str]) -> bytes:
    """Return the exclude file's bytes without `lines`."""
    gone = {os.fsencode(line) for line in lines}
    return b"".join(line for line in data.splitlines(keepends=True) if line.rstrip(b"\r\n") not in gone)


def read_exclude(common_dir: str) -> Content | None:
    """Return the exclude file, or None."""
    return read_content(exclude_path(common_dir))
