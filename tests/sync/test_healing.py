"""Refs that somebody deleted, set back or laid commits on, backups that came back, and networks that fail."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from fleet import Fleet, Member, hows, read_note
from githttp import serve

from ledger.core.entry import parse_record
from ledger.errors import RepoError


@pytest.fixture
def fleet(sandbox: Any) -> Fleet:
    """Two clones with a log each, both of which everybody has."""
    fleet = Fleet.begin(sandbox, 2)
    for member in fleet.members:
        member.say()
        member.seal()
        member.say()
    fleet.settle()
    return fleet


def tip_of(fleet: Fleet, member: Member) -> str:
    """Return what the server's ref of a clone's log names."""
    return fleet.refs()[member.log]


def set_server(fleet: Fleet, member: Member, oid: str | None) -> None:
    """Let the server's ref of a clone's log name another commit, or delete it."""
    ref = f"refs/ledger/logs/{member.log}"
    fleet.git("update-ref", *(("-d", ref) if oid is None else (ref, oid)))


def lay(fleet: Fleet, member: Member, oid: str) -> None:
    """Push a commit over a clone's log, by force, as anybody with the right to push can."""
    member.git("push", "-q", "--force", str(fleet.server), f"{oid}:refs/ledger/logs/{member.log}")


@pytest.mark.parametrize("whose", [0, 1], ids=["another's", "its own"])
@pytest.mark.parametrize("how", ["deleted", "rolled back"])
def test_any_clone_heals_what_a_remote_lost(fleet: Fleet, whose: int, how: str) -> None:
    """A ref that is gone or went back is put right by the next sync of any clone that has it, which says so."""
    owner, bob = fleet.members[whose], fleet.members[1]
    tip = tip_of(fleet, owner)
    set_server(fleet, owner, None if how == "deleted" else fleet.git("rev-parse", f"{tip}^"))
    report = bob.sync()
    assert hows(report) == {owner.log: {"healed"}}
    (warning,) = report.warnings
    assert owner.log in warning
    assert tip_of(fleet, owner) == tip
    assert bob.sync().warnings == []


def test_an_accident_with_mirror_is_healed(fleet: Fleet) -> None:
    """`git push --mirror` from an ordinary clone deletes all logs on the server; each clone has them still."""
    ada, bob = fleet.members
    before = fleet.refs()
    plain = fleet.join("plain", log=False)
    plain.git("push", "-q", "--mirror", "origin")
    assert fleet.refs() == {}
    assert hows(bob.sync()) == {ada.log: {"healed"}, bob.log: {"healed"}}
    assert fleet.refs() == before


def test_a_loss_is_said_until_it_is_healed(fleet: Fleet) -> None:
    """Whoever may not push says every time what the remote lost."""
    ada, bob = fleet.members
    set_server(fleet, ada, fleet.git("rev-parse", f"{tip_of(fleet, ada)}^"))
    for _ in range(2):
        (warning,) = bob.sync(push=False).warnings
        assert "went back" in warning
    set_server(fleet, ada, None)
    for _ in range(2):
        (warning,) = bob.sync(push=False).warnings
        assert "deleted" in warning
    assert ada.log in bob.refs()


def test_a_remote_that_forbids_it_is_not_healed(fleet: Fleet) -> None:
    """Where the server takes no push the report says so, and everything is as well as can be but for our own log."""
    ada, bob = fleet.members
    hook = fleet.server / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    set_server(fleet, ada, None)
    report = bob.sync()
    assert hows(report) == {ada.log: {"rejected"}} and report.is_well()
    bob.say()
    report = bob.sync()
    assert hows(report)[bob.log] == {"rejected"} and not report.is_well()
    assert "declined" in next(change.reason for change in report.changes if change.log == bob.log)


def test_a_ref_that_only_its_writer_can_mend(fleet: Fleet) -> None:
    """An earlier seal as another commit is no ancestor: other clones say so, and the writer takes it in."""
    ada, bob = fleet.members
    tip = tip_of(fleet, ada)
    first = ada.git("rev-list", "--first-parent", tip).split()[-1]
    again = ada.git("commit-tree", "-m", "the same once more", f"{first}^{{tree}}")
    lay(fleet, ada, again)
    for _ in range(2):
        report = bob.sync()
        assert hows(report)[ada.log] == {"rejected"} and len(report.warnings) == 1
    assert bob.refs()[ada.log] == tip
    ada.sync()
    assert bob.sync().is_well() and bob.sync().warnings == []
    assert bob.records(ada.log) == ada.journal_records()


