"""What the verifier concludes from seals: in the writer's clone, in a clone that has nothing else, and from what others saw."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from scene import Scene, codes, fill
from simulator import LogSimulator

from ledger.core.checkpoint import build_cosignature, parse_checkpoint
from ledger.core.ed25519 import public_key_of, sign_message, sign_sshsig
from ledger.core.note import COSIGNATURE, Note, NoteKey, format_note, parse_note
from ledger.core.seal import format_segment
from ledger.core.signers import format_signer
from ledger.core.sshsig import format_armoured, parse_public_key
from ledger.store import pins
from ledger.store import state as places
from ledger.verify.verdict import Report


def auditor(scene: Scene, name: str = "auditor") -> Scene:
    """Return a clone of the scene's repository, its ledger refs included, on a machine that never saw it."""
    path = scene.sandbox.root / name
    scene.sandbox.git("clone", "-q", str(scene.path), str(path), cwd=scene.sandbox.root)
    other = object.__new__(Scene)
    other.__dict__.update(scene.__dict__)
    other.path, other.state = path, str(scene.sandbox.root / f"{name}-state")
    other.repo = scene.repo.__class__(str(path / ".git"), str(path / ".git"), str(path))
    fetch(other, scene)
    return other


def fetch(clone: Scene, scene: Scene) -> None:
    """Bring the clone's ledger refs to what the scene's are."""
    clone.sandbox.git("fetch", "-q", "--prune", str(scene.path), "+refs/ledger/*:refs/ledger/*", cwd=clone.path)


def enroll(scene: Scene, *sims: LogSimulator) -> None:
    """Commit the keys of these logs as allowed signers."""
    keys = [public_key_of(seed) for sim in sims for seed in sim.seeds.values()]
    text = "".join(f"{format_signer('ledger-ada', key)}\n" for key in keys)
    scene.sandbox.commit(scene.path, "enroll", {".ledger/allowed_signers": text})


def meta(scene: Scene, **notes: str) -> None:
    """Let the journal remember `notes` of its seals."""
    import sqlite3

    db = sqlite3.connect(places.journal_path(scene.state, scene.sim.name))
    with db:
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", notes.items())
    db.close()


def sealed(scene: Scene, *sizes: int) -> str:
    """Seal the scene's log up to `sizes`, as a writer would, and return the tip."""
    sizes = sizes or (len(scene.sim.records()),)
    tip = scene.seal(*sizes)
    scene.set_ref(tip)
    meta(scene, sealed_tip=tip, sealed_size=str(sizes[-1]), sealed_ref=f"refs/ledger/logs/{scene.sim.name}")
    return tip


def found(report: Report, code: str) -> list[Any]:
    """Return the findings with `code`."""
    return [finding for finding in report.findings if finding.code == code]


# --- The writer's clone -------------------------------------------------------------------------------------------------------


def test_a_sealed_log_says_how_far(scene: Scene) -> None:
    """The answer names the sealed records and their root; what is not sealed yet is no finding."""
    sealed(scene, 3, 9)
    report = scene.verify()
    root = scene.sim.note(9).decode().split("\n")[2]
    (log,) = report.logs
    assert (report.verdict, codes(report), log.sealed) == ("consistent", [], 9)
    assert (log.root, log.size) == (root, len(scene.sim.records()))


def test_a_ref_that_is_gone_or_went_back_diverges(scene: Scene) -> None:
    """What the journal remembers of its seals is wanted on the ref; the message says what puts it back."""
    sealed(scene, 3, 9)
    scene.set_ref(scene.seal(3))
    report = scene.verify()
    assert (report.verdict, codes(report)) == ("diverged", ["ref.rolled-back"])
    assert "ledger seal" in found(report, "ref.rolled-back")[0].message
    scene.sandbox.git("update-ref", "-d", f"refs/ledger/logs/{scene.sim.name}", cwd=scene.path)
    assert codes(scene.verify()) == ["ref.rolled-back"]
    scene.set_ref(scene.seal(1, 3, 9))
    assert (scene.verify().verdict, codes(scene.verify())) == ("consistent", [])


def test_a_loss_that_was_made_good_is_still_said(scene: Scene) -> None:
    """Whoever puts a ref back leaves a note, and verify repeats it as a warning."""
    sealed(scene)
    pins.note_healed(scene.state, scene.sim.name, "its ref was gone", "2026-01-02T00:00:00.000Z")
    report = scene.verify()
    assert (report.verdict, codes(report)) == ("consistent", ["ref.healed"])
    assert "2026-01-02" in found(report, "ref.healed")[0].message


