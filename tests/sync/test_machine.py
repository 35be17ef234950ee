"""Any order of events among several clones: what may never happen, whatever does."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from fleet import Fleet, Member
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from sandboxes import make_sandbox

from ledger.core.checkpoint import log_key, parse_checkpoint
from ledger.core.ed25519 import check_message
from ledger.core.entry import parse_record
from ledger.core.note import parse_note
from ledger.core.sshsig import parse_public_key
from ledger.errors import FormatError, LedgerError, RepoError, TrustError
from ledger.verify.verdict import VERDICTS

MEMBERS = st.integers(0, 2)


class Clones(RuleBasedStateMachine):
    """Three clones around a server; each step does one thing to one of them, or to the server."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.patch = pytest.MonkeyPatch()
        self.fleet = Fleet.begin(make_sandbox(self.folder, self.patch), 3)
        self.backups: dict[int, Path] = {}
        self.roots: dict[tuple[str, int], str] = {}  # (log, size) → the root that was signed
        self.read: set[str] = set()  # commits that were looked at
        self.union: list[dict[str, list[bytes]]] = [{} for _ in range(3)]
        self.keys: dict[str, bytes] = {}
        self.copies = 0

    def teardown(self) -> None:
        """Remove the machine."""
        self.patch.undo()
        shutil.rmtree(self.folder)

    def member(self, number: int) -> Member:
        """Return one of the three clones."""
        return self.fleet.members[number]

    @initialize()
    def meet(self) -> None:
        """Everybody knows everybody, as far as one round goes."""
        for member in self.fleet.members:
            self.know(member)
        self.fleet.settle(1)

    def know(self, member: Member) -> None:
        """Keep the key of a clone's log, which never changes here."""
        member.begin()
        genesis = parse_record(member.journal_records()[0]).entry
        self.keys[member.log] = parse_public_key(str(genesis.body["public_key"]))

    # What honest people do

    @rule(number=MEMBERS, count=st.integers(1, 3))
    def append(self, number: int, count: int) -> None:
        """Record something."""
        self.member(number).say(count)
        self.know(self.member(number))

    @rule(number=MEMBERS)
    def seal(self, number: int) -> None:
        """Seal, without any network."""
        self.member(number).seal()
        self.know(self.member(number))

    @rule(number=MEMBERS)
    def commit(self, number: int) -> None:
        """Commit with a trailer, and push the branch."""
        member = self.member(number)
        head = (Path(member.repo.common_dir) / "ledger" / f"head-{os.getuid()}").read_text().strip()
        member.git("commit", "-q", "--allow-empty", "-m", f"change\n\nLedger-Entry: {head}")
        member.git("push", "-q", "--force", "origin", f"HEAD:refs/heads/topic{number}")

    @rule(number=MEMBERS, push=st.booleans())
    def sync(self, number: int, push: bool) -> None:
        """Meet the server."""
        self.member(number).sync(push=push)
        self.know(self.member(number))

    @rule(number=MEMBERS)
    def sync_offline(self, number: int) -> None:
        """Fail to meet the server."""
        away = self.fleet.server.with_name("away")
        self.fleet.server.rename(away)
        with pytest.raises(RepoError):
            self.member(number).sync()
        away.rename(self.fleet.server)

    @rule(number=MEMBERS)
    def back_up(self, number: int) -> None:
        """Copy a state folder."""
        self.backups[number] = self.member(number).backup()

    @precondition(lambda self: self.backups)
    @rule(data=st.data())
    def restore(self, data: Any) -> None:
        """Put an old state folder back; the repository stays, so what was sealed since is on its ref."""
        number = data.draw(st.sampled_from(sorted(self.backups)))
        self.member(number).restore(self.backups[number])

    @precondition(lambda self: self.copies < 1)
    @rule(number=MEMBERS)
    def copy(self, number: int) -> None:
        """Copy a clone, beside the first one and with the same state folder, and work in the copy."""
        self.copies += 1
        path = self.folder / f"copy{self.copies}"
        shutil.copytree(self.member(number).path, path)
        copy = Member(self.fleet, path, self.member(number).state)
        copy.begin()
        copy.say()
        self.know(copy)
        assert copy.log != self.member(number).log
        copy.sync()

    # What others do to the server

    @rule(data=st.data(), how=st.sampled_from(["deleted", "rolled back", "foreign", "replaced"]))
    def tamper(self, data: Any, how: str) -> None:
        """Delete a ref on the server, set it back, lay a commit on top, or put a branch in its place."""
        refs = self.fleet.refs()
        if not refs:
            return
        log = data.draw(st.sampled_from(sorted(refs)))
        name, git = f"refs/ledger/logs/{log}", self.fleet.git
        if how == "deleted":
            git("update-ref", "-d", name)
        elif how == "rolled back":
            git("update-ref", name, git("rev-list", "--first-parent", refs[log]).split()[-1])
        elif how == "foreign":
            git("update-ref", name, git("commit-tree", "-p", refs[log], "-m", "x", "main^{tree}"))
        else:
            git("update-ref", name, "main")

    @rule(number=MEMBERS, data=st.data(), what=st.sampled_from(["ref", "all refs", "journal", "tail", "trailers"]))
    def remove(self, number: int, data: Any, what: str) -> None:
        """Look at a copy of a clone from which something was removed: no verdict becomes better by that."""
        member = self.member(number)
        before = _verdicts(member)
        copy = Member(self.fleet, self.folder / "looked-at", self.folder / "looked-at-state")
        home, state = member.path, member.state
        # The clone map names the path, so the clone itself is moved away for a moment.
        shutil.copytree(home, copy.path, symlinks=True)
        shutil.copytree(state, copy.state)
        try:
            self._take_away(member, data, what)
            after = _verdicts(member)
        finally:
            shutil.rmtree(state)
            copy.state.rename(state)
            _put_back(home, copy.path)
        for log, verdict in before.items():
            assert VERDICTS.index(after.get(log, VERDICTS[-1])) >= VERDICTS.index(verdict), (what, log, before, after)

    def _take_away(self, member: Member, data: Any, what: str) -> None:
        refs = sorted(member.refs())
        if what == "ref" and refs:
            member.git("update-ref", "-d", f"refs/ledger/logs/{data.draw(st.sampled_from(refs))}")
        elif what == "all refs":
            for log in refs:
                member.git("update-ref", "-d", f"refs/ledger/logs/{log}")
        elif what == "journal":
            shutil.rmtree(member.journal.parent)
        elif what == "tail" and refs:
            log = data.draw(st.sampled_from(refs))
            first = member.git("rev-list", "--first-parent", member.refs()[log]).split()[-1]
            member.git("update-ref", f"refs/ledger/logs/{log}", first)
        elif what == "trailers":
            for ref in member.git("for-each-ref", "--format=%(refname)", "refs/remotes").split():
                member.git("update-ref", "-d", ref)

    # What may never happen

    @invariant()
    def no_size_is_signed_twice(self) -> None:
        """Of each log and size there is one signed root, on whatever ref of whatever repository."""
        for repo in (self.fleet.server, *(member.path for member in self.fleet.members)):
            for oid in self._commits(repo):
                signed = self._signed(repo, oid)
                if signed is not None:
                    log, size, root = signed
                    assert self.roots.setdefault((log, size), root) == root, f"{log} has two roots at {size}"

    @invariant()
    def the_union_only_grows(self) -> None:
        """What a clone once had of a log, it has, record by record."""
        for number, member in enumerate(self.fleet.members):
            for log, had in self.union[number].items():
                assert member.records(log)[: len(had)] == had, f"clone {number} lost records of {log}"
            self.union[number] = {log: member.records(log) for log in member.refs()}

    def _commits(self, repo: Path) -> list[str]:
        git = self.fleet.sandbox.git
        found = [oid for oid in git("rev-list", "--glob=refs/ledger", cwd=repo).split() if oid not in self.read]
        self.read.update(found)
        return found

    def _signed(self, repo: Path, oid: str) -> tuple[str, int, str] | None:
        done = self.fleet.sandbox.run("git", "cat-file", "blob", f"{oid}:checkpoint", cwd=repo)
        if done.returncode:
            return None
        try:
            note = parse_note(done.stdout.encode())
            checkpoint = parse_checkpoint(note.text)
            log = checkpoint.origin.rpartition("/")[2]
            from ledger.core.checkpoint import check_checkpoint

            check_checkpoint(note, [log_key(log, self.keys[log])], check_message)
        except (FormatError, TrustError):
            return None
        return log, checkpoint.size, checkpoint.root.hex()


def _verdicts(member: Member) -> dict[str, str]:
    try:
        report = member.verify()
    except LedgerError:
        return {}
    return {log.log: log.verdict if log.counted else "consistent" for log in report.logs} | {"": report.verdict}


def _put_back(home: Path, copy: Path) -> None:
    """Give a clone the content of its copy; the folder `.git` itself stays, for a clone is known by its inode."""
    git = home / ".git"
    for path in git.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in (copy / ".git").iterdir():
        path.rename(git / path.name)
    shutil.rmtree(copy)


def test_no_order_of_events_breaks_a_promise() -> None:
    """Nothing is signed twice, nothing that was here goes, and removing something never makes a verdict better."""
    examples = int(os.environ.get("LEDGER_TEST_EXAMPLES", "6"))
    run_state_machine_as_test(
        Clones,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate) if examples <= 6 else (Phase.explicit, Phase.generate, Phase.shrink),
            derandomize=examples <= 6,  # the same ones each time, unless somebody asks for more
            print_blob=True,
        ),
    )
