"""Whose each line of a commit is: docs/linking.md, with real git and real hooks."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from desk import Desk, Sandbox

from ledger.recorder import Recorder

BASE = "".join(f"base {n}\n" for n in range(1, 9))


@pytest.fixture
def desk(sandbox: Sandbox) -> Desk:
    """A repository with a ledger and git hooks, and a file that was committed before."""
    desk = Desk.begin(sandbox)
    desk.commit("base", {"a.txt": BASE})
    return desk


def patch(desk: Desk, call: str, path: str, after: str, **how: Any) -> int:
    """Let an agent patch a file until it reads `after`; return the seq of the request."""
    target = desk.path / path
    before = target.read_text().split("\n") if target.exists() else []
    added = "".join(f"+{line}\n" for line in after.split("\n")[:-1] if line not in before)
    given = {"command": f"*** Begin Patch\n*** Update File: {path}\n@@\n{added}*** End Patch"}
    desk.tell(desk.before(call, "apply_patch", given, **how))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(after)
    desk.tell(desk.after(call, "apply_patch", given, **how))
    return desk.entries("tool.requested")[-1].seq


def shell(desk: Desk, call: str, *commands: str, **env: str) -> int:
    """Let an agent run shell commands in the repository; return the seq of the request."""
    given = {"command": " && ".join(commands)}
    desk.tell(desk.before(call, "Bash", given))
    done = desk.sandbox.run("sh", "-ec", " && ".join(commands), cwd=desk.path, **desk.claim(call), **env)
    assert done.returncode == 0, done.stderr
    desk.tell(desk.after(call, "Bash", given))
    return desk.entries("tool.requested")[-1].seq


def write(desk: Desk, path: str, text: str) -> None:
    """Let a person save a file."""
    (desk.path / path).write_text(text)


def commit_all(desk: Desk, message: str = "work") -> str:
    """Let a person commit everything."""
    desk.git("add", "-A")
    desk.git("commit", "-q", "-m", message)
    return desk.git("rev-parse", "HEAD")


def told(desk: Desk, oid: str, path: str = "a.txt") -> dict[str, str]:
    """Return whose each added line of a path is, by its text: `human`, `unknown`, or `<call> <link>`."""
    (item,) = [item for item in desk.of_commit(oid).body["paths"] if item["path"] == path]
    text = desk.git("show", f"{oid}:{path}").split("\n")
    calls = {entry.seq: entry.call for entry in desk.entries("tool.requested")}
    found: dict[str, str] = {}
    last = 0
    for part in item["lines"]:
        first, end = part["range"]
        assert last < first <= end, "ranges are in order and apart"
        last = end
        who = f"{calls[part['call']]} {part['link']}" if part["by"] == "agent" else part["by"]
        assert part.keys() == ({"range", "by", "call", "link"} if part["by"] == "agent" else {"range", "by"})
        found |= dict.fromkeys(text[first - 1 : end], who)
    return found


def test_a_patch_and_a_persons_edits_before_between_and_after(desk: Desk) -> None:
    """One file, three hands: each line is whose it is, and what was committed before is not listed."""
    write(desk, "a.txt", "early\n" + BASE)
    patch(desk, "c1", "a.txt", "early\n" + BASE + "one\n")
    write(desk, "a.txt", "early\n" + BASE + "between\none\n")
    patch(desk, "c2", "a.txt", "early\n" + BASE + "between\none\ntwo\n")
    write(desk, "a.txt", "early\n" + BASE.replace("base 3", "base three") + "between\none\ntwo\n")
    oid = commit_all(desk)
    assert told(desk, oid) == {
        "early": "human",
        "base three": "human",
        "between": "human",
        "one": "c1 exact",
        "two": "c2 exact",
    }
    desk.check()


def test_a_persons_commit_is_a_persons(desk: Desk) -> None:
    """No call was open, and nothing escaped a look: new files and changed ones alike."""
    write(desk, "a.txt", BASE + "mine\n")
    write(desk, "new.txt", "all\nmine\n")
    oid = commit_all(desk)
    assert told(desk, oid) == {"mine": "human"}
    assert told(desk, oid, "new.txt") == {"all": "human", "mine": "human"}


def test_two_agents_in_one_file(desk: Desk) -> None:
    """Their calls overlap: each has the lines that it was asked for."""
    given = [{"command": f"*** Begin Patch\n*** Update File: a.txt\n@@\n+{word}\n*** End Patch"} for word in ("mine", "yours")]
    desk.tell(desk.before("c1", "apply_patch", given[0]), desk.before("c2", "apply_patch", given[1], session_id="other"))
    write(desk, "a.txt", "mine\n" + BASE)
    write(desk, "a.txt", "mine\n" + BASE + "yours\n")
    desk.tell(desk.after("c1", "apply_patch", given[0]), desk.after("c2", "apply_patch", given[1], session_id="other"))
    assert told(desk, commit_all(desk)) == {"mine": "c1 exact", "yours": "c2 exact"}


def test_what_a_person_wrote_while_a_patch_waited_is_not_exactly_the_agents(desk: Desk) -> None:
    """The request does not bear it out: a call may wait for an approval for long."""
    given = {"command": "*** Begin Patch\n*** Update File: a.txt\n@@\n+asked\n*** End Patch"}
    desk.tell(desk.before("c1", "apply_patch", given))
    write(desk, "a.txt", BASE + "asked\nnot asked\n")
    desk.tell(desk.after("c1", "apply_patch", given))
    assert told(desk, commit_all(desk)) == {"asked": "c1 exact", "not asked": "unknown"}


def test_equal_lines_are_never_exact(desk: Desk) -> None:
    """A person's line and an agent's that read the same cannot be told apart, whichever came first."""
    write(desk, "a.txt", BASE + "same\n")
    patch(desk, "c1", "a.txt", BASE + "same\nown\nsame\n")
    write(desk, "a.txt", "own\n" + BASE + "same\nown\nsame\n")
    found = told(desk, commit_all(desk))
    assert "exact" not in " ".join(found.values())


def test_an_edit_in_the_middle_of_a_line_is_exact(desk: Desk) -> None:
    """Claude Code names only the words that it replaces; the whole line follows from what was there."""
    given = {"file_path": str(desk.path / "a.txt"), "old_string": "se 3\nba", "new_string": "SE 3\nBA"}
    members = {"tool_name": "Edit", "tool_input": given, "tool_use_id": "c1", "turn_id": None}
    desk.tell(desk.event("PreToolUse", **members), agent="claude-code")
    write(desk, "a.txt", BASE.replace("se 3\nba", "SE 3\nBA"))
    desk.tell(desk.event("PostToolUse", tool_response={"ok": True}, **members), agent="claude-code")
    assert told(desk, commit_all(desk)) == {"baSE 3": "c1 exact", "BAse 4": "c1 exact"}


def test_a_shell_command_is_found_out(desk: Desk) -> None:
    """`sed -i`, a generated file, a move and a deletion: inferred, for anybody may write in a shell call's time."""
    desk.commit("more", {"old.txt": "1\n2\n3\n", "gone.txt": "x\n"})
    commands = ("sed -i 's/base 2/BASE 2/' a.txt", "echo made > gen.txt", "mv old.txt moved.txt", "rm gone.txt", "chmod +x README")
    shell(desk, "c1", *commands)
    finished = desk.entries("tool.finished")[-1]
    effects = {row["path"]: row for row in desk.effects(finished.seq)}
    assert set(effects) == {"a.txt", "gen.txt", "old.txt", "moved.txt", "gone.txt", "README"}
    assert effects["moved.txt"]["from"] == "old.txt" and effects["gone.txt"]["after"] is None
    assert effects["README"]["mode"] == "100755" and effects["README"]["before"] == effects["README"]["after"]
    assert {row["basis"] for row in effects.values()} == {"inferred"}
    assert finished.body["basis"]["effects"] == "inferred" and "looked" not in finished.body
    write(desk, "gen.txt", "made\nby hand\n")
    oid = commit_all(desk)
    assert told(desk, oid) == {"BASE 2": "c1 inferred"}
    assert told(desk, oid, "gen.txt") == {"made": "c1 inferred", "by hand": "human"}
    assert told(desk, oid, "moved.txt") == {"1": "human", "2": "human", "3": "human"}
    assert desk.links(oid)["a.txt"] == "inferred"
    desk.check()


