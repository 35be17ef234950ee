"""What a hook process loads and asks of the disk: the cost of recording, held by counting, never by a clock."""

from __future__ import annotations

import base64
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandboxes import Sandbox

from ledger.recorder import begin_log
from ledger.repo.gitdir import find_repository
from ledger.store.journal import Journal
from ledger.store.sshagent import agent_keys
from ledger.store.state import journal_path

# Whatever a bare `python -I` loads, and these. A new name here costs every tool call of every agent: measure it first.
STANDARD = set(
    """
    __future__ _bisect _blake2 _md5 _sha1 _sha256 _sha3 _collections _collections_abc _datetime _functools _hashlib _json _operator
    _sha2 _sha512 _socket _sqlite3 _sre _struct _typing _warnings _weakrefset array binascii bisect collections contextlib copyreg
    datetime enum errno fcntl functools gc hashlib importlib itertools json keyword math operator pwd re reprlib select
    selectors socket sqlite3 struct time types typing warnings zlib
    """.split()
)
# Loaded by nobody's wish of ours: sqlite3 brings datetime and collections.abc, cryptography brings its bindings.
ED25519 = {"cryptography", "_cffi_backend", "_openssl"}
NEVER = set(
    """
    asyncio argparse ast base64 click concurrent ctypes dataclasses email http importlib.metadata inspect logging
    multiprocessing pathlib pickle platform pygit2 random rich secrets shutil sqlite_utils ssl subprocess tempfile threading
    traceback urllib uuid xml zipfile orjson
    """.split()
)
_PROBE = """
import os, runpy, sys
bare, leave = set(sys.modules), os._exit
def say(code):
    os.write(2, " ".join(sorted(name for name, module in sys.modules.items() if module and name not in bare)).encode())
    leave(code)
os._exit = say
runpy.run_module("ledger.hook", run_name="__main__", alter_sys=True)
"""


def event(repo: Path, name: str = "PreToolUse", **members: object) -> bytes:
    """Return an event of Codex."""
    given = {"command": "*** Begin Patch\n*** Update File: README\n*** End Patch"}
    call = {"tool_name": "apply_patch", "tool_input": given, "tool_use_id": "c1"}
    return json.dumps({"hook_event_name": name, "session_id": "s", "turn_id": "t", "cwd": str(repo), **call, **members}).encode()


