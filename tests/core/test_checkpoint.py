"""Checkpoints and cosignatures: their one spelling, who may speak for a log, and who witnessed it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import VECTORS, find_vectors

from ledger.core.checkpoint import (
    MAX_EXTENSIONS,
    MAX_TIME_S,
    UNWRAPS,
    Checkpoint,
    Cosignature,
    Witnessed,
    build_cosignature,
    check_checkpoint,
    format_checkpoint,
    format_cosignature,
    format_cosigned,
    format_origin,
    log_key,
    parse_checkpoint,
    parse_cosignature,
    parse_origin,
    sign_checkpoint,
)
from ledger.core.ed25519 import check_message, public_key_of, sign_message
from ledger.core.merkle import (
    MAX_SIZE,
    Frontier,
    build_consistency,
    build_inclusion,
    build_reader,
    format_frontier,
    format_hash,
    hash_leaf,
)
from ledger.core.note import (
    COSIGNATURE,
    ED25519,
    Note,
    NoteKey,
    NoteSignature,
    check_note,
    format_note,
    format_note_key,
    parse_note,
    parse_note_key,
)
from ledger.errors import FormatError, TrustError

SPEC = Path(__file__).resolve().parents[2] / "docs" / "spec"
EXAMPLE = (SPEC / "checkpoint.md").read_text("utf-8").partition("## 5. Worked example")[2]
RECORDS = [
    line.strip().encode() for line in (SPEC / "entry.md").read_text("utf-8").splitlines() if line.startswith('    {"entry":{"a')
]

LOG = "b8dff7e6f1940f5173aa3bbc5bf88f83"
SEED, WITNESS_SEED = bytes(range(32)), bytes(range(32, 64))
PUBLIC_KEY = public_key_of(SEED)
KEY = log_key(LOG, PUBLIC_KEY)
WITNESS = NoteKey("witness.example/w1", COSIGNATURE, public_key_of(WITNESS_SEED))
AT_S = 1767323100
ROOT = bytes(range(32))
CHECKPOINT = Checkpoint(format_origin(LOG), 20852163, ROOT)
TEXT = format_checkpoint(CHECKPOINT)


def sign(message: bytes) -> bytes:
    """Sign as the log."""
    return sign_message(SEED, message)


def cosign(message: bytes) -> bytes:
    """Sign as the witness."""
    return sign_message(WITNESS_SEED, message)


def cosigned(checkpoint: Checkpoint = CHECKPOINT) -> Note:
    """Return the note of `checkpoint`, signed and cosigned."""
    note = parse_note(sign_checkpoint(checkpoint, PUBLIC_KEY, sign))
    return Note(note.text, (*note.signatures, build_cosignature(WITNESS, note.text, AT_S, cosign)))


# --- the worked example of docs/spec/checkpoint.md


def indented(text: str) -> str:
    """Return `text` as an example on a page shows it."""
    return re.sub(r"^(?=.)", "    ", text, flags=re.MULTILINE)


def example_frontier() -> Frontier:
    """Return the frontier over the records of docs/spec/entry.md."""
    frontier = Frontier()
    frontier.extend(map(hash_leaf, RECORDS))
    return frontier


def example_note() -> Note:
    """Return the example's checkpoint, cosigned."""
    return cosigned(Checkpoint(format_origin(LOG), 2, example_frontier().root()))


def test_the_example_s_tree_is_the_page_s() -> None:
    """Leaf hashes and frontier stand on the page as they are computed, and its sentence on the proofs is true."""
    leaves = [hash_leaf(record) for record in RECORDS]
    assert indented("".join(format_hash(leaf) + "\n" for leaf in leaves)) in EXAMPLE
    assert indented(format_frontier(example_frontier())) in EXAMPLE
    read = build_reader(leaves)
    assert [build_inclusion(index, 2, read) for index in (0, 1)] == [(leaves[1],), (leaves[0],)]
    assert build_consistency(1, 2, read) == (leaves[1],)


def test_the_example_s_checkpoint_is_the_page_s() -> None:
    """Keys, the checkpoint and the witness's line come out byte for byte, and hold."""
    note = example_note()
    own, cosignature = note.signatures
    assert indented(format_note(Note(note.text, (own,))).decode()) in EXAMPLE
    assert indented(format_note(Note("\n", (cosignature,))).decode().strip("\n")) in EXAMPLE
    assert indented(format_note_key(KEY)) in EXAMPLE
    assert indented(format_note_key(WITNESS)) in EXAMPLE
    assert str(AT_S) in EXAMPLE
    assert check_checkpoint(note, [KEY], check_message, [WITNESS]).witnessed == (Witnessed(WITNESS, AT_S),)


