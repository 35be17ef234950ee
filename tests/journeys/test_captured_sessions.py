"""Every hook payload of the captured Codex and Claude Code sessions, replayed into a log that both verifiers believe."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from ledger.core.entry import parse_record
from ledger.recorder import Recorder, begin_log
from ledger.recording.events import make_event, record_event
from ledger.recording.writer import now_ms
from ledger.repo.gitdir import find_repository
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path
from ledger.verify.verifier import Options, verify_repository

ROOT = Path(__file__).resolve().parents[2]
CAPTURES = ROOT.parent / "shared" / "captures"
SESSIONS = [
    *(("codex", name) for name in ("codex/drive_auto", "codex/tui", "codex/resume")),
    *(("claude-code", name) for name in ("claude/full", "claude/interactive", "claude/plan", "claude/reject")),
]


def payloads(session: Path) -> list[bytes]:
    """Return a captured session's hook payloads in the order in which they came."""
    lines = session / "hooks.jsonl"
    if lines.exists():
        found = [json.loads(line) for line in lines.read_text().splitlines()]
        return [json.dumps(event.get("stdin", event)).encode() for event in found]
    return [path.read_bytes() for path in sorted((session / "hooks").glob("*.json"))]


@pytest.mark.parametrize(("agent", "name"), SESSIONS, ids=[name.replace("/", "-") for _, name in SESSIONS])
def test_captured_session_replays_into_a_log_that_verifies(agent, name, sandbox, monkeypatch):
    """Each payload becomes at least one entry, none a gap, and the whole log is consistent without a finding."""
    session = CAPTURES / name
    if not session.exists():
        pytest.skip(f"the captured session {name} is not beside this checkout")
    events = payloads(session)
    repo = find_repository(str(sandbox.make_repo("demo", commit=True)))
    state = str(sandbox.state)
    log = begin_log(repo, state).log
    monkeypatch.chdir(repo.work_tree)
    with Recorder.open(repo.work_tree, state=state) as recorder:
        for number, data in enumerate(events):
            event = make_event(agent, (), data, repo.work_tree, {}, now_ms() + 3000 * number)
            recorder.append(lambda writer, event=event: record_event(writer, repo, event, live=True))

    with JournalReader(journal_path(state, log)) as journal:
        entries = [parse_record(record).entry for _, record in journal.records()]
    kinds = [entry.kind for entry in entries]
    assert "gap.noted" not in kinds
    assert kinds.count("session.started") >= 1
    assert kinds.count("prompt.submitted") == sum(b'"UserPromptSubmit"' in data for data in events)
    named = {json.loads(data).get("tool_use_id") for data in events} - {None}
    assert named <= {entry.call for entry in entries if entry.kind == "tool.requested"}
    report = verify_repository(repo, state, Options(full=True))
    assert (report.verdict, report.findings) == ("consistent", ())
    assert independent().main([str(journal_path(state, log)), "--repo", repo.work_tree, "--name", log]) == 0


def independent() -> ModuleType:
    """Load the verifier that was written from the specification alone."""
    spec = importlib.util.spec_from_file_location("verify_independent", ROOT / "scripts" / "verify_independent.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
