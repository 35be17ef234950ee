"""C2SP signed notes: text with the signatures of one or more keys (c2sp.org/signed-note, docs/spec/checkpoint.md, section 2).

    <text, each line with its newline>
    <an empty line>
    — <key name> <base64 of the 4-byte key id ‖ signature>
    …

A key is known by name and id together; the id is the first 4 bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key). Signatures of
other keys are kept and reported, never judged. Of a key that is known every signature must be good, and one there must be.

`format_note` and `parse_note` are exact twins, and so are `format_note_key` and `parse_note_key`, the form in which such keys
are handed round (`<name>+<id in hex>+<base64 of type ‖ public key>`). Ed25519 itself is handed in.

Deliberately not here: keys of other algorithms. Their signatures are those of unknown keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

from ledger.core.lines import format_base64, parse_base64
from ledger.errors import FormatError, TrustError

ED25519 = 0x01  # over the text
COSIGNATURE = 0x04  # over a checkpoint and a time: core.checkpoint
MAX_NOTE_BYTES = 1 << 17  # 16 post-quantum signatures fit, which C2SP asks of every reader
MAX_SIGNATURES = 100
MAX_NAME_BYTES = 256
SIGNATURE_BYTES = 64
_KEY_ID_BYTES = 4
_DASH = "— "

# (public key, message, signature) → None, or TrustError: `core.ed25519.check_message`, handed in so that this module does
# not load the cryptography package.
CheckMessage = Callable[[bytes, bytes, bytes], None]

# (text, signature as the note has it) → the message that was signed and the 64 raw bytes; FormatError where there are none.
Unwrap = Callable[[str, bytes], tuple[bytes, bytes]]


class NoteKey(NamedTuple):
    """A raw Ed25519 public key under a name, for signatures of one type."""

    name: str
    type: int
    public_key: bytes

    @property
    def id(self) -> bytes:
        """The 4 bytes that stand before the signatures of this key."""
        data = b"%b\n%c%b" % (self.name.encode(), self.type, self.public_key)
        return sha256(data).digest()[:_KEY_ID_BYTES]


class NoteSignature(NamedTuple):
    """One signature line: the key's name, its 4-byte id, and the bytes behind the id, whatever their type makes of them."""

    name: str
    key_id: bytes
    data: bytes


class Note(NamedTuple):
    """A text, which ends in a newline, and its signatures in order."""

    text: str
    signatures: tuple[NoteSignature, ...]


class CheckedNote(NamedTuple):
    """What checking found: each good signature of a known key, in order, and those of unknown keys."""

    good: tuple[tuple[NoteKey, NoteSignature], ...]
    unknown: tuple[NoteSignature, ...]


def format_note(note: Note) -> bytes:
    """Return the bytes of a note. Raises FormatError when it is not a well-formed one."""
    _check_text(note.text)
    if not 1 <= len(note.signatures) <= MAX_SIGNATURES:
        raise FormatError(f"a note has 1 to {MAX_SIGNATURES} signatures, not {len(note.signatures)}")
    lines = [_format_signature(signature) for signature in note.signatures]
    try:
        data = "".join([note.text, "\n", *lines]).encode("utf-8")
    except UnicodeEncodeError as error:
        raise FormatError("a note has a lone surrogate, which is not Unicode text") from error
    if len(data) > MAX_NOTE_BYTES:
        raise FormatError(f"a note of {len(data)} bytes is larger than {MAX_NOTE_BYTES}")
    return data


def parse_note(data: bytes) -> Note:
    """Return the note that `data` spells. Raises FormatError for anything that `format_note` would not write."""
    if len(data) > MAX_NOTE_BYTES:
        raise FormatError(f"a note of {len(data)} bytes is larger than {MAX_NOTE_BYTES}")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"a note is not UTF-8 at byte {error.start}") from error
    # The text may have empty lines of its own, the signatures none: the last one is where they part.
    end = whole.rfind("\n\n") + 1
    if end == 0 or not whole.endswith("\n"):
        raise FormatError("a note is not a text, an empty line and signatures, each line with its newline")
    text, block = whole[:end], whole[end + 1 : -1]
    _check_text(text)
    if not block:
        raise FormatError("a note has no signature")
    if block.count("\n") >= MAX_SIGNATURES:
        raise FormatError(f"a note has more than {MAX_SIGNATURES} signatures")
    return Note(text, tuple(_parse_signature(line) for line in block.split("\n")))


def format_note_key(key: NoteKey) -> str:
    """Return a key in the form in which such keys are handed round. Raises FormatError for a malformed key."""
    _check_key(key)
    return f"{key.name}+{key.id.hex()}+{format_base64(bytes([key.type]) + key.public_key)}"


