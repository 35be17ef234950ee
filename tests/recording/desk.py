"""A repository with a ledger, and an agent that tells the hook what it does.

    desk = Desk.begin(sandbox)
    desk.tell(desk.before("c1", "Bash", {"command": "make"}))
    desk.commit("Mend it", {"a.txt": "a\\n"})
    desk.check()

Every hook is a real process, started as agents and git start it: `python -I -m ledger.hook`.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.core.chain import Chain
from ledger.core.ed25519 import check_sshsig
from ledger.core.entry import Entry, hash_record, log_id, parse_record
from ledger.core.payload import commit_payload
from ledger.core.sshsig import ENTRY_NAMESPACE
from ledger.recorder import begin_log
from ledger.repo.gitdir import GitDir, find_repository
from ledger.store.reader import JournalReader
from ledger.store.state import git_spool_dir, head_path, journal_path, lock_path, spool_dir

if TYPE_CHECKING:
    from sandboxes import Sandbox
else:
    Sandbox = Any  # a folder's own conftest hides the one above it

Event = Mapping[str, Any]
Done = subprocess.CompletedProcess[bytes]
_STUBS = ("post-commit", "post-merge", "post-rewrite")


@functools.cache
def require_installed() -> None:
    """Fail unless an isolated Python finds the package: stubs cannot work otherwise."""
    probe = subprocess.run([sys.executable, "-I", "-c", "import ledger"], capture_output=True, text=True, cwd="/", check=False)
    assert probe.returncode == 0, (
        f"`{sys.executable} -I` cannot import ledger; install the project (pip install -e .): {probe.stderr}"
    )


class Desk:
    """One clone with its log; `session` and `turn` are the ones that events bear unless they say otherwise."""

    def __init__(self, sandbox: Sandbox, repo: Path, state: Path | None = None) -> None:
        require_installed()
        self.sandbox = sandbox
        self.path = repo
        self.state = state or sandbox.state
        self.session = "0198-session"
        self.turn = "turn-1"
        self.log = ""

    @classmethod
    def begin(
        cls, sandbox: Sandbox, repo: Path | None = None, *, settings: Mapping[str, Any] | None = None, stubs: bool = True
    ) -> Desk:
        """Open a log for `repo`, by default a new repository with one commit; lay git hooks into it if `stubs`."""
        desk = cls(sandbox, repo or sandbox.make_repo(commit=True))
        # Machines that run tests are busy: what is bounded by time otherwise takes here as long as it takes.
        desk.log = begin_log(desk.repo, str(desk.state), settings={"look_ms": 60_000, "lines_ms": 60_000, **(settings or {})}).log
        if stubs:
            desk.lay_stubs()
        return desk

    # Places

    @property
    def repo(self) -> GitDir:
        """The repository as the recorder sees it."""
        return find_repository(str(self.path))

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return Path(journal_path(str(self.state), self.log))

    @property
    def lock(self) -> Path:
        """The lock's file."""
        return Path(lock_path(str(self.state), self.log))

    @property
    def spool(self) -> Path:
        """The spool in the state folder."""
        return Path(spool_dir(str(self.state), self.log))

    @property
    def git_spool(self) -> Path:
        """The spool in the common dir."""
        return Path(git_spool_dir(self.repo.common_dir))

    @property
    def head_file(self) -> Path:
        """The head file."""
        return Path(head_path(self.repo.common_dir))

    def lay_stubs(self) -> None:
        """Write the git hooks that hand events to the recorder, as plain as can be."""
        for name in _STUBS:
            stub = Path(self.repo.common_dir, "hooks", name)
            stub.parent.mkdir(exist_ok=True)
            stub.write_text(f'#!/bin/sh\nexec {shlex.join(self.argv("git", name))} "$@"\n')
            stub.chmod(0o755)

    # Doors

    def argv(self, *words: str) -> list[str]:
        """Return the command of a hook."""
        return [sys.executable, "-I", "-m", "ledger.hook", "--state", str(self.state), *words]

    def hook(self, event: Event | bytes, *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Done:
        """Run a hook (Codex's, unless `words` name another) and return what it did, whatever that is."""
        return subprocess.run(
            self.argv(*(words or ("codex",))),
            input=event if isinstance(event, bytes) else json.dumps(event).encode(),
            cwd=cwd or self.path,
            env={**self.sandbox.env, **(env or {})},
            capture_output=True,
            timeout=120,
            check=False,
        )

    def tell(
        self, *events: Event | bytes, cwd: Path | None = None, env: Mapping[str, str] | None = None, agent: str = "codex"
    ) -> None:
        """Run a hook for each event; it must succeed and say nothing."""
        for event in events:
            done = self.hook(event, agent, cwd=cwd, env=env)
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), done

    def complain(self, event: Event | bytes, *words: str, code: int = 0, **how: Any) -> str:
        """Run a hook that must say one line on standard error and nothing else, and exit with `code`; return the line."""
        done = self.hook(event, *words, **how)
        line = done.stderr.decode()
        assert (done.returncode, done.stdout) == (code, b""), done
        assert line.startswith("ledger: ") and line.count("\n") == 1 and line.endswith("\n"), line
        return line

    # What an agent says

    def event(self, name: str, **members: Any) -> dict[str, Any]:
        """Return an event of Codex; a member given as None is left out."""
        shared = {"session_id": self.session, "turn_id": self.turn, "cwd": str(self.path), "hook_event_name": name}
        return {key: value for key, value in {**shared, **members}.items() if value is not None}

    def prompt(self, text: str, **members: Any) -> dict[str, Any]:
        """Return a prompt."""
        return self.event("UserPromptSubmit", prompt=text, **members)

    def before(self, call: str, tool: str = "Bash", given: Any = None, **members: Any) -> dict[str, Any]:
        """Return the event before a call."""
        given = {"command": f"echo {call}"} if given is None else given
        return self.event("PreToolUse", tool_name=tool, tool_input=given, tool_use_id=call, **members)

    def after(self, call: str, tool: str = "Bash", given: Any = None, **members: Any) -> dict[str, Any]:
        """Return the event after a call."""
        given = {"command": f"echo {call}"} if given is None else given
        members = {"tool_response": "done", **members}
        return self.event("PostToolUse", tool_name=tool, tool_input=given, tool_use_id=call, **members)

    def stop(self, **members: Any) -> dict[str, Any]:
        """Return the end of a turn."""
        return self.event("Stop", last_assistant_message="Done.", **members)

    def edit(self, call: str, *paths: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the events before and after a patch that names `paths`."""
        lines = "".join(f"*** Update File: {path}\n@@\n" for path in paths)
        given = {"command": f"*** Begin Patch\n{lines}*** End Patch"}
        return self.before(call, "apply_patch", given), self.after(call, "apply_patch", given)

    def claim(self, call: str | None = None, session: str | None = None) -> dict[str, str]:
        """Return the variables that Codex sets for what it runs."""
        claimed = {"CODEX_CI": "1", "CODEX_SESSION_ID": session or self.session}
        return {**claimed, "CODEX_TOOL_CALL_ID": call} if call else claimed

    # Git

    def git(self, *args: str, **env: str) -> str:
        """Run git in the repository."""
        return self.sandbox.git(*args, cwd=self.path, **env)

    def commit(self, message: str, files: dict[str, str] | None = None, **env: str) -> str:
        """Commit `files` and return the commit's id."""
        return self.sandbox.commit(self.path, message, files, **env)

    def commit_unseen(self, message: str, files: dict[str, str] | None = None) -> str:
        """Commit `files` without any hook and return the commit's id."""
        for name, text in (files or {}).items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            self.git("add", "--", name)
        self.git("-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    # The log

    def records(self) -> list[bytes]:
        """Return the records' bytes."""
        with JournalReader(str(self.journal)) as reader:
            return [record for _, record in reader.records()]

    def entries(self, *kinds: str, start: int = 1) -> list[Entry]:
        """Return the entries from `start` on (by default without the genesis), only those of `kinds` if any are named."""
        found = [parse_record(record).entry for record in self.records()[start:]]
        return [entry for entry in found if not kinds or entry.kind in kinds]

    def kinds(self, start: int = 1) -> list[str]:
        """Return the kinds of the entries from `start` on."""
        return [entry.kind for entry in self.entries(start=start)]

    def one(self, kind: str) -> Entry:
        """Return the only entry of a kind."""
        (entry,) = self.entries(kind)
        return entry

    def of_commit(self, oid: str) -> Entry:
        """Return the only `commit.recorded` of a commit."""
        (entry,) = [entry for entry in self.entries("commit.recorded") if entry.body["oid"] == oid]
        return entry

    def payload(self, seq: int, name: str) -> bytes:
        """Return a payload's bytes."""
        with JournalReader(str(self.journal)) as reader:
            found = reader.payload(seq, name)
        assert found is not None, f"entry {seq} has no payload {name}"
        return found.data

    def effects(self, seq: int) -> list[dict[str, Any]]:
        """Return the payload `effects` of an entry, empty where there is none."""
        names = [ref.name for ref in self.entries(start=seq)[0].payloads]
        return json.loads(self.payload(seq, "effects")) if "effects" in names else []

    def links(self, oid: str) -> dict[str, str]:
        """Return the link of each path of a commit."""
        return {str(item["path"]): item["link"] for item in self.of_commit(oid).body["paths"]}

    def check(self, size: int | None = None) -> list[Entry]:
        """Follow the chain with every signature and payload; nothing may be wrong. Return all entries."""
        records = self.records()
        chain = Chain(self.log, check_sshsig)
        entries = []
        for data in records:
            record = parse_record(data)
            name = log_id(record.entry_bytes) if record.entry.seq == 0 else None
            before = chain.public_key
            assert chain.follow(record.entry, hash_record(data), name) == []
            signer = before or chain.public_key  # a rotation is signed by the key before it
            assert signer is not None
            check_sshsig(signer, ENTRY_NAMESPACE, record.entry_bytes, record.signature)
            entries.append(record.entry)
        with JournalReader(str(self.journal)) as reader:
            found = {(seq, name): commit_payload(salt, data) for seq, name, salt, data in reader.payloads()}
        assert found == {(entry.seq, ref.name): ref.commitment for entry in entries for ref in entry.payloads}
        assert size is None or len(entries) == size
        return entries


@contextmanager
def someone_else() -> Iterator[Someone]:
    """Run a long-lived process of its own, which starts others when asked: an agent, or a person's shell."""
    process = subprocess.Popen([sys.executable, "-I", "-c", _SOMEONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield Someone(process)
    finally:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


_SOMEONE = """
import base64, json, subprocess, sys
for line in sys.stdin:
    ask = json.loads(line)
    done = subprocess.run(ask["argv"], cwd=ask["cwd"], env=ask["env"], input=base64.b64decode(ask["input"]), capture_output=True)
    print(json.dumps([done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")]), flush=True)
"""


class Someone:
    """A process whose children do not descend from anybody else's."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def run(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], input: bytes = b"") -> None:
        """Run a command as a child of this process; it must succeed and say nothing."""
        ask = {"argv": list(argv), "cwd": str(cwd), "env": dict(env), "input": base64.b64encode(input).decode()}
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(ask).encode() + b"\n")
        self._process.stdin.flush()
        assert json.loads(self._process.stdout.readline()) == [0, ""]

    def tell(self, desk: Desk, event: Event) -> None:
        """Run a hook of Codex."""
        self.run(desk.argv("codex"), cwd=desk.path, env=desk.sandbox.env, input=json.dumps(event).encode())

    def git(self, desk: Desk, *args: str, **env: str) -> None:
        """Run git."""
        self.run(["git", *args], cwd=desk.path, env={**desk.sandbox.env, **env})


_HOLDER = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(file, fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Let another process hold the flock on `path`."""
    holder = subprocess.Popen([sys.executable, "-I", "-c", _HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert holder.stdin is not None and holder.stdout is not None
    try:
        holder.stdout.readline()
        yield
    finally:
        holder.stdin.close()
        holder.wait(30)
        holder.stdout.close()


def tree_of(folder: Path) -> dict[str, bytes | None]:
    """Return every file below a folder with its bytes, and every folder with None."""
    found: dict[str, bytes | None] = {}
    for path in sorted(folder.rglob("*")):
        name = os.fsdecode(os.fsencode(str(path.relative_to(folder))))
        found[name] = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    return found
