"""What clones give each other through a remote, and what a sync leaves alone."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from fleet import Fleet, Member, hows, read_note

from ledger.errors import RepoError
from ledger.sync import incoming
from ledger.sync.exchange import sync
from ledger.sync.remote import choose_remote


@pytest.fixture
def fleet(sandbox: Any) -> Fleet:
    """Two clones with a log each."""
    return Fleet.begin(sandbox, 2)


def test_two_clones_end_with_each_others_logs(fleet: Fleet) -> None:
    """After a few syncs both have both logs, byte for byte, and the server too."""
    ada, bob = fleet.members
    ada.say(3)
    bob.say(2)
    fleet.settle()
    assert ada.refs() == bob.refs() == fleet.refs()
    assert set(ada.refs()) == {ada.log, bob.log}
    assert bob.records(ada.log) == ada.journal_records()
    assert ada.records(bob.log) == bob.journal_records()


def test_a_log_advances_seal_by_seal(fleet: Fleet) -> None:
    """What came before is continued, and the report says by how much."""
    ada, bob = fleet.members
    ada.sync()
    assert hows(bob.sync())[ada.log] == {"new"}
    ada.say(2)
    ada.sync()
    report = bob.sync()
    (change,) = [change for change in report.changes if change.log == ada.log]
    assert (change.how, change.size) == ("advanced", len(ada.journal_records()))


def test_only_refs_of_logs_come_and_go(fleet: Fleet) -> None:
    """No tag, no branch and no FETCH_HEAD come along, nothing but the log is pushed, and the config stays as it is."""
    ada, bob = fleet.members
    ada.git("tag", "v1")
    ada.git("tag", "-a", "-m", "tag", "v2")
    ada.git("branch", "topic")
    ada.git("push", "-q", "origin", "v1", "v2", "topic")
    for setting in ("fetch.prune", "remote.origin.prune", "push.followTags", "fetch.recurseSubmodules", "remote.origin.mirror"):
        bob.git("config", setting, "true")
    bob.git("config", "remote.origin.tagOpt", "--tags")
    bob.git("tag", "-a", "-m", "mine", "v3")
    ada.sync()
    before = (bob.path / ".git/config").read_bytes()
    others = bob.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags", "refs/remotes")
    on_server = fleet.git("for-each-ref", "refs/heads", "refs/tags")
    assert not (bob.path / ".git/FETCH_HEAD").exists()
    bob.say()
    assert hows(bob.sync()) == {ada.log: {"new"}, bob.log: {"pushed"}}
    assert (bob.path / ".git/config").read_bytes() == before
    assert bob.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags", "refs/remotes") == others
    assert fleet.git("for-each-ref", "refs/heads", "refs/tags") == on_server
    assert not (bob.path / ".git/FETCH_HEAD").exists()


def test_plain_git_goes_on_as_before(fleet: Fleet) -> None:
    """Beside a ledger, `git pull` takes branches alone, and works after somebody's force-push."""
    ada, bob = fleet.members
    ada.say()
    fleet.settle(2)
    fleet.sandbox.commit(ada.path, "one", {"a": "1\n"})
    ada.git("push", "-q", "origin", "main")
    bob.git("pull", "-q")
    ada.git("commit", "-q", "--amend", "-m", "another one")
    ada.git("push", "-q", "--force", "origin", "main")
    bob.git("pull", "-q", "--rebase")
    assert bob.git("rev-parse", "HEAD") == ada.git("rev-parse", "HEAD")
    assert bob.git("for-each-ref", "refs/remotes/origin/ledger") == ""


