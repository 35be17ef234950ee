"""Git hooks go beside those that are there, and come out again without a trace."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from conftest_install import TRAILER, snapshot, touched, write_script

from ledger.errors import Refused
from ledger.install import githooks
from ledger.install import manifest as manifests
from ledger.repo.gitdir import find_repository
from ledger.repo.hookcheck import hooks_in_place

OURS = ("prepare-commit-msg", "commit-msg", "post-commit", "post-merge", "post-rewrite", "pre-push")


def in_place(bench, repo):
    """Ask the recorder's quick check, with the manifest as it lies on the disk."""
    where = find_repository(str(repo))
    path = manifests.manifest_path(bench.state, where.common_dir)
    return hooks_in_place(json.loads(open(path, "rb").read()), where.common_dir, where.work_tree)


def states(bench, repo):
    """Return how each hook is, as `doctor` would say."""
    where = find_repository(str(repo))
    found = githooks.check_githooks(where, manifests.read_manifest(bench.state, where.common_dir))
    return {hook.hook: hook.state for hook in found}


@pytest.fixture
def repo(bench):
    """A repository with one commit."""
    return bench.sandbox.make_repo("a repo", commit=True)


def commit(bench, repo, message="subject", **env):
    """Commit, and return git's exit status and the log of what hooks wrote to $SEEN."""
    seen = bench.sandbox.home / "seen"
    done = bench.sandbox.run("git", "commit", "-q", "--allow-empty", "-m", message, cwd=repo, SEEN=str(seen), **env)
    return done.returncode, seen.read_text() if seen.exists() else ""


def test_a_fresh_repository_gets_the_stubs_and_gives_them_back(bench, repo):
    """Samples stay, nothing else changes, and `deinit` leaves every file and mode as it was."""
    before = touched(repo)
    bench.install(repo)
    added = {os.path.basename(path) for path in set(touched(repo)) - set(before)}
    assert added == set(OURS)
    assert in_place(bench, repo)
    assert set(states(bench, repo).values()) == {"installed"}
    removed = bench.remove(repo)
    assert touched(repo) == before
    assert not removed.left and not removed.edited


def test_installing_twice_changes_nothing(bench, repo):
    """The second time there is nothing to write: not a byte, not an inode."""
    write_script(repo / ".git/hooks/commit-msg", "exit 0")
    bench.install(repo, ("codex", "claude-code"))
    first = touched(repo, bench.sandbox.state)
    inodes = [path.stat().st_ino for path in sorted((repo / ".git").rglob("*"))]
    again = bench.install(repo, ("codex", "claude-code"))
    assert again.changed == ()
    assert touched(repo, bench.sandbox.state) == first
    assert [path.stat().st_ino for path in sorted((repo / ".git").rglob("*"))] == inodes


def test_another_interpreter_updates_the_stubs(bench, repo):
    """After an upgrade `init` bakes in the new interpreter everywhere, and still nothing of the old one is left at the end."""
    before = touched(repo)
    bench.install(repo, ("codex",))
    other = write_script(bench.sandbox.home / "other" / "python", f'echo other "$*" >>"{bench.calls}"; cat >/dev/null')
    bench._replace(python=other).install(repo, ("codex",))
    commit(bench, repo)
    assert bench.recorded()[-1].startswith("other -I -m ledger.hook")
    text = (repo / ".codex/hooks.json").read_text()
    assert str(other) in text
    assert "it's" not in text and text.count("ledger.hook") == 12
    bench.remove(repo)
    assert touched(repo) == before


def test_a_hook_that_was_there_runs_first_and_decides(bench, repo):
    """Its arguments, its name and its exit status are what they were; when it says no, there is no commit."""
    write_script(repo / ".git/hooks/prepare-commit-msg", 'echo "prepare $(basename "$0") $2" >>"$SEEN"')
    write_script(repo / ".git/hooks/commit-msg", 'echo "check $(basename "$0") $(cat "$1")" >>"$SEEN"; exit ${REFUSE:-0}')
    write_script(repo / ".git/hooks/post-commit", 'echo "post $(dirname "$0")" >>"$SEEN"', "/usr/bin/env bash")
    before = touched(repo)
    bench.install(repo)
    assert commit(bench, repo, REFUSE="3")[0] == 1
    assert bench.recorded() == []
    (bench.sandbox.home / "seen").unlink()
    status, seen = commit(bench, repo)
    assert status == 0
    assert seen.splitlines() == ["prepare prepare-commit-msg message", "check commit-msg subject", "post .git/hooks"]
    assert bench.sandbox.git("log", "-1", "--format=%B", cwd=repo).strip() == "subject"
    bench.write_head(repo)
    commit(bench, repo)
    assert TRAILER in bench.sandbox.git("log", "-1", "--format=%B", cwd=repo)
    bench.remove(repo)
    assert touched(repo) == before


