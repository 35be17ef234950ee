"""Git hooks that vanish are noticed on the agent's next turn, and said once."""

from __future__ import annotations

import json
import shutil
import sys

from ledger.repo.gitdir import find_repository
from ledger.store.reader import JournalReader
from ledger.store.state import find_clone, journal_path


def test_vanished_git_hooks_are_a_gap_once_and_commits_are_still_found(sandbox):
    """Deleting the hooks leaves one gap.noted, a commit made without them is recorded, and coming back arms it again."""
    repo = sandbox.make_repo("demo", commit=True)
    done = sandbox.run(sys.executable, "-I", "-m", "ledger", "--state", sandbox.state, "init", "--agents", "none", cwd=repo)
    assert done.returncode == 0, done.stderr
    hooks = repo / ".git" / "hooks"

    def fire(event: str, **members: object) -> None:
        whole = {"session_id": "s", "cwd": str(repo), "hook_event_name": event, **members}
        words = (sys.executable, "-I", "-m", "ledger.hook", "--state", str(sandbox.state), "codex")
        assert sandbox.run(*words, cwd=repo, input=json.dumps(whole)).returncode == 0

    def kinds() -> list[str]:
        clone = find_clone(str(sandbox.state), find_repository(str(repo)).common_dir).clone
        assert clone is not None
        with JournalReader(journal_path(str(sandbox.state), clone.log)) as journal:
            return [json.loads(record)["entry"]["kind"] for _, record in journal.records()]

    fire("SessionStart", source="startup")
    assert "gap.noted" not in kinds()
    shutil.move(hooks, repo / ".git" / "hooks.away")
    sandbox.commit(repo, "unseen by hooks", {"a.txt": "a\n"})
    fire("UserPromptSubmit", turn_id="t1", prompt="go on")
    fire("UserPromptSubmit", turn_id="t2", prompt="go on")
    assert kinds().count("gap.noted") == 1
    assert kinds().count("commit.recorded") == 1
    shutil.move(repo / ".git" / "hooks.away", hooks)
    fire("UserPromptSubmit", turn_id="t3", prompt="go on")
    shutil.rmtree(hooks)
    fire("UserPromptSubmit", turn_id="t4", prompt="go on")
    assert kinds().count("gap.noted") == 2
