"""`changed` of a commit's answer: whose its paths and lines are, in the same words as `ledger blame`."""

from __future__ import annotations

from typing import Any

import pytest
from story import Call, Story

from ledger.repo.gitdir import find_repository
from ledger.store.state import find_clone
from ledger.trace.blame import build_blame
from ledger.trace.build import build_trace, resolve_commit
from ledger.trace.logs import Logs
from ledger.trace.model import Changed, Trace


@pytest.fixture
def story(sandbox: Any) -> Story:
    """A session in which somebody asked for something."""
    story = Story(sandbox)
    story.start()
    story.ask("go")
    return story


def trace(story: Story, revision: str = "HEAD", path: str = "a.py") -> tuple[Trace, dict[str, Changed], dict[int, str]]:
    """Return the trace of a revision, its changed paths by name, and the call that `ledger blame` names of each line of `path`."""
    repo = find_repository(str(story.repo))
    clone = find_clone(str(story.sandbox.state), repo.common_dir).clone
    oid = resolve_commit(repo, revision)
    assert clone is not None and oid is not None
    with Logs(str(story.sandbox.state), clone) as logs:
        found = build_trace(repo, logs, oid)
        blamed = build_blame(repo, logs, oid, path.encode())["lines"]
    calls = {
        number: item["call"]
        for item in blamed
        if item["call"] and item["commit"] == oid
        for number in range(item["range"][0], item["range"][1] + 1)
    }
    return found, {str(item["path"]): item for item in found["changed"]}, calls


def listed(changed: Changed) -> dict[int, str]:
    """Return the call of each line that an answer lists of a path."""
    return {number: item["call"] for item in changed["lines"] for number in range(item["range"][0], item["range"][1] + 1)}


def writes(story: Story, text: str, *ranges: tuple[int, int], message: str = "write") -> tuple[str, Call]:
    """Let the agent write lines of a.py and a person commit them; return the commit and the call."""
    call = story.call("Write", {"file_path": "a.py"})
    lines = {"a.py": [(first, last, call, "exact") for first, last in ranges]}
    return story.commit(message, {"a.py": text}, links={"a.py": call}, lines=lines, trailer=False), call


def git(story: Story, *args: str) -> str:
    """Run git in the story's repository."""
    found: str = story.sandbox.git(*args, cwd=story.repo)
    return found


def test_of_an_ambiguous_match_no_lines_are_a_candidates(story):
    """Two recorded commits make one change: a third that makes it may be either's, so no line is one call's."""
    for number in (1, 2):
        git(story, "checkout", "-q", "-b", f"side{number}", story.root)
        story.sandbox.commit(story.repo, "base", {f"other{number}": "1"})
        writes(story, "one\n", (1, 1))
    git(story, "checkout", "-q", "-b", "third", story.root)
    story.sandbox.commit(story.repo, "base", {"other3": "1"})
    git(story, "cherry-pick", "side1")
    story.write()
    found, paths, _ = trace(story)
    assert found["match"]["confidence"] == "ambiguous"
    assert (paths["a.py"]["link"], paths["a.py"]["lines"]) == ("inferred", [])


def test_a_change_of_the_mode_alone_brings_nothing_of_its_content_along(story):
    """The commit before, and an older form of it, have the very blob: whoever sets a bit has written no line of it."""
    old, call = writes(story, "one\n", (1, 1))
    git(story, "commit", "-q", "--amend", "-m", "better words")
    new = git(story, "rev-parse", "HEAD")
    story.log.append("commit.rewritten", {"how": "amend", "rewrites": [{"old": old, "new": new}]}, source="git")
    story.record(new, links={"a.py": call}, lines={"a.py": [(1, 1, call, "exact")]})
    git(story, "update-index", "--chmod=+x", "a.py")
    git(story, "commit", "-q", "-m", "make it a program")
    story.record(git(story, "rev-parse", "HEAD"))
    story.write()
    found, paths, calls = trace(story)
    assert (paths["a.py"]["link"], paths["a.py"]["calls"], paths["a.py"]["lines"]) == ("none", [], [])
    assert (found["asked"], found["ran"], calls) == ([], [], {})


def test_lines_are_those_that_the_commits_own_record_lists(story):
    """A squash by hand was recorded with the lines of both calls; the commits that it may come from list one each."""
    git(story, "checkout", "-q", "-b", "topic")
    _, first = writes(story, "one\n", (1, 1))
    _, second = writes(story, "one\ntwo\n", (2, 2))
    git(story, "checkout", "-q", "main")
    git(story, "merge", "-q", "--squash", "topic")
    git(story, "commit", "-q", "-m", "squashed")
    lines = {"a.py": [(1, 1, first, "exact"), (2, 2, second, "exact")]}
    story.record(git(story, "rev-parse", "HEAD"), lines=lines)
    story.write()
    found, paths, calls = trace(story)
    assert found["match"]["rung"] == "exact"
    names = {1: f"{story.log.name}/{first.request}", 2: f"{story.log.name}/{second.request}"}
    assert listed(paths["a.py"]) == calls == names
    assert paths["a.py"]["link"] == "inferred", "that the content came from there is inferred from what is equal"


