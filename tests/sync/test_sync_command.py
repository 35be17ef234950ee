"""`ledger sync` as people call it, and as `git push` calls it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from fleet import Fleet, Member


@pytest.fixture
def fleet(sandbox: Any) -> Fleet:
    """Two clones with logs, the first of which has the hooks of `ledger init`."""
    fleet = Fleet.begin(sandbox, 2)
    assert fleet.members[0].run("init", "--agents", "none").returncode == 0
    return fleet


def push(member: Member, *args: str) -> str:
    """Push, which must succeed and print nothing on standard output; return what was said on standard error."""
    done = member.sandbox.run("git", "push", "-q", *args, cwd=member.path)
    assert (done.returncode, done.stdout) == (0, ""), done
    return done.stderr


def test_the_answer_is_json_for_programs_and_lines_for_people(fleet: Fleet) -> None:
    """Both name every change; warnings are among them."""
    ada, bob = fleet.members
    ada.sync()
    value = bob.run_json("sync")
    assert set(value) == {"remote", "log", "logs", "seen", "changes", "warnings", "ok"}
    assert (value["remote"], value["log"], value["logs"], value["seen"], value["ok"]) == ("origin", bob.log, 2, 1, True)
    assert {(change["log"], change["how"]) for change in value["changes"]} == {(ada.log, "new"), (bob.log, "pushed")}
    fleet.git("update-ref", "-d", f"refs/ledger/logs/{ada.log}")
    done = bob.run("sync", "origin")
    assert done.returncode == 0 and f"healed     {ada.log[:12]}" in done.stdout and "warning: " in done.stdout
    done = bob.run("sync", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_exit_codes_tell_what_happened(fleet: Fleet) -> None:
    """0 done, 1 something is wrong with a log or the remote, 2 wrong usage, 3 no repository."""
    ada, bob = fleet.members
    ada.sync()
    assert bob.run("sync").returncode == 0
    bob.git("push", "-q", "--force", "origin", f"HEAD:refs/ledger/logs/{ada.log}")
    done = bob.run("sync")
    assert done.returncode == 1 and "refused" in done.stdout
    assert bob.run("sync", "nowhere").returncode == 3
    assert bob.run("sync", "a", "b").returncode == 2
    assert bob.run("sync", "--nonsense").returncode == 2
    done = fleet.sandbox.run(sys.executable, "-I", "-m", "ledger", "sync", cwd=fleet.sandbox.root)
    assert done.returncode == 3 and "Traceback" not in done.stderr
    bob.git("config", "ledger.refPrefix", "nonsense")
    done = bob.run("sync")
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_a_push_takes_the_log_along(fleet: Fleet) -> None:
    """With the hooks of `ledger init`, an ordinary `git push` seals the log and pushes it; branches are pushed as ever."""
    ada, bob = fleet.members
    oid = fleet.sandbox.commit(ada.path, "one", {"a": "1\n"})
    push(ada, "origin", "main")
    assert fleet.git("rev-parse", "main") == oid
    assert set(fleet.refs()) == {ada.log}
    bob.sync()
    assert "commit.recorded" in bob.kinds(ada.log)
    assert bob.git("for-each-ref", "refs/heads/ledger", "refs/tags") == ""


@pytest.mark.parametrize("setting", ["manual", "never"])
def test_who_wants_to_push_by_hand_does(fleet: Fleet, setting: str) -> None:
    """With `manual` and `never` a push leaves the log alone; with `manual` a sync pushes it, with `never` it only takes."""
    ada, bob = fleet.members
    bob.sync()
    ada.git("config", "ledger.push", setting)
    fleet.sandbox.commit(ada.path, "one", {"a": "1\n"})
    push(ada, "origin", "main")
    assert set(fleet.refs()) == {bob.log}
    assert ada.run("sync").returncode == 0
    assert set(fleet.refs()) == ({ada.log, bob.log} if setting == "manual" else {bob.log})
    assert set(ada.refs()) == {ada.log, bob.log}


def test_a_url_that_is_pushed_to_once_gets_no_log(fleet: Fleet) -> None:
    """Only configured remotes get logs by a push; a sync that names the URL is another matter."""
    ada, _ = fleet.members
    other = fleet.sandbox.make_repo("other.git", "--bare")
    push(ada, str(other), "main")
    assert fleet.sandbox.git("for-each-ref", "refs/ledger", cwd=other) == ""
    assert ada.run("sync", str(other)).returncode == 0
    assert fleet.sandbox.git("for-each-ref", "--format=%(refname)", "refs/ledger", cwd=other) == f"refs/ledger/logs/{ada.log}"


def test_a_push_never_fails_on_our_account(fleet: Fleet) -> None:
    """Whatever is broken of ours, the branch arrives, and at most a line on standard error says so."""
    ada, _ = fleet.members
    state, number = Path(ada.state), 0

    def push_one() -> str:
        nonlocal number
        number += 1
        oid = fleet.sandbox.commit(ada.path, f"{number}")
        said = push(ada, "origin", "main")
        assert fleet.git("rev-parse", "main") == oid
        assert "Traceback" not in said
        return said

    # a server that takes branches but no logs
    hook = fleet.server / "hooks/update"
    hook.write_text('#!/bin/sh\ncase $1 in refs/ledger/*) echo "no logs here" >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    assert "rejected" in push_one()
    hook.unlink()
    # a ref prefix that makes no sense
    ada.git("config", "ledger.refPrefix", "../..")
    assert "ledger: " in push_one()
    ada.git("config", "--unset", "ledger.refPrefix")
    # a fetch address that is gone, while the push address works
    ada.git("config", "remote.origin.pushurl", str(fleet.server))
    ada.git("config", "remote.origin.url", str(fleet.sandbox.root / "gone.git"))
    assert "ledger: logs not exchanged" in push_one()
    ada.git("config", "remote.origin.url", str(fleet.server))
    # a damaged journal, no keys, no state folder at all
    journal = ada.journal.read_bytes()
    ada.journal.write_bytes(b"not a database" * 100)
    push_one()
    ada.journal.write_bytes(journal)
    shutil.rmtree(state / "keys")
    push_one()
    state.rename(state.with_name("away"))
    state.write_text("in the way")
    push_one()


def test_a_push_of_the_logs_themselves_is_left_to_git(fleet: Fleet) -> None:
    """`git push --mirror` has looked at the remote before our hook runs: the hook moves no log there, and the next sync heals."""
    ada, bob = fleet.members
    bob.say()
    bob.sync()
    push(ada, "--mirror", "origin")
    assert bob.log not in fleet.refs() and bob.log in ada.refs()
    fleet.sandbox.commit(ada.path, "one", {"a": "1\n"})
    push(ada, "--mirror", "origin")
    assert ada.run_json("sync")["ok"]
    assert set(fleet.refs()) == {ada.log, bob.log} and fleet.refs() == ada.refs()


def test_logs_that_are_branches_go_with_a_push_of_all(fleet: Fleet) -> None:
    """With `refs/heads/ledger` as the prefix `git push --all` pushes the log's branch too, and no two pushes of it meet."""
    ada, _ = fleet.members
    ada.git("config", "ledger.refPrefix", "refs/heads/ledger")
    for number in range(3):
        fleet.sandbox.commit(ada.path, f"{number}")
        assert "rejected" not in push(ada, "--all", "origin")
    assert ada.run_json("sync")["ok"]
    assert fleet.refs("refs/heads/ledger") == ada.refs(prefix="refs/heads/ledger")


def test_a_push_that_has_nothing_to_push_still_seals(fleet: Fleet) -> None:
    """The hook runs even where git finds everything up to date."""
    ada, _ = fleet.members
    ada.say()
    push(ada, "origin", "main")
    assert fleet.refs() == ada.refs() and ada.records() == ada.journal_records()


def test_nothing_of_a_hostile_remote_reaches_the_terminal(fleet: Fleet) -> None:
    """What a server says is printed without its control sequences."""
    ada, _ = fleet.members
    hook = fleet.server / "hooks/update"
    hook.write_text("#!/bin/sh\nprintf 'no\\033[31m\\033]0;owned\\007' >&2\nexit 1\n")
    hook.chmod(0o755)
    done = ada.run("sync")
    assert done.returncode == 1 and "\x1b" not in done.stdout + done.stderr
    gone = ada.run("sync", "\x1b[31mremote")
    assert gone.returncode == 3 and "\x1b" not in gone.stdout + gone.stderr
    assert "\x1b" not in json.dumps(ada.run_json("sync"))
