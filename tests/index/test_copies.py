"""Sealed logs without a journal here: copied out of git, found by seq, shown like any other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from fleet import Fleet, Member

from ledger.index.copies import copy_path, open_copy


@pytest.fixture
def auditor(sandbox: Any) -> Member:
    """A clone that has nothing but what `ledger sync` brought it; another one wrote the log."""
    fleet = Fleet.begin(sandbox, 1)
    (writer,) = fleet.members
    writer.say(3)
    writer.sync()
    auditor = fleet.join("audit", log=False)
    auditor.sync()
    return auditor


def tip(member: Member) -> tuple[str, str]:
    """Return the name and the tip of the one log that a clone has."""
    ((log, oid),) = member.refs().items()
    return log, oid


def test_a_copy_holds_every_sealed_record(auditor: Member) -> None:
    """The records come in their order, and there are no payloads, for these stayed where they were recorded."""
    log, oid = tip(auditor)
    writer = auditor.fleet.members[0]
    with open_copy(auditor.repo, log, oid) as copy:
        found = dict(copy.records())
        assert list(copy.payloads()) == []
    assert found == dict(enumerate(writer.records()))


def test_a_copy_is_read_again_only_when_the_ref_moved(auditor: Member) -> None:
    """The same tip opens the same file; another one makes it anew."""
    log, oid = tip(auditor)
    open_copy(auditor.repo, log, oid).close()
    first = os.stat(copy_path(log)).st_ino
    open_copy(auditor.repo, log, oid).close()
    assert os.stat(copy_path(log)).st_ino == first
    auditor.fleet.members[0].say()
    auditor.fleet.members[0].sync()
    auditor.sync()
    with open_copy(auditor.repo, *tip(auditor)) as copy:
        assert copy.last_seq() == len(auditor.fleet.members[0].records()) - 1


@pytest.mark.parametrize("damage", [b"", b"not a database, and long enough to be looked at twice\n" * 40])
def test_a_damaged_copy_is_made_anew(auditor: Member, damage: bytes) -> None:
    """It is disposable: whatever lies in its place is replaced."""
    log, oid = tip(auditor)
    open_copy(auditor.repo, log, oid).close()
    Path(copy_path(log)).write_bytes(damage)
    with open_copy(auditor.repo, log, oid) as copy:
        assert copy.count() == len(auditor.fleet.members[0].records())


def test_a_cache_that_cannot_be_written_costs_time_only(auditor: Member) -> None:
    """The copy is made in a temporary folder then, which is gone when it is open."""
    log, oid = tip(auditor)
    cache = Path(copy_path(log)).parents[2]
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "ledger").write_text("in the way")
    with open_copy(auditor.repo, log, oid) as copy:
        assert copy.count() == len(auditor.fleet.members[0].records())
    assert list(Path(os.environ["TMPDIR"]).glob("ledger-*")) == []


def test_an_auditor_lists_and_shows_what_came(auditor: Member) -> None:
    """`ledger log` and `ledger show` work in a clone without a log; texts that stayed elsewhere are said to be withheld."""
    listed = json.loads(auditor.run("log", "--json").stdout)
    assert [item["kind"] for item in listed][:3] == ["message.sent"] * 3
    shown = auditor.run("show", listed[0]["entry"], "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["entry"] == listed[0]["entry"]


def test_a_clone_with_neither_log_nor_seals_says_what_to_do(auditor: Member) -> None:
    """Without `ledger sync` there is nothing to list, and the way to get it is named."""
    empty = auditor.fleet.join("empty", log=False)
    done = empty.run("log")
    assert done.returncode == 3 and "ledger sync" in done.stderr
