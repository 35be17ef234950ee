"""Which call made a commit, and which call left a path: docs/linking.md, row by row."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from desk import Desk, Sandbox, hold_lock, someone_else

from ledger.repo.blobs import MAX_FILE_BYTES


def patch(desk: Desk, call: str, **files: str | None) -> int:
    """Let a call of apply_patch write `files` (None removes one); return the seq of its result."""
    names = [name.replace("__", ".") for name in files]
    before, after = desk.edit(call, *names)
    desk.tell(before)
    for name, text in zip(names, files.values(), strict=True):
        target = desk.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            target.unlink()
        else:
            target.write_text(text)
    desk.tell(after)
    return desk.entries("tool.finished")[-1].seq


# Which call made the commit


def test_a_commit_inside_a_call_bears_that_call(desk: Desk) -> None:
    """The environment names an open call: claim and log agree, so nothing is inferred."""
    desk.tell(desk.prompt("go"), desk.before("c1"), desk.before("c2"))
    oid = desk.commit("inside", {"a": "1\n"}, **desk.claim("c1"))
    desk.tell(desk.after("c1"), desk.after("c2"))
    entry = desk.of_commit(oid)
    assert (entry.session, entry.turn, entry.call) == (desk.session, desk.turn, "c1")
    assert entry.cause == desk.entries("tool.requested")[0].seq
    assert entry.body["via"] == "hook" and entry.source == "git"
    assert not {"basis", "claims", "during"} & entry.body.keys()
    assert entry.actor == {"type": "tool", "name": "git"}
    desk.check()


def test_a_session_with_one_open_call_names_it(desk: Desk) -> None:
    """Claude Code passes no call id: the session's one open call is taken, and said to be inferred."""
    desk.tell(desk.before("c1"), desk.before("other", session_id="another"))
    oid = desk.commit("inside", {"a": "1\n"}, CLAUDECODE="1", CLAUDE_CODE_SESSION_ID=desk.session)
    entry = desk.of_commit(oid)
    assert (entry.session, entry.call) == (desk.session, "c1")
    assert entry.body["basis"] == {"call": "inferred"}


def test_an_unknown_session_stays_a_claim(desk: Desk) -> None:
    """Anybody can set a variable: what the log does not know is kept apart."""
    desk.tell(desk.before("c1"))
    oid = desk.commit("claimed", {"a": "1\n"}, **desk.claim("c9", session="nobody"))
    entry = desk.of_commit(oid)
    assert (entry.session, entry.turn, entry.call, entry.cause) == (None, None, None, None)
    assert entry.body["claims"] == {"agent": "codex", "session": "nobody", "call": "c9"}


def test_a_variable_that_is_no_text_stays_a_claim(desk: Desk) -> None:
    """Bytes that are not UTF-8 and values of a megabyte never keep a commit out of the log."""
    raw = os.fsdecode(b"s\xff\xfe")
    oid = desk.commit("odd", {"a": "1\n"}, CODEX_SESSION_ID=raw, CODEX_TOOL_CALL_ID="c" * 100_000)
    assert desk.of_commit(oid).body["claims"] == {"agent": "codex", "session": "s��"}
    desk.check()


def test_a_persons_commit_after_the_session_bears_none(desk: Desk) -> None:
    """When no call is open, a commit is nobody's but git's."""
    desk.tell(desk.prompt("go"), desk.before("c1"), desk.after("c1"), desk.stop(), desk.event("SessionEnd"))
    entry = desk.of_commit(desk.commit("mine", {"a": "1\n"}))
    assert (entry.session, entry.turn, entry.call, entry.cause) == (None, None, None, None)
    assert not {"basis", "claims", "during"} & entry.body.keys()


def test_a_persons_commit_while_a_call_runs_bears_none(desk: Desk) -> None:
    """It descends from another process than the agent's hooks; the open call is listed, not blamed."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("no /proc: descent cannot be told here")
    with someone_else() as agent, someone_else() as person:
        agent.tell(desk, desk.before("c1"))
        (desk.path / "a").write_text("1\n")
        desk.git("add", "a")
        person.git(desk, "commit", "-q", "-m", "mine")
        mine = desk.of_commit(desk.git("rev-parse", "HEAD"))
        agent.git(desk, "commit", "-q", "--allow-empty", "-m", "the agent's")
        its = desk.of_commit(desk.git("rev-parse", "HEAD"))
        agent.tell(desk, desk.after("c1"))
    assert (mine.session, mine.call, mine.cause) == (None, None, None)
    assert mine.body["during"] == [desk.one("tool.requested").seq]
    assert (its.session, its.call) == (desk.session, "c1")
    assert its.body["basis"] == {"session": "inferred", "call": "inferred"}
    desk.check()


def test_a_call_whose_agent_is_gone_makes_no_commits(desk: Desk) -> None:
    """An agent that crashed in a call leaves it open for ever; a later commit is not its."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("no /proc: life and death cannot be told here")
    with someone_else() as agent:
        agent.tell(desk, desk.before("c1"))
    oid = desk.commit("later", {"a": "1\n"})
    assert desk.of_commit(oid).call is None and "during" not in desk.of_commit(oid).body
    unseen = desk.commit_unseen("later still", {"a": "2\n"})
    desk.tell(desk.prompt("a new session", session_id="new"))
    assert desk.of_commit(unseen).session is None