def test_a_foreign_commit_on_the_ref_is_a_warning(scene: Scene) -> None:
    """Somebody else's commit on top changes nothing but the findings."""
    tip = sealed(scene)
    scene.set_ref(scene.put_seal(b"x", b"y", tip))
    report = scene.verify()
    assert (report.verdict, codes(report)) == ("consistent", ["ref.foreign"])


def test_a_journal_behind_or_against_its_own_seals_diverges(scene: Scene) -> None:
    """More, or other, records under the key's own checkpoint than in the journal are a second history."""
    records = scene.sim.records()
    sealed(scene)
    scene.install(records[:9], [row for row in scene.sim.payload_rows() if row.seq < 9])
    assert codes(scene.verify(), "error") == ["journal.rolled-back"]
    scene.install(scene.sim.fork(9), [row for row in scene.sim.payload_rows() if row.seq < 9])
    scene.set_ref(scene.seal(9, 10))
    report = scene.verify()
    assert (report.verdict, codes(report)) == ("diverged", ["seal.mismatch"])


def test_the_predecessor_of_this_clones_log_may_have_gone_back(scene: Scene) -> None:
    """A restored backup has a successor: the old log is read from its ref, and that it went back is a warning."""
    sealed(scene)
    old, records = scene.sim, scene.sim.records()
    scene.install(records[:9], [row for row in old.payload_rows() if row.seq < 9])
    name, seq, record_hash = old.head(8).split("/")
    roots = scene.sandbox.git("rev-list", "--max-parents=0", "HEAD", cwd=scene.path).split()
    after = LogSimulator(roots=roots, predecessor={"log": name, "seq": int(seq), "hash": record_hash})
    scene.adopt(after.name)
    scene.install(after.records(), [], after.name)
    report = scene.verify()
    assert (report.verdict, codes(report)) == ("consistent", ["predecessor.continued"])
    assert {log.log: log.size for log in report.logs} == {after.name: 1, old.name: len(records)}


def test_another_prefix_is_looked_under(scene: Scene) -> None:
    """With ledger.refPrefix the refs lie elsewhere, and bind and name nothing as commits either."""
    scene.sandbox.git("config", "ledger.refPrefix", "refs/heads/ledger", cwd=scene.path)
    tip = scene.seal()
    head = f"{scene.sim.name}/2/{'0' * 64}"
    scene.set_ref(tip, prefix="refs/heads/ledger")
    scene.set_ref(scene.commit_with_trailer(head), log="cd" * 16, prefix="refs/heads/ledger")
    scene.sandbox.git("reset", "-q", "--hard", "HEAD~1", cwd=scene.path)
    report = scene.verify()
    assert report.logs[0].sealed == len(scene.sim.records()) and codes(report) == ["log.uncounted"]


# --- A clone that has nothing else --------------------------------------------------------------------------------------------


def test_nothing_but_refs_is_enough(scene: Scene) -> None:
    """A clone without journal, key or init verifies; the second run finds the first one's pin, and that anchors."""
    enroll(scene, scene.sim)
    sealed(scene)
    clone = auditor(scene)
    first, second = clone.verify(), clone.verify()
    size = len(scene.sim.records())
    assert (first.verdict, codes(first), first.logs[0].trust) == ("consistent", [], "repository")
    assert (second.verdict, codes(second)) == ("anchored", [])
    assert [(anchor.type, anchor.size) for anchor in second.logs[0].anchors] == [("pin", size)]
    assert clone.verify(full=True).verdict == "anchored"


def test_without_a_word_on_trust_logs_are_believed_at_first_sight(scene: Scene) -> None:
    """Where no commit names a log and nobody lists keys, what is here counts, and is said to be seen for the first time."""
    sealed(scene)
    report = auditor(scene).verify()
    assert (report.verdict, codes(report), report.logs[0].trust) == ("consistent", [], "first-use")
    scene.commit_with_trailer()
    report = auditor(scene, "later").verify()
    assert (report.verdict, report.logs[0].anchors[0].type) == ("anchored", "commit")


def test_logs_of_none_of_the_listed_keys_are_no_pass(scene: Scene) -> None:
    """Where keys are listed, and no log is of one of them, there is nothing that verifying the logs would say."""
    sealed(scene)
    enroll(scene, LogSimulator())
    report = auditor(scene).verify()
    assert (report.verdict, codes(report)) == ("incomplete", ["log.none-counts", "log.uncounted"])


