"""What each tampering yields, for each thing that may fix a log from outside; docs/threat-model.md shows the same table."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import simulator
from scene import Scene, codes, fill
from simulator import LogSimulator, PayloadRow
from test_verify_sealed import tag

from ledger.core.checkpoint import build_cosignature
from ledger.core.entry import hash_record, parse_record
from ledger.core.note import COSIGNATURE, Note, NoteKey, format_note, parse_note
from ledger.core.seal import format_segment
from ledger.core.signers import format_signer
from ledger.core.sshsig import fingerprint, parse_public_key
from ledger.errors import NoLedger
from ledger.store import pins
from ledger.store import state as places
from ledger.verify.chain import walk
from ledger.verify.notes import Notes
from ledger.verify.signatures import EverySignature
from ledger.verify.verdict import RULES, Findings, Report, worst
from ledger.verify.verifier import Options, verify_repository

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "threat-model.md"
REWRITE = "REWRITE_THREAT_TABLE" in os.environ  # how the table in the page is brought up to date
BEGIN, END = "<!-- tampering table: written by tests/verify/test_tampering.py -->", "<!-- end of the tampering table -->"

COLUMNS = (
    *("default", "`--full`", "`--trust`", "pin", "trailer, local", "trailer, pushed"),
    *("sealed", "`log.seen`", "signed tag", "witness"),
)
BEGIN_REFS, END_REFS = "<!-- table of refs: written by tests/verify/test_tampering.py -->", "<!-- end of the table of refs -->"
REF_COLUMNS = ("a fresh clone", "the writer's clone", "pin", "trailer, pushed", "`log.seen`", "signed tag", "witness")
MIDDLE, NEAR_END = 4, 9


class Tampered(NamedTuple):
    """What somebody left behind: records (None: no journal at all), payload rows, and under which name."""

    records: list[bytes] | None
    payloads: list[PayloadRow]
    log: str
    amended: str | None = None  # the head that the local commit now quotes


class Attack(NamedTuple):
    """One tampering: who needs what for it, and how it is done."""

    name: str
    needs: str
    run: Callable[[LogSimulator], Tampered]


def _records(change: Callable[[LogSimulator], list[bytes]]) -> Callable[[LogSimulator], Tampered]:
    return lambda sim: Tampered(change(sim), sim.payload_rows(), sim.name)


def _edit(members: dict[str, Any]) -> None:
    members["body"] = {"permission_mode": "never happened"}


def _resign_without_key(sim: LogSimulator) -> list[bytes]:
    """Edit an entry and remake all later links, signing with a stranger's key under the name of the right one."""
    stranger = os.urandom(32)
    return simulator.rebuild(sim.records(), dict.fromkeys(sim.seeds, stranger) | _rotation_seeds(sim), {MIDDLE: _edit})


def _rotation_seeds(sim: LogSimulator) -> dict[str, bytes]:
    return {f"proof {number}": seed for number, seed in enumerate(sim.seeds.values())}


def _append_as_stranger(sim: LogSimulator) -> list[bytes]:
    seed = os.urandom(32)
    return [*sim.records(), simulator._sign(sim.members("prompt.submitted"), seed)]


def _bad_signature_inside(sim: LogSimulator) -> list[bytes]:
    """What a broken or lying recorder may write: a record with a bad signature, and good ones after it."""
    records = simulator.rebuild(sim.records(), sim.seeds, {MIDDLE: _edit})
    bad = simulator.resign_with_stranger(records, MIDDLE)
    return [*bad[: MIDDLE + 1], *simulator.rebuild(bad, sim.seeds, {MIDDLE + 1: lambda members: None})[MIDDLE + 1 :]]


