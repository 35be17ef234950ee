"""Recording from programs: `ledger.Recorder`, and `ledger record facts` for everything that is no Python."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from desk import Desk, Sandbox, hold_lock

import ledger
from ledger.core.kinds import KINDS, is_reserved
from ledger.errors import FormatError, NoLedger, NoRepository, Refused, StoreBusy, StoreError
from ledger.recorder import Recorder, rotate_key

AGENT = {"type": "agent", "name": "reviewer"}


def open_recorder(desk: Desk, **how: Any) -> Recorder:
    """Return a recorder for the desk's repository."""
    return Recorder.open(str(desk.path), state=str(desk.state), **how)


def test_the_recorder_is_the_packages_front(desk: Desk) -> None:
    """What docs/recording.md shows works as it stands there."""
    with ledger.Recorder.open(str(desk.path)) as recorder:
        entry = recorder.record(
            "message.sent", actor=AGENT, body={"event": "note"}, session="s1", payloads={"message": (b"looks good", "text/plain")}
        )
    assert str(entry) == f"{desk.log}/1"
    found = desk.one("message.sent")
    assert (found.source, found.actor, found.session) == ("cli", AGENT, "s1")
    assert desk.payload(1, "message") == b"looks good"
    assert desk.head_file.read_text().startswith(f"{desk.log}/1/")
    desk.check(2)


def test_it_needs_no_with(desk: Desk) -> None:
    """Each record is durable when it returns, whether or not anybody closes; after `close` it opens again."""
    recorder = open_recorder(desk)
    for number in range(3):
        assert recorder.record("message.sent", actor=AGENT).seq == number + 1
        desk.check(number + 2)
    recorder.close()
    assert recorder.record("message.sent", actor=AGENT).seq == 4
    recorder.close()
    recorder.close()


def test_two_recorders_and_a_hook_share_a_log(desk: Desk) -> None:
    """Nobody keeps a state of the chain of their own."""
    first, second = open_recorder(desk), open_recorder(desk)
    for recorder in (first, second, first):
        recorder.record("message.sent", actor=AGENT)
    desk.tell(desk.prompt("in between"))
    assert second.record("message.sent", actor=AGENT).seq == 6
    first.close()
    second.close()
    desk.check(7)


def test_calls_are_tied_together(desk: Desk) -> None:
    """A result names its request as cause, a decision too, and a commit in between the call."""
    with open_recorder(desk) as recorder:
        call = {"actor": AGENT, "session": "s1", "turn": "t1", "call": "c1", "body": {"tool": "Shell"}}
        request = recorder.record("tool.requested", **call)
        decision = recorder.record("approval.decided", **{**call, "body": {"decision": "allowed"}})
        oid = desk.commit("inside", {"a": "1\n"}, LEDGER_SESSION_ID="s1", LEDGER_CALL_ID="c1")
        result = recorder.record("tool.finished", **{**call, "body": {"tool": "Shell", "outcome": "finished"}})
    assert "basis" not in desk.one("approval.decided").body, "all of it was observed"
    causes = {entry.seq: entry.cause for entry in desk.entries()}
    assert causes[decision.seq] == causes[result.seq] == request.seq
    assert desk.of_commit(oid).call == "c1"
    desk.check()


def test_equal_facts_of_programs_are_all_recorded(desk: Desk) -> None:
    """Whoever records by name gets an entry by that name, also right after another said the same."""
    desk.tell(desk.event("Stop", session_id="s", turn_id=None))
    with open_recorder(desk) as recorder:
        names = [
            recorder.record("message.sent", actor={"type": "agent", "name": n}, body={"event": "Stop"}, session="s") for n in "abb"
        ]
    assert len({name.seq for name in names}) == 3
    with open_recorder(desk) as recorder:
        assert recorder.record("plan.updated", actor=AGENT).seq == names[-1].seq + 1


def test_lone_surrogates_are_cleaned(desk: Desk) -> None:
    """Identifiers and bodies from careless programs never break the log."""
    with open_recorder(desk) as recorder:
        recorder.record(
            "tool.requested", actor=AGENT, session="s\ud800", turn="\udfff", call="c\udc80", body={"tool\ud800": "x\udcff"}
        )
        recorder.record("tool.finished", actor=AGENT, session="s\ud800", turn="\udfff", call="c\udc80")
    entry = desk.one("tool.finished")
    assert (entry.session, entry.turn, entry.call, entry.cause) == ("s�", "�", "c�", 1)
    desk.check(3)