def test_a_strangers_log_spoils_nothing(scene: Scene) -> None:
    """A good log, a bad one and another repository's, under keys that nobody listed, are listed and not counted."""
    enroll(scene, scene.sim)
    sealed(scene)
    good, bad = fill(Scene(scene.sandbox, scene.path)).sim, fill(Scene(scene.sandbox, scene.path)).sim
    scene.adopt(scene.sim.name)
    for sim, records in (
        (good, good.records()),
        (bad, [*bad.records()[:4], *bad.records()[5:]]),
        (elsewhere := LogSimulator(), None),
    ):
        lines = records or elsewhere.records()
        scene.set_ref(scene.put_seal(sim.note(len(lines), lines), format_segment(lines)), sim.name)
    for place in (scene, auditor(scene)):
        report = place.verify()
        assert (report.verdict, codes(report)) == ("consistent", ["log.uncounted"])
        assert {log.log for log in report.logs if log.counted} == {scene.sim.name}
        assert set(pins.read_pins(place.state)) == {scene.sim.name}


def test_a_log_of_another_repository_does_not_count_for_its_key(scene: Scene) -> None:
    """A team's own log, brought here from another repository, is not taken for one of this one's."""
    other = LogSimulator()
    enroll(scene, scene.sim, other)
    scene.set_ref(scene.put_seal(other.note(1), format_segment(other.records())), other.name)
    report = scene.verify()
    assert (report.verdict, codes(report)) == ("consistent", ["log.uncounted"])


def test_a_ref_that_vanished_or_shrank_is_seen_by_who_saw_it(scene: Scene) -> None:
    """An auditor's machine remembers which logs there were, and how long they were."""
    enroll(scene, scene.sim)
    sealed(scene, 3, 9)
    clone = auditor(scene)
    assert clone.verify().verdict == "consistent"
    scene.set_ref(scene.seal(3))
    fetch(clone, scene)
    assert codes(clone.verify(), "error") == ["pin.rollback"]
    clone.sandbox.git("update-ref", "-d", f"refs/ledger/logs/{scene.sim.name}", cwd=clone.path)
    report = clone.verify()
    assert (report.verdict, codes(report, "error")) == ("diverged", ["log.lost"])


def test_kept_evidence_of_a_fork_counts(scene: Scene) -> None:
    """What a sync put under refs/ledger/evidence is read again; a copy of the log's own history there is no fork."""
    enroll(scene, scene.sim)
    sealed(scene, 3, 9)
    clone = auditor(scene)
    other = scene.sim.fork(4)
    for tip, wanted in ((scene.seal(3), []), (scene.seal(2, 5, records=other), ["seal.fork"]), (scene.seal(3, 8), [])):
        scene.sandbox.git("update-ref", f"refs/ledger/evidence/{scene.sim.name}/{tip}", tip, cwd=scene.path)
        fetch(clone, scene)
        assert codes(clone.verify(), "error") == wanted
        scene.sandbox.git("update-ref", "-d", f"refs/ledger/evidence/{scene.sim.name}/{tip}", cwd=scene.path)


# --- What others saw ----------------------------------------------------------------------------------------------------------


class Pair:
    """Two logs of one repository: `scene.sim`, which is seen, and `by`, which sees it. Both are sealed and enrolled."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        roots = scene.sandbox.git("rev-list", "--max-parents=0", "HEAD", cwd=scene.path).split()
        self.by = LogSimulator(roots=roots)
        enroll(scene, scene.sim, self.by)

    def see(self, note: bytes, **more: Any) -> None:
        """Append what the second log saw."""
        checkpoint = parse_checkpoint(parse_note(note).text)
        lines = note.decode().split("\n")
        body = {"log": self.scene.sim.name, "size": checkpoint.size, "root": lines[2], "checkpoint": note.decode(), **more}
        self.by.append("log.seen", body, source="git")

    def verify(self, **options: Any) -> Report:
        """Seal both and return what an auditor finds."""
        self.scene.set_ref(self.scene.seal(3, 9))
        by = self.by.records()
        self.scene.set_ref(self.scene.put_seal(self.by.note(len(by)), format_segment(by)), self.by.name)
        return auditor(self.scene).verify(**options)


@pytest.fixture
def pair(scene: Scene) -> Pair:
    """A pair of logs."""
    return Pair(scene)


def verdicts(pair: Pair, report: Report) -> tuple[str, str]:
    """Return the verdicts of the log that was seen and of the one that saw it."""
    logs = {log.log: log.verdict for log in report.logs}
    return logs[pair.scene.sim.name], logs[pair.by.name]


@pytest.mark.parametrize("size", [3, 9, 5])
def test_what_another_log_saw_anchors(pair: Pair, size: int) -> None:
    """A checkpoint in a counted log fixes the log that it is of, also one that is not on the ref any more."""
    pair.see(pair.scene.sim.note(size))
    report = pair.verify()
    (log,) = [log for log in report.logs if log.log == pair.scene.sim.name]
    assert [tuple(anchor) for anchor in log.anchors] == [("seen", size, f"{pair.by.name}/1")]
    assert (verdicts(pair, report), codes(report)) == (("anchored", "consistent"), [])


def test_a_log_shorter_or_other_than_was_seen_diverges(pair: Pair) -> None:
    """The signature is the accused log's own: more records than are here, or other ones, are a second history."""
    pair.see(pair.scene.sim.note(12))
    report = pair.verify()
    assert (verdicts(pair, report), codes(report)) == (("diverged", "consistent"), ["seen.beyond"])