def test_commits_of_others_on_our_ref_are_taken_in(fleet: Fleet) -> None:
    """Whoever lays a commit on our ref blocks nothing: it becomes a second parent, and readers pass it over."""
    ada, bob = fleet.members
    tip = tip_of(fleet, ada)
    foreign = bob.foreign(bob.foreign(tip))
    lay(fleet, bob, bob.git("rev-parse", "HEAD"))  # bob's own ref, replaced by a branch's history
    bob.git("push", "-q", "origin", f"{foreign}:refs/ledger/logs/{ada.log}")
    assert hows(bob.sync())[ada.log] == {"foreign"}
    assert bob.refs()[ada.log] == tip, "nobody else's ref advances to a commit that is no seal"
    ada.say()
    ada.sync()
    assert ada.git("log", "-1", "--format=%P", ada.refs()[ada.log]).split()[1] == foreign
    fleet.settle(2)
    for member in fleet.members:
        assert member.refs() == fleet.refs()
        assert bob.records(member.log) == member.journal_records()


def test_a_ref_without_a_seal_is_refused(fleet: Fleet) -> None:
    """A branch's history on another's ref is said, moves nothing, and is not pushed on."""
    ada, bob = fleet.members
    lay(fleet, ada, ada.git("rev-parse", "HEAD"))
    before = bob.refs()
    report = bob.sync()
    assert hows(report)[ada.log] >= {"refused"} and not report.is_well()
    assert bob.refs() == before


def test_local_refs_that_somebody_moved_are_not_believed(fleet: Fleet) -> None:
    """Foreign commits, or a seal that claims the moon, on another's local ref neither go out nor make a fork of an honest log."""
    ada, bob = fleet.members
    tip, first = tip_of(fleet, ada), fleet.git("rev-parse", f"{tip_of(fleet, ada)}^")
    ref = f"refs/ledger/logs/{ada.log}"
    for oid in (bob.foreign(tip), bob.foreign(first), bob.foreign(None), forged(bob, tip), forged(bob, first)):
        bob.git("update-ref", ref, oid)
        report = bob.sync()
        assert "fork" not in hows(report).get(ada.log, set())
        assert tip_of(fleet, ada) == tip
    ada.say()
    ada.sync()
    assert hows(bob.sync())[ada.log] == {"advanced"}
    assert bob.records(ada.log) == ada.journal_records()


def forged(member: Member, parent: str) -> str:
    """Make a commit of a seal's form on top of `parent` whose checkpoint claims a million records, and nobody signed."""
    note = member.git("show", f"{parent}:checkpoint").split("\n")
    note[1] = "1000000"
    blob = member.git("hash-object", "-w", "--stdin", input="\n".join(note) + "\n")
    empty = member.git("hash-object", "-w", "--stdin", input="")
    tree = member.git("mktree", input=f"100644 blob {blob}\tcheckpoint\n100644 blob {empty}\tsegment.jsonl\n")
    return member.git("commit-tree", "-p", parent, "-m", "forged", tree)


@pytest.mark.parametrize("how", ["symbolic ref", "symbolic ref to nothing", "link", "link to a ref", "link to nothing"])
def test_a_symbolic_ref_in_a_logs_place_leads_nowhere(fleet: Fleet, how: str) -> None:
    """Whoever makes a log's ref a symbolic one, or a link, gains nothing: what it leads to stays, and the ref is replaced."""
    ada, bob = fleet.members
    main = bob.git("rev-parse", "main")
    for log in (ada.log, bob.log):
        loose = bob.path / ".git/refs/ledger/logs" / log
        if "symbolic" in how:
            bob.git("symbolic-ref", f"refs/ledger/logs/{log}", "refs/heads/none" if "nothing" in how else "refs/heads/main")
            continue
        loose.unlink()
        target = {"link": bob.path / ".git/refs/heads/main", "link to a ref": "refs/heads/main", "link to nothing": "refs/heads/x"}
        loose.symlink_to(target[how])
    ada.say()
    ada.sync()
    bob.say()
    bob.sync()
    assert bob.git("rev-parse", "main") == main
    assert bob.records(ada.log) == ada.journal_records()
    assert bob.records() == bob.journal_records()


