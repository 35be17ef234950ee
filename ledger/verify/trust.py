"""Whose keys a log may be signed with, and why we believe it (docs/spec/verify.md, section 4).

In this order: a file that was named (`--trust`, then `git config ledger.trust`), the pin of an earlier run,
`.ledger/allowed_signers` as committed. Never the file in the work tree: the audited can write it.

What takes trust away again: the windows in which those files let a key sign, and `.ledger/revocations` as committed, which counts
whatever the trust comes from.
"""

from __future__ import annotations

import hashlib
import os
from calendar import timegm
from collections.abc import Iterable, Mapping
from time import gmtime, strftime
from typing import NamedTuple

from ledger.core import revocations as revoked
from ledger.core.revocations import Revocations, read_revocations
from ledger.core.signers import Window, is_over, may_sign, parse_signers, trusted_keys
from ledger.errors import FormatError, StoreError
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir
from ledger.store.pins import Pin
from ledger.verify.chain import Walked
from ledger.verify.known import Held
from ledger.verify.verdict import Findings

COMMITTED = "HEAD:.ledger/allowed_signers"
COMMITTED_REVOCATIONS = "HEAD:.ledger/revocations"
MAX_BYTES = 4 << 20

Keys = Mapping[bytes, tuple[Window, ...]]  # raw keys, each with the windows in which it may sign


class Trust(NamedTuple):
    """What there is to go by. `given` and `committed` are keys, None where there is no such file.

    `digest` is that of what is committed, empty where nothing is; `malformed` are sentences about the committed revocations.
    """

    given: Keys | None
    named: str
    committed: Keys | None
    digest: str
    revocations: Revocations = revoked.NONE
    malformed: tuple[str, ...] = ()


class Covered(NamedTuple):
    """Somebody whose clock we believe saw the first `size` records of a log at `at_s`: a pin of this machine, or a witness."""

    at_s: int
    size: int


def read_trust(repo: GitDir, option: str | None) -> Trust:
    """Return what this repository and this machine say of trust. Raises StoreError for a named file that cannot be read."""
    named = option or _configured(repo)
    given = None if named is None else read_signers(os.path.join(repo.work_tree or repo.git_dir, named))
    signers = _read_committed(repo, COMMITTED)
    committed = None if signers is None else _committed_keys(signers)
    lines = _read_committed(repo, COMMITTED_REVOCATIONS)
    revocations, wrong = revoked.NONE, list[FormatError]()
    if lines is not None:
        revocations, wrong = read_revocations(lines.decode("utf-8", "replace"))
    malformed = tuple(error.message for error in wrong)
    return Trust(given, named or "", committed, _digest(signers, lines), revocations, malformed)


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
    """Report that the committed files are not those that the last good run saw. Where there were none, new ones are no change."""
    if known and known != trust.digest:
        message = "the committed .ledger/allowed_signers or .ledger/revocations changed since the log was last verified here"
        findings.add("trust.changed", log, None, message, known, trust.digest or "no file")


def check_revocations(trust: Trust, findings: Findings) -> None:
    """Report lines of the committed revocations that say nothing; once for a run, for the file is about no log in particular."""
    if trust.malformed:
        more = "" if len(trust.malformed) == 1 else f", and {len(trust.malformed) - 1} more"
        message = f"{trust.malformed[0]}{more}; the other lines count"
        findings.add("revocations.malformed", None, None, message)


def check_revoked(walked: Walked, trust: Trust, findings: Findings) -> None:
    """Report each key of a walked log that signed a record for which, as the committed revocations say, it does not count."""
    for held, end in _spans(walked):
        bad = trust.revocations.first_bad(held.fingerprint, walked.log)
        if bad is not None and end > max(bad, held.seq):
            message = "the key that signed this is revoked" + (f" from {walked.log}/{bad} on" if bad else "")
            expected = "another key" if bad <= held.seq else f"no record {bad} by this key"
            findings.add("key.revoked", walked.log, max(bad, held.seq), message, expected, held.fingerprint)


