"""Several clones around one bare repository, each with a log and a state folder of its own.

    fleet = Fleet.begin(sandbox, 2)
    ada, bob = fleet.members
    ada.say()
    ada.sync()
    bob.sync()
    assert bob.sizes() == ada.sizes()

Everything runs in this process but git itself, and whatever a test starts by `run`.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.core.checkpoint import Checkpoint, parse_checkpoint
from ledger.core.entry import parse_record
from ledger.core.note import parse_note
from ledger.core.seal import parse_segment
from ledger.recorder import Recorder, begin_log
from ledger.repo.gitdir import GitDir, find_repository
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path
from ledger.sync.exchange import Report, sync
from ledger.verify.verdict import Report as Verdict
from ledger.verify.verifier import Options, verify_repository

if TYPE_CHECKING:
    from sandboxes import Sandbox
else:
    Sandbox = Any  # a folder's own conftest hides the one above it

Done = subprocess.CompletedProcess[str]


class Fleet:
    """The machine, the bare repository `server`, and the clones of it."""

    def __init__(self, sandbox: Sandbox, server: Path, url: str = "") -> None:
        self.sandbox = sandbox
        self.server = server
        self.url = url or str(server)
        self.members: list[Member] = []

    @classmethod
    def begin(cls, sandbox: Sandbox, count: int, *init: str, where: str = "server.git", url: str = "") -> Fleet:
        """Make a server with one commit and `count` clones with logs; `init` are options for `git init`."""
        first = sandbox.make_repo("first", *init, commit=True)
        server = sandbox.make_repo(where, "--bare", *init)
        sandbox.git("push", "-q", str(server), "main", cwd=first)
        fleet = cls(sandbox, server, url)
        for number in range(count):
            fleet.join(f"clone{number}")
        return fleet

    def join(self, name: str, *options: str, log: bool = True, url: str = "") -> Member:
        """Clone the server; open a log in the clone unless told otherwise."""
        path = self.sandbox.root / name
        self.sandbox.git("clone", "-q", *options, url or self.url, str(path), cwd=self.sandbox.root)
        member = Member(self, path, self.sandbox.root / "states" / name)
        if log:
            member.begin()
        self.members.append(member)
        return member

    def git(self, *args: str) -> str:
        """Run git in the server's folder."""
        return self.sandbox.git(*args, cwd=self.server)

    def refs(self, prefix: str = "refs/ledger") -> dict[str, str]:
        """Return the tip of each log that the server has."""
        return _tips(self.git("for-each-ref", "--format=%(objectname) %(refname)", f"{prefix}/logs"))

    def settle(self, rounds: int = 3) -> None:
        """Let everybody sync until all have met."""
        for _ in range(rounds):
            for member in self.members:
                member.sync()


