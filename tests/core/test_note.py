"""Signed notes: their one spelling, whose signatures count, and every signature that must not."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.ed25519 import check_message, public_key_of, sign_message
from ledger.core.note import (
    COSIGNATURE,
    ED25519,
    MAX_NAME_BYTES,
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    CheckedNote,
    Note,
    NoteKey,
    NoteSignature,
    build_signature,
    check_note,
    format_note,
    format_note_key,
    parse_note,
    parse_note_key,
)
from ledger.errors import FormatError, TrustError

SEEDS = [bytes([number]) * 32 for number in range(1, 5)]
KEYS = [NoteKey(f"log.example/{number}", ED25519, public_key_of(seed)) for number, seed in enumerate(SEEDS)]
TEXT = "a text\n\nwith an empty line — and a dash\n"


def sign(number: int, text: str = TEXT) -> NoteSignature:
    """Return the signature of key `number` on `text`."""
    return build_signature(KEYS[number], text, lambda message: sign_message(SEEDS[number], message))


def note_of(*numbers: int) -> Note:
    """Return the note that the keys `numbers` signed."""
    return Note(TEXT, tuple(sign(number) for number in numbers))


NOTE = note_of(0, 1)
DATA = format_note(NOTE)
LINE = DATA.partition(b"dash\n\n")[2].partition(b"\n")[0]


def test_the_form_is_text_empty_line_signatures() -> None:
    """A signature line is an em dash, the name, and base64 of the key's id and the signature."""
    key_id = sha256(KEYS[0].name.encode() + b"\n\x01" + KEYS[0].public_key).digest()[:4]
    encoded = b64encode(key_id + sign_message(SEEDS[0], TEXT.encode())).decode()
    assert format_note(note_of(0)).decode() == f"{TEXT}\n\N{EM DASH} log.example/0 {encoded}\n"
    assert KEYS[0].id == key_id


def test_known_keys_count_and_unknown_ones_are_reported() -> None:
    """Good signatures come back with their keys in order; those of strangers are kept and not judged."""
    note = note_of(2, 0, 3, 1)
    assert check_note(note, KEYS[:2], check_message) == CheckedNote(
        good=((KEYS[0], sign(0)), (KEYS[1], sign(1))), unknown=(sign(2), sign(3))
    )


def test_a_stranger_s_signature_may_be_anything() -> None:
    """What an unknown key left behind its id is neither parsed nor checked."""
    odd = NoteSignature("stranger.example", b"\0\1\2\3", b"?")
    note = parse_note(format_note(Note(TEXT, (odd, sign(0)))))
    assert check_note(note, KEYS, check_message).unknown == (odd,)


def test_only_name_and_id_together_make_a_known_key() -> None:
    """A signature that shares the name or the id alone with a known key is a stranger's."""
    good = sign(0)
    for other in (good._replace(name="other.example"), good._replace(key_id=KEYS[1].id)):
        with pytest.raises(TrustError, match="no known key"):
            check_note(Note(TEXT, (other,)), KEYS[:1], check_message)


@pytest.mark.parametrize("keys", [[], KEYS[2:]], ids=["none", "others"])
def test_a_note_that_no_known_key_signed_is_not_believed(keys: list[NoteKey]) -> None:
    """Strangers alone do not make a note."""
    with pytest.raises(TrustError, match="no known key"):
        check_note(NOTE, keys, check_message)


def test_one_bad_signature_of_a_known_key_spoils_the_note() -> None:
    """Even beside a good one, and even beside a good one of the very same key."""
    bad = sign(0)._replace(data=sign(1).data)
    for signatures in ((bad,), (sign(1), bad), (sign(0), bad), (sign(0)._replace(data=b"short"), sign(1))):
        with pytest.raises(TrustError, match=r"log\.example/0 on the note is bad"):
            check_note(Note(TEXT, signatures), KEYS, check_message)


def test_keys_that_share_an_id_do_not_hide_each_other() -> None:
    """Ids can be made to collide; the note holds if one of the keys signed, and not if none did."""

    class Twin(NoteKey):
        """A key whose id is another key's."""

        @property
        def id(self) -> bytes:
            return KEYS[0].id

    twin = Twin(KEYS[0].name, ED25519, KEYS[3].public_key)
    for keys in ([twin, KEYS[0]], [KEYS[0], twin]):
        assert check_note(note_of(0), keys, check_message).good == ((KEYS[0], sign(0)),)
    with pytest.raises(TrustError, match="is bad"):
        check_note(note_of(0), [twin], check_message)


def test_keys_of_other_types_are_unknown() -> None:
    """A cosigner's key does not sign bare notes, and is not asked to."""
    cosigner = KEYS[0]._replace(type=COSIGNATURE)
    note = Note(TEXT, (NoteSignature(cosigner.name, cosigner.id, sign(0).data), sign(1)))
    assert check_note(note, [cosigner, KEYS[1]], check_message).unknown == note.signatures[:1]
    with pytest.raises(ValueError, match="0x04"):
        build_signature(cosigner, TEXT, lambda message: b"")


