"""What an answer costs: counted in records that are read, steps of the index, and children that are started; never in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from story import Story

import ledger.repo.git as git_module
from ledger.index.search import LogIndex
from ledger.repo.gitdir import find_repository
from ledger.repo.ranges import list_commits
from ledger.store.reader import JournalReader
from ledger.store.state import find_clone
from ledger.trace.blame import build_blame
from ledger.trace.build import build_trace
from ledger.trace.linking import find_links
from ledger.trace.logs import Logs
from ledger.trace.range import build_range_trace
from ledger.trace.session import build_session, find_sessions

Work = Callable[[Any, Logs, str], Any]

WORKS: dict[str, Work] = {
    "trace of a commit": lambda repo, logs, oid: build_trace(repo, logs, oid),
    "blame of a file": lambda repo, logs, oid: build_blame(repo, logs, oid, b"a.py"),
    "trace of a range": lambda repo, logs, oid: build_range_trace(repo, logs, f"{oid}~1..{oid}"),
    "links of a history": lambda repo, logs, oid: find_links(repo, logs, list_commits(repo, [oid])),
    "trace of a session": lambda repo, logs, oid: build_session(repo, logs, find_sessions(logs, "mine")[0]),
}


def filled(sandbox: Any, name: str, before: int, *, shared: bool) -> tuple[Story, str]:
    """Return a repository with `before` calls and commits of paths of their own before the one that is asked about.

    They are of other sessions, or, where `shared`, of the very session: a log may be one session's.
    """
    story = Story(sandbox, name, roots=[f"{before:040x}"])  # a root of its own: else each is asked about the other's commits
    for number in range(before):
        story.session = "mine" if shared else f"other-{number}"
        if number == 0 or not shared:
            story.start()
        story.ask("something else")
        call = story.call("Write", {"file_path": f"{number}"})
        if number % 10 == 0:
            body = {"oid": f"{number:040x}", "tree": f"{number:040x}", "parents": [], "patch_id": f"{number:040x}", "trailers": []}
            paths = [{"path": f"p{number}", "status": "A", "blob": f"{number:040x}", "link": "exact", "calls": [call.result]}]
            story.log.append("commit.recorded", {**body, "paths": paths}, source="git", session=story.session)
    story.session = "mine"
    if not shared or not before:
        story.start()
    story.ask("this")
    call = story.call("Write", {"file_path": "a.py"})
    lines = {"a.py": [(1, 2, call, "exact")]}
    oid = story.commit("mine", {"a.py": "1\n2\n"}, inside=call, links={"a.py": call}, lines=lines, trailer=False)
    story.write()
    return story, oid


def cost(story: Story, oid: str, work: Work, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, int]:
    """Return how many records were read, how many hundreds of steps the index took, and how many children were started."""
    repo = find_repository(str(story.repo))
    clone = find_clone(str(story.sandbox.state), repo.common_dir).clone
    assert clone is not None
    with Logs(str(story.sandbox.state), clone, repo=repo) as logs:
        for log in logs.related():
            log.entry(0)  # the index is up to date by now
    counts = {"records": 0, "steps": 0, "children": 0}

    def count(what: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            counts[what] += 1
            return work(*args, **more)

        return counted

    def step() -> int:
        counts["steps"] += 1
        return 0

    with monkeypatch.context() as patch, Logs(str(story.sandbox.state), clone, repo=repo) as logs:
        for log in logs.related():
            assert isinstance(log.index, LogIndex)
            log.index.db.conn.set_progress_handler(step, 100)
        patch.setattr(JournalReader, "record", count("records", JournalReader.record))
        patch.setattr(git_module, "spawn_git", count("children", git_module.spawn_git))
        work(repo, logs, oid)
    return counts["records"], counts["steps"], counts["children"]


@pytest.mark.parametrize("shared", [False, True], ids=["other sessions", "one long session"])
@pytest.mark.parametrize("name", ["trace of a commit", "blame of a file", "trace of a range"])
def test_an_answer_costs_the_same_in_a_long_log(sandbox, monkeypatch, name, shared):
    """With ten times as much on record before, as many records are read and children started, and the index is not scanned."""
    small, large = (cost(*filled(sandbox, f"r{n}", n, shared=shared), WORKS[name], monkeypatch) for n in (40, 400))
    assert large[0] <= small[0] + 4 and large[2] == small[2]
    assert large[1] <= small[1] + 10, "the index was scanned: it has a thousand entries more"


def test_a_session_costs_what_it_did(sandbox, monkeypatch):
    """What other sessions did is not read."""
    work = WORKS["trace of a session"]
    small, large = (cost(*filled(sandbox, f"r{n}", n, shared=False), work, monkeypatch) for n in (40, 400))
    assert large[0] == small[0] and large[1] <= small[1] + 10 and large[2] == small[2]


def test_history_from_before_the_log_starts_no_children_for_each_commit(sandbox, monkeypatch):
    """A file with a long unrecorded history is looked up at once, though a recorded commit changed the same path since."""
    costs = []
    for count in (3, 30):
        story = Story(sandbox, f"r{count}", roots=[f"{count:040x}"])
        text = ""
        for number in range(count):
            text += f"{number}\n"
            sandbox.commit(story.repo, f"old {number}", {"a.py": text})
        call = story.call("Write", {"file_path": "a.py"})
        lines = {"a.py": [(count + 1, count + 1, call, "exact")]}
        oid = story.commit("new", {"a.py": text + "new\n"}, inside=call, links={"a.py": call}, lines=lines)
        story.write()
        costs.append(cost(story, oid, WORKS["blame of a file"], monkeypatch))
    assert costs[0][2] == costs[1][2]
    assert costs[0][0] == costs[1][0]


@pytest.mark.parametrize("name", ["blame of a file", "trace of a range", "links of a history"])
def test_each_further_unrecorded_commit_costs_one_child(sandbox, monkeypatch, name):
    """Sixty recorded commits touched the path, ten of them on branches of their own: they are held against a commit all at once."""
    works = {**WORKS, "trace of a range": lambda repo, logs, oid: build_range_trace(repo, logs, oid)}
    costs = []
    for count in (20, 40):
        story = Story(sandbox, f"r{count}")
        text = ""
        for number in range(50):
            text += f"recorded {number}\n"
            story.commit(f"recorded {number}", {"a.py": text}, trailer=False)
        for number in range(10):
            sandbox.git("checkout", "-q", "-b", f"side{number}", "main", cwd=story.repo)
            story.commit(f"side {number}", {"a.py": text + f"side {number}\n"}, trailer=False)
        sandbox.git("checkout", "-q", "main", cwd=story.repo)
        for number in range(count):
            text += f"unrecorded {number}\n"
            oid = sandbox.commit(story.repo, f"unrecorded {number}", {"a.py": text})
        story.write()
        costs.append(cost(story, oid, works[name], monkeypatch)[2])
    assert costs[1] - costs[0] <= 20