def test_a_restored_backup_is_succeeded(fleet: Fleet) -> None:
    """A journal from a backup, whose later seals only the remote has, is never signed again: a successor goes on, and syncs."""
    ada, bob = fleet.members
    backup, old = ada.backup(), ada.log
    clone = ada.path.with_name("clone.backup")
    shutil.copytree(ada.path / ".git/refs", clone)
    ada.say()
    ada.sync()
    tip = tip_of(fleet, ada)
    ada.restore(backup)
    shutil.rmtree(ada.path / ".git/refs")
    shutil.copytree(clone, ada.path / ".git/refs")
    ada.say()  # recorded, and not sealed yet
    report = ada.sync()
    assert hows(report)[old] >= {"succeeded"} and ada.log != old
    assert fleet.refs()[old] == tip, "the old log stays as it was sealed"
    genesis = parse_record(ada.records()[0]).entry
    assert genesis.body["predecessor"]["log"] == old
    bob.sync()
    assert set(bob.refs()) == {old, ada.log, bob.log}
    signed = [read_note(bob, oid).size for oid in bob.git("rev-list", "--first-parent", tip).split()]
    assert len(signed) == len(set(signed)), "one checkpoint for each size"


def test_a_copied_key_and_journal_make_a_fork_that_is_kept(fleet: Fleet) -> None:
    """Two machines with one journal sign two histories: the other one is kept as evidence, and neither is moved to."""
    ada, bob = fleet.members
    backup, old = ada.backup(), ada.log
    mine = tip_of(fleet, ada)
    ada.say(text="first history")
    ada.sync()
    bob.sync()
    first = tip_of(fleet, ada)
    # The other machine: the same path, keys and journal, and a repository that knows nothing of the first history.
    ada.restore(backup)
    ada.git("update-ref", f"refs/ledger/logs/{old}", mine)
    ada.git("update-ref", f"refs/ledger/remotes/origin/{old}", mine)
    ada.say(text="second history")
    ada.seal()
    second = ada.refs()[old]
    lay(fleet, ada, second)
    report = bob.sync()
    assert hows(report)[old] == {"fork"} and not report.is_well()
    assert bob.refs()[old] == first
    assert bob.refs("evidence") == {f"{old}/{second}": second}
    # And the one who signed the second meets the first.
    lay(fleet, bob, bob.refs()[bob.log])
    bob.git("push", "-q", "--force", "origin", f"{first}:refs/ledger/logs/{old}")
    report = ada.sync()
    assert hows(report)[old] >= {"succeeded", "fork"} and ada.log != old
    assert ada.refs("evidence") == {f"{old}/{first}": first}


def test_a_copied_clone_has_a_log_of_its_own(fleet: Fleet) -> None:
    """A copy of a clone on the same machine does not write into the first one's log."""
    ada, bob = fleet.members
    path = ada.path.with_name("copy")
    shutil.copytree(ada.path, path)
    copy = Member(fleet, path, ada.state).begin()
    copy.say()
    copy.sync()
    ada.say()
    ada.sync()
    bob.sync()
    assert copy.log not in ("", ada.log) and {ada.log, copy.log} <= set(bob.refs())
    assert bob.records(ada.log) == ada.journal_records()


