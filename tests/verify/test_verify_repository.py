"""What the verifier concludes from a repository, its commits, this machine's memory and its settings."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from scene import Scene, codes, fill
from simulator import LogSimulator

from ledger.core.signers import format_signer
from ledger.errors import NoLedger, StoreError
from ledger.store import pins
from ledger.store import state as places
from ledger.verify.verdict import Report


def make(sandbox: Any, name: str = "repo", **simulator: Any) -> Scene:
    """Return a scene whose log holds only its genesis and is not installed yet."""
    return Scene(sandbox, sandbox.make_repo(name, commit=True), **simulator)


def of(report: Report, code: str) -> list[str]:
    """Return the messages of the findings with `code`."""
    return [finding.message for finding in report.findings if finding.code == code]


# --- A good log -------------------------------------------------------------------------------------------------------------


def test_a_good_log_is_consistent_and_pinned(scene: Scene) -> None:
    """Nothing is found in a good log, and the second run knows it."""
    first, second = scene.verify(), scene.verify(full=True)
    assert (first.verdict, first.findings, first.logs[0].trust) == ("consistent", (), "first-use")
    assert (second.verdict, second.findings, second.logs[0].trust) == ("consistent", (), "pinned")
    assert pins.read_pins(scene.state)[scene.sim.name].size == len(scene.sim.records()) == first.logs[0].size


def test_the_answer_says_what_was_not_checked(scene: Scene) -> None:
    """Without --full and anchors, the report says which signatures were left out and what a key holder could have done."""
    plain, full = scene.verify(), scene.verify(full=True)
    assert any("--full" in line for line in plain.unchecked) and not any("--full" in line for line in full.unchecked)
    assert any("key holder could have rewritten" in line for line in full.unchecked)


@pytest.mark.parametrize("shape", ["--object-format=sha256", "--bare"])
def test_other_repositories_are_verified_too(sandbox: Any, shape: str) -> None:
    """SHA-256 and bare repositories give the same answer as ordinary ones."""
    origin = sandbox.make_repo("origin", *([shape] if "sha256" in shape else []), commit=True)
    path = origin
    if shape == "--bare":
        path = sandbox.root / "bare.git"
        sandbox.git("clone", "-q", "--bare", str(origin), str(path), cwd=sandbox.root)
    scene = fill(Scene(sandbox, path))
    scene.install()
    assert (scene.verify().verdict, scene.verify().findings) == ("consistent", ())


def test_a_log_written_meanwhile_is_no_finding(scene: Scene) -> None:
    """A head file that is older than the journal's last record, but names a record of it, is fine."""
    seq = len(scene.sim.records()) - 3
    places.write_head_file(scene.repo.common_dir, places.parse_head(scene.sim.head(seq)))  # type: ignore[arg-type]
    assert scene.verify().findings == ()


# --- Trailers ---------------------------------------------------------------------------------------------------------------


def test_a_pushed_trailer_anchors(scene: Scene) -> None:
    """A line in a commit that a remote branch holds fixes the log up to the record it names; a local one does not."""
    oid = scene.commit_with_trailer(scene.sim.head(5))
    assert scene.verify().verdict == "consistent"
    scene.push()
    report = scene.verify()
    assert report.verdict == report.logs[0].verdict == "anchored"
    assert report.logs[0].anchored_size == 6
    assert [tuple(anchor) for anchor in report.logs[0].anchors] == [("commit", 6, oid)]


def test_lines_of_squashed_commits_anchor_too(scene: Scene) -> None:
    """A line in the middle of a message counts, whatever stands around it."""
    scene.commit(f"squash\n\n* one\n\n  Ledger-Entry: {scene.sim.head(3)}  \n\n* two\n\nLedger-Entry: {scene.sim.head(6)}\n\nbye")
    scene.push()
    assert [anchor.size for anchor in scene.verify().logs[0].anchors] == [7, 4]


