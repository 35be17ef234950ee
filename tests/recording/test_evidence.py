"""That a line is a person's wants evidence: what a call may have written, and no look saw, is nobody's. And the other way round."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, Sandbox, someone_else
from test_lines import BASE, commit_all, patch, shell, told, write


@pytest.fixture
def desk(sandbox: Sandbox) -> Desk:
    """A repository with a ledger and git hooks, and a file that was committed before."""
    desk = Desk.begin(sandbox)
    desk.commit("base", {"a.txt": BASE})
    return desk


def hidden(desk: Desk, call: str, work: Callable[[], Any]) -> None:
    """Let an agent run a command that does `work`."""
    given = {"command": "sh hidden"}
    desk.tell(desk.before(call, "Bash", given))
    work()
    desk.tell(desk.after(call, "Bash", given))


def claude(desk: Desk, call: str, tool: str, given: Any, work: Callable[[], Any]) -> None:
    """Let Claude Code call a tool that does `work`."""
    desk.tell(desk.before(call, tool, given), agent="claude-code")
    work()
    desk.tell(desk.after(call, tool, given), agent="claude-code")


def add(path: Path, *lines: str) -> None:
    """Append lines to a file, whoever does."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


# What a call wrote and nobody saw


def ignored(desk: Desk) -> None:
    """Into an ignored file, which a person commits later."""
    desk.commit("ignore", {".gitignore": "gen/\n"})
    hidden(desk, "c1", lambda: add(desk.path / "gen/x.txt", "its"))
    desk.git("add", "-f", "gen/x.txt")


def assumed_unchanged(desk: Desk) -> None:
    """Into a file that git was told not to look at."""
    desk.git("update-index", "--assume-unchanged", "a.txt")
    hidden(desk, "c1", lambda: add(desk.path / "a.txt", "its"))
    desk.git("update-index", "--no-assume-unchanged", "a.txt")


def moved_in(desk: Desk) -> None:
    """Into a folder outside, which another command moves into the work tree."""
    outside = desk.path.parent / "outside"
    hidden(desk, "c1", lambda: add(outside / "x.txt", "its"))
    time.sleep(0.05)
    hidden(desk, "c2", lambda: outside.rename(desk.path / "pkg"))


def interrupted(desk: Desk) -> None:
    """By a command whose result never came, for the turn was interrupted."""
    desk.tell(desk.before("c1", "Bash", {"command": "make"}))
    add(desk.path / "a.txt", "its")
    desk.tell(desk.stop())


def interrupted_edit(desk: Desk) -> None:
    """By an edit whose result never came."""
    desk.tell(desk.edit("c1", "a.txt")[0])
    add(desk.path / "a.txt", "its")
    desk.tell(desk.stop())


def killed(desk: Desk) -> None:
    """By a command of an agent that was killed meanwhile."""
    with someone_else() as agent:
        agent.tell(desk, desk.before("c1", "Bash", {"command": "make"}))
        add(desk.path / "a.txt", "its")


def seen_by_another_call_first(desk: Desk) -> None:
    """By a command that still runs while another agent's edit looks at the file."""
    desk.tell(desk.before("c1", "Bash", {"command": "make"}))
    add(desk.path / "new.txt", "its")
    desk.tell(*desk.edit("c2", "new.txt"), desk.after("c1", "Bash", {"command": "make"}))


def by_a_reused_id(desk: Desk) -> None:
    """By a call that bears the id of one that is over."""
    hidden(desk, "c1", lambda: None)
    desk.tell(desk.before("c1", "Bash", {"command": "another"}))
    add(desk.path / "a.txt", "its")
    desk.tell(desk.after("c1", "Bash", {"command": "another"}))
    (gap,) = desk.entries("gap.noted")
    assert gap.body["reason"] == "call-id-reused" and gap.body["call"] == "c1"


