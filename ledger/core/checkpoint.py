"""C2SP checkpoints: a log's size and root, signed (c2sp.org/tlog-checkpoint, docs/spec/checkpoint.md, sections 3 and 4).

The text of the note is

    git-ledger/<log>            the origin, and the name of the key that signs
    <size>                      the number of records, in decimal
    <root>                      RFC 6962, in base64
    <extension lines>           opaque; our logs write none

The log's key signs the text as it is (type 0x01). A witness adds a *cosignature* (type 0x04, c2sp.org/tlog-cosignature): a
time, and a signature over that time and the text, by which it says that it saw this log only ever grow. Its form in the note is
the time in seconds since 1970 as 8 big-endian bytes, then the 64 raw bytes.

Deliberately not here: ML-DSA-44 cosignatures (type 0x06). They are reported with those of unknown keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ledger.core.entry import is_hex
from ledger.core.lines import parse_count, split_lines
from ledger.core.merkle import MAX_SIZE, format_hash, parse_hash
from ledger.core.note import (
    BARE,
    COSIGNATURE,
    ED25519,
    MAX_NOTE_BYTES,
    SIGNATURE_BYTES,
    CheckMessage,
    Note,
    NoteKey,
    NoteSignature,
    Unwrap,
    build_signature,
    check_note,
    format_note,
)
from ledger.errors import FormatError, TrustError

ORIGIN_PREFIX = "git-ledger/"
MAX_EXTENSIONS = 16
MAX_TIME_S = 2**63 - 1
_TIME_BYTES = 8


class Checkpoint(NamedTuple):
    """What a checkpoint says: the log's origin, the number of its records, their root, and lines that say nothing to us."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


class Cosignature(NamedTuple):
    """A witness's word: when it was given, in seconds since 1970 by the witness's clock, and the 64 raw bytes."""

    at_s: int
    signature: bytes


class Witnessed(NamedTuple):
    """A good cosignature: whose key made it, and when."""

    key: NoteKey
    at_s: int


class SignedCheckpoint(NamedTuple):
    """A checkpoint that the log's key signed, the good cosignatures of known witnesses, and the signatures of unknown keys.

    One witness may have cosigned twice: to count witnesses, count distinct keys.
    """

    checkpoint: Checkpoint
    witnessed: tuple[Witnessed, ...]
    unknown: tuple[NoteSignature, ...]


def format_origin(log: str) -> str:
    """Return the origin of a log of ours, which is also the name of its keys in notes."""
    if not is_hex(log, 32):
        raise ValueError(f"{log!r} is not the name of a log")
    return ORIGIN_PREFIX + log


def parse_origin(origin: str) -> str:
    """Return the log that `origin` names. Raises FormatError for anything that `format_origin` would not write."""
    log = origin.removeprefix(ORIGIN_PREFIX)
    if log == origin or not is_hex(log, 32):
        raise FormatError("the origin is not that of a ledger's log")
    return log


def log_key(log: str, public_key: bytes) -> NoteKey:
    """Return the note key of a log that `public_key` (32 raw bytes) signs."""
    return NoteKey(format_origin(log), ED25519, public_key)


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the text of a checkpoint. Raises FormatError when it is not a well-formed one."""
    text = "\n".join([checkpoint.origin, str(checkpoint.size), format_hash(checkpoint.root), *checkpoint.extensions]) + "\n"
    if parse_checkpoint(text) != checkpoint:  # a newline in the origin or an extension would shift what stands where
        raise FormatError("the lines of a checkpoint have newlines of their own")
    return text


def parse_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint that `text` spells. Raises FormatError for anything that `format_checkpoint` would not write."""
    if len(text) > MAX_NOTE_BYTES or any(character < " " and character != "\n" for character in text):
        raise FormatError("a checkpoint is too large, or has a control character")
    lines = split_lines(text, 3 + MAX_EXTENSIONS)
    if len(lines) < 3 or not all(lines):
        raise FormatError("a checkpoint is not an origin, a size, a root and extensions, none of them empty")
    origin, size, root, *extensions = lines
    return Checkpoint(origin, parse_count(size, MAX_SIZE), parse_hash(root), tuple(extensions))