def test_a_commit_without_hooks_is_seen_at_the_result(desk: Desk) -> None:
    """`-c core.hooksPath=/dev/null` switches our hooks off; HEAD moved in the call all the same."""
    desk.tell(desk.prompt("go"), desk.before("c1"))
    oids = [desk.commit_unseen(f"unseen {n}", {"a": f"{n}\n"}) for n in range(2)]
    desk.tell(desk.after("c1"))
    assert [entry.body["oid"] for entry in desk.entries("commit.recorded")] == oids
    for entry in desk.entries("commit.recorded"):
        assert (entry.session, entry.turn, entry.call) == (desk.session, desk.turn, "c1")
        assert entry.body["via"] == "reflog"
        assert entry.body["basis"] == {"session": "inferred", "call": "inferred"}
    assert desk.kinds()[-1] == "tool.finished"
    desk.check()


def test_commits_between_calls_bear_none(desk: Desk) -> None:
    """What a person did while the agent thought is seen at the next call, and is nobody's."""
    desk.tell(desk.before("c1"), desk.after("c1"))
    oid = desk.commit_unseen("mine", {"a": "1\n"})
    desk.tell(desk.before("c2"))
    assert desk.of_commit(oid).call is None


def test_parallel_calls_are_listed(desk: Desk) -> None:
    """Where several calls fit, none is chosen."""
    desk.tell(desk.before("c1"), desk.before("c2"))
    oid = desk.commit_unseen("whose?", {"a": "1\n"})
    desk.tell(desk.after("c1"), desk.after("c2"))
    entry = desk.of_commit(oid)
    assert entry.call is None and entry.session is None
    assert entry.body["during"] == [each.seq for each in desk.entries("tool.requested")]


def test_calls_that_only_edit_never_make_commits(desk: Desk) -> None:
    """A patch and a command at once: the command made the commit."""
    before, after = desk.edit("edit", "a")
    desk.tell(before, desk.before("shell"))
    oid = desk.commit_unseen("whose?", {"b": "1\n"})
    desk.tell(after, desk.after("shell"))
    assert desk.of_commit(oid).call == "shell"


def test_blocked_calls_end_with_the_turn(desk: Desk) -> None:
    """A call that was denied gets no result; it must not own the commits of later turns."""
    desk.tell(desk.before("denied"), desk.stop())
    assert desk.of_commit(desk.commit("later", {"a": "1\n"})).call is None


def test_gits_overrides_for_others_do_not_reach_ours(desk: Desk) -> None:
    """Gemini CLI switches hooks off and more by GIT_CONFIG_COUNT; our own git must not care."""
    hostile = {
        "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": "/dev/null",
        "GIT_CONFIG_KEY_1": "core.bare",
        "GIT_CONFIG_VALUE_1": "true",
        "GIT_CONFIG_KEY_2": "diff.renames",
        "GIT_CONFIG_VALUE_2": "copies",
        "GIT_DIR": "/nonexistent",
        "GIT_WORK_TREE": "/",
        "GIT_INDEX_FILE": "/nonexistent",
        "GIT_OBJECT_DIRECTORY": "/nonexistent",
        "GIT_EXTERNAL_DIFF": "/bin/false",
        "GIT_TRACE": "1",
        "GIT_PAGER": "false",
    }
    desk.tell(desk.before("c1"))
    oid = desk.commit_unseen("unseen", {"a": "1\n"})
    desk.tell(desk.after("c1"), env=hostile)
    entry = desk.of_commit(oid)
    assert entry.body["tree"] == desk.git("rev-parse", "HEAD^{tree}")
    assert [(item["path"], item["status"]) for item in entry.body["paths"]] == [("a", "A")]


# Which call left a path


