"""Proofs that a log holds a record, for somebody who has nothing else of it (c2sp.org/tlog-proof, docs/spec/proof.md).

    c2sp.org/tlog-proof@v1
    extra <base64 of the record>
    index <seq>
    <inclusion proof, a hash a line, from the leaf's sibling upwards>

    <the signed checkpoint, as it is>

The record rides in `extra`, where C2SP lets an application put what its leaf hash is made of; here it must be there. Nothing in a
proof is believed before `check_proof` has tied all of it to keys that the reader trusts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from ledger.core import sshsig
from ledger.core.checkpoint import SignedCheckpoint, check_checkpoint, log_key, parse_checkpoint, parse_origin
from ledger.core.entry import MAX_RECORD_BYTES, Record, log_id, parse_record
from ledger.core.lines import format_base64, parse_base64, parse_count, split_lines
from ledger.core.merkle import MAX_PROOF, MAX_SIZE, check_inclusion, format_hash, hash_leaf, parse_hash
from ledger.core.note import MAX_NOTE_BYTES, CheckMessage, Note, NoteKey, format_note, parse_note
from ledger.errors import FormatError, TrustError

HEADER = "c2sp.org/tlog-proof@v1"
_EXTRA, _INDEX = "extra ", "index "
# The header, two labelled lines, the hashes, and an empty line: what is longer is no proof.
MAX_PROOF_BYTES = 4 * (MAX_RECORD_BYTES // 3 + 1) + 45 * MAX_PROOF + MAX_NOTE_BYTES + 128

# (public key, namespace, message, signature) → None, or TrustError: `core.ed25519.check_sshsig`.
CheckEntry = Callable[[bytes, str, bytes, bytes], None]


class Proof(NamedTuple):
    """A record's bytes, its seq, the hashes of the inclusion proof, and the signed checkpoint."""

    record: bytes
    seq: int
    hashes: tuple[bytes, ...]
    note: Note


class Proven(NamedTuple):
    """What a good proof shows: this record of `log`, under this checkpoint."""

    log: str
    record: Record
    checkpoint: SignedCheckpoint


def format_proof(proof: Proof) -> bytes:
    """Return the bytes of a proof file. Raises FormatError when it is not a well-formed one."""
    if not 0 < len(proof.record) <= MAX_RECORD_BYTES or len(proof.hashes) > MAX_PROOF or not 0 <= proof.seq < MAX_SIZE:
        raise FormatError("a proof is not a record, a seq and hashes, within their limits")
    hashes = [format_hash(data) for data in proof.hashes]
    for text in hashes:
        parse_hash(text)
    parse_checkpoint(proof.note.text)
    lines = [HEADER, _EXTRA + format_base64(proof.record), f"{_INDEX}{proof.seq}", *hashes, ""]
    return "".join(line + "\n" for line in lines).encode("ascii") + format_note(proof.note)


def parse_proof(data: bytes) -> Proof:
    """Return the proof that `data` spells. Raises FormatError for anything that `format_proof` would not write."""
    if len(data) > MAX_PROOF_BYTES:
        raise FormatError(f"a proof of {len(data)} bytes is larger than {MAX_PROOF_BYTES}")
    head, _, note_bytes = data.partition(b"\n\n")  # only the note may have further empty lines
    try:
        lines = split_lines(head.decode("ascii") + "\n", 3 + MAX_PROOF)
    except UnicodeDecodeError as error:
        raise FormatError(f"a proof is not ASCII at byte {error.start}") from error
    if lines[0] != HEADER:
        raise FormatError(f"a proof does not begin with {HEADER}")
    if len(lines) < 3 or not lines[1].startswith(_EXTRA) or not lines[2].startswith(_INDEX):
        raise FormatError("a proof does not go on with its record (extra) and its seq (index)")
    record = parse_base64(lines[1].removeprefix(_EXTRA), "the record")
    if not 0 < len(record) <= MAX_RECORD_BYTES:
        raise FormatError(f"a record has 1 to {MAX_RECORD_BYTES} bytes, not {len(record)}")
    seq = parse_count(lines[2].removeprefix(_INDEX), MAX_SIZE - 1)
    hashes = tuple(parse_hash(line) for line in lines[3:])
    note = parse_note(note_bytes)
    parse_checkpoint(note.text)
    return Proof(record, seq, hashes, note)


def check_proof(
    proof: Proof,
    public_keys: Collection[bytes],
    check_message: CheckMessage,
    check_entry: CheckEntry,
    witnesses: Iterable[NoteKey] = (),
) -> Proven:
    """Return what `proof` shows to somebody who trusts the raw `public_keys` and `witnesses`.

    Raises FormatError where its record or origin is malformed, and TrustError where anything in it does not hold.
    """
    # 1. A trusted key signed the checkpoint, as this log.
    log = parse_origin(parse_checkpoint(proof.note.text).origin)
    signed = check_checkpoint(proof.note, [log_key(log, key) for key in public_keys], check_message, witnesses)
    # 2. The tree under that checkpoint has the record at that place.
    checkpoint = signed.checkpoint
    check_inclusion(proof.seq, checkpoint.size, hash_leaf(proof.record), proof.hashes, checkpoint.root)
    # 3. The record says the same of itself: its log and its place.
    record = parse_record(proof.record)
    if record.entry.seq != proof.seq:
        raise TrustError(f"the record says that it is number {record.entry.seq}, the proof that it is {proof.seq}")
    named = record.entry.log or log_id(record.entry_bytes)  # the genesis cannot name the log that is named after it
    if named != log:
        raise TrustError(f"the record is of the log {named}, the checkpoint of {log}")
    # 4. A trusted key signed it.
    for key in public_keys:
        if sshsig.fingerprint(key) == record.entry.key:
            check_entry(key, sshsig.ENTRY_NAMESPACE, record.entry_bytes, record.signature)
            return Proven(log, record, signed)
    raise TrustError(f"the record is signed by {record.entry.key}, which is not a trusted key")