def test_of_a_squash_that_nobody_recorded_the_lines_of_all_its_commits_count(story):
    """A forge's squash is a range: each commit's record speaks of another blob, and its lines are found in this one."""
    git(story, "checkout", "-q", "-b", "topic")
    _, first = writes(story, "one\n", (1, 1))
    _, second = writes(story, "zero\none\n", (1, 1))
    git(story, "checkout", "-q", "main")
    story.sandbox.commit(story.repo, "elsewhere", {"other": "1"})
    git(story, "merge", "-q", "--squash", "topic")
    git(story, "commit", "-q", "-m", "Topic (#1)")
    story.write()
    found, paths, calls = trace(story)
    assert found["match"]["rung"] == "range-patch-id"
    names = {1: f"{story.log.name}/{second.request}", 2: f"{story.log.name}/{first.request}"}
    assert listed(paths["a.py"]) == calls == names


def test_lines_of_a_merge_are_those_of_its_record(story):
    """Git's own list of what a merge added is empty; its record says what no parent has."""
    git(story, "checkout", "-q", "-b", "topic")
    story.sandbox.commit(story.repo, "there", {"a.py": "there\n"})
    git(story, "checkout", "-q", "main")
    story.sandbox.commit(story.repo, "here", {"a.py": "here\n"})
    story.sandbox.run("git", "merge", "-q", "topic", cwd=story.repo)
    call = story.call("Write", {"file_path": "a.py"})
    lines = {"a.py": [(2, 2, "human"), (3, 10**12, call, "exact")]}
    story.commit("merge", {"a.py": "here\nnew\nmine\n"}, links={"a.py": call}, lines=lines, trailer=False)
    story.write()
    _, paths, calls = trace(story)
    assert listed(paths["a.py"]) == calls == {3: f"{story.log.name}/{call.request}"}, "a range ends where the file does"


@pytest.mark.parametrize("how", ["deleted", "empty", "mode"])
def test_what_is_alike_everywhere_bears_no_copied_line_out(story, how):
    """A person copies an agent's trailer: that both delete a file, leave one empty or set a bit is no content of the agent's."""
    story.sandbox.commit(story.repo, "some files", {"gone": "x\n", "run": "run\n"})
    call = story.call("Write", {"file_path": "a.py"})
    git(story, "checkout", "-q", "-b", "agents")
    alike(story, how)
    made = story.commit("agent's", {"a.py": "agent\n"}, links={"a.py": call})
    message = git(story, "log", "-1", "--format=%B", made)
    git(story, "checkout", "-q", "-b", "mine", "main")
    alike(story, how)
    story.sandbox.commit(story.repo, message, {"b.py": "mine\n"})
    story.write()
    found, _, _ = trace(story, path="b.py")
    assert (found["match"]["rung"], found["match"]["confidence"]) == ("trailer", "weak")


def alike(story: Story, how: str) -> None:
    """Do what any two commits may do alike."""
    if how == "deleted":
        git(story, "rm", "-q", "gone")
    elif how == "empty":
        (story.repo / "empty").touch()
        git(story, "add", "empty")
    else:
        (story.repo / "run").chmod(0o755)
        git(story, "add", "run")


@pytest.mark.parametrize("how", ["trailer", "tree", "blobs"])
def test_a_weak_match_links_no_better_than_inferred(story, how):
    """A person copies a message, or arrives at the same tree or file: blame calls each line inferred, and so is the path."""
    git(story, "checkout", "-q", "-b", "agents")
    made, call = writes(story, "base\nline\n", (1, 2))
    copied = f"copied\n\nLedger-Entry: {story.log.head()}"
    if how == "trailer":
        made = story.commit(copied, {"c.py": "c\n"}, links={"c.py": call})
    git(story, "checkout", "-q", "--orphan", "anew", made)
    if how == "trailer":
        git(story, "rm", "-q", "-f", "c.py")
    elif how == "blobs":
        (story.repo / "more").write_text("more\n")
    git(story, "add", "-A")
    git(story, "commit", "-q", "-m", copied if how == "trailer" else "anew")
    story.write()
    found, paths, calls = trace(story)
    assert (found["match"]["rung"], found["match"]["confidence"]) == (how, "weak")
    if how != "trailer":  # that line leads to a commit of other paths
        assert paths["a.py"]["link"] == "inferred" and listed(paths["a.py"]) == calls != {}
    assert not any(path["link"] in ("exact", "partial") for path in paths.values())
