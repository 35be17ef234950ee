"""Which log an event goes to, in every shape of repository; and that others are left alone."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from desk import Desk, Sandbox, tree_of

from ledger.recorder import begin_log
from ledger.repo.gitdir import find_repository
from ledger.store.state import read_clone


def test_outside_a_repository_nothing_happens(sandbox: Sandbox, desk: Desk) -> None:
    """A hook installed for all of a user's work is silent where there is no repository."""
    before = tree_of(sandbox.state)
    place = sandbox.root / "plain"
    place.mkdir()
    stray = {**desk.prompt("hello"), "cwd": str(place)}
    desk.tell(stray, desk.prompt("x", cwd=None), {"hook_event_name": 5}, b"garbage", cwd=place)
    assert tree_of(sandbox.state) == before


def test_a_repository_without_a_ledger_is_left_alone(sandbox: Sandbox, desk: Desk) -> None:
    """Nothing is written for it, neither here nor there, whatever is said."""
    other = sandbox.make_repo("other", commit=True)
    before, there = tree_of(sandbox.state), tree_of(other)
    stray = {**desk.prompt("hello"), "cwd": str(other)}
    desk.tell(stray, b"garbage", cwd=other)
    assert desk.hook(b"", "git", "post-commit", cwd=other).stderr == b""
    assert (tree_of(sandbox.state), tree_of(other)) == (before, there)


def test_without_a_state_folder_nothing_is_made(sandbox: Sandbox) -> None:
    """Before any `init`, a hook makes no folder."""
    desk = Desk(sandbox, sandbox.make_repo(commit=True))
    desk.tell(desk.prompt("hello"))
    assert not sandbox.state.exists()


