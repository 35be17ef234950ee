"""The figures of attribution: linking a large commit, blaming a long file, tracing in a long history with a long log."""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench_sealed import run, timed

from ledger.core.entry import VERSION, Entry, format_entry, format_record, hash_record, parse_record
from ledger.core.payload import PayloadRef
from ledger.index.database import index_path, open_database
from ledger.recorder import begin_log
from ledger.recording.writer import format_at
from ledger.repo.gitdir import find_repository
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path

# What starting a command costs is the interpreter and its modules; what it then does is measured against the target.
STARTUP = "import ledger.cli.main, ledger.cli.{0}, ledger.cli.screen.{0}, ledger.trace.build, ledger.index.copies, sqlite_utils"
LEDGER = [sys.executable, "-I", "-m", "ledger"]
Figure = Callable[..., dict[str, Any]]
SHAPE = "sha1"


def bench_linking(lab: Any, files: int, entries: int, rounds: int, figure: Figure) -> list[dict[str, Any]]:
    """The post-commit hook, as a whole process, for a commit of 200 files that one call left; against `git diff --stat` of it."""
    repo = lab.root / "wide"
    run(lab.root, "git", "init", "-q", "-b", "main", str(repo))
    import_files(repo, files)
    begun = begin_log(find_repository(str(repo)), str(lab.state))
    lengthen(lab, begun.log, entries)
    spent: list[float] = []
    stats: list[float] = []
    for number in range(rounds):
        names = [f"d{at % 100}/f{at}.txt" for at in range(number * 7, number * 7 + 200)]
        patch = "".join(f"*** Update File: {name}\n@@\n" for name in names)
        members = {"tool_name": "apply_patch", "tool_use_id": f"c{number}"}
        members["tool_input"] = {"command": f"*** Begin Patch\n{patch}*** End Patch"}  # type: ignore[assignment]
        tell(lab, repo, "PreToolUse", members)
        for name in names:
            with (repo / name).open("a") as file:
                file.write(f"line {number} of the call\n")
        tell(lab, repo, "PostToolUse", {**members, "tool_response": "done"})
        run(repo, "git", "commit", "-qam", f"change {number}")
        hook = [sys.executable, "-I", "-m", "ledger.hook", "--state", str(lab.state), "git", "post-commit"]
        spent.append(timed(repo, *hook))
        stats.append(min(timed(repo, "git", "diff", "--stat", "HEAD~1", "HEAD") for _ in range(3)))
    hook_s, stat_s = statistics.median(spent[1:]), statistics.median(stats[1:])
    with JournalReader(journal_path(str(lab.state), begun.log)) as journal:
        last = parse_record(journal.record(journal.last_seq()) or b"").entry
    linked = sum(item.get("link") == "exact" for item in last.body.get("paths", []))
    note = (
        f"hook {hook_s * 1e3:.0f} ms, git diff --stat {stat_s * 1e3:.1f} ms; {files:,} files, {entries:,} entries, {linked} exact"
    )
    return [figure("linking 200 files - 2 x git diff --stat, ms", (hook_s - 2 * stat_s) * 1e3, 100.0, note)]


def bench_blame(lab: Any, rounds: int, interleaved: Any, figure: Figure) -> list[dict[str, Any]]:
    """`ledger blame` of 2,000 lines that 100 commits of an agent's made, without start-up, against `git blame`."""
    repo: Path = lab.repository("long-file")
    begin_log(find_repository(str(repo)), str(lab.state))
    text: list[str] = []
    for number in range(100):
        members: dict[str, Any] = {"tool_name": "Write", "tool_use_id": f"c{number}"}
        given = {"command": "*** Begin Patch\n*** Update File: long.py\n@@\n*** End Patch"}
        members |= {"tool_name": "apply_patch", "tool_input": given}
        tell(lab, repo, "PreToolUse", members)
        at = (number * 7919) % (len(text) + 1)
        text[at:at] = [f"line {number}.{line} = {number * line}\n" for line in range(20)]
        (repo / "long.py").write_text("".join(text))
        tell(lab, repo, "PostToolUse", {**members, "tool_response": "done"})
        run(repo, "git", "add", "long.py")
        run(repo, "git", "commit", "-qm", f"part {number}")
        run(repo, sys.executable, "-I", "-m", "ledger.hook", "--state", str(lab.state), "git", "post-commit")
    startup, git, ledger = interleaved(
        rounds,
        lambda: run(repo, sys.executable, "-I", "-c", STARTUP.format("blame")),
        lambda: run(repo, "git", "blame", "--porcelain", "long.py"),
        lambda: run(repo, *LEDGER, "blame", "--json", "long.py"),
    )
    found = json.loads(run(repo, *LEDGER, "blame", "--json", "long.py"))
    note = f"{ledger * 1e3:.0f} ms, start-up {startup * 1e3:.0f} ms, git blame {git * 1e3:.1f} ms; {found['counts']}"
    return [figure("(blame of 2,000 lines - start-up) / git blame", (ledger - startup) / git, 3.0, note)]


