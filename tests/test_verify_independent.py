"""The second verifier: consistent on good logs, and a verdict with its code on every tampering."""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import simulator
from sandboxes import Sandbox
from simulator import LogSimulator, PayloadRow, members_of

from ledger.core.canonical import format_canonical
from ledger.core.ed25519 import sign_sshsig
from ledger.core.entry import format_record
from ledger.core.sshsig import ENTRY_NAMESPACE

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "verify_independent.py"
Records = list[bytes]


def load() -> ModuleType:
    """Import the script from its file."""
    spec = importlib.util.spec_from_file_location("verify_independent", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["verify_independent"] = module
    spec.loader.exec_module(module)
    return module


independent = load()


def ask(capsys: pytest.CaptureFixture[str], log: Path, *options: str | Path) -> tuple[str, list[str], int]:
    """Return the verdict, the codes found in order, and the exit code."""
    code = independent.main([str(log), "--json", *map(str, options)])
    answer = json.loads(capsys.readouterr().out)
    return answer["verdict"], [finding["code"] for finding in answer["findings"]], code


@pytest.fixture(scope="module")
def sim() -> LogSimulator:
    """Return a log of 12 records with payloads and a rotation at 6. Tests must not append to it."""
    sim = LogSimulator()
    for seq in range(1, 12):
        if seq == 6:
            sim.rotate()
        else:
            sim.append("prompt.submitted", {"n": seq}, payloads={"prompt": b"p%d" % seq, "extra": b""}, session="s")
    return sim


def test_it_shares_no_code_with_the_package() -> None:
    """Besides the standard library it imports cryptography, and nothing of ledger."""
    roots = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            roots.add(str(node.module).partition(".")[0])
    assert roots - sys.stdlib_module_names == {"cryptography"}


def test_a_good_log(sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A good log is consistent, as lines, as a journal, with its name and with any of its heads."""
    lines, journal = sim.write_lines(tmp_path / "log.jsonl"), sim.write_journal(tmp_path / "journal.db")
    for log in (lines, journal):
        assert ask(capsys, log) == ("consistent", [], 0)
        assert ask(capsys, log, "--name", sim.name, "--head", sim.head()) == ("consistent", [], 0)
        assert ask(capsys, log, "--head", sim.head(3)) == ("consistent", [], 0)


@pytest.mark.parametrize("size", range(1, 13))
def test_every_length(sim: LogSimulator, size: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every beginning of a log is a log; a head behind its end makes it incomplete."""
    log = sim.write_lines(tmp_path / "log", simulator.truncate(sim.records(), size))
    assert ask(capsys, log) == ("consistent", [], 0)
    expected = ("consistent", [], 0) if size == 12 else ("incomplete", ["trailer.beyond"], 1)
    assert ask(capsys, log, "--head", sim.head()) == expected


def test_the_answer_for_people_and_as_json(sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both name the verdict, the log, its size, and each finding."""
    log = sim.write_lines(tmp_path / "log", simulator.drop(sim.records(), 2))
    assert independent.main([str(log)]) == 1
    text = capsys.readouterr().out
    assert text.startswith(f"invalid: log {sim.name}, 11 records\nerror: chain.seq at 3: expected seq 2, found 3\n")
    assert independent.main([str(log), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verdict"], answer["log"], answer["size"], answer["head"]) == ("invalid", sim.name, 11, sim.head())
    assert [set(finding) for finding in answer["findings"]] == [{"code", "severity", "seq", "message"}] * 2


def foreign(records: Records) -> Records:
    """Return the records with one of another log in place of record 4."""
    other = LogSimulator()
    for _ in range(11):
        other.append("prompt.submitted")
    return [*records[:4], other.records()[4], *records[5:]]


def respelled(record: bytes) -> bytes:
    """Return a record with a space in it."""
    return record.replace(b'"kind":', b'"kind": ')


def with_members(sim: LogSimulator, **more: Any) -> bytes:
    """Return a record, well signed, of which some members are replaced, whatever its form becomes."""
    entry = format_canonical({**sim.members("plan.updated"), **more}, depth=99)
    return format_record(entry, sign_sshsig(sim.seeds[sim.key], ENTRY_NAMESPACE, entry))


TAMPERINGS: dict[str, tuple[Callable[[LogSimulator], Records], set[str]]] = {
    "a flipped bit in the entry": (
        lambda sim: simulator.flip(sim.records(), 3, sim.records()[3].index(b'"n":3') + 4),
        {"signature.bad", "chain.prev"},
    ),
    "a flipped bit in the frame": (lambda sim: simulator.flip(sim.records(), 3, 0), {"record.form", "chain.prev"}),
    "a flipped bit in the signature": (lambda sim: simulator.flip_signature(sim.records(), 3), {"signature.bad", "chain.prev"}),
    "a flipped bit in the last record": (lambda sim: simulator.flip_signature(sim.records(), 11), {"signature.bad"}),
    "a dropped record": (lambda sim: simulator.drop(sim.records(), 3), {"chain.seq", "chain.prev"}),
    "a dropped genesis": (lambda sim: simulator.drop(sim.records(), 0), {"chain.seq", "chain.prev"}),
    "a dropped rotation": (
        lambda sim: simulator.drop(sim.records(), 6),
        {"chain.seq", "chain.prev", "key.unexpected", "signature.bad"},
    ),
    "swapped records": (lambda sim: simulator.swap(sim.records(), 3, 4), {"chain.seq", "chain.prev"}),
    "a record twice": (lambda sim: simulator.duplicate(sim.records(), 3), {"chain.seq", "chain.prev"}),
    "the whole log twice": (lambda sim: sim.records() * 2, {"chain.seq", "chain.prev", "signature.bad", "key.unexpected"}),
    "a stranger's signature": (lambda sim: simulator.resign_with_stranger(sim.records(), 11), {"signature.bad"}),
    "a stranger's key": (
        lambda sim: simulator.resign_with_stranger(sim.records(), 11, claim=True),
        {"signature.bad", "key.unexpected"},
    ),
    "a fork spliced in": (lambda sim: [*sim.fork(8), *sim.records()[9:]], {"chain.prev"}),
    "a record of another log": (lambda sim: foreign(sim.records()), {"log.id", "chain.prev", "key.unexpected", "signature.bad"}),
    "an empty log": (lambda sim: [], {"genesis.kind"}),
    "an empty line": (lambda sim: [*sim.records(), b""], {"record.form"}),
    "another spelling": (lambda sim: [*sim.records()[:-1], respelled(sim.records()[-1])], {"record.form"}),
    "a record too large": (lambda sim: [*sim.records(), b'{"entry":' + b"x" * (1 << 20)], {"record.size"}),
    "a line of four mebibytes in the middle": (
        lambda sim: [sim.records()[0], b"x" * (4 << 20), *sim.records()[2:]],
        {"record.size", "chain.prev"},
    ),
    "nesting": (lambda sim: [*sim.records(), b"[" * 500_000], {"record.form"}),
    "nesting of seventeen": (
        lambda sim: [*sim.records(), with_members(sim, body={"a": json.loads("[" * 14 + "]" * 14)})],
        {"record.form"},
    ),
    "an actor of an odd type": (lambda sim: [*sim.records(), with_members(sim, actor={"type": ["agent"]})], {"record.form"}),
    "a source of an odd type": (lambda sim: [*sim.records(), with_members(sim, source={})], {"record.form"}),
    "v true": (lambda sim: [*sim.records(), with_members(sim, v=True)], {"record.form"}),
    "year 0": (lambda sim: [*sim.records(), with_members(sim, at="0000-01-01T00:00:00.000Z")], {"record.form"}),
    "no such day": (lambda sim: [*sim.records(), with_members(sim, at="2026-02-29T00:00:00.000Z")], {"record.form"}),
    "a cause that is to come": (lambda sim: [*sim.records(), with_members(sim, cause=12)], {"record.form"}),
    "a human with a name": (lambda sim: [*sim.records(), with_members(sim, actor={"type": "human", "name": "A"})], {"record.form"}),
    "an unknown member": (lambda sim: [*sim.records(), with_members(sim, extra=1)], {"record.form"}),
    "opened again": (lambda sim: [*sim.records(), with_members(sim, kind="log.opened")], {"genesis.kind"}),
    "bytes that are not UTF-8": (lambda sim: [*sim.records(), b"\xff\xfe"], {"record.form"}),
    "an integer of many digits": (lambda sim: [*sim.records(), b"1" * 100_000], {"record.form"}),
    "a real": (lambda sim: [*sim.records()[:-1], sim.records()[-1].replace(b'"n":11', b'"n":1.5')], {"record.form"}),
    "a member twice": (lambda sim: [*sim.records()[:-1], sim.records()[-1].replace(b'"n":11', b'"n":11,"n":11')], {"record.form"}),
    "a lone surrogate": (
        lambda sim: [*sim.records()[:-1], sim.records()[-1].replace(b'"n":11', b'"n":"\\ud800"')],
        {"record.form"},
    ),
}


@pytest.mark.parametrize("case", TAMPERINGS)
def test_tamperings_are_invalid(case: str, sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each change to the bytes is invalid, under its codes, whether the log is lines or a journal."""
    tamper, codes = TAMPERINGS[case]
    records = tamper(sim)
    assert records != sim.records()
    verdict, found, code = ask(capsys, sim.write_lines(tmp_path / "log", records))
    assert (verdict, set(found), code) == ("invalid", codes, 1)
    journal = simulator.write_journal(tmp_path / "journal", sim.name, records)
    verdict, found, code = ask(capsys, journal)
    assert (verdict, set(found) - {"chain.seq", "payload.missing"}, code) == ("invalid", codes - {"chain.seq"}, 1)


def test_only_an_anchor_shows_a_key_holder_s_edit(sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Edit and rehash, backdating, forks: consistent alone, diverged where a head names what was."""
    for number, records in enumerate(
        [
            sim.edit_and_rehash(4, lambda members: members["body"].update(n=99)),
            sim.backdate(4),
            sim.fork(4),
        ]
    ):
        log = simulator.write_lines(tmp_path / f"log{number}", records)
        assert ask(capsys, log) == ("consistent", [], 0)
        assert ask(capsys, log, "--head", sim.head(3)) == ("consistent", [], 0)
        assert ask(capsys, log, "--head", sim.head(4)) == ("diverged", ["trailer.mismatch"], 1)


def test_the_worst_finding_is_the_verdict(sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Invalid outranks diverged and incomplete."""
    records = simulator.flip_signature(sim.fork(4), 2)
    log = simulator.write_lines(tmp_path / "log", records)
    assert ask(capsys, log, "--head", sim.head(4))[0] == "invalid"
    assert ask(capsys, log, "--head", sim.head())[0] == "invalid"


def test_another_log_s_name(sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log that is not the one asked for is invalid, once."""
    log = sim.write_lines(tmp_path / "log")
    assert ask(capsys, log, "--name", "0" * 32) == ("invalid", ["log.id"], 1)
    assert ask(capsys, log, "--head", f"{'0' * 32}/0/{'0' * 64}") == ("invalid", ["log.id"], 1)


def test_a_torn_newline_is_no_damage(sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A last line without newline is a record where it is whole, and malformed where it is cut."""
    log = tmp_path / "log"
    data = sim.write_lines(log).read_bytes()
    log.write_bytes(data[:-1])
    assert ask(capsys, log, "--head", sim.head()) == ("consistent", [], 0)
    log.write_bytes(data[:-2])
    assert ask(capsys, log) == ("invalid", ["record.form"], 1)


@pytest.mark.parametrize("seq", [0, 1, 6])
def test_every_flipped_byte_is_invalid(seq: int, sim: LogSimulator) -> None:
    """Whichever byte of a genesis, a prompt or a rotation changes, the log is invalid."""
    for place in range(len(sim.records()[seq])):
        chain = independent.Chain(independent.Findings(), None, independent.Trusted(None, independent.Revocations()))
        data = b"\n".join(simulator.flip(sim.records(), seq, place, place % 8)[: seq + 2])
        for line in independent.read_lines(io.BytesIO(data)):
            chain.take(line)
        assert chain.findings.verdict == "invalid", place


def rotated(**how: Any) -> Records:
    """Return a log whose rotation is unlike others, and one more record by the new key."""
    sim = LogSimulator()
    sim.rotate(**how)
    sim.append("plan.updated")
    return sim.records()


@pytest.mark.parametrize(
    "how", [{"proof": ""}, {"proof_prev": "0" * 64}, {"signer": bytes(32)}], ids=["none", "over another", "by another"]
)
def test_a_rotation_without_proof(how: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The new key comes not into force."""
    log = simulator.write_lines(tmp_path / "log", rotated(**how))
    assert ask(capsys, log) == ("invalid", ["key.rotation", "key.unexpected", "signature.bad"], 1)


@pytest.mark.parametrize(
    "public_key", [None, 1, "", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
)
def test_a_genesis_without_a_sound_key(public_key: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No key, or one of small order, is refused."""
    sim = LogSimulator(public_key=public_key)
    assert ask(capsys, sim.write_lines(tmp_path / "log")) == ("invalid", ["genesis.key"], 1)


def test_small_orders_and_odd_spellings() -> None:
    """Every point whose order divides 8, in every spelling, is refused; our keys are not."""
    p, y8 = 2**255 - 19, 2707385501144840649318225287225658788936804267575313519463743609750303402022
    for y in [0, 1, p - 1, y8, p - y8, *range(p, 2**255)]:
        for sign in (0, 1):
            assert not independent.is_sound_key((y | sign << 255).to_bytes(32, "little"))
    sim = LogSimulator()
    for _ in range(5):
        sim.rotate()
        assert independent.parse_public_key(sim.public_key, "genesis.key")


def test_unknown_kinds_are_told_and_change_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A kind of a newer writer is kept."""
    sim = LogSimulator()
    sim.append("dream.recorded")
    assert ask(capsys, sim.write_lines(tmp_path / "log")) == ("consistent", ["kind.unknown"], 0)


PAYLOAD_EDITS: dict[str, Callable[[list[PayloadRow]], list[PayloadRow]]] = {
    "other bytes": lambda rows: [rows[0]._replace(data=b"x"), *rows[1:]],
    "other bytes of equal length": lambda rows: [*rows[:1], rows[1]._replace(data=b"pX"), *rows[2:]],
    "another salt": lambda rows: [rows[0]._replace(salt=bytes(32)), *rows[1:]],
    "a short salt": lambda rows: [rows[0]._replace(salt=b""), *rows[1:]],
    "salt and bytes shifted": lambda rows: [
        rows[0],
        rows[1]._replace(salt=rows[1].salt + rows[1].data[:1], data=rows[1].data[1:]),
        *rows[2:],
    ],
    "another name": lambda rows: [rows[0]._replace(name="other"), *rows[1:]],
    "another entry": lambda rows: [*rows, rows[0]._replace(seq=6)],
    "an entry that is not there": lambda rows: [*rows, rows[0]._replace(seq=99)],
    "text instead of bytes": lambda rows: [rows[0]._replace(data="x"), *rows[1:]],
}


@pytest.mark.parametrize("case", PAYLOAD_EDITS)
def test_payload_edits(case: str, sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A payload that is not what its record commits to makes the log invalid."""
    rows = PAYLOAD_EDITS[case](sim.payload_rows())
    log = sim.write_journal(tmp_path / "journal", payloads=rows)
    verdict, codes, code = ask(capsys, log)
    assert (verdict, set(codes) - {"payload.missing"}, code) == ("invalid", {"payload.mismatch"}, 1)


def test_payloads_that_are_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A payload that a journal lacks makes it incomplete, unless an entry says that it was erased; the chain stands."""
    sim = LogSimulator()
    seq = sim.append("prompt.submitted", payloads={"extra": b"", "prompt": b"p"})
    gone = [row for row in sim.payload_rows() if row.name != "prompt"]
    assert ask(capsys, sim.write_journal(tmp_path / "a", payloads=gone)) == ("incomplete", ["payload.missing"], 1)
    sim.append("payload.erased", {"payloads": [{"seq": seq, "name": "prompt"}, "junk", {"seq": [], "name": "x"}]})
    assert ask(capsys, sim.write_journal(tmp_path / "b", payloads=gone)) == ("consistent", [], 0)
    assert ask(capsys, sim.write_lines(tmp_path / "c")) == ("consistent", [], 0)


# --- Trust


def signers(sim: LogSimulator) -> list[str]:
    """Return the public keys of a log, in the order they came into force."""
    genesis, *rotations = [members_of(data) for data in sim.records() if b".rotated" in data or b"log.opened" in data]
    return [genesis["body"]["public_key"], *[members["body"]["public_key"] for members in rotations]]


GOOD_LINES = {
    "plain": "ledger-x {key}",
    "a comment": "ledger-x {key} somebody's laptop",
    "the namespace": 'ledger-x namespaces="ledger-entry" {key}',
    "two namespaces": 'ledger-x namespaces="git,ledger-entry" {key}',
    "a pattern": 'ledger-x namespaces="ledger-*" {key}',
    "an upper-case option": 'ledger-x NAMESPACES="ledger-entry" {key}',
    "principals in quotes": '"ledger x,*@example.invalid" {key}',
    "several principals": "a@example.invalid,ledger-x {key}",
    "a window": 'ledger-x valid-after="202601011200",namespaces="ledger-entry",valid-before="29990101" {key}',
    "one of two windows": 'ledger-x valid-before="20200101Z" {key}\nledger-x valid-after="20260102000000Z" {key}',
    "white space": "   ledger-x \t {key}   ",
    "carriage return": "ledger-x {key}\r",
}
BAD_LINES = {
    "nothing": "",
    "a remark": "# ledger-x {key}",
    "another namespace": 'ledger-x namespaces="git" {key}',
    "no namespace": 'ledger-x namespaces="" {key}',
    "the namespace excluded": 'ledger-x namespaces="*,!ledger-entry" {key}',
    "a longer namespace": 'ledger-x namespaces="ledger-entry@v1" {key}',
    "an authority": "ledger-x cert-authority {key}",
    "an authority with the namespace": 'ledger-x cert-authority,namespaces="ledger-entry" {key}',
    "an unknown option": "ledger-x anything-goes {key}",
    "an open quote": 'ledger-x namespaces="ledger-entry {key}',
    "no principal": "{key}",
    "another key type": "ledger-x ecdsa-sha2-nistp256 {key}",
    "a broken key": "ledger-x ssh-ed25519 AAAA{key}",
    "no time": 'ledger-x valid-before="2999" {key}',
    "a day that is none": 'ledger-x valid-before="29990230" {key}',
    "two ends": 'ledger-x valid-before="29990101",valid-before="29990102" {key}',
    "an empty window": 'ledger-x valid-after="20260101",valid-before="20260101" {key}',
}
WINDOWS = {  # the log's entries claim the first seconds of 2026-01-02
    "over before": ('valid-before="20200101"', "invalid", ["key.window"] * 2),
    "not begun": ('valid-after="29990101Z"', "invalid", ["key.window"] * 2),
    "over in between": ('valid-before="20260102000007"', "invalid", ["key.window"]),
    "over by now": ('valid-before="20260103"', "incomplete", ["key.expired"]),
}


def trust_file(tmp_path: Path, line: str, keys: list[str]) -> Path:
    """Write an allowed_signers file with `line` for each key, among other lines."""
    path = tmp_path / "allowed_signers"
    lines = ["# who may sign", "", "somebody ssh-rsa AAAAB3Nz", *[line.replace("{key}", key) for key in keys], "junk \xff"]
    path.write_text("\n".join(lines), "latin-1")
    return path


@pytest.mark.parametrize("case", GOOD_LINES)
def test_trusted_keys(case: str, sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines that let a key sign entries, in all the ways OpenSSH writes them."""
    trust = trust_file(tmp_path, GOOD_LINES[case], signers(sim))
    assert ask(capsys, sim.write_lines(tmp_path / "log"), "--trust", trust) == ("consistent", [], 0)


@pytest.mark.parametrize("case", BAD_LINES)
def test_untrusted_keys(case: str, sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines that do not let a key sign entries leave both keys of the log untrusted."""
    trust = trust_file(tmp_path, BAD_LINES[case], signers(sim))
    assert ask(capsys, sim.write_lines(tmp_path / "log"), "--trust", trust) == ("invalid", ["key.untrusted"] * 2, 1)


@pytest.mark.parametrize("case", WINDOWS)
def test_windows_of_keys(case: str, sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A claimed time outside its key's window is invalid; behind the last key's window nobody vouches for the end."""
    options, verdict, codes = WINDOWS[case]
    trust = trust_file(tmp_path, f"ledger-x {options} {{key}}", signers(sim))
    assert ask(capsys, sim.write_lines(tmp_path / "log"), "--trust", trust) == (verdict, codes, 1)


def test_every_key_in_force_must_be_trusted(sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trust in the first key is not trust in the one it rotated to."""
    trust = trust_file(tmp_path, "ledger-x {key}", signers(sim)[:1])
    assert ask(capsys, sim.write_lines(tmp_path / "log"), "--trust", trust) == ("invalid", ["key.untrusted"], 1)


def test_a_log_made_anew_under_a_stranger_s_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Consistent in itself: only the name or the trusted key tells it apart."""
    sim = LogSimulator()
    sim.append("plan.updated")
    log = simulator.write_lines(tmp_path / "log", simulator.adopt(sim.records()))
    trust = trust_file(tmp_path, "ledger-x {key}", [sim.public_key])
    assert ask(capsys, log) == ("consistent", [], 0)
    assert ask(capsys, log, "--name", sim.name) == ("invalid", ["log.id"], 1)
    assert ask(capsys, log, "--trust", trust) == ("invalid", ["key.untrusted"], 1)


# --- Git


class Place:
    """A repository with a root commit, and a log bound to it."""

    def __init__(self, sandbox: Sandbox, tmp_path: Path) -> None:
        self.sandbox = sandbox
        self.repo = sandbox.make_repo(commit=True)
        self.root = sandbox.git("rev-parse", "HEAD", cwd=self.repo)
        self.sim = LogSimulator([self.root])
        self.log = tmp_path / "log"

    def record(self, oid: str, more: dict[str, Any] | None = None) -> None:
        """Append what git says of commit `oid`, or what `more` says instead."""
        git = self.sandbox.git
        parents = git("show", "-s", "--format=%P", oid, cwd=self.repo).split()
        body = {
            "oid": oid,
            "tree": git("rev-parse", f"{oid}^{{tree}}", cwd=self.repo),
            "parents": parents,
            "paths": [],
            **(more or {}),
        }
        self.sim.append("commit.recorded", body, source="git")

    def ask(self, capsys: pytest.CaptureFixture[str], repo: Path | None = None) -> tuple[str, list[str], int]:
        """Verify the log against the repository."""
        return ask(capsys, self.sim.write_lines(self.log), "--repo", repo or self.repo)


@pytest.fixture
def place(sandbox: Sandbox, tmp_path: Path) -> Place:
    """Return a bound log."""
    return Place(sandbox, tmp_path)


def test_a_log_in_its_repository(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Roots, recorded commits, merges and trailers agree."""
    oid = place.sandbox.commit(place.repo, f"work\n\nLedger-Entry: {place.sim.head()}", {"a": "1"})
    place.record(oid)
    place.sandbox.git("checkout", "-q", "-b", "side", place.root, cwd=place.repo)
    place.sandbox.commit(place.repo, f"Ledger-Entry: {place.sim.head()}\n\nsquashed", {"b": "1"})
    place.sandbox.git("merge", "-q", "-m", f"merge\n  Ledger-Entry:{place.sim.head(0)} \nend", "main", cwd=place.repo)
    place.record(place.sandbox.git("rev-parse", "HEAD", cwd=place.repo))
    assert place.ask(capsys) == ("consistent", [], 0)


def test_a_log_in_another_repository(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Replayed elsewhere, none of the log's roots is there."""
    other = place.sandbox.make_repo("other")
    place.sandbox.commit(other, "something else", {"x": "y"})
    place.record(place.root)
    verdict, codes, code = place.ask(capsys, other)
    assert (verdict, sorted(codes), code) == ("invalid", ["commit.absent", "genesis.roots"], 1)


def test_a_root_that_only_the_ledger_holds(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A root that is reachable from the ledger's own refs alone binds nothing."""
    git = place.sandbox.git
    git("update-ref", "refs/ledger/logs/x", place.root, cwd=place.repo)
    git("checkout", "-q", "--orphan", "fresh", cwd=place.repo)
    place.sandbox.commit(place.repo, "another root", {"x": "y"})
    git("branch", "-q", "-D", "main", cwd=place.repo)
    assert place.ask(capsys) == ("invalid", ["genesis.roots"], 1)
    git("branch", "-q", "main", place.root, cwd=place.repo)
    assert place.ask(capsys) == ("consistent", [], 0)


def test_a_root_that_has_parents(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A commit with parents is no root, though a replacement may hide them."""
    oid = place.sandbox.commit(place.repo, "second", {"x": "y"})
    place.sim = LogSimulator([oid])
    assert place.ask(capsys) == ("invalid", ["genesis.roots"], 1)
    place.sandbox.git("replace", "--graft", oid, cwd=place.repo)
    assert place.ask(capsys) == ("invalid", ["genesis.roots"], 1)


def test_a_shallow_history(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the root was cut off, the answer is incomplete."""
    place.sandbox.commit(place.repo, "second", {"x": "y"})
    shallow = place.sandbox.root / "shallow"
    place.sandbox.git("clone", "-q", "--depth", "1", place.repo.as_uri(), str(shallow), cwd=place.sandbox.root)
    assert place.ask(capsys, shallow) == ("incomplete", ["genesis.roots"], 1)


def test_a_log_that_began_before_the_first_commit(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Without roots the recorded commits bind, where they are known; that the first was amended does no harm."""
    place.sim = LogSimulator([])
    assert place.ask(capsys) == ("consistent", [], 0)
    place.record(place.root)
    assert place.ask(capsys) == ("consistent", [], 0)
    place.sandbox.git("commit", "-q", "--amend", "--allow-empty", "-m", "amended", cwd=place.repo)
    assert place.ask(capsys) == ("invalid", ["genesis.roots"], 1)
    place.record(place.sandbox.git("rev-parse", "HEAD", cwd=place.repo))
    assert place.ask(capsys) == ("consistent", [], 0)


@pytest.mark.parametrize("roots", ["", None, {}, [[]], [None], ["x"]], ids=repr)
def test_roots_of_another_form(roots: Any, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Roots that are no commit ids bind nothing."""
    place.sim = LogSimulator(roots)
    assert place.ask(capsys) == ("invalid", ["genesis.roots"], 1)


@pytest.mark.parametrize(
    "more",
    [
        {"tree": "0" * 40},
        {"tree": None},
        {"parents": ["0" * 40]},
        {"parents": {}},
        {"oid": "--help"},
        {"oid": "HEAD"},
        {"oid": ["x"]},
        {"oid": "0" * 39},
        {"oid": "0" * 40 + "\n"},
    ],
    ids=repr,
)
def test_a_commit_that_is_not_what_was_recorded(more: dict[str, Any], place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Tree, parents and id of a commit that is here must be what the entry says."""
    place.record(place.root, more)
    assert place.ask(capsys) == ("invalid", ["commit.mismatch"], 1)


def test_a_tree_recorded_as_a_commit(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """An object of another type is no commit."""
    place.record(place.root, {"oid": place.sandbox.git("rev-parse", "HEAD^{tree}", cwd=place.repo)})
    assert place.ask(capsys) == ("invalid", ["commit.mismatch"], 1)


def test_an_abandoned_commit(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A commit that is not here, or that no ref reaches, changes no verdict; nothing is fetched for it."""
    place.record(place.root, {"oid": "1" * 40})
    place.record(place.root, {"oid": "2" * 64})
    assert place.ask(capsys) == ("consistent", ["commit.absent"] * 2, 0)


def test_a_trailer_beyond_the_log(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A tail was cut, or the commit came from elsewhere: incomplete."""
    place.sandbox.commit(place.repo, f"x\n\nLedger-Entry: {place.sim.name}/7/{'0' * 64}")
    assert place.ask(capsys) == ("incomplete", ["trailer.beyond"], 1)


def test_a_trailer_that_names_another_history(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Another hash at a place that the log has: diverged, on any branch, in any message."""
    place.sandbox.git("checkout", "-q", "-b", "side", cwd=place.repo)
    place.sandbox.commit(place.repo, f"x\nLedger-Entry: {place.sim.name}/0/{'0' * 64}\r\nmore")
    place.sandbox.git("checkout", "-q", "main", cwd=place.repo)
    assert place.ask(capsys) == ("diverged", ["trailer.mismatch"], 1)


def test_a_trailer_that_was_disowned(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A forged line is excused where the log said so of this commit, and of no other."""
    line = f"{place.sim.name}/0/{'0' * 64}"
    oid = place.sandbox.commit(place.repo, f"x\n\nLedger-Entry: {line}")
    place.record(oid, {"trailers": [{"line": line, "genuine": False}, "junk", {"line": []}, {}]})
    assert place.ask(capsys) == ("consistent", [], 0)
    place.sandbox.commit(place.repo, f"y\n\nLedger-Entry: {line}")
    assert place.ask(capsys) == ("diverged", ["trailer.mismatch"], 1)


def test_lines_that_name_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Other logs, other spellings and other text are no trailers of this log."""
    name, zeros = place.sim.name, "0" * 64
    values = [f"{'f' * 32}/0/{zeros}", f"{name}/00/{zeros}", f"{name}/9007199254740992/{zeros}", f"{name}/0/{zeros} x", name]
    trailers = [f"Ledger-Entry: {value}" for value in values]
    place.sandbox.commit(place.repo, "\n".join(["x", "", *trailers, f"see Ledger-Entry: {name}/0/{zeros}"]))
    assert place.ask(capsys) == ("consistent", [], 0)


def test_seals_are_not_history(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Messages on the ledger's own refs are not looked at."""
    git = place.sandbox.git
    oid = place.sandbox.commit(place.repo, f"x\n\nLedger-Entry: {place.sim.name}/0/{'0' * 64}")
    git("update-ref", "refs/ledger/logs/a/b", oid, cwd=place.repo)
    git("reset", "-q", "--hard", place.root, cwd=place.repo)
    assert place.ask(capsys) == ("consistent", [], 0)


def test_a_repository_without_commits_and_one_of_sha256(
    sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both can be asked."""
    empty = sandbox.make_repo("empty")
    sim = LogSimulator([])
    assert ask(capsys, sim.write_lines(tmp_path / "log"), "--repo", empty) == ("consistent", [], 0)
    repo = sandbox.make_repo("sha256", "--object-format=sha256", commit=True)
    root = sandbox.git("rev-parse", "HEAD", cwd=repo)
    sim = LogSimulator([root], object_format="sha256")
    sim.append("commit.recorded", {"oid": root, "tree": sandbox.git("rev-parse", "HEAD^{tree}", cwd=repo), "parents": []})
    assert ask(capsys, sim.write_lines(tmp_path / "log2"), "--repo", repo) == ("consistent", [], 0)


def test_git_s_exported_variables_do_not_mislead(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run from a hook of another repository, the given one is asked."""
    other = place.sandbox.make_repo("other", commit=False)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert place.ask(capsys) == ("consistent", [], 0)


# --- Hostile and broken places


def test_could_not_check(sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read is exit 3, with one line and no traceback."""
    log, folder = sim.write_lines(tmp_path / "log"), tmp_path / "folder"
    folder.mkdir()
    for arguments in (
        [tmp_path / "missing"],
        [folder],
        [log, "--trust", tmp_path / "missing"],
        [log, "--trust", folder],
        [log, "--repo", tmp_path / "missing"],
        [log, "--repo", "with\0nul"],
    ):
        assert independent.main(list(map(str, arguments))) == 3, arguments
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("could not check: ")
        assert err.count("\n") == 1


def test_a_folder_that_is_no_repository(sandbox: Sandbox, sim: LogSimulator, tmp_path: Path) -> None:
    """Asking git about a folder without repository is exit 3."""
    assert independent.main([str(sim.write_lines(tmp_path / "log")), "--repo", str(sandbox.home)]) == 3


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["log", "--name", "x"],
        ["log", "--head", "x/y/z"],
        ["log", "--head", f"{'0' * 32}/0/{'0' * 64}\n"],
        ["log", "--no"],
        ["a", "b"],
    ],
)
def test_usage(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong options are exit 2."""
    with pytest.raises(SystemExit) as stopped:
        independent.main(options)
    assert stopped.value.code == 2


SCHEMAS = {
    "no table": "CREATE TABLE other (x)",
    "a view that never ends": """CREATE VIEW record AS
        WITH RECURSIVE n(seq, bytes) AS (SELECT 0, x'00' UNION ALL SELECT seq + 1, bytes FROM n) SELECT * FROM n""",
    "a payload view": """CREATE TABLE record (seq, bytes);
        CREATE VIEW payload AS SELECT 1 AS seq, 'a' AS name, x'' AS salt, x'' AS bytes""",
    "a computed column": "CREATE TABLE record (seq INTEGER PRIMARY KEY, bytes BLOB AS (zeroblob(seq)))",
    "no column bytes": "CREATE TABLE record (seq INTEGER PRIMARY KEY)",
    "a virtual table": "CREATE VIRTUAL TABLE record USING fts5(seq, bytes)",
}


@pytest.mark.parametrize("case", SCHEMAS)
def test_databases_that_are_no_journal(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A database of another shape could not be checked, and cannot keep us busy."""
    db = sqlite3.connect(tmp_path / "db")
    try:
        db.executescript(SCHEMAS[case])
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no such module")
    finally:
        db.close()
    assert independent.main([str(tmp_path / "db")]) == 3


def test_rows_that_are_no_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of odd types and numbers are findings."""
    sim = LogSimulator()
    db = sqlite3.connect(tmp_path / "db")
    db.executescript("CREATE TABLE record (seq, bytes)")
    rows = [(0, sim.records()[0]), (1, "text"), (2, None), (None, b""), ("x", b"{}"), (1.5, 7), (b"x", b"\xff" * (2 << 20))]
    db.executemany("INSERT INTO record VALUES (?, ?)", rows)
    db.commit()
    db.close()
    verdict, codes, code = ask(capsys, tmp_path / "db")
    assert (verdict, code) == ("invalid", 1)
    assert set(codes) >= {"record.form", "record.size"}


@pytest.mark.parametrize("size", [16, 17, 100, 4096, 5000])
def test_a_cut_database(size: int, sim: LogSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A database that SQLite cannot read is exit 3."""
    journal = sim.write_journal(tmp_path / "journal")
    cut = tmp_path / "cut"
    cut.write_bytes(journal.read_bytes()[:size])
    assert independent.main([str(cut)]) == 3


def test_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Random bytes are an invalid log, and findings without number do not fill the memory."""
    log = tmp_path / "log"
    log.write_bytes(os.urandom(100_000) + b"\n" * 20_000)
    assert independent.main([str(log), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] == "invalid"
    assert len(answer["findings"]) == 10_000 < answer["findings_count"]


def test_what_a_log_says_cannot_move_the_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters of a log never reach the terminal."""
    log = tmp_path / "log"
    log.write_bytes(b'{"entry":{"\\u001b[2J":"\x1b[2J"}}\n\x1b[31mred\n{"\xc2\x9b":1}\n')
    assert independent.main([str(log)]) == 1
    out = capsys.readouterr().out
    assert all(char == "\n" or char.isprintable() for char in out)


# --- As a program


def run(*arguments: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the script as a process of its own."""
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *map(str, arguments)], input=data, capture_output=True, check=False, timeout=60
    )


def test_standard_input(sim: LogSimulator) -> None:
    """`-` reads records from standard input; the exit code is the answer."""
    data = b"\n".join(sim.records())
    done = run("-", "--head", sim.head(), data=data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == f"consistent: log {sim.name}, 12 records\n"
    assert run("-", data=b"").returncode == 1
    assert run("-", "--json", data=data[:-100]).returncode == 1


def test_a_journal_in_use_is_only_read(sim: LogSimulator, tmp_path: Path) -> None:
    """A journal with an open writer is read as it is, and left so."""
    journal = sim.write_journal(tmp_path / "journal ?#%.db", sim.records()[:-1])
    db = sqlite3.connect(journal)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("INSERT INTO record VALUES (11, ?)", (sim.records()[-1],))
    db.commit()
    before = journal.read_bytes()
    done = run(journal, "--name", sim.name, "--head", sim.head())
    after = journal.read_bytes()
    db.close()
    assert (done.returncode, done.stderr) == (0, b"")
    assert before == after


def test_the_program_says_what_it_could_not_check(tmp_path: Path) -> None:
    """Exit 3 and 2, without traceback."""
    done = run(tmp_path / "missing")
    assert done.returncode == 3
    assert b"Traceback" not in done.stderr
    assert run().returncode == 2