def test_a_committed_patch_is_exact(desk: Desk) -> None:
    """The committed blob is what the call left: path, blobs and call are on record."""
    first = patch(desk, "c1", README="one\n", new__txt="n\n")
    effects = desk.effects(first)
    assert [(item["path"], item["before"] is None, item["after"] is None) for item in effects] == [
        ("README", False, False),
        ("new.txt", True, False),
    ]
    second = patch(desk, "c2", README="two\n")
    desk.git("add", ".")
    oid = desk.commit("both")
    paths = {item["path"]: item for item in desk.of_commit(oid).body["paths"]}
    assert (paths["README"]["link"], paths["README"]["calls"]) == ("exact", [first, second])
    assert (paths["new.txt"]["link"], paths["new.txt"]["calls"]) == ("exact", [first])
    assert paths["README"]["blob"] == desk.git("rev-parse", "HEAD:README") == desk.effects(second)[0]["after"]
    desk.check()


def test_an_edited_patch_is_partial_and_others_are_none(desk: Desk) -> None:
    """A person's edit on top of a call's weakens the link; what no call touched has none."""
    seq = patch(desk, "c1", README="agent\n")
    (desk.path / "README").write_text("agent\nperson\n")
    oid = desk.commit("mixed", {"README": "agent\nperson\n", "mine.txt": "m\n"})
    paths = {item["path"]: (item["link"], item["calls"]) for item in desk.of_commit(oid).body["paths"]}
    assert paths == {"README": ("partial", [seq]), "mine.txt": ("none", [])}


def test_what_was_looked_at_late_is_inferred(desk: Desk) -> None:
    """Where a result waited for the lock, the file may be somebody else's by the time it is looked at: no exact link."""
    before, after = desk.edit("c1", "README")
    desk.tell(before)
    (desk.path / "README").write_text("agent\n")
    with hold_lock(desk.lock):
        desk.hook(after)
    (desk.path / "README").write_text("person\n")
    desk.tell(desk.prompt("go on"))
    assert desk.one("tool.finished").body["basis"]["effects"] == "inferred"
    assert desk.links(desk.commit("mine", {"README": "person\n"})) == {"README": "inferred"}


def test_a_file_too_large_to_read_is_not_called_deleted(desk: Desk) -> None:
    """What was not read has no effect on record, and no link."""
    before, after = desk.edit("c1", "README")
    desk.tell(before)
    with (desk.path / "README").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    desk.tell(after)
    entry = desk.one("tool.finished")
    assert "effects" not in {ref.name for ref in entry.payloads}


def test_a_commit_uses_a_link_up(desk: Desk) -> None:
    """The next change of the same path is judged anew."""
    patch(desk, "c1", README="agent\n")
    desk.git("add", ".")
    assert desk.links(desk.commit("its")) == {"README": "exact"}
    assert desk.links(desk.commit("mine", {"README": "person\n"})) == {"README": "none"}
    patch(desk, "c2", README="agent again\n")
    assert desk.links(desk.commit("other", {"x": "1\n"})) == {"x": "none"}
    desk.git("add", ".")
    assert desk.links(desk.commit("its")) == {"README": "exact"}


def test_deletions_and_renames_are_exact(desk: Desk) -> None:
    """A path that a call removed or moved is linked like any other."""
    desk.commit("more", {"old.txt": "text\n", "gone.txt": "x\n"})
    patch(desk, "c1", gone__txt=None)
    given = {"command": "*** Begin Patch\n*** Update File: old.txt\n*** Move to: dir/new.txt\n@@\n*** End Patch"}
    desk.tell(desk.before("c2", "apply_patch", given))
    (desk.path / "dir").mkdir()
    (desk.path / "old.txt").rename(desk.path / "dir/new.txt")
    desk.tell(desk.after("c2", "apply_patch", given))
    desk.git("add", "-A")
    entry = desk.of_commit(desk.commit("moved"))
    found = {item["path"]: (item["status"], item["blob"] is None, item["link"]) for item in entry.body["paths"]}
    assert found == {
        "dir/new.txt": ("A", False, "exact"),
        "gone.txt": ("D", True, "exact"),
        "old.txt": ("D", True, "exact"),
    }


def test_what_lies_outside_the_work_tree_has_no_effects(desk: Desk, sandbox: Sandbox) -> None:
    """Paths outside, in .git, or behind a link that leads out are none of the repository's business."""
    outside = sandbox.root / "outside"
    outside.mkdir()
    (desk.path / "leads-out").symlink_to(outside)
    names = [str(outside / "a"), "../outside/b", ".git/config", "leads-out/c", "sub/../../outside/d", "ok.txt"]
    before, after = desk.edit("c1", *names)
    desk.tell(before)
    for name in "abcd":
        (outside / name).write_text("x")
    (desk.path / "ok.txt").write_text("x")
    desk.tell(after)
    assert [item["path"] for item in desk.effects(desk.one("tool.finished").seq)] == ["ok.txt"]


