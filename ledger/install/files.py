"""Files of other people: read whole, replaced whole, put back as they were.

A file is written aside in its own folder, synced and renamed into place, so a crash leaves the old one or the new one, and
perhaps a `*.ledger-<pid>` beside it. Its mode is kept. Links are followed by the caller, who decides whether they may be.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import NamedTuple

from ledger.errors import Refused
from ledger.store.state import store_error

MAX_BYTES = 8 << 20


class Content(NamedTuple):
    """A regular file's bytes and permission bits."""

    data: bytes
    mode: int


def digest(data: bytes) -> str:
    """Return SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def read_content(path: str) -> Content | None:
    """Return the file at `path`, or None where there is nothing. Raises Refused for anything but a regular file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}", remedy="make it readable, or move it away") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
            raise Refused(f"{path} is not a file of at most {MAX_BYTES} bytes", remedy="move it away and try again")
        return Content(file.read(), stat.S_IMODE(found.st_mode))


def write_content(path: str, content: Content) -> None:
    """Replace the file at `path`, or make it. Raises StoreError."""
    aside = f"{path}.ledger-{os.getpid()}"
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.data)
                os.fchmod(file.fileno(), content.mode)
                file.flush()
                os.fsync(file.fileno())
            os.rename(aside, path)
        except OSError:
            os.unlink(aside)
            raise
    except OSError as error:
        raise store_error(error, path) from error


def remove_file(path: str) -> None:
    """Remove a file, if it is there. Raises StoreError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise store_error(error, path) from error


def missing_folders(path: str) -> list[str]:
    """Return the folders that must be made for `path` (itself a folder) to be there, outermost first."""
    missing: list[str] = []
    while not os.path.lexists(path):
        missing.insert(0, path)
        path = os.path.dirname(path)
    return missing


def lies_within(path: str, folder: str) -> bool:
    """Say whether `path` is `folder` or lies in it; both absolute, neither resolved here."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
