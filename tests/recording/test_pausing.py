"""Recording pauses on an entry's word alone: the journal's own note cannot stop it unseen."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

import pytest
from desk import Desk, Sandbox


def command(sandbox: Sandbox, desk: Desk, name: str) -> None:
    """Run `ledger NAME`, which must succeed."""
    done = sandbox.run(sys.executable, "-I", "-m", "ledger", "--state", desk.state, name, cwd=desk.path)
    assert done.returncode == 0, done.stderr


def forge(desk: Desk, note: str) -> None:
    """Write the note without the key."""
    with closing(sqlite3.connect(desk.journal)) as db, db:
        db.execute("INSERT INTO meta VALUES ('paused', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (note,))


@pytest.mark.parametrize("note", ["1", "2", "7", "99999999999999999999", "²", "-1", "yes"])
def test_a_forged_note_stops_nothing(desk: Desk, note: str) -> None:
    """Whatever the note says: no entry says that recording is paused, so it goes on."""
    desk.tell(desk.prompt("before"))
    forge(desk, note)
    desk.tell(desk.prompt("after"))
    assert len(desk.entries("prompt.submitted")) == 2
    desk.check()


def test_a_pause_that_ended_cannot_be_named_again(desk: Desk, sandbox: Sandbox) -> None:
    """A pause holds until it is resumed, and pointing back at it afterwards stops nothing."""
    command(sandbox, desk, "pause")
    seq = desk.one("recording.paused").seq
    desk.tell(desk.prompt("unheard"))
    assert desk.entries("prompt.submitted") == []
    command(sandbox, desk, "resume")
    forge(desk, str(seq))
    desk.tell(desk.prompt("heard"))
    assert len(desk.entries("prompt.submitted")) == 1
    desk.check()
