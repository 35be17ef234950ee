"""The second verifier on proof files: the same answer as `ledger verify FILE`, on every good and every tampered one."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator import LogSimulator

from ledger.cli.main import run
from ledger.core.checkpoint import Checkpoint, build_cosignature, format_origin, sign_checkpoint
from ledger.core.ed25519 import public_key_of, sign_message
from ledger.core.merkle import build_inclusion, build_reader, build_root, hash_leaf
from ledger.core.note import COSIGNATURE, NoteKey, NoteSignature, format_note, format_note_key, parse_note
from ledger.core.proof import Proof, format_proof
from ledger.core.revocations import format_revocation, parse_revocations
from ledger.core.signers import format_signer, parse_signers, trusted_keys
from ledger.core.sshsig import fingerprint, parse_public_key
from ledger.verify.proofs import Believed, judge_proof

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "verify_independent.py"
WITNESS_SEED = bytes(range(32))
WITNESS = NoteKey("witness.example/w1", COSIGNATURE, public_key_of(WITNESS_SEED))
NEW_YEAR_S = 1_767_225_600  # 2026-01-01T00:00:00Z; the log's entries claim the day after
DAY_S = 86_400
NOW_S = NEW_YEAR_S + 365 * DAY_S


def load() -> ModuleType:
    """Import the script from its file."""
    spec = importlib.util.spec_from_file_location("verify_independent_of_proofs", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


independent = load()


def build_log() -> tuple[LogSimulator, list[bytes]]:
    """Return a log of seven records, rotated at 4, and the raw keys that signed it."""
    sim = LogSimulator()
    keys = [sim.public_key]
    for seq in range(1, 7):
        if seq == 4:
            sim.rotate()
            keys.append(sim.public_key)
        else:
            sim.append("prompt.submitted", {"n": seq}, session="s")
    return sim, [parse_public_key(key) for key in keys]


SIM, KEYS = build_log()
SIGNERS = "".join(format_signer("ledger-ada", key) + "\n" for key in KEYS)


def prove(seq: int, size: int = 7, *cosigned_s: int, origin: str = "", records: list[bytes] | None = None) -> bytes:
    """Return the proof of record `seq` under a checkpoint of `size`, signed by the key in force then, cosigned at these times."""
    records = (records or SIM.records())[:size]
    read = build_reader(map(hash_leaf, records))
    seed = SIM.seeds[fingerprint(KEYS[size > 4])]
    checkpoint = Checkpoint(origin or format_origin(SIM.name), size, build_root(size, read))
    note = parse_note(sign_checkpoint(checkpoint, public_key_of(seed), lambda message: sign_message(seed, message)))
    lines = [build_cosignature(WITNESS, note.text, at_s, lambda text: sign_message(WITNESS_SEED, text)) for at_s in cosigned_s]
    note = note._replace(signatures=(*note.signatures, *lines))
    return format_proof(Proof(records[seq], seq, build_inclusion(seq, size, read), note))


def judge(data: bytes, signers: str = SIGNERS, revocations: str = "", *, witnesses: Any = (WITNESS,)) -> tuple[str, list[str]]:
    """Return the verdict and the codes of both verifiers, which must be the same."""
    believed = Believed(trusted_keys(parse_signers(signers)), "given", parse_revocations(revocations + "\n"))
    ours = judge_proof(data, believed, witnesses, NOW_S)
    keys = {key: [independent.Window(*window) for window in windows] for key, windows in believed.keys.items()}
    trusted = independent.Trusted(keys, independent.Revocations(revocations))
    theirs = independent.check_proof(data, trusted, [independent.NoteKey(*key) for key in witnesses], NOW_S)
    found = (ours.verdict, [finding.code for finding in ours.findings])
    assert (theirs.verdict, [finding.code for finding in theirs.findings.kept]) == found
    assert [key.name for key in theirs.witnesses] == [witness.name for witness in ours.witnesses]
    return found


def test_every_record_under_every_checkpoint() -> None:
    """Both show every record of a log at every size that covers it, also across the rotation."""
    for size in range(1, 8):
        for seq in range(size):
            assert judge(prove(seq, size)) == ("consistent", [])


def test_witnesses_anchor() -> None:
    """One that is known anchors, however often it cosigned; none that is known does not."""
    assert judge(prove(2, 7, NEW_YEAR_S)) == ("anchored", [])
    assert judge(prove(2, 7, NEW_YEAR_S, NEW_YEAR_S + 1)) == ("anchored", [])
    assert judge(prove(2, 7, NEW_YEAR_S), witnesses=()) == ("consistent", [])


def test_every_flipped_bit_of_a_proof_is_judged_alike() -> None:
    """Whichever bit changes, both refuse; apart from the name and id of a witness, who is then nobody they know."""
    good = prove(2, 5, NEW_YEAR_S)
    verdicts = set()
    for place in range(len(good)):
        data = bytearray(good)
        data[place] ^= 1 << place % 8
        verdict, _ = judge(bytes(data))
        verdicts.add(verdict)
        if place < good.rindex("— ".encode()):
            assert verdict == "invalid"
    assert verdicts == {"invalid", "consistent"}


def test_every_truncation_is_refused() -> None:
    """A proof cut anywhere but behind its log's signature is malformed."""
    good = prove(2, 5, NEW_YEAR_S)
    whole = good.rindex("— ".encode())
    for end in range(len(good)):
        assert (judge(good[:end])[0] == "consistent") == (end == whole)


