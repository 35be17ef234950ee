"""The figures of sealed logs: what sealing adds to a commit, what git stores, how fast seals are verified, what a no-op sync costs.

Long logs are written by a ghost: a writer without a journal, whose records and seals are as the recorder's are, apart from the
signatures in the middle of a segment, which verification without --full does not look at.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ledger.core import sshsig
from ledger.core.checkpoint import Checkpoint, format_origin, sign_checkpoint
from ledger.core.ed25519 import public_key_of, sign_message, sign_sshsig
from ledger.core.entry import GENESIS_PREV, VERSION, Entry, format_entry, format_record, hash_record, log_id
from ledger.core.merkle import Frontier, hash_leaf
from ledger.core.payload import PayloadRef
from ledger.core.seal import SealCommit, format_commit, format_ref, format_segment
from ledger.recording.writer import format_at
from ledger.repo.gitdir import GitDir, find_repository
from ledger.repo.seals import hash_tree, move_ref, read_tip, write_seal

LEDGER = [sys.executable, "-I", "-m", "ledger"]
Figure = Callable[..., dict[str, Any]]


class Ghost:
    """One log that exists on a ref only."""

    def __init__(self, repo: GitDir, roots: list[str], *, payloads: bool = True) -> None:
        self.repo = repo
        self.payloads = payloads
        self.seed = os.urandom(32)
        self.public_key = public_key_of(self.seed)
        self.key = sshsig.fingerprint(self.public_key)
        self.tree = Frontier()
        self.tip: str | None = None
        self.prev, self.seq, self.log = GENESIS_PREV, 0, ""
        body = {
            "roots": roots,
            "object_format": "sha1",
            "nonce": os.urandom(16).hex(),
            "public_key": sshsig.format_public_key(self.public_key),
            "key_storage": "file",
            "clone": os.urandom(16).hex(),
            "tool_version": "bench",
        }
        self.genesis = self._record("log.opened", body, "cli", signed=True)

    def seal(self, count: int) -> None:
        """Add `count` entries as one seal, a tool's requests and results in turn."""
        records = [self.genesis] if self.tip is None else []
        records += [self._call(last=number + 1 == count) for number in range(count)]
        self.tree.extend(map(hash_leaf, records))
        checkpoint = Checkpoint(format_origin(self.log), self.tree.size, self.tree.root())
        note = sign_checkpoint(checkpoint, self.public_key, lambda message: sign_message(self.seed, message))
        tree, data = hash_tree(note, segment := format_segment(records), "sha1")
        parents = () if self.tip is None else (self.tip,)
        commit = SealCommit(tree, parents, 1_767_323_100 + self.seq, f"Seal up to {self.tree.size} of {self.log}")
        raw = format_commit(commit, self.public_key, lambda namespace, message: sign_sshsig(self.seed, namespace, message))
        self.tip = write_seal(self.repo, note, segment, data, raw, "sha1")

    def publish(self) -> None:
        """Let the ref name the last seal."""
        assert self.tip is not None
        ref = format_ref("refs/ledger", self.log)
        move_ref(self.repo, ref, self.tip, read_tip(self.repo, ref), "bench")

    def _call(self, *, last: bool) -> bytes:
        number = self.seq // 2
        if not self.payloads:
            return self._record("message.sent", {"event": "note"}, "hook", (), number, signed=last)
        if self.seq % 2:
            refs = (self._ref("input", 60 + number % 90),)
            return self._record("tool.requested", {"tool": "Bash", "permission_mode": "default"}, "hook", refs, number, signed=last)
        refs = (self._ref("effects", 200), self._ref("output", number % 5000))
        body = {"tool": "Bash", "outcome": "finished", "exit_code": 0, "duration_ms": number % 977}
        return self._record("tool.finished", body, "hook", refs, number, signed=last)

    def _ref(self, name: str, size: int) -> PayloadRef:
        return PayloadRef(name, os.urandom(32).hex(), size, "text/plain")

    def _record(
        self,
        kind: str,
        body: dict[str, Any],
        source: str,
        refs: tuple[PayloadRef, ...] = (),
        number: int | None = None,
        *,
        signed: bool,
    ) -> bytes:
        names = (None, None, None) if number is None else ("0198c0de-session", f"turn-{number // 20}", f"call_{number:08x}")
        at = format_at(1_767_323_100_000 + self.seq * 137)
        actor = {"type": "agent", "name": "codex"}
        entry = Entry(
            VERSION, self.log, self.seq, self.prev, self.key, at, kind, source, actor, body, *names, None, refs
        )  # fmt: skip
        data = format_entry(entry)
        signature = sign_sshsig(self.seed, sshsig.ENTRY_NAMESPACE, data) if signed else os.urandom(64)
        record = format_record(data, signature)
        self.log = self.log or log_id(data)
        self.prev, self.seq = hash_record(record), self.seq + 1
        return record


