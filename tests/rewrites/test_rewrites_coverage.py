"""`ledger verify --coverage`: what was done and not recorded, in a repository where somebody went round the hooks."""

from __future__ import annotations

import json

import pytest
from workshop import OFF, Workshop


@pytest.fixture
def shop(sandbox):
    """A workshop with all hooks."""
    return Workshop(sandbox, "hooks")


def covered(shop, *options):
    """Return the coverage that `ledger verify` reports."""
    return json.loads(shop.ledger("verify", "--coverage", "--json", *options))["coverage"]


def test_nothing_is_missing_where_everything_was_recorded(shop):
    """An agent's and a person's commits, an amend and a rebase leave no hole."""
    shop.agent_writes("a.py", "a = 1\n")
    shop.agent_commits("Add a")
    shop.write("b.txt", "b\n")
    shop.commits("Add b")
    shop.git("commit", "-q", "--amend", "-m", "Add b, better")
    shop.git("checkout", "-q", "-b", "topic", "HEAD~1")
    shop.write("c.txt", "c\n")
    shop.commits("Add c")
    shop.rebase("main")
    found = covered(shop)
    assert found["commits"] == found["recorded"] + 1, "the first commit was there before"
    assert {name: found[name] for name in ("missing", "linked", "moves", "claimed", "uncommitted")} == {
        "missing": [],
        "linked": 0,
        "moves": [],
        "claimed": [],
        "uncommitted": [],
    }


def test_a_commit_without_hooks_is_missing_until_it_is_linked(shop):
    """A copy made with hooks off is listed, as a commit and as moves of HEAD and its branch, until `ledger link` ties it."""
    shop.git("checkout", "-q", "-b", "topic")
    shop.agent_writes("a.py", "a = 1\n")
    old = shop.agent_commits("Add a")
    shop.git("checkout", "-q", "main")
    shop.sandbox.run("sleep", "1.1", cwd=shop.path)  # git counts whole seconds, and the log was opened in this one
    shop.git(*OFF, "cherry-pick", "--allow-empty", old)
    copy = shop.git("commit-tree", "HEAD^{tree}", "-p", shop.root, "-m", "by plumbing")
    shop.git("reset", "-q", "--hard", copy)
    found = covered(shop)
    assert found["missing"] == [copy]
    assert {(move["ref"], move["new"]) for move in found["moves"]} >= {("HEAD", copy), ("refs/heads/main", copy)}
    assert all(move["at"] and move["how"] for move in found["moves"])
    assert covered(shop, "topic") == {**covered(shop, "topic"), "missing": [], "moves": [], "uncommitted": []}
    shop.ledger("link", "topic..main")
    found = covered(shop)
    assert (found["missing"], found["linked"]) == ([], 1)
    assert copy not in {move["new"] for move in found["moves"]}


def test_an_agents_environment_without_a_session_is_named(shop):
    """A commit whose environment claims to be an agent's, where no session of that name is open, is listed with its entry."""
    shop.write("a.txt", "a\n")
    shop.git("add", "-A")
    shop.git("commit", "-q", "-m", "claims", CODEX_SESSION_ID="unheard-of", CODEX_CI="1")
    (claimed,) = covered(shop)["claimed"]
    (entry,) = [entry for entry in shop.entries("commit.recorded") if entry["body"]["oid"] == shop.head()]
    assert claimed == {"oid": shop.head(), "entry": f"{entry['log']}/{entry['seq']}"}


def test_a_session_whose_changes_were_never_committed_is_named(shop):
    """What an agent wrote and nobody committed is still to be accounted for; a commit of it ends that."""
    shop.agent_writes("a.py", "a = 1\n")
    shop.agent_writes("b.py", "b = 1\n")
    (session,) = covered(shop)["uncommitted"]
    last = shop.entries("tool.finished")[-1]
    assert session == {
        "session": "s1",
        "entry": f"{last['log']}/{last['seq']}",
        "changes": 2,
        "committed": 0,
        "ended": False,
    }
    shop.git("add", "b.py")
    shop.git("commit", "-q", "-m", "half of it")
    first = shop.entries("tool.finished")[0]
    (session,) = covered(shop)["uncommitted"]
    assert (session["changes"], session["committed"], session["entry"]) == (2, 1, f"{first['log']}/{first['seq']}")
    shop.commits("the rest")
    assert covered(shop)["uncommitted"] == []


def test_what_a_call_changed_and_committed_itself_is_committed(shop):
    """A command moves a file and commits it: no result left the path, the commit was made in its call."""
    shop.write("a.txt", "a\n")
    shop.commits("a person's")
    shop.agent_runs(["mv", "a.txt", "b.txt"], ["commit", "-q", "-m", "moved"])
    assert covered(shop)["uncommitted"] == []


def test_a_call_whose_lines_were_committed_under_another_name_is_committed(shop):
    """A person renames what the agent wrote before committing it: the lines are still the call's."""
    shop.agent_writes("a.py", "a = 1\nb = 2\n")
    (shop.path / "a.py").rename(shop.path / "b.py")
    shop.commits("by another name")
    (entry,) = shop.entries("commit.recorded")
    assert any(span.get("call") for path in entry["body"]["paths"] for span in path.get("lines", ()))
    assert covered(shop)["uncommitted"] == []


def test_the_page_says_it_in_words(shop):
    """People read how many, and the first of each."""
    shop.agent_writes("a.py", "a = 1\n")
    shop.write("a.txt", "a\n")
    shop.git("add", "a.txt")
    shop.git("commit", "-q", "-m", "claims", CODEX_SESSION_ID="unheard-of")
    page = shop.ledger("verify", "--coverage")
    assert "1 of 2 commits have an entry" in page
    assert "1 commits were made where the environment names an agent" in page
    assert "1 sessions changed files" in page and "s1: 1 of 1 calls" in page