def _adopt(sim: LogSimulator) -> Tampered:
    """Make the whole log anew under a stranger's key, and let the clone map name the new log."""
    plain = [record for record in sim.records() if parse_record(record).entry.kind != "key.rotated"]
    renumbered: dict[int, Callable[[dict[str, Any]], None]] = {}
    for place in range(len(plain)):
        renumbered[place] = lambda members, seq=place: members.update(seq=seq, **({"cause": seq - 1} if "cause" in members else {}))
    seed = os.urandom(32)
    key, public = _names_of(seed)

    def edit(place: int) -> Callable[[dict[str, Any]], None]:
        def change(members: dict[str, Any]) -> None:
            renumbered[place](members)
            members["key"] = key
            if place == 0:
                members["body"]["public_key"] = public

        return change

    records = simulator.rebuild(plain, {key: seed}, {place: edit(place) for place in range(len(plain))})
    old = [parse_record(record).entry.seq for record in plain]
    rows = [row._replace(seq=old.index(row.seq)) for row in sim.payload_rows()]
    return Tampered(records, rows, simulator.log_id(parse_record(records[0]).entry_bytes))


def _names_of(seed: bytes) -> tuple[str, str]:
    public = simulator.public_key_of(seed)
    return fingerprint(public), simulator.format_public_key(public)


def _replay(sim: LogSimulator) -> Tampered:
    """Bring the log of another repository here."""
    other = LogSimulator()
    other.append("prompt.submitted")
    return Tampered(other.records(), [], other.name)


def _edit_payload(sim: LogSimulator) -> Tampered:
    rows = sim.payload_rows()
    rows[2] = rows[2]._replace(data=rows[2].data[:-1] + b"!")
    return Tampered(sim.records(), rows, sim.name)


def _drop_payload(sim: LogSimulator) -> Tampered:
    return Tampered(sim.records(), sim.payload_rows()[1:], sim.name)


def _amend_too(sim: LogSimulator) -> Tampered:
    records = sim.edit_and_rehash(MIDDLE, _edit)
    head = f"{sim.name}/{len(records) - 1}/{hash_record(records[-1])}"
    return Tampered(records, sim.payload_rows(), sim.name, head)


def _fork(sim: LogSimulator) -> Tampered:
    rows = [row for row in sim.payload_rows() if row.seq < NEAR_END]
    return Tampered(sim.fork(NEAR_END), rows, sim.name)


def _cut(sim: LogSimulator) -> Tampered:
    rows = [row for row in sim.payload_rows() if row.seq < NEAR_END]
    return Tampered(simulator.truncate(sim.records(), NEAR_END), rows, sim.name)


FILES, KEY = "write access", "the key"
ATTACKS = [
    Attack("nothing", "", _records(lambda sim: sim.records())),
    Attack("one bit of an entry flipped", FILES, _records(lambda sim: simulator.flip(sim.records(), MIDDLE, 40))),
    Attack("one bit of a signature flipped", FILES, _records(lambda sim: simulator.flip_signature(sim.records(), MIDDLE))),
    Attack("one bit of the last signature flipped", FILES, _records(lambda sim: simulator.flip_signature(sim.records(), -1))),
    Attack("an entry deleted", FILES, _records(lambda sim: simulator.drop(sim.records(), MIDDLE))),
    Attack("two entries swapped", FILES, _records(lambda sim: simulator.swap(sim.records(), MIDDLE, MIDDLE + 1))),
    Attack("an entry there twice", FILES, _records(lambda sim: simulator.duplicate(sim.records(), MIDDLE))),
    Attack("an entry appended without the key", FILES, _records(_append_as_stranger)),
    Attack("an entry edited, later links remade without the key", FILES, _records(_resign_without_key)),
    Attack("a payload edited", FILES, _edit_payload),
    Attack("a payload deleted", FILES, _drop_payload),
    Attack("the tail cut, or the journal rolled back to an older copy", FILES, _cut),
    Attack("all entries deleted", FILES, lambda sim: Tampered([], [], sim.name)),
    Attack("the journal deleted", FILES, lambda sim: Tampered(None, [], sim.name)),
    Attack("another repository's log put in its place", FILES, _replay),
    Attack("the whole log made anew under a stranger's key", FILES, _adopt),
    Attack("an entry edited, all after it made anew", KEY, _records(lambda sim: sim.edit_and_rehash(MIDDLE, _edit))),
    Attack("an entry backdated, all after it made anew", KEY, _records(lambda sim: sim.backdate(NEAR_END + 2))),
    Attack("the tail replaced by other entries", KEY, _fork),
    Attack("an entry edited, and the local commit amended to fit", KEY, _amend_too),
    Attack("an entry with a bad signature written, good ones after it", KEY, _records(_bad_signature_inside)),
]