class Member:
    """One clone; `log` is its own log, empty where it has none."""

    def __init__(self, fleet: Fleet, path: Path, state: Path) -> None:
        self.fleet = fleet
        self.sandbox = fleet.sandbox
        self.path = path
        self.state = state
        self.log = ""

    @property
    def repo(self) -> GitDir:
        """The repository as the recorder sees it."""
        return find_repository(str(self.path))

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return Path(journal_path(str(self.state), self.log))

    def begin(self) -> Member:
        """Open this clone's log, or find out which it is by now."""
        self.log = begin_log(self.repo, str(self.state)).log
        return self

    # What it does

    def git(self, *args: str, input: str | None = None) -> str:
        """Run git in the repository."""
        return self.sandbox.git(*args, cwd=self.path, input=input)

    def run(self, *words: str, **env: str) -> Done:
        """Run the `ledger` command in a process of its own."""
        return self.sandbox.run(*(sys.executable, "-I", "-m", "ledger", "--state", self.state), *words, cwd=self.path, **env)

    def run_json(self, *words: str) -> Any:
        """Run the `ledger` command with `--json` and return what it printed."""
        done = self.run(*words, "--json")
        assert done.stdout, done
        return json.loads(done.stdout)

    def say(self, count: int = 1, text: str = "hello") -> None:
        """Append entries."""
        with self.recorder() as recorder:
            for _ in range(count):
                recorder.record("message.sent", actor={"type": "agent", "name": "a"}, body={"text": text})
            self.log = recorder.clone.log

    def recorder(self) -> Recorder:
        """Return the recorder of this clone."""
        return Recorder.open(str(self.path), state=str(self.state))

    def seal(self) -> None:
        """Seal what was appended."""
        with self.recorder() as recorder:
            recorder.seal()
            self.log = recorder.clone.log

    def sync(self, remote: str = "origin", **how: Any) -> Report:
        """Sync in this process."""
        report = sync(self.repo, str(self.state), remote, **how)
        self.log = report.log or ""
        return report

    def verify(self, **options: Any) -> Verdict:
        """Verify the repository as the command does."""
        return verify_repository(self.repo, str(self.state), Options(**options))

    # What it has

    def refs(self, below: str = "logs", prefix: str = "refs/ledger") -> dict[str, str]:
        """Return the refs below `refs/ledger/<below>`, by the rest of their names."""
        return _tips(self.git("for-each-ref", "--format=%(objectname) %(refname)", f"{prefix}/{below}"), f"{prefix}/{below}/")

    def sizes(self) -> dict[str, int]:
        """Return how many records of each log are sealed here."""
        return {log: read_note(self, tip).size for log, tip in self.refs().items()}

    def records(self, log: str = "") -> list[bytes]:
        """Return the records of a log as they are sealed here, by first parents, as far as commits are seals."""
        found: list[bytes] = []
        tip = self.refs()[log or self.log]
        for oid in self.git("rev-list", "--first-parent", "--reverse", tip).split():
            found += parse_segment(self.sandbox.git_bytes("cat-file", "blob", f"{oid}:segment.jsonl", cwd=self.path))
        return found

    def kinds(self, log: str = "") -> list[str]:
        """Return the kinds of the entries of a log that are sealed here."""
        return [parse_record(record).entry.kind for record in self.records(log)]

    def journal_records(self) -> list[bytes]:
        """Return the records in the journal."""
        with JournalReader(str(self.journal)) as reader:
            return [record for _, record in reader.records()]

    # What may happen to it

    def backup(self) -> Path:
        """Copy the state folder, as a backup would, and return the copy."""
        fold(self.journal)
        copy = self.state.with_name(f"{self.state.name}.backup{len(list(self.state.parent.glob('*.backup*')))}")
        shutil.copytree(self.state, copy)
        return copy

    def restore(self, backup: Path) -> None:
        """Put a backup in the place of the state folder."""
        shutil.rmtree(self.state)
        shutil.copytree(backup, self.state)

    def foreign(self, parent: str | None, message: str = "not a seal") -> str:
        """Make a commit that is no seal, on top of `parent`, and return its id."""
        return self.git("commit-tree", *(("-p", parent) if parent else ()), "-m", message, "HEAD^{tree}")


def read_note(member: Member, oid: str) -> Checkpoint:
    """Return the checkpoint in a seal, which nobody checks here."""
    data = member.sandbox.git_bytes("cat-file", "blob", f"{oid}:checkpoint", cwd=member.path)
    return parse_checkpoint(parse_note(data).text)


def fold(journal: Path) -> None:
    """Fold a journal's write-ahead log into its file, so that one file is all of it."""
    with closing(sqlite3.connect(journal)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def hows(report: Report) -> dict[str, set[str]]:
    """Return what happened to each log."""
    found: dict[str, set[str]] = {}
    for change in report.changes:
        found.setdefault(change.log, set()).add(change.how)
    return found


def codes(verdict: Verdict, log: str | None = None) -> set[str]:
    """Return the codes of a verdict's findings, of one log or of all."""
    return {finding.code for finding in verdict.findings if log is None or finding.log == log}


def _tips(text: str, prefix: str = "") -> dict[str, str]:
    rows = [line.split(" ", 1) for line in text.splitlines()]
    return {ref.removeprefix(prefix) if prefix else ref.rpartition("/")[2]: oid for oid, ref in rows}