def test_the_state_folder_is_the_users_where_none_is_named(sandbox: Sandbox, desk: Desk) -> None:
    """Without --state it is resolved as every command does."""
    argv = [word for word in desk.argv("codex") if word not in ("--state", str(desk.state))]
    done = subprocess.run(argv, input=json.dumps(desk.prompt("hi")).encode(), cwd=desk.path, env=sandbox.env, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert desk.kinds() == ["session.started", "prompt.submitted"]


def test_a_home_of_another_cannot_lead_an_event_away(sandbox: Sandbox, desk: Desk) -> None:
    """With --state baked in, `HOME=/tmp/x git commit` does not get away."""
    oid = desk.commit("elsewhere", {"a": "1\n"}, HOME="/nonexistent", XDG_STATE_HOME="/nonexistent")
    assert desk.of_commit(oid).body["via"] == "hook"


@pytest.mark.parametrize("shape", ["bare", "shallow", "sha256", "reftable", "unborn", "separate git dir"])
def test_every_shape_of_repository_records(sandbox: Sandbox, shape: str) -> None:
    """A session with a call and, where there is a work tree, a commit: all of it in a log that verifies."""
    if shape == "bare":
        repo = sandbox.make_repo("repo", "--bare")
    elif shape == "shallow":
        origin = sandbox.make_repo("origin", commit=True)
        sandbox.commit(origin, "second", {"a": "2\n"})
        sandbox.git("clone", "-q", "--depth=1", origin.as_uri(), "repo", cwd=sandbox.root)
        repo = sandbox.root / "repo"
    elif shape == "sha256":
        repo = sandbox.make_repo("repo", "--object-format=sha256", commit=True)
    elif shape == "reftable":
        probe = sandbox.run("git", "init", "-q", "--ref-format=reftable", "repo", cwd=sandbox.root)
        if probe.returncode:
            pytest.skip("this git cannot make reftable repositories (2.45 can)")
        repo = sandbox.root / "repo"
        sandbox.commit(repo, "first", {"README": "hello\n"})
    elif shape == "separate git dir":
        repo = sandbox.make_repo("repo", f"--separate-git-dir={sandbox.root / 'elsewhere.git'}", commit=True)
    else:
        repo = sandbox.make_repo("repo")
    desk = Desk.begin(sandbox, repo)
    before, after = desk.edit("c1", "a.txt")
    desk.tell(desk.prompt("go"), before)
    if shape != "bare":
        (repo / "a.txt").write_text("mine\n")
    desk.tell(after)
    if shape != "bare":
        oid = desk.commit("Add a", {"a.txt": "mine\n"})
        assert len(oid) == (64 if shape == "sha256" else 40)
        assert desk.links(oid) == {"a.txt": "exact"}
        assert desk.of_commit(oid).body["paths"][0]["blob"] == sandbox.git("rev-parse", "HEAD:a.txt", cwd=repo)
        unseen = desk.commit_unseen("Unseen", {"b.txt": "b\n"})
        desk.tell(desk.stop())
        assert desk.of_commit(unseen).body["via"] == "reflog"
    genesis = desk.check()[0]
    assert genesis.body["object_format"] == ("sha256" if shape == "sha256" else "sha1")
    assert len(genesis.body["roots"]) == (0 if shape in ("bare", "unborn") else 1)


def test_without_reflogs_commits_are_found_by_ancestry(desk: Desk) -> None:
    """`core.logAllRefUpdates=false` takes the reflog away, not the commits."""
    desk.git("config", "core.logAllRefUpdates", "false")
    (desk.path / ".git/logs/HEAD").unlink()
    desk.tell(desk.prompt("go"))
    oids = [desk.commit_unseen(f"number {n}", {"a": f"{n}\n"}) for n in range(3)]
    desk.tell(desk.stop())
    assert [entry.body["oid"] for entry in desk.entries("commit.recorded")] == oids
    desk.check()


def test_commits_before_the_first_event_are_seen(desk: Desk) -> None:
    """What was committed between `init` and the first event has its entry; what was there before `init` has none."""
    oid = desk.commit_unseen("early", {"a": "1\n"})
    desk.tell(desk.prompt("go"))
    assert [entry.body["oid"] for entry in desk.entries("commit.recorded")] == [oid]


def test_work_trees_share_a_log(sandbox: Sandbox, desk: Desk) -> None:
    """One clone, one log: events of both, each linked in its own work tree; what was copied over from the other is never exact."""
    tree = sandbox.root / "tree"
    desk.git("worktree", "add", "-q", str(tree), "-b", "side")
    before, after = desk.edit("c1", "README")
    desk.tell({**before, "cwd": str(tree)}, cwd=tree)
    (tree / "README").write_text("in the side tree\n")
    desk.tell({**after, "cwd": str(tree)}, cwd=tree)
    (desk.path / "README").write_text("in the side tree\n")
    desk.git("add", ".")
    main = desk.commit("main tree")
    sandbox.git("add", ".", cwd=tree)
    side = sandbox.commit(tree, "side tree")
    assert desk.links(main) == {"README": "partial"}
    assert desk.links(side) == {"README": "exact"}
    assert desk.effects(desk.one("tool.finished").seq)[0]["path"] == "README"
    assert len(list(sandbox.state.glob("logs/*"))) == 1
    desk.check()


def test_an_agent_above_the_repository_is_found_by_the_paths_it_touches(sandbox: Sandbox, desk: Desk) -> None:
    """Its cwd is no repository; its calls name files in one."""
    above = {"cwd": str(sandbox.root)}
    path = str(desk.path / "README")
    patch = {"command": f"*** Begin Patch\n*** Update File: {path}\n@@\n*** End Patch"}
    relative = {"command": "*** Begin Patch\n*** Update File: repo/README\n@@\n*** End Patch"}
    claude = {
        "tool_name": "Write",
        "tool_input": {"file_path": path, "content": "x"},
        "tool_use_id": "w",
        "hook_event_name": "PreToolUse",
    }
    desk.tell({**desk.before("c1", "apply_patch", patch), **above}, cwd=sandbox.root)
    desk.tell({**desk.before("c2", "apply_patch", relative), **above}, cwd=sandbox.root)
    desk.tell({**claude, **above, "session_id": "s"}, cwd=sandbox.root, agent="claude-code")
    desk.tell({**desk.prompt("no path, no repository"), **above}, cwd=sandbox.root)
    assert [entry.call for entry in desk.entries("tool.requested")] == ["c1", "c2", "w"]
    assert desk.entries("prompt.submitted") == []
    desk.check()


def test_an_event_without_a_readable_cwd_goes_by_the_process(sandbox: Sandbox, desk: Desk) -> None:
    """Missing, gone, or no folder at all: then the hook's own directory counts."""
    for cwd in (None, str(sandbox.root / "gone"), str(desk.path / "README" / "x"), ""):
        desk.tell(desk.prompt(f"from {cwd}", cwd=cwd), cwd=desk.path)
    assert len(desk.entries("prompt.submitted")) == 4


def test_the_events_cwd_counts_before_the_process(sandbox: Sandbox, desk: Desk) -> None:
    """An agent's hook may run anywhere."""
    desk.tell(desk.prompt("hello"), cwd=Path("/"))
    assert desk.kinds() == ["session.started", "prompt.submitted"]


@pytest.mark.parametrize("known", [False, True], ids=["without a ledger", "with a ledger of its own"])
def test_a_submodule(sandbox: Sandbox, desk: Desk, known: bool) -> None:
    """A submodule with a ledger has its own log; without one, what an agent does in it belongs to the repository around it."""
    library = sandbox.make_repo("library", commit=True)
    desk.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "inner")
    inner = desk.path / "inner"
    own = Desk.begin(sandbox, inner) if known else None
    desk.tell({**desk.prompt("hello"), "cwd": str(inner)}, cwd=inner)
    assert (len(desk.entries("prompt.submitted")), len(own.entries("prompt.submitted")) if own else 0) == (
        (0, 1) if known else (1, 0)
    )
    before = len(desk.records())
    oid = sandbox.commit(inner, "in the submodule", {"x": "1\n"})
    if own:
        assert own.of_commit(oid).body["via"] == "hook"
        own.check()
    assert len(desk.records()) == before
    desk.check()