def bench_sealing(lab: Any, rounds: int, interleaved: Any, bare_python: Any, figure: Figure) -> list[dict[str, Any]]:
    """`git commit` with sealing inline and detached against a bare one, in units of bare Python."""
    repos = {name: lab.repository(f"commit-{name}") for name in ("bare", "inline", "detached")}
    for how in ("inline", "detached"):
        run(repos[how], *LEDGER, "init", "--agents", "none")
        run(repos[how], "git", "config", "ledger.seal", how)
    counter = iter(range(10**9))

    def commit(name: str) -> None:
        (repos[name] / "file.txt").write_text(f"{next(counter)}\n")
        run(repos[name], "git", "commit", "-qam", "change")

    def settle() -> None:
        time.sleep(0.25)  # the detached sealer of the commit before is not what is measured

    works = [bare_python, lambda: commit("bare"), lambda: commit("inline"), settle, lambda: commit("detached"), settle]
    python, bare, inline, _, detached, _ = interleaved(rounds, *works)
    note = f"{inline * 1e3:.1f} and {detached * 1e3:.1f} ms; bare git {bare * 1e3:.1f} ms, bare Python {python * 1e3:.1f} ms"
    return [
        figure("(commit, sealing inline - bare git) / bare Python", (inline - bare) / python, 7.0, note),
        figure("(commit, sealing detached - bare git) / bare Python", (detached - bare) / python, 6.0),
    ]


def bench_size(lab: Any, count: int, figure: Figure) -> list[dict[str, Any]]:
    """What git stores for an entry, when all is packed: seals of 30 entries, as one commit or so brings."""
    repo, ghost = ghost_in(lab, "size")
    for _ in range(count // 30):
        ghost.seal(30)
    ghost.publish()
    before = pack_size(repo, "HEAD")
    size = pack_size(repo, format_ref("refs/ledger", ghost.log)) - before
    return [figure("packed bytes an entry, in seals of 30", size / ghost.seq, 350.0, f"{ghost.seq:,} entries, {size / 1e6:.1f} MB")]


def bench_verify_sealed(lab: Any, many: int, figure: Figure) -> list[dict[str, Any]]:
    """`ledger verify` as a whole process in a clone that has nothing but refs: the first time, and after 1,000 entries more."""
    rates = []
    for payloads in (True, False):
        repo, ghost = ghost_in(lab, f"long-{payloads}", payloads=payloads)
        for _ in range(many // 1500):
            ghost.seal(1500)
        ghost.publish()
        startup = min(timed(repo, *LEDGER, "--version") for _ in range(5))
        first = timed(repo, *LEDGER, "verify", "--json")
        rates.append(ghost.seq / (first - startup))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    ghost.seal(1000)
    ghost.publish()
    again = timed(repo, *LEDGER, "verify", "--json")
    return [
        figure(f"verify {many:,} sealed entries, entries/s", rates[1], -100_000, f"{first:.1f} s in all"),
        figure("… the same where each has 1.5 payloads", rates[0], -100_000),
        figure("… peak memory of any child process, MB", peak, 200.0),
        figure("… again after 1,000 more, s", again, 1.0),
    ]


def bench_sync(lab: Any, writers: int, rounds: int, interleaved: Any, figure: Figure) -> list[dict[str, Any]]:
    """A sync that finds nothing to do, against `git ls-remote` of the same remote."""
    remote = lab.root / "fleet.git"
    run(lab.root, "git", "init", "-q", "--bare", str(remote))
    source, _ = ghost_in(lab, "fleet")
    roots = run(source, "git", "rev-list", "--max-parents=0", "HEAD").split()
    for _ in range(writers):
        ghost = Ghost(find_repository(str(source)), roots)
        ghost.seal(5)
        ghost.publish()
    run(source, "git", "push", "-q", str(remote), "HEAD:refs/heads/main", "refs/ledger/logs/*:refs/ledger/logs/*")
    clone = lab.root / "fleet-clone"
    run(lab.root, "git", "clone", "-q", str(remote), str(clone))
    run(clone, *LEDGER, "sync", "--json")
    works = [
        lambda: run(clone, *LEDGER, "--version"),
        lambda: run(clone, "git", "ls-remote", "origin"),
        lambda: run(clone, *LEDGER, "sync", "--json"),
    ]
    startup, listing, sync = interleaved(rounds, *works)
    note = f"{sync * 1e3:.0f} ms; start-up {startup * 1e3:.0f} ms, ls-remote {listing * 1e3:.1f} ms"
    return [figure(f"(no-op sync of {writers} writers - start-up) / git ls-remote", (sync - startup) / listing, 20.0, note)]


def ghost_in(lab: Any, name: str, *, payloads: bool = True) -> tuple[Path, Ghost]:
    """Return a repository and a log of its that nobody sealed yet."""
    path: Path = lab.repository(name)
    roots = run(path, "git", "rev-list", "--max-parents=0", "HEAD").split()
    return path, Ghost(find_repository(str(path)), roots, payloads=payloads)


def pack_size(repo: Path, *refs: str) -> int:
    """Return the bytes of a pack of all that `refs` reach."""
    oids = run(repo, "git", "rev-list", "--objects", *refs)
    done = subprocess.run(["git", "pack-objects", "-q", "--stdout"], cwd=repo, input=oids.encode(), check=True, capture_output=True)
    return len(done.stdout)


def run(cwd: Path, *command: str) -> str:
    """Run a command, which must succeed, and return its output."""
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def timed(cwd: Path, *command: str) -> float:
    """Return the seconds that a command takes, which must succeed."""
    start = time.perf_counter()
    run(cwd, *command)
    return time.perf_counter() - start


def parts(lab: Any, rounds: int, many: int, tools: Any) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Yield what is measured here, as `scripts/bench.py` runs it."""
    interleaved, bare_python, figure = tools
    yield lambda: bench_sealing(lab, rounds, interleaved, bare_python, figure)
    yield lambda: bench_size(lab, many, figure)
    yield lambda: bench_verify_sealed(lab, many * 10, figure)
    yield lambda: bench_sync(lab, 200, rounds, interleaved, figure)
