"""Proof files: a record of a log, shown to somebody who has nothing else of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.checkpoint import Checkpoint, build_cosignature, format_origin, sign_checkpoint
from ledger.core.ed25519 import check_message, check_sshsig, public_key_of, sign_message, sign_sshsig
from ledger.core.entry import MAX_RECORD_BYTES, Entry, format_entry, format_record, hash_record, log_id
from ledger.core.merkle import MAX_SIZE, build_inclusion, build_reader, build_root, format_hash, hash_leaf
from ledger.core.note import COSIGNATURE, Note, NoteKey, NoteSignature, format_note, parse_note
from ledger.core.proof import MAX_PROOF_BYTES, Proof, Proven, check_proof, format_proof, parse_proof
from ledger.core.sshsig import ENTRY_NAMESPACE, fingerprint, format_public_key
from ledger.errors import FormatError, TrustError

SPEC = Path(__file__).resolve().parents[2] / "docs" / "spec"
EXAMPLE = (SPEC / "proof.md").read_text("utf-8").partition("## 4. Worked example")[2]
PAGE_RECORDS = [
    line.strip().encode() for line in (SPEC / "entry.md").read_text("utf-8").splitlines() if line.startswith('    {"entry":{"a')
]

SEED, OTHER_SEED, WITNESS_SEED = bytes(range(32)), bytes(32), bytes(range(32, 64))
PUBLIC_KEY, OTHER_KEY = public_key_of(SEED), public_key_of(OTHER_SEED)
WITNESS = NoteKey("witness.example/w1", COSIGNATURE, public_key_of(WITNESS_SEED))
AT_S = 1767323100


def entry_of(seq: int, prev: str, log: str, seed: bytes = SEED) -> Entry:
    """Return an entry of a small log."""
    return Entry(
        v=1,
        log=log,
        seq=seq,
        prev=prev,
        key=fingerprint(public_key_of(seed)),
        at="2026-01-02T03:04:05.678Z",
        kind="session.ended" if seq else "log.opened",
        source="hook",
        actor={"type": "recorder"},
        body={"public_key": format_public_key(public_key_of(seed))},
    )


def build_log(count: int, seed: bytes = SEED) -> tuple[str, list[bytes]]:
    """Return the name and the records of a small log."""
    records: list[bytes] = []
    prev, log = "0" * 64, ""
    name = log_id(format_entry(entry_of(0, prev, "", seed)))
    for seq in range(count):
        data = format_entry(entry_of(seq, prev, log, seed))
        records.append(format_record(data, sign_sshsig(seed, ENTRY_NAMESPACE, data)))
        prev, log = hash_record(records[-1]), name
    return name, records


LOG, RECORDS = build_log(7)


def prove(seq: int, records: list[bytes] = RECORDS, log: str = LOG, seed: bytes = SEED) -> Proof:
    """Return the proof of record `seq`, under a checkpoint of all `records` that `seed` signs and the witness cosigns."""
    read = build_reader(map(hash_leaf, records))
    checkpoint = Checkpoint(format_origin(log), len(records), build_root(len(records), read))
    note = parse_note(sign_checkpoint(checkpoint, public_key_of(seed), lambda message: sign_message(seed, message)))
    cosignature = build_cosignature(WITNESS, note.text, AT_S, lambda message: sign_message(WITNESS_SEED, message))
    return Proof(records[seq], seq, build_inclusion(seq, len(records), read), Note(note.text, (*note.signatures, cosignature)))


def check(proof: Proof, *public_keys: bytes) -> Proven:
    """Check `proof` as somebody does who trusts `public_keys` (the log's if none is given) and the witness."""
    return check_proof(proof, public_keys or [PUBLIC_KEY], check_message, check_sshsig, [WITNESS])


def test_the_example_is_the_page_s() -> None:
    """It comes out byte for byte, parses back and holds."""
    name = log_id(PAGE_RECORDS[0][len(b'{"entry":') : -98])
    proof = prove(1, PAGE_RECORDS, name)
    text = format_proof(proof).decode()
    assert re.sub(r"^(?=.)", "    ", text, flags=re.MULTILINE) in EXAMPLE
    assert parse_proof(text.encode()) == proof
    assert check(proof).record.entry.kind == "prompt.submitted"


@pytest.mark.parametrize("size", range(1, 8))
def test_every_record_of_a_log_can_be_proven(size: int) -> None:
    """Through its file and back: the log, the record, the checkpoint and the witness come out."""
    for seq in range(size):
        proof = parse_proof(format_proof(prove(seq, RECORDS[:size])))
        found = check(proof)
        assert (found.log, found.record.entry.seq, found.checkpoint.checkpoint.size) == (LOG, seq, size)
        assert found.record.entry_bytes in RECORDS[seq]
        assert found.checkpoint.witnessed == ((WITNESS, AT_S),)


def test_a_proof_tells_nothing_of_other_records() -> None:
    """Beside its own record it holds hashes only, a handful of them."""
    data = format_proof(prove(3))
    proof = parse_proof(data)
    assert len(proof.hashes) == 3
    assert format_hash(hash_leaf(RECORDS[2])).encode() in data
    assert not any(record in data for record in RECORDS)


REPLACEMENTS: dict[str, Callable[[Proof], Proof]] = {
    "another record of the log": lambda proof: proof._replace(record=RECORDS[2]),
    "another seq": lambda proof: proof._replace(seq=2),
    "a seq beyond the log": lambda proof: proof._replace(seq=7),
    "a hash less": lambda proof: proof._replace(hashes=proof.hashes[1:]),
    "a hash more": lambda proof: proof._replace(hashes=(*proof.hashes, proof.hashes[0])),
    "hashes swapped": lambda proof: proof._replace(hashes=proof.hashes[::-1]),
    "a record that is none": lambda proof: proof._replace(record=b"{}"),
    "a checkpoint of fewer": lambda proof: proof._replace(note=prove(3, RECORDS[:5]).note),
    "a checkpoint by another key": lambda proof: prove(3, seed=OTHER_SEED),
    "a checkpoint for another log": lambda proof: prove(3, log="0" * 32),
    "a log that is no ledger's": lambda proof: proof._replace(
        note=Note("example.com/log\n" + proof.note.text.partition("\n")[2], ())
    ),
    "a text that is no checkpoint": lambda proof: proof._replace(note=Note("hello\n", proof.note.signatures)),
    "only the witness's signature": lambda proof: proof._replace(note=Note(proof.note.text, proof.note.signatures[1:])),
}


@pytest.mark.parametrize("change", REPLACEMENTS.values(), ids=REPLACEMENTS.keys())
def test_a_proof_in_which_anything_was_replaced_does_not_hold(change: Callable[[Proof], Proof]) -> None:
    """Each part is tied to the others, and all of them to a key that the reader trusts."""
    check(prove(3))
    with pytest.raises((FormatError, TrustError)):
        check(change(prove(3)))


def test_a_genuine_checkpoint_over_forged_records_does_not_hold() -> None:
    """A key holder may sign any tree; the record must still say that it is of this log, at this place, by a trusted key."""
    with pytest.raises(TrustError, match="is number 2"):
        check(prove(1, [RECORDS[0], RECORDS[2]]))
    other, others = build_log(3, OTHER_SEED)
    with pytest.raises(TrustError, match=f"of the log {other}"):
        check(prove(1, others), PUBLIC_KEY, OTHER_KEY)
    with pytest.raises(TrustError, match=f"of the log {other}"):
        check(prove(0, others), PUBLIC_KEY, OTHER_KEY)
    data = format_entry(entry_of(1, hash_record(RECORDS[0]), LOG))
    unsigned = format_record(data, bytes(64))
    with pytest.raises(TrustError, match="the signature is not that of"):
        check(prove(1, [RECORDS[0], unsigned]))


def test_a_record_of_an_older_key_needs_that_key_trusted_too() -> None:
    """After a rotation the checkpoint's key is another than the record's; both are asked for, in any order."""
    proof = prove(3, seed=OTHER_SEED)
    assert check(proof, OTHER_KEY, PUBLIC_KEY).log == LOG
    assert check(proof, PUBLIC_KEY, OTHER_KEY).log == LOG
    with pytest.raises(TrustError, match="which is not a trusted key"):
        check(proof, OTHER_KEY)
    with pytest.raises(TrustError, match="no known key"):
        check(proof, PUBLIC_KEY)


DATA = format_proof(prove(3))
HEAD, _, NOTE = DATA.partition(b"\n\n")
HEADER, EXTRA, INDEX, *HASHES = HEAD.split(b"\n")


def test_every_flipped_bit_shows() -> None:
    """Whatever bit of the file is flipped: it is refused, or the witness's line became a stranger's and all else holds."""
    good = check(parse_proof(DATA))
    for place in range(len(DATA)):
        changed = bytearray(DATA)
        changed[place] ^= 1 << place % 8
        try:
            found = check(parse_proof(bytes(changed)))
        except (FormatError, TrustError):
            continue
        assert found[:2] == good[:2]
        assert found.checkpoint.checkpoint == good.checkpoint.checkpoint
        assert (found.checkpoint.witnessed, len(found.checkpoint.unknown)) == ((), 1)


def test_every_truncation_shows() -> None:
    """A file cut anywhere but behind the log's signature is malformed."""
    whole = DATA[: DATA.rindex("\N{EM DASH}".encode())]
    for end in range(len(DATA)):
        if DATA[:end] != whole:
            with pytest.raises(FormatError):
                parse_proof(DATA[:end])
    assert check(parse_proof(whole)).checkpoint.witnessed == ()


def joined(*lines: bytes) -> bytes:
    """Return the bytes of a file whose lines before the checkpoint are `lines`."""
    return b"\n".join(lines) + b"\n\n" + NOTE


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(NOTE, id="a checkpoint alone"),
        pytest.param(joined(b"c2sp.org/tlog-proof@v2", EXTRA, INDEX, *HASHES), id="another version"),
        pytest.param(joined(HEADER, INDEX, *HASHES), id="no record"),
        pytest.param(joined(HEADER, EXTRA, *HASHES), id="no seq"),
        pytest.param(joined(HEADER, INDEX, EXTRA, *HASHES), id="the wrong order"),
        pytest.param(joined(HEADER, EXTRA, EXTRA, INDEX, *HASHES), id="two records"),
        pytest.param(joined(HEADER, b"extra ", INDEX, *HASHES), id="an empty record"),
        pytest.param(joined(HEADER, b"extra eA", INDEX, *HASHES), id="no padding"),
        pytest.param(joined(HEADER, EXTRA, b"index 03", *HASHES), id="a leading zero"),
        pytest.param(joined(HEADER, EXTRA, b"index  3", *HASHES), id="two spaces"),
        pytest.param(joined(HEADER, EXTRA, b"index -3", *HASHES), id="a negative seq"),
        pytest.param(joined(HEADER, EXTRA, b"index 9007199254740991", *HASHES), id="a seq that no tree has"),
        pytest.param(joined(HEADER, EXTRA, INDEX, b"AAAA"), id="a short hash"),
        pytest.param(joined(HEADER, EXTRA, INDEX, *HASHES[:1] * 54), id="too many hashes"),
        pytest.param(joined(HEADER, EXTRA, INDEX, b"\xe2\x80\x94"), id="not ASCII"),
        pytest.param(DATA.replace(b"\n", b"\r\n"), id="carriage returns"),
        pytest.param(HEAD + b"\n\n\n" + NOTE, id="two empty lines"),
        pytest.param(HEAD + b"\n" + NOTE, id="no empty line"),
        pytest.param(HEAD + b"\n\nhello\n\n" + NOTE.partition(b"\n\n")[2], id="a note that is no checkpoint"),
        pytest.param(DATA + b"\n", id="a newline more"),
        pytest.param(DATA + b"x" * MAX_PROOF_BYTES, id="too large"),
    ],
)
def test_malformed_files_are_refused(data: bytes) -> None:
    """Anything that would not be written is not read."""
    with pytest.raises(FormatError):
        parse_proof(data)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"record": b""}, id="no record"),
        pytest.param({"record": bytes(MAX_RECORD_BYTES + 1)}, id="a record too large"),
        pytest.param({"seq": -1}, id="a negative seq"),
        pytest.param({"seq": MAX_SIZE}, id="a seq that no tree has"),
        pytest.param({"hashes": (b"short",)}, id="a short hash"),
        pytest.param({"hashes": (bytes(32),) * 54}, id="too many hashes"),
        pytest.param({"note": Note("hello\n", prove(3).note.signatures)}, id="no checkpoint"),
        pytest.param({"note": Note(prove(3).note.text, ())}, id="no signature"),
    ],
)
def test_malformed_proofs_are_not_written(change: dict[str, object]) -> None:
    """What could not be read back is refused before it is written."""
    with pytest.raises(FormatError):
        format_proof(prove(3)._replace(**change))


