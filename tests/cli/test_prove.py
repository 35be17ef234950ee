"""`ledger prove` and `ledger verify FILE`: one entry, for somebody who has nothing else of the log."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ledger.cli.main import run
from ledger.core.checkpoint import Checkpoint, build_cosignature, format_origin, sign_checkpoint
from ledger.core.ed25519 import public_key_of, sign_message, sign_sshsig
from ledger.core.entry import format_entry, format_record, parse_record
from ledger.core.merkle import hash_leaf, hash_node
from ledger.core.note import COSIGNATURE, NoteKey, format_note_key, parse_note
from ledger.core.proof import Proof, format_proof, parse_proof
from ledger.core.revocations import format_revocation
from ledger.core.signers import format_signer
from ledger.core.sshsig import ENTRY_NAMESPACE, fingerprint, parse_public_key
from ledger.recorder import Recorder, begin_log
from ledger.repo.gitdir import find_repository

WITNESS_SEED = bytes(range(32))
WITNESS = NoteKey("witness.example/w1", COSIGNATURE, public_key_of(WITNESS_SEED))
WITNESSED_S = 1_767_323_100  # 2026-01-02T03:05:00Z


class Said(NamedTuple):
    """What a command exited with and printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Desk:
    """A recorded and sealed repository, and what is needed to prove entries of it elsewhere."""

    def __init__(self, sandbox: Any, capfd: Any, *init: str) -> None:
        self.sandbox = sandbox
        self.capfd = capfd
        self.repo: Path = sandbox.make_repo("repo", *init, commit=True)
        begin_log(find_repository(str(self.repo)), str(sandbox.state))
        self.record(2)
        self.elsewhere: Path = sandbox.root / "elsewhere"
        self.elsewhere.mkdir()
        self.file = self.elsewhere / "one.tlog-proof"

    def record(self, count: int) -> None:
        """Append entries to the log."""
        with Recorder.open(str(self.repo), state=str(self.sandbox.state)) as recorder:
            self.log = recorder.clone.log
            for number in range(count):
                who = {"type": "agent", "name": "mine"}
                payloads = {"message": (b"the text of a message", "text/plain")}
                recorder.record("message.sent", actor=who, body={"event": f"note {number}"}, payloads=payloads)

    def run(self, *words: str | Path, cwd: Path | None = None) -> Said:
        """Run a command, in the repository if nowhere else."""
        self.capfd.readouterr()
        code = run(["-C", str(cwd or self.repo), *map(str, words)])
        return Said(code, *self.capfd.readouterr())

    def key(self) -> bytes:
        """Return the raw key that signs now."""
        return parse_public_key(self.run("keys", "show", "--json").json["public_key"])

    def trust(self, *keys: bytes, options: str = "") -> Path:
        """Write a file of allowed signers."""
        path = self.elsewhere / "signers"
        lines = (format_signer("ledger-ada", key).replace(" ssh-", f"{options} ssh-", 1) for key in keys or [self.key()])
        path.write_text("".join(line + "\n" for line in lines))
        return path

    def prove(self, entry: str = "1") -> bytes:
        """Seal, prove an entry into the file, and return its bytes."""
        assert self.run("seal").code == 0
        assert self.run("prove", entry, "-o", self.file).code == 0
        return self.file.read_bytes()

    def check(self, *words: str | Path, cwd: Path | None = None) -> Said:
        """Verify the file outside of any repository, or in one."""
        return self.run("verify", self.file, *words, "--json", cwd=cwd or self.elsewhere)


@pytest.fixture
def desk(sandbox: Any, capfd: Any) -> Desk:
    """A log of three entries, nothing of it sealed yet."""
    return Desk(sandbox, capfd)


def codes(said: Said) -> list[str]:
    """Return the codes of all findings."""
    return [finding["code"] for finding in said.json["findings"]]


def test_an_entry_that_is_not_sealed_cannot_be_proven(desk: Desk) -> None:
    """The error says so, and what to do; once it is sealed it can be, and a later one again not."""
    said = desk.run("prove", "1")
    assert (said.code, said.out) == (1, "")
    assert "ledger seal" in said.err
    assert desk.run("seal").code == 0
    assert desk.run("prove", "1").code == 0
    desk.record(1)
    said = desk.run("prove", "3")
    assert said.code == 1
    assert "not sealed" in said.err
    assert "ledger seal" in said.err
    said = desk.run("prove", "99999")
    assert (said.code, said.out) == (2, "") and "does not exist" in said.err and "ledger seal" not in said.err