def through_a_filter(desk: Desk) -> None:
    """Through a filter that leaves something else in git than what was written."""
    desk.git("config", "filter.point.clean", "sed -e 's/.*/its/'")
    desk.commit("attributes", {".gitattributes": "*.big filter=point\n"})
    hidden(desk, "c1", lambda: (desk.path / "x.big").write_bytes(b"\0\1"))


def index_alone(desk: Desk) -> None:
    """Into the index alone, and the file is as it was."""

    def work() -> None:
        add(desk.path / "a.txt", "its")
        desk.git("add", "a.txt")
        write(desk, "a.txt", BASE)

    hidden(desk, "c1", work)
    time.sleep(0.05)
    write(desk, "a.txt", BASE)  # a person saves it again
    desk.git("commit", "-q", "-m", "what is staged")


UNSEEN = (
    ignored,
    assumed_unchanged,
    moved_in,
    interrupted,
    interrupted_edit,
    killed,
    seen_by_another_call_first,
    by_a_reused_id,
    through_a_filter,
)


@pytest.mark.parametrize("wrote", UNSEEN, ids=lambda wrote: wrote.__name__)
def test_what_no_look_saw_is_no_persons(desk: Desk, wrote: Callable[[Desk], None]) -> None:
    """Whoever commits it, and whenever: nobody knows whose it is."""
    wrote(desk)
    oid = commit_all(desk)
    told_of = {path: told(desk, oid, path) for path in changed(desk, oid)}
    # What a filter made of bytes that are no text is not listed at all; everything else is, and is nobody's.
    expected = [] if wrote is through_a_filter else ["unknown"]
    assert [lines["its"] for lines in told_of.values() if "its" in lines] == expected
    desk.check()


def test_what_was_written_into_the_index_alone_is_no_persons(desk: Desk) -> None:
    """The file has something else than what is committed, and a command ran since the last commit."""
    index_alone(desk)
    assert told(desk, desk.git("rev-parse", "HEAD")) == {"its": "unknown"}


def changed(desk: Desk, oid: str) -> list[str]:
    """Return the paths of a commit whose lines are listed."""
    return [item["path"] for item in desk.of_commit(oid).body["paths"] if "lines" in item]


def test_a_commit_in_an_agents_environment_is_no_persons(desk: Desk) -> None:
    """Its hooks were off, so none of its calls was seen: what it wrote is not a person's for that."""
    write(desk, "a.txt", BASE + "its\n")
    desk.git("add", "-A")
    desk.git("commit", "-q", "-m", "work", **desk.claim("c9", "unheard-of"))
    oid = desk.git("rev-parse", "HEAD")
    assert told(desk, oid) == {"its": "unknown"} and desk.of_commit(oid).call is None


def test_a_text_too_large_to_follow_is_not_listed(desk: Desk) -> None:
    """Nor is one that no line diff means anything for: a path that was seen, and of which no version is kept."""
    large = "".join(f"line {n}\n" for n in range(120_000))
    given = {"file_path": str(desk.path / "large.txt"), "content": large}
    claude(desk, "c1", "Write", given, lambda: write(desk, "large.txt", large))
    write(desk, "by-hand.txt", large)
    oid = commit_all(desk)
    assert changed(desk, oid) == []
    assert desk.links(oid) == {"large.txt": "exact", "by-hand.txt": "none"}


# What a call wrote, and where


def test_an_edit_through_a_link_is_the_calls(desk: Desk) -> None:
    """The file that a link leads to is what is written."""
    os.symlink("a.txt", desk.path / "link.txt")
    commit_all(desk)
    patch(desk, "c1", "link.txt", BASE + "its\n")
    assert told(desk, commit_all(desk), "a.txt")["its"].startswith("c1 ")


def test_a_way_back_out_of_a_link_is_the_systems(desk: Desk) -> None:
    """`link/../a.txt` lies beside what the link leads to, not beside the link."""
    (desk.path / "deep/er").mkdir(parents=True)
    write(desk, "deep/x.txt", "")
    os.symlink("deep/er", desk.path / "link")
    patch(desk, "c1", "link/../x.txt", "its\n")
    assert told(desk, commit_all(desk), "deep/x.txt") == {"its": "c1 partial"}