@pytest.mark.parametrize("options", [("--filter=blob:none",), ("--filter=tree:0",), ("--depth=1",), ("--bare",)], ids=str)
def test_odd_clones_have_every_segment(sandbox: Any, options: tuple[str, ...]) -> None:
    """Partial and shallow clones hold whole logs after a sync: reading them needs no network."""
    fleet = Fleet.begin(sandbox, 1)
    (ada,) = fleet.members
    for name in ("one", "two"):
        sandbox.commit(ada.path, name, {name: name})
    ada.git("push", "-q", "origin", "main")
    ada.say(3)
    ada.seal()
    ada.say(2)
    ada.sync()
    fleet.git("config", "uploadpack.allowFilter", "true")
    odd = fleet.join("odd", *options, url=f"file://{fleet.server}", log=False)
    config = Path(odd.repo.common_dir, "config").read_bytes()
    assert hows(odd.sync()) == {ada.log: {"new"}}
    assert Path(odd.repo.common_dir, "config").read_bytes() == config
    fleet.server.rename(fleet.server.with_name("away"))
    assert odd.records(ada.log) == ada.journal_records()


def test_sha256_repositories_exchange_logs(sandbox: Any) -> None:
    """The object format of the repositories is of no consequence."""
    fleet = Fleet.begin(sandbox, 2, "--object-format=sha256")
    ada, bob = fleet.members
    ada.say()
    fleet.settle()
    assert bob.records(ada.log) == ada.journal_records()
    assert ada.refs() == bob.refs() == fleet.refs()
    assert {len(oid) for oid in fleet.refs().values()} == {64}


def test_logs_travel_as_branches_where_that_is_the_prefix(fleet: Fleet) -> None:
    """With `ledger.refPrefix = refs/heads/ledger` logs are branches; quarantine stays out of everybody's sight."""
    for member in fleet.members:
        member.git("config", "ledger.refPrefix", "refs/heads/ledger")
    ada, bob = fleet.members
    ada.say()
    fleet.settle()
    assert set(fleet.refs("refs/heads/ledger")) == {ada.log, bob.log}
    assert fleet.refs() == {}
    assert bob.refs(prefix="refs/heads/ledger") == fleet.refs("refs/heads/ledger")
    assert bob.refs("incoming") == {}


def test_logs_pass_from_one_remote_to_another(fleet: Fleet) -> None:
    """A clone with two remotes carries the logs of one to the other; each remote is remembered by itself."""
    ada, bob = fleet.members
    second = fleet.sandbox.make_repo("second.git", "--bare")
    bob.git("remote", "add", "second", str(second))
    bob.git("push", "-q", "second", "main")
    ada.say()
    ada.sync()
    bob.sync()
    report = bob.sync("second")
    assert hows(report) == {ada.log: {"pushed"}, bob.log: {"pushed"}}
    assert set(bob.refs("remotes")) == {f"{name}/{log}" for name in ("origin", "second") for log in (ada.log, bob.log)}
    cal = fleet.join("cal", url=str(second), log=False)
    assert hows(cal.sync()) == {ada.log: {"new"}, bob.log: {"new"}}


def test_a_url_is_a_remote_too(fleet: Fleet) -> None:
    """Without any configured remote a URL does, and so does a path that git counts from the work tree's top."""
    ada, bob = fleet.members
    ada.say()
    ada.sync()
    bob.git("remote", "remove", "origin")
    assert hows(bob.sync(f"file://{fleet.server}"))[ada.log] == {"new"}
    bob.git("remote", "add", "near", "../server.git")
    assert bob.sync("near").warnings == []
    assert all(name.startswith(("url-", "near/")) for name in bob.refs("remotes"))


def test_the_remote_is_the_branchs_or_origin_or_the_only_one(fleet: Fleet) -> None:
    """Where several remotes are as good as each other, somebody has to name one."""
    ada, _ = fleet.members
    assert choose_remote(ada.repo, None) == "origin"
    ada.git("remote", "add", "fork", str(fleet.server))
    ada.git("config", "branch.main.remote", "fork")
    assert choose_remote(ada.repo, None) == "fork"
    ada.git("config", "branch.main.remote", ".")
    assert choose_remote(ada.repo, None) == "origin"
    ada.git("remote", "remove", "origin")
    assert choose_remote(ada.repo, None) == "fork"
    ada.git("remote", "add", "more", str(fleet.server))
    with pytest.raises(RepoError, match="several remotes"):
        choose_remote(ada.repo, None)
    with pytest.raises(RepoError):
        ada.sync("--upload-pack=touch /tmp/never")