def test_messages_that_are_not_utf8_are_read(scene: Scene) -> None:
    """A trailer in a Latin-1 message is found, with or without a declared encoding."""
    file = scene.path / "message"
    file.write_bytes(b"caf\xe9\n\nLedger-Entry: " + scene.sim.head(2).encode() + b"\n")
    for option in ("UTF-8", "ISO-8859-1"):
        git = ("-c", f"i18n.commitEncoding={option}", "commit", "-q", "--allow-empty", "-F", str(file))
        scene.sandbox.git(*git, cwd=scene.path)
        scene.push()
        assert scene.verify().logs[0].anchored_size == 3


def test_a_trailer_of_another_history_diverges(scene: Scene) -> None:
    """A commit that names another record at a known seq is evidence of a second history."""
    forked = LogSimulator._copy(scene.sim, 5)
    forked.append("message.sent")
    scene.commit_with_trailer(forked.head())
    report = scene.verify()
    assert report.verdict == "diverged" and codes(report) == ["trailer.mismatch"]
    ours, theirs = scene.sim.head(5).split("/")[2], forked.head().split("/")[2]
    assert (report.findings[0].seq, report.findings[0].expected, report.findings[0].found) == (5, theirs, ours)


def test_a_line_that_the_log_disowned_is_information(scene: Scene) -> None:
    """A wrong line, listed as not genuine by the log's entry for that very commit, changes no verdict; elsewhere it does."""
    line = f"{scene.sim.name}/2/{'0' * 64}"
    oid = scene.commit_with_trailer(line)
    scene.record_commit(oid, trailers=[{"line": line, "genuine": False}])
    scene.install()
    assert (scene.verify().verdict, codes(scene.verify())) == ("consistent", ["trailer.disowned"])
    scene.commit_with_trailer(line)
    assert (scene.verify().verdict, codes(scene.verify())) == ("diverged", ["trailer.disowned", "trailer.mismatch"])


def test_a_trailer_of_a_log_that_is_not_here(scene: Scene) -> None:
    """Commits of another writer, whose log is not on this machine, leave the answer incomplete: once for each log."""
    other = LogSimulator()
    for _ in range(3):
        scene.commit_with_trailer(other.head())
    report = scene.verify()
    assert report.verdict == "incomplete" and [f.code for f in report.findings] == ["trailer.absent-log"]
    assert report.findings[0].log == other.name and report.logs[0].verdict == "consistent"


def test_another_log_on_this_machine_is_checked_and_counted(scene: Scene) -> None:
    """A log that a commit names and that the state folder holds is verified with the rest; the worst counts."""
    other = LogSimulator(roots=scene.sandbox.git("rev-list", "--max-parents=0", "HEAD", cwd=scene.path).split())
    other.append("message.sent")
    scene.install(other.records(), [], other.name)
    scene.commit_with_trailer(other.head())
    assert [log.verdict for log in scene.verify().logs] == ["consistent", "consistent"]
    scene.install(other.records()[:1], [], other.name)
    assert scene.verify().verdict == "diverged"  # for it was pinned
    assert {log.log: log.verdict for log in scene.verify().logs} == {scene.sim.name: "consistent", other.name: "diverged"}


def test_anchored_needs_every_log(scene: Scene) -> None:
    """One log that is only consistent keeps the whole from being anchored."""
    other = LogSimulator(roots=scene.sandbox.git("rev-list", "--max-parents=0", "HEAD", cwd=scene.path).split())
    scene.install(other.records(), [], other.name)
    scene.commit_with_trailer()
    scene.push()
    assert scene.verify().verdict == "anchored"
    scene.commit_with_trailer(other.head())
    report = scene.verify()
    assert (report.verdict, [log.verdict for log in report.logs]) == ("consistent", ["anchored", "consistent"])