class Stage:
    """One repository and its good log; puts every tampering on it, under every column's circumstances."""

    def __init__(self, sandbox: Any) -> None:
        self.scene = fill(Scene(sandbox, sandbox.make_repo(commit=True)))
        self.base = sandbox.git("rev-parse", "HEAD", cwd=self.scene.path)
        self.honest = self._commit(self.scene.sim.head())
        self.trust = sandbox.root / "trusted"
        keys = [parse_public_key(_names_of(seed)[1]) for seed in self.scene.sim.seeds.values()]
        self.trust.write_text("".join(f"{format_signer('ledger-ada', key)}\n" for key in keys))
        self.by = LogSimulator(roots=[self.base])
        keys.append(parse_public_key(self.by.public_key))
        self.enrolled = self._enroll(keys)
        self.sealed = self.scene.seal(3, NEAR_END, len(self.scene.sim.records()))
        seed = os.urandom(32)
        self.witness = NoteKey("witness.example/w1", COSIGNATURE, simulator.public_key_of(seed))
        note = parse_note(self.scene.sim.note(len(self.scene.sim.records())))
        line = build_cosignature(self.witness, note.text, 1767323045, lambda message: simulator.sign_message(seed, message))
        self.note = format_note(Note(note.text, (*note.signatures, line)))
        below = self.scene.seal(3, NEAR_END)
        self.cosigned = self.scene.put_seal(self.note, format_segment(self.scene.sim.records()[NEAR_END:]), below)
        self._see(self.scene.sim.note(len(self.scene.sim.records())))

    def verify(self, column: str, attack: Attack) -> Report:
        """Return the verifier's answer to one attack under one column's circumstances."""
        done = attack.run(self.scene.sim)
        self._set_refs(column, done)
        Path(pins.pins_path(self.scene.state)).unlink(missing_ok=True)
        if column == "pin":
            self.scene.adopt(self.scene.sim.name)
            self.scene.install()
            assert self.scene.verify().verdict == "consistent"
        self.scene.adopt(done.log)
        if done.log != self.scene.sim.name:
            Path(places.journal_path(self.scene.state, self.scene.sim.name)).unlink(missing_ok=True)
        self.scene.install(done.records or [], done.payloads, done.log)
        if done.records is None:
            self.journal(done).unlink()
        witnesses = (self.witness,) if column == "witness" else ()
        trust = str(self.trust) if column == "`--trust`" else None
        return self.scene.verify(full=column == "`--full`", trust=trust, witnesses=witnesses)

    def verify_ref(self, column: str, attack: RefAttack) -> Report | None:
        """Return the verifier's answer to an attack on the ref, None where it finds nothing to check."""
        scene, sim = self.scene, self.scene.sim
        self._clear_refs()
        git, path = scene.sandbox.git, scene.path
        branch = self._commit(sim.head(), self.enrolled) if column == "trailer, pushed" else self.enrolled
        for ref in ("refs/heads/main", "refs/remotes/origin/main"):
            git("update-ref", ref, branch, cwd=path)
        self._outside(column, sealed=self.cosigned if column == "witness" else self.sealed)
        state = scene.state
        if column == "the writer's clone":
            scene.adopt(sim.name)
            scene.install()
            self._remember_seals()
            Path(pins.pins_path(state)).unlink(missing_ok=True)
        else:
            self.machines += 1
            state = str(scene.sandbox.root / f"machine-{self.machines}")
        if column == "pin":
            assert verify_repository(scene.repo, state, Options()).verdict == "consistent"
        attack.run(self)
        try:
            return verify_repository(scene.repo, state, Options(witnesses=(self.witness,)))
        except NoLedger:
            return None

    machines = 0

    def journal(self, done: Tampered) -> Path:
        """Return where the tampered journal lies."""
        return Path(places.journal_path(self.scene.state, done.log))

    def _set_refs(self, column: str, done: Tampered) -> None:
        git, path = self.scene.sandbox.git, self.scene.path
        local = self.honest if done.amended is None else self._commit(done.amended)
        branch = {"trailer, local": local, "trailer, pushed": local}.get(column, self.base)
        git("update-ref", "refs/heads/main", branch, cwd=path)
        git("update-ref", "refs/remotes/origin/main", self.honest if column == "trailer, pushed" else self.base, cwd=path)

        self._outside(column, sealed=self.cosigned if column == "witness" else self.sealed if column == "sealed" else None)

    def _outside(self, column: str, sealed: str | None) -> None:
        """Put what the column has outside the log: the log's own seals, another log that saw it, a signed tag."""
        self._clear_refs()
        if sealed is not None:
            self.scene.set_ref(sealed)
        if column in ("sealed", "`log.seen`", "signed tag", "witness"):
            self.scene.sandbox.git("update-ref", "refs/heads/main", self.enrolled, cwd=self.scene.path)
        if column == "`log.seen`":
            self.seal_other(self.by.records())
        if column == "signed tag":
            tag(self.scene, "v1", self.scene.sim.head(), self.by.seeds[self.by.key])

    def seal_other(self, records: list[bytes]) -> None:
        """Put the other log's seal of `records` on its ref."""
        self.scene.set_ref(self.scene.put_seal(self.by.note(len(records), records), format_segment(records)), self.by.name)

    def _clear_refs(self) -> None:
        git, path = self.scene.sandbox.git, self.scene.path
        for ref in git("for-each-ref", "--format=%(refname)", "refs/ledger", "refs/tags", cwd=path).split():
            git("update-ref", "-d", ref, cwd=path)

    def _remember_seals(self) -> None:
        size = len(self.scene.sim.records())
        db = sqlite3.connect(places.journal_path(self.scene.state, self.scene.sim.name))
        with db:
            db.executemany("INSERT INTO meta VALUES (?, ?)", {"sealed_tip": self.sealed, "sealed_size": str(size)}.items())
        db.close()

    def _see(self, note: bytes) -> None:
        lines = note.decode().split("\n")
        body = {"log": self.scene.sim.name, "size": int(lines[1]), "root": lines[2], "checkpoint": note.decode()}
        self.by.append("log.seen", body, source="git")

    def _enroll(self, keys: list[bytes]) -> str:
        lines = "".join(f"{format_signer('ledger-ada', key)}\n" for key in keys)
        oid: str = self.scene.sandbox.commit(self.scene.path, "enroll", {".ledger/allowed_signers": lines})
        return oid

    def _commit(self, head: str, parent: str = "") -> str:
        message, parent = f"change\n\nLedger-Entry: {head}\n", parent or self.base
        oid: str = self.scene.sandbox.git("commit-tree", "-p", parent, "-m", message, f"{parent}^{{tree}}", cwd=self.scene.path)
        return oid