def sign_checkpoint(checkpoint: Checkpoint, public_key: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """Return the signed note of a checkpoint of ours; `sign` makes the 64 raw Ed25519 bytes of `public_key` over a message."""
    text = format_checkpoint(checkpoint)
    key = NoteKey(checkpoint.origin, ED25519, public_key)
    return format_note(Note(text, (build_signature(key, text, sign),)))


def format_cosignature(cosignature: Cosignature) -> bytes:
    """Return the bytes behind the key id of a cosignature. Raises FormatError for a malformed one."""
    if not 0 <= cosignature.at_s <= MAX_TIME_S or len(cosignature.signature) != SIGNATURE_BYTES:
        raise FormatError("a cosignature is not a time below 2^63 and 64 bytes")
    return cosignature.at_s.to_bytes(_TIME_BYTES, "big") + cosignature.signature


def parse_cosignature(data: bytes) -> Cosignature:
    """Return the cosignature that `data` spells. Raises FormatError for anything that `format_cosignature` would not write."""
    cosignature = Cosignature(int.from_bytes(data[:_TIME_BYTES], "big"), data[_TIME_BYTES:])
    format_cosignature(cosignature)
    return cosignature


def format_cosigned(text: str, at_s: int) -> bytes:
    """Return the message that a witness signs: the checkpoint's `text` behind two lines of its own."""
    return f"cosignature/v1\ntime {at_s}\n{text}".encode()


def build_cosignature(key: NoteKey, text: str, at_s: int, sign: Callable[[bytes], bytes]) -> NoteSignature:
    """Return the cosignature of the witness `key`, of type 0x04, on a checkpoint's `text`, given at `at_s`."""
    if key.type != COSIGNATURE:
        raise ValueError(f"a key of type {key.type:#04x} does not cosign")
    parse_checkpoint(text)
    return NoteSignature(key.name, key.id, format_cosignature(Cosignature(at_s, sign(format_cosigned(text, at_s)))))


def unwrap_cosignature(text: str, data: bytes) -> tuple[bytes, bytes]:
    """Return what a signature of type 0x04 signs, and its raw bytes. Only a checkpoint can be cosigned."""
    parse_checkpoint(text)
    at_s, signature = parse_cosignature(data)
    return format_cosigned(text, at_s), signature


UNWRAPS: Mapping[int, Unwrap] = {**BARE, COSIGNATURE: unwrap_cosignature}


def check_checkpoint(
    note: Note, keys: Iterable[NoteKey], check: CheckMessage, witnesses: Iterable[NoteKey] = ()
) -> SignedCheckpoint:
    """Return the checkpoint in `note` and who witnessed it.

    Raises FormatError when the note is no checkpoint, and TrustError unless one of the log's `keys`, of type 0x01 and named as
    the origin is, signed it, and every signature of a key that is known is good.
    """
    checkpoint = parse_checkpoint(note.text)
    # 1. Only keys of this very origin speak for the log, and only keys of type 0x04 for a witness.
    logs = [key for key in keys if key.type == ED25519 and key.name == checkpoint.origin]
    cosigners = [key for key in witnesses if key.type == COSIGNATURE]
    # 2. Every signature of a known key is good.
    good, unknown = check_note(note, [*logs, *cosigners], check, UNWRAPS)
    # 3. One of them is the log's.
    if not any(key.type == ED25519 for key, _ in good):
        raise TrustError(f"no known key of {checkpoint.origin} signed the checkpoint")
    witnessed = [Witnessed(key, parse_cosignature(signature.data).at_s) for key, signature in good if key.type == COSIGNATURE]
    return SignedCheckpoint(checkpoint, tuple(witnessed), unknown)
