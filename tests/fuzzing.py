"""What is fuzzed: every parser of `ledger.core`, with good inputs to begin from. Used by tests/core/test_fuzz.py and scripts/fuzz.

A target takes any bytes. It returns whether they were accepted; it raises AssertionError where a parser accepts what its twin would
not write, and lets everything through that is neither FormatError nor, where that is documented, TrustError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ledger.core import canonical, checkpoint, entry, lines, merkle, note, proof, revocations, seal, signers, sshsig, tag, trailer
from ledger.core.ed25519 import check_message, check_sshsig, public_key_of, sign_message, sign_sshsig
from ledger.errors import FormatError, TrustError

SEED, WITNESS_SEED = bytes(range(32)), bytes(range(32, 64))
KEY = public_key_of(SEED)
WITNESS = note.NoteKey("witness.example/w1", note.COSIGNATURE, public_key_of(WITNESS_SEED))


class Target(NamedTuple):
    """`run` says whether a parser accepts the bytes; each of `seeds` is accepted."""

    run: Callable[[bytes], bool]
    seeds: Sequence[bytes]


def _text(data: bytes) -> str:
    """Return bytes as text of any kind: what is no UTF-8 becomes lone surrogates, which Python's strings can have."""
    return data.decode("utf-8", "surrogateescape")


def _accepts(check: Callable[[], None]) -> bool:
    try:
        check()
    except FormatError:
        return False
    return True


def _twins(parse: Callable[[bytes], Any], write: Callable[[Any], bytes]) -> Callable[[bytes], bool]:
    """Return a target: what `parse` accepts is what `write` writes, byte for byte."""

    def check(data: bytes) -> None:
        assert write(parse(data)) == data, "accepted, and spelled otherwise"

    return lambda data: _accepts(lambda: check(data))


def _text_twins(parse: Callable[[str], Any], write: Callable[[Any], str]) -> Callable[[bytes], bool]:
    def check(data: bytes) -> None:
        assert write(parse(_text(data))) == _text(data), "accepted, and spelled otherwise"

    return lambda data: _accepts(lambda: check(data))


def _only(parse: Callable[[bytes], object]) -> Callable[[bytes], bool]:
    """Return a target for a parser that has no twin."""

    def check(data: bytes) -> None:
        parse(data)

    return lambda data: _accepts(lambda: check(data))


def _check_note(data: bytes) -> None:
    parsed = note.parse_note(data)
    try:
        checkpoint.check_checkpoint(parsed, [checkpoint.log_key(LOG, KEY)], check_message, [WITNESS])
    except TrustError:
        pass


def _check_proof(data: bytes) -> None:
    parsed = proof.parse_proof(data)
    try:
        proof.check_proof(parsed, [KEY], check_message, check_sshsig, [WITNESS])
    except TrustError:
        pass


def _parse_trailers(data: bytes) -> None:
    for value, head in trailer.find_trailers(_text(data)):
        assert head is None or trailer.format_head(head) == value
    head = trailer.parse_head(_text(data))
    assert head is None or trailer.format_head(head) == _text(data)


def _parse_signers(data: bytes) -> None:
    listed = signers.parse_signers(_text(data))
    for windows in signers.trusted_keys(listed).values():
        assert windows
        signers.may_sign(windows, 0)


def _parse_revocations(data: bytes) -> None:
    said, wrong = revocations.read_revocations(_text(data))
    for (fingerprint, log), seq in said.positions.items():
        assert said.first_bad(fingerprint, log) == seq
        revocations.format_revocation(fingerprint, log, seq)
    if wrong:
        raise wrong[0]


def _format_record(record: entry.Record) -> bytes:
    return entry.format_record(record.entry_bytes, record.signature)


def _record(seq: int, log: str, prev: str) -> bytes:
    made = entry.Entry(
        v=1,
        log=log,
        seq=seq,
        prev=prev,
        key=sshsig.fingerprint(KEY),
        at="2026-01-02T03:04:05.678Z",
        kind="session.ended" if seq else "log.opened",
        source="hook",
        actor={"type": "agent", "name": "é"},
        body={"public_key": sshsig.format_public_key(KEY), "n": [1, None, True, {"x": "\x1f"}]},
        cause=0 if seq else None,
        session="s",
        payloads=(entry.PayloadRef("prompt", "ab" * 32, 3, "text/plain"),),
    )
    data = entry.format_entry(made)
    return entry.format_record(data, sign_sshsig(SEED, sshsig.ENTRY_NAMESPACE, data))