def test_a_symlink_is_linked_as_git_records_it(desk: Desk) -> None:
    """The blob of a link is its target's name."""
    before, after = desk.edit("c1", "link")
    desk.tell(before)
    (desk.path / "link").symlink_to("README")
    desk.tell(after)
    desk.git("add", "link")
    oid = desk.commit("link")
    assert desk.links(oid) == {"link": "exact"}
    assert desk.effects(desk.one("tool.finished").seq)[0]["after"] == desk.git("rev-parse", "HEAD:link")


def test_a_result_without_a_request_is_marked(desk: Desk) -> None:
    """Nobody saw what was there before, so the effects are inferred."""
    (desk.path / "README").write_text("changed\n")
    desk.tell(desk.edit("c1", "README")[1])
    entry = desk.one("tool.finished")
    assert entry.cause is None and entry.body["basis"]["effects"] == "inferred"
    assert desk.effects(entry.seq)[0]["path"] == "README"


def test_a_call_that_changed_nothing_has_no_effects(desk: Desk) -> None:
    """A patch that failed leaves no payload."""
    before, after = desk.edit("c1", "README")
    desk.tell(before, after)
    assert desk.effects(desk.one("tool.finished").seq) == []


def test_a_path_that_is_not_utf8_keeps_its_bytes(desk: Desk) -> None:
    """Base64 in the entry, and nothing is lost or replaced."""
    name = b"caf\xe9.txt"
    with open(os.path.join(os.fsencode(desk.path), name), "wb") as file:
        file.write(b"x\n")
    desk.git("add", ".")
    item = desk.of_commit(desk.commit("bytes")).body["paths"][0]
    assert item["path"] == {"base64": "Y2Fm6S50eHQ="}
    desk.check()


# Commits of every making


def test_the_first_commit_of_a_repository(sandbox: Sandbox) -> None:
    """A log without roots is bound by it."""
    desk = Desk.begin(sandbox, sandbox.make_repo())
    entry = desk.of_commit(desk.commit("first", {"a": "1\n"}))
    assert entry.body["parents"] == [] and entry.body["paths"][0]["status"] == "A"
    assert desk.check()[0].body["roots"] == []


def test_facts_of_a_commit_are_gits(desk: Desk) -> None:
    """Tree, parents, statuses, blobs and patch-id are what git says."""
    desk.commit("more", {"gone": "1\n", "run": "x\n", "kept": "k\n"})
    (desk.path / "gone").unlink()
    (desk.path / "run").chmod(0o755)
    (desk.path / "kept").unlink()
    (desk.path / "kept").symlink_to("run")
    desk.git("add", "-A")
    oid = desk.commit("changes", {"new": "n\n"})
    body = desk.of_commit(oid).body
    assert body["tree"] == desk.git("rev-parse", f"{oid}^{{tree}}")
    assert body["parents"] == [desk.git("rev-parse", f"{oid}^")]
    assert {item["path"]: item["status"] for item in body["paths"]} == {"gone": "D", "run": "M", "kept": "T", "new": "A"}
    shown = desk.git("show", "--no-color", oid) + "\n"
    assert body["patch_id"] == desk.sandbox.git("patch-id", "--stable", cwd=desk.path, input=shown).split()[0]
    empty = desk.of_commit(desk.commit("nothing")).body
    assert (empty["paths"], empty["patch_id"]) == ([], "")


def test_a_link_and_a_submodule_are_tied_to_calls_and_have_no_lines(desk: Desk) -> None:
    """What git's patch shows of them is no text that anybody wrote; the entry does not say that some is left to be told."""
    desk.tell(desk.before("c1"))
    inner = desk.sandbox.make_repo("repo/sub", commit=True)
    (desk.path / "kept").symlink_to("README")
    (desk.path / "text").write_text("x\n")
    desk.tell(desk.after("c1"))
    desk.git("add", "-A")
    first = desk.of_commit(desk.commit("links")).body
    desk.sandbox.commit(inner, "moves on")
    desk.git("add", "-A")
    second = desk.of_commit(desk.commit("bump")).body
    assert {item["path"]: "lines" in item for item in first["paths"]} == {"kept": False, "sub": False, "text": True}
    assert [(item["path"], "lines" in item) for item in second["paths"]] == [("sub", False)]
    assert "lines_left" not in first and "lines_left" not in second