# --- the text


def test_the_text_is_origin_size_root() -> None:
    """Three lines, each with its newline, and extensions behind them."""
    assert f"git-ledger/{LOG}\n20852163\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n" == TEXT
    extended = CHECKPOINT._replace(extensions=("one", "two two"))
    assert format_checkpoint(extended) == TEXT + "one\ntwo two\n"


@settings(derandomize=True, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40),
    st.integers(0, MAX_SIZE),
    st.binary(min_size=32, max_size=32),
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20), max_size=MAX_EXTENSIONS),
)
def test_checkpoints_are_twins(origin: str, size: int, root: bytes, extensions: list[str]) -> None:
    """What was formatted parses to the same checkpoint, of whatever log."""
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


LINES = TEXT.split("\n")[:3]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(TEXT[:-1], id="no newline at the end"),
        pytest.param("\n".join(LINES[:2]) + "\n", id="no root"),
        pytest.param("\n" + "\n".join(LINES[1:]) + "\n", id="no origin"),
        pytest.param(TEXT + "\n", id="an empty extension"),
        pytest.param(TEXT + "x\n" * (MAX_EXTENSIONS + 1), id="too many extensions"),
        pytest.param(TEXT + "x\ty\n", id="a tab"),
        pytest.param(TEXT.replace("\n", "\r\n"), id="carriage returns"),
        pytest.param(TEXT.replace("20852163", "020852163"), id="a leading zero"),
        pytest.param(TEXT.replace("20852163", "+20852163"), id="a sign"),
        pytest.param(TEXT.replace("20852163", "-1"), id="a negative size"),
        pytest.param(TEXT.replace("20852163", "20_852_163"), id="underscores"),
        pytest.param(TEXT.replace("20852163", "٢٠"), id="other digits"),
        pytest.param(TEXT.replace("20852163", "²"), id="a superscript"),
        pytest.param(TEXT.replace("20852163", "0x10"), id="hex"),
        pytest.param(TEXT.replace("20852163", " 1"), id="a space"),
        pytest.param(TEXT.replace("20852163", "9007199254740992"), id="2^53"),
        pytest.param(TEXT.replace("20852163", "9" * 5000), id="5,000 digits"),
        pytest.param(TEXT.replace("Hh8=", "Hh9="), id="loose last bits"),
        pytest.param(TEXT.replace("Hh8=", "Hh8"), id="no padding"),
        pytest.param(TEXT.replace("AAEC", ""), id="a short root"),
        pytest.param(TEXT.replace("AAEC", "AAECAAEC"), id="a long root"),
        pytest.param(TEXT.replace("AAEC", "AA-_"), id="the URL alphabet"),
        pytest.param(TEXT + "x" * 200_000 + "\n", id="too large"),
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    """Anything that would not be written is not read."""
    with pytest.raises(FormatError):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "checkpoint",
    [
        pytest.param(CHECKPOINT._replace(origin=""), id="no origin"),
        pytest.param(CHECKPOINT._replace(origin="a\n7"), id="a newline in the origin"),
        pytest.param(CHECKPOINT._replace(size=-1), id="a negative size"),
        pytest.param(CHECKPOINT._replace(size=MAX_SIZE + 1), id="2^53"),
        pytest.param(CHECKPOINT._replace(root=ROOT[1:]), id="a short root"),
        pytest.param(CHECKPOINT._replace(extensions=("",)), id="an empty extension"),
        pytest.param(CHECKPOINT._replace(extensions=("a\nb",)), id="a newline in an extension"),
        pytest.param(Checkpoint(f"{LOG}\n1\n{format_hash(ROOT)}", 2, ROOT), id="a checkpoint for an origin"),
    ],
)
def test_malformed_checkpoints_are_not_written(checkpoint: Checkpoint) -> None:
    """What could not be read back as it is would be signed as something else."""
    with pytest.raises(FormatError):
        format_checkpoint(checkpoint)