_LINES = prove(2, 5).split(b"\n")
TAMPERINGS: dict[str, bytes] = {
    "nothing": b"",
    "a header alone": b"c2sp.org/tlog-proof@v1\n",
    "carriage returns": prove(2).replace(b"\n", b"\r\n"),
    "no extra": b"\n".join(line for line in _LINES if not line.startswith(b"extra")),
    "an index with a sign": prove(2).replace(b"\nindex 2\n", b"\nindex +2\n"),
    "an index with a zero": prove(2).replace(b"\nindex 2\n", b"\nindex 02\n"),
    "an index beyond": prove(2).replace(b"\nindex 2\n", b"\nindex 9007199254740991\n"),
    "another index": prove(2).replace(b"\nindex 2\n", b"\nindex 3\n"),
    "a hash too many": prove(2).replace(b"\nindex 2\n", b"\nindex 2\n" + _LINES[3] + b"\n"),
    "54 hashes": prove(2).replace(b"\nindex 2\n", b"\nindex 2\n" + (_LINES[3] + b"\n") * 54),
    "base64 with loose bits": prove(2, 7).replace(_LINES[3], _LINES[3][:-2] + b"9="),
    "a checkpoint of another size": prove(2, 5).replace(b"\n5\n", b"\n6\n"),
    "another log's name": prove(2, origin=format_origin("0" * 32)),
    "no ledger's origin": prove(2, origin="example.com/log"),
    "a short origin": prove(2, origin="git-ledger/abc"),
    "a record of another place": prove(1, 2, records=[SIM.records()[0], SIM.records()[2]]),
    "a genesis of another log": prove(0, 1, records=LogSimulator().records()),
    "an unsigned record": prove(1, 2, records=[SIM.records()[0], SIM.records()[1][:-98] + b',"sig":"' + b"A" * 86 + b'=="}']),
    "a record that is none": prove(1, 2, records=[SIM.records()[0], b"{}"]),
    "a second signature of the log that is bad": prove(2) + prove(3, 6).rpartition(b"\n\n")[2],
    "a bad cosignature": prove(2, 7) + prove(2, 6, NEW_YEAR_S).rpartition(b"\n")[0].rpartition(b"\n")[2] + b"\n",
    "an unknown key beside it": prove(2) + "— stranger AAAAAAA=\n".encode(),
    "a signature without a newline": prove(2)[:-1],
    "an empty line at the end": prove(2) + b"\n",
    "a control character": prove(2).replace(b"git-ledger/", b"git-\x1fledger/"),
    "no UTF-8": prove(2) + b"\xff\n",
    "101 signatures": prove(2) + "— stranger AAAAAAA=\n".encode() * 100,
    "a name with a no-break space": prove(2) + "— stran\u00a0ger AAAAAAA=\n".encode(),
    "a name of 257 bytes": prove(2) + f"— {'x' * 257} AAAAAAA=\n".encode(),
}
GOOD = {"an unknown key beside it"}


@pytest.mark.parametrize("case", TAMPERINGS)
def test_tampered_proofs_are_judged_alike(case: str) -> None:
    """Each tampering gets one finding, the same from both."""
    verdict, codes = judge(TAMPERINGS[case])
    assert verdict == ("consistent" if case in GOOD else "invalid")
    assert len(codes) == (case not in GOOD)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_random_damage_is_judged_alike(data: st.DataObject) -> None:
    """Whatever is cut out, doubled or put in, both say the same."""
    proof = bytearray(prove(data.draw(st.integers(0, 4)), 5, NEW_YEAR_S))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(proof)))
        end = data.draw(st.integers(start, min(len(proof), start + 60)))
        new = data.draw(st.one_of(st.binary(max_size=8), st.just(bytes(proof[start:end]) * 2)))
        proof[start:end] = new
    judge(bytes(proof))


@pytest.mark.parametrize(
    ("key", "seq", "codes"),
    [
        (0, 0, ["key.revoked"]),
        (0, 2, ["key.revoked"]),
        (0, 3, []),
        (0, None, ["key.revoked"]),
        (1, 6, ["key.revoked"]),
        (1, 7, []),
        (1, None, ["key.revoked"]),
    ],
)
def test_revocations_are_judged_alike(key: int, seq: int | None, codes: list[str]) -> None:
    """Record 2 is the first key's, the checkpoint of 7 the second's: each counts below its position only."""
    line = format_revocation(fingerprint(KEYS[key]), None if seq is None else SIM.name, seq)
    assert judge(prove(2), revocations=line) == ("invalid" if codes else "consistent", codes)