def test_what_a_person_did_before_a_shell_call_is_not_the_calls(desk: Desk) -> None:
    """Tracked files are looked at before the call, and a file's time tells the rest."""
    write(desk, "a.txt", BASE + "mine\n")
    write(desk, "new.txt", "mine as well\n")
    shell(desk, "c1", "echo its >> a.txt", "git add -A", "git commit -q -m both")
    oid = desk.git("rev-parse", "HEAD")
    assert told(desk, oid) == {"mine": "human", "its": "c1 inferred"}
    assert told(desk, oid, "new.txt") == {"mine as well": "human"}


def test_a_commit_in_the_call_that_wrote_it(desk: Desk) -> None:
    """Nobody looked between writing and committing; the call is the only one that can have done it."""
    shell(desk, "c1", "echo its >> a.txt", "git commit -qam its")
    oid = desk.git("rev-parse", "HEAD")
    assert told(desk, oid) == {"its": "c1 inferred"}
    assert desk.links(oid) == {"a.txt": "inferred"}


def test_partial_staging_and_the_rest_later(desk: Desk) -> None:
    """`git add -p` takes some hunks: what is committed later is whose it was."""
    base = "".join(f"long {n}\n" for n in range(40))
    desk.commit("long", {"a.txt": base})
    patch(desk, "c1", "a.txt", "top\n" + base + "bottom\n")
    write(desk, "a.txt", "top\n" + base.replace("long 20", "twenty") + "bottom\n")
    desk.sandbox.git("add", "-p", cwd=desk.path, input="y\nn\nn\n")
    desk.git("commit", "-q", "-m", "part")
    first = desk.git("rev-parse", "HEAD")
    assert told(desk, first) == {"top": "c1 exact"}
    assert told(desk, commit_all(desk)) == {"twenty": "human", "bottom": "c1 exact"}