def test_trailers_outside_the_range_do_not_count(scene: Scene) -> None:
    """With a range only the commits in it are looked at, and the report says so."""
    scene.commit_with_trailer(f"{scene.sim.name}/999/{'0' * 64}")
    scene.commit()
    assert scene.verify().verdict == "incomplete"
    report = scene.verify(revisions="HEAD~1..HEAD")
    assert report.verdict == "consistent" and any("outside the range" in line for line in report.unchecked)


def test_commits_under_the_ledgers_own_refs_do_not_count(scene: Scene) -> None:
    """What only refs/ledger/ reaches names nothing and binds nothing."""
    bad = scene.commit_with_trailer(f"{scene.sim.name}/999/{'0' * 64}")
    scene.sandbox.git("update-ref", "refs/ledger/logs/x", bad, cwd=scene.path)
    scene.sandbox.git("reset", "-q", "--hard", "HEAD~1", cwd=scene.path)
    assert scene.verify().findings == ()


def test_hostile_trailers_are_bounded(scene: Scene) -> None:
    """Thousands of malformed, absent and wrong lines give a bounded answer that still counts all of them."""
    lines = [f"Ledger-Entry: {'x' * 3000}"] + ["Ledger-Entry: no/such/thing", f"Ledger-Entry: {scene.sim.name}/1/ABC"] * 500
    lines += [f"Ledger-Entry: {number:032x}/0/{'0' * 64}" for number in range(3000)]
    lines += [f"Ledger-Entry: {scene.sim.name}/{number}/{'0' * 64}" for number in range(3000)]
    file = scene.sandbox.root / "message"
    file.write_text("bad\n\n" + "\n".join(lines))
    scene.sandbox.git("commit", "-q", "--allow-empty", "-F", str(file), cwd=scene.path)
    report = scene.verify()
    assert report.verdict == "diverged" and len(report.findings) < 310
    assert len(of(report, "trailer.malformed")) == 1
    assert max(len(finding.found or "") for finding in report.findings) <= 300
    assert {"findings.truncated", "trailer.absent-log", "trailer.mismatch"} <= set(codes(report))


def test_neither_log_nor_trailer(sandbox: Any) -> None:
    """A repository that no ledger knows is not a verdict; one with only a trailer is incomplete."""
    from ledger.repo.gitdir import find_repository
    from ledger.verify.verifier import Options, verify_repository

    for name, commit in (("empty", False), ("plain", True)):
        path = sandbox.make_repo(name, commit=commit)
        with pytest.raises(NoLedger):
            verify_repository(find_repository(str(path)), str(sandbox.state), Options())
    sandbox.commit(path, f"x\n\nLedger-Entry: {LogSimulator().head()}")
    report = verify_repository(find_repository(str(path)), str(sandbox.state), Options())
    assert (report.verdict, report.logs, codes(report)) == ("incomplete", (), ["trailer.absent-log"])


# --- Git: commits and roots -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", [{"tree": "0" * 40}, {"parents": ["0" * 40]}, {"parents": None}, {"oid": "HEAD"}, {"oid": None}])
def test_a_false_commit_is_invalid(scene: Scene, lie: dict[str, Any]) -> None:
    """A recorded commit that is here must have the tree and the parents that its entry says."""
    scene.record_commit(scene.commit(), **lie)
    scene.install()
    assert (scene.verify().verdict, codes(scene.verify())) == ("invalid", ["commit.mismatch"])


@pytest.mark.parametrize(("count", "findings"), [(3, 3), (20, 20), (21, 1)])
def test_absent_commits_are_information(scene: Scene, count: int, findings: int) -> None:
    """Commits that were abandoned change no verdict, and many of them are one finding."""
    for number in range(count):
        scene.record_commit(scene.sandbox.git("rev-parse", "HEAD", cwd=scene.path), oid=f"{number + 1:040x}")
    scene.install()
    report = scene.verify()
    assert report.verdict == "consistent" and len(of(report, "commit.absent")) == findings


