"""Agents that make commits while their hooks say nothing: noticed from git's side, once a session."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ledger.core.entry import parse_record
from ledger.recorder import begin_log
from ledger.repo.gitdir import find_repository
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path


@pytest.mark.parametrize("settings", [None, {"disableAllHooks": True}, {"disableAllHooks": False}, "not json"])
def test_a_session_that_only_its_commits_name_is_a_gap(sandbox, settings) -> None:
    """The note names agent, session, commit, and the project's settings where these switch hooks off."""
    repo = sandbox.make_repo("demo", commit=True)
    log = begin_log(find_repository(str(repo)), str(sandbox.state)).log
    if settings is not None:
        (repo / ".claude").mkdir()
        (repo / ".claude" / "settings.json").write_text(settings if isinstance(settings, str) else json.dumps(settings))
    environment = {"CLAUDECODE": "1", "CLAUDE_CODE_SESSION_ID": "s-9"}
    for number in range(2):
        sandbox.commit(repo, f"change {number}", {"a": f"{number}\n"})
        hook = [sys.executable, "-I", "-m", "ledger.hook", "--state", sandbox.state, "git", "post-commit"]
        assert sandbox.run(*hook, cwd=repo, **environment).returncode == 0
    gaps = [entry for entry in entries(sandbox.state, log) if entry.kind == "gap.noted"]
    (gap,) = gaps
    assert (gap.body["reason"], gap.body["agent"], gap.body["claims"]) == ("agent-hooks-silent", "claude-code", {"session": "s-9"})
    assert gap.body["basis"] == {"agent": "claimed", "claims": "claimed"}
    assert gap.body.get("disabled_by") == ([".claude/settings.json"] if settings == {"disableAllHooks": True} else None)


def test_a_session_that_hooks_told_of_is_none(sandbox) -> None:
    """And neither is a person's commit."""
    repo = sandbox.make_repo("demo", commit=True)
    log = begin_log(find_repository(str(repo)), str(sandbox.state)).log
    hook = [sys.executable, "-I", "-m", "ledger.hook", "--state", sandbox.state]
    started = json.dumps({"hook_event_name": "SessionStart", "session_id": "s-9", "cwd": str(repo)})
    assert sandbox.run(*hook, "claude-code", cwd=repo, input=started).returncode == 0
    for environment in ({"CLAUDECODE": "1", "CLAUDE_CODE_SESSION_ID": "s-9"}, {}):
        sandbox.commit(repo, "change", {"a": str(environment)})
        assert sandbox.run(*hook, "git", "post-commit", cwd=repo, **environment).returncode == 0
    assert [entry.kind for entry in entries(sandbox.state, log)].count("gap.noted") == 0


def entries(state: Path, log: str) -> list:
    """Return the entries of a log."""
    with JournalReader(journal_path(str(state), log)) as journal:
        return [parse_record(record).entry for _, record in journal.records()]