def test_origins_are_twins() -> None:
    """A log's origin names it, and no other spelling does."""
    assert parse_origin(format_origin(LOG)) == LOG
    for other in (
        LOG,
        f"git-ledger/{LOG.upper()}",
        f"git-ledger/{LOG}0",
        f"git-ledger/{LOG[1:]}",
        "git-ledger/",
        f"Git-ledger/{LOG}",
    ):
        with pytest.raises(FormatError):
            parse_origin(other)
    with pytest.raises(ValueError, match="not the name of a log"):
        format_origin("..")


# --- signing and checking


def test_a_signed_checkpoint_holds() -> None:
    """The log's key signed it; who it is for, how long it is and its root come back."""
    found = check_checkpoint(parse_note(sign_checkpoint(CHECKPOINT, PUBLIC_KEY, sign)), [KEY], check_message)
    assert found == (CHECKPOINT, (), ())


def test_unknown_witnesses_are_reported_and_known_ones_counted() -> None:
    """A cosignature counts for whoever knows the witness, with its time, and is kept for everybody else."""
    note = cosigned()
    assert check_checkpoint(note, [KEY], check_message, [WITNESS]) == (CHECKPOINT, (Witnessed(WITNESS, AT_S),), ())
    assert check_checkpoint(note, [KEY], check_message) == (CHECKPOINT, (), note.signatures[1:])


def test_a_witness_alone_does_not_speak_for_the_log() -> None:
    """Without the log's own signature a checkpoint is nobody's, however many witnesses cosigned it."""
    note = cosigned()
    alone = Note(note.text, note.signatures[1:])
    for keys in ([KEY], []):
        with pytest.raises(TrustError, match="no known key of git-ledger"):
            check_checkpoint(alone, keys, check_message, [WITNESS])


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(log_key("0" * 32, PUBLIC_KEY), id="of another log"),
        pytest.param(NoteKey("somebody.example", ED25519, PUBLIC_KEY), id="under another name"),
        pytest.param(KEY._replace(type=COSIGNATURE), id="of a witness's type"),
    ],
)
def test_only_keys_of_the_origin_speak_for_it(key: NoteKey) -> None:
    """The same key under another name or type is not the log's, even where its signature is good."""
    if key.type == COSIGNATURE:
        signature = build_cosignature(key, TEXT, AT_S, sign)
    else:
        signature = NoteSignature(key.name, key.id, sign(TEXT.encode()))
    for keys, witnesses in (([key], []), ([key], [key]), ([KEY], [key])):
        with pytest.raises(TrustError, match="no known key"):
            check_checkpoint(Note(TEXT, (signature,)), keys, check_message, witnesses)


def test_a_log_s_key_among_the_witnesses_witnesses_nothing() -> None:
    """A signature over the text alone has no time, so it is never a cosignature."""
    found = check_checkpoint(cosigned(), [KEY], check_message, [KEY])
    assert found.witnessed == ()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(format_cosignature(Cosignature(AT_S + 1, cosign(format_cosigned(TEXT, AT_S)))), id="another time"),
        pytest.param(format_cosignature(Cosignature(AT_S, cosign(TEXT.encode()))), id="over the text alone"),
        pytest.param(format_cosignature(Cosignature(AT_S, cosign(format_cosigned(TEXT + "x\n", AT_S)))), id="another text"),
        pytest.param(format_cosignature(Cosignature(AT_S, sign(format_cosigned(TEXT, AT_S)))), id="by another key"),
        pytest.param(b"\x80" + bytes(71), id="a time of 2^63"),
        pytest.param(bytes(71), id="short"),
        pytest.param(bytes(73), id="long"),
    ],
)
def test_a_bad_cosignature_of_a_known_witness_spoils_the_checkpoint(data: bytes) -> None:
    """It is refused where the witness is known, and a stranger's line where not."""
    note = cosigned()
    bad = Note(note.text, (note.signatures[0], note.signatures[1]._replace(data=data)))
    with pytest.raises(TrustError, match=r"witness\.example/w1 on the note is bad"):
        check_checkpoint(bad, [KEY], check_message, [WITNESS])
    assert check_checkpoint(bad, [KEY], check_message).unknown == bad.signatures[1:]


