"""What fixes a log from outside, besides commits: other logs that saw it, signed tags, witnesses; and what contradicts it.

An accusation needs the signature of the key that it accuses. One whose signature is bad falls back on whoever recorded it; one of a
key that nobody knows leaves the accuser incomplete. So nobody makes an honest log diverge who does not hold its key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from ledger.core import trailer
from ledger.core.checkpoint import Checkpoint, Witnessed, check_checkpoint, format_origin, log_key, parse_checkpoint
from ledger.core.ed25519 import check_message, check_sshsig
from ledger.core.entry import is_hex
from ledger.core.merkle import format_hash
from ledger.core.note import COSIGNATURE, NoteKey, parse_note, parse_note_key
from ledger.core.seal import NAMESPACE
from ledger.core.sshsig import fingerprint
from ledger.core.tag import MAX_TAG_BYTES, parse_tag
from ledger.errors import FormatError, TrustError
from ledger.repo.catfile import ObjectReader
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir
from ledger.verify.notes import Seen
from ledger.verify.sealed import Fork
from ledger.verify.subject import Library, Subject, is_signed
from ledger.verify.trust import Covered, Trust
from ledger.verify.verdict import Anchor, Findings

MAX_TAGS = 10_000
MAX_EVIDENCE = 100
EVIDENCE = "refs/ledger/evidence"
_AT_ONCE = 200


# --- Other logs ---------------------------------------------------------------------------------------------------------------


class _Claim(NamedTuple):
    """A well-formed `log.seen`: entry `seq` of the log `by` has this checkpoint of another log, and its note."""

    by: str
    seq: int
    checkpoint: Checkpoint
    note: bytes


def check_seen(library: Library, subjects: Mapping[str, Subject], findings: Findings) -> dict[str, list[bytes]]:
    """Hold what counted logs saw of each other against those logs; add the anchors that come of it.

    Returns, by log, the notes whose checkpoints hold: witnesses may have cosigned them.
    """
    claims: dict[str, list[_Claim]] = {}
    for subject in subjects.values():
        for seen in subject.notes.seen if subject.is_counted else ():
            claim = _read_claim(subject.log, seen)
            if claim is None:
                message = "the entry carries no well-formed checkpoint of the log that it says it saw"
                findings.add("seen.forged", subject.log, seen.seq, message)
            elif seen.log not in subjects:
                message = f"the entry saw the log {seen.log}, which is not here"
                findings.add("seen.absent-log", subject.log, seen.seq, message)
            elif seen.log != subject.log:
                claims.setdefault(seen.log, []).append(claim)
    return {log: _judge_claims(library, subjects[log], found, findings) for log, found in claims.items()}


def _read_claim(by: str, seen: Seen) -> _Claim | None:
    if type(seen.log) is not str or not is_hex(seen.log, 32) or type(seen.checkpoint) is not str:
        return None
    try:
        note = seen.checkpoint.encode("utf-8")
        checkpoint = parse_checkpoint(parse_note(note).text)
        if checkpoint.origin != format_origin(seen.log):
            return None
        same = type(seen.size) is int and seen.size == checkpoint.size and seen.root == format_hash(checkpoint.root)
    except (FormatError, UnicodeEncodeError):
        return None
    return _Claim(by, seen.seq, checkpoint, note) if same else None


def _judge_claims(library: Library, seen: Subject, claims: Sequence[_Claim], findings: Findings) -> list[bytes]:
    walked, log = seen.walked, seen.log
    library.find_roots(seen, {claim.checkpoint.size for claim in claims})
    genuine = {seal.note for seal in seen.seals}
    judged: dict[bytes, str] = {}
    held: list[bytes] = []
    for claim in claims:
        size, root = claim.checkpoint.size, claim.checkpoint.root
        if claim.note not in judged:
            judged[claim.note] = "" if claim.note in genuine else _doubt(seen, claim)
        if judged[claim.note] == "forged":
            message = f"the checkpoint of {log} that the entry carries is not signed by the key that it names"
            findings.add("seen.forged", claim.by, claim.seq, message)
            continue
        if judged[claim.note] == "unverified":
            message = f"the checkpoint of {log} that the entry carries is signed by no key that was in force there"
            findings.add("seen.unverified", claim.by, claim.seq, message)
            continue
        found = walked.frontier.root() if size == walked.frontier.size else walked.roots.get(size)
        if found == root:
            seen.anchors.append(Anchor("seen", size, f"{claim.by}/{claim.seq}"))
            held.append(claim.note)
        elif size > walked.frontier.size:
            message = f"the entry {claim.by}/{claim.seq} carries a checkpoint of this log, signed by its key, for more records"
            findings.add("seen.beyond", log, None, message, f"at least {size} records", f"{walked.frontier.size} records")
        else:
            message = f"the entry {claim.by}/{claim.seq} carries another checkpoint of {size} records, signed by this log's key"
            findings.add("seen.mismatch", log, None, message, format_hash(root), found and format_hash(found))
    return held


def _doubt(seen: Subject, claim: _Claim) -> str:
    """Return `forged` or `unverified` for a claim whose signature does not hold; empty where it does."""
    walked, log = seen.walked, seen.log
    key = walked.key_at(min(claim.checkpoint.size, walked.frontier.size))
    if is_signed(log, claim.note, key):
        return ""
    expected = None if key is None else log_key(log, key)
    names = {(signature.name, signature.key_id) for signature in parse_note(claim.note).signatures}
    return "forged" if expected is not None and (expected.name, expected.id) in names else "unverified"


# --- Signed tags --------------------------------------------------------------------------------------------------------------


class Tag(NamedTuple):
    """An annotated tag with `Ledger-Entry` lines: the ref, what the well-formed lines say, and whose signature it bears, if any."""

    ref: str
    heads: tuple[trailer.Head, ...]
    signer: bytes | None


def read_tags(repo: GitDir) -> list[Tag]:
    """Return the tags whose messages have `Ledger-Entry` lines; at most MAX_TAGS tags, the newest, are looked at."""
    form = ["--format=%(objectname) %(objecttype) %(refname)", "--sort=-creatordate", f"--count={MAX_TAGS}", "refs/tags/"]
    lines = run_git(["for-each-ref", *form], cwd=repo.git_dir).decode("utf-8", "surrogateescape").splitlines()
    named = [(oid, ref) for oid, kind, ref in (line.split(" ", 2) for line in lines) if kind == "tag"]
    tags: list[Tag] = []
    if not named:
        return tags
    with ObjectReader(repo) as reader:
        for start in range(0, len(named), _AT_ONCE):
            some = named[start : start + _AT_ONCE]
            infos = reader.infos([oid for oid, _ in some])
            small = [(info, ref) for info, (_, ref) in zip(infos, some, strict=True) if info and info.size <= MAX_TAG_BYTES]
            for (_, ref), data in zip(small, reader.take([info for info, _ in small]), strict=True):
                heads = tuple(head for _, head in trailer.find_trailers(data.decode("utf-8", "replace")) if head is not None)
                if heads:
                    tags.append(Tag(ref.encode("utf-8", "replace").decode(), heads, _signer_of(data)))
    return tags


def _signer_of(data: bytes) -> bytes | None:
    """Return the key that signed a tag's content, or None where there is no good signature that we can check."""
    try:
        tag = parse_tag(data)
        if tag.signature is None or tag.signature.namespace != NAMESPACE:
            return None
        check_sshsig(tag.signature.public_key, NAMESPACE, tag.signed, tag.signature.signature)
    except (FormatError, TrustError):
        return None
    return tag.signature.public_key