def test_an_earlier_version_that_was_staged(desk: Desk) -> None:
    """The agent wrote on after `git add`: the lines of the staged version are found in it."""
    patch(desk, "c1", "a.txt", BASE + "first draft\n")
    desk.git("add", "a.txt")
    patch(desk, "c2", "a.txt", BASE + "second draft\n")
    desk.git("commit", "-q", "-m", "staged")
    assert told(desk, desk.git("rev-parse", "HEAD")) == {"first draft": "c1 exact"}
    assert told(desk, commit_all(desk)) == {"second draft": "c2 exact"}


def test_stash_and_pop(desk: Desk) -> None:
    """What comes back is whose it was, even with another edit on top, and looks in between."""
    patch(desk, "c1", "a.txt", BASE + "stashed\n")
    desk.git("stash")
    patch(desk, "c2", "a.txt", "meanwhile\n" + BASE)
    desk.git("commit", "-qam", "meanwhile")
    shell(desk, "c3", "true")
    desk.git("stash", "pop")
    shell(desk, "c4", "true")
    found = told(desk, commit_all(desk))
    assert found.keys() == {"stashed"} and found["stashed"] in ("c1 partial", "c1 exact")


def test_a_merge_with_a_conflict(desk: Desk) -> None:
    """Only what no parent has is listed; the resolution is the person's who committed it."""
    desk.git("checkout", "-qb", "side")
    patch(desk, "c1", "a.txt", BASE.replace("base 3", "side 3"))
    commit_all(desk)
    desk.git("checkout", "-q", "-")
    desk.commit("main", {"a.txt": BASE.replace("base 3", "main 3")})
    desk.sandbox.git("merge", "-q", "side", cwd=desk.path, check=False)
    write(desk, "a.txt", BASE.replace("base 3", "main 3\nside 3\nresolved"))
    assert told(desk, commit_all(desk, "merged")) == {"resolved": "human"}


def test_the_first_commit_of_a_repository(sandbox: Sandbox) -> None:
    """Every line of a root commit is listed."""
    desk = Desk.begin(sandbox, sandbox.make_repo())
    patch(desk, "c1", "a.txt", "one\ntwo\n")
    write(desk, "b.txt", "mine\n")
    oid = commit_all(desk)
    assert told(desk, oid) == {"one": "c1 exact", "two": "c1 exact"}
    assert told(desk, oid, "b.txt") == {"mine": "human"}


def test_an_amended_commit_keeps_its_lines(desk: Desk) -> None:
    """The lines of the commit before are whose they were; what was added is a person's."""
    patch(desk, "c1", "a.txt", BASE + "one\n")
    write(desk, "a.txt", "mine\n" + BASE + "one\n")
    commit_all(desk)
    write(desk, "a.txt", "mine\n" + BASE + "one\nlate\n")
    desk.git("commit", "-qa", "--amend", "--no-edit")
    assert told(desk, desk.git("rev-parse", "HEAD")) == {"mine": "human", "one": "c1 exact", "late": "human"}