@pytest.mark.parametrize("how", ["commit", "checkout"])
def test_a_submodule_that_a_shell_call_moves_on_is_the_calls(desk: Desk, how: str) -> None:
    """Only files far below its folder change, and git's own; one that a person moved before the call is not the call's."""
    library = desk.sandbox.make_repo("library")
    first = desk.sandbox.commit(library, "one", {"deep/down/a": "1\n"})
    second = desk.sandbox.commit(library, "two", {"deep/down/a": "2\n"})
    for name in ("mine", "its"):
        desk.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), name)
        desk.sandbox.git("checkout", "-q", first, cwd=desk.path / name)
    desk.git("add", "-A")
    desk.commit("submodules")
    desk.sandbox.git("checkout", "-q", second, cwd=desk.path / "mine")
    desk.commit("meanwhile")  # far longer than the tick of a clock
    desk.tell(desk.before("c1"))
    if how == "commit":
        desk.sandbox.commit(desk.path / "its", "three", {"deep/down/a": "3\n"})
    else:
        desk.sandbox.git("checkout", "-q", second, cwd=desk.path / "its")
    desk.tell(desk.after("c1"))
    call = desk.one("tool.finished").seq
    now = desk.sandbox.git("rev-parse", "HEAD", cwd=desk.path / "its")
    assert desk.effects(call) == [{"path": "its", "before": first, "after": now, "mode": "160000", "basis": "inferred"}]
    desk.git("add", "-A")
    oid = desk.commit("bump")
    assert {item["path"]: (item["link"], item["calls"]) for item in desk.of_commit(oid).body["paths"]} == {
        "its": ("inferred", [call]),
        "mine": ("none", []),
    }


def test_what_a_person_removed_before_a_shell_call_is_not_the_calls(desk: Desk) -> None:
    """Nothing but the folder says when a file went, and the call wrote into that as well: so what is gone is seen before it."""
    (desk.path / "d").mkdir()
    (desk.path / "d/link").symlink_to("kept")
    desk.git("add", "-A")
    desk.commit(
        "files",
        {f"d/{name}": f"{name} 1\n{name} 2\n" for name in ("deleted", "moved", "kept", "its", *(str(n) for n in range(60)))},
    )
    for name in ("deleted", "link", *(str(n) for n in range(60))):
        (desk.path / "d" / name).unlink()
    (desk.path / "d/moved").rename(desk.path / "d/new")
    desk.commit("meanwhile")  # far longer than the tick of a clock
    desk.tell(desk.before("c1"))
    (desk.path / "d/its").unlink()
    (desk.path / "d/made").write_text("made\n")
    desk.tell(desk.after("c1"))
    assert sorted((item["path"], item["after"] is None) for item in desk.effects(desk.one("tool.finished").seq)) == [
        ("d/its", True),
        ("d/made", False),
    ]
    desk.git("add", "-A")
    links = desk.links(desk.commit("all of it"))
    assert {path for path, link in links.items() if link != "none"} == {"d/its", "d/made"} and len(links) == 66


def test_an_amended_commit_is_a_rewrite(desk: Desk) -> None:
    """The new commit has an entry, and which one it replaces has another."""
    old = desk.commit("typo", {"a": "1\n"})
    desk.git("commit", "-q", "--amend", "-m", "right")
    new = desk.git("rev-parse", "HEAD")
    entry = desk.one("commit.rewritten")
    assert entry.body == {"how": "amend", "rewrites": [{"old": old, "new": new}]}
    assert desk.of_commit(new).body["via"] == "hook"
    desk.tell(desk.stop())
    assert len(desk.entries("commit.recorded")) == 2


def test_a_rebase_records_its_results_only(desk: Desk) -> None:
    """Squash, drop and reorder: the rewrites map old to new, and no intermediate commit has an entry."""
    first, second, third = (desk.commit(name, {name: f"{name}\n"}) for name in ("a", "b", "c"))
    before = len(desk.entries("commit.recorded"))
    todo = "sed -i -e '2s/pick/fixup/'"
    desk.git("rebase", "-q", "-i", "HEAD~3", GIT_SEQUENCE_EDITOR=todo, GIT_EDITOR=":")
    rewritten = desk.one("commit.rewritten").body
    assert rewritten["how"] == "rebase"
    now = desk.git("rev-list", "HEAD~2..HEAD").split()
    assert {pair["old"]: pair["new"] for pair in rewritten["rewrites"]} == {first: now[1], second: now[1], third: now[0]}
    assert {entry.body["oid"] for entry in desk.entries("commit.recorded")[before:]} == set(now)
    desk.tell(desk.stop())
    assert len(desk.entries("commit.recorded")) == before + 2
    desk.check()


def test_a_rebase_without_hooks_is_seen_at_its_end(desk: Desk) -> None:
    """The reflog tells where it began; what it made is recorded, what it was made from is not made up."""
    desk.git("checkout", "-q", "-b", "topic")
    for name in ("a", "b"):
        desk.commit_unseen(name, {name: f"{name}\n"})
    desk.git("checkout", "-q", "main")
    base = desk.commit_unseen("base", {"base": "b\n"})
    desk.tell(desk.before("c1"))
    seen = len(desk.entries("commit.recorded"))
    desk.git("-c", "core.hooksPath=/dev/null", "rebase", "-q", "main", "topic")
    desk.tell(desk.after("c1"))
    new = desk.git("rev-list", "--reverse", f"{base}..topic").split()
    assert [entry.body["oid"] for entry in desk.entries("commit.recorded")[seen:]] == new
    assert len(new) == 2 and desk.entries("ref.updated") == []