def check_tags(tags: Iterable[Tag], subjects: Mapping[str, Subject], trust: Trust, findings: Findings) -> None:
    """Hold what signed tags say against the logs; a tag counts whose key is trusted, or is that of a counted log."""
    keys = set(trust.committed or {} if trust.given is None else trust.given)
    keys |= {held.public_key for subject in subjects.values() if subject.is_counted for held in subject.walked.keys}
    for ref, heads, signer in tags:
        for head in heads:
            subject = subjects.get(head.log)
            bad = None if signer is None else trust.revocations.first_bad(fingerprint(signer), head.log)
            if signer is None or signer not in keys or (bad is not None and bad <= head.seq):
                message = f"the tag {ref} bears no signature of a key that counts"
                findings.add("tag.unchecked", head.log if subject is not None else None, head.seq, message)
            elif subject is None:
                findings.add("tag.absent-log", head.log, head.seq, f"the signed tag {ref} names a log that is not here")
            elif subject.walked.hash_at(head.seq) == head.hash:
                subject.anchors.append(Anchor("tag", head.seq + 1, ref))
            elif head.seq >= subject.walked.size:
                message = f"the signed tag {ref} names a record beyond the log: the log, or this copy of it, is cut"
                findings.add("tag.beyond", head.log, head.seq, message, head.hash, f"{subject.walked.size} records")
            else:
                found = subject.walked.hash_at(head.seq)
                findings.add("tag.mismatch", head.log, head.seq, f"the signed tag {ref} names another record", head.hash, found)