def test_a_log_of_another_repository_is_invalid(sandbox: Any) -> None:
    """A log whose roots are not here was written elsewhere, also where its root object lies around without a ref."""
    scene = make(sandbox)
    elsewhere = sandbox.make_repo("elsewhere")
    foreign = sandbox.commit(elsewhere, "another beginning", {"x": "y"})
    scene = Scene(sandbox, scene.path, roots=[foreign])
    scene.install()
    assert codes(scene.verify()) == ["genesis.roots"]
    sandbox.git("fetch", "-q", str(elsewhere), "HEAD", cwd=scene.path)
    assert codes(scene.verify()) == ["genesis.roots"]
    sandbox.git("update-ref", "refs/ledger/logs/x", foreign, cwd=scene.path)
    assert codes(scene.verify()) == ["genesis.roots"]
    sandbox.git("update-ref", "refs/heads/other", foreign, cwd=scene.path)
    assert scene.verify().verdict == "consistent"


def test_roots_that_are_no_roots_do_not_bind(scene: Scene) -> None:
    """A commit with parents binds nothing, nor does a genesis whose roots are nonsense."""
    nonsense: list[Any] = [[scene.commit()], ["HEAD"], ["x"], [1], [None], ["0" * 40]]
    for roots in nonsense:
        sim = LogSimulator(roots=roots)
        scene.adopt(sim.name)
        scene.install(sim.records(), [], sim.name)
        assert "genesis.roots" in codes(scene.verify()), roots


def test_a_shallow_history_is_incomplete(scene: Scene, sandbox: Any) -> None:
    """Where the root was not cloned, it cannot be told whether the log belongs here; the boundary is no root."""
    scene.commit()
    clone = sandbox.root / "shallow"
    sandbox.git("clone", "-q", "--depth=1", f"file://{scene.path}", str(clone), cwd=sandbox.root)
    shallow = Scene(sandbox, clone)
    shallow.adopt(scene.sim.name)
    report = shallow.verify()
    assert (report.verdict, codes(report, "error")) == ("incomplete", ["genesis.shallow"])
    sandbox.git("fetch", "-q", "--unshallow", cwd=clone)
    assert shallow.verify().verdict == "consistent"


def test_a_log_that_began_before_the_first_commit(sandbox: Any) -> None:
    """It is bound by the commits that it recorded; the first one may be amended away, but not all may be strangers."""
    scene = Scene(sandbox, sandbox.make_repo("new"))
    scene.install()
    assert scene.verify().verdict == "consistent"
    first = scene.commit("first")
    scene.record_commit(first)
    scene.install()
    assert scene.verify().verdict == "consistent"
    sandbox.git("commit", "-q", "--amend", "--allow-empty", "-m", "better", cwd=scene.path)
    assert codes(scene.verify()) == ["genesis.roots"]
    scene.record_commit(sandbox.git("rev-parse", "HEAD", cwd=scene.path))
    scene.install()
    assert scene.verify().findings == ()


def test_coverage_lists_commits_without_entries(scene: Scene) -> None:
    """Commits made after the log was opened and recorded by no entry are named; older ones only counted."""
    old = scene.sandbox.commit(scene.path, "old", GIT_COMMITTER_DATE="2020-01-01T00:00:00Z")
    bypassed = scene.commit("bypassed")
    report = scene.verify(coverage=True)
    assert report.coverage is not None
    assert (report.coverage.commits, report.coverage.recorded, report.coverage.missing) == (3, 1, (bypassed,))
    assert old not in report.coverage.missing
    assert scene.verify(coverage=True, revisions="HEAD~1").coverage.missing == ()  # type: ignore[union-attr]
    assert scene.verify().coverage is None


# --- Pins, journals and predecessors --------------------------------------------------------------------------------------------