@pytest.mark.parametrize("interpreter", ["/usr/bin/env python3", "/bin/sh -e"])
def test_hooks_in_other_languages_and_with_options_run(bench, repo, interpreter):
    """A Python hook is started as it is, a shell with options gets them."""
    if "python" in interpreter:
        body = "import os, sys\nopen(os.environ['SEEN'], 'a').write(open(sys.argv[1]).read())\nsys.exit(1)"
    else:
        body = 'cat "$1" >>"$SEEN"\nfalse\necho never >>"$SEEN"'
    write_script(repo / ".git/hooks/commit-msg", body, interpreter)
    bench.install(repo)
    assert commit(bench, repo) == (1, "subject\n")


def test_the_rewritten_list_reaches_both_readers(bench, repo):
    """post-rewrite's input is read by the hook that was there and by the recorder."""
    write_script(repo / ".git/hooks/post-rewrite", 'echo "$1" >>"$SEEN"; cat >>"$SEEN"')
    bench.install(repo)
    commit(bench, repo)
    seen = bench.sandbox.home / "seen"
    bench.sandbox.git("commit", "-q", "--amend", "--allow-empty", "-m", "new", cwd=repo, SEEN=str(seen))
    assert seen.read_text().splitlines() == ["amend", bench.recorded()[-1]]
    assert len(bench.recorded()[-1].split()) == 2


def test_a_hook_that_is_not_executable_stays_silent(bench, repo):
    """git ignores such a hook, and so do we; its mode comes back."""
    path = write_script(repo / ".git/hooks/commit-msg", 'echo ran >>"$SEEN"; exit 1')
    path.chmod(0o644)
    before = touched(repo)
    bench.install(repo)
    assert commit(bench, repo) == (0, "")
    bench.remove(repo)
    assert touched(repo) == before


def test_a_hook_that_is_a_link_is_renamed_not_written(bench, repo):
    """A link into the work tree stays a link, its target untouched."""
    target = write_script(repo / "tools/check", 'echo linked >>"$SEEN"')
    (repo / ".git/hooks/commit-msg").symlink_to("../../tools/check")
    before = touched(repo, repo / "tools")
    bench.install(repo)
    assert commit(bench, repo) == (0, "linked\n")
    assert target.read_bytes() == before[str(target)][1]
    bench.remove(repo)
    assert touched(repo, repo / "tools") == before


def test_a_folder_in_the_work_tree_is_used_and_hidden(bench, repo):
    """core.hooksPath inside, not tracked: in place, and `git status` shows nothing of ours."""
    write_script(repo / "my hooks/commit-msg", 'echo inside >>"$SEEN"')
    bench.sandbox.git("config", "core.hooksPath", "my hooks", cwd=repo)
    (repo / ".git/info/exclude").write_text("*.log")
    before = touched(repo, repo / "my hooks")
    bench.install(repo)
    assert bench.sandbox.git("status", "--porcelain", cwd=repo) == ""
    bench.write_head(repo)
    assert commit(bench, repo) == (0, "inside\n")
    assert TRAILER in bench.sandbox.git("log", "-1", "--format=%B", cwd=repo)
    assert in_place(bench, repo) and len(bench.recorded()) == 1
    bench.remove(repo)
    assert touched(repo, repo / "my hooks") == before


def test_an_ignored_folder_needs_no_exclude_lines(bench, repo):
    """As husky's: ignored by itself, so info/exclude stays as it is."""
    write_script(repo / ".husky/_/commit-msg", '. "$(dirname "$0")/h"', "/usr/bin/env sh")
    (repo / ".husky/_/h").write_text('echo "h for $(basename "$0")" >>"$SEEN"\n')
    (repo / ".husky/_/.gitignore").write_text("*\n")
    bench.sandbox.git("config", "core.hooksPath", ".husky/_", cwd=repo)
    before = touched(repo, repo / ".husky")
    bench.install(repo)
    assert touched(repo)[str(repo / ".git/info/exclude")] == before[str(repo / ".git/info/exclude")]
    assert commit(bench, repo) == (0, "h for commit-msg\n")
    bench.remove(repo)
    assert touched(repo, repo / ".husky") == before