def test_a_merge_with_a_conflict(desk: Desk) -> None:
    """Its paths are those that differ from every parent; its patch-id is empty."""
    desk.git("checkout", "-q", "-b", "side")
    side = desk.commit("side", {"README": "side\n", "clean": "c\n"})
    desk.git("checkout", "-q", "main")
    main = desk.commit("main", {"README": "main\n"})
    desk.sandbox.git("merge", "-q", "side", cwd=desk.path, check=False)
    seq = patch(desk, "c1", README="both\n")
    desk.git("add", "README")
    entry = desk.of_commit(desk.commit("merged"))
    assert entry.body["parents"] == [main, side] and entry.body["patch_id"] == ""
    assert [(item["path"], item["link"], item["calls"]) for item in entry.body["paths"]] == [("README", "exact", [seq])]


def test_a_clean_merge_and_a_fast_forward(desk: Desk) -> None:
    """Both fire post-merge: one made a commit here, the other only moved HEAD to what was made elsewhere."""
    desk.git("checkout", "-q", "-b", "side")
    side = desk.commit_unseen("side", {"a": "1\n"})
    desk.git("checkout", "-q", "main")
    desk.tell(desk.prompt("look"))
    seen = len(desk.entries("commit.recorded"))
    old = desk.git("rev-parse", "HEAD")
    desk.git("merge", "-q", "--ff-only", "side")
    moved = desk.one("ref.updated")
    assert moved.body == {"ref": "HEAD", "old": old, "new": side, "how": "merge"}
    assert len(desk.entries("commit.recorded")) == seen
    desk.git("checkout", "-q", "-b", "more", "HEAD~1")
    more = desk.commit("more", {"b": "1\n"})
    desk.git("merge", "-q", "--no-edit", "side")
    entry = desk.of_commit(desk.git("rev-parse", "HEAD"))
    assert entry.body["parents"] == [more, side] and entry.body["paths"] == []
    desk.check()


def test_fetched_commits_are_not_made_here(desk: Desk, sandbox: Sandbox) -> None:
    """A pull moves HEAD; the commits are somebody else's."""
    sandbox.git("clone", "-q", str(desk.path), "theirs", cwd=sandbox.root)
    theirs = sandbox.root / "theirs"
    new = sandbox.commit(theirs, "theirs", {"t": "1\n"})
    desk.git("remote", "add", "origin", str(theirs))
    desk.tell(desk.before("c1"))
    desk.git("pull", "-q", "--ff-only", "origin", "main")
    desk.tell(desk.after("c1"))
    assert desk.entries("commit.recorded") == []
    assert desk.one("ref.updated").body["new"] == new


def test_a_squash_merge_records_nothing_until_it_is_committed(desk: Desk) -> None:
    """post-merge fires for `--squash` as well, and HEAD is as it was."""
    desk.git("checkout", "-q", "-b", "side")
    desk.commit_unseen("side", {"a": "1\n"})
    desk.git("checkout", "-q", "main")
    desk.tell(desk.prompt("look"))
    seen = len(desk.entries("commit.recorded"))
    desk.git("merge", "-q", "--squash", "side")
    assert len(desk.entries("commit.recorded")) == seen
    oid = desk.commit("squashed")
    assert desk.links(oid) == {"a": "none"}


def test_cherry_pick_revert_and_am(desk: Desk, sandbox: Sandbox) -> None:
    """Each makes commits here, with hooks or without."""
    desk.git("checkout", "-q", "-b", "side")
    picked = desk.commit_unseen("side", {"a": "1\n"})
    mail = desk.git("format-patch", "-1", "--stdout") + "\n"
    desk.git("checkout", "-q", "main")
    desk.commit_unseen("another parent, so another id, for what is picked", {"b": "1\n"})
    desk.tell(desk.prompt("look"))
    seen = len(desk.entries("commit.recorded"))
    made = []
    for command in (["cherry-pick", picked], ["revert", "--no-edit", "HEAD"], ["am", "-q"]):
        sandbox.git(*command, cwd=desk.path, input=mail)
        made.append(desk.git("rev-parse", "HEAD"))
        desk.tell(desk.prompt(f"after {command[0]}"))
    for command in (["revert", "--no-edit", "HEAD"], ["cherry-pick", picked]):
        desk.git("-c", "core.hooksPath=/dev/null", *command)
        made.append(desk.git("rev-parse", "HEAD"))
        desk.tell(desk.prompt(f"after {command[0]} unseen"))
    entries = desk.entries("commit.recorded")[seen:]
    assert [entry.body["oid"] for entry in entries] == made
    assert [entry.body["via"] for entry in entries] == ["hook", "hook", "reflog", "reflog", "reflog"]
    desk.check()