def test_other_peoples_commits_are_nobodys_here(desk: Desk) -> None:
    """A cherry-picked line was written elsewhere: unknown, unless it was seen here."""
    desk.git("checkout", "-qb", "side")
    desk.commit_unseen("theirs", {"b.txt": "theirs\n"})
    theirs = desk.git("rev-parse", "HEAD")
    desk.git("checkout", "-q", "-")
    desk.git("cherry-pick", theirs)
    (entry, *_) = [entry for entry in desk.entries("commit.recorded") if entry.body["oid"] == desk.git("rev-parse", "HEAD")]
    assert [part["by"] for part in entry.body["paths"][0]["lines"]] == ["unknown"]


def test_what_was_committed_while_a_call_ran_is_unknown(desk: Desk) -> None:
    """A command is running: whether it or the person wrote the lines, nobody saw."""
    desk.tell(desk.before("c1"), desk.before("c2"))
    write(desk, "a.txt", BASE + "whose\n")
    assert told(desk, commit_all(desk)) == {"whose": "unknown"}


def test_what_is_no_text_has_no_lines(desk: Desk) -> None:
    """Binary files, links, submodules and deletions; the paths are linked all the same."""
    desk.commit("more", {"gone.txt": "x\n"})
    before, after = desk.edit("c1", "bin", "link", "gone.txt")
    desk.tell(before)
    (desk.path / "bin").write_bytes(b"\0\1\2")
    (desk.path / "link").symlink_to("a.txt")
    (desk.path / "gone.txt").unlink()
    desk.tell(after)
    oid = commit_all(desk)
    assert desk.links(oid) == {"bin": "exact", "link": "exact", "gone.txt": "exact"}
    lines = {item["path"]: item.get("lines") for item in desk.of_commit(oid).body["paths"]}
    assert lines["bin"] is None and lines["gone.txt"] is None


def test_line_endings_do_not_hide_whose_a_line_is(desk: Desk) -> None:
    """Git stores LF, CRLF lies there: the blob is another, the lines are the same."""
    desk.git("config", "core.autocrlf", "true")
    patch(desk, "c1", "crlf.txt", "one\r\ntwo\r\n")
    write(desk, "crlf.txt", "one\r\ntwo\r\nmine\r\n")
    found = told(desk, commit_all(desk), "crlf.txt")
    assert {line: who.split()[0] for line, who in found.items()} == {"one": "c1", "two": "c1", "mine": "human"}


def test_no_filter_of_the_repository_is_run(desk: Desk) -> None:
    """A clean filter is a program; it runs for git's own `add`, and never for a look."""
    sprung = desk.sandbox.root / "sprung"
    desk.git("config", "filter.trap.clean", f"touch {sprung}; cat")
    desk.commit("attributes", {".gitattributes": "*.f filter=trap\n", "x.f": "1\n"})
    sprung.unlink()
    shell(desk, "c1", "echo 2 > x.f")
    shell(desk, "c2", "touch x.f")
    assert not sprung.exists()


def test_a_look_that_takes_too_long_says_so(sandbox: Sandbox) -> None:
    """Without time nothing is found, nothing is made up, and nobody is taken for a person."""
    desk = Desk.begin(sandbox, settings={"look_ms": 0})
    shell(desk, "c1", "echo its > b.txt")
    assert desk.entries("tool.finished")[-1].body["looked"] == "partly"
    assert told(desk, commit_all(desk), "b.txt") == {"its": "unknown"}


def test_doubt_ends_with_a_look_that_has_time(sandbox: Sandbox) -> None:
    """The detached process looks after the commit: what was there stays unknown, what follows is a person's again."""
    desk = Desk.begin(sandbox, settings={"look_ms": 0})
    shell(desk, "c1", "echo its > b.txt")
    with Recorder.open(str(desk.path), state=str(desk.state)) as recorder:
        recorder.look_again(60.0)
    write(desk, "b.txt", "its\nmine\n")
    assert told(desk, commit_all(desk), "b.txt") == {"its": "unknown", "mine": "human"}


def test_texts_go_when_git_has_them(desk: Desk) -> None:
    """A text is kept only as long as nobody else keeps it."""
    import sqlite3

    patch(desk, "c1", "a.txt", BASE + "secret words\n")
    with sqlite3.connect(desk.journal) as db:
        assert db.execute("SELECT count(*) FROM version WHERE text IS NOT NULL").fetchone()[0] >= 1
    commit_all(desk)
    with sqlite3.connect(desk.journal) as db:
        rows = db.execute("SELECT path, blob FROM version WHERE text IS NOT NULL").fetchall()
    head = desk.git("rev-parse", "HEAD:a.txt")
    assert (b"a.txt", head) not in rows
    assert os.path.exists(desk.journal)


