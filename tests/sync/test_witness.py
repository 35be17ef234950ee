"""`log.seen`: who says what about whose log, and when there is nothing more to say."""

from __future__ import annotations

from typing import Any

import pytest
from fleet import Fleet, Member, read_note

from ledger.core.checkpoint import check_checkpoint, log_key
from ledger.core.ed25519 import check_message
from ledger.core.entry import Entry, parse_record
from ledger.core.merkle import format_hash
from ledger.core.note import Note, NoteSignature, format_note, parse_note
from ledger.core.sshsig import parse_public_key
from ledger.recorder import Recorder


@pytest.fixture
def fleet(sandbox: Any) -> Fleet:
    """Three clones with a log each."""
    return Fleet.begin(sandbox, 3)


def seen(member: Member, about: Member | None = None) -> list[Entry]:
    """Return the `log.seen` entries of a clone's log, those about one log or all."""
    entries = [parse_record(record).entry for record in member.records()]
    return [entry for entry in entries if entry.kind == "log.seen" and about in (None, *_named(entry, member.fleet))]


def _named(entry: Entry, fleet: Fleet) -> list[Member]:
    return [member for member in fleet.members if member.log == entry.body["log"]]


def test_an_entry_carries_the_whole_signed_checkpoint(fleet: Fleet) -> None:
    """Log, size and root are those of the note, the note is the one in git, and the other log's key signed it."""
    ada, bob, _ = fleet.members
    ada.say(2)
    ada.sync()
    bob.sync()
    (entry,) = seen(bob)
    assert set(entry.body) == {"log", "size", "root", "checkpoint"}
    assert (entry.source, entry.actor["type"]) == ("git", "recorder")
    checkpoint = read_note(bob, bob.refs()[ada.log])
    assert (entry.body["log"], entry.body["size"], entry.body["root"]) == (ada.log, 3, format_hash(checkpoint.root))
    note = str(entry.body["checkpoint"]).encode()
    assert note == bob.sandbox.git_bytes("cat-file", "blob", f"{bob.refs()[ada.log]}:checkpoint", cwd=bob.path)
    key = parse_public_key(str(parse_record(ada.journal_records()[0]).entry.body["public_key"]))
    assert check_checkpoint(parse_note(note), [log_key(ada.log, key)], check_message).checkpoint == checkpoint


def test_everybody_is_seen_and_then_there_is_silence(fleet: Fleet) -> None:
    """Clones answer each other's entries a bounded number of times: after a few rounds nothing is written any more."""
    for member in fleet.members:
        member.say()
    for _ in range(4):
        fleet.settle(1)
    assert [member.sync().seen for member in fleet.members for _ in range(2)] == [0] * 6
    sizes = [member.sizes() for member in fleet.members]
    assert sizes[0] == sizes[1] == sizes[2]
    for member in fleet.members:
        assert len(seen(member)) == 2
        for other in fleet.members:
            assert other is member or len(seen(member, other)) == 1


def test_growth_is_seen_again(fleet: Fleet) -> None:
    """Another entry about a log comes only with something new in it."""
    ada, bob, _ = fleet.members
    fleet.settle(4)
    ada.say()
    fleet.settle(4)
    assert len(seen(bob, ada)) == 2 and len(seen(ada, bob)) == 1
    sizes = [int(entry.body["size"]) for entry in seen(bob, ada)]
    assert sizes == sorted(set(sizes))


def test_an_entry_that_only_speaks_of_log_seen_is_news(fleet: Fleet) -> None:
    """Nobody grows unseen by putting the words of a `log.seen` into other entries."""
    ada, bob, _ = fleet.members
    fleet.settle(4)
    with ada.recorder() as recorder:
        recorder.record("message.sent", actor={"type": "agent", "name": "a"}, body={"hidden": {"kind": "log.seen"}})
    assert b'"kind":"log.seen"' in ada.journal_records()[-1]
    ada.sync()
    assert bob.sync().seen == 1
    assert len(seen(bob, ada)) == 2