def test_an_edit_in_another_work_tree_of_the_clone_is_the_calls(desk: Desk) -> None:
    """An agent whose folder is the main work tree may name a file of a linked one."""
    desk.git("worktree", "add", "-q", "../other", "-b", "side")
    other = desk.path.parent / "other"
    given = {"file_path": str(other / "a.txt"), "old_string": "base 1\n", "new_string": "base 1\nits\n"}
    claude(desk, "c1", "Edit", given, lambda: (other / "a.txt").write_text(BASE.replace("base 1\n", "base 1\nits\n")))
    desk.sandbox.git("commit", "-qam", "by hand", cwd=other)
    oid = desk.sandbox.git("rev-parse", "HEAD", cwd=other)
    assert told(desk, oid) == {"its": "c1 exact"}


def test_a_line_of_another_work_tree_is_not_this_ones(desk: Desk) -> None:
    """Agent and person write the same line, each in a work tree of their own."""
    desk.git("worktree", "add", "-q", "../other", "-b", "side")
    other = desk.path.parent / "other"
    given = {"command": "*** Begin Patch\n*** Update File: a.txt\n@@\n+same\n*** End Patch"}
    desk.tell(desk.before("c1", "apply_patch", given, cwd=str(other)), cwd=other)
    add(other / "a.txt", "same")
    desk.tell(desk.after("c1", "apply_patch", given, cwd=str(other)), cwd=other)
    write(desk, "a.txt", BASE + "same\nmore\n")
    assert told(desk, commit_all(desk)) == {"same": "human", "more": "human"}


def test_a_denied_call_gets_nothing(desk: Desk) -> None:
    """A person writes while a call waits that never ran."""
    given = {"command": "*** Begin Patch\n*** Update File: a.txt\n@@\n+asked\n*** End Patch"}
    desk.tell(desk.before("c1", "apply_patch", given))
    write(desk, "a.txt", BASE + "a person's\n")
    shell(desk, "c2", "true")
    assert told(desk, commit_all(desk)) == {"a person's": "unknown"}


# What a call was asked for


@pytest.mark.parametrize(("path", "line"), [("a.txt", "for sub"), ("sub/a.txt", "for top")])
def test_a_patch_asks_for_a_line_of_one_path(desk: Desk, path: str, line: str) -> None:
    """Paths that end alike are two: what was asked for one of them and a person wrote to the other is not exact."""
    desk.commit("sub", {"sub/a.txt": BASE})
    sections = "*** Update File: a.txt\n@@\n+for top\n*** Update File: sub/a.txt\n@@\n+for sub\n"
    given = {"command": f"*** Begin Patch\n{sections}*** End Patch"}
    desk.tell(desk.before("c1", "apply_patch", given))
    write(desk, "a.txt", BASE + "for top\n")
    write(desk, "sub/a.txt", BASE + "for sub\n")
    add(desk.path / path, line)
    desk.tell(desk.after("c1", "apply_patch", given))
    found = told(desk, commit_all(desk), path)
    assert found[line] == "unknown" and len(found) == 2


def test_a_part_of_a_line_is_no_line(desk: Desk) -> None:
    """`foo` becomes `bar` inside a line; a person who adds a line `bar` meanwhile keeps it from being exact."""
    desk.commit("code", {"a.txt": "x = foo(1)\n"})
    given = {"file_path": str(desk.path / "a.txt"), "old_string": "foo", "new_string": "bar"}
    claude(desk, "c1", "Edit", given, lambda: write(desk, "a.txt", "bar\nx = bar(1)\n"))
    assert told(desk, commit_all(desk)) == {"bar": "unknown", "x = bar(1)": "c1 exact"}