def deep(levels: int) -> Any:
    """Return an array in arrays."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


REFUSED: dict[str, dict[str, Any]] = {
    "a real": {"body": {"ratio": 0.5}},
    "not a number": {"body": {"x": float("nan")}},
    "a large integer": {"body": {"x": 2**53}},
    "bytes": {"body": {"x": b"y"}},
    "a member name that is no text": {"body": {5: "x"}},
    "too deep": {"body": {"x": deep(20)}},
    "far too deep": {"body": {"x": deep(5000)}},
    "too large": {"body": {"x": "y" * 2_000_000}},
    "a long session": {"session": "s" * 513},
    "an unknown kind": {"kind": "tool.invented"},
    "no kind at all": {"kind": ""},
    "a pause": {"kind": "recording.paused"},
    "an unknown actor": {"actor": {"type": "robot"}},
    "an actor without type": {"actor": {}},
    "an actor of a list": {"actor": {"type": ["agent"]}},
    "the recorder": {"actor": {"type": "recorder", "name": "ledger"}},
    "a human's name": {"actor": {"type": "human", "name": "Ada"}},
    "an actor with more": {"actor": {"type": "agent", "name": "x", "mood": "good"}},
    "a payload with a capital": {"payloads": {"Prompt": (b"x", "text/plain")}},
    "a payload without a name": {"payloads": {"": (b"x", "text/plain")}},
    "a payload with a path": {"payloads": {"../x": (b"x", "text/plain")}},
    "a payload with a long name": {"payloads": {"x" * 65: (b"x", "text/plain")}},
    "a payload without media": {"payloads": {"x": (b"x", "")}},
    "a payload with long media": {"payloads": {"x": (b"x", "t" * 256)}},
    **{kind: {"kind": kind} for kind in sorted(KINDS) if is_reserved(kind)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_entry_can_hold_is_refused_and_leaves_nothing(desk: Desk, name: str) -> None:
    """FormatError, an unchanged log, and a recorder that still works."""
    with open_recorder(desk) as recorder:
        good: Mapping[str, Any] = {"kind": "message.sent", "actor": AGENT}
        with pytest.raises(FormatError):
            recorder.record(**{**good, **REFUSED[name]})
        desk.check(1)
        assert recorder.record(**good).seq == 1
    desk.check(2)


def test_places_without_a_ledger_are_named(sandbox: Sandbox) -> None:
    """No repository and no log are two different errors, with a remedy."""
    with pytest.raises(NoRepository):
        Recorder.open(str(sandbox.root))
    repo = sandbox.make_repo(commit=True)
    with pytest.raises(NoLedger) as raised:
        Recorder.open(str(repo))
    assert "ledger init" in raised.value.remedy and not sandbox.state.exists()


def test_a_program_is_told_of_lock_and_disk(desk: Desk) -> None:
    """The API raises where a hook spools: its caller decides."""
    with open_recorder(desk, wait_s=0.05) as recorder:
        with hold_lock(desk.lock), pytest.raises(StoreBusy):
            recorder.record("message.sent", actor=AGENT)
        assert recorder.record("message.sent", actor=AGENT).seq == 1
    desk.journal.rename(desk.journal.with_name("elsewhere"))
    with open_recorder(desk) as recorder, pytest.raises(StoreError):
        recorder.record("message.sent", actor=AGENT)
    assert not desk.journal.exists()


def test_a_program_that_runs_for_long_notices_another_journal(desk: Desk) -> None:
    """Removed under its feet, the journal is missed at once; put back, it is written again. Nothing goes into a removed file."""
    with open_recorder(desk) as recorder:
        recorder.record("message.sent", actor=AGENT)
        kept = {path: path.read_bytes() for path in desk.journal.parent.glob("journal.db*")}
        for path in kept:
            path.unlink()
        with pytest.raises(StoreError):
            recorder.record("message.sent", actor=AGENT)
        for path, data in kept.items():
            path.write_bytes(data)
        assert recorder.record("message.sent", actor=AGENT).seq == 2
    desk.check(3)


def test_while_paused_programs_are_refused(desk: Desk) -> None:
    """Nobody believes that it was recorded; commits of the pause do not slip in with a fact."""
    cli = [sys.executable, "-m", "ledger", "-C", str(desk.path), "--state", str(desk.state)]
    assert desk.sandbox.run(*cli, "pause", "-m", "lunch", cwd=desk.path).returncode == 0
    desk.commit_unseen("meanwhile", {"a": "1\n"})
    with open_recorder(desk) as recorder, pytest.raises(Refused):
        recorder.record("message.sent", actor=AGENT)
    assert desk.kinds() == ["recording.paused"]
    assert desk.payload(1, "reason") == b"lunch"


def test_a_rotated_key_signs_what_follows(desk: Desk) -> None:
    """Also in a process that had the old key loaded; the chain proves the change."""
    with open_recorder(desk) as recorder:
        recorder.record("message.sent", actor=AGENT)
        new = rotate_key(desk.repo, str(desk.state))
        recorder.record("message.sent", actor=AGENT)
    desk.tell(desk.prompt("by hook"))
    entries = desk.check()
    rotated = next(entry.seq for entry in entries if entry.kind == "key.rotated")
    assert {entry.key == new for entry in entries[: rotated + 1]} == {False}
    assert {entry.key == new for entry in entries[rotated + 1 :]} == {True}


# The command line


def record(desk: Desk, *facts: Mapping[str, Any] | str | bytes, options: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """Run `ledger record facts` and return exit code, standard output and standard error."""
    lines = [fact if isinstance(fact, str | bytes) else json.dumps(fact) for fact in facts]
    data = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
    path = desk.sandbox.root / "facts.jsonl"
    path.write_bytes(data)
    argv = [sys.executable, "-m", "ledger", "--state", str(desk.state), "record", "facts", *options]
    done = desk.sandbox.run("sh", "-c", 'exec "$@" <"$0"', str(path), *argv, cwd=desk.path)
    return done.returncode, done.stdout, done.stderr


FACT = {"kind": "message.sent", "actor": AGENT, "session": "s1"}


def test_facts_from_a_shell(desk: Desk) -> None:
    """One object a line; texts and base64 become payloads; empty lines are nothing; each entry's name is printed."""
    call = {**FACT, "call": "c1", "turn": "t1"}
    code, out, err = record(
        desk,
        {
            "kind": "prompt.submitted",
            "actor": {"type": "unknown"},
            "payloads": {"prompt": {"text": "fix it: é", "media": "text/plain"}},
        },
        "",
        {
            **call,
            "kind": "tool.requested",
            "body": {"tool": "X"},
            "payloads": {"input": {"base64": base64.b64encode(b"\0\xff").decode()}},
        },
        {**call, "kind": "tool.finished", "body": {"tool": "X", "outcome": "finished"}, "actor": {"type": "tool", "name": "X"}},
    )
    assert (code, err) == (0, "")
    assert out == "".join(f"{desk.log}/{seq}\n" for seq in (1, 2, 3))
    prompt, request, result = desk.entries()
    assert desk.payload(prompt.seq, "prompt") == "fix it: é".encode()
    assert desk.payload(request.seq, "input") == b"\0\xff"
    assert request.payloads[0].media == "application/octet-stream"
    assert result.cause == request.seq and result.source == "cli"
    desk.check(4)