def test_tracked_hooks_are_not_written_to(bench, repo):
    """A folder that git tracks is shared: ours chain to it from a folder of our own, and core.hooksPath comes back."""
    write_script(repo / "githooks/commit-msg", 'echo "tracked $0" >>"$SEEN"; exit ${REFUSE:-0}')
    write_script(repo / "githooks/pre-commit", 'echo pre >>"$SEEN"')
    bench.sandbox.git("add", ".", cwd=repo)
    bench.sandbox.git("commit", "-q", "-m", "hooks", cwd=repo)
    bench.sandbox.git("config", "core.hooksPath", "githooks", cwd=repo)
    before = touched(repo, repo / "githooks")
    done = bench.install(repo)
    assert "tracked" in done.notes[0]
    assert snapshot(repo / "githooks").items() <= before.items()
    assert commit(bench, repo) == (0, "pre\ntracked ./githooks/commit-msg\n")
    assert commit(bench, repo, REFUSE="1")[0] == 1
    assert in_place(bench, repo) and set(states(bench, repo).values()) == {"installed"}
    assert bench.install(repo).changed == ()
    worktree = bench.sandbox.root / "other"
    bench.sandbox.git("worktree", "add", "-q", str(worktree), cwd=repo)
    (worktree / "githooks/pre-commit").write_text('#!/bin/sh\necho "other tree" >>"$SEEN"\n')
    (bench.sandbox.home / "seen").unlink()
    assert commit(bench, worktree)[1].startswith("other tree\n")
    bench.remove(repo)
    assert touched(repo, repo / "githooks") == before


def test_hooks_outside_the_repository_are_not_written_to(bench, repo):
    """A global core.hooksPath serves other repositories: its hooks run first, from a folder of our own."""
    shared = bench.sandbox.home / "it's shared"
    write_script(shared / "pre-push", 'echo "push $1" >>"$SEEN"; cat >>"$SEEN"')
    write_script(shared / "reference-transaction", 'echo "ref $1" >>"$SEEN"')
    bench.sandbox.git("config", "--global", "core.hooksPath", "~/it's shared", cwd=repo)
    before = touched(repo, shared)
    bench.install(repo)
    assert "ref committed" in commit(bench, repo)[1]
    remote = bench.sandbox.make_repo("remote.git", "--bare")
    seen = bench.sandbox.home / "seen"
    bench.sandbox.git("push", "-q", str(remote), "main", cwd=repo, SEEN=str(seen))
    assert f"push {remote}" in seen.read_text() and "refs/heads/main" in seen.read_text()
    first, second, pushed = bench.recorded()
    assert first.endswith("git post-commit") and second.endswith(f"sync --at-push -- {remote}")
    assert pushed.startswith("refs/heads/main "), "our hook gets the list of refs as well"
    bench.remove(repo)
    assert touched(repo, shared) == before


def test_a_config_that_changed_since_loses_only_our_line(bench, repo):
    """Other settings made after `init` stay; core.hooksPath goes back to what it was."""
    outside = bench.sandbox.home / "outside"
    outside.mkdir()
    bench.sandbox.git("config", "core.hooksPath", str(outside), cwd=repo)
    bench.install(repo)
    bench.sandbox.git("config", "branch.main.remote", "origin", cwd=repo)
    removed = bench.remove(repo)
    assert str(repo / ".git/config") in removed.edited
    assert bench.sandbox.git("config", "core.hooksPath", cwd=repo) == str(outside)
    assert bench.sandbox.git("config", "branch.main.remote", cwd=repo) == "origin"


def test_work_trees_share_the_hooks(bench, repo):
    """`init` from a linked work tree serves them all."""
    before = touched(repo)
    tree = bench.sandbox.root / "linked tree"
    bench.sandbox.git("worktree", "add", "-q", "-b", "linked", str(tree), cwd=repo)
    bench.install(tree)
    bench.write_head(tree)
    for place in (tree, repo):
        commit(bench, place)
        assert TRAILER in bench.sandbox.git("log", "-1", "--format=%B", cwd=place)
        assert in_place(bench, place)
    assert len(bench.recorded()) == 2
    bench.remove(repo)
    assert touched(repo) == before


def test_a_moved_clone_keeps_its_hooks(bench, repo):
    """Stubs name their neighbours from where they are, so nothing is lost when the folder moves."""
    write_script(repo / ".git/hooks/commit-msg", 'echo still >>"$SEEN"')
    bench.install(repo)
    bench.write_head(repo)
    moved = repo.rename(bench.sandbox.root / "moved away")
    assert commit(bench, moved) == (0, "still\n")
    assert TRAILER in bench.sandbox.git("log", "-1", "--format=%B", cwd=moved)


@pytest.mark.parametrize("options", [(), ("--object-format=sha256",)])
def test_a_repository_without_commits_works(bench, options):
    """The very first commit is recorded, in SHA-256 repositories too."""
    repo = bench.sandbox.make_repo("new", *options)
    bench.install(repo)
    bench.write_head(repo)
    commit(bench, repo)
    assert TRAILER in bench.sandbox.git("log", "-1", "--format=%B", cwd=repo)
    assert len(bench.recorded()) == 1


