"""Whose keys a log may be signed with, and why we believe it (docs/spec/verify.md, section 4).

In this order: a file that was named (`--trust`, then `git config ledger.trust`), the pin of an earlier run,
`.ledger/allowed_signers` as committed. Never the file in the work tree: the audited can write it.
"""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from ledger.core.signers import parse_signers, trusted_keys
from ledger.errors import FormatError, StoreError
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir
from ledger.store.pins import Pin
from ledger.verify.chain import Walked
from ledger.verify.verdict import Findings

COMMITTED = "HEAD:.ledger/allowed_signers"
MAX_BYTES = 4 << 20


class Trust(NamedTuple):
    """What there is to go by. `given` and `committed` are raw keys, None where there is no such file; `digest` is of the latter."""

    given: frozenset[bytes] | None
    named: str
    committed: frozenset[bytes] | None
    digest: str


def read_trust(repo: GitDir, option: str | None) -> Trust:
    """Return what this repository and this machine say of trust. Raises StoreError for a named file that cannot be read."""
    named = option or _configured(repo)
    given = None if named is None else _read_named(named, repo)
    blob = _read_committed(repo)
    committed = None if blob is None else _committed_keys(blob)
    return Trust(given, named or "", committed, "" if blob is None else hashlib.sha256(blob).hexdigest())


def judge_trust(walked: Walked, trust: Trust, pin: Pin | None, findings: Findings) -> str:
    """Return `given`, `pinned`, `repository` or `first-use` for a log, and report keys that a named file does not list."""
    if trust.given is not None:
        for held in walked.keys:
            if held.public_key not in trust.given:
                message = f"the key is not in {trust.named}, which says whom to trust"
                findings.add("key.untrusted", walked.log, min(held.seq, walked.size - 1), message, None, held.fingerprint)
        return "given"
    if pin is not None and walked.keys and pin.key == walked.keys[0].fingerprint:
        return "pinned"
    listed = trust.committed is not None and bool(walked.keys) and all(held.public_key in trust.committed for held in walked.keys)
    if trust.committed and not listed and walked.keys:
        strange = next(held for held in walked.keys if held.public_key not in trust.committed)
        message = "the key is not in .ledger/allowed_signers; `ledger keys enroll` adds it"
        findings.add("key.unlisted", walked.log, min(strange.seq, walked.size - 1), message, None, strange.fingerprint)
    return "repository" if listed else "first-use"


def check_digest(log: str, trust: Trust, known: str | None, findings: Findings) -> None:
    """Report that the committed file is not the one that the last good run saw. A file that is new is no change."""
    if known and known != trust.digest:
        message = "the committed .ledger/allowed_signers changed since the log was last verified here"
        findings.add("trust.changed", log, None, message, known, trust.digest or "no file")


def _configured(repo: GitDir) -> str | None:
    value = run_git(["config", "--type=path", "--get", "ledger.trust"], cwd=repo.git_dir, check=False)
    return os.fsdecode(value.rstrip(b"\n")) or None


def _read_named(named: str, repo: GitDir) -> frozenset[bytes]:
    path = os.path.join(repo.work_tree or repo.git_dir, named)
    try:
        with open(path, "rb") as file:
            return trusted_keys(parse_signers(file.read(MAX_BYTES).decode("utf-8")))
    except OSError as error:
        remedy = "name another with --trust FILE"
        raise StoreError(f"the trust file {path} cannot be read: {error.strerror}", remedy=remedy) from error
    except (FormatError, UnicodeDecodeError) as error:
        raise StoreError(f"the trust file {path} is malformed: {error}", remedy="see ALLOWED SIGNERS in ssh-keygen(1)") from error


def _read_committed(repo: GitDir) -> bytes | None:
    size = run_git(["cat-file", "-s", COMMITTED], cwd=repo.git_dir, check=False).strip()
    if not size.isdigit() or int(size) > MAX_BYTES:
        return None
    return run_git(["cat-file", "blob", COMMITTED], cwd=repo.git_dir, check=False)


def _committed_keys(blob: bytes) -> frozenset[bytes]:
    """Return the keys in the committed file: none where it is malformed, for whoever commits can spoil it."""
    try:
        return trusted_keys(parse_signers(blob.decode("utf-8")))
    except (FormatError, UnicodeDecodeError):
        return frozenset()