class RefAttack(NamedTuple):
    """One tampering with the log's ref: who needs what for it, and how it is done."""

    name: str
    needs: str
    run: Callable[[Stage], None]


def _set(change: Callable[[Stage], str]) -> Callable[[Stage], None]:
    return lambda stage: stage.scene.set_ref(change(stage))


def _delete(stage: Stage) -> None:
    stage.scene.sandbox.git("update-ref", "-d", f"refs/ledger/logs/{stage.scene.sim.name}", cwd=stage.scene.path)


def _cut_middle(stage: Stage) -> str:
    return stage.scene.seal(tip=stage.scene.seal(NEAR_END), start=NEAR_END + 1)


def _edit_segment(stage: Stage, at: int) -> str:
    """Change a record in a segment, keep the checkpoint over it, and lay the later seals on top again."""
    scene, records = stage.scene, stage.scene.sim.records()
    changed = simulator.flip(records, at, 40)
    if at < NEAR_END:
        edited = scene.put_seal(scene.sim.note(NEAR_END), format_segment(changed[3:NEAR_END]), scene.seal(3))
        return scene.seal(tip=edited, start=NEAR_END)
    return scene.put_seal(scene.sim.note(len(records)), format_segment(changed[NEAR_END:]), scene.seal(3, NEAR_END))