def test_a_proof_is_checked_without_the_repository(desk: Desk) -> None:
    """With nothing but the file and a key the entry, its place and the checkpoint are shown; other entries and payloads are not."""
    data = desk.prove()
    said = desk.check("--trust", desk.trust())
    assert said.code == 0
    answer = said.json
    assert (answer["verdict"], answer["log"], answer["seq"], answer["size"]) == ("consistent", desk.log, 1, 3)
    assert (answer["kind"], answer["trust"], answer["witnesses"], answer["findings"]) == ("message.sent", "given", [], [])
    record = parse_proof(data).record
    assert b"note 0" in record
    for secret in (b"note 1", b"the text of a message"):
        assert secret not in data
        assert base64.b64encode(secret)[:-4] not in data
    assert str(desk.repo).encode() not in data


def test_what_prove_prints_is_what_it_writes(desk: Desk) -> None:
    """Standard output, -o and --json hold the same bytes."""
    data = desk.prove().decode()
    assert desk.run("prove", f"{desk.log[:8]}/1").out == data
    answer = desk.run("prove", "1", "--json").json
    assert (answer["proof"], answer["seq"], answer["size"], answer["file"]) == (data, 1, 3, None)
    assert desk.run("prove", "1", "--json", "-o", desk.file).json["proof"] is None
    assert desk.run("prove", "1", "-o", "here").code == 0
    assert (desk.repo / "here").read_bytes() == desk.file.read_bytes()
    said = desk.run("prove", "1", "-o", "no/such/folder")
    assert (said.code, said.out) == (3, "")
    assert "cannot be written" in said.err


def test_every_entry_of_a_log_sealed_in_steps_can_be_proven(desk: Desk) -> None:
    """Each is proven under the first checkpoint that covers it, also after a rotation."""
    assert desk.run("seal").code == 0
    first = desk.key()
    assert desk.run("keys", "rotate").code == 0
    desk.record(2)
    assert desk.run("seal").code == 0
    trust = desk.trust(first, desk.key())
    sizes = []
    for seq in range(6):
        assert desk.run("prove", str(seq), "-o", desk.file).code == 0
        answer = desk.check("--trust", trust).json
        assert (answer["verdict"], answer["seq"]) == ("consistent", seq)
        sizes.append(answer["size"])
    assert sizes == [3, 3, 3, 6, 6, 6]
    assert codes(desk.check("--trust", desk.trust(first))) == ["proof.mismatch"]


def test_a_clone_that_has_the_ref_proves_without_a_journal(desk: Desk) -> None:
    """Whoever fetched the log can prove its entries, with the log's name; without one it has no entry of its own to prove."""
    data = desk.prove()
    desk.sandbox.git("clone", "-q", str(desk.repo), "other", cwd=desk.sandbox.root)
    other = desk.sandbox.root / "other"
    desk.sandbox.git("fetch", "-q", "origin", "refs/ledger/logs/*:refs/ledger/logs/*", cwd=other)
    assert desk.run("prove", f"{desk.log[:6]}/1", cwd=other).out.encode() == data
    assert desk.run("prove", "1", cwd=other).code == 3
    assert desk.run("prove", "00/1", cwd=other).code == 2


def test_the_object_format_and_the_place_of_the_refs_do_not_matter(sandbox: Any, capfd: Any) -> None:
    """In a SHA-256 repository, with logs among the branches, an entry is proven alike."""
    desk = Desk(sandbox, capfd, "--object-format=sha256")
    sandbox.git("config", "ledger.refPrefix", "refs/heads/ledger/", cwd=desk.repo)
    desk.prove("2")
    assert sandbox.git("for-each-ref", "refs/ledger/logs", cwd=desk.repo) == ""
    assert desk.check("--trust", desk.trust()).json["seq"] == 2


@pytest.mark.parametrize("entry", ["x", "1/x", "-", f"{'0' * 33}/1"])
def test_what_names_no_entry_is_wrong_usage(desk: Desk, entry: str) -> None:
    """A reference is <log>/<seq> or <seq>."""
    assert desk.run("prove", "--", entry).code == 2