def test_another_root_than_was_seen_diverges(pair: Pair) -> None:
    """A checkpoint of the same size over another record is evidence against the log that signed it."""
    pair.see(pair.scene.sim.note(5, pair.scene.sim.fork(4)))
    report = pair.verify()
    assert (verdicts(pair, report), codes(report)) == (("diverged", "consistent"), ["seen.mismatch"])


def test_an_accusation_without_a_signature_falls_back(pair: Pair) -> None:
    """Malformed and forged ones make the accuser invalid, those of unknown keys incomplete; the accused stays as it was."""
    sim = pair.scene.sim
    good = sim.note(12)
    text, _, line = good.decode().rpartition("\n\n")
    forged = f"{text}\n\n{line[:-8]}{'AAAA' if line[-8:-4] != 'AAAA' else 'BBBB'}{line[-4:]}".encode()
    old = next(iter(sim.seeds.values()))
    cases: list[tuple[str, tuple[bytes, dict[str, Any]]]] = [
        ("seen.forged", (forged, {})),
        ("seen.forged", (good, {"size": 11})),
        ("seen.forged", (good, {"root": None})),
        ("seen.forged", (good, {"checkpoint": "x"})),
        ("seen.forged", (good, {"log": 7})),
        ("seen.forged", (good, {"log": "ab" * 16})),
        ("seen.unverified", (sim.note(12, seed=os.urandom(32)), {})),
        ("seen.unverified", (sim.note(12, seed=old), {})),
    ]
    for number, (code, (note, more)) in enumerate(cases):
        fresh = Pair(pair.scene) if number else pair
        fresh.see(note, **more)
        fresh.scene.set_ref(fresh.scene.seal(3, 9))
        by = fresh.by.records()
        fresh.scene.set_ref(fresh.scene.put_seal(fresh.by.note(2), format_segment(by)), fresh.by.name)
        report = auditor(fresh.scene, f"a{number}").verify()
        assert code in codes(report, "error") and verdicts(fresh, report)[0] == "consistent", (number, code)
        fresh.scene.sandbox.git("update-ref", "-d", f"refs/ledger/logs/{fresh.by.name}", cwd=fresh.scene.path)


def test_a_log_that_was_seen_and_is_gone(pair: Pair) -> None:
    """What a counted log saw is wanted: the answer is incomplete without it."""
    other = LogSimulator()
    pair.see(other.note(1), log=other.name)
    report = pair.verify()
    assert (verdicts(pair, report), codes(report)) == (("consistent", "incomplete"), ["seen.absent-log"])


def test_an_uncounted_log_accuses_nobody(pair: Pair) -> None:
    """What a stranger's log says of others is not read."""
    pair.see(pair.scene.sim.note(12))
    enroll(pair.scene, pair.scene.sim)
    report = pair.verify()
    assert (report.verdict, codes(report)) == ("consistent", ["log.uncounted"])


# --- Tags and witnesses -------------------------------------------------------------------------------------------------------


def tag(scene: Scene, name: str, head: str, seed: bytes | None, namespace: str = "git") -> None:
    """Make an annotated tag that quotes `head`, signed by `seed`."""
    git, path = scene.sandbox.git, scene.path
    oid = git("rev-parse", "HEAD", cwd=path)
    who = "A <a@b.invalid> 1 +0000"
    data = f"object {oid}\ntype commit\ntag {name}\ntagger {who}\n\nrelease\n\nLedger-Entry: {head}\n"
    if seed is not None:
        data += format_armoured(public_key_of(seed), namespace, sign_sshsig(seed, namespace, data.encode()))
    file = path / "tag"
    file.write_text(data)
    git("update-ref", f"refs/tags/{name}", git("hash-object", "-t", "tag", "-w", str(file), cwd=path), cwd=path)