def test_facts_as_json(desk: Desk) -> None:
    """With --json the names come as JSON, also where there are none."""
    assert json.loads(record(desk, FACT, FACT, options=("--json",))[1]) == {"entries": [f"{desk.log}/1", f"{desk.log}/2"]}
    assert json.loads(record(desk, options=("--json",))[1]) == {"entries": []}
    assert record(desk) == (0, "", "")
    desk.check(3)


def test_a_call_told_twice_is_recorded_once(desk: Desk) -> None:
    """The name printed the second time is that of the entry that is there."""
    call = {**FACT, "kind": "tool.requested", "call": "c1", "body": {"tool": "X"}}
    assert record(desk, call)[1] == record(desk, call)[1] == f"{desk.log}/1\n"
    desk.check(2)


def test_checking_records_nothing(desk: Desk) -> None:
    """--check says whether the facts are well formed."""
    assert record(desk, FACT, FACT, options=("--check",)) == (0, "2 well-formed facts\n", "")
    assert record(desk, "x", options=("--check",))[0] == 1
    desk.check(1)


BAD_LINES: dict[str, Mapping[str, Any] | str | bytes] = {
    "no JSON": "{",
    "an array": "[]",
    "not UTF-8": b'{"kind": "\xff"}',
    "deep nesting": "[" * 100_000,
    "a body nested deeply": '{"kind": "message.sent", "actor": {"type": "unknown"}, "body": {"x": ' + "[" * 900 + "]" * 900 + "}}",
    "no kind": {"actor": AGENT},
    "no actor": {"kind": "message.sent"},
    "a member too many": {**FACT, "seq": 5},
    "a source of its own": {**FACT, "source": "hook"},
    "a kind of the ledger's": {**FACT, "kind": "commit.recorded"},
    "a kind of nobody's": {**FACT, "kind": "message.invented"},
    "an empty session": {**FACT, "session": ""},
    "a long call": {**FACT, "call": "c" * 513},
    "a call that is a number": {**FACT, "call": 5},
    "a body that is a list": {**FACT, "body": []},
    "payloads that are a list": {**FACT, "payloads": []},
    "a payload of nothing": {**FACT, "payloads": {"x": {}}},
    "a payload of both": {**FACT, "payloads": {"x": {"text": "a", "base64": "YQ=="}}},
    "a payload of a number": {**FACT, "payloads": {"x": {"text": 5}}},
    "a payload of no base64": {**FACT, "payloads": {"x": {"base64": "?"}}},
    "an actor that is a text": {**FACT, "actor": "agent"},
    "an actor of a list": {**FACT, "actor": {"type": ["agent"]}},
    "a human's name": {**FACT, "actor": {"type": "human", "name": "Ada"}},
    "a real": {**FACT, "body": {"x": 0.5}},
    "a payload with a capital": {**FACT, "payloads": {"X": {"text": "a"}}},
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_and_nothing_is_recorded(desk: Desk, name: str) -> None:
    """All lines or none; the message says which line and what is wrong with it, without a traceback."""
    code, out, err = record(desk, FACT, FACT, BAD_LINES[name], FACT)
    assert (code, out) == (1, "")
    assert err.startswith("ledger: line 3: ") and "Traceback" not in err and "internal" not in err
    desk.check(1)


def test_a_repository_without_a_ledger_is_said(sandbox: Sandbox) -> None:
    """Exit code 3, and what to do."""
    code, _, err = record(Desk(sandbox, sandbox.make_repo()), FACT)
    assert code == 3 and "ledger init" in err and "Traceback" not in err