@pytest.mark.parametrize(
    ("options", "cosigned_s", "expected"),
    [
        (['valid-before="20260201"'] * 2, [], ("incomplete", ["key.expired"])),
        (['valid-before="20260201"', ""], [], ("consistent", [])),
        (["", 'valid-before="20260201"'], [], ("incomplete", ["key.expired"])),
        (["", 'valid-before="20260201"'], [NEW_YEAR_S + 5 * DAY_S], ("anchored", [])),
        (["", 'valid-before="20260201"'], [NEW_YEAR_S + 50 * DAY_S], ("incomplete", ["key.expired"])),
        (['valid-before="20260101"', ""], [], ("invalid", ["key.window"])),
        (['valid-after="20260103Z"', ""], [], ("invalid", ["key.window"])),
        (['valid-after="20260102"', 'valid-after="20260102"'], [], ("consistent", [])),
        (["", 'valid-before="20270101"'], [], ("consistent", [])),
        (["", 'valid-before="20261231235959"'], [], ("incomplete", ["key.expired"])),
    ],
)
def test_windows_are_judged_alike(options: list[str], cosigned_s: list[int], expected: tuple[str, list[str]]) -> None:
    """The record's time must be in its key's window; behind the other's a witness must have seen the checkpoint in time."""
    lines = SIGNERS.splitlines()
    lines = [line.replace('" ssh-', f'",{more} ssh-') if more else line for line, more in zip(lines, options, strict=True)]
    assert judge(prove(2, 7, *cosigned_s), "\n".join(lines)) == expected


@pytest.fixture
def file(tmp_path: Path, sandbox: Any) -> Path:
    """A place for a proof, outside any repository."""
    return tmp_path / "one.tlog-proof"


def ask(capsys: pytest.CaptureFixture[str], *words: str | Path) -> Iterator[tuple[int, str]]:
    """Yield exit code and output of both command lines."""
    main: Callable[[list[str]], int] = independent.main
    for call in (main, lambda args: run(["-C", str(Path(args[0]).parent), "verify", *args])):
        capsys.readouterr()
        code = call([str(word) for word in words])
        yield code, capsys.readouterr().out


def test_both_command_lines_agree(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Good, cosigned, tampered and without trust: the same exit codes, and the same members in JSON."""
    trust = tmp_path / "signers"
    trust.write_text(SIGNERS)
    witness = format_note_key(WITNESS)
    cases = [
        (prove(2), ["--trust", trust], 0, "consistent"),
        (prove(2, 7, NEW_YEAR_S), ["--trust", trust, "--witness", witness], 0, "anchored"),
        (prove(2)[:-1], ["--trust", trust], 1, "invalid"),
        (b"", ["--trust", trust], 1, "invalid"),
        (prove(2), [], 3, None),
    ]
    for data, options, code, verdict in cases:
        file.write_bytes(data)
        answers = []
        for found, out in ask(capsys, file, *options, "--json"):
            assert found == code
            answers.append(json.loads(out) if out else None)
        if verdict is None:
            continue
        assert [answer["verdict"] for answer in answers] == [verdict] * 2
        for name in ("log", "seq", "kind", "at", "size", "root", "key"):
            assert answers[0][name] == answers[1][name]


def test_people_read_what_it_shows(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json the second verifier prints the verdict, the entry and the witness."""
    trust = tmp_path / "signers"
    trust.write_text(SIGNERS)
    file.write_bytes(prove(2, 7, NEW_YEAR_S))
    assert independent.main([str(file), "--trust", str(trust), "--witness", format_note_key(WITNESS)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("anchored\n")
    assert f"{SIM.name}/2 of 7 records" in out
    assert "witness.example/w1" in out


def test_a_witness_s_key_must_be_one(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A malformed key, or one of a log, is wrong usage."""
    file.write_bytes(prove(2))
    for text in ("nobody", format_note_key(WITNESS).replace("+", "+0", 1), format_note_key(NoteKey("x", 1, WITNESS.public_key))):
        with pytest.raises(SystemExit, match="2"):
            independent.main([str(file), "--trust", str(file), "--witness", text])
    assert "witness" in capsys.readouterr().err


def test_unknown_signature_types_are_nobody_s() -> None:
    """A signature that bears a known name but another id is of a key that is not known."""
    proof = prove(2, 7)
    name = format_origin(SIM.name)
    note = parse_note(proof.partition(b"\n\n")[2])
    other = NoteSignature(name, b"\x01\x02\x03\x04", b"x" * 64)
    more = note._replace(signatures=(*note.signatures, other))
    assert judge(proof.partition(b"\n\n")[0] + b"\n\n" + format_note(more)) == ("consistent", [])