def test_nothing_is_said_of_what_nobody_signed(fleet: Fleet) -> None:
    """A commit that somebody laid on another's local ref is vouched for by nobody."""
    ada, bob, _ = fleet.members
    ada.say()
    ada.sync()
    bob.sync()
    tip = bob.refs()[ada.log]
    note = bob.git("show", f"{tip}:checkpoint").replace("\n2\n", "\n9\n")
    blob = bob.git("hash-object", "-w", "--stdin", input=note + "\n")
    line = bob.git("hash-object", "-w", "--stdin", input='{"news":1}\n')
    tree = bob.git("mktree", input=f"100644 blob {blob}\tcheckpoint\n100644 blob {line}\tsegment.jsonl\n")
    bob.git("update-ref", f"refs/ledger/logs/{ada.log}", bob.git("commit-tree", "-p", tip, "-m", "x", tree))
    report = bob.sync()
    assert report.warnings == []
    assert all(entry.body["size"] == 2 for entry in seen(bob, ada))


def test_nothing_is_written_while_recording_is_paused(fleet: Fleet) -> None:
    """What is due then is written after recording goes on."""
    ada, bob, _ = fleet.members
    ada.sync()
    assert bob.run("pause").returncode == 0
    assert bob.sync().seen == 0
    assert bob.run("resume").returncode == 0
    assert bob.sync().seen == 1


def test_a_predecessor_is_witnessed_like_any_other(fleet: Fleet) -> None:
    """A successor log says of the log before it what it has seen of it."""
    ada, _, _ = fleet.members
    old = ada.log
    backup = ada.backup()
    ada.say()
    ada.sync()
    ada.restore(backup)
    with Recorder.open(str(ada.path), state=str(ada.state)) as recorder:
        recorder.seal()
    ada.sync()
    assert ada.log != old
    (entry,) = seen(ada)
    assert (entry.body["log"], entry.body["size"]) == (old, 2)


def test_of_very_many_logs_those_are_seen_that_somebody_vouches_for(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may push can make logs without end; beyond some number only listed, named and pinned ones are witnessed."""
    monkeypatch.setattr("ledger.sync.witness.MAX_LOGS", 1)
    ada, bob, cid = fleet.members
    for member in (ada, cid):
        member.say()
        member.sync()
    assert bob.sync().seen == 1
    (first,) = {str(entry.body["log"]) for entry in seen(bob)}
    other = cid if first == ada.log else ada
    assert bob.sync().seen == 0
    assert other.run("keys", "enroll").returncode == 0
    bob.git("fetch", "-q", str(other.path))
    signers = (other.path / ".ledger/allowed_signers").read_text()
    fleet.sandbox.commit(bob.path, "list a key", {".ledger/allowed_signers": signers})
    assert bob.sync().seen == 1
    assert len(seen(bob, other)) == 1


def test_a_line_under_the_logs_own_name_is_not_repeated(fleet: Fleet) -> None:
    """A note with a second, bad signature under the log's name would make whoever quotes it a forger under another history."""
    ada, bob, _ = fleet.members
    ada.say()
    ada.sync()
    tip = ada.refs()[ada.log]
    note = ada.sandbox.git_bytes("cat-file", "blob", f"{tip}:checkpoint", cwd=ada.path)
    trap = log_key(ada.log, bytes(31) + b"\x07")
    bad = format_note(Note(parse_note(note).text, (*parse_note(note).signatures, NoteSignature(trap.name, trap.id, bytes(64)))))
    blob = fleet.sandbox.git("hash-object", "-w", "--stdin", input=bad.decode(), cwd=fleet.server)
    segment = fleet.git("rev-parse", f"{tip}:segment.jsonl")
    tree = fleet.sandbox.git(
        "mktree", input=f"100644 blob {blob}\tcheckpoint\n100644 blob {segment}\tsegment.jsonl\n", cwd=fleet.server
    )
    parents = fleet.git("rev-list", "--parents", "-1", tip).split()[1:]
    env = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@example.invalid"}
    words = [word for parent in parents for word in ("-p", parent)]
    forged = fleet.sandbox.git("commit-tree", "-m", "x", *words, tree, cwd=fleet.server, **env)
    fleet.git("update-ref", f"refs/ledger/logs/{ada.log}", forged)
    assert bob.sync().seen == 1
    (entry,) = seen(bob, ada)
    assert str(entry.body["checkpoint"]).encode() == note
