"""What was acknowledged stays, whoever is killed and however many write."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from itertools import pairwise

import pytest
from desk import Desk

_WRITER = """
import sys
from ledger.recorder import Recorder
with Recorder.open(sys.argv[1], state=sys.argv[2], wait_s=30.0) as recorder:
    for number in range(int(sys.argv[4])):
        text = f"{sys.argv[3]}-{number}"
        prompt = (text.encode() + b"x" * 500, "text/plain")
        name = recorder.record("prompt.submitted", actor={"type": "unknown"}, payloads={"prompt": prompt})
        print(name.seq, text, flush=True)
"""


def writer(desk: Desk, name: str, count: int) -> subprocess.Popen[str]:
    """Start a process that appends `count` entries and says each on standard output once it is durable."""
    argv = [sys.executable, "-I", "-c", _WRITER, str(desk.path), str(desk.state), name, str(count)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=desk.sandbox.env)


def prompts(desk: Desk) -> dict[int, str]:
    """Return what each prompt of the log says, by seq."""
    return {entry.seq: desk.payload(entry.seq, "prompt").decode().rstrip("x") for entry in desk.entries("prompt.submitted")}


def test_twenty_kills_lose_no_acknowledged_entry(desk: Desk) -> None:
    """SIGKILL at any moment: the next writer goes on without repair, in one chain."""
    dice = random.Random(7)
    acknowledged: dict[int, str] = {}
    for number in range(20):
        process = writer(desk, f"round{number}", 10_000)
        assert process.stdout is not None
        for _ in range(dice.randrange(1, 40)):
            seq, text = process.stdout.readline().split()
            acknowledged[int(seq)] = text
        process.kill()
        for line in process.stdout.read().splitlines():
            if len(line.split()) == 2 and line.split()[1].startswith("round"):
                acknowledged[int(line.split()[0])] = line.split()[1]
        process.wait(30)
        process.stdout.close()
    # A line may have been cut by the kill: such a text is the beginning of what was written.
    found = prompts(desk)
    assert {seq: found[seq].startswith(text) for seq, text in acknowledged.items()} == dict.fromkeys(acknowledged, True)
    assert len(acknowledged) >= 20
    desk.tell(desk.prompt("after all that"))
    assert desk.head_file.read_text().split("/")[1] == str(len(desk.check()) - 1)


def test_eight_writers_lose_nothing(desk: Desk) -> None:
    """Eight processes at once: every entry is there once, each writer's in its order, in one chain without a gap."""
    processes = [writer(desk, f"w{number}", 15) for number in range(8)]
    said = {}
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        said.update({int(seq): text for seq, text in (line.split() for line in out.splitlines())})
    assert prompts(desk) == said and len(said) == 120
    for number in range(8):
        assert [text for text in prompts(desk).values() if text.startswith(f"w{number}-")] == [f"w{number}-{n}" for n in range(15)]
    desk.check(121)


def test_eight_agents_hooks_lose_nothing(desk: Desk) -> None:
    """Parallel calls, each with a process for every event: all of them recorded, causes right, nothing spooled."""
    expected = set()
    for _ in range(2):
        hooks = []
        for number in range(8):
            call = f"c{len(expected)}-{number}"
            hook = subprocess.Popen(
                desk.argv("codex"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=desk.path, env=desk.sandbox.env
            )
            assert hook.stdin is not None
            hook.stdin.write(json.dumps(desk.before(call)).encode())
            hook.stdin.close()
            hooks.append((call, hook))
        for call, hook in hooks:
            assert hook.stderr is not None
            assert hook.stderr.read() == b"" and hook.wait(60) == 0
            hook.stderr.close()
            expected.add(call)
    assert {entry.call for entry in desk.entries("tool.requested")} == expected and len(expected) == 16
    assert desk.entries("gap.noted") == [] and not desk.spool.exists()
    assert len(desk.entries("session.started")) == 1
    desk.check(18)


def test_the_head_file_never_goes_back(desk: Desk) -> None:
    """It is replaced under the lock, so that a commit never quotes an older head than the one before it."""
    processes = [writer(desk, f"w{number}", 20) for number in range(3)]
    seen = []
    while any(process.poll() is None for process in processes):
        seen.append(desk.head_file.read_text())
    for process in processes:
        process.communicate(timeout=60)
    seqs = [int(text.split("/")[1]) for text in seen]
    assert all(before <= after for before, after in pairwise(seqs))
    assert all(text.endswith("\n") and text.count("/") == 2 for text in seen)
    assert int(desk.head_file.read_text().split("/")[1]) == 60


@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
def test_a_hook_killed_in_an_append_leaves_all_or_nothing(desk: Desk, moment: str) -> None:
    """An event of two facts is in the log whole, or not at all, and the next event needs no repair."""
    script = """
import os, signal, sys
from ledger import hook
from ledger.store.journal import Journal
leave = Journal.__exit__
def die(self, *failure):
    if sys.argv[1] == "after the commit":
        leave(self, *failure)
    os.kill(os.getpid(), signal.SIGKILL)
Journal.__exit__ = die
hook.main(sys.argv[2:])
"""
    argv = [sys.executable, "-I", "-c", script, moment, "--state", str(desk.state), "codex"]
    data = json.dumps(desk.before("c1")).encode()
    done = subprocess.run(argv, input=data, cwd=desk.path, env=desk.sandbox.env, capture_output=True, check=False)
    assert done.returncode == -9
    assert desk.kinds() == (["session.started", "tool.requested"] if moment == "after the commit" else [])
    desk.tell(desk.before("c1"))
    assert desk.kinds() == ["session.started", "tool.requested"]
    desk.tell(desk.after("c1"))
    assert desk.head_file.read_text().split("/")[1] == "3"
    desk.check(4)