def test_a_pin_only_moves_after_a_good_run(scene: Scene) -> None:
    """A log that is found bad is not pinned, and a pin never moves back."""
    scene.install(scene.sim.records()[:5], [row for row in scene.sim.payload_rows() if row.seq < 5])
    assert scene.verify().verdict == "consistent"
    bad = scene.sim.edit_and_rehash(2, lambda members: members.update(body={"x": 1}))
    scene.install(bad)
    assert codes(scene.verify(), "error") == ["pin.mismatch"]
    assert pins.read_pins(scene.state)[scene.sim.name].size == 5
    scene.install()
    assert scene.verify().verdict == "consistent"
    assert pins.read_pins(scene.state)[scene.sim.name].size == len(scene.sim.records())
    scene.install(scene.sim.records()[:5], [row for row in scene.sim.payload_rows() if row.seq < 5])
    report = scene.verify()
    assert (report.verdict, codes(report)) == ("diverged", ["pin.rollback"])


def test_a_journal_that_is_gone(scene: Scene) -> None:
    """It leaves the answer incomplete; where this machine had verified it, diverged."""
    journal = Path(places.journal_path(scene.state, scene.sim.name))
    journal.unlink()
    report = scene.verify()
    assert (report.verdict, codes(report), report.logs[0].size) == ("incomplete", ["journal.missing"], 0)
    scene.install()
    assert scene.verify().verdict == "consistent"
    journal.unlink()
    assert (scene.verify().verdict, codes(scene.verify())) == ("diverged", ["journal.lost"])


def test_a_journal_that_cannot_be_read_is_no_verdict(scene: Scene) -> None:
    """A file that is no database, or has no table of records, could not be checked."""
    journal = Path(places.journal_path(scene.state, scene.sim.name))
    data = journal.read_bytes()
    for damaged in (b"not a database at all" * 100, b"", data[:100] + b"\xff" * 4000 + data[4100:]):
        journal.write_bytes(damaged)
        with pytest.raises(StoreError):
            scene.verify()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("UPDATE record SET bytes = 'text' WHERE seq = 3", ["chain.prev", "record.form"]),
        ("UPDATE record SET bytes = 5 WHERE seq = 3", ["chain.prev", "record.form"]),
        ("UPDATE record SET seq = 1000 WHERE seq = (SELECT max(seq) FROM record)", ["journal.row"]),
        ("INSERT INTO record VALUES (-1, x'00')", ["chain.prev", "record.form"]),
        ("UPDATE payload SET salt = 'x' WHERE seq = 3", ["payload.mismatch"]),
        ("UPDATE payload SET name = 'zz' WHERE seq = 3", ["payload.mismatch", "payload.missing"]),
        ("UPDATE payload SET seq = 'x' WHERE seq = 3", ["payload.mismatch", "payload.missing"]),
        ("UPDATE payload SET seq = 3.5 WHERE seq = 3", ["payload.mismatch", "payload.missing"]),
        ("UPDATE payload SET name = x'00ff' WHERE seq = 3", ["payload.mismatch", "payload.missing"]),
        ("UPDATE payload SET bytes = bytes || x'00' WHERE seq = 3", ["payload.mismatch"]),
        ("INSERT INTO payload VALUES (1, 'more', zeroblob(32), x'')", ["payload.mismatch"]),
    ],
)
def test_rows_that_are_wrong_are_findings(scene: Scene, sql: str, expected: list[str]) -> None:
    """Whatever a database may hold in a row, the verifier names it and goes on."""
    db = sqlite3.connect(places.journal_path(scene.state, scene.sim.name))
    with db:
        db.execute(sql)
    db.close()
    report = scene.verify()
    assert report.verdict == "invalid" and codes(report, "error") == expected