def test_a_key_of_small_order_signs_nothing() -> None:
    """A public key that anybody can sign for is refused, whatever the signature."""
    weak = NoteKey("weak.example", ED25519, b"\x01" + bytes(31))
    forged = NoteSignature(weak.name, weak.id, b"\x01" + bytes(63))
    with pytest.raises(TrustError, match="small order"):
        check_note(Note(TEXT, (forged,)), [weak], check_message)


def test_every_flipped_bit_shows() -> None:
    """Whatever bit of a note is flipped: it is malformed, or not believed, or the signature became a stranger's."""
    good = check_note(NOTE, KEYS, check_message).good
    for place in range(len(DATA)):
        for bit in range(8):
            changed = bytearray(DATA)
            changed[place] ^= 1 << bit
            try:
                note = parse_note(bytes(changed))
                found = check_note(note, KEYS, check_message)
            except (FormatError, TrustError):
                continue
            assert note.text == TEXT
            assert len(found.unknown) == 1
            assert len(set(good) - set(found.good)) == 1


def test_every_truncation_shows() -> None:
    """A note cut anywhere but behind a signature is malformed."""
    for end in range(len(DATA)):
        if DATA[:end] == format_note(note_of(0)):
            continue
        with pytest.raises(FormatError):
            parse_note(DATA[:end])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\n", id="a newline"),
        pytest.param(b"text\n\n", id="no signature"),
        pytest.param(b"text\n" + LINE + b"\n", id="no empty line"),
        pytest.param(b"\n" + LINE + b"\n", id="no text"),
        pytest.param(b"text\n\n" + LINE, id="no newline at the end"),
        pytest.param(b"text\n\n" + LINE + b"\n\n", id="an empty line at the end"),
        pytest.param(b"text\n\n" + LINE + b"\nmore\n", id="a line that is no signature"),
        pytest.param(b"text\n\n" + LINE + b" \n", id="a space at the end"),
        pytest.param(b"text\n\n" + LINE + b"\r\n", id="a carriage return"),
        pytest.param(b"te\0xt\n\n" + LINE + b"\n", id="a control character"),
        pytest.param(b"te\txt\n\n" + LINE + b"\n", id="a tab"),
        pytest.param(b"te\xffxt\n\n" + LINE + b"\n", id="not UTF-8"),
        pytest.param(b"te\xed\xa0\x80xt\n\n" + LINE + b"\n", id="a surrogate"),
        pytest.param(b"text\n\n" + LINE.replace("\N{EM DASH}".encode(), b"-") + b"\n", id="a hyphen"),
        pytest.param(b"text\n\n" + LINE.replace(b"log.", b"log+") + b"\n", id="a plus sign in the name"),
        pytest.param(b"text\n\n" + LINE.replace(b"log.", "log\u00a0".encode()) + b"\n", id="a no-break space in the name"),
        pytest.param(b"text\n\n" + LINE.replace(b"log.", "log\u2003".encode()) + b"\n", id="an em space in the name"),
        pytest.param(b"text\n\n" + LINE.replace(b" log", b"  log") + b"\n", id="an empty name"),
        pytest.param(b"text\n\n" + LINE.replace(b"log.", b"l" * MAX_NAME_BYTES) + b"\n", id="a long name"),
        pytest.param(b"text\n\n" + LINE[:-1] + b"\n", id="short base64"),
        pytest.param(b"text\n\n" + LINE + b"=\n", id="more padding"),
        pytest.param(b"text\n\n" + LINE.replace(b"=", b"-") + b"\n", id="the URL alphabet"),
        pytest.param("text\n\n\N{EM DASH} name AAAAAA==\n".encode(), id="a key id and nothing behind it"),
        pytest.param("text\n\n\N{EM DASH} name AAA=\n".encode(), id="half a key id"),
        pytest.param("text\n\n\N{EM DASH} name AAAAAAB=\n".encode(), id="loose last bits"),
        pytest.param("text\n\n\N{EM DASH} name\n".encode(), id="a name alone"),
        pytest.param(b"text\n\n" + (LINE + b"\n") * (MAX_SIGNATURES + 1), id="101 signatures"),
        pytest.param(b"x" * MAX_NOTE_BYTES + b"\n\n" + LINE + b"\n", id="too large"),
    ],
)
def test_malformed_notes_are_refused(data: bytes) -> None:
    """Anything that would not be written is not read."""
    with pytest.raises(FormatError):
        parse_note(data)


def test_the_limits_are_wide_enough() -> None:
    """A hundred signatures are read, and sixteen of 5,000 bytes, as post-quantum ones have."""
    many = Note(TEXT, (sign(0),) * MAX_SIGNATURES)
    assert parse_note(format_note(many)) == many
    large = Note(TEXT, tuple(NoteSignature(f"pq.example/{number}", b"\0\1\2\3", bytes(5000)) for number in range(16)))
    assert parse_note(format_note(large)) == large


