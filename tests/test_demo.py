"""`scripts/demo`: what it says to whoever calls it wrongly. What it shows is shown by the tests of each command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

DEMO = Path(__file__).resolve().parents[1] / "scripts/demo"


@pytest.mark.parametrize("words", [["--svg"], ["--svg", "a", "b"], ["help"]], ids=" ".join)
def test_wrong_usage_is_told_the_right_one(sandbox: Any, words: list[str]) -> None:
    """One line, before anything is made."""
    done = sandbox.run(DEMO, *words, cwd=sandbox.root)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "usage: scripts/demo [--svg FILE]\n")