def test_the_largest_proof_is_read() -> None:
    """A record at its limit, a tree at its highest and a note with a hundred signatures fit in one file."""
    note = Note(prove(3).note.text, (NoteSignature("a" * 256, bytes(4), bytes(700)),) * 100)
    proof = Proof(bytes(MAX_RECORD_BYTES), MAX_SIZE - 1, (bytes(32),) * 53, note)
    assert parse_proof(format_proof(proof)) == proof


@settings(derandomize=True, deadline=None)
@given(
    st.binary(min_size=1, max_size=200), st.integers(0, MAX_SIZE - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=53)
)
def test_proofs_are_twins(record: bytes, seq: int, hashes: list[bytes]) -> None:
    """What was formatted parses to the same proof, whether it holds or not."""
    proof = Proof(record, seq, tuple(hashes), prove(3).note)
    assert parse_proof(format_proof(proof)) == proof


PIECES = st.sampled_from([HEADER, EXTRA, INDEX, *HASHES, b"", b"index 0", b"extra eA==", NOTE, NOTE[:-1], b"\xff", b"\r"])


@settings(derandomize=True, deadline=None, max_examples=500)
@given(
    st.binary(max_size=200)
    | st.lists(PIECES, max_size=10).map(b"\n".join)
    | st.lists(PIECES, max_size=4).map(lambda rest: joined(HEADER, EXTRA, *rest))
)
def test_any_bytes_are_a_proof_or_malformed(data: bytes) -> None:
    """Whatever is read is FormatError, or formats back to the very same bytes and then holds or is refused."""
    try:
        proof = parse_proof(data)
    except FormatError:
        return
    assert format_proof(proof) == data
    try:
        assert check(proof).log == LOG
    except (FormatError, TrustError):
        pass


def test_the_checkpoint_stays_as_it_is() -> None:
    """The note's bytes are in the file verbatim."""
    assert DATA.endswith(b"\n\n" + format_note(prove(3).note))
