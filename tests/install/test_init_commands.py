"""`ledger init`, `deinit` and `doctor`, as people call them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv

import pytest
from conftest_install import touched, write_script

from ledger.cli.main import run
from ledger.errors import Refused
from ledger.install import interpreter
from ledger.repo.gitdir import find_repository
from ledger.store.state import find_clone, state_inside


@pytest.fixture
def repo(sandbox, monkeypatch):
    """A repository with one commit, on a machine without agents."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return sandbox.make_repo("a repo", commit=True)


@pytest.fixture
def ledger(repo, capsys):
    """Run a command in the repository, and return its exit code and what it printed."""

    def call(*args, cwd=None):
        capsys.readouterr()
        code = run(["-C", str(cwd or repo), *args])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def as_json(result):
    """Return the JSON that a command printed, which must have succeeded."""
    code, out, err = result
    assert (code, err) == (0, "")
    return json.loads(out)


def checks(ledger):
    """Return doctor's findings that are not ok, by name, and its exit code."""
    code, out, _ = ledger("doctor", "--json")
    return {check["name"]: check for check in json.loads(out)["checks"] if check["level"] != "ok"}, code


def test_init_then_commit_then_deinit(sandbox, repo, ledger):
    """A repository is wired, its commit is recorded and bears the trailer, and everything is put back; the log stays."""
    write_script(repo / ".git/hooks/pre-commit", "exit 0")
    before = touched(repo)
    did = as_json(ledger("init", "--agents", "all", "--json"))
    assert did["created"] and did["key_storage"] == "file" and set(did["agents"]) == {"codex", "claude-code", "gemini", "opencode"}
    assert sandbox.git("status", "--porcelain", cwd=repo) == ""
    sandbox.commit(repo, "second", {"README": "more\n"})
    message = sandbox.git("log", "-1", "--format=%B", cwd=repo)
    assert f"Ledger-Entry: {did['log']}/" in message
    again = as_json(ledger("init", "--json", "--agents", "all"))
    assert again["changed"] == [] and not again["created"] and again["log"] == did["log"]
    removed = as_json(ledger("deinit", "--json"))
    assert removed["left"] == removed["edited"] == []
    assert touched(repo) == before
    assert find_clone(str(sandbox.state), str(repo / ".git")).clone.log == did["log"]
    sandbox.commit(repo, "third")
    assert sandbox.git("log", "-1", "--format=%B", cwd=repo).strip() == "third"


def test_init_speaks_to_people(ledger):
    """Without --json it says what it did, and what is left to do."""
    code, out, err = ledger("init", "--agents", "codex")
    assert (code, err) == (0, "")
    assert "Opened log" in out and "hooks.json" in out and "to do: open codex" in out
    assert "nothing needed changing" in ledger("init")[1]
    code, out, err = ledger("deinit")
    assert (code, err) == (0, "") and "Hooks are out" in out
    assert ledger("deinit")[0] == 0


def test_deinit_without_init_says_so(ledger):
    """There is nothing to take out, and the exit code says that it could not be done."""
    code, _, err = ledger("deinit")
    assert code == 3 and "no ledger" in err and "Traceback" not in err


@pytest.mark.parametrize("args", [("--agents", "emacs"), ("--scope", "world"), ("--store", "cloud")])
def test_wrong_usage_exits_2(ledger, args):
    """An unknown agent, scope or store is named, and nothing is done."""
    code, _, err = ledger("init", *args)
    assert code == 2 and args[1] in err


def test_refusals_leave_no_trace(sandbox, repo, ledger):
    """A malformed settings file stops everything before a key or a log is made."""
    (repo / ".codex").mkdir()
    (repo / ".codex/hooks.json").write_text("{")
    before = touched(repo)
    code, _, err = ledger("init")
    assert code == 1 and ".codex/hooks.json is malformed" in err and "hint:" in err
    assert touched(repo) == before
    assert not sandbox.state.exists() and not (repo / ".git/ledger").exists()


def test_places_without_a_work_tree_are_refused(sandbox, ledger):
    """Bare repositories and git folders get a plain message, and a folder that is no repository another."""
    bare = sandbox.make_repo("bare.git", "--bare")
    code, _, err = ledger("init", cwd=bare)
    assert code == 1 and "bare" in err
    assert ledger("init", cwd=sandbox.home)[0] == 3


def test_the_journal_may_rest_in_the_common_dir(repo, ledger):
    """`--store git` is for homes that do not last; the hooks know the place, and the setting is kept."""
    did = as_json(ledger("init", "--store", "git", "--agents", "none", "--json"))
    assert did["state"] == state_inside(str(repo / ".git"))
    assert did["state"] in (repo / ".git/hooks/post-commit").read_text()
    assert find_clone(did["state"], str(repo / ".git")).clone.settings["store"] == "git"
    assert as_json(ledger("init", "--agents", "none", "--json"))["changed"] == []
    assert ledger("init", "--store", "state")[0] == 1