def test_a_payload_may_be_gone_when_an_entry_says_so(scene: Scene) -> None:
    """A missing payload is incomplete until a payload.erased names it."""
    rows = scene.sim.payload_rows()
    scene.install(payloads=rows[1:])
    assert (scene.verify().verdict, codes(scene.verify())) == ("incomplete", ["payload.missing"])
    scene.sim.append("payload.erased", {"payloads": [{"seq": rows[0].seq, "name": rows[0].name}, "junk", {"seq": "x"}]})
    scene.install(payloads=rows[1:])
    assert (scene.verify().verdict, codes(scene.verify())) == ("consistent", [])


def test_a_successor_is_held_against_its_predecessor(scene: Scene) -> None:
    """The log before this one is verified too; what the successor says of it must be so; where it is gone, that is information."""
    roots = scene.sandbox.git("rev-list", "--max-parents=0", "HEAD", cwd=scene.path).split()
    log, seq, found = scene.sim.head(4).split("/")
    for told, verdict, code in ((found, "consistent", []), ("0" * 64, "diverged", ["predecessor.mismatch"])):
        after = LogSimulator(roots=roots, predecessor={"log": log, "seq": int(seq), "hash": told})
        scene.adopt(after.name)
        scene.install(after.records(), [], after.name)
        report = scene.verify()
        assert (report.verdict, codes(report), len(report.logs)) == (verdict, code, 2)
    Path(places.journal_path(scene.state, log)).unlink()
    assert (scene.verify().verdict, codes(scene.verify())) == ("consistent", ["predecessor.absent"])


@pytest.mark.parametrize("column, value", [("size", "many"), ("size", 1.5), ("hash", b"\xff"), ("key", None), ("at", b"\xff")])
def test_pins_that_are_no_pins_are_an_error(scene: Scene, column: str, value: object) -> None:
    """Damaged pins are said to be so, with the remedy; they are not taken for no pins."""
    scene.verify()
    with sqlite3.connect(pins.pins_path(scene.state)) as db:
        # Without its constraints, for a damaged file has none.
        db.executescript("CREATE TABLE copy AS SELECT * FROM pin; DROP TABLE pin; ALTER TABLE copy RENAME TO pin")
        db.execute(f"UPDATE pin SET {column} = ?", (value,))
    with pytest.raises(StoreError, match=r"pins.* damaged") as caught:
        scene.verify()
    assert "move the file away" in caught.value.remedy


@pytest.mark.parametrize("name", ["pins", "journal"])
def test_a_fifo_is_an_error(scene: Scene, name: str) -> None:
    """Whatever lies where a database should, nobody waits for it."""
    scene.verify()
    path = pins.pins_path(scene.state) if name == "pins" else places.journal_path(scene.state, scene.sim.name)
    os.unlink(path)
    os.mkfifo(path)
    with pytest.raises(StoreError, match="no such file"):
        scene.verify()


@pytest.mark.parametrize("value", [[], {}, 5, None, True, "", "\u202e", "z" * 40, ["1" * 40]])
def test_whatever_an_entry_says_of_commits_is_no_crash(sandbox: Any, value: object) -> None:
    """Members of any type, in a log whose roots are not here: findings, never an error."""
    scene = make(sandbox, roots=["2" * 40])
    for member in ("oid", "tree", "parents", "trailers", "paths"):
        body = {"oid": "1" * 40, "tree": "", "parents": [], "paths": [], "trailers": [], "patch_id": "", member: value}
        scene.sim.append("commit.recorded", body, source="git")
    scene.sim.append("payload.erased", {"payloads": value})
    scene.sim.append("commit.rewritten", {"rewrites": value}, source="git")
    scene.install()
    assert scene.verify(full=True, coverage=True).verdict == "invalid"