def test_submodules_have_hooks_of_their_own(bench, repo):
    """A submodule's hooks lie in its own git folder."""
    outer = bench.sandbox.make_repo("outer", commit=True)
    bench.sandbox.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repo), "sub", cwd=outer)
    bench.install(outer / "sub")
    commit(bench, outer / "sub")
    commit(bench, outer)
    assert len(bench.recorded()) == 1
    assert (outer / ".git/modules/sub/hooks/post-commit").exists()


def test_a_template_without_hooks_or_info_leaves_no_folders(bench):
    """Folders that were not there are made, and removed again."""
    repo = bench.sandbox.make_repo("bare bones", "--template=")
    assert not (repo / ".git/hooks").exists()
    before = touched(repo)
    bench.install(repo, ("codex",))
    assert (repo / ".git/hooks/post-commit").exists()
    bench.remove(repo)
    assert touched(repo) == before


def test_bare_repositories_are_refused(bench):
    """There is nothing to record where no agent works, and the message says where to go."""
    bare = bench.sandbox.make_repo("bare.git", "--bare")
    with pytest.raises(Refused, match="bare repository"):
        bench.install(bare)


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_text("#!/bin/sh\nexit 0\n"), "replaced"),
        (lambda path: path.write_bytes(path.read_bytes() + b"exit 0\n"), "replaced"),
        (lambda path: path.chmod(0o644), "not executable"),
    ],
)
def test_a_hook_that_went_is_noticed(bench, repo, change, state):
    """The recorder's quick check and the doctor's long one agree, and `init` mends it."""
    bench.install(repo)
    change(repo / ".git/hooks/post-commit")
    assert not in_place(bench, repo)
    assert states(bench, repo)["post-commit"] == state
    bench.install(repo)
    assert in_place(bench, repo)


def test_a_hooks_path_taken_over_is_noticed(bench, repo):
    """As husky does: our files are still there, and git no longer runs them. `init` follows to the new folder."""
    bench.install(repo)
    (repo / ".husky/_").mkdir(parents=True)
    (repo / ".husky/_/.gitignore").write_text("*\n")
    before = snapshot(repo / ".husky")
    bench.sandbox.git("config", "core.hooksPath", ".husky/_", cwd=repo)
    assert not in_place(bench, repo)
    assert set(states(bench, repo).values()) == {"bypassed"}
    bench.install(repo)
    assert in_place(bench, repo) and set(states(bench, repo).values()) == {"installed"}
    bench.remove(repo)
    assert snapshot(repo / ".husky") == before
    assert {path.name for path in (repo / ".git/hooks").iterdir()} & set(OURS) == set()


def test_deinit_after_half_an_init_cleans_up(bench, repo, monkeypatch):
    """Killed after the manifest and some of the stubs, `init` leaves nothing that `deinit` does not find."""
    write_script(repo / ".git/hooks/commit-msg", "exit 0")
    before = touched(repo)
    for survivors in range(5):
        real = githooks.install_stub

        def dies(stub, real=real, left=[None] * survivors):
            if not left:
                raise KeyboardInterrupt
            left.pop()
            real(stub)

        with monkeypatch.context() as patch:
            patch.setattr(githooks, "install_stub", dies)
            with pytest.raises(KeyboardInterrupt):
                bench.install(repo, ("codex",))
        bench.remove(repo)
        assert touched(repo) == before


def test_a_manager_that_put_its_own_hook_over_ours_keeps_it(bench, repo):
    """lefthook renames a hook to X.old and forgets it: `deinit` takes our stub away and puts the user's hook there."""
    write_script(repo / ".git/hooks/commit-msg", "echo the user's own")
    user = (repo / ".git/hooks/commit-msg").read_bytes()
    bench.install(repo)
    hooks = repo / ".git/hooks"
    (hooks / "commit-msg").rename(hooks / "commit-msg.old")
    write_script(hooks / "commit-msg", "call_lefthook")
    assert states(bench, repo)["commit-msg"] == "replaced"
    bench.remove(repo)
    assert "call_lefthook" in (hooks / "commit-msg").read_text()
    assert (hooks / "commit-msg.old").read_bytes() == user
    assert not list(hooks.glob("*.ledger-chained"))


def test_hooks_of_a_copied_clone_are_still_ours(bench, repo):
    """A copied folder brings our stubs along without a manifest: `init` adopts them, and nothing is chained to itself."""
    bench.install(repo)
    copy = bench.sandbox.root / "copy"
    shutil.copytree(repo, copy, symlinks=True)
    assert bench.install(copy).notes == ()
    assert not list((copy / ".git/hooks").glob("*.ledger-chained"))
    bench.remove(copy)
    assert {path.name for path in (copy / ".git/hooks").iterdir()} & set(OURS) == set()
