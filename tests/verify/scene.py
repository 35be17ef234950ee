"""A repository with a log of its own, whose journal is whatever the test says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulator import LogSimulator, PayloadRow, write_journal

from ledger.core.seal import IDENTITY, format_segment
from ledger.repo.gitdir import find_repository
from ledger.repo.seals import hash_tree, write_seal
from ledger.store import state as places
from ledger.verify.verdict import Report
from ledger.verify.verifier import Options, verify_repository


class Scene:
    """One clone, its state folder and the simulator that holds the keys of its log."""

    def __init__(self, sandbox: Any, path: Path, **simulator: Any) -> None:
        self.sandbox = sandbox
        self.path = path
        self.repo = find_repository(str(path))
        self.state = str(sandbox.state)
        roots = sandbox.git("rev-list", "--max-parents=0", "--all", cwd=path).split()
        self.sim = LogSimulator(**{"roots": roots, **simulator})
        self.clone = "ab" * 16
        self.adopt(self.sim.name)

    def adopt(self, log: str) -> None:
        """Make `log` the one that this clone appends to."""
        inode = os.stat(self.repo.common_dir).st_ino
        places.write_clone(self.state, places.Clone(log, self.clone, self.repo.common_dir, inode, "host", {}))

    def install(self, records: Sequence[bytes] | None = None, payloads: Sequence[PayloadRow] | None = None, log: str = "") -> None:
        """Write the journal anew: with the simulator's own records and payloads where none are given."""
        path = Path(places.journal_path(self.state, log or self.sim.name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        records = self.sim.records() if records is None else records
        rows = self.sim.payload_rows() if payloads is None else payloads
        write_journal(path, log or self.sim.name, records, rows)

    def put_seal(self, note: bytes, segment: bytes, *parents: str) -> str:
        """Store a commit of a seal's form, whatever is in it, and return its id; no ref moves."""
        tree, data = hash_tree(note, segment, "sha1")
        who = f"{IDENTITY} 1767323045 +0000"
        lines = [f"tree {tree}", *(f"parent {oid}" for oid in parents), f"author {who}", f"committer {who}", "", "seal", ""]
        return write_seal(self.repo, note, segment, data, "\n".join(lines).encode(), "sha1")

    def seal(self, *sizes: int, records: Sequence[bytes] | None = None, tip: str = "", start: int = 0) -> str:
        """Seal the log, or other `records` of it, up to each of `sizes` in turn, on top of `tip`; return the last commit."""
        records = self.sim.records() if records is None else list(records)
        for size in sizes or (len(records),):
            note = self.sim.note(size, records)
            tip = self.put_seal(note, format_segment(records[start:size]), *([tip] if tip else []))
            start = size
        return tip

    def set_ref(self, oid: str, log: str = "", prefix: str = "refs/ledger") -> None:
        """Let the log's ref name `oid`."""
        self.sandbox.git("update-ref", f"{prefix}/logs/{log or self.sim.name}", oid, cwd=self.path)

    def verify(self, **options: Any) -> Report:
        """Verify the repository as the command does."""
        return verify_repository(self.repo, self.state, Options(**options))

    def record_commit(self, oid: str, /, **more: Any) -> int:
        """Append a truthful `commit.recorded`, changed by `more`."""
        tree, *parents = self.sandbox.git("log", "-1", "--format=%T %P", oid, cwd=self.path).split()
        body = {"oid": oid, "tree": tree, "parents": parents, "paths": [], "trailers": [], "patch_id": "", **more}
        return self.sim.append("commit.recorded", body, source="git")

    def commit(self, message: str = "change") -> str:
        """Make an empty commit and return its id."""
        oid: str = self.sandbox.commit(self.path, message)
        return oid

    def commit_with_trailer(self, head: str | None = None) -> str:
        """Make a commit whose message quotes `head`, or the log's present one."""
        return self.commit(f"change\n\nLedger-Entry: {head or self.sim.head()}")

    def push(self) -> None:
        """Let a remote branch hold what HEAD is."""
        self.sandbox.git("update-ref", "refs/remotes/origin/main", "HEAD", cwd=self.path)


def fill(scene: Scene, turns: int = 3) -> Scene:
    """Append a few turns with payloads, a rotation in their middle, and one recorded commit."""
    sim = scene.sim
    session = {"session": "s-1", "turn": "t-1"}
    sim.append("session.started", {"start": "startup"}, payloads={"principal": b'{"os_user":"ada"}'}, session="s-1")
    for turn in range(turns):
        sim.append("prompt.submitted", payloads={"prompt": f"do thing {turn}".encode()}, **session)
        asked = sim.append("tool.requested", {"tool": "Bash"}, payloads={"input": b"{}"}, call=f"c{turn}", **session)
        body = {"tool": "Bash", "outcome": "finished", "exit_code": 0}
        sim.append("tool.finished", body, payloads={"effects": b"[]", "output": b"ok"}, call=f"c{turn}", cause=asked, **session)
        if turn == turns // 2:
            sim.rotate()
    scene.record_commit(scene.sandbox.git("rev-parse", "HEAD", cwd=scene.path))
    return scene


def codes(report: Report, severity: str | None = None) -> list[str]:
    """Return the codes of a report's findings, each once, sorted."""
    return sorted({finding.code for finding in report.findings if severity in (None, finding.severity)})