GENESIS = _record(0, "", entry.GENESIS_PREV)
LOG = entry.log_id(entry.split_record(GENESIS)[0])
RECORD = _record(1, LOG, entry.hash_record(GENESIS))
_LEAVES = [merkle.hash_leaf(GENESIS), merkle.hash_leaf(RECORD), *(bytes([n]) * 32 for n in range(5))]
_READ = merkle.build_reader(_LEAVES)
_FRONTIER = merkle.Frontier()
_FRONTIER.extend(_LEAVES)
_CHECKPOINT = checkpoint.Checkpoint(checkpoint.format_origin(LOG), len(_LEAVES), _FRONTIER.root())
_SIGNED = note.parse_note(checkpoint.sign_checkpoint(_CHECKPOINT, KEY, lambda message: sign_message(SEED, message)))
_COSIGNED = checkpoint.build_cosignature(WITNESS, _SIGNED.text, 1_767_323_100, lambda text: sign_message(WITNESS_SEED, text))
NOTE = _SIGNED._replace(signatures=(*_SIGNED.signatures, _COSIGNED))
PROOF = proof.Proof(RECORD, 1, merkle.build_inclusion(1, len(_LEAVES), _READ), NOTE)
_PRINT = sshsig.fingerprint(KEY)
_ARMOURED = sshsig.format_armoured(KEY, "git", bytes(64))
_COMMIT = seal.SealCommit("ab" * 20, ("cd" * 20,), 1_767_323_100, "Seal")
_SIGNERS = (
    signers.format_signer("ledger-ada", KEY),
    f'# x\n\n"a b" cert-authority {sshsig.format_public_key(KEY)} comment',
    f'a,b* valid-after="20260101",namespaces="*,!git",valid-before="202601020304Z" {sshsig.format_public_key(KEY)}\nc ssh-rsa AAAA',
)

TARGETS: dict[str, Target] = {
    "canonical": Target(
        _twins(canonical.parse_canonical, canonical.format_canonical), [b'{"a":[1,null,true,{"\xc3\xa9":"\\u001f"}]}']
    ),
    "entry": Target(_twins(entry.parse_entry, entry.format_entry), [entry.split_record(RECORD)[0]]),
    "record": Target(_twins(entry.parse_record, _format_record), [GENESIS, RECORD]),
    "note": Target(_twins(note.parse_note, note.format_note), [note.format_note(NOTE)]),
    "note-key": Target(_text_twins(note.parse_note_key, note.format_note_key), [note.format_note_key(WITNESS).encode()]),
    "checkpoint": Target(
        _text_twins(checkpoint.parse_checkpoint, checkpoint.format_checkpoint),
        [_SIGNED.text.encode(), _SIGNED.text.encode() + b"extension\n"],
    ),
    "cosignature": Target(_twins(checkpoint.parse_cosignature, checkpoint.format_cosignature), [_COSIGNED.data]),
    "signed-checkpoint": Target(_only(_check_note), [note.format_note(NOTE)]),
    "origin": Target(_text_twins(checkpoint.parse_origin, checkpoint.format_origin), [_CHECKPOINT.origin.encode()]),
    "frontier": Target(_text_twins(merkle.parse_frontier, merkle.format_frontier), [merkle.format_frontier(_FRONTIER).encode()]),
    "hash": Target(_text_twins(merkle.parse_hash, merkle.format_hash), [merkle.format_hash(_LEAVES[0]).encode()]),
    "count": Target(_text_twins(lambda text: lines.parse_count(text, merkle.MAX_SIZE), str), [b"0", b"9007199254740991"]),
    "proof": Target(_twins(proof.parse_proof, proof.format_proof), [proof.format_proof(PROOF)]),
    "checked-proof": Target(_only(_check_proof), [proof.format_proof(PROOF)]),
    "revocations": Target(
        _only(_parse_revocations), [b"# x\n\n%b\t*\r\n%b  %b/7\n" % (_PRINT.encode(), _PRINT.encode(), LOG.encode())]
    ),
    "signers": Target(_only(_parse_signers), [line.encode() for line in _SIGNERS]),
    "trailer": Target(
        _only(_parse_trailers),
        [b"x\n\nLedger-Entry: %b/7/%b\n" % (LOG.encode(), b"ab" * 32), b"%b/7/%b" % (LOG.encode(), b"ab" * 32)],
    ),
    "armoured": Target(_text_twins(sshsig.parse_armoured, lambda parts: sshsig.format_armoured(*parts)), [_ARMOURED.encode()]),
    "public-key": Target(_text_twins(sshsig.parse_public_key, sshsig.format_public_key), [sshsig.format_public_key(KEY).encode()]),
    "segment": Target(_twins(seal.parse_segment, seal.format_segment), [b"", GENESIS + b"\n" + RECORD + b"\n"]),
    "tree": Target(
        _twins(lambda data: seal.parse_tree(data, 40), seal.format_tree), [seal.format_tree(seal.SealTree("ab" * 20, "cd" * 20))]
    ),
    "commit": Target(_only(seal.parse_links), [seal.format_commit(_COMMIT, KEY, lambda namespace, data: bytes(64))]),
    "tag": Target(
        _only(tag.parse_tag),
        [tag.format_tag(tag.Tag("ab" * 20, "commit", "x", "heads\n"), 1_767_323_100, KEY, lambda namespace, data: bytes(64))],
    ),
    "prefix": Target(_only(lambda data: seal.parse_prefix(_text(data))), [b"refs/ledger", b"refs/heads/ledger/"]),
}