def test_a_sync_with_nothing_to_do_starts_a_few_processes_and_changes_nothing(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many logs as with two, the number of git's own runs is the same, and every file stays as it is."""
    ada, bob = fleet.members
    counter = _count_git(fleet, monkeypatch)
    counts = []
    for more in (0, 6):
        for number in range(more):
            fleet.join(f"more{number}").sync()
        fleet.settle()
        places = (ada.path, ada.state, fleet.server)
        before = [_content(place) for place in places]
        counter.unlink(missing_ok=True)
        report = ada.sync()
        assert (report.changes, report.warnings, report.seen) == ([], [], 0)
        counts.append(len(counter.read_text().splitlines()))
        assert [_content(place) for place in places] == before
    assert counts[0] == counts[1] <= 12, counter.read_text()
    assert len(ada.refs()) == 8 and set(bob.refs()) <= set(ada.refs())


def test_a_clone_without_log_or_key_takes_and_heals(fleet: Fleet) -> None:
    """Nothing is installed and nothing signed: the clone has the logs, and puts a deleted one back."""
    ada, bob = fleet.members
    ada.say()
    fleet.settle(2)
    cal = fleet.join("cal", log=False)
    assert hows(cal.sync()) == {ada.log: {"new"}, bob.log: {"new"}}
    assert cal.log == "" and not (cal.state / "keys").exists() and not (cal.state / "logs").exists()
    assert not (cal.path / ".git/ledger").exists()
    fleet.git("update-ref", "-d", f"refs/ledger/logs/{ada.log}")
    assert hows(cal.sync()) == {ada.log: {"healed"}}
    assert fleet.refs() == cal.refs()


def test_taking_only_pushes_nothing(fleet: Fleet) -> None:
    """Without pushing, logs are taken, and the server stays as it is."""
    ada, bob = fleet.members
    ada.sync()
    before = fleet.git("for-each-ref")
    report = bob.sync(push=False)
    assert hows(report) == {ada.log: {"new"}} and report.seen == 1
    assert fleet.git("for-each-ref") == before


def test_two_syncs_of_one_clone_exclude_each_other(fleet: Fleet) -> None:
    """Started at once, both end well, and nothing is witnessed twice."""
    ada, bob = fleet.members
    ada.say()
    ada.sync()
    _together([bob] * 3)
    assert bob.kinds() == ["log.opened", "log.seen"]
    assert fleet.refs() == bob.refs()


def test_six_clones_at_the_same_time_converge(sandbox: Any) -> None:
    """Whoever meets another at the server tries again; in the end everybody has the union, and no push was ever forced."""
    fleet = Fleet.begin(sandbox, 6)
    fleet.git("config", "core.logAllRefUpdates", "always")
    fleet.git("config", "receive.denyNonFastForwards", "true")
    for round_ in range(2):
        for number, member in enumerate(fleet.members):
            member.say(1 + number % 2, f"round {round_}")
        _together(fleet.members)
    fleet.settle(2)
    for member in fleet.members:
        assert member.refs() == fleet.refs()
        assert member.records() == member.journal_records()
    assert len(fleet.refs()) == 6
    _assert_never_forced(fleet)


def test_seals_that_were_made_anew_meet_the_old_ones(fleet: Fleet) -> None:
    """Where the local seals were lost and made again, other commits hold the same checkpoints, and follow the old ones."""
    ada, bob = fleet.members
    ada.say()
    ada.sync()
    bob.sync()
    ref, old = f"refs/ledger/logs/{ada.log}", fleet.refs()[ada.log]
    for name in (ref, f"refs/ledger/remotes/origin/{ada.log}"):
        ada.git("update-ref", "-d", name)
    ada.git("reflog", "expire", "--expire=all", "--all")
    ada.git("gc", "-q", "--prune=now")
    ada.say()
    ada.sync()
    assert fleet.git("merge-base", "--is-ancestor", old, ref) == ""
    assert bob.sync().is_well()
    assert bob.records(ada.log) == ada.journal_records()


def test_what_was_verified_before_is_not_read_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a verify, a sync reads what is new of a log, and still tells a fork from what continues it."""
    ada, bob = fleet.members
    ada.say(20)
    fleet.settle(2)
    fleet.sandbox.commit(ada.path, "named", {"a": "1\n"})
    ada.git("commit", "-q", "--amend", "-m", f"named\n\nLedger-Entry: {_head(ada)}")
    ada.git("push", "-q", "origin", "main")
    bob.git("pull", "-q")
    assert {log.log for log in bob.verify().logs if log.counted} == {ada.log, bob.log}
    base, backup = bob.refs()[ada.log], ada.backup()
    ada.say(3)
    ada.sync()
    read: list[int] = []
    real = incoming.walk_ref

    def counting(*args: Any, take: Any, **more: Any) -> Any:
        return real(*args, **more, take=lambda seq, record: (read.append(seq), take(seq, record)))

    monkeypatch.setattr(incoming, "walk_ref", counting)
    assert hows(bob.sync())[ada.log] == {"advanced"}
    assert read == sorted(set(read)) and read[0] >= 20, "each new record once, and no old one"
    assert bob.records(ada.log) == ada.journal_records()
    ada.restore(backup)
    ada.git("update-ref", f"refs/ledger/logs/{ada.log}", base)
    ada.say(4, "another history")
    ada.seal()
    ada.git("push", "-q", "--no-verify", "--force", "origin", f"refs/ledger/logs/{ada.log}")
    assert hows(bob.sync())[ada.log] == {"fork"}


def _head(member: Member) -> str:
    return (Path(member.repo.common_dir) / "ledger" / f"head-{os.getuid()}").read_text().strip()


def _together(members: list[Member]) -> None:
    """Let clones sync at the same time, each in a process of its own; all must end well."""
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(len(members))
    processes = [context.Process(target=_sync_at, args=(ready, member)) for member in members]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def _sync_at(ready: Any, member: Member) -> None:
    ready.wait(60)
    report = sync(member.repo, str(member.state), "origin")
    os._exit(0 if report.is_well() else 1)


def _assert_never_forced(fleet: Fleet) -> None:
    """Each line of the server's reflogs goes forward."""
    for log in (fleet.server / "logs/refs/ledger/logs").iterdir():
        for line in log.read_text().splitlines():
            old, new = line.split(" ")[:2]
            if set(old) != {"0"}:
                fleet.git("merge-base", "--is-ancestor", old, new)


def _count_git(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let each run of git that we start write a line into a file, which is returned."""
    folder = fleet.sandbox.root / "bin"
    folder.mkdir()
    counter = fleet.sandbox.root / "counted"
    real = fleet.sandbox.run("sh", "-c", "command -v git", cwd=fleet.sandbox.root).stdout.strip()
    wrapper = folder / "git"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >>"{counter}"\nexec {real} "$@"\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return counter


def _content(folder: Path) -> dict[str, bytes]:
    """Return every file's bytes, apart from SQLite's shared memory, which any reader writes."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith("-shm")}


def test_checkpoints_name_their_logs(fleet: Fleet) -> None:
    """Whatever a ref is called, the checkpoint at its tip is of that log, and of as many records as the journal has."""
    ada, bob = fleet.members
    ada.say()
    fleet.settle(2)
    for log, tip in bob.refs().items():
        assert read_note(bob, tip).origin == f"git-ledger/{log}"
    assert read_note(bob, bob.refs()[ada.log]).size == len(ada.journal_records())