def test_a_repository_made_inside_the_work_tree_is_no_way_out(sandbox: Sandbox, desk: Desk) -> None:
    """An agent that runs `git init` in a folder and goes there is still in the recorded work tree."""
    inner = desk.path / "inner"
    sandbox.git("init", "-q", str(inner), cwd=desk.path)
    desk.tell({**desk.before("c1"), "cwd": str(inner)}, cwd=inner)
    assert desk.one("tool.requested").call == "c1"


def test_a_moved_clone_keeps_its_log(sandbox: Sandbox, desk: Desk) -> None:
    """The clone is its inode: the map moves along, and one log goes on."""
    desk.tell(desk.prompt("before"))
    moved = Desk(sandbox, desk.path.rename(sandbox.root / "moved"))
    moved.log = desk.log
    moved.tell(moved.prompt("after"))
    assert len(list(sandbox.state.glob("logs/*"))) == 1
    assert len(moved.entries("prompt.submitted")) == 2
    clone = read_clone(str(sandbox.state), moved.repo.common_dir)
    assert clone is not None and clone.log == desk.log
    assert read_clone(str(sandbox.state), str(desk.path / ".git")) is None
    moved.check()


def successor_of(desk: Desk, path: Path) -> Desk:
    """Return the desk of the successor log that the repository at `path` has now."""
    clone = read_clone(str(desk.state), find_repository(str(path)).common_dir)
    assert clone is not None and clone.log != desk.log
    later = Desk(desk.sandbox, path)
    later.log = clone.log
    return later


def test_a_copied_clone_opens_a_successor(sandbox: Sandbox, desk: Desk) -> None:
    """Two folders must not write one log: the copy's names where it came from, and both go on."""
    begin_log(desk.repo, str(desk.state), settings={"required": True})
    desk.tell(desk.prompt("before"))
    last = desk.records()[-1]
    copy = sandbox.root / "copy"
    shutil.copytree(desk.path, copy, symlinks=True)
    desk.tell({**desk.prompt("in the copy"), "cwd": str(copy)}, cwd=copy)
    later = successor_of(desk, copy)
    genesis, *rest = later.check()
    assert genesis.body["predecessor"] == {"log": desk.log, "seq": 2, "hash": hashlib.sha256(last).hexdigest()}
    assert [entry.kind for entry in rest] == ["session.started", "prompt.submitted"]
    desk.tell(desk.prompt("in the original"))
    assert len(desk.entries("prompt.submitted")) == 2
    later.tell({**desk.prompt("again"), "cwd": str(copy)}, cwd=copy)
    assert len(later.entries("prompt.submitted")) == 2
    assert len(list(sandbox.state.glob("logs/*"))) == 2
    copied = read_clone(str(desk.state), str(copy / ".git"))
    assert copied is not None and copied.settings["required"] is True  # copying is no way out
    desk.check()