def parse_note_key(text: str) -> NoteKey:
    """Return the key that `text` spells. Raises FormatError for anything that `format_note_key` would not write."""
    name, _, rest = text.partition("+")  # a name has no plus sign, base64 may
    key_id, _, encoded = rest.partition("+")
    data = parse_base64(encoded, "a note key")
    key = NoteKey(name, data[0] if data else 0, data[1:])
    _check_key(key)
    if key.id.hex() != key_id:
        raise FormatError(f"the note key of {name} has the id {key.id.hex()}, not {key_id}")
    return key


def build_signature(key: NoteKey, text: str, sign: Callable[[bytes], bytes]) -> NoteSignature:
    """Return the signature of `key`, of type 0x01, on `text`; `sign` makes the 64 raw bytes over a message."""
    if key.type != ED25519:
        raise ValueError(f"a key of type {key.type:#04x} does not sign a bare text")
    _check_key(key)
    return NoteSignature(key.name, key.id, sign(text.encode("utf-8")))


def unwrap_ed25519(text: str, data: bytes) -> tuple[bytes, bytes]:
    """Return what a signature of type 0x01 signs, and its raw bytes."""
    if len(data) != SIGNATURE_BYTES:
        raise FormatError(f"an Ed25519 signature has {SIGNATURE_BYTES} bytes, not {len(data)}")
    return text.encode("utf-8"), data


BARE: Mapping[int, Unwrap] = {ED25519: unwrap_ed25519}


def check_note(note: Note, keys: Iterable[NoteKey], check: CheckMessage, unwraps: Mapping[int, Unwrap] = BARE) -> CheckedNote:
    """Return which signatures are good. Raises TrustError if one of a known key is not, or if no known key signed.

    `unwraps` says what each type of signature signs; keys of other types count as unknown.
    """
    # Ids are short, so somebody can make a key that shares one: where several keys fit, one of them must have signed.
    known: dict[tuple[str, bytes], list[NoteKey]] = {}
    for key in keys:
        _check_key(key)
        if key.type in unwraps:
            known.setdefault((key.name, key.id), []).append(key)
    good: list[tuple[NoteKey, NoteSignature]] = []
    unknown: list[NoteSignature] = []
    for signature in note.signatures:
        candidates = known.get((signature.name, signature.key_id))
        if candidates:
            good.append((_find_signer(candidates, note.text, signature, check, unwraps), signature))
        else:
            unknown.append(signature)
    if not good:
        raise TrustError("no known key signed the note")
    return CheckedNote(tuple(good), tuple(unknown))


def _find_signer(
    candidates: list[NoteKey], text: str, signature: NoteSignature, check: CheckMessage, unwraps: Mapping[int, Unwrap]
) -> NoteKey:
    """Return which of `candidates` made `signature`. Raises TrustError when none of them did."""
    reasons = []
    for key in candidates:
        try:
            check(key.public_key, *unwraps[key.type](text, signature.data))
        except (FormatError, TrustError) as error:
            reasons.append(error.message)
        else:
            return key
    raise TrustError(f"the signature of {signature.name} on the note is bad: {reasons[0]}")


def _format_signature(signature: NoteSignature) -> str:
    name, key_id, data = signature
    _check_name(name)
    if len(key_id) != _KEY_ID_BYTES or not data:
        raise FormatError("a signature is not a key id of 4 bytes and at least one more")
    return f"{_DASH}{name} {format_base64(key_id + data)}\n"


def _parse_signature(line: str) -> NoteSignature:
    if not line.startswith(_DASH):
        raise FormatError("a signature line does not begin with an em dash and a space")
    name, _, encoded = line[len(_DASH) :].partition(" ")
    _check_name(name)
    data = parse_base64(encoded, "a signature")
    if len(data) <= _KEY_ID_BYTES:
        raise FormatError("a signature is not a key id of 4 bytes and at least one more")
    return NoteSignature(name, data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        raise FormatError("a note's text does not end in a newline")
    if any(character < " " and character != "\n" for character in text):
        raise FormatError("a note's text has a control character")


def _check_key(key: NoteKey) -> None:
    _check_name(key.name)
    if key.type not in (ED25519, COSIGNATURE) or len(key.public_key) != 32:
        raise FormatError("a note key is not an Ed25519 key of type 0x01 or 0x04")


def _check_name(name: str) -> None:
    # str.isspace knows all of Unicode's White_Space.
    if not name or "+" in name or any(character < " " or character.isspace() for character in name):
        raise FormatError("a key name is empty, or has a space, a plus sign or a control character")
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise FormatError("a key name has a lone surrogate, which is not Unicode text") from error
    if size > MAX_NAME_BYTES:
        raise FormatError(f"a key name of {size} bytes is longer than {MAX_NAME_BYTES}")
