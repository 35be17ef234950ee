"""`changed` of a commit's answer: whose its paths and lines are, in the same words as `ledger blame`."""

from __future__ import annotations

from typing import Any

import pytest
from story import Call, Story

from ledger.export.agent_trace import export_commits
from ledger.repo.gitdir import find_repository
from ledger.store.state import find_clone
from ledger.trace.blame import build_blame
from ledger.trace.build import build_trace, resolve_commit
from ledger.trace.linking import find_links
from ledger.trace.logs import Logs
from ledger.trace.model import Changed, Trace
from ledger.trace.range import build_range_trace


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
    assert paths["a.py"]["calls"] == [f"{story.log.name}/{call.result}" for call in (first, second)]
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


def at_the_border(story: Story, revision: str = "main") -> None:
    """Go on in a repository whose history ends at `revision`."""
    git(story, "checkout", "-q", revision)
    (story.repo / ".git/shallow").write_text(git(story, "rev-parse", "HEAD") + "\n")


def test_a_commit_at_a_shallow_border_is_no_other_commit(story):
    """Git takes it for one that adds every file: an unrecorded one has them as agents left them, and changed none of that."""
    writes(story, "one\n", (1, 1))
    git(story, "commit", "-q", "--amend", "-m", "by nobody's record")  # its file is one that a record, not before it, left
    story.sandbox.commit(story.repo, "unrecorded", {"b.py": "mine\n"})
    at_the_border(story)
    story.write()
    found, paths, _ = trace(story)
    assert (found["match"]["rung"], paths) == ("none", {})
    assert (found["asked"], found["ran"]) == ([], [])
    assert any("shallow" in sentence for sentence in found["unknown"])


def test_at_a_shallow_border_the_record_says_what_a_recorded_commit_added(story):
    """Trace, range and export list the record's paths and lines; what else lies in the tree was not added there."""
    story.sandbox.commit(story.repo, "before", {"a.py": "old\n", "other.py": "old\n"})
    oid, call = writes(story, "old\nnew\n", (2, 2))
    at_the_border(story)
    story.write()
    found, paths, _ = trace(story)
    name = f"{story.log.name}/{call.request}"
    assert found["match"]["rung"] == "exact"
    assert {path: listed(changed) for path, changed in paths.items()} == {"a.py": {2: name}}
    repo = find_repository(str(story.repo))
    clone = find_clone(str(story.sandbox.state), repo.common_dir).clone
    with Logs(str(story.sandbox.state), clone) as logs:
        (record,) = export_commits(repo, logs, [oid])
        range_ = build_range_trace(repo, logs, oid)
    assert [(item["path"], item["range"]) for item in record["metadata"]["git-ledger"]["lines"]] == [("a.py", [2, 2])]
    assert range_["lines"] == {"agent": 1, "human": 0, "unknown": 0}
    assert any("shallow" in sentence for sentence in range_["unknown"])


# What was made once more


@pytest.mark.parametrize("how", ["change", "message"])
def test_a_commit_has_not_become_one_that_descends_from_it(story, how):
    """A change that was taken back and made once more is another commit, and so is one whose message was copied."""
    call = story.call("Write", {"file_path": "a.py"})
    lines = {"a.py": [(1, 1, call, "exact")]}
    old = story.commit("agent's", {"a.py": "one\n"}, links={"a.py": call}, lines=lines)
    story.sandbox.commit(story.repo, "taken back", {"a.py": "nothing\n"})
    git(story, "rm", "-q", "a.py")
    git(story, "commit", "-q", "-m", "gone")
    message = git(story, "log", "-1", "--format=%B", old) if how == "message" else "retyped"
    story.sandbox.commit(story.repo, message, {"a.py": "one\n"} if how == "change" else {"a.py": "mine\n"})
    story.write()
    found, paths, calls = trace(story)
    assert (found["match"]["rung"], found["match"]["recorded_oid"]) == ("none", None)
    name = f"{story.log.name}/{call.request}"
    if how == "change":
        assert paths["a.py"]["link"] == "inferred" and listed(paths["a.py"]) == calls == {1: name}
        assert any("inferred from what is equal" in sentence for sentence in found["unknown"])
    else:
        assert paths["a.py"]["link"] == "none" and listed(paths["a.py"]) == calls == {}
        assert any("descends from" in sentence for sentence in found["unknown"])
    repo = find_repository(str(story.repo))
    clone = find_clone(str(story.sandbox.state), repo.common_dir).clone
    with Logs(str(story.sandbox.state), clone) as logs:
        assert not any(item.is_linkable for item in find_links(repo, logs, [git(story, "rev-parse", "HEAD")]))