def test_a_state_folder_in_the_work_tree_is_refused(repo, ledger):
    """The record must not lie where the agent may write."""
    code, _, err = ledger("--state", str(repo / "state"), "init")
    assert code == 1 and "inside the repository" in err
    assert not (repo / "state").exists()


def test_settings_made_before_init_count(sandbox, repo, ledger):
    """`git config ledger.trailer false` before the first `init` turns the trailer off."""
    sandbox.git("config", "ledger.trailer", "false", cwd=repo)
    ledger("init", "--agents", "none")
    sandbox.commit(repo, "second")
    assert sandbox.git("log", "-1", "--format=%B", cwd=repo).strip() == "second"
    sandbox.git("config", "ledger.required", "true", cwd=repo)
    ledger("init", "--agents", "none")
    assert find_clone(str(sandbox.state), str(repo / ".git")).clone.settings["required"] is False


def test_an_interpreter_in_the_repository_is_refused(sandbox, repo, monkeypatch):
    """An agent could rewrite it: by its own path, by its installation's, through a link, in the common dir."""
    where = find_repository(str(repo))
    inside = write_script(repo / ".venv/bin/python", f'exec {sys.executable} "$@"')
    for path in (str(inside), str(repo / ".git/python")):
        with pytest.raises(Refused, match="inside the repository"):
            interpreter.check_interpreter(where, path)
    link = sandbox.home / "python"
    link.symlink_to(inside)
    with pytest.raises(Refused, match="inside the repository"):
        interpreter.check_interpreter(where, str(link))
    monkeypatch.setattr(sys, "prefix", str(repo / ".venv"))
    with pytest.raises(Refused, match="inside the repository"):
        interpreter.check_interpreter(where, sys.executable)


def test_a_package_in_the_repository_is_refused(sandbox):
    """Nor may the package itself lie there: `init` in git-ledger's own checkout, run from it."""
    checkout = sandbox.make_repo("checkout")
    source = os.path.dirname(os.path.dirname(os.path.abspath(interpreter.__file__)))
    shutil.copytree(source, checkout / "ledger", ignore=shutil.ignore_patterns("__pycache__"))
    code = "from ledger.cli.main import main; main(['init'])"
    done = sandbox.run(sys.executable, "-c", code, cwd=checkout, PYTHONPATH=str(checkout))
    assert done.returncode == 1 and "the ledger package lies inside the repository" in done.stderr
    assert not sandbox.state.exists()


def test_an_interpreter_that_cannot_import_the_package_is_refused(sandbox, repo):
    """`python -I` is what hooks run; if that does not find the package, nothing would be recorded."""
    venv.create(sandbox.home / "empty", with_pip=False)
    with pytest.raises(Refused, match="import ledger"):
        interpreter.check_interpreter(find_repository(str(repo)), str(sandbox.home / "empty/bin/python"))


def test_the_interpreter_is_not_resolved(sandbox, monkeypatch):
    """A virtual environment's python is a link, and only by that path it is that environment's."""
    link = sandbox.home / "bin python"
    link.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(link))
    assert interpreter.find_interpreter() == str(link)


def test_the_doctor_finds_a_healthy_repository_healthy(sandbox, ledger):
    """After `init` nothing fails; Codex' trust is what is left to do, and how is said."""
    ledger("init", "--agents", "all")
    wrong, code = checks(ledger)
    assert code == 0 and set(wrong) == {"Codex trust"}
    assert "Hooks need review" in wrong["Codex trust"]["remedy"]
    code, out, _ = ledger("doctor")
    assert code == 0 and "who asked" in out and "which network rule" in out and "Claude Code" in out


def test_the_doctor_of_an_unwired_repository(ledger):
    """Without `init` it fails and says what to do, and where there is no repository it cannot look."""
    wrong, code = checks(ledger)
    assert code == 1 and "ledger init" in wrong["ledger"]["remedy"]
    assert ledger("doctor", cwd="/")[0] == 3