def test_foreign_commits_on_the_ref_are_passed_over(desk: Desk) -> None:
    """Somebody else's commit on the log's ref, a copy of a seal with another note among them, changes no proof."""
    data = desk.prove("2")
    ref = f"refs/ledger/logs/{desk.log}"
    tip = desk.sandbox.git("rev-parse", ref, cwd=desk.repo)
    junk = desk.sandbox.git("commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", "again", cwd=desk.repo)
    empty = desk.sandbox.git("mktree", cwd=desk.repo)
    junk = desk.sandbox.git("commit-tree", empty, "-p", junk, "-m", "junk", cwd=desk.repo)
    desk.sandbox.git("update-ref", ref, junk, cwd=desk.repo)
    assert desk.run("prove", "2").out.encode() == data
    assert desk.run("prove", "3").code == 2, "there is no such entry"


def cosign(data: bytes) -> bytes:
    """Return the proof with the witness's cosignature."""
    proof = parse_proof(data)
    line = build_cosignature(WITNESS, proof.note.text, WITNESSED_S, lambda message: sign_message(WITNESS_SEED, message))
    return format_proof(proof._replace(note=proof.note._replace(signatures=(*proof.note.signatures, line))))


def test_a_known_witness_anchors(desk: Desk) -> None:
    """With a witness that the reader knows the answer is `anchored`, and names it with its time; unknown ones count for nothing."""
    desk.file.write_bytes(cosign(desk.prove()))
    trust = desk.trust()
    assert desk.check("--trust", trust).json["verdict"] == "consistent"
    said = desk.check("--trust", trust, "--witness", format_note_key(WITNESS))
    assert said.code == 0
    assert said.json["verdict"] == "anchored"
    assert said.json["witnesses"] == [{"name": "witness.example/w1", "at": "2026-01-02T03:05:00Z"}]


def test_a_witness_key_that_is_none_is_wrong_usage(desk: Desk) -> None:
    """Malformed keys, and keys that sign logs, are refused as options."""
    desk.prove()
    log_key = format_note_key(NoteKey("witness.example/w1", 1, WITNESS.public_key))
    for text in ("w1", format_note_key(WITNESS)[:-1], log_key):
        assert desk.check("--trust", desk.trust(), "--witness", text).code == 2


def test_without_trust_nothing_is_said(desk: Desk) -> None:
    """Outside a repository, or in one that trusts nobody, the exit code is 3 and the remedy names --trust."""
    desk.prove()
    desk.sandbox.make_repo("stranger", commit=True)
    for cwd in (desk.elsewhere, desk.sandbox.root / "stranger", desk.repo):
        said = desk.check(cwd=cwd)
        assert (said.code, said.out) == (3, "")
        assert "--trust FILE" in said.err


def test_a_repository_brings_its_own_trust(desk: Desk) -> None:
    """Inside a repository: the committed file, before it the pin of a log whose journal is here, before it the named file."""
    desk.prove()
    assert desk.run("keys", "enroll").code == 0
    assert desk.check(cwd=desk.repo).code == 3
    desk.sandbox.git("add", ".ledger", cwd=desk.repo)
    desk.sandbox.commit(desk.repo, "enroll")
    assert desk.check(cwd=desk.repo).json["trust"] == "repository"
    desk.sandbox.git("config", "ledger.trust", str(desk.trust()), cwd=desk.repo)
    assert desk.check(cwd=desk.repo).json["trust"] == "given"


def test_a_pinned_log_s_own_keys_come_before_the_repository_s(desk: Desk) -> None:
    """Of a log that was verified here the keys are known: another committed key cannot speak for it."""
    desk.prove()
    assert desk.run("verify").code == 0
    said = desk.check(cwd=desk.repo)
    assert (said.code, said.json["trust"]) == (0, "pinned")
    # Somebody whose key is committed too signs an entry and a checkpoint in this log's name.
    seed = bytes([7]) * 32
    genesis = parse_record(parse_proof(desk.prove("0")).record).entry
    key = fingerprint(public_key_of(seed))
    data = format_entry(genesis._replace(seq=1, log=desk.log, prev="1" * 64, kind="message.sent", key=key, payloads=()))
    record = format_record(data, sign_sshsig(seed, ENTRY_NAMESPACE, data))
    leaves = [bytes(32), hash_leaf(record)]
    checkpoint = Checkpoint(format_origin(desk.log), 2, hash_node(*leaves))
    note = parse_note(sign_checkpoint(checkpoint, public_key_of(seed), lambda message: sign_message(seed, message)))
    desk.file.write_bytes(format_proof(Proof(record, 1, (leaves[0],), note)))
    line = format_signer("ledger-eve", public_key_of(seed)) + "\n"
    desk.sandbox.commit(desk.repo, "enroll", {".ledger/allowed_signers": line})
    assert codes(desk.check(cwd=desk.repo)) == ["proof.mismatch"]
    assert desk.check("--trust", desk.repo / ".ledger/allowed_signers").json["verdict"] == "consistent"


