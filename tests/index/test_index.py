"""The index: built from the journal, kept up with it, and thrown away as soon as it does not fit."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from simulator import LogSimulator

from ledger.index.database import index_path
from ledger.index.rows import UNREADABLE, build_rows
from ledger.index.search import Query, open_index
from ledger.store.reader import JournalReader


def make_log(prompts: int = 3) -> LogSimulator:
    """Return a log of `prompts` prompts after its genesis."""
    sim = LogSimulator()
    for number in range(prompts):
        sim.append("prompt.submitted", session=f"s-{number}")
    return sim


def write(sim: LogSimulator, tmp_path: Path, records: list[bytes] | None = None) -> Path:
    """Write the journal anew."""
    path = tmp_path / "journal.db"
    path.unlink(missing_ok=True)
    return sim.write_journal(path, records)


def seqs(path: Path, sim: LogSimulator, query: Query = Query(), index: Path | None = None) -> list[int]:  # noqa: B008 (immutable)
    """Return what an index of the journal at `path` finds, oldest first."""
    with JournalReader(str(path)) as reader, open_index(reader, sim.name, None if index is None else str(index)) as found:
        return list(found.find(query, newest_first=False))


def test_an_index_lies_in_the_users_cache_and_follows_the_journal(sandbox, tmp_path):
    """What is appended after the index was built is found the next time, without reading the rest again."""
    sim = make_log(2)
    assert seqs(write(sim, tmp_path), sim) == [0, 1, 2]
    assert index_path(sim.name) == str(sandbox.home / ".cache/ledger" / sim.name / "index.db")
    assert os.stat(index_path(sim.name)).st_mode & 0o077 == 0
    sim.append("tool.requested", {"tool": "Bash"})
    path = write(sim, tmp_path)
    db = sqlite3.connect(index_path(sim.name))
    with db:
        db.execute("UPDATE entries SET kind = 'kept.row' WHERE seq = 1")
    assert seqs(path, sim) == [0, 1, 2, 3]
    assert seqs(path, sim, Query(kind="kept.row")) == [1]


DAMAGES = ["another history", "a rollback", "another version", "garbage", "a truncated file", "a missing table"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_index_that_does_not_fit_is_built_anew(sandbox, tmp_path, damage):
    """Whatever is wrong with the index, the answer is the journal's."""
    sim = make_log(3)
    path = write(sim, tmp_path)
    seqs(path, sim)
    index = Path(index_path(sim.name))
    expected = [0, 1, 2, 3]
    if damage == "another history":
        path = write(sim, tmp_path, sim.fork(2, kind="plan.updated"))
        expected = [0, 1, 2]
    elif damage == "a rollback":
        path = write(sim, tmp_path, sim.records()[:2])
        expected = [0, 1]
    elif damage == "garbage":
        index.write_bytes(b"no database at all" * 1000)
    elif damage == "a truncated file":
        index.write_bytes(index.read_bytes()[:5000])
    else:
        db = sqlite3.connect(index)
        with db:
            db.execute("UPDATE progress SET version = 99" if damage == "another version" else "DROP TABLE entries")
        db.close()
    assert seqs(path, sim) == expected
    assert len(seqs(path, sim, Query(kind="plan.updated"))) == (1 if damage == "another history" else 0)