def test_only_checkpoints_are_checked_as_such() -> None:
    """A well-signed note of another form is malformed, and cannot be cosigned."""
    with pytest.raises(FormatError):
        check_checkpoint(Note("hello\n", cosigned().signatures), [KEY], check_message)
    with pytest.raises(FormatError):
        build_cosignature(WITNESS, "hello\n", AT_S, cosign)
    forged = NoteSignature(
        WITNESS.name, WITNESS.id, format_cosignature(Cosignature(AT_S, cosign(format_cosigned("hello\n", AT_S))))
    )
    with pytest.raises(TrustError, match="is bad"):
        check_note(Note("hello\n", (forged,)), [WITNESS], check_message, UNWRAPS)
    with pytest.raises(ValueError, match="does not cosign"):
        build_cosignature(KEY, TEXT, AT_S, cosign)


def test_every_flipped_bit_of_a_checkpoint_shows() -> None:
    """Whatever bit is flipped: refused, or the witness's line became a stranger's and nothing else changed."""
    data = format_note(cosigned())
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            try:
                found = check_checkpoint(parse_note(bytes(changed)), [KEY], check_message, [WITNESS])
            except (FormatError, TrustError):
                continue
            assert (found.checkpoint, found.witnessed, len(found.unknown)) == (CHECKPOINT, (), 1)


@settings(derandomize=True, deadline=None)
@given(st.integers(0, MAX_TIME_S), st.binary(min_size=64, max_size=64))
def test_cosignatures_are_twins(at_s: int, signature: bytes) -> None:
    """What was formatted parses to the same cosignature."""
    cosignature = Cosignature(at_s, signature)
    assert parse_cosignature(format_cosignature(cosignature)) == cosignature


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=80) | st.binary(min_size=72, max_size=72))
def test_any_bytes_are_a_cosignature_or_malformed(data: bytes) -> None:
    """Whatever is read is FormatError, or formats back to the very same bytes."""
    try:
        cosignature = parse_cosignature(data)
    except FormatError:
        return
    assert format_cosignature(cosignature) == data


PIECES = st.sampled_from([*LINES, "0", "1", "00", "", "\n", "é", "\x85", "\u2028", "x", "AAAA"])


@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.text(max_size=200) | st.lists(PIECES, max_size=8).map("\n".join))
def test_any_text_is_a_checkpoint_or_malformed(text: str) -> None:
    """Whatever is read is FormatError, or formats back to the very same text."""
    try:
        checkpoint = parse_checkpoint(text)
    except FormatError:
        return
    assert format_checkpoint(checkpoint) == text


# --- the public vectors: signed notes, checkpoints and cosignatures of other writers. Nothing in them is judged otherwise here.


def find_cases() -> list[Any]:
    """Return the vectors as parameters; one that skips where they are absent."""
    path = VECTORS / "tlog" / "signed_note_vectors.json"
    cases = json.loads(path.read_text("utf-8")) if path.exists() else []
    return [pytest.param(case, id=case["name"]) for case in cases] or [pytest.param({}, id="absent")]


@pytest.mark.parametrize("case", find_cases())
def test_the_public_vectors(case: dict[str, Any]) -> None:
    """All 46: good, malformed, signed by nobody known, and badly signed."""
    find_vectors("tlog")
    data, keys = case["note"].encode(), [parse_note_key(key) for key in case["vkeys"]]
    if case["want"] == "reject-malformed":
        with pytest.raises(FormatError):
            parse_note(data)
        return
    note = parse_note(data)
    assert format_note(note) == data
    if case["want"] == "ok":
        assert {key for key, _ in check_note(note, keys, check_message, UNWRAPS).good} == set(keys)
        return
    with pytest.raises(TrustError, match="no known key" if case["want"] == "reject-unverified" else "is bad"):
        check_note(note, keys, check_message, UNWRAPS)


@pytest.mark.parametrize("case", [case for case in find_cases() if str(case.id).startswith("tessera-checkpoint")] or find_cases())
def test_the_public_checkpoints_are_checkpoints_here(case: dict[str, Any]) -> None:
    """Another log's checkpoints parse, and hold under that log's key."""
    find_vectors("tlog")
    note, keys = parse_note(case["note"].encode()), [parse_note_key(key) for key in case["vkeys"]]
    found = check_checkpoint(note, keys, check_message)
    assert found.checkpoint.origin == keys[0].name
    assert f"checkpoint.{found.checkpoint.size}" in case["name"]
    assert format_checkpoint(found.checkpoint) == note.text


def test_the_public_vectors_are_all_there() -> None:
    """46, as their folder says."""
    find_vectors("tlog")
    assert len(find_cases()) == 46
