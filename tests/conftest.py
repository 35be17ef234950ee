"""What every test may lean on: an environment of its own, and the two switches for slow, optional tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from sandboxes import Sandbox, make_sandbox

_OPTIONAL = {"managers": "needs scripts/test --managers", "agents": "needs scripts/test --agents"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--managers` and `--agents`."""
    parser.addoption("--managers", action="store_true", help="run real hook managers from npm and PyPI")
    parser.addoption("--agents", action="store_true", help="run real agent command lines against a model on loopback")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what was not asked for, and say how to ask for it."""
    for item in items:
        for marker, reason in _OPTIONAL.items():
            if item.get_closest_marker(marker) and not config.getoption(f"--{marker}"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """An environment of one's own, in force in this process as well as in `sandbox.env`."""
    return make_sandbox(tmp_path, monkeypatch)