def test_an_edit_of_a_file_with_other_line_endings_is_exact(desk: Desk) -> None:
    """The agent's edit speaks of line feeds, and the file has carriage returns as well."""
    (desk.path / "a.txt").write_bytes(b"one\r\ntwo\r\n")
    commit_all(desk)
    given = {"file_path": str(desk.path / "a.txt"), "old_string": "one\ntwo", "new_string": "one\nits\ntwo"}
    claude(desk, "c1", "Edit", given, lambda: (desk.path / "a.txt").write_bytes(b"one\r\nits\r\ntwo\r\n"))
    oid = commit_all(desk)
    (item,) = desk.of_commit(oid).body["paths"]
    assert [(part["by"], part.get("link")) for part in item["lines"]] == [("agent", "exact")]


def test_a_notebooks_request_does_not_say_its_lines(desk: Desk) -> None:
    """What a call alone left, and its input does not spell out, is partial."""
    given = {"notebook_path": str(desk.path / "a.ipynb"), "new_source": "x = 1"}
    desk.commit("notebook", {"a.ipynb": "{}\n"})
    claude(desk, "c1", "NotebookEdit", given, lambda: write(desk, "a.ipynb", '{}\n"x = 1"\n'))
    assert told(desk, commit_all(desk), "a.ipynb") == {'"x = 1"': "c1 partial"}


def test_what_an_agent_writes_again_is_its(desk: Desk) -> None:
    """A file that reads like a person's, and a flag that a person had set before: this time the call wrote them."""
    write(desk, "mine.txt", "{}\n")
    write(desk, "a.txt", BASE + "flag\n")
    commit_all(desk)
    write(desk, "a.txt", BASE)
    commit_all(desk)
    patch(desk, "c1", "its.txt", "{}\n")
    patch(desk, "c2", "a.txt", BASE + "flag\n")
    oid = commit_all(desk)
    assert told(desk, oid, "its.txt") == {"{}": "c1 exact"}
    assert told(desk, oid) == {"flag": "c2 exact"}


# What is said of commits


def test_a_hooks_claims_are_of_its_own_commit_alone(desk: Desk) -> None:
    """A person's commit that no hook saw is found when an agent's fires one, whose words are of that one alone."""
    desk.tell(desk.before("c1"))
    theirs = desk.commit_unseen("by hand", {"mine.txt": "mine\n"})
    write(desk, "a.txt", BASE + "its\n")
    desk.git("add", "-A")
    desk.git("commit", "-q", "-m", "by the agent", **desk.claim("c1"))
    own = desk.of_commit(desk.git("rev-parse", "HEAD"))
    found = desk.of_commit(theirs)
    assert (own.call, own.body["via"], own.body.get("basis")) == ("c1", "hook", None)
    assert (found.body["via"], "claims" in found.body) == ("reflog", False)
    assert found.call is None or found.body["basis"] == {"session": "inferred", "call": "inferred"}


def test_a_commit_that_is_pulled_is_no_calls(desk: Desk, sandbox: Sandbox) -> None:
    """A person's commit of another clone, that an agent fetches by its path: it was made elsewhere."""
    other = sandbox.root / "elsewhere"
    sandbox.git("clone", "-q", str(desk.path), str(other), cwd=sandbox.root)
    desk.tell(desk.prompt("go on"))
    time.sleep(1.1)  # git counts whole seconds
    sandbox.commit(other, "by hand", {"mine.txt": "mine\n"})
    shell(desk, "c1", f"git pull -q {other} HEAD")
    entry = desk.of_commit(desk.git("rev-parse", "HEAD"))
    assert (entry.session, entry.call) == (None, None) and entry.body["during"]
    assert told(desk, entry.body["oid"], "mine.txt") == {"mine": "unknown"}