def test_a_reset_is_a_move(desk: Desk) -> None:
    """HEAD went back: from where, to where, and how."""
    old = desk.git("rev-parse", "HEAD")
    new = desk.commit("second", {"a": "1\n"})
    desk.git("reset", "-q", "--hard", old)
    desk.tell(desk.stop())
    assert desk.one("ref.updated").body == {"ref": "HEAD", "old": new, "new": old, "how": "reset"}


def test_a_checkout_is_no_fact(desk: Desk) -> None:
    """Looking at another branch changes nothing that was recorded."""
    desk.git("checkout", "-q", "-b", "side")
    desk.commit_unseen("side", {"a": "1\n"})
    desk.tell(desk.prompt("look"))
    before = len(desk.records())
    desk.git("checkout", "-q", "main")
    desk.tell(desk.prompt("look again"))
    assert desk.kinds(before) == ["prompt.submitted"]


def test_a_commit_of_3000_files_goes_on_in_parts(desk: Desk) -> None:
    """Every part is an entry that fits, and together they have each path once."""
    names = [f"folder-with-a-long-name/{n:04d}-" + "x" * 60 for n in range(3000)]
    (desk.path / "folder-with-a-long-name").mkdir()
    for name in names:
        (desk.path / name).write_text(name)
    desk.git("add", ".")
    oid = desk.commit("many")
    entries = [entry for entry in desk.entries("commit.recorded") if entry.body["oid"] == oid]
    assert len(entries) > 1
    assert [entry.body["part"] for entry in entries] == [[n, len(entries)] for n in range(1, len(entries) + 1)]
    assert sorted(item["path"] for entry in entries for item in entry.body["paths"]) == names
    assert {entry.body["tree"] for entry in entries} == {desk.git("rev-parse", "HEAD^{tree}")}
    desk.check()


def test_more_commits_than_one_event_takes_leave_a_gap(desk: Desk, sandbox: Sandbox) -> None:
    """The newest are recorded, and the log says how many moves were passed over."""
    desk.tell(desk.before("c1"))
    stream = "".join(
        f"commit refs/heads/main\ncommitter A <a@example.invalid> {n} +0000\ndata 1\nx\n"
        + ("from refs/heads/main^0\n" if n == 0 else "")
        for n in range(250)
    )
    head = desk.git("rev-parse", "HEAD")
    log = desk.path / ".git/logs/HEAD"
    lines, old = log.read_text(), head
    sandbox.git("fast-import", "--quiet", "--force", cwd=desk.path, input=stream)
    for oid in desk.git("rev-list", "--reverse", f"{head}..main").split():
        lines += f"{old} {oid} A <a@example.invalid> 1 +0000\tcommit: x\n"
        old = oid
    log.write_text(lines)
    desk.tell(desk.after("c1"))
    gap = desk.one("gap.noted")
    assert gap.body["reason"] == "too-many-moves" and gap.body["count"] == 50
    assert [entry.body["oid"] for entry in desk.entries("commit.recorded")] == desk.git(
        "rev-list", "--reverse", "-200", "main"
    ).split()


def test_a_commit_that_no_entry_can_hold_is_a_gap(desk: Desk, sandbox: Sandbox) -> None:
    """Plumbing makes commits with a path of two megabytes; later events are recorded as ever."""
    blob = sandbox.git("hash-object", "-w", "--stdin", cwd=desk.path, input="x")
    tree = sandbox.git("mktree", cwd=desk.path, input=f"100644 blob {blob}\t{'n' * 2_000_000}\n")
    oid = desk.git("commit-tree", tree, "-p", "HEAD", "-m", "monster")
    desk.git("update-ref", "HEAD", oid)
    desk.tell(desk.prompt("one"), desk.prompt("two"))
    gap = desk.one("gap.noted")
    assert (gap.body["reason"], gap.body["oid"]) == ("commit-not-recordable", oid)
    assert len(desk.entries("prompt.submitted")) == 2
    desk.check()


def test_trailers_are_judged(desk: Desk) -> None:
    """A head that this log had is genuine; another hash or a future entry is not; of other logs nothing is said."""
    genuine = desk.head_file.read_text().strip()
    log, _, digest = genuine.split("/")
    forged, future, foreign = f"{log}/0/{'0' * 64}", f"{log}/99/{digest}", f"{'a' * 32}/0/{digest}"
    message = "subject\n\n" + "".join(f"Ledger-Entry: {each}\n" for each in (genuine, forged, future, foreign, "nonsense"))
    trailers = desk.of_commit(desk.commit(message)).body["trailers"]
    assert trailers == [
        {"line": genuine, "genuine": True},
        {"line": forged, "genuine": False},
        {"line": future, "genuine": False},
        {"line": foreign},
        {"line": "nonsense"},
    ]


