"""Measures what the README promises, each against something bare in the same run: the machine may be shared and noisy.

Commands are run in turn (A B A B …) and the medians are compared. Nothing here is a test: a missed target is printed as such,
and the exit code says so only with --check.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench_attribution
import bench_sealed

from ledger.core.entry import parse_record
from ledger.core.fact import Fact
from ledger.recorder import Recorder, begin_log
from ledger.repo.gitdir import find_repository
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path, spool_dir
from ledger.verify.chain import walk
from ledger.verify.notes import Notes
from ledger.verify.signatures import EverySignature, SomeSignatures
from ledger.verify.verdict import Findings

PYTHON = sys.executable


class Lab:
    """A throw-away HOME, state folder and repositories."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state" / "ledger"
        for name in [name for name in os.environ if name.startswith(("GIT_", "CODEX_", "CLAUDE", "LEDGER_"))]:
            del os.environ[name]
        os.environ |= {
            "HOME": str(root / "home"),
            "XDG_STATE_HOME": str(root / "state"),
            "XDG_CACHE_HOME": str(root / "cache"),
            "GIT_CONFIG_GLOBAL": str(root / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        (root / "home").mkdir()
        git(root, "config", "--file", str(root / "gitconfig"), "user.name", "Bench")
        git(root, "config", "--file", str(root / "gitconfig"), "user.email", "bench@example.invalid")

    def repository(self, name: str) -> Path:
        """Make a repository with one commit."""
        path = self.root / name
        git(self.root, "init", "-q", "-b", "main", str(path))
        (path / "file.txt").write_text("one\n")
        git(path, "add", "file.txt")
        git(path, "commit", "-qm", "first")
        return path


def git(cwd: Path, *args: str) -> None:
    """Run git, which must succeed."""
    subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True)


def interleaved(rounds: int, *works: Callable[[], Any]) -> list[float]:
    """Run the works in turn and return each one's median in seconds."""
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for spent, work in zip(times, works, strict=True):
            start = time.perf_counter()
            work()
            if number:  # the first round warms caches
                spent.append(time.perf_counter() - start)
    return [statistics.median(spent) for spent in times]


def hook_event(number: int, repo: Path) -> bytes:
    """Return a tool request as Codex sends it."""
    event = {"session_id": "bench", "turn_id": "t", "cwd": str(repo), "hook_event_name": "PreToolUse", "model": "m"}
    event |= {"permission_mode": "default", "tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": f"call-{number}"}
    return json.dumps(event).encode()


def bench_hook(lab: Lab, rounds: int, many: int) -> list[dict[str, Any]]:
    """One agent hook as a whole process against bare Python, in a short and in a long log."""
    small, large = lab.repository("small"), lab.repository("large")
    logs = [begin_log(find_repository(str(path)), str(lab.state)).log for path in (small, large)]
    fill(lab, small, 100)
    fill(lab, large, many)
    counter = iter(range(10**9))

    def hook(repo: Path) -> None:
        event = lab.root / "event.json"
        event.write_bytes(hook_event(next(counter), repo))
        command = [PYTHON, "-I", "-m", "ledger.hook", "--state", str(lab.state), "codex"]
        with event.open("rb") as file:
            subprocess.run(command, stdin=file, check=True, cwd=repo)

    bare, short, long = interleaved(rounds, bare_python, lambda: hook(small), lambda: hook(large))
    for log in logs:
        assert not Path(spool_dir(str(lab.state), log)).exists(), "an event went to the spool: the figure would be too good"
    return [
        figure("agent hook / bare Python, 100 entries", short / bare, 4.0, f"{short * 1e3:.1f} ms / {bare * 1e3:.1f} ms"),
        figure(f"agent hook / bare Python, {many:,} entries", long / bare, 4.0, f"{long * 1e3:.1f} ms"),
        figure(f"agent hook, {many:,} / 100 entries", long / short, 1.15),
    ]


def bare_python() -> None:
    """Start and end a Python that does nothing."""
    subprocess.run([PYTHON, "-I", "-c", "pass"], check=True)


def fill(lab: Lab, repo: Path, count: int) -> None:
    """Append `count` entries in large transactions."""
    with Recorder.open(str(repo), state=str(lab.state)) as recorder:
        actor = {"type": "agent", "name": "bench"}
        for start in range(0, count, 5000):
            facts = [Fact("message.sent", actor, {"event": "note"}, "bench") for _ in range(min(5000, count - start))]
            recorder.record_facts(facts)


def bench_append(lab: Lab, count: int) -> list[dict[str, Any]]:
    """Durable appends in one process, and eight processes at once."""
    repo = lab.repository("append")
    begin_log(find_repository(str(repo)), str(lab.state))
    times = []
    with Recorder.open(str(repo), state=str(lab.state)) as recorder:
        for _ in range(count):
            start = time.perf_counter()
            recorder.record("message.sent", actor={"type": "agent", "name": "bench"}, body={"event": "note"})
            times.append(time.perf_counter() - start)
        log = recorder.clone.log
    with JournalReader(journal_path(str(lab.state), log)) as journal:
        before = journal.count()
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        pool.starmap(append_many, [(str(repo), str(lab.state), count)] * 8)
    spent = time.perf_counter() - start
    with JournalReader(journal_path(str(lab.state), log)) as journal:
        gained = journal.count() - before
    median = statistics.median(times) * 1e3
    return [
        figure("append in process, median ms", median, 1.0),
        figure("8 processes at once: entries lost", 8 * count - gained, 0, f"{8 * count / spent:,.0f} appends/s"),
    ]


def append_many(repo: str, state: str, count: int) -> None:
    """Append `count` entries from a process of its own."""
    with Recorder.open(repo, state=state, wait_s=60.0) as recorder:
        for _ in range(count):
            recorder.record("message.sent", actor={"type": "agent", "name": "bench"}, body={"event": "note"})


def bench_verify(lab: Lab, many: int) -> list[dict[str, Any]]:
    """The chain of a long log on one core, and every signature on all cores against the machine's raw rate.

    The log has no payloads and git is not asked: what is measured is form, hash, link and signature.
    """
    log = begin_log(find_repository(str(lab.root / "large")), str(lab.state)).log
    path = journal_path(str(lab.state), log)
    with JournalReader(path) as journal:
        records = [record for _, record in journal.records()]
    chain = statistics.median(time_walk(path, log, full=False) for _ in range(3))
    hashing = min(time_hashing(records) for _ in range(3))
    full = statistics.median(time_walk(path, log, full=True) for _ in range(3))
    raw, cores = raw_verify_rate(records[:4000]), os.cpu_count() or 1
    rate = len(records) / full
    return [
        figure(
            "verify, chain alone, entries/s on one core", len(records) / chain, -100_000, f"{chain / hashing:.1f} x bare SHA-256"
        ),
        figure(
            "verify --full / (cores x raw Ed25519)",
            rate / (cores * raw),
            -0.8,
            f"{rate:,.0f}/s; raw {raw:,.0f}/s on each of {cores}",
        ),
    ]


def time_walk(path: str, log: str, *, full: bool) -> float:
    """Return the seconds that a walk over a whole log takes; its signatures are checked at its end, or each."""
    findings, notes = Findings(), Notes(log)
    signatures = EverySignature(lambda seq: None, lambda done: None) if full else SomeSignatures(lambda seq: None)
    start = time.perf_counter()
    with JournalReader(path) as journal:
        walk(journal, log, findings, signatures, notes)
    spent = time.perf_counter() - start
    assert not findings.listed(), findings.listed()[:3]
    return spent


def time_hashing(records: list[bytes]) -> float:
    """Return the seconds that SHA-256 of all records takes, with nothing around it."""
    start = time.perf_counter()
    for record in records:
        hashlib.sha256(record).digest()
    return time.perf_counter() - start


def raw_verify_rate(records: list[bytes]) -> float:
    """Return how many Ed25519 signatures one core checks in a second, with nothing around it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from ledger.core import sshsig

    parsed = [parse_record(record) for record in records]
    key = Ed25519PublicKey.from_public_bytes(sshsig.parse_public_key(str(parsed[0].entry.body["public_key"])))
    data = [(record.signature, sshsig.format_signed_data(sshsig.ENTRY_NAMESPACE, record.entry_bytes)) for record in parsed]
    start = time.perf_counter()
    for signature, message in data:
        key.verify(signature, message)
    return len(data) / (time.perf_counter() - start)


def bench_otlp(lab: Lab, batches: int) -> list[dict[str, Any]]:
    """Telemetry into `ledger record otlp` on one core; each answer says that its facts are durable.

    Once every record is a fact, and once one in five is, as Codex sends them. Counted are the seconds that the receiver had of its
    core, for others may be using it too; the note says how fast it went by the clock.
    """
    repo = lab.repository("telemetry")
    log = begin_log(find_repository(str(repo)), str(lab.state)).log
    event = {"session_id": "bench", "cwd": str(repo), "hook_event_name": "SessionStart", "source": "startup"}
    command = [PYTHON, "-I", "-m", "ledger.hook", "--state", str(lab.state), "codex"]
    subprocess.run(command, input=json.dumps(event).encode(), check=True, cwd=repo)
    facts = [otlp_request(number * 512, 512) for number in range(batches)]
    mixed = [otlp_request((batches + number) * 512, 512, facts_in=5) for number in range(batches)]
    command = [PYTHON, "-I", "-m", "ledger", "record", "otlp", "--json", "--listen", "127.0.0.1:0"]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        port = int(json.loads(receiver.stdout.readline())["listening"].rpartition(":")[2])
        for task in os.listdir(f"/proc/{receiver.pid}/task") if cores else ():
            os.sched_setaffinity(int(task), cores[:1])
        spent = [send_otlp(receiver.pid, port, bodies) for bodies in (facts, mixed)]
        receiver.terminate()
    with JournalReader(journal_path(str(lab.state), log)) as journal:
        recorded = sum(b'"source":"otel"' in record for _, record in journal.records())
    sent = batches * 512
    expected = sent + batches * len(range(0, 512, 5))
    notes = [f"{sent / clock:,.0f}/s by the clock" for _, clock in spent]
    return [
        figure("OTLP records/s on one core, every one a fact", sent / spent[0][0], -5_000, notes[0]),
        figure("OTLP records/s on one core, one in five a fact", sent / spent[1][0], -5_000, notes[1]),
        figure("OTLP facts lost", expected - recorded, 0),
    ]


def send_otlp(receiver: int, port: int, bodies: list[bytes]) -> tuple[float, float]:
    """Send requests one after the other, each of which must be taken; return the receiver's seconds and those of the clock."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    start, used = time.perf_counter(), cpu_seconds(receiver)
    for body in bodies:
        connection.request("POST", "/v1/logs", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"{}")
    clock = time.perf_counter() - start
    used = cpu_seconds(receiver) - used
    connection.close()
    return used or clock, clock


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has had, in seconds (proc(5)); 0 where nobody says."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def otlp_request(first: int, count: int, facts_in: int = 1) -> bytes:
    """Return a request with `count` records with the attributes that Codex gives them; one in `facts_in` is a decision."""
    at = time.time_ns()
    said = {"event.name": "codex.tool_decision", "conversation.id": "bench", "app.version": "0.169.0", "model": "gpt-5.5"}
    said |= {"event.timestamp": "2026-11-22T16:22:54.369Z", "originator": "codex_exec", "terminal.type": "xterm-256color"}
    said |= {"slug": "gpt-5.5", "tool_name": "exec_command", "decision": "approved", "source": "User"}
    records = []
    for number in range(first, first + count):
        mine = {**said, "call_id": f"call_{number:024}"}
        if (number - first) % facts_in:
            mine["event.name"] = "codex.sse_event"
        attributes = [{"key": key, "value": {"stringValue": text}} for key, text in mine.items()]
        records.append({"timeUnixNano": "0", "observedTimeUnixNano": str(at), "severityText": "INFO", "attributes": attributes})
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "codex_exec"}}]}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}).encode()