def test_a_signed_tag_anchors(scene: Scene) -> None:
    """A tag under a key that counts fixes the record that it names; an unsigned or a stranger's one is information."""
    key = scene.sim.seeds[scene.sim.key]
    tag(scene, "v1", scene.sim.head(5), key)
    report = scene.verify()
    assert (report.verdict, report.logs[0].anchors[0]) == ("anchored", ("tag", 6, "refs/tags/v1"))
    for name, seed, namespace in (("v2", None, "git"), ("v3", os.urandom(32), "git"), ("v4", key, "file")):
        tag(scene, name, f"{scene.sim.name}/5/{'0' * 64}", seed, namespace)
    assert (scene.verify().verdict, codes(scene.verify())) == ("anchored", ["tag.unchecked"])


@pytest.mark.parametrize(
    ("seq", "log", "code", "verdict"),
    [(5, "", "tag.mismatch", "diverged"), (99, "", "tag.beyond", "incomplete"), (5, "ab" * 16, "tag.absent-log", "incomplete")],
)
def test_a_signed_tag_of_another_history(scene: Scene, seq: int, log: str, code: str, verdict: str) -> None:
    """What a signed tag names must be so, and here."""
    tag(scene, "v1", f"{log or scene.sim.name}/{seq}/{'0' * 64}", scene.sim.seeds[scene.sim.key])
    report = scene.verify()
    assert (report.verdict, codes(report, "error")) == (verdict, [code])


def test_git_signs_such_tags(scene: Scene) -> None:
    """A tag that git itself signs with ssh-keygen is read alike."""
    key = scene.sandbox.home / "key"
    scene.sandbox.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key), cwd=scene.path)
    public = " ".join(Path(f"{key}.pub").read_text().split()[:2])
    scene.sandbox.commit(scene.path, "x", {".ledger/allowed_signers": format_signer("ada", parse_public_key(public)) + "\n"})
    options = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={key}"]
    scene.sandbox.git(*options, "tag", "-s", "v1", "-m", f"one\n\nLedger-Entry: {scene.sim.head()}", cwd=scene.path)
    report = scene.verify()
    assert report.logs[0].anchors[0].type == "tag" and report.verdict == "anchored"


def test_a_known_witness_anchors(scene: Scene) -> None:
    """Cosignatures are counted by witness; of unknown witnesses they are nothing, and a bad one under a known name is a warning."""
    seed = os.urandom(32)
    key = NoteKey("witness.example/w1", COSIGNATURE, public_key_of(seed))
    note = parse_note(scene.sim.note(9))
    lines = [build_cosignature(key, note.text, at, lambda message: sign_message(seed, message)) for at in (10, 20)]
    scene.set_ref(scene.put_seal(format_note(Note(note.text, (*note.signatures, *lines))), format_segment(scene.sim.records()[:9])))
    assert scene.verify().verdict == "consistent"
    report = scene.verify(witnesses=(key,))
    assert (report.verdict, report.logs[0].anchors) == ("anchored", (("witness", 9, key.name),))
    from ledger.core.note import format_note_key

    scene.sandbox.git("config", "ledger.witness", format_note_key(key), cwd=scene.path)
    assert scene.verify().verdict == "anchored" and scene.verify(full=True).verdict == "anchored"
    bad = lines[0]._replace(data=lines[0].data[:-1] + bytes([lines[0].data[-1] ^ 1]))
    scene.set_ref(scene.put_seal(format_note(Note(note.text, (*note.signatures, bad))), format_segment(scene.sim.records()[:9])))
    assert (scene.verify().verdict, codes(scene.verify())) == ("consistent", ["witness.bad"])


# --- Seals behind somebody's merge --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["an old seal", "nothing of ours"])
def test_a_merge_hides_no_seals(scene: Scene, first: str) -> None:
    """A commit over an old seal and the last one is a fast-forward for git; the seals behind its second parent still count."""
    enroll(scene, scene.sim)
    size = len(scene.sim.records())
    tip = sealed(scene, 3, 6, size)
    git, path = scene.sandbox.git, scene.path
    old = git("rev-list", "--first-parent", tip, cwd=path).split()[-1]
    bottom = old if first == "an old seal" else git("commit-tree", "-m", "root", "HEAD^{tree}", cwd=path)
    scene.set_ref(git("commit-tree", "-p", bottom, "-p", tip, "-m", "merge", "HEAD^{tree}", cwd=path))
    report = auditor(scene).verify()
    assert (report.logs[0].sealed, report.verdict, codes(report)) == (size, "consistent", ["ref.foreign"])