def again_elsewhere(desk: Desk) -> None:
    """A person writes a file that reads like the agent's."""
    patch(desk, "c1", "new.txt", "{}\n")
    write(desk, "a.txt", "{}\n")


def again_elsewhere_later(desk: Desk) -> None:
    """The agent's file is committed, and a person's like it comes with the next commit."""
    patch(desk, "c1", "new.txt", "{}\n")
    commit_all(desk)
    write(desk, "a.txt", "{}\n")


def again_after_a_look(desk: Desk) -> None:
    """A person takes the agent's line out, a command looks, and the person types it again."""
    patch(desk, "c1", "a.txt", BASE + "{}\n")
    write(desk, "a.txt", BASE)
    shell(desk, "c2", "true")
    write(desk, "a.txt", BASE + "{}\n")


def again_after_a_commit(desk: Desk) -> None:
    """A flag goes on, off, and on again: the first time by the agent, then by a person's commits."""
    patch(desk, "c1", "a.txt", BASE + "{}\n")
    commit_all(desk)
    write(desk, "a.txt", BASE)
    commit_all(desk)
    write(desk, "a.txt", BASE + "{}\n")


def again_with_more(desk: Desk) -> None:
    """As before, and with another line beside it."""
    again_after_a_commit(desk)
    write(desk, "a.txt", "more\n" + BASE + "{}\n")


def again_on_another_branch(desk: Desk) -> None:
    """The agent's line is on one branch; a person types it on another, and nobody looked in between."""
    patch(desk, "c1", "a.txt", BASE + "{}\n")
    commit_all(desk)
    desk.git("checkout", "-q", "-b", "other", "HEAD~1")
    write(desk, "a.txt", "more\n" + BASE + "{}\n")


def again_uncommitted(desk: Desk) -> None:
    """The agent's line never was committed: a person took it out, committed, and typed it again."""
    patch(desk, "c1", "a.txt", BASE + "{}\n")
    write(desk, "a.txt", "other\n" + BASE)
    commit_all(desk)
    write(desk, "a.txt", "other\n" + BASE + "{}\n")


def again_after_removal(desk: Desk) -> None:
    """The agent's file is removed, and a person writes it again."""
    patch(desk, "c1", "a.txt", "{}\n")
    commit_all(desk)
    (desk.path / "a.txt").unlink()
    commit_all(desk)
    write(desk, "a.txt", "{}\n")


def again_under_another_name(desk: Desk) -> None:
    """A person removes the agent's file, and writes another with a line of it."""
    desk.git("mv", "a.txt", "b.txt")
    patch(desk, "c1", "b.txt", BASE + "{}\n")
    commit_all(desk)
    (desk.path / "b.txt").unlink()
    write(desk, "a.txt", "{}\nmore\n")


AGAIN = (
    again_elsewhere,
    again_elsewhere_later,
    again_after_a_look,
    again_after_a_commit,
    again_with_more,
    again_on_another_branch,
    again_uncommitted,
    again_after_removal,
    again_under_another_name,
)


@pytest.mark.parametrize("happens", AGAIN, ids=lambda happens: happens.__name__)
def test_a_line_that_a_person_may_have_typed_again_is_never_exact(desk: Desk, happens: Callable[[Desk], None]) -> None:
    """The agent wrote it once, and what is there now is equal: that is all there is to know, and less than exact."""
    happens(desk)
    assert told(desk, commit_all(desk))["{}"] in ("c1 partial", "human", "unknown")
    desk.check()


def stages_a_part(desk: Desk) -> None:
    """One of the call's lines is committed first, the other after it."""
    patch(desk, "c1", "a.txt", BASE + "{}\nfirst\n")
    whole = (desk.path / "a.txt").read_text()
    write(desk, "a.txt", BASE + "first\n")
    desk.git("add", "a.txt")
    write(desk, "a.txt", whole)
    desk.git("commit", "-q", "-m", "first")


def test_what_was_never_gone_stays_exact(desk: Desk) -> None:
    """A part that was left in the work tree, and an amended commit's lines, were there all the time."""
    stages_a_part(desk)
    assert told(desk, commit_all(desk))["{}"] == "c1 exact"
    patch(desk, "c2", "b.txt", "of c2\n")
    commit_all(desk)
    write(desk, "a.txt", "more\n")
    desk.git("commit", "-q", "-a", "--amend", "-m", "amended")
    assert told(desk, desk.git("rev-parse", "HEAD"), "b.txt") == {"of c2": "c2 exact"}
