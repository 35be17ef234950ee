"""Attribution held against known truth, over random histories; the figures are printed."""

from __future__ import annotations

import itertools
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import OPERATIONS, Score, World

LINES, FILES = 0.97, 0.99


def test_random_histories_are_attributed_as_they_were_made(sandbox, capsys):
    """Of lines and files nearly all are given to whom they belong, and no line of a person's is an agent's as `exact`."""
    total, numbers = Score(), itertools.count()

    @settings(max_examples=10, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.sampled_from(OPERATIONS), min_size=25, max_size=45), st.integers(0, 2**32))
    def live(operations, seed):
        dice = random.Random(seed)
        world = World(sandbox, f"world{next(numbers)}")
        for name in ("agent_edits", "person_edits", "agent_edits", "person_commits", *operations):
            world.do(name, dice)
        world.finish(dice)
        found = world.score()
        world.close()
        total.add(found)
        assert found.wrong_exact == []

    live()
    with capsys.disabled():
        print(f"\n{next(numbers)} random histories: {total.say()}\nnot as it is: {total.missed}")
    ratios = total.ratios()
    assert ratios["line precision"] >= LINES and ratios["line recall"] >= LINES
    assert ratios["file precision"] >= FILES and ratios["file recall"] >= FILES
