"""Three people, three clones and a bare server that somebody tampers with; plain git over a path and over HTTP.

Everything runs as people run it: git with the hooks that `ledger init` installed, and the `ledger` command.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fleet import Fleet, Member, codes, hows
from githttp import serve


@pytest.fixture
def transport() -> str:
    """How the server is reached, unless a test tries both ways."""
    return "path"


@pytest.fixture
def fleet(transport: str, sandbox: Any) -> Iterator[Fleet]:
    """Three clones whose keys are enrolled on main, and who have met."""
    with serve(sandbox.root) as url:
        fleet = Fleet.begin(sandbox, 0, url=f"{url}/server.git" if transport == "http" else "")
        fleet.git("config", "http.receivepack", "true")
        for name in ("ada", "bob", "cal"):
            join(fleet, name)
        meet(fleet)
        yield fleet


def join(fleet: Fleet, name: str) -> Member:
    """Clone, install the hooks, enroll the key on main, and push."""
    member = fleet.join(name, log=False)
    assert member.run("init", "--agents", "none").returncode == 0
    member.begin()
    assert member.run("keys", "enroll").returncode == 0
    member.git("add", ".ledger")
    work(member, f"enroll {name}")
    member.git("push", "-q", "origin", "main")
    return member


def work(member: Member, message: str) -> str:
    """Commit something, by git with its hooks, and return the commit's id."""
    return member.sandbox.commit(member.path, message, {f"{member.path.name}-{message.replace(' ', '-')}": f"{message}\n"})


def meet(fleet: Fleet) -> None:
    """Let everybody pull main and sync, until there is nothing left to do."""
    for _ in range(3):
        for member in fleet.members:
            member.git("pull", "-q", "--rebase", "origin", "main")
            assert member.sync().is_well(), member.path.name
    for member in fleet.members:
        assert member.sync().changes == [], member.path.name


def errors(member: Member, log: str | None = None) -> set[str]:
    """Return the codes of the errors that `ledger verify` finds, of one log or of all."""
    return {item.code for item in member.verify().findings if log in (None, item.log) and item.severity == "error"}


def assert_anchored(*members: Member) -> None:
    """Each clone finds each log anchored from outside, and nothing wrong."""
    for member in members:
        verdict = member.verify()
        assert (verdict.verdict, errors(member)) == ("anchored", set()), member.path.name
        assert {log.verdict for log in verdict.logs} == {"anchored"}, member.path.name


@contextmanager
def offline(fleet: Fleet) -> Iterator[None]:
    """Let nobody reach the server."""
    away = fleet.server.with_name("unreachable")
    fleet.server.rename(away)
    yield
    away.rename(fleet.server)


def set_ref(fleet: Fleet, log: str, oid: str | None) -> None:
    """Tamper with a log's ref on the server."""
    ref = f"refs/ledger/logs/{log}"
    fleet.git("update-ref", *(("-d", ref) if oid is None else (ref, oid)))


@pytest.mark.parametrize("transport", ["path", "http"])
def test_work_goes_on_in_parallel_and_offline(fleet: Fleet) -> None:
    """Branches, offline periods, rebases and force-pushes later, everybody has every log, and each is anchored."""
    ada, bob, cal = fleet.members
    for member in fleet.members:
        member.git("checkout", "-q", "-b", f"topic-{member.path.name}")
        work(member, "one")
        member.git("push", "-q", "-u", "origin", "HEAD")
    with offline(fleet):
        work(bob, "offline")
        assert bob.run("sync").returncode == 3
        assert bob.sandbox.run("git", "push", "-q", cwd=bob.path).returncode != 0
    ada.git("checkout", "-q", "main")
    work(ada, "on main")
    ada.git("push", "-q", "origin", "main")
    bob.git("fetch", "-q")
    bob.git("rebase", "-q", "origin/main")
    bob.git("push", "-q", "--force", "origin", "HEAD")
    cal.git("commit", "-q", "--amend", "-m", "another message")
    cal.git("push", "-q", "--force", "origin", "HEAD")
    for member in (bob, cal):
        member.git("checkout", "-q", "main")
    meet(fleet)
    assert_anchored(*fleet.members)
    for member in fleet.members:
        assert member.refs() == fleet.refs() and len(member.refs()) == 3
        assert member.records() == member.journal_records()
    auditor = fleet.join("auditor", log=False)
    assert auditor.run("sync", "--no-push").returncode == 0
    assert_anchored(auditor)
    assert auditor.refs() == fleet.refs()