def test_the_doctor_says_what_is_broken(sandbox, repo, ledger):
    """Each thing that went wrong is a finding with a remedy."""
    log = as_json(ledger("init", "--agents", "all", "--json"))["log"]
    (repo / ".git/hooks/post-commit").unlink()
    (repo / ".git/ledger/no-trailer").touch()
    (repo / ".claude/settings.json").write_text('{"disableAllHooks": true}')
    (repo / ".codex/hooks.json").write_text("{}")
    key = next((sandbox.state / "keys").glob("*.key"))
    key.chmod(0o644)
    spool = sandbox.state / "spool" / log
    spool.mkdir(parents=True)
    (spool / "1.json").write_text("{}")
    code, out, _ = ledger("doctor", "--json")
    assert code == 1
    found = json.loads(out)["checks"]
    wrong = {(check["name"], check["level"], check["message"]) for check in found if check["level"] != "ok"}
    messages = " / ".join(message for _, _, message in wrong)
    for word in (
        "post-commit is missing",
        "trailers are off",
        "disableAllHooks",
        "no longer in its settings",
        "others may read",
        "wait to be",
    ):
        assert word in messages
    assert all(check["remedy"] for check in found if check["level"] == "fail")
    key.unlink()
    assert "missing or unreadable" in checks(ledger)[0]["key"]["message"]


def test_the_doctor_sees_an_interpreter_that_is_gone(sandbox, repo, ledger):
    """Hooks that name a removed virtual environment record nothing."""
    ledger("init", "--agents", "none")
    path = next((sandbox.state / "clones").glob("*.install.json"))
    path.write_text(path.read_text().replace(json.dumps(sys.executable), json.dumps(str(sandbox.home / "gone"))))
    wrong, code = checks(ledger)
    assert code == 1 and "is gone" in wrong["interpreter"]["message"]


def test_the_doctor_warns_of_two_scopes(repo, ledger):
    """Wired for the project and for the user, Codex would tell everything twice."""
    ledger("init", "--agents", "codex", "--scope", "user")
    ledger("init", "--agents", "codex")
    wrong, _ = checks(ledger)
    assert "wired twice" in wrong["Codex"]["message"]


def test_a_damaged_manifest_is_an_error_with_a_remedy(sandbox, ledger):
    """No traceback, no guess: the file is named."""
    ledger("init", "--agents", "none")
    path = next((sandbox.state / "clones").glob("*.install.json"))
    path.write_text('{"v": 1}')
    code, _, err = ledger("deinit")
    assert code == 3 and str(path) in err and "hint:" in err and "Traceback" not in err


def test_two_inits_at_once_agree(sandbox, repo):
    """Started together, they make one log and one set of hooks, and `deinit` undoes both."""
    before = touched(repo)
    code = f"from ledger.cli.main import main; main(['-C', {str(repo)!r}, 'init', '--agents', 'all'])"
    started = [
        subprocess.Popen([sys.executable, "-I", "-c", code], env=sandbox.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in started:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, b""), out
    assert len(list((sandbox.state / "logs").iterdir())) == 1
    assert run(["-C", str(repo), "deinit"]) == 0
    assert touched(repo) == before


def lay(kind, path, victim):
    """Put something else where the ledger's folder goes; `victim` is a folder with a file that a link leads to."""
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "dangling":
        path.symlink_to("/nonexistent/place")
    else:
        path.write_text("mine")


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "file"])
def test_init_follows_nothing_that_lies_where_its_folder_goes(sandbox, repo, ledger, kind):
    """It refuses before anything is made, here or where a link leads."""
    victim = sandbox.root / "victim"
    victim.mkdir()
    lay(kind, repo / ".git/ledger", victim)
    code, _, err = ledger("init", "--agents", "none")
    assert code == 1 and "move it away" in err
    assert list(victim.iterdir()) == [] and find_clone(str(sandbox.state), str(repo / ".git")).how == "unknown"
    assert not (repo / ".git/hooks/post-commit").exists()


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "file"])
def test_deinit_works_whatever_became_of_the_folder(sandbox, repo, ledger, kind):
    """The hooks go out, and nothing is removed where a link leads."""
    as_json(ledger("init", "--agents", "none", "--json"))
    (repo / ".git/ledger").rename(repo / ".git/moved")
    victim = sandbox.root / "victim"
    victim.mkdir()
    (victim / "no-trailer").write_text("mine")
    lay(kind, repo / ".git/ledger", victim)
    as_json(ledger("deinit", "--json"))
    assert not (repo / ".git/hooks/post-commit").exists() and (victim / "no-trailer").exists()


def test_the_doctor_sees_what_silences_gemini(sandbox, repo, ledger):
    """Hooks that are switched off, or ours by name, are a failure that names the file."""
    ledger("init", "--agents", "gemini")
    home = sandbox.home / ".gemini"
    home.mkdir(exist_ok=True)
    for text, says in (
        ('{"hooksConfig": {"enabled": false}}', "enabled false"),
        ('{"hooksConfig": {"disabled": ["git-ledger"]}}', "disables"),
    ):
        (home / "settings.json").write_text(text)
        wrong, code = checks(ledger)
        assert code == 1 and says in wrong["Gemini CLI"]["message"] and str(home) in wrong["Gemini CLI"]["message"]