def test_what_happens_while_recording_is_paused_has_no_entry(desk: Desk, sandbox: Sandbox) -> None:
    """Not then, and not afterwards, in no work tree; what comes after the pause has."""
    tree = sandbox.root / "tree"
    desk.git("worktree", "add", "-q", str(tree), "-b", "side")
    desk.tell(desk.before("c1"), {**desk.prompt("there"), "cwd": str(tree)})
    cli = [desk.argv()[0], "-m", "ledger", "-C", str(desk.path), "--state", str(desk.state)]
    assert sandbox.run(*cli, "pause", cwd=desk.path).returncode == 0
    silent = [
        desk.commit("by hook", {"a": "1\n"}),
        desk.commit_unseen("unseen", {"a": "2\n"}),
        sandbox.commit(tree, "there", {"b": "1\n"}),
    ]
    desk.tell(desk.prompt("secret"), desk.after("c1"))
    assert sandbox.run(*cli, "resume", cwd=desk.path).returncode == 0
    desk.tell(desk.prompt("public"), {**desk.prompt("there too"), "cwd": str(tree)})
    loud = [desk.commit("by hook", {"a": "3\n"}), sandbox.commit(tree, "there", {"b": "2\n"})]
    recorded = [entry.body["oid"] for entry in desk.entries("commit.recorded")]
    assert recorded == loud and not set(silent) & set(recorded)
    assert b"secret" not in b"".join(path.read_bytes() for path in desk.journal.parent.iterdir())
    kinds = [kind for kind in desk.kinds() if kind.startswith("recording.")]
    assert kinds == ["recording.paused", "recording.resumed"]
    desk.check()


def test_commits_made_by_plumbing_are_seen(desk: Desk) -> None:
    """`commit-tree` and `update-ref` fire no hook and say nothing in the reflog; HEAD moved to what was not there before."""
    desk.tell(desk.before("c1"))
    oids = [desk.git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "plumbed")]
    oids.append(desk.git("commit-tree", "HEAD^{tree}", "-p", oids[0], "-m", "plumbed again"))
    desk.git("update-ref", "HEAD", oids[1])
    desk.tell(desk.after("c1"))
    assert [(entry.body["oid"], entry.call) for entry in desk.entries("commit.recorded")] == [(oid, "c1") for oid in oids]
    assert desk.entries("ref.updated") == []
    desk.check()


@pytest.mark.parametrize("action", ["checkout", "reset", "pull", "rebase", "rebase (pick)"])
def test_a_commit_that_the_reflog_calls_something_else_is_found(desk: Desk, action: str) -> None:
    """GIT_REFLOG_ACTION hides no commit that was made here since we last looked."""
    desk.tell(desk.prompt("go"))
    (desk.path / "a.txt").write_text("a\n")
    desk.git("add", "a.txt")
    desk.git("-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "hidden", GIT_REFLOG_ACTION=action)
    oid = desk.git("rev-parse", "HEAD")
    desk.tell(desk.prompt("go on"))
    assert desk.of_commit(oid).body["via"] == "reflog"
    desk.check()


def test_switching_to_an_older_branch_records_nothing(desk: Desk) -> None:
    """What was committed before we last looked is not taken for something new."""
    desk.git("checkout", "-q", "-b", "side")
    desk.git(
        "-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m", "old", GIT_COMMITTER_DATE="2020-01-01T00:00:00Z"
    )
    old = desk.git("rev-parse", "HEAD")
    desk.git("checkout", "-q", "-")
    desk.tell(desk.stop())
    recorded = [entry.body["oid"] for entry in desk.entries("commit.recorded")]
    desk.git("checkout", "-q", "side")
    desk.tell(desk.stop())
    assert [entry.body["oid"] for entry in desk.entries("commit.recorded")] == recorded
    assert old == desk.git("rev-parse", "HEAD")


def test_a_rebase_that_never_ends_hides_nothing(desk: Desk) -> None:
    """A folder that looks like a rebase holds commits back until the turn ends, and no longer."""
    desk.tell(desk.prompt("go"))
    (desk.path / ".git" / "rebase-merge").mkdir()
    oid = desk.commit("held back", {"a.txt": "a\n"})
    desk.tell(desk.prompt("go on"))
    assert not desk.entries("commit.recorded")
    desk.tell(desk.stop())
    assert desk.of_commit(oid).body["via"] == "reflog"