@pytest.mark.parametrize(
    "note",
    [
        pytest.param(Note(TEXT, ()), id="no signature"),
        pytest.param(Note(TEXT, (sign(0),) * (MAX_SIGNATURES + 1)), id="too many signatures"),
        pytest.param(Note("", (sign(0),)), id="no text"),
        pytest.param(Note("text", (sign(0),)), id="no newline"),
        pytest.param(Note("te\rxt\n", (sign(0),)), id="a control character"),
        pytest.param(Note("te\ud800xt\n", (sign(0),)), id="a lone surrogate"),
        pytest.param(Note("x" * MAX_NOTE_BYTES + "\n", (sign(0),)), id="too large"),
        pytest.param(Note(TEXT, (NoteSignature("a b", b"1234", b"x"),)), id="a space in the name"),
        pytest.param(Note(TEXT, (NoteSignature("a\ud800", b"1234", b"x"),)), id="a lone surrogate in the name"),
        pytest.param(Note(TEXT, (NoteSignature("", b"1234", b"x"),)), id="no name"),
        pytest.param(Note(TEXT, (NoteSignature("a", b"123", b"x"),)), id="a short key id"),
        pytest.param(Note(TEXT, (NoteSignature("a", b"1234", b""),)), id="no signature bytes"),
    ],
)
def test_malformed_notes_are_not_written(note: Note) -> None:
    """What could not be read back is refused before it is written."""
    with pytest.raises(FormatError):
        format_note(note)


def test_note_keys_are_twins() -> None:
    """The form in which keys are handed round comes back as the same key, with base64's own plus signs in it."""
    for key in (*KEYS, NoteKey("plus.example", COSIGNATURE, b"\xfb\xef\xbe" * 10 + b"\0\0")):
        text = format_note_key(key)
        assert text.startswith(f"{key.name}+{key.id.hex()}+")
        assert parse_note_key(text) == key
        for end in range(len(text)):
            with pytest.raises(FormatError):
                parse_note_key(text[:end])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(format_note_key(KEYS[0]).replace("log.", "lag."), id="an id of another name"),
        pytest.param(format_note_key(KEYS[0]).replace(KEYS[0].id.hex(), "00000000"), id="another id"),
        pytest.param(format_note_key(KEYS[0]).upper(), id="upper case"),
        pytest.param(format_note_key(KEYS[0]) + "=", id="more padding"),
        pytest.param("+" + format_note_key(KEYS[0]), id="no name"),
        pytest.param("name+00000000+" + b64encode(b"\x02" + bytes(32)).decode(), id="another algorithm"),
        pytest.param("name+00000000+" + b64encode(b"\x01" + bytes(31)).decode(), id="a short key"),
        pytest.param("name+00000000+", id="no key"),
    ],
)
def test_other_note_keys_are_refused(text: str) -> None:
    """Anything that would not be written is not read."""
    with pytest.raises(FormatError):
        parse_note_key(text)


@pytest.mark.parametrize("key", [NoteKey("a b", 1, bytes(32)), NoteKey("a", 2, bytes(32)), NoteKey("a", 1, b"")], ids=str)
def test_malformed_keys_are_not_used(key: NoteKey) -> None:
    """Neither written nor checked with."""
    with pytest.raises(FormatError):
        format_note_key(key)
    with pytest.raises(FormatError):
        check_note(NOTE, [key], check_message)


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="+"), min_size=1, max_size=40)
SIGNATURES = st.builds(NoteSignature, NAMES, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80))
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=80).map(lambda text: text + "\n")


@settings(derandomize=True, deadline=None)
@given(TEXTS, st.lists(SIGNATURES, min_size=1, max_size=5))
def test_notes_are_twins(text: str, signatures: list[NoteSignature]) -> None:
    """What was formatted parses to the same note, whatever empty lines and dashes its text has."""
    note = Note(text, tuple(signatures))
    assert parse_note(format_note(note)) == note


PIECES = st.sampled_from(
    [b"text\n", b"\n", b"\n\n", LINE, LINE + b"\n", "\N{EM DASH} ".encode(), b" ", b"+", b"AAAA", b"\xff", b"\0"]
)


@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.binary(max_size=200) | st.lists(PIECES, max_size=12).map(b"".join))
def test_any_bytes_are_a_note_or_malformed(data: bytes) -> None:
    """Whatever is read is FormatError, or formats back to the very same bytes."""
    try:
        note = parse_note(data)
    except FormatError:
        return
    assert format_note(note) == data


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text(max_size=120) | st.from_regex(r"[a-z]{1,3}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}", fullmatch=True))
def test_any_text_is_a_note_key_or_malformed(text: str) -> None:
    """Whatever is read is FormatError, or formats back to the very same text."""
    try:
        key = parse_note_key(text)
    except FormatError:
        return
    assert format_note_key(key) == text