def _put_other(stage: Stage) -> str:
    other = LogSimulator()
    return stage.scene.put_seal(other.note(1), format_segment(other.records()))


def _forge_seen(stage: Stage) -> None:
    """Let the other log's writer claim, without the accused log's key, that it saw more."""
    note = stage.scene.sim.note(len(stage.scene.sim.records()), seed=os.urandom(32)).decode()
    key = stage.scene.sim.note(len(stage.scene.sim.records())).decode().rpartition("— ")[2].split(" ")[1][:6]
    head, _, line = note.rpartition(" ")
    lines = note.split("\n")
    body = {"log": stage.scene.sim.name, "size": int(lines[1]), "root": lines[2], "checkpoint": f"{head} {key}{line[6:]}"}
    copy = stage.by._copy(len(stage.by.records()))
    copy.append("log.seen", body, source="git")
    stage.seal_other(copy.records())


def _lay_fork_on_top(stage: Stage) -> str:
    return stage.scene.seal(NEAR_END + 1, records=stage.scene.sim.fork(NEAR_END), tip=stage.sealed, start=NEAR_END)


PUSH = "may push"
REF_ATTACKS = [
    RefAttack("nothing", "", lambda stage: None),
    RefAttack("the ref deleted", PUSH, _delete),
    RefAttack("the ref set back to its first seal", PUSH, _set(lambda stage: stage.scene.seal(3))),
    RefAttack("the last seal cut off", PUSH, _set(lambda stage: stage.scene.seal(3, NEAR_END))),
    RefAttack("records left out between two seals", PUSH, _set(_cut_middle)),
    RefAttack("a foreign commit on top", PUSH, _set(lambda stage: stage.scene.put_seal(b"x", b"y", stage.sealed))),
    RefAttack("a record in the last segment edited", PUSH, _set(lambda stage: _edit_segment(stage, NEAR_END + 1))),
    RefAttack("a record in an earlier segment edited", PUSH, _set(lambda stage: _edit_segment(stage, 5))),
    RefAttack("another repository's ref put in its place", PUSH, _set(_put_other)),
    RefAttack("a forged `log.seen` against it", "the key of another log", _forge_seen),
    RefAttack(
        *("the tail replaced by other entries, and sealed", KEY),
        _set(lambda stage: stage.scene.seal(3, NEAR_END + 1, records=stage.scene.sim.fork(NEAR_END))),
    ),
    RefAttack(
        *("an entry edited, all after it made anew, and sealed", KEY),
        _set(lambda stage: stage.scene.seal(records=stage.scene.sim.edit_and_rehash(MIDDLE, _edit))),
    ),
    RefAttack("another history laid on top of the first", KEY, _set(_lay_fork_on_top)),
]


@pytest.fixture
def stage(sandbox: Any) -> Stage:
    """A stage with a good log on it."""
    return Stage(sandbox)


def _cell(attack: Attack, report: Report) -> str:
    if report.verdict in ("consistent", "anchored"):
        return report.verdict if attack.name == "nothing" else "**not seen**"
    return f"{report.verdict}: {', '.join(codes(report, 'error'))}"


def _ref_cell(attack: RefAttack, report: Report | None) -> str:
    """Warnings are named too: a foreign commit or a stranger's ref changes nothing, and is said."""
    if report is None:
        return "nothing to check"
    said = sorted({*codes(report, "error"), *codes(report, "warning")})
    if report.verdict in ("consistent", "anchored") and not said:
        return report.verdict if attack.name == "nothing" else "**not seen**"
    return f"{report.verdict}: {', '.join(said)}"


