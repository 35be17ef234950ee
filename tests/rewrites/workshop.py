"""A repository in which an agent and a person work, with real git, real hooks and real hook processes.

    shop = Workshop(sandbox, "hooks")
    call = shop.agent_writes("a.py", "x = 1\\n")
    old = shop.commits("Add a")
    shop.git("commit", "--amend", "-m", "Add a, better")
    shop.match()  # how the ladder finds HEAD

`mode` says what records git's own doings:

    hooks   `ledger init` as it is
    husky   the same beside husky's hooks
    ladder  no hook of git's runs and no message bears a trailer: a commit is seen at the agent's next event, or by nobody
            behind `shop.unseen()` is seen by nobody
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from ledger.repo.gitdir import find_repository
from ledger.store.reader import JournalReader
from ledger.store.state import find_clone, journal_path
from ledger.trace.blame import build_blame
from ledger.trace.build import build_trace, resolve_commit
from ledger.trace.logs import Logs
from ledger.trace.model import Trace

OFF = ("-c", "core.hooksPath=/dev/null")


class Workshop:
    """One clone with its log. The agent is Codex, its session `s1`, and each call is a pair of hook processes."""

    def __init__(self, sandbox: Any, mode: str, node_modules: Path | None = None) -> None:
        self.sandbox = sandbox
        self.mode = mode
        self.path: Path = sandbox.make_repo("shop", commit=True)
        self.root = self.git("rev-parse", "HEAD")
        self.session = "s1"
        self._number = 0
        if mode == "husky":
            assert node_modules is not None
            os.symlink(node_modules, self.path / "node_modules")
            with open(self.path / ".git/info/exclude", "a") as file:
                file.write("node_modules\n.husky\n")
            done = sandbox.run("node", str(node_modules / "husky/bin.js"), cwd=self.path)
            assert done.returncode == 0, done.stdout + done.stderr
        self.ledger("init", "--agents", "none")
        if mode == "ladder":
            self.ledger("config", "trailer", "false")
        self.hook("SessionStart", source="startup")
        self.hook("UserPromptSubmit", prompt="please")

    # Doing

    def git(self, *args: str, check: bool = True, input: str | None = None, **env: str) -> str:
        """Run git as the person does; in the mode `ladder` no hook of git's runs. No editor ever opens."""
        off = OFF if self.mode == "ladder" else ()
        done: str = self.sandbox.git(*off, *args, cwd=self.path, check=check, input=input, **{"GIT_EDITOR": ":", **env})
        return done

    def ledger(self, *args: str) -> str:
        """Run the command line, which must succeed."""
        words = (sys.executable, "-I", "-m", "ledger", "--state", self.sandbox.state, *args)
        done = self.sandbox.run(*words, cwd=self.path)
        assert done.returncode == 0, done.stdout + done.stderr
        out: str = done.stdout
        return out

    def hook(self, event: str, **members: Any) -> None:
        """Let the agent say something to its hook."""
        whole = {"session_id": self.session, "turn_id": "t1", "cwd": str(self.path), "hook_event_name": event, **members}
        words = (sys.executable, "-I", "-m", "ledger.hook", "--state", str(self.sandbox.state), "codex")
        done = self.sandbox.run(*words, cwd=self.path, input=json.dumps(whole))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done

    def call(self, tool: str, given: dict[str, Any]) -> _Call:
        """Return a call of the agent's, to be used as a context manager."""
        self._number += 1
        return _Call(self, f"c{self._number}", tool, given)

    def agent_writes(self, path: str, text: str) -> str:
        """Let the agent write a file in a call, and return the call's id."""
        given = {"command": f"*** Begin Patch\n*** Update File: {path}\n@@\n*** End Patch"}
        with self.call("apply_patch", given) as call:
            self.write(path, text)
        return call.name

    def write(self, path: str, text: str) -> None:
        """Write a file, as a person does where no call is open."""
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def agent_runs(self, *commands: list[str], **env: str) -> str:
        """Let the agent run git commands in one call of its shell, and return the call's id."""
        with self.call("Bash", {"command": " && ".join(shlex.join(["git", *command]) for command in commands)}) as call:
            for command in commands:
                self.git(*command, CODEX_SESSION_ID=self.session, CODEX_TOOL_CALL_ID=call.name, **env)
        return call.name

    def agent_commits(self, message: str) -> str:
        """Let the agent commit all there is; return the commit's id."""
        self.agent_runs(["add", "-A"], ["commit", "-q", "-m", message])
        self.look()
        return self.head()

    def commits(self, message: str, *options: str) -> str:
        """Commit all there is, as a person does; return the commit's id."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message, *options)
        return self.head()

    def look(self) -> None:
        """Let an event of the agent's pass: what HEAD did is noticed then, where hooks said nothing."""
        self.hook("UserPromptSubmit", prompt=f"go on {self._number}")

    def head(self) -> str:
        """Return HEAD's commit id."""
        return self.git("rev-parse", "HEAD")

    def script(self, name: str, text: str) -> str:
        """Write a script outside the repository and return its path."""
        path: Path = self.sandbox.home / name
        path.write_text("#!/bin/sh\nset -e\n" + text)
        path.chmod(0o755)
        return str(path)

    def rebase(self, *args: str, todo: str = "") -> None:
        """Rebase; `todo` is a sed script for the list of an interactive one."""
        env = {"GIT_SEQUENCE_EDITOR": f"sed -i -e {shlex.quote(todo)}" if todo else ":", "GIT_EDITOR": ":"}
        self.git("rebase", "-q", *args, **env)

    # Asking

    def trace(self, revision: str = "HEAD") -> Trace:
        """Return the trace of a commit."""
        repo = find_repository(str(self.path))
        clone = find_clone(str(self.sandbox.state), repo.common_dir).clone
        oid = resolve_commit(repo, revision)
        assert clone is not None and oid is not None
        with Logs(str(self.sandbox.state), clone, repo=repo) as logs:
            return build_trace(repo, logs, oid)

    def blame(self, path: str, revision: str = "HEAD") -> list[tuple[str, str | None, str | None]]:
        """Return (by, link, the call's entry) of each line of a file of one commit."""
        repo = find_repository(str(self.path))
        clone = find_clone(str(self.sandbox.state), repo.common_dir).clone
        oid = resolve_commit(repo, revision)
        assert clone is not None and oid is not None
        with Logs(str(self.sandbox.state), clone, repo=repo) as logs:
            found = build_blame(repo, logs, oid, path.encode())["lines"]
        return [(item["by"], item["link"], item["call"]) for item in found for _ in range(item["range"][0], item["range"][1] + 1)]

    def rung(self, revision: str = "HEAD") -> str:
        """Return the rung on which a commit is found."""
        return self.trace(revision)["match"]["rung"]

    def links(self, revision: str = "HEAD") -> dict[str, str]:
        """Return the link of each path of a commit."""
        return {str(item["path"]): item["link"] for item in self.trace(revision)["changed"]}

    def calls(self, revision: str = "HEAD") -> dict[str, list[str]]:
        """Return, for each path of a commit, the ids of the calls that it is linked to."""
        names = {f"{entry['log']}/{entry['seq']}": str(entry.get("call")) for entry in self.entries()}
        return {str(item["path"]): [names[call] for call in item["calls"]] for item in self.trace(revision)["changed"]}

    def called(self, revision: str = "HEAD") -> list[str]:
        """Return the ids of the calls that a commit's trace shows."""
        names = {f"{entry['log']}/{entry['seq']}": str(entry.get("call")) for entry in self.entries()}
        return [names[item["entry"]] for item in self.trace(revision)["ran"] if item["entry"]]

    def entries(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the log's entries."""
        clone = find_clone(str(self.sandbox.state), find_repository(str(self.path)).common_dir).clone
        assert clone is not None
        with JournalReader(journal_path(str(self.sandbox.state), clone.log)) as journal:
            found = [json.loads(record)["entry"] for _, record in journal.records()]
        return [entry for entry in found if not kinds or entry["kind"] in kinds]

    def is_recorded(self, oid: str) -> bool:
        """Say whether a `commit.recorded` names this id."""
        return any(entry["body"]["oid"] == oid for entry in self.entries("commit.recorded"))


class _Call:
    def __init__(self, shop: Workshop, name: str, tool: str, given: dict[str, Any]) -> None:
        self.shop, self.name = shop, name
        self._members = {"tool_name": tool, "tool_input": given, "tool_use_id": name}

    def __enter__(self) -> _Call:
        self.shop.hook("PreToolUse", **self._members)
        return self

    def __exit__(self, *_: object) -> None:
        self.shop.hook("PostToolUse", tool_response="done", **self._members)
