"""What whoever can push may lay on a log's ref, and what comes of it: a reason, bounded time and memory, and nothing that moves."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from fleet import Fleet, Member, hows
from simulator import LogSimulator, flip_signature, swap

from ledger.core.seal import format_segment
from ledger.repo.gitdir import find_repository
from ledger.repo.seals import hash_tree, write_seal
from ledger.sync import exchange, remote

MAX_RSS_KIB = 400 << 10


@pytest.fixture
def fleet(sandbox: Any) -> Fleet:
    """Two clones that have met."""
    fleet = Fleet.begin(sandbox, 2)
    for member in fleet.members:
        member.say(2)
    fleet.settle()
    return fleet


class Stranger:
    """Whoever can write the server, with a log and keys of its own."""

    def __init__(self, fleet: Fleet, **simulator: Any) -> None:
        self.fleet = fleet
        roots = fleet.git("rev-list", "--max-parents=0", "main").split()
        self.sim = LogSimulator(**{"roots": roots, **simulator})
        for number in range(5):
            self.sim.append("prompt.submitted", {"number": number})

    def put(self, note: bytes, segment: bytes, *parents: str) -> str:
        """Store a commit of a seal's form on the server, whatever is in it."""
        tree, data = hash_tree(note, segment, "sha1")
        return write_seal(find_repository(str(self.fleet.server)), note, segment, data, _commit(tree, parents), "sha1")

    def seal(self, *sizes: int, records: list[bytes] | None = None, tip: str = "", start: int = 0) -> str:
        """Seal the log, or other `records` of it, up to each of `sizes`, on top of `tip`."""
        records = self.sim.records() if records is None else records
        for size in sizes or (len(records),):
            note = self.sim.note(size, records)
            tip = self.put(note, format_segment(records[start:size]), *([tip] if tip else []))
            start = size
        return tip

    def commit(self, *entries: tuple[str, str, str], parents: tuple[str, ...] = ()) -> str:
        """Make a commit on the server whose tree has these (mode, id, name)."""
        kinds = {"040000": "tree", "160000": "commit"}
        lines = "".join(f"{mode} {kinds.get(mode, 'blob')} {oid}\t{name}\n" for mode, oid, name in entries)
        tree = self.git("mktree", "--missing", input=lines)
        return self.git("commit-tree", *(word for parent in parents for word in ("-p", parent)), "-m", "x", tree)

    def blob(self, text: str) -> str:
        """Store a blob on the server."""
        return self.git("hash-object", "-w", "--stdin", input=text)

    def git(self, *args: str, input: str | None = None) -> str:
        """Run git in the server's folder."""
        return self.fleet.sandbox.git(*args, cwd=self.fleet.server, input=input)

    def set_ref(self, oid: str, log: str = "") -> None:
        """Let the ref of the log name an object on the server."""
        self.git("update-ref", f"refs/ledger/logs/{log or self.sim.name}", oid)


def _commit(tree: str, parents: Iterable[str]) -> bytes:
    who = "nobody <nobody@localhost> 1767323045 +0000"
    return "\n".join(
        [f"tree {tree}", *(f"parent {oid}" for oid in parents), f"author {who}", f"committer {who}", "", "x", ""]
    ).encode()


def _edited(stranger: Stranger, change: Callable[[list[bytes]], list[bytes]]) -> str:
    return stranger.seal(records=change(stranger.sim.records()))


def _two_genesis(stranger: Stranger) -> str:
    body = LogSimulator().members("log.opened")["body"]
    stranger.sim.append("log.opened", body)
    return stranger.seal()


def _missing_middle(stranger: Stranger) -> str:
    first, records = stranger.seal(2), stranger.sim.records()
    return stranger.put(stranger.sim.note(6), format_segment(records[4:6]), first)