@pytest.mark.parametrize("program", ["upload-pack", "receive-pack"])
@pytest.mark.parametrize("when", [1, 2])
def test_a_server_that_dies_in_the_middle_costs_nothing(fleet: Fleet, program: str, when: int) -> None:
    """Whichever conversation is cut off, the next sync goes on from what there is."""
    ada, bob = fleet.members
    ada.say(2)
    ada.sync()
    bob.say(2)
    count = fleet.sandbox.root / "count"
    wrapper = fleet.sandbox.root / "dying"
    # The n-th run dies in the middle of its first answer.
    dying = f'git {program} --http-backend-info-refs "$1" | head -c 100; exit 1'
    wrapper.write_text(
        f'#!/bin/sh\necho >>"{count}"\nif [ $(wc -l <"{count}") -eq {when} ]; then {dying}; fi\nexec git {program} "$@"\n'
    )
    wrapper.chmod(0o755)
    bob.git("config", "remote.origin.uploadpack" if program == "upload-pack" else "remote.origin.receivepack", str(wrapper))
    before, failures = set(bob.refs()), 0
    for _ in range(3):
        try:
            bob.sync()
        except RepoError:
            failures += 1
            assert before <= set(bob.refs())
        bob.say()
    bob.sync()
    assert failures == (0 if (program, when) == ("upload-pack", 2) else 1), "a fetch is tried once more while the remote answers"
    assert bob.records(ada.log) == ada.journal_records()
    assert tip_of(fleet, bob) == bob.refs()[bob.log]
    assert bob.records() == bob.journal_records()
    assert bob.refs("incoming") == {}


def test_a_connection_that_breaks_off_costs_nothing(sandbox: Any) -> None:
    """Over HTTP, each request in turn is cut off in the middle of its answer; in the end everything has arrived."""
    cuts: list[int] = []
    with serve(sandbox.root, lambda method, path: cuts.pop() if cuts and method == "POST" else None) as url:
        fleet = Fleet.begin(sandbox, 2, url=f"{url}/server.git")
        fleet.git("config", "http.receivepack", "true")
        ada, bob = fleet.members
        ada.say(3)
        for end in (4, 40, 400):
            for member in fleet.members:
                cuts[:] = [end]
                try:
                    member.sync()
                except RepoError:
                    pass
        cuts.clear()
        fleet.settle()
        assert bob.records(ada.log) == ada.journal_records()
        assert ada.refs() == bob.refs() == fleet.refs()


def test_a_remote_that_is_away_loses_nothing(fleet: Fleet) -> None:
    """Where the remote cannot be reached that is said, and the log is sealed at the next sync that can."""
    ada, _ = fleet.members
    away = fleet.server.with_name("away")
    fleet.server.rename(away)
    ada.say()
    with pytest.raises(RepoError):
        ada.sync()
    away.rename(fleet.server)
    assert hows(ada.sync()) == {ada.log: {"pushed"}}


def test_one_damaged_log_does_not_hold_up_the_others(fleet: Fleet) -> None:
    """A ref whose objects the server has lost is refused with git's reason, and the others are taken."""
    ada, bob = fleet.members
    cal = fleet.join("cal")
    cal.say()
    cal.sync()
    ada.say()
    ada.sync()
    blob = fleet.git("rev-parse", f"{tip_of(fleet, ada)}:segment.jsonl")
    loose = fleet.server / "objects" / blob[:2] / blob[2:]
    if not loose.exists():
        pack = next((fleet.server / "objects/pack").glob("*.pack"))
        moved = pack.rename(fleet.sandbox.root / "moved.pack")
        fleet.sandbox.run("sh", "-c", f"git unpack-objects -q <'{moved}'", cwd=fleet.server)
    loose.unlink()
    report = bob.sync()
    assert hows(report)[ada.log] == {"refused"} and hows(report)[cal.log] == {"new"}
    assert "could not be fetched" in next(change.reason for change in report.changes if change.log == ada.log)
    assert ada.log in bob.refs()


def test_what_a_dead_run_left_in_quarantine_is_cleared(fleet: Fleet) -> None:
    """A sync that died leaves fetched refs; the next one judges what the remote has now, and clears them."""
    ada, bob = fleet.members
    tip = bob.refs()[ada.log]
    bob.git("update-ref", f"refs/ledger/incoming/origin/{ada.log}", bob.foreign(tip))
    assert bob.sync().changes == []
    assert bob.refs("incoming") == {} and bob.refs()[ada.log] == tip


def test_a_broken_state_folder_is_said(fleet: Fleet) -> None:
    """A state folder that is a file stops the sync with a message, and the repository is as before."""
    _, bob = fleet.members
    before = bob.git("for-each-ref")
    shutil.rmtree(bob.state)
    Path(bob.state).write_text("not a folder")
    done = bob.run("sync")
    assert done.returncode == 3 and done.stderr.startswith("ledger: ") and "Traceback" not in done.stderr
    assert bob.git("for-each-ref") == before