@pytest.mark.parametrize("how", ["amend", "rebase"])
def test_a_rewrite_that_the_reflog_does_not_tell_of_is_a_claim(desk: Desk, how: str) -> None:
    """Anybody can run the hook and name two commits."""
    desk.git("checkout", "-q", "-b", "side")
    desk.commit("on the side", {"side.txt": "side\n"})
    desk.git("checkout", "-q", "-")
    desk.commit("on main", {"main.txt": "main\n"})
    desk.git("rebase", "-q", "main", "side")
    (real,) = desk.entries("commit.rewritten")
    assert "basis" not in real.body  # that one the reflog does tell of
    patch(desk, "c1", "a.txt", BASE + "its\n")
    old = commit_all(desk)
    write(desk, "a.txt", BASE + "its\nmine\n")
    new = commit_all(desk)
    desk.hook(f"{old} {new}\n".encode(), "git", "post-rewrite", how)
    (_, entry) = desk.entries("commit.rewritten")
    assert entry.body["basis"] == {"rewrites": "claimed"}


def test_what_was_committed_in_its_call_waits_for_no_later_commit(desk: Desk) -> None:
    """A command edits and commits; a person's next commit of the path is linked to nothing."""
    shell(desk, "c1", "echo its >> a.txt", "git commit -qam its")
    write(desk, "a.txt", (desk.path / "a.txt").read_text() + "mine\n")
    oid = commit_all(desk)
    assert desk.links(oid) == {"a.txt": "none"} and told(desk, oid) == {"mine": "human"}


def test_what_a_filter_keeps_different_is_used_up_by_its_commit(desk: Desk) -> None:
    """The file never is the committed blob, so git is asked whether it takes it for that."""
    desk.git("config", "core.autocrlf", "true")
    given = {"file_path": str(desk.path / "crlf.txt"), "content": "one\r\n"}
    claude(desk, "c1", "Write", given, lambda: (desk.path / "crlf.txt").write_bytes(b"one\r\n"))
    assert desk.links(commit_all(desk)) == {"crlf.txt": "partial"}
    (desk.path / "crlf.txt").write_bytes(b"one\r\nmine\r\n")
    assert desk.links(commit_all(desk)) == {"crlf.txt": "none"}


def test_the_input_of_a_call_is_read_as_data(desk: Desk) -> None:
    """Whatever an agent gives a tool that edits: nothing of it is an error."""
    for number, given in enumerate(({"edits": [1, None, {}]}, {"edits": [{"old_string": "", "new_string": 1}]}, [], "x", None)):
        event = json.loads(json.dumps(desk.before(f"c{number}", "Edit", given)))
        desk.tell(event, desk.after(f"c{number}", "Edit", given), agent="claude-code")
    assert desk.entries("gap.noted") == []


def test_two_files_that_read_alike_are_each_its_makers(desk: Desk) -> None:
    """One content, three hands: none of the files is another one, moved, as long as that one is still there."""
    shell(desk, "c1", "echo same > one.txt")
    shell(desk, "c2", "echo same > two.txt")
    write(desk, "three.txt", "same\n")
    oid = commit_all(desk)
    assert told(desk, oid, "one.txt") == {"same": "c1 inferred"}
    assert told(desk, oid, "two.txt") == {"same": "c2 inferred"}
    assert told(desk, oid, "three.txt") == {"same": "human"}
    desk.git("mv", "one.txt", "moved.txt")
    assert told(desk, commit_all(desk), "moved.txt")["same"] == "c1 inferred"


def test_line_endings_hide_no_person(desk: Desk) -> None:
    """What lies there differs from what is committed by its line endings alone, and a command ran since the last commit."""
    desk.git("config", "core.autocrlf", "true")
    (desk.path / "a.txt").write_bytes(BASE.replace("\n", "\r\n").encode())
    shell(desk, "c1", "true")
    time.sleep(0.05)
    (desk.path / "a.txt").write_bytes(BASE.replace("\n", "\r\n").encode() + b"mine\r\n")
    assert told(desk, commit_all(desk)) == {"mine": "human"}