def check_windows(walked: Walked, trust: Trust, covered: Iterable[Covered], now_s: int, findings: Findings) -> None:
    """Report each key of a walked log that signed, or still signs, outside the windows that the trusted file gives it.

    `now_s` is the verifier's clock. Held against the windows are the claimed times at both ends of what a key signed; where they
    are inside, and it is not in force any more, its successor vouches for the rest. Of the key in force at the end it also
    counts whether it may still sign: whoever got hold of an expired key would claim an older time. There `covered` speaks
    for it, what was seen while the key was good.
    """
    keys = trust.committed if trust.given is None else trust.given
    if keys is None:
        return
    spans = _spans(walked)
    for held, end in spans:
        windows = keys.get(held.public_key)
        if windows is None or end <= held.seq:
            continue  # whether it is trusted at all is judge_trust's question; a key that signed nothing claims no time
        strange = next((at for at in (held.first_at, held.last_at) if at and not may_sign(windows, seconds_of(at))), None)
        if strange is not None:
            message = "the key signed an entry outside the time in which it may, by the entry's own claim"
            findings.add("key.window", walked.log, held.seq, message, say_windows(windows), strange)
        elif (held, end) == spans[-1] and is_over(windows, now_s) and not _is_covered(windows, walked.size, covered):
            message = "the key in force may sign no more, and nobody saw all of the log while it might"
            findings.add("key.expired", walked.log, walked.size - 1, message, say_windows(windows), held.fingerprint)


def _spans(walked: Walked) -> list[tuple[Held, int]]:
    """Return each key of a log with the seq behind the last record that it had to sign."""
    ends = [*(held.seq for held in walked.keys[1:]), walked.size]
    return [(held, min(end, walked.size)) for held, end in zip(walked.keys, ends, strict=True)] if walked.keys else []


def _is_covered(windows: tuple[Window, ...], size: int, covered: Iterable[Covered]) -> bool:
    return any(seen.size >= size and may_sign(windows, seen.at_s) for seen in covered)


def seconds_of(at: str) -> int:
    """Return the whole seconds since 1970 of an entry's `at`, whose form was checked."""
    return timegm((int(at[:4]), int(at[5:7]), int(at[8:10]), int(at[11:13]), int(at[14:16]), int(at[17:19])))


def say_windows(windows: tuple[Window, ...]) -> str:
    """Return when a key may sign, in words."""
    return " or ".join(f"{_say_time(window.after_s)} to {_say_time(window.before_s)}" for window in windows)


def _say_time(at_s: int | None) -> str:
    return "ever" if at_s is None else strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(at_s))


def _configured(repo: GitDir) -> str | None:
    value = run_git(["config", "--type=path", "--get", "ledger.trust"], cwd=repo.git_dir, check=False)
    return os.fsdecode(value.rstrip(b"\n")) or None


def read_signers(path: str) -> Keys:
    """Return the keys in a file of allowed signers. Raises StoreError where it cannot be read or is malformed."""
    try:
        with open(path, "rb") as file:
            return trusted_keys(parse_signers(file.read(MAX_BYTES).decode("utf-8")))
    except OSError as error:
        remedy = "name another with --trust FILE"
        raise StoreError(f"the trust file {path} cannot be read: {error.strerror}", remedy=remedy) from error
    except (FormatError, UnicodeDecodeError) as error:
        raise StoreError(f"the trust file {path} is malformed: {error}", remedy="see ALLOWED SIGNERS in ssh-keygen(1)") from error


def _read_committed(repo: GitDir, name: str) -> bytes | None:
    size = run_git(["cat-file", "-s", name], cwd=repo.git_dir, check=False).strip()
    if not size.isdigit() or int(size) > MAX_BYTES:
        return None
    return run_git(["cat-file", "blob", name], cwd=repo.git_dir, check=False)


def _committed_keys(blob: bytes) -> Keys:
    """Return the keys in the committed file: none where it is malformed, for whoever commits can spoil it."""
    try:
        return trusted_keys(parse_signers(blob.decode("utf-8")))
    except (FormatError, UnicodeDecodeError):
        return {}


def _digest(signers: bytes | None, revocations: bytes | None) -> str:
    """Return the SHA-256 of what is committed: of the signers alone, or of the digests of both."""
    if revocations is None:
        return "" if signers is None else hashlib.sha256(signers).hexdigest()
    return hashlib.sha256(b"".join(hashlib.sha256(part or b"").digest() for part in (signers, revocations))).hexdigest()