def _ref_table(stage: Stage) -> list[str]:
    lines = [f"| tampering | needs | {' | '.join(REF_COLUMNS)} |", "|---|---|" + "---|" * len(REF_COLUMNS)]
    for attack in REF_ATTACKS:
        cells = [_ref_cell(attack, stage.verify_ref(column, attack)) for column in REF_COLUMNS]
        lines.append(f"| {attack.name} | {attack.needs} | {' | '.join(cells)} |")
    return lines


def _table(stage: Stage) -> list[str]:
    lines = [f"| tampering | needs | {' | '.join(COLUMNS)} |", "|---|---|" + "---|" * len(COLUMNS)]
    for attack in ATTACKS:
        cells = [_cell(attack, stage.verify(column, attack)) for column in COLUMNS]
        lines.append(f"| {attack.name} | {attack.needs} | {' | '.join(cells)} |")
    return lines


@pytest.mark.parametrize(
    ("begin", "end", "table"), [(BEGIN, END, _table), (BEGIN_REFS, END_REFS, _ref_table)], ids=["journals", "refs"]
)
def test_the_tables_in_the_threat_model_are_what_happens(stage: Stage, begin: str, end: str, table: Any) -> None:
    """Each tampering gives, under each circumstance, the verdict and findings that docs/threat-model.md names."""
    before, _, rest = PAGE.read_text("utf-8").partition(begin)
    shown, _, after = rest.partition(end)
    found = "\n".join(table(stage))
    if REWRITE:
        PAGE.write_text(f"{before}{begin}\n\n{found}\n\n{end}{after}", "utf-8")
    else:
        assert found == shown.strip()


@pytest.mark.parametrize("attack", [attack for attack in REF_ATTACKS if attack.needs == PUSH], ids=lambda attack: attack.name)
def test_nobody_who_only_pushes_changes_what_somebody_saw(stage: Stage, attack: RefAttack) -> None:
    """The writer, and a machine that verified the ref before, notice whatever was done to it, and a foreign commit is no more."""
    for column in ("the writer's clone", "pin"):
        report = stage.verify_ref(column, attack)
        assert report is not None and codes(report), column
        assert (report.verdict in ("consistent", "anchored")) == (attack.name == "a foreign commit on top"), column


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack.needs == FILES], ids=lambda attack: attack.name)
def test_nobody_without_the_key_changes_what_an_anchor_fixes(stage: Stage, attack: Attack) -> None:
    """Behind a pin or a trailer, every tampering by somebody without the key is seen; a new log is by a trailer, not by a pin."""
    for column in ("pin", "trailer, local", "trailer, pushed", "`log.seen`", "signed tag"):
        report = stage.verify(column, attack)
        if attack.run is not _adopt or column != "pin":
            assert report.verdict not in ("consistent", "anchored"), column


# --- Every byte ---------------------------------------------------------------------------------------------------------------