def loaded(sandbox: Sandbox, repo: Path, *words: str, data: bytes = b"") -> set[str]:
    """Run a hook and return the modules that it loaded beyond those of a bare Python."""
    argv = [sys.executable, "-I", "-c", _PROBE, "--state", str(sandbox.state), *words]
    done = subprocess.run(argv, input=data, cwd=repo, env=sandbox.env, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()
    return set(done.stderr.decode().split())


def outer(names: set[str]) -> set[str]:
    """Return the first part of each name, without ours."""
    return {name.partition(".")[0] for name in names} - {"ledger"}


@pytest.fixture
def repo(sandbox: Sandbox) -> Path:
    """A repository with a ledger."""
    path = sandbox.make_repo(commit=True)
    begin_log(find_repository(str(path)), str(sandbox.state))
    return path


def count_records(repo: Path, sandbox: Sandbox) -> int:
    """Return how many records there are, whatever the log is called."""
    (journal,) = sandbox.state.glob("logs/*/journal.db")
    with sqlite3.connect(journal) as db:
        return int(db.execute("SELECT count(*) FROM record").fetchone()[0])


@pytest.mark.parametrize("agent", ["codex", "claude-code"])
def test_an_agents_hook_loads_the_standard_library_and_ed25519(sandbox: Sandbox, repo: Path, agent: str) -> None:
    """Every event of a call, the first of its session included, keeps to the list."""
    for name in ("PreToolUse", "PostToolUse", "Stop"):
        names = loaded(sandbox, repo, agent, data=event(repo, name, tool_response="ok"))
        assert outer(names) - STANDARD - ED25519 == set(), f"{name} loads something new"
        assert {each for each in names if each in NEVER} == set()
        assert "ledger.cli" not in names and "ledger.verify" not in names
    assert count_records(repo, sandbox) == 5


@pytest.mark.parametrize(
    ("agent", "path"), [("codex", ".codex/sessions/2026/11/22/rollout-x.jsonl"), ("claude-code", ".claude/projects/-x/s.jsonl")]
)
def test_a_hook_with_a_transcript_keeps_to_the_list(sandbox: Sandbox, repo: Path, agent: str, path: str) -> None:
    """Reading what the agent wrote of itself takes JSON and files; telemetry, decisions and grants are not loaded for a call."""
    transcript = sandbox.root / path
    transcript.parent.mkdir(parents=True)
    transcript.write_text('{"type":"session_meta","payload":{"id":"s"}}\n{"type":"user","sessionId":"s"}\n')
    for name in ("PreToolUse", "PostToolUse", "Stop"):
        names = loaded(sandbox, repo, agent, data=event(repo, name, tool_response="ok", transcript_path=str(transcript)))
        assert outer(names) - STANDARD - ED25519 == set(), f"{name} loads something new"
        assert {each for each in names if each in NEVER} == set()
        mine = {each for each in names if each.startswith(("ledger.agents", "ledger.recording"))}
        assert not mine & {"ledger.agents.telemetry", "ledger.agents.codex_otel", "ledger.agents.otel"}
        assert name == "Stop" or "ledger.recording.grants" not in mine


_OPENCODE = {"input": {"tool": "edit", "sessionID": "s", "callID": "c1", "args": {}}, "output": {"args": {}}}


@pytest.mark.parametrize(
    ("agent", "names", "members"),
    [
        ("gemini", ("BeforeTool", "AfterTool", "AfterAgent"), {"timestamp": "2026-01-02T03:04:05.678Z"}),
        ("opencode", ("tool.execute.before", "tool.execute.after", "chat.message"), _OPENCODE),
        ("claude-code", ("preToolUse", "postToolUse", "stop"), {"cursor_version": "1"}),
    ],
)
def test_hooks_of_the_other_agents_load_no_more(
    sandbox: Sandbox, repo: Path, agent: str, names: tuple[str, ...], members: dict[str, object]
) -> None:
    """Naming calls that have no names, and telling who called, costs no library either."""
    for name in names:
        loaded_by = loaded(sandbox, repo, agent, data=event(repo, name, tool_response="ok", **members))
        assert outer(loaded_by) - STANDARD - ED25519 == set(), f"{name} loads something new"
        assert {each for each in loaded_by if each in NEVER} == set()
    assert count_records(repo, sandbox) == 5


@pytest.mark.parametrize("words", [("git", "post-commit"), ("git", "post-merge"), ("git", "post-rewrite", "amend")])
def test_a_git_hook_loads_no_more(sandbox: Sandbox, repo: Path, words: tuple[str, ...]) -> None:
    """Recording a commit starts git by hand, for importing subprocess would cost 5 ms."""
    sandbox.commit(repo, "second", {"a": "1\n"})
    names = loaded(sandbox, repo, *words)
    assert outer(names) - STANDARD - ED25519 == set()
    assert {each for each in names if each in NEVER} == set()
    assert count_records(repo, sandbox) == 2


def test_events_of_unknown_repositories_load_neither_keys_nor_agents(sandbox: Sandbox) -> None:
    """Hooks for all of a user's repositories are ignored at once where there is no ledger."""
    path = sandbox.make_repo("other")
    names = loaded(sandbox, path, "codex", data=event(path, tool_input={"command": "ls"}))
    assert "cryptography" not in names
    assert not any(name.startswith("ledger.agents.c") for name in names)
    assert not sandbox.state.exists()


@pytest.fixture
def ssh_agent(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A running ssh-agent with one Ed25519 key; SSH_AUTH_SOCK names it."""
    for tool in ("ssh-agent", "ssh-add", "ssh-keygen"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    # A socket's path holds some 100 bytes, so it cannot lie as deep as a test's own folder may.
    done = subprocess.run(["mktemp", "-d", "/tmp/agent-XXXXXX"], capture_output=True, text=True, check=True)
    folder = Path(done.stdout.strip())
    socket = folder / "s"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL, env=sandbox.env)
    try:
        key = sandbox.root / "id"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(key)], check=True, env=sandbox.env)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        for _ in range(500):
            added = subprocess.run(
                ["ssh-add", "-q", str(key)], env={**sandbox.env, "SSH_AUTH_SOCK": str(socket)}, capture_output=True
            )
            if added.returncode == 0:
                break
            subprocess.run(["sleep", "0.02"], check=True)
        assert len(agent_keys(str(socket))) == 1
        yield socket
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def test_with_an_ssh_agent_cryptography_is_never_loaded(sandbox: Sandbox, ssh_agent: Path) -> None:
    """The private key is nowhere in the state folder, and signing takes a socket and struct."""
    path = sandbox.make_repo(commit=True)
    begun = begin_log(find_repository(str(path)), str(sandbox.state), key="ssh-agent")
    assert begun.key_storage == "ssh-agent"
    for name in ("UserPromptSubmit", "PreToolUse"):
        names = loaded(sandbox, path, "codex", data=event(path, name, prompt="hi"))
        assert outer(names) & ED25519 == set()
        assert outer(names) - STANDARD == set()
    assert count_records(path, sandbox) == 4
    secret = base64.b64decode("".join((sandbox.root / "id").read_text().split("\n")[1:-2]))[-60:-20]
    held = b"".join(each.read_bytes() for each in sandbox.state.rglob("*") if each.is_file())
    assert secret not in held


def syscalls(sandbox: Sandbox, repo: Path, data: bytes) -> dict[str, int]:
    """Return how often a hook asks the disk to make something durable."""
    report = sandbox.root / "strace.txt"
    argv = ["strace", "-f", "-o", str(report), "-e", "trace=fsync,fdatasync,sync,syncfs,sync_file_range,fork,vfork,clone,clone3"]
    hook = [sys.executable, "-I", "-m", "ledger.hook", "--state", str(sandbox.state), "codex"]
    done = subprocess.run([*argv, *hook], input=data, cwd=repo, env=sandbox.env, capture_output=True, timeout=120, check=False)
    if b"ptrace" in done.stderr.lower():
        pytest.skip("strace may not trace here")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    text = report.read_text()
    children = len(re.findall(r"\b(?:v?fork|clone3?)\(", text))
    return {"syncs": len(re.findall(r"\b(?:fsync|fdatasync|sync|syncfs|sync_file_range)\(", text)), "children": children}


def test_a_hook_syncs_as_often_at_5000_entries_as_at_10(sandbox: Sandbox, repo: Path) -> None:
    """An append is one transaction: one sync of the write-ahead log, no child process, whatever the log's length."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    counts = []
    for number in range(12):
        hook = [sys.executable, "-I", "-m", "ledger.hook", "--state", str(sandbox.state), "codex"]
        data = event(repo, "UserPromptSubmit", prompt=f"warm {number}")
        if number in (2, 10, 11):
            counts.append(syscalls(sandbox, repo, data))
        else:
            subprocess.run(hook, input=data, cwd=repo, env=sandbox.env, check=True, timeout=60)
    (path,) = sandbox.state.glob("logs/*/journal.db")
    with sqlite3.connect(path) as db:
        (size,) = db.execute("SELECT count(*) FROM record").fetchone()
        last = db.execute("SELECT bytes FROM record ORDER BY seq DESC LIMIT 1").fetchone()[0]
        # The log grows as the recorder would let it: in one transaction here, for 5,000 signatures would only heat the room.
        db.executemany("INSERT INTO record VALUES (?, ?)", ((seq, last) for seq in range(size, 5000)))
        db.execute("UPDATE record SET bytes = ? WHERE seq = 4999", (last.replace(b'"seq":%d' % (size - 1), b'"seq":4999'),))
        db.executemany("INSERT INTO done VALUES (?, 1, 1, 'codex')", ((f"key-{n}",) for n in range(5000)))
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    subprocess.run(hook, input=event(repo, "UserPromptSubmit", prompt="x"), cwd=repo, env=sandbox.env, check=True, timeout=60)
    counts.append(syscalls(sandbox, repo, event(repo, "UserPromptSubmit", prompt="y")))
    assert count_records(repo, sandbox) == 5002
    assert len({tuple(each.items()) for each in counts}) == 1, counts
    assert counts[0]["syncs"] <= 2 and counts[0]["children"] == 0


def test_no_question_of_a_hook_reads_a_whole_table(sandbox: Sandbox, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite plans every statement of a call, a commit and a prompt by index; only the few open calls are looked through."""
    asked: set[str] = set()
    original = Journal.__init__

    def spy(self: Journal, state: str, log: str) -> None:
        original(self, state, log)
        self.db.set_trace_callback(asked.add)

    monkeypatch.setattr(Journal, "__init__", spy)
    from ledger.recorder import Recorder
    from ledger.recording.events import make_event, record_event
    from ledger.recording.writer import now_ms

    place = find_repository(str(repo))
    recorder = Recorder.find(place, str(sandbox.state))
    assert recorder is not None
    for name in ("UserPromptSubmit", "PreToolUse", "PostToolUse", "PermissionRequest", "Stop", "commit", "PreToolUse"):
        if name == "commit":
            sandbox.commit(repo, "second", {"README": "two\n"})
            each = make_event("git", ("post-commit",), b"", str(repo), {"CODEX_SESSION_ID": "s"}, now_ms())
        else:
            (repo / "README").write_text(name)
            each = make_event("codex", (), event(repo, name, prompt="p", tool_response="r"), str(repo), {}, now_ms())
        recorder.append(lambda writer, each=each: record_event(writer, place, each, live=True))
    recorder.close()
    plans = {}
    with sqlite3.connect(journal_path(str(sandbox.state), recorder.clone.log)) as db:
        for sql in asked:
            if sql.startswith(("SELECT", "INSERT", "DELETE", "UPDATE")):
                plans[sql] = " ; ".join(row[3] for row in db.execute("EXPLAIN QUERY PLAN " + sql))
    assert len([sql for sql in plans if sql.startswith("SELECT")]) >= 8
    scans = {sql: plan for sql, plan in plans.items() if "SCAN" in plan and "SCAN call" not in plan}
    # The newest row is found from the end of the tree: SQLite calls that a scan, and reads one row.
    assert set(scans) <= {"SELECT seq, bytes FROM record ORDER BY seq DESC LIMIT 1"}
    assert not any("TEMP B-TREE" in plan for sql, plan in plans.items() if " call " not in sql)


def test_what_lies_in_the_work_tree_is_never_imported(sandbox: Sandbox, repo: Path) -> None:
    """A `json.py` of the audited repository does not run inside the recorder, whoever says where to look."""
    trap = f"open({str(sandbox.root / 'sprung')!r}, 'w').close()\nraise SystemExit(7)\n"
    for name in ("json.py", "ledger.py", "hashlib.py", "sitecustomize.py", "usercustomize.py", "encodings.py"):
        (repo / name).write_text(trap)
    (repo / "ledger").mkdir()
    (repo / "ledger/__init__.py").write_text(trap)
    env = {**sandbox.env, "PYTHONPATH": str(repo), "PYTHONSTARTUP": str(repo / "json.py"), "PYTHONHOME": "/nonexistent"}
    for words in (["codex"], ["git", "post-commit"]):
        argv = [sys.executable, "-I", "-m", "ledger.hook", "--state", str(sandbox.state), *words]
        done = subprocess.run(argv, input=event(repo), cwd=repo, env=env, capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not (sandbox.root / "sprung").exists()
    assert count_records(repo, sandbox) == 4