def figure(name: str, value: float, target: float, note: str = "") -> dict[str, Any]:
    """Return one figure; a negative target is a floor, any other a ceiling."""
    met = value >= -target if target < 0 else value <= target
    return {
        "figure": name,
        "value": round(value, 3),
        "target": ("≥ " if target < 0 else "≤ ") + f"{abs(target):,g}",
        "met": met,
        "note": note,
    }


def print_figure(row: dict[str, Any]) -> None:
    """Print one figure as a line."""
    met = "met" if row["met"] else "MISSED"
    print(f"{row['figure']:58} {row['value']:>12,.2f}   target {row['target']:11} {met:7} {row['note']}", flush=True)


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and shorter logs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    options = parser.parse_args()
    rounds, many = (9, 10_000) if options.quick else (31, 100_000)
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="ledger-bench-") as folder, contextlib.chdir(folder):
        lab = Lab(Path(folder))
        for part in (
            lambda: bench_hook(lab, rounds, many),
            lambda: bench_append(lab, 200 if options.quick else 1000),
            lambda: bench_verify(lab, many),
            *bench_sealed.parts(lab, rounds, many, (interleaved, bare_python, figure)),
            lambda: bench_otlp(lab, 20 if options.quick else 100),
            *bench_attribution.parts(lab, rounds, many, (interleaved, bare_python, figure)),
        ):
            found = part()
            figures += found
            if not options.json:
                for row in found:
                    print_figure(row)
    if options.json:
        print(json.dumps(figures, indent=2, ensure_ascii=False))
    return 1 if options.check and not all(row["met"] for row in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