@pytest.mark.parametrize("place", ["a file where the folder should be", "a link to elsewhere"])
def test_an_index_that_cannot_be_written_is_built_in_memory(sandbox, tmp_path, place):
    """A cache of no use costs time and nothing else; nothing is written through a link."""
    sim = make_log(3)
    path = write(sim, tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    if place == "a file where the folder should be":
        index = elsewhere / "index.db"
    else:
        folder = tmp_path / "cache"
        folder.mkdir(mode=0o700)
        index = folder / "index.db"
        index.symlink_to(elsewhere)
    assert seqs(path, sim, Query(session="s-1"), index) == [2]
    assert elsewhere.read_bytes() == b"precious"


def test_each_filter_finds_its_entries_and_nothing_else(sandbox, tmp_path):
    """Filters restrict, and together restrict more; wildcards in what people type mean themselves."""
    sim = LogSimulator()
    sim.append("tool.requested", {"tool": "Bash"}, session="a*b", actor={"type": "agent", "name": "codex"})
    tool = {"type": "tool", "name": "Bash"}
    sim.append("tool.finished", {"tool": "Bash", "outcome": "failed"}, session="a*b", actor=tool, cause=1)
    sim.append("network.decided", {"host": "example.invalid", "decision": "denied"}, session="axb", actor={"type": "policy"})
    paths = [{"path": "src/a.py", "calls": [2]}, {"path": {"base64": "/w=="}, "calls": []}, {"path": "src2", "calls": []}]
    sim.append("commit.recorded", {"oid": "1" * 40, "tree": "2" * 40, "patch_id": "3" * 40, "paths": paths})
    path = write(sim, tmp_path)
    cases = {
        Query(kind="tool.*"): [1, 2],
        Query(kind="tool.finished"): [2],
        Query(session="a*"): [1, 2],
        Query(actor="codex"): [1, 4],
        Query(actor="policy"): [3],
        Query(host="example.invalid", decision="denied"): [3],
        Query(host="example.invalid", decision="allowed"): [],
        Query(path="src/a.py"): [2, 4],
        Query(path="src"): [2, 4],
        Query(path="src2"): [4],
        Query(since="2026-01-02T00:00:03"): [3, 4],
        Query(until="2026-01-02T00:00:01"): [0, 1],
        Query(since="2026-01-03"): [],
        Query(tool="Bash", kind="tool.requested"): [1],
    }
    assert {query: seqs(path, sim, query) for query in cases} == cases
    with JournalReader(str(path)) as reader, open_index(reader, sim.name) as index:
        assert index.commits("oid", "1" * 40) == index.commits("patch_id", "3" * 40) == [4]
        assert index.commit_before("a*b", 5) == 4  # by its link to the call at 2
        assert index.commit_before("a*b", 4) == -1
        assert index.answers(1) == [2]
        with pytest.raises(ValueError, match="session"):
            index.commits("session", "x")


@pytest.mark.parametrize(
    "record",
    [b"", b"null", b"[]", b'{"entry":1}', b'{"entry":{"kind":5}}', b"\xff", b'{"entry":{"body":[],"actor":[]}}', b"[" * 100_000],
)
def test_a_record_that_is_no_entry_is_a_row_that_says_so(record):
    """A damaged journal can still be listed."""
    assert list(build_rows(7, record)) == [("entries", {"seq": 7, "kind": UNREADABLE})]


def test_members_of_the_wrong_type_are_left_out(sandbox, tmp_path):
    """Whoever writes bodies may write nonsense; the index keeps what has a meaning."""
    sim = LogSimulator()
    odd = [1, {"path": 2, "calls": [-1, "x", True, None]}, {"path": "a", "calls": "no list"}]
    sim.append("commit.recorded", {"oid": 5, "tree": None, "patch_id": [], "paths": odd})
    sim.append("commit.recorded", {"paths": "no list"})
    sim.append("commit.rewritten", {"rewrites": [None, {"old": "a"}, {"old": 1, "new": 2}, {"old": "a", "new": "b"}]})
    sim.append("tool.requested", {"tool": ["x"], "host": {}, "decision": True})
    path = write(sim, tmp_path)
    with JournalReader(str(path)) as reader, open_index(reader, sim.name) as index:
        assert index.old_commits("b") == ["a"]
        assert len(list(index.find(Query()))) == reader.count()


def test_rewrites_come_in_the_order_of_the_entrys_own_list(sandbox, tmp_path):
    """`ledger link` lists the closest commit first; the order of hashes says nothing."""
    sim = LogSimulator()
    listed = [{"old": old, "new": "n"} for old in ("c", "a", "b", "c")]
    sim.append("commit.rewritten", {"how": "link", "rewrites": listed})
    sim.append("commit.rewritten", {"how": "link", "rewrites": [{"old": "0", "new": "n"}, {"old": "b", "new": "n"}]})
    with JournalReader(str(write(sim, tmp_path))) as reader, open_index(reader, sim.name) as index:
        assert index.old_commits("n") == ["c", "a", "b", "0"]
        assert index.rewrites_to("n") == [(1, "c"), (1, "a"), (1, "b"), (2, "0"), (2, "b")]