def _tag(stranger: Stranger) -> str:
    text = f"object {stranger.seal()}\ntype commit\ntag x\ntagger x <x@localhost> 1767323045 +0000\n\nx\n"
    return stranger.git("hash-object", "-t", "tag", "-w", "--stdin", input=text)


def _files(stranger: Stranger, *names: tuple[str, str]) -> str:
    blob = stranger.blob("x\n")
    return stranger.commit(*((mode, blob, name) for mode, name in names))


def _odd_tree(stranger: Stranger, mode: str) -> str:
    seal = stranger.seal()
    note, segment = (stranger.git("rev-parse", f"{seal}:{name}") for name in ("checkpoint", "segment.jsonl"))
    return stranger.commit((mode, note, "checkpoint"), (mode, segment, "segment.jsonl"))


REFUSED: dict[str, tuple[Callable[[Stranger], str], str]] = {
    "a tag": (_tag, "names a tag"),
    "a blob": (lambda s: s.blob("hello"), "names a blob"),
    "a tree": (lambda s: s.git("rev-parse", f"{s.seal()}^{{tree}}"), "names a tree"),
    "a branch": (lambda s: s.git("rev-parse", "main"), "no seal"),
    "an empty tree": (lambda s: s.commit(), "no seal"),
    "other names": (lambda s: _files(s, ("100644", "checkpoint"), ("100644", "segment")), "no seal"),
    "a third file": (lambda s: _files(s, ("100644", "checkpoint"), ("100644", "readme"), ("100644", "segment.jsonl")), "no seal"),
    "executable files": (lambda s: _odd_tree(s, "100755"), "no seal"),
    "symbolic links": (lambda s: _odd_tree(s, "120000"), "no seal"),
    "a note that is none": (lambda s: s.put(b"hello\n", format_segment(s.sim.records())), "no seal"),
    "a note of no text": (lambda s: s.put(bytes(range(256)) * 9, format_segment(s.sim.records())), "no seal"),
    "an endless note": (lambda s: s.put(b"a" * 200_000, b""), "no seal"),
    "a size beyond all": (lambda s: s.put(s.sim.note(6).replace(b"\n6\n", b"\n" + b"9" * 400 + b"\n"), b""), "no seal"),
    "another key's note": (lambda s: s.put(s.sim.note(6, seed=os.urandom(32)), format_segment(s.sim.records())), "no seal"),
    "another log's note": (lambda s: s.put(s.sim.note(6, log="ab" * 16), format_segment(s.sim.records())), "no seal"),
    "another log": (lambda s: Stranger(s.fleet).seal(), "no seal"),
    "a segment of nonsense": (lambda s: s.put(s.sim.note(6), b"\n\n\n{}\n"), "no seal"),
    "a segment of 3 MiB": (lambda s: s.put(s.sim.note(6), b"x" * (3 << 20)), "no seal"),
    "no beginning": (lambda s: s.put(s.sim.note(6), format_segment(s.sim.records()[3:])), "no seal|missing"),
    "two beginnings": (_two_genesis, "genesis.kind"),
    "records in another order": (lambda s: _edited(s, lambda records: swap(records, 2, 3)), "seq"),
    "a bad signature": (lambda s: _edited(s, lambda records: flip_signature(records, 5)), "signature.bad"),
    "a record twice": (lambda s: _edited(s, lambda records: [*records, records[-1]]), "seq"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_nonsense_is_refused_with_a_reason(fleet: Fleet, case: str) -> None:
    """Nothing moves, the honest logs go on, and the verdict is as good as before."""
    make, reason = REFUSED[case]
    stranger = Stranger(fleet)
    stranger.set_ref(make(stranger))
    ada, bob = fleet.members
    before = bob.verify().verdict
    ada.say()
    ada.sync()
    report = bob.sync()
    assert hows(report)[ada.log] == {"advanced"}
    (refused,) = [change for change in report.changes if change.how == "refused"]
    assert refused.log == stranger.sim.name
    assert any(word in refused.reason for word in reason.split("|")), refused
    assert not report.is_well()
    assert stranger.sim.name not in bob.refs() and bob.refs("incoming") == {}
    assert bob.verify().verdict == before


def test_a_seal_that_is_missing_in_the_middle_is_said(fleet: Fleet) -> None:
    """What comes before the gap is good and taken; what comes behind it is refused, with how much is missing."""
    stranger = Stranger(fleet)
    stranger.set_ref(_missing_middle(stranger))
    _, bob = fleet.members
    report = bob.sync()
    assert hows(report)[stranger.sim.name] == {"new", "refused"}
    (refused,) = [change for change in report.changes if change.how == "refused"]
    assert "seals are missing" in refused.reason and "6 records, and 2" in refused.reason
    assert bob.sizes()[stranger.sim.name] == 2


def test_another_repositorys_log_is_refused(fleet: Fleet) -> None:
    """A log that is true elsewhere does not belong here."""
    stranger = Stranger(fleet, roots=["ab" * 20])
    stranger.set_ref(stranger.seal())
    report = fleet.members[1].sync()
    assert "genesis.roots" in next(change.reason for change in report.changes if change.how == "refused")
    assert stranger.sim.name not in fleet.members[1].refs()


def test_a_strangers_valid_log_spoils_nothing(fleet: Fleet) -> None:
    """A log of a key that nobody knows is taken along, and makes no honest log's verdict worse, even as a fork."""
    _, bob = fleet.members
    before = bob.verify().verdict
    stranger = Stranger(fleet)
    first = stranger.seal(2, 4)
    stranger.set_ref(first)
    assert hows(bob.sync())[stranger.sim.name] == {"new"}
    stranger.set_ref(_fork(stranger))
    report = bob.sync()
    assert hows(report)[stranger.sim.name] == {"fork"}
    assert bob.refs()[stranger.sim.name] == first
    assert bob.verify().verdict == before


def _fork(stranger: Stranger) -> str:
    other = stranger.sim.fork(3)
    tip = stranger.seal(2, records=other)
    return stranger.put(stranger.sim.note(4, other, seed=stranger.sim.seeds[stranger.sim.key]), format_segment(other[2:]), tip)


def test_our_own_ref_full_of_nonsense_blocks_nobody(fleet: Fleet) -> None:
    """Whatever lies on a clone's own ref, the clone goes on, and everybody else takes what it seals."""
    ada, bob = fleet.members
    stranger = Stranger(fleet)
    for make in (_two_genesis, lambda s: s.put(s.sim.note(6, log=ada.log), b"{}\n"), lambda s: s.commit()):
        stranger.set_ref(make(stranger), ada.log)
        ada.say()
        ada.sync()
        assert bob.sync().is_well()
        assert bob.records(ada.log) == ada.journal_records()
    assert ada.log not in hows(ada.sync())


def test_a_tag_in_the_place_of_our_own_log(fleet: Fleet) -> None:
    """Only force could remove it, so the sync says that its log was rejected, and takes and gives all else."""
    ada, bob = fleet.members
    stranger = Stranger(fleet)
    stranger.set_ref(_tag(stranger), ada.log)
    bob.say()
    bob.sync()
    ada.say()
    report = ada.sync()
    assert hows(report)[bob.log] == {"advanced"}
    assert hows(report)[ada.log] & {"refused", "rejected"} and not report.is_well()
    stranger.git("update-ref", "-d", f"refs/ledger/logs/{ada.log}")
    ada.sync()
    assert bob.sync().is_well()
    assert bob.records(ada.log) == ada.journal_records()


def test_names_that_are_no_logs_are_passed_over(fleet: Fleet) -> None:
    """Refs with other names, or deeper, are nobody's logs."""
    oid = fleet.git("rev-parse", "main")
    for name in ("HEAD", "x", "AB" * 16, "a" * 31, "a" * 33, f"{'c' * 32}/deeper", "-option", "b@{-1}"[:2], "\N{BELL}"):
        fleet.git("update-ref", f"refs/ledger/logs/{name}", oid)
    fleet.git("update-ref", f"refs/heads/refs/ledger/logs/{'a' * 32}", oid)
    ada, bob = fleet.members
    ada.say()
    ada.sync()
    assert hows(bob.sync()) == {ada.log: {"advanced"}, bob.log: {"pushed"}}


def test_a_symbolic_ref_is_what_it_leads_to(fleet: Fleet) -> None:
    """A symbolic ref on the server is judged by the commits behind it."""
    log = "ab" * 16
    fleet.git("symbolic-ref", f"refs/ledger/logs/{log}", "refs/heads/main")
    report = fleet.members[1].sync()
    assert hows(report) == {log: {"refused"}}


def test_more_refs_than_anybody_should_have(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """With tens of thousands of refs the known logs are exchanged all the same, none is called lost, and the rest is left alone."""
    monkeypatch.setattr(remote, "MAX_LOGS", 40)
    monkeypatch.setattr(exchange, "MAX_LOGS", 40)
    ada, bob = fleet.members
    oid = fleet.git("rev-parse", "main")
    fleet.git("pack-refs", "--all")
    packed = fleet.server / "packed-refs"
    lines = packed.read_text().splitlines()
    many = [f"{oid} refs/ledger/logs/{number:032x}" for number in range(20_000)]
    packed.write_text("\n".join([lines[0], *sorted([*lines[1:], *many], key=lambda line: line.split(" ")[1])]) + "\n")
    ada.say()
    ada.sync()
    report = bob.sync()
    assert hows(report)[ada.log] == {"advanced"}
    assert len(report.changes) <= 42
    (warning,) = report.warnings
    assert "more refs of logs" in warning
    assert bob.records(ada.log) == ada.journal_records()
    assert hows(ada.sync()).get(ada.log) is None


@pytest.mark.parametrize("size", [64 << 20, 8 << 20], ids=["64 MiB", "8 MiB"])
def test_a_listing_without_end_is_cut_off(fleet: Fleet, size: int) -> None:
    """A server that lists more than anybody should read is not listened to for ever."""
    _, bob = fleet.members
    server = fleet.sandbox.root / "endless"
    # A protocol-v0 advertisement (gitprotocol-pack(5)) of refs that all look like logs.
    server.write_text(
        f"#!{sys.executable} -I\nimport sys\nout = sys.stdout.buffer\n"
        "def line(text):\n    out.write(b'%04x' % (len(text) + 4) + text)\n"
        "line(b'a' * 40 + b' HEAD\\0ofs-delta\\n')\n"
        f"for number in range({size} // 90):\n    line(b'%s refs/ledger/logs/%032x\\n' % (b'a' * 40, number))\n"
        "out.write(b'0000')\nout.flush()\n"
    )
    server.chmod(0o755)
    bob.git("config", "remote.origin.uploadpack", str(server))
    done, rss = _run_measured(bob, "sync", "--no-push")
    assert done.returncode in (0, 1, 3) and "Traceback" not in done.stderr
    assert rss < MAX_RSS_KIB


def _run_measured(member: Member, *words: str) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run the command and return the largest resident size, in KiB, that it or anything it started had."""
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(done.returncode)"
    )
    ledger = (sys.executable, "-I", "-m", "ledger", "--state", member.state)
    done = member.sandbox.run(sys.executable, "-I", "-c", code, *ledger, *words, cwd=member.path)
    return done, int(done.stderr.splitlines()[-1])


def test_a_bomb_in_the_place_of_a_segment(fleet: Fleet) -> None:
    """A blob that is tiny on the wire and huge on disk is looked at by its size alone, by us and by git."""
    stranger = Stranger(fleet)
    size = int(os.environ.get("LEDGER_TEST_BOMB_MIB", "256")) << 20
    zeros = stranger.fleet.sandbox.run(
        "sh", "-c", f"head -c {size} /dev/zero | git -c core.bigFileThreshold=1m hash-object -w --stdin", cwd=fleet.server
    ).stdout.strip()
    note = stranger.blob(stranger.sim.note(6).decode())
    stranger.set_ref(stranger.commit(("100644", note, "checkpoint"), ("100644", zeros, "segment.jsonl")))
    _, bob = fleet.members
    done, rss = _run_measured(bob, "sync")
    assert done.returncode == 1 and "refused" in done.stdout
    assert rss < MAX_RSS_KIB
    done, rss = _run_measured(bob, "verify")
    assert rss < MAX_RSS_KIB


def _send_pack(stranger: Stranger, objects: list[tuple[int, bytes]]) -> None:
    """Store objects on the server by a pack made by hand (gitformat-pack(5)); 1 is a commit, 2 a tree, 3 a blob."""
    pack = hashlib.sha1(usedforsecurity=False)
    path = stranger.fleet.sandbox.root / "made.pack"
    with path.open("wb") as file:

        def write(data: bytes) -> None:
            pack.update(data)
            file.write(data)

        write(b"PACK" + struct.pack(">II", 2, len(objects)))
        for kind, data in objects:
            size, head = len(data) >> 4, bytearray([kind << 4 | len(data) & 15 | (0x80 if len(data) >> 4 else 0)])
            while size:
                head.append(size & 0x7F | (0x80 if size > 0x7F else 0))
                size >>= 7
            write(bytes(head) + zlib.compress(data, 1))
        file.write(pack.digest())
    done = stranger.fleet.sandbox.run("sh", "-c", f"git index-pack --stdin <'{path}'", cwd=stranger.fleet.server)
    assert done.returncode == 0, done


def _hash(kind: str, data: bytes) -> str:
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)) + data, usedforsecurity=False).hexdigest()


def test_a_tree_of_many_thousand_files(fleet: Fleet) -> None:
    """A tree of two hundred thousand entries is no seal's; its bytes are not read."""
    stranger = Stranger(fleet)
    blob = bytes.fromhex(stranger.blob("x"))
    tree = b"".join(b"100644 %08d\0%s" % (number, blob) for number in range(200_000))
    commit = _commit(_hash("tree", tree), ())
    _send_pack(stranger, [(2, tree), (1, commit)])
    stranger.set_ref(_hash("commit", commit))
    done, rss = _run_measured(fleet.members[1], "sync")
    assert done.returncode == 1 and "refused" in done.stdout
    assert rss < MAX_RSS_KIB


def test_a_tree_of_great_depth(fleet: Fleet) -> None:
    """Folders in folders, thousands deep: git may refuse to fetch them, and then it is git's reason that is said."""
    stranger = Stranger(fleet)
    tree, objects = b"", []
    for _ in range(5_000):
        objects.append((2, tree))
        tree = b"40000 a\0" + bytes.fromhex(_hash("tree", tree))
    commit = _commit(_hash("tree", tree), ())
    _send_pack(stranger, [*objects, (2, tree), (1, commit)])
    stranger.set_ref(_hash("commit", commit))
    ada, bob = fleet.members
    ada.say()
    ada.sync()
    report = bob.sync()
    assert hows(report) == {stranger.sim.name: {"refused"}, ada.log: {"advanced"}, bob.log: {"pushed"}}


def test_a_history_of_many_thousand_commits(fleet: Fleet) -> None:
    """A long history that is no log's is given up on, and another that lies on an honest log's ref hides nothing of it."""
    stranger = Stranger(fleet)
    ada, bob = fleet.members
    empty = stranger.git("mktree", input="")
    tip, objects = fleet.refs()[ada.log], []
    for _ in range(20_000):
        commit = _commit(empty, (tip,))
        objects.append((1, commit))
        tip = _hash("commit", commit)
    _send_pack(stranger, objects)
    stranger.set_ref(tip)
    stranger.set_ref(tip, ada.log)
    report = bob.sync()
    assert hows(report)[stranger.sim.name] == {"refused"}
    assert hows(report)[ada.log] == {"foreign"}
    ada.say()
    ada.sync()
    assert hows(bob.sync())[ada.log] == {"advanced"}
    assert bob.records(ada.log) == ada.journal_records()


def test_commits_with_thousands_of_parents_or_megabytes_of_text(fleet: Fleet) -> None:
    """A commit that is larger than any seal's is not read."""
    stranger = Stranger(fleet)
    tree = stranger.git("rev-parse", f"{stranger.seal()}^{{tree}}")
    parent = fleet.git("rev-parse", "main")
    for commit in (_commit(tree, [parent] * 1000), _commit(tree, ()) + b"x" * (20 << 20)):
        _send_pack(stranger, [(1, commit)])
        stranger.set_ref(_hash("commit", commit))
        assert hows(fleet.members[1].sync())[stranger.sim.name] == {"refused"}


def test_a_damaged_object_in_the_clone_is_said(fleet: Fleet) -> None:
    """Where the disk spoilt a seal here, the sync ends with a message, not with a traceback."""
    ada, bob = fleet.members
    tip = bob.refs()[ada.log]
    bob.git("repack", "-adq")
    pack = next(Path(bob.path, ".git/objects/pack").glob("*.pack"))
    data = bytearray(pack.read_bytes())
    for start in range(200, len(data) - 40, 97):
        data[start] ^= 0xFF
    pack.chmod(0o600)
    pack.write_bytes(bytes(data))
    ada.say()
    ada.sync()
    done = bob.run("sync")
    assert done.returncode in (1, 3) and "Traceback" not in done.stderr and "internal error" not in done.stderr
    assert bob.git("rev-parse", f"refs/ledger/logs/{ada.log}") == tip


def test_a_symbolic_quarantine_leads_into_no_branch(fleet: Fleet) -> None:
    """Whoever can write .git can let the quarantine lead to a branch: fetching a log writes nothing there."""
    ada, bob = fleet.members
    ada.say()
    ada.sync()
    main = bob.git("rev-parse", "main")
    for branch in ("main", "made"):
        bob.git("symbolic-ref", f"refs/ledger/incoming/origin/{ada.log}", f"refs/heads/{branch}")
        bob.git("update-ref", "-d", f"refs/ledger/logs/{ada.log}")
        bob.git("update-ref", "-d", f"refs/ledger/remotes/origin/{ada.log}")
        assert ada.log in hows(bob.sync())
        assert bob.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads") == f"refs/heads/main {main}"


@pytest.mark.parametrize("what", ["absent", "no parent"])
def test_a_ref_into_nothing_costs_the_other_logs_nothing(fleet: Fleet, what: str) -> None:
    """A ref in this clone whose history is not here is passed over: logs come, go, are verified and anchored all the same."""
    ada, bob = fleet.members
    ada.say()
    ada.sync()
    bob.say()
    oid = "1" * 40
    if what == "no parent":
        text = f"tree {bob.git('rev-parse', 'HEAD^{tree}')}\nparent {oid}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n"
        oid = bob.git("hash-object", "-t", "commit", "-w", "--stdin", input=text)
    (bob.path / ".git/refs/ledger/logs" / ("a" * 32)).write_text(oid + "\n")
    found = hows(bob.sync())
    # Beside a ref whose very object is not here, git itself fetches nothing.
    assert (found[ada.log], found[bob.log]) == ({"refused" if what == "absent" else "advanced"}, {"pushed"})
    assert bob.verify().verdict == "consistent"
    assert bob.run("anchor", "--tag", "v1").returncode == 0
    assert set(fleet.refs()) == {ada.log, bob.log}