class MemoryJournal:
    """A journal's records and payloads without a database."""

    def __init__(self, records: Sequence[bytes], rows: Sequence[PayloadRow]) -> None:
        self._records = records
        self._rows = rows

    def records(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield the records, numbered by their place."""
        return iter(enumerate(self._records))

    def payloads(self) -> Iterator[PayloadRow]:
        """Yield the payload rows."""
        return iter(self._rows)


def walk_full(log: str, records: Sequence[bytes], rows: Sequence[PayloadRow]) -> tuple[str, list[str]]:
    """Return the verdict on records in memory with every signature checked, and the codes of the findings."""
    findings = Findings()
    signatures = EverySignature(lambda seq: findings.add("signature.bad", log, seq, "bad"), lambda done: None)
    walk(MemoryJournal(records, rows), log, findings, signatures, Notes(log))  # type: ignore[arg-type]
    return findings.worst(log), [finding.code for finding in findings.listed()]


def small_log() -> LogSimulator:
    """Return a log of four records, one of them a rotation, one with a payload."""
    sim = LogSimulator()
    sim.append("prompt.submitted", payloads={"prompt": b"hello"})
    sim.rotate()
    sim.append("message.sent")
    return sim


def test_a_small_log_is_good() -> None:
    """The log whose bytes are flipped below is consistent as it is."""
    sim = small_log()
    assert walk_full(sim.name, sim.records(), sim.payload_rows()) == ("consistent", [])


@pytest.mark.parametrize("index", range(4))
def test_every_flipped_byte_is_found(index: int) -> None:
    """One bit flipped in any byte of any record makes the log invalid, and the walk goes on to its end."""
    sim = small_log()
    records, rows = sim.records(), sim.payload_rows()
    for byte in range(len(records[index])):
        verdict, _ = walk_full(sim.name, simulator.flip(records, index, byte, byte % 8), rows)
        assert verdict == "invalid", f"byte {byte} of record {index}"


def test_every_flipped_byte_of_a_payload_or_salt_is_found() -> None:
    """One bit flipped in any byte of a payload or of its salt is a payload.mismatch."""
    sim = small_log()
    (row,) = sim.payload_rows()
    for byte in range(len(row.salt)):
        salt = bytes([*row.salt[:byte], row.salt[byte] ^ 1, *row.salt[byte + 1 :]])
        assert walk_full(sim.name, sim.records(), [row._replace(salt=salt)]) == ("invalid", ["payload.mismatch"])
    for byte in range(len(row.data)):
        data = bytes([*row.data[:byte], row.data[byte] ^ 1, *row.data[byte + 1 :]])
        assert walk_full(sim.name, sim.records(), [row._replace(data=data)]) == ("invalid", ["payload.mismatch"])


def test_one_change_is_few_findings() -> None:
    """A changed record breaks its own link and its successor's, not the whole log behind it."""
    sim = LogSimulator()
    for _ in range(200):
        sim.append("message.sent")
    _, found = walk_full(sim.name, simulator.flip(sim.records(), 50, 40), [])
    assert len(found) <= 3


def test_findings_are_bounded_and_the_verdict_counts_all() -> None:
    """A log of many broken records shows a hundred findings and says how many more there are."""
    sim = LogSimulator()
    for _ in range(200):
        sim.append("message.sent")
    verdict, found = walk_full(sim.name, [record[:-1] for record in sim.records()], [])
    assert verdict == "invalid" and len(found) == 101 and found[-1] == "findings.truncated"


# --- The second verifier ------------------------------------------------------------------------------------------------------

_ONLY_OURS = {"trailer.absent-log", "journal.missing", "journal.lost", "pin.rollback", "pin.mismatch", "log.empty"}


def _load_independent() -> ModuleType:
    path = ROOT / "scripts" / "verify_independent.py"
    spec = importlib.util.spec_from_file_location("verify_independent", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules.get("verify_independent") or importlib.util.module_from_spec(spec)
    if "verify_independent" not in sys.modules:
        sys.modules["verify_independent"] = module
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("column", ["`--full`", "`--trust`", "trailer, pushed"])
def test_the_second_verifier_agrees(stage: Stage, column: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On every tampering the verifier written from the specification alone has the same verdict, for the checks that both make."""
    independent = _load_independent()
    for attack in ATTACKS:
        if not attack.run(stage.scene.sim).records:
            continue  # there is no log that the second verifier could be given
        report = stage.verify(column, attack)
        name = _own_log(stage)
        journal = places.journal_path(stage.scene.state, name)
        arguments = [journal, "--name", name, "--repo", str(stage.scene.path), "--json"]
        if column == "`--trust`":
            arguments += ["--trust", str(stage.trust)]
        independent.main(arguments)
        answer = json.loads(capsys.readouterr().out)
        ours = worst(["consistent", *(RULES[f.code].verdict for f in report.findings if f.code not in _ONLY_OURS)])
        if "signature.bad" in codes(stage.scene.verify(full=True)):
            ours = "invalid"  # the second verifier always checks every signature
        assert answer["verdict"] == ours, (attack.name, answer["findings"], report.findings)


def _own_log(stage: Stage) -> str:
    clone = places.find_clone(stage.scene.state, stage.scene.repo.common_dir).clone
    assert clone is not None
    return clone.log