# --- Witnesses ----------------------------------------------------------------------------------------------------------------


def parse_witness(text: str) -> NoteKey:
    """Return the key of a witness as it is handed round. Raises FormatError for anything else."""
    key = parse_note_key(text)
    if key.type != COSIGNATURE:
        raise FormatError(f"{key.name} is no key that cosigns", remedy="a witness's key has the type 0x04")
    return key


def read_witnesses(repo: GitDir) -> list[NoteKey]:
    """Return the witnesses that `ledger.witness` of git's configuration names. Raises FormatError for a malformed one."""
    said = run_git(["config", "--null", "--get-all", "ledger.witness"], cwd=repo.git_dir, check=False)
    return [parse_witness(text) for text in said.decode("utf-8", "replace").split("\0") if text]


def check_witnesses(subject: Subject, seen: Iterable[bytes], witnesses: Collection[NoteKey], findings: Findings) -> list[Covered]:
    """Add an anchor for each of the `witnesses` that cosigned a checkpoint of the log, the largest; return when each did.

    Looked at are the notes of genuine seals, and those that other logs saw and that hold.
    """
    log, walked = subject.log, subject.walked
    best: dict[NoteKey, int] = {}
    covered: list[Covered] = []
    ids = {(key.name, key.id) for key in witnesses}
    for data in dict.fromkeys([*(seal.note for seal in subject.seals if seal.note), *seen]) if witnesses else ():
        note = parse_note(data)
        if not any((signature.name, signature.key_id) in ids for signature in note.signatures):
            continue
        size = parse_checkpoint(note.text).size
        found = _read_cosigners(log, data, walked.key_at(size), witnesses)
        if found is None:
            findings.add("witness.bad", log, None, f"a cosignature on the checkpoint of {size} records is not that of its witness")
        for witnessed in found or ():
            best[witnessed.key] = max(size, best.get(witnessed.key, 0))
            covered.append(Covered(witnessed.at_s, size))
    subject.anchors += [Anchor("witness", size, key.name) for key, size in best.items()]
    return covered


def _read_cosigners(log: str, note: bytes, key: bytes | None, witnesses: Iterable[NoteKey]) -> tuple[Witnessed, ...] | None:
    try:
        return check_checkpoint(parse_note(note), [] if key is None else [log_key(log, key)], check_message, witnesses).witnessed
    except (FormatError, TrustError):
        return None


# --- Evidence that was kept ---------------------------------------------------------------------------------------------------


def check_evidence(repo: GitDir, library: Library, subjects: Mapping[str, Subject], findings: Findings) -> None:
    """Report the forks of counted logs that an earlier `ledger sync` kept the evidence of, as far as they still contradict."""
    form = [f"--count={MAX_EVIDENCE}", "--format=%(objectname) %(objecttype) %(refname)", f"{EVIDENCE}/"]
    for line in run_git(["for-each-ref", *form], cwd=repo.git_dir).decode("utf-8", "replace").splitlines():
        oid, kind, ref = line.split(" ", 2)
        subject = subjects.get(ref.removeprefix(f"{EVIDENCE}/").partition("/")[0])
        if kind == "commit" and subject is not None and subject.is_counted:
            for fork in _read_forks(library, subject, oid):
                message = f"{ref} holds another history, which the log's key signed: {fork.size} records in {fork.oid}"
                findings.add("seal.fork", subject.log, None, message)


def _read_forks(library: Library, subject: Subject, tip: str) -> list[Fork]:
    """Return the checkpoints behind `tip` that contradict the log, the first one that does in each case."""
    here = subject.walked.frontier
    other = library.walk_evidence(subject.log, tip, {here.size})
    if other is None:
        return []
    forks = list(other.forks)
    library.find_roots(subject, {seal.size for seal in other.seals})
    for seal in other.seals:
        beyond = seal.size > here.size
        mine = here.root() if beyond or seal.size == here.size else subject.walked.roots.get(seal.size)
        theirs = other.walked.roots.get(here.size) if beyond else seal.root
        if mine != theirs:
            return [*forks, Fork(seal.oid, seal.size, seal.root, seal.note)]
    return forks
