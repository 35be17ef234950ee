"""Writing the line that lets a key sign entries into `.ledger/allowed_signers` of the work tree, or one that revokes it into
`.ledger/revocations`.

The work tree belongs to whoever works in it, so no link in it is followed. The file is written aside and renamed into place; a
crash leaves the old one or the new one, and perhaps `<name>.tmp-<pid>`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable

from ledger.core.canonical import MAX_INTEGER
from ledger.core.revocations import Revocations, format_revocation, parse_revocations
from ledger.core.signers import Signer, format_signer, parse_signers, trusted_keys
from ledger.core.sshsig import check_public_key
from ledger.errors import FormatError, Refused, TrustError
from ledger.store.state import store_error

FOLDER = ".ledger"
NAME = "allowed_signers"
REVOCATIONS = "revocations"
_MAX_BYTES = 4 << 20
_odd = re.compile(r"[^A-Za-z0-9._@-]+")


def principal_for(who: str) -> str:
    """Return the principal under which the ledger of `who` signs; odd characters become hyphens."""
    return f"ledger-{_odd.sub('-', who).strip('-') or 'unknown'}"


def enroll(work_tree: str, principal: str, public_key: bytes) -> tuple[str, bool]:
    """Append the key's line to the work tree's file unless the key may sign entries already; return the line, and whether.

    Raises Refused for a key that identifies nobody, a link, or a file that OpenSSH could not read; StoreError.
    """
    try:
        check_public_key(public_key)
    except TrustError as error:
        raise Refused(f"the key is not enrolled: {error.message}", remedy="make another with `ledger keys rotate`") from error
    line = format_signer(principal, public_key)
    return line, _append(work_tree, NAME, line, lambda before, path: public_key in trusted_keys(_parse(before, path)))


def revoke(work_tree: str, fingerprint: str, log: str | None, seq: int | None) -> tuple[str, bool]:
    """Append a revocation to the work tree's file unless it says as much already; return the line, and whether.

    Revoked is the key with this fingerprint from record `seq` of `log` on, or in every log where both are None. Raises Refused for
    a link or a malformed file; StoreError.
    """
    line = format_revocation(fingerprint, log, seq)

    def says_so(before: bytes, path: str) -> bool:
        revocations = _parse_revocations(before, path)
        if log is None:
            return fingerprint in revocations.everywhere
        return revocations.positions.get((fingerprint, log), MAX_INTEGER + 1) <= (seq or 0)

    return line, _append(work_tree, REVOCATIONS, line, says_so)


def _append(work_tree: str, name: str, line: str, says_so: Callable[[bytes, str], bool]) -> bool:
    """Append `line` to a file of the folder unless what is there (bytes, and the path for messages) says so; return whether."""
    path = os.path.join(work_tree, FOLDER, name)
    try:
        folder = _open_folder(work_tree)
        try:
            before = _read(folder, name, path)
            if says_so(before, path):
                return False
            gap = b"" if not before or before.endswith(b"\n") else b"\n"
            _replace(folder, name, before + gap + line.encode("ascii") + b"\n")
        finally:
            os.close(folder)
    except OSError as error:
        raise store_error(error, path) from error
    return True


def _open_folder(work_tree: str) -> int:
    path = os.path.join(work_tree, FOLDER)
    try:
        os.mkdir(path)
    except FileExistsError:
        pass
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"{path} is no folder, or a link: nothing was written", remedy="move it away and try again") from error


def _read(folder: int, name: str, path: str) -> bytes:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise Refused(f"{path} is a link, or cannot be read: nothing was written", remedy="move it away and try again") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_BYTES:
            raise Refused(f"{path} is no ordinary file: nothing was written", remedy="move it away and try again")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _parse(data: bytes, path: str) -> list[Signer]:
    try:
        return parse_signers(data.decode("utf-8"))
    except (FormatError, UnicodeDecodeError) as error:
        remedy = "see ALLOWED SIGNERS in ssh-keygen(1)"
        raise Refused(f"{path} is malformed, so nothing was added: {error}", remedy=remedy) from error


def _parse_revocations(data: bytes, path: str) -> Revocations:
    try:
        return parse_revocations(data.decode("utf-8"))
    except (FormatError, UnicodeDecodeError) as error:
        raise Refused(f"{path} is malformed, so nothing was added: {error}", remedy="correct the line, or take it out") from error


def _replace(folder: int, name: str, data: bytes) -> None:
    aside = f"{name}.tmp-{os.getpid()}"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