def test_a_clone_restored_in_its_place_opens_a_successor(sandbox: Sandbox, desk: Desk) -> None:
    """A backup put back has another inode; its settings are kept, for they must not weaken by a restore."""
    begin_log(desk.repo, str(desk.state), settings={"required": True})
    desk.tell(desk.prompt("before"))
    kept = sandbox.root / "backup"
    shutil.copytree(desk.path, kept, symlinks=True)
    desk.path.rename(sandbox.root / "broken")
    shutil.copytree(kept, desk.path, symlinks=True)
    desk.tell(desk.prompt("after"))
    later = successor_of(desk, desk.path)
    assert later.check()[0].body["predecessor"]["log"] == desk.log
    clone = read_clone(str(sandbox.state), later.repo.common_dir)
    assert clone is not None and clone.settings["required"] is True


def test_eight_hooks_in_a_fresh_copy_open_one_successor(sandbox: Sandbox, desk: Desk) -> None:
    """Parallel calls of an agent in a copy agree on its log."""
    copy = sandbox.root / "copy"
    shutil.copytree(desk.path, copy, symlinks=True)
    hooks = []
    for number in range(8):
        hook = subprocess.Popen(desk.argv("codex"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=copy, env=sandbox.env)
        assert hook.stdin is not None
        hook.stdin.write(json.dumps({**desk.before(f"c{number}"), "cwd": str(copy)}).encode())
        hook.stdin.close()
        hooks.append(hook)
    for hook in hooks:
        assert hook.stderr is not None
        assert hook.stderr.read() == b"" and hook.wait(60) == 0
        hook.stderr.close()
    later = successor_of(desk, copy)
    assert sorted(str(entry.call) for entry in later.entries("tool.requested")) == [f"c{n}" for n in range(8)]
    assert len(list(sandbox.state.glob("logs/*"))) == 2
    later.check()


def test_an_inode_that_is_used_again_is_no_moved_clone(sandbox: Sandbox, desk: Desk) -> None:
    """A new repository that got the inode of a removed one never had a ledger, so it has none."""
    clone = read_clone(str(desk.state), desk.repo.common_dir)
    assert clone is not None
    other = sandbox.make_repo("other", commit=True)
    inode = (other / ".git").stat().st_ino
    (map_file,) = desk.state.glob("clones/*.json")
    map_file.write_text(map_file.read_text().replace(f'"inode": {clone.inode}', f'"inode": {inode}'))
    (desk.state / f"clones/by-inode/{clone.inode}").rename(desk.state / f"clones/by-inode/{inode}")
    shutil.rmtree(desk.path)
    before = tree_of(desk.state)
    desk.tell({**desk.prompt("stranger"), "cwd": str(other)}, cwd=other)
    assert tree_of(desk.state) == before


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"v": 1}', b"\xff\x00"], ids=["empty", "torn", "array", "members", "bytes"])
def test_a_damaged_clone_map_is_said_and_kept(desk: Desk, damage: bytes) -> None:
    """The agent goes on, one line names the file and the remedy, and the file stays as it is."""
    (path,) = desk.state.glob("clones/*.json")
    good = path.read_bytes()
    path.write_bytes(damage)
    line = desk.complain(desk.prompt("hello"))
    assert str(path) in line and "ledger init" in line and "lost" in line
    assert path.read_bytes() == damage
    path.write_bytes(good)
    desk.tell(desk.prompt("again"))
    desk.check(3)