def bench_trace(lab: Any, commits: int, entries: int, rounds: int, interleaved: Any, figure: Figure) -> list[dict[str, Any]]:
    """`ledger trace` of a commit in the middle of a long history with a long log, and how fast its index is built anew."""
    repo = lab.root / "deep"
    run(lab.root, "git", "init", "-q", "-b", "main", str(repo))
    oids = import_commits(repo, commits)
    log = begin_log(find_repository(str(repo)), str(lab.state)).log
    lengthen(lab, log, entries, oids)
    path = journal_path(str(lab.state), log)
    start = time.perf_counter()
    with JournalReader(path) as journal:
        open_database(journal, log).conn.close()
    built = time.perf_counter() - start
    middle = oids[len(oids) // 2][0]
    startup, trace = interleaved(
        rounds,
        lambda: run(repo, sys.executable, "-I", "-c", STARTUP.format("trace")),
        lambda: run(repo, *LEDGER, "trace", "--no-verify", "--json", middle),
    )
    found = json.loads(run(repo, *LEDGER, "trace", "--no-verify", "--json", middle))
    assert found["match"]["rung"] == "exact" and found["ran"], found["match"]
    note = f"{commits:,} commits, {entries:,} entries; index of {os.path.getsize(index_path(log)) / 1e6:.0f} MB"
    return [
        figure("trace - start-up, ms", (trace - startup) * 1e3, 150.0, note),
        figure("index built anew, entries/s", entries / built, -30_000, f"{built:.1f} s"),
    ]


def import_files(repo: Path, count: int) -> None:
    """Make one commit of `count` small files, and check it out."""
    lines = ["commit refs/heads/main\ncommitter Bench <bench@example.invalid> 1767323100 +0000\ndata 5\nmany\n"]
    for number in range(count):
        text = "".join(f"{number} {line}\n" for line in range(20))
        lines.append(f"M 100644 inline d{number % 100}/f{number}.txt\ndata {len(text)}\n{text}")
    subprocess.run(["git", "fast-import", "--quiet"], cwd=repo, input="".join(lines).encode(), check=True)
    run(repo, "git", "reset", "-q", "--hard")


def import_commits(repo: Path, count: int) -> list[tuple[str, str, str, str]]:
    """Make a history of `count` commits that change a file each; return (commit, tree, parent, blob) of each, oldest first."""
    lines = []
    for number in range(count):
        text = f"{number}\n"
        lines.append(
            f"commit refs/heads/main\nmark :{number + 1}\ncommitter Bench <b@example.invalid> {1_600_000_000 + number} +0000\n"
            f"data 5\nmany\nM 100644 inline f{number % 500}.txt\ndata {len(text)}\n{text}"
        )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=repo, input="".join(lines).encode(), check=True)
    listed = run(repo, "git", "log", "--reverse", "--raw", "--no-abbrev", "--format=%H %T %P", "--root", "main").split("\n")
    found: list[tuple[str, str, str, str]] = []
    for line in listed:
        if line.startswith(":"):
            found[-1] = (*found[-1][:3], line.split(" ")[3])
        elif line:
            oid, tree, parent = (*line.split(" "), "")[:3]
            found.append((oid, tree, parent, ""))
    return found