TAMPERINGS = {
    "a byte of the record": lambda data: data.replace(b"extra eyJ", b"extra eyK"),
    "another index": lambda data: data.replace(b"\nindex 1\n", b"\nindex 2\n"),
    "a hash left out": lambda data: b"\n".join(line for n, line in enumerate(data.split(b"\n")) if n != 3),
    "the header": lambda data: data.replace(b"@v1", b"@v2", 1),
    "cut short": lambda data: data[:-1],
    "nothing left": lambda data: b"",
    "another size": lambda data: data.replace(b"\n3\n", b"\n4\n"),
    "more behind it": lambda data: data + b"\n",
}


@pytest.mark.parametrize("tamper", TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_a_tampered_proof_is_invalid(desk: Desk, tamper: Any) -> None:
    """Whatever is changed, the answer is `invalid` with one finding, exit 1, and nothing is shown."""
    data = desk.prove()
    changed = tamper(data)
    assert changed != data
    desk.file.write_bytes(changed)
    said = desk.check("--trust", desk.trust())
    assert said.code == 1
    assert said.json["verdict"] == "invalid"
    assert codes(said) in (["proof.form"], ["proof.mismatch"])
    assert said.json["seq"] is None


def test_a_revoked_key_proves_nothing_from_its_position_on(desk: Desk) -> None:
    """Revoked from the entry on, or for a checkpoint that covers later ones, the key's word is invalid; below, it counts."""
    desk.prove("1")
    assert desk.run("keys", "enroll").code == 0
    key = desk.run("keys", "show", "--json").json["fingerprint"]
    for seq, found in ((1, ["key.revoked", "key.revoked"]), (2, ["key.revoked"]), (3, [])):
        (desk.repo / ".ledger/revocations").write_text(format_revocation(key, desk.log, seq) + "\n")
        desk.sandbox.git("add", ".ledger", cwd=desk.repo)
        desk.sandbox.commit(desk.repo, "revoke")
        said = desk.check(cwd=desk.repo)
        assert codes(said) == found
        assert said.code == (1 if found else 0)


@pytest.mark.parametrize(
    ("options", "found", "verdict"),
    [
        (',valid-before="20000101"', ["key.window", "key.expired"], "invalid"),
        (',valid-after="29990101"', ["key.window"], "invalid"),
        (',valid-after="20000101",valid-before="29990101"', [], "consistent"),
    ],
)
def test_windows_of_the_named_file_count(desk: Desk, options: str, found: list[str], verdict: str) -> None:
    """An entry that claims a time outside the key's window is invalid; a key whose time is over needs a witness."""
    desk.prove()
    signers = desk.trust()
    signers.write_text(signers.read_text().replace('" ssh-', f'"{options} ssh-'))
    said = desk.check("--trust", signers)
    assert (codes(said), said.json["verdict"]) == (found, verdict)


def test_the_page_says_what_is_shown_and_what_is_not(desk: Desk) -> None:
    """People read the verdict, the entry, who signed and what does not follow."""
    desk.file.write_bytes(cosign(desk.prove()))
    page = desk.run("verify", desk.file, "--trust", desk.trust(), "--witness", format_note_key(WITNESS), cwd=desk.elsewhere).out
    for text in ("anchored", f"{desk.log}/1", "message.sent", "witness.example/w1", "Not shown", "payloads"):
        assert text in page
    desk.file.write_bytes(b"c2sp.org/tlog-proof@v1\n")
    said = desk.run("verify", desk.file, "--trust", desk.trust(), cwd=desk.elsewhere)
    assert said.code == 1
    assert "proof.form" in said.out


def test_a_range_is_still_a_range(desk: Desk) -> None:
    """A file that is no proof is not taken for one, whatever it is called like; options of a repository do not fit a proof."""
    desk.prove()
    (desk.repo / "main").write_text("hello\n")
    assert desk.run("verify", "main").code == 0
    assert desk.run("verify", desk.file, "--coverage").code == 2