def test_a_predecessor_of_another_repository_is_a_warning(scene: Scene) -> None:
    """A repository that was made anew in the place of another is not invalid for it; unless its commits name that log."""
    roots = scene.sandbox.git("rev-list", "--max-parents=0", "HEAD", cwd=scene.path).split()
    other = LogSimulator(roots=["1" * 40])
    scene.install(other.records(), [], other.name)
    log, seq, found = other.head().split("/")
    after = LogSimulator(roots=roots, predecessor={"log": log, "seq": int(seq), "hash": found})
    scene.install(after.records(), [], after.name)
    scene.adopt(after.name)
    assert (scene.verify().verdict, codes(scene.verify())) == ("consistent", ["predecessor.roots"])
    scene.commit_with_trailer(other.head())
    assert (scene.verify().verdict, codes(scene.verify())) == ("invalid", ["genesis.roots"])


def test_predecessors_that_name_paths_or_each_other_end(scene: Scene) -> None:
    """Nonsense in `predecessor` is neither followed nor opened."""
    for named in ({"log": "../../../etc", "seq": 1, "hash": "0" * 64}, {"log": 5}, "x", ["y"], {}):
        after = LogSimulator(
            roots=scene.sandbox.git("rev-list", "--max-parents=0", "HEAD", cwd=scene.path).split(), predecessor=named
        )
        scene.adopt(after.name)
        scene.install(after.records(), [], after.name)
        assert len(scene.verify().logs) == 1


# --- Trust ----------------------------------------------------------------------------------------------------------------------


def lines(sim: LogSimulator) -> list[str]:
    """Return one allowed_signers line for each key that the log ever had."""
    from ledger.core.ed25519 import public_key_of

    return [format_signer("ledger-ada", public_key_of(seed)) + "\n" for seed in sim.seeds.values()]


