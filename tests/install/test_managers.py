"""Real hook managers, in every order: theirs run and decide, ours record, and `deinit` leaves theirs as they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest_install import TRAILER, snapshot, write_script

from ledger.install import manifest as manifests
from ledger.repo.gitdir import find_repository
from ledger.repo.hookcheck import hooks_in_place

pytestmark = pytest.mark.managers
CHECK = 'echo checked >>"$SEEN"\nif grep -q bad "$1"; then exit 1; fi'


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory):
    """husky and lefthook from npm, in a folder of their own."""
    folder = tmp_path_factory.mktemp("node")
    env = {**os.environ, "HOME": str(folder), "npm_config_cache": str(folder / "cache"), "CI": "1"}
    subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), "husky@9", "lefthook@2"],
        env=env,
        cwd=folder,
        check=True,
        timeout=300,
    )
    return folder / "node_modules"


@pytest.fixture(scope="session")
def pre_commit(tmp_path_factory):
    """pre-commit from PyPI, in a virtual environment of its own."""
    folder = tmp_path_factory.mktemp("pre-commit")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    subprocess.run([str(folder / "bin/pip"), "install", "--quiet", "pre-commit>=4"], check=True, timeout=300)
    return folder / "bin/pre-commit"


@pytest.fixture
def repo(bench):
    """A repository with one commit, and a script that says no to bad messages."""
    path = bench.sandbox.make_repo("a repo", commit=True)
    write_script(path / "tools/check", CHECK)
    return path


@pytest.fixture(params=["husky", "lefthook", "pre-commit"])
def manager(request, bench, repo):
    """A hook manager with a commit-msg check, as a function that installs (or installs again) its hooks."""

    def run(*command):
        done = bench.sandbox.run(*command, cwd=repo, CI="")
        assert done.returncode == 0, done.stdout + done.stderr

    if request.param == "husky":
        modules = request.getfixturevalue("node_modules")
        write_script(repo / ".husky/commit-msg", 'sh tools/check "$1"')
        (repo / ".gitignore").write_text("node_modules\n")
        (repo / "node_modules").symlink_to(modules)
        command = [modules / ".bin/husky"]
    elif request.param == "lefthook":
        modules = request.getfixturevalue("node_modules")
        (repo / "lefthook.yml").write_text("commit-msg:\n  commands:\n    check:\n      run: sh tools/check {1}\n")
        (repo / ".gitignore").write_text("node_modules\n")
        (repo / "node_modules").symlink_to(modules)
        command = [modules / ".bin/lefthook", "install", "--force"]
    else:
        program = request.getfixturevalue("pre_commit")
        hook = {"id": "check", "name": "check", "language": "system", "entry": "sh tools/check", "stages": ["commit-msg"]}
        (repo / ".pre-commit-config.yaml").write_text(json.dumps({"repos": [{"repo": "local", "hooks": [hook]}]}))
        types = ("commit-msg", "prepare-commit-msg", "post-commit", "post-rewrite")
        command = [program, "install", *(f"--hook-type={name}" for name in types)]
    bench.sandbox.git("add", "-A", cwd=repo)
    bench.sandbox.git("commit", "-q", "-m", "set up", cwd=repo)
    run_manager = lambda: run(*command)  # noqa: E731 - a name for the reader
    run_manager.name = request.param
    return run_manager


def assert_all_work(bench, repo):
    """A good message is checked, committed, recorded and bears the trailer; a bad one is refused by the manager's check."""
    seen = bench.sandbox.home / "seen"
    for path in (seen, bench.calls):
        path.unlink(missing_ok=True)
    bench.write_head(repo)
    done = bench.sandbox.run("git", "commit", "--allow-empty", "-m", "good", cwd=repo, SEEN=str(seen))
    assert done.returncode == 0, done.stdout + done.stderr
    assert seen.read_text() == "checked\n", done.stderr
    assert bench.sandbox.git("log", "-1", "--format=%B", cwd=repo).strip() == f"good\n\n{TRAILER}"
    assert [line.split()[-1] for line in bench.recorded()] == ["post-commit"]
    done = bench.sandbox.run("git", "commit", "--allow-empty", "-m", "bad", cwd=repo, SEEN=str(seen))
    assert done.returncode == 1
    assert bench.sandbox.git("log", "-1", "--format=%s", cwd=repo) == "good"
    assert in_place(bench, repo)


def in_place(bench, repo):
    """Ask the recorder's quick check."""
    where = find_repository(str(repo))
    path = manifests.manifest_path(bench.state, where.common_dir)
    return hooks_in_place(json.loads(open(path, "rb").read()), where.common_dir, where.work_tree)


def hooks_of(repo):
    """Return everything where hooks may lie, and what git is told of it."""
    return snapshot(repo / ".git/hooks", repo / ".husky", repo / ".git/config", repo / ".git/info/exclude")


def test_the_manager_first(bench, repo, manager):
    """The usual order: `init` in a repository that has a manager already."""
    manager()
    before = hooks_of(repo)
    bench.install(repo)
    assert_all_work(bench, repo)
    assert bench.sandbox.git("status", "--porcelain", cwd=repo) == ""
    bench.remove(repo)
    assert hooks_of(repo) == before


def test_the_manager_afterwards(bench, repo, manager):
    """Where the manager took the hooks away, that is noticed and a second `init` gets them back; pre-commit keeps ours."""
    bench.install(repo)
    manager()
    assert in_place(bench, repo) is (manager.name == "pre-commit")
    bench.install(repo)
    assert_all_work(bench, repo)
    bench.remove(repo)
    left = {str(path) for path in (repo / ".git/hooks").iterdir() if b"git-ledger" in path.read_bytes()}
    assert left == set()
    bench.calls.unlink()
    done = bench.sandbox.run("git", "commit", "--allow-empty", "-m", "bad", cwd=repo, SEEN="/dev/null")
    assert done.returncode == 1
    done = bench.sandbox.run("git", "commit", "--allow-empty", "-m", "fine", cwd=repo, SEEN="/dev/null")
    assert done.returncode == 0, done.stderr
    assert bench.recorded() == []


def test_the_manager_installed_again(bench, repo, manager):
    """Managers install themselves again and again (`npm install` does it): one `init` later all is well, every time."""
    manager()
    bench.install(repo)
    for _ in range(2):
        manager()
        bench.install(repo)
        assert_all_work(bench, repo)
    bench.remove(repo)
    done = bench.sandbox.run("git", "commit", "--allow-empty", "-m", "fine", cwd=repo, SEEN="/dev/null")
    assert done.returncode == 0, done.stderr
    assert not [path for path in (repo / ".git/hooks").iterdir() if "ledger" in path.name or b"git-ledger" in path.read_bytes()]
