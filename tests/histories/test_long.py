"""A history of thousands of commits, made by the generator: every question about all of it is answered."""

from __future__ import annotations

import random

import pytest
from world import COMMITTING, OPERATIONS, World

from ledger.repo.gitdir import find_repository
from ledger.trace.blame import build_blame
from ledger.trace.build import build_trace
from ledger.verify.verifier import Options, verify_repository

RARE = 0.25  # of the operations that are not plain work


@pytest.mark.parametrize("size", [60, pytest.param(5000, marks=pytest.mark.long)])
def test_everything_answers_over_a_long_history(sandbox, capsys, size):
    """`verify --coverage`, `blame` of every file and `trace` of every commit run over it, and say what was recorded."""
    dice = random.Random(20_260_101)
    world = World(sandbox, "long", files=max(12, size // 50))
    plain = [name for name in OPERATIONS if name in ("agent_edits", "agent_runs_sed", "person_edits")]
    rest = sorted(set(OPERATIONS) - set(plain) - set(COMMITTING))
    made = done = 0
    while made < size:
        world.do(dice.choice(plain), dice)
        world.do(dice.choice(COMMITTING), dice)
        if dice.random() < RARE:
            world.do(dice.choice(rest), dice)
        done += 1
        if done % 25 == 0:
            made = int(world.git("rev-list", "--count", "--branches"))
    world.finish(dice)
    repo = find_repository(str(world.path))
    report = verify_repository(repo, str(sandbox.state), Options(coverage=True))
    assert report.verdict in ("consistent", "anchored"), report.findings
    coverage = report.coverage
    assert coverage is not None and coverage.recorded > 0.8 * coverage.commits
    oids = world.git("rev-list", "--branches").split()
    with world.logs() as logs:
        rungs: dict[str, int] = {}
        for oid in oids:
            found = build_trace(repo, logs, oid)
            rungs[found["match"]["rung"]] = rungs.get(found["match"]["rung"], 0) + 1
        counts: dict[str, int] = {}
        for path in world.git("ls-files").split("\n"):
            for by, count in build_blame(repo, logs, oids[0], path.encode())["counts"].items():
                counts[by] = counts.get(by, 0) + count
    assert sum(rungs.values()) == len(oids) >= size and rungs["exact"] > 0.8 * len(oids)
    score = world.score(commits=300)
    world.close()
    with capsys.disabled():
        print(f"\n{len(oids)} commits: {coverage.recorded} of {coverage.commits} recorded, {len(coverage.missing)} missing")
        print(f"lines {counts}, rungs {rungs}\n{score.say()}\nnot as it is: {score.missed}")
    assert score.wrong_exact == []