def lengthen(lab: Any, log: str, count: int, oids: list[tuple[str, str, str, str]] | None = None) -> None:
    """Append `count` entries, calls and commits in turn, as the recorder would; their signatures are zeros."""
    path = journal_path(str(lab.state), log)
    db = sqlite3.connect(path)
    last = db.execute("SELECT seq, bytes FROM record ORDER BY seq DESC LIMIT 1").fetchone()
    seq, prev = last[0], hash_record(last[1])
    key = parse_record(last[1]).entry.key
    each = max(3, count // len(oids)) if oids else count + 1
    rows: list[tuple[int, bytes]] = []
    commits = iter(oids or ())
    for number in range(count):
        seq += 1
        at, session, call = format_at(1_767_323_100_000 + number * 11), f"s{number // 1000}", f"c{number // 2}"
        due = number % each == each - 1
        oid = next(commits, None) if due else None
        if oid is not None:
            entry = _commit(log, seq, prev, key, at, session, (number - number % each) // each, oid, each)
        elif number % 2:
            refs = (PayloadRef("output", f"{number:064x}", 200, "text/plain"),)
            body = {"tool": "Bash", "outcome": "finished", "exit_code": 0}
            actor = {"type": "tool", "name": "Bash"}
            entry = Entry(
                VERSION, log, seq, prev, key, at, "tool.finished", "hook", actor, body, session, "t1", call, seq - 1, refs
            )  # fmt: skip
        else:
            refs = (PayloadRef("input", f"{number:064x}", 60, "application/json"),)
            actor = {"type": "agent", "name": "codex"}
            entry = Entry(
                VERSION, log, seq, prev, key, at, "tool.requested", "hook", actor, {"tool": "Bash"}, session, "t1", call, None, refs
            )  # fmt: skip
        record = format_record(format_entry(entry), bytes(64))
        prev = hash_record(record)
        rows.append((seq, record))
        if len(rows) >= 20_000:
            db.executemany("INSERT INTO record VALUES (?, ?)", rows)
            rows.clear()
    db.executemany("INSERT INTO record VALUES (?, ?)", rows)
    db.commit()
    db.close()


def _commit(
    log: str, seq: int, prev: str, key: str, at: str, session: str, number: int, oid: tuple[str, str, str, str], each: int
) -> Entry:
    result = seq - 1 if each > 2 else seq - 2
    path = {"path": f"f{number % 500}.txt", "status": "M", "blob": oid[3], "link": "exact", "calls": [result]}
    path["lines"] = [{"range": [1, 1], "by": "agent", "call": result - 1, "link": "exact"}]
    body = {
        "oid": oid[0],
        "tree": oid[1],
        "parents": [oid[2]] if oid[2] else [],
        "paths": [path],
        "trailers": [],
        "patch_id": f"{seq:040x}",
        "via": "hook",
    }
    return Entry(
        VERSION,
        log,
        seq,
        prev,
        key,
        at,
        "commit.recorded",
        "git",
        {"type": "tool", "name": "git"},
        body,
        session,
        "t1",
        None,
        None,
        (),
    )


def tell(lab: Any, repo: Path, name: str, members: dict[str, Any]) -> None:
    """Run a hook of the agent's."""
    event = {"session_id": "bench", "turn_id": "t", "cwd": str(repo), "hook_event_name": name, **members}
    command = [sys.executable, "-I", "-m", "ledger.hook", "--state", str(lab.state), "codex"]
    subprocess.run(command, input=json.dumps(event).encode(), check=True, cwd=repo)


def parts(lab: Any, rounds: int, many: int, tools: Any) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Yield what is measured here, as `scripts/bench.py` runs it; `many` is 100,000 unless it is to be quick."""
    interleaved, _, figure = tools
    yield lambda: bench_linking(lab, many // 2, many, 7, figure)
    yield lambda: bench_blame(lab, min(rounds, 9), interleaved, figure)
    yield lambda: bench_trace(lab, many, many * 10, min(rounds, 9), interleaved, figure)