def test_a_given_file_decides(scene: Scene, tmp_path: Path) -> None:
    """With --trust every key that was ever in force must be listed; ledger.trust does the same; the option wins."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("".join(lines(scene.sim)))
    bad.write_text(lines(scene.sim)[0])
    assert (scene.verify(trust=str(good)).verdict, scene.verify(trust=str(good)).logs[0].trust) == ("consistent", "given")
    report = scene.verify(trust=str(bad))
    assert (report.verdict, codes(report)) == ("invalid", ["key.untrusted"])
    scene.sandbox.git("config", "ledger.trust", str(bad), cwd=scene.path)
    assert scene.verify().verdict == "invalid"
    assert scene.verify(trust=str(good)).verdict == "consistent"


@pytest.mark.parametrize("text", [None, b"\xff\xfe", b"not a line\n"])
def test_a_configured_file_that_cannot_be_read_is_no_verdict(scene: Scene, tmp_path: Path, text: bytes | None) -> None:
    """A trust file that is named and missing or malformed stops the check; it is not ignored."""
    path = tmp_path / "signers"
    if text is not None:
        path.write_bytes(text)
    scene.sandbox.git("config", "ledger.trust", str(path), cwd=scene.path)
    with pytest.raises(StoreError):
        scene.verify()


def test_only_the_committed_file_is_believed(scene: Scene) -> None:
    """The file in the work tree, which the audited can write, changes nothing until it is committed."""
    text = "".join(lines(scene.sim))
    target = scene.path / ".ledger" / "allowed_signers"
    target.parent.mkdir()
    target.write_text(text)
    scene.sandbox.git("add", ".ledger", cwd=scene.path)
    assert scene.verify().logs[0].trust == "first-use"
    os.unlink(pins.pins_path(scene.state))
    scene.commit("enroll")
    assert scene.verify().logs[0].trust == "repository"
    assert scene.verify().logs[0].trust == "pinned"


def test_a_changed_committed_file_is_said_once(scene: Scene) -> None:
    """The first committed file is no change; another one, or none, is a warning at the next run."""
    text = "".join(lines(scene.sim))
    scene.verify()
    for content, expected in ((text, []), (text, []), (text + "# more\n", ["trust.changed"]), (text + "# more\n", [])):
        scene.sandbox.commit(scene.path, "signers", {".ledger/allowed_signers": content})
        report = scene.verify()
        assert (report.verdict, codes(report)) == ("consistent", expected)
    scene.sandbox.git("rm", "-q", ".ledger/allowed_signers", cwd=scene.path)
    scene.commit("gone")
    assert codes(scene.verify()) == ["trust.changed"]


def test_a_key_that_the_team_did_not_list_is_said(scene: Scene) -> None:
    """Where a committed file lists others, a log of an unlisted key says so and stays consistent."""
    scene.sandbox.commit(scene.path, "signers", {".ledger/allowed_signers": lines(LogSimulator())[0]})
    report = scene.verify()
    assert (report.verdict, codes(report), report.logs[0].trust) == ("consistent", ["key.unlisted"], "first-use")


def test_a_malformed_committed_file_trusts_nobody(scene: Scene) -> None:
    """Whoever commits nonsense does not stop the check, and is not believed."""
    scene.sandbox.commit(scene.path, "signers", {".ledger/allowed_signers": "junk\n"})
    assert (scene.verify().verdict, scene.verify().logs[0].trust) == ("consistent", "pinned")


# --- Hints and warnings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["x\n", "{log}/3/" + "0" * 64 + "\n", "{log}/9999/" + "0" * 64 + "\n", "f" * 32 + "/0/" + "0" * 64 + "\n", ""]
)
def test_a_head_file_that_disagrees_is_a_warning(scene: Scene, text: str) -> None:
    """The head file lies where agents may write: it is compared, and never believed."""
    path = Path(places.head_path(scene.repo.common_dir))
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.replace("{log}", scene.sim.name))
    report = scene.verify()
    assert (report.verdict, codes(report, "warning")) == ("consistent", ["head.mismatch"])


def test_what_is_spooled_is_a_number(scene: Scene) -> None:
    """Facts that wait in either spool are counted and are no finding."""
    for folder in (places.spool_dir(scene.state, scene.sim.name), places.git_spool_dir(scene.repo.common_dir)):
        Path(folder).mkdir(parents=True)
        for name in ("1.json", "2.json", "3.json.tmp-9"):
            (Path(folder) / name).write_text("{}")
    report = scene.verify()
    assert (report.logs[0].pending, report.findings) == (4, ())


def test_gaps_pauses_and_unknown_kinds_are_told(scene: Scene) -> None:
    """What the log itself says of its limits is repeated, each sort once, and changes no verdict."""
    for _ in range(30):
        scene.sim.append("gap.noted", {"reason": "busy", "count": 1, "size": 0})
    scene.sim.append("recording.paused")
    scene.sim.append("robot.danced")
    scene.sim.append("robot.danced")
    scene.install()
    report = scene.verify()
    assert report.verdict == "consistent"
    assert [finding.code for finding in report.findings] == ["gap.noted", "recording.paused", "kind.unknown"]
    assert "30 times" in of(report, "gap.noted")[0] and of(report, "gap.noted")[0].endswith("…")
    scene.sim.append("recording.resumed")
    scene.install()
    assert "recording.paused" not in codes(scene.verify())


def test_a_clock_that_goes_back_is_information(scene: Scene) -> None:
    """Hours do not matter; more than a day is said once and becomes the new time."""
    for at in ("2026-01-05T00:00:00.000Z", "2026-01-04T01:00:00.000Z", "2026-01-03T00:00:00.000Z", "2026-01-03T00:00:01.000Z"):
        scene.sim.append("message.sent", at=at)
    scene.install()
    report = scene.verify()
    assert (report.verdict, codes(report), len(report.findings)) == ("consistent", ["time.backwards"], 1)


def test_a_state_folder_that_cannot_be_written_still_verifies(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no pin can be stored, the answer is the same."""

    def refuse(*_: object) -> None:
        raise StoreError("read-only")

    monkeypatch.setattr(pins, "write_pins", refuse)
    assert scene.verify().verdict == "consistent"
    assert not os.path.exists(pins.pins_path(scene.state))