@pytest.mark.parametrize("transport", ["path", "http"])
def test_each_tampering_with_the_server_is_said_by_somebody(fleet: Fleet) -> None:
    """Which clone says what: a deleted ref, one that went back, and one with another's commit are named, and healed."""
    ada, bob, cal = fleet.members
    for member in fleet.members:
        work(member, "more")
        member.git("pull", "-q", "--rebase", "origin", "main")
        member.git("push", "-q", "origin", "main")
    meet(fleet)
    good = fleet.refs()

    # Deleted: bob, whose sync puts it back, keeps a warning. A fresh clone in between misses what commits name.
    set_ref(fleet, ada.log, None)
    late = fleet.join("late", log=False)
    assert late.run("sync", "--no-push").returncode == 0
    assert {"trailer.absent-log", "seen.absent-log"} <= errors(late)
    assert hows(bob.sync()) == {ada.log: {"healed"}}
    assert "ref.healed" in codes(bob.verify(), ada.log)
    assert fleet.refs() == good
    assert hows(late.sync()) == {ada.log: {"new"}}
    assert_anchored(bob, late)

    # Rolled back: cal, whose sync puts it back, keeps a warning. A fresh clone in between sees that others saw more.
    set_ref(fleet, bob.log, fleet.git("rev-list", "--first-parent", good[bob.log]).split()[-1])
    later = fleet.join("later", log=False)
    assert later.run("sync", "--no-push").returncode == 0
    assert {"seen.beyond", "trailer.beyond"} <= errors(later, bob.log)
    assert later.run_json("verify")["verdict"] == "diverged"
    assert hows(cal.sync()) == {bob.log: {"healed"}}
    assert "ref.healed" in codes(cal.verify(), bob.log)
    assert fleet.refs() == good
    assert hows(later.sync()) == {bob.log: {"advanced"}}
    assert_anchored(cal, later)

    # Another's commit on top: bob names it, ada takes it in, and nobody is blocked.
    set_ref(fleet, ada.log, fleet.git("commit-tree", "-p", good[ada.log], "-m", "x", "main^{tree}"))
    assert hows(bob.sync()) == {ada.log: {"foreign"}}
    assert bob.refs()[ada.log] == good[ada.log]
    work(ada, "after that")
    meet(fleet)

    # The whole ledger, by an accident with --mirror: whoever syncs first heals all of it.
    good = fleet.refs()
    plain = fleet.join("plain", log=False)
    plain.git("push", "-q", "--mirror", "origin")
    assert fleet.refs() == {}
    assert hows(cal.sync()) == {log: {"healed"} for log in good}
    assert {log for log in good if "ref.healed" in codes(cal.verify(), log)} == set(good)
    meet(fleet)
    assert_anchored(*fleet.members)
    for member in (ada, bob, cal):
        assert bob.records(member.log) == member.journal_records()


def test_each_tampering_with_a_clone_is_said_by_somebody(fleet: Fleet) -> None:
    """A local ref that was deleted or set back, another's or its own: who finds it, and by which finding."""
    ada, bob, cal = fleet.members
    for member in fleet.members:
        work(member, "more")
        member.git("pull", "-q", "--rebase", "origin", "main")
        member.git("push", "-q", "origin", "main")
    meet(fleet)
    assert_anchored(*fleet.members)
    good = fleet.refs()

    # Another's ref, removed or set back in cal's clone: cal says so, and its sync brings it back.
    cal.git("update-ref", "-d", f"refs/ledger/logs/{ada.log}")
    assert "log.lost" in errors(cal, ada.log)
    cal.sync()
    cal.git("update-ref", f"refs/ledger/logs/{bob.log}", cal.git("rev-list", "--first-parent", good[bob.log]).split()[-1])
    assert {"pin.rollback", "seen.beyond"} <= errors(cal, bob.log)
    cal.sync()
    assert_anchored(cal)

    # Its own ref, removed: bob says so, and the next seal restores it.
    bob.git("update-ref", "-d", f"refs/ledger/logs/{bob.log}")
    assert "ref.rolled-back" in errors(bob, bob.log)
    bob.sync()
    assert_anchored(bob)
    assert fleet.refs() == good


def test_a_stolen_key_is_found_out(fleet: Fleet) -> None:
    """A second history under ada's key: by bob, who has the first, by cal as soon as bob has spoken, and by ada herself."""
    ada, bob, cal = fleet.members
    meet(fleet)
    old, base, backup = ada.log, fleet.refs()[ada.log], ada.backup()
    ada.say(text="the thief was here")
    ada.seal()
    forged = ada.refs()[old]
    ada.git("push", "-q", "--no-verify", "origin", f"{forged}:refs/heads/thief")
    ada.restore(backup)
    ada.git("update-ref", f"refs/ledger/logs/{old}", base)
    ada.say(text="honest work")
    ada.sync()
    assert hows(bob.sync())[old] == {"advanced"}
    honest = bob.refs()[old]
    set_ref(fleet, old, forged)

    # cal, who knows neither, believes what came first, and learns better from bob's log.
    assert hows(cal.sync())[old] == {"advanced"} and cal.refs()[old] == forged
    assert hows(bob.sync())[old] == {"fork"}
    assert bob.refs("evidence") == {f"{old}/{forged}": forged} and bob.refs()[old] == honest
    assert "seal.fork" in errors(bob, old)
    cal.sync()
    assert {"seen.mismatch", "seen.beyond"} & errors(cal, old)

    # ada's journal does not bear out what its key has signed: it signs there no more.
    happened = hows(ada.sync())
    assert happened[old] == {"succeeded", "fork"} and ada.log != old
    assert ada.refs("evidence") == {f"{old}/{forged}": forged}
    assert "seal.fork" in errors(ada, old)
    assert [member.run_json("verify")["verdict"] for member in fleet.members] == ["diverged"] * 3


def test_a_restored_backup_goes_on_in_a_successor(fleet: Fleet) -> None:
    """Whose journal came back from a backup records on in another log; the old one stays as it was sealed, and all are anchored."""
    ada, bob, cal = fleet.members
    backup, old = ada.backup(), ada.log
    work(ada, "after the backup")
    meet(fleet)
    sealed = fleet.refs()[old]
    ada.restore(backup)
    work(ada, "after the restore")
    ada.begin()
    assert ada.log != old
    ada.git("push", "-q", "origin", "main")
    meet(fleet)
    assert fleet.refs()[old] == sealed
    assert "predecessor.continued" in codes(ada.verify(), old)
    assert ada.log in bob.refs() and ada.log in cal.refs()
    assert_anchored(bob, cal)
    assert bob.records(ada.log) == ada.journal_records()
