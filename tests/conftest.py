"""What every test may lean on: an environment of its own, and the switches for slow, optional tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from sandboxes import Sandbox, make_sandbox

_OPTIONAL = {
    "managers": "needs scripts/test --managers",
    "agents": "needs scripts/test --agents",
    "fuzz": "needs scripts/test --fuzz",
    "long": "needs scripts/test --long",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--managers`, `--agents`, `--fuzz` and `--long`."""
    parser.addoption("--managers", action="store_true", help="run real hook managers from npm and PyPI")
    parser.addoption("--agents", action="store_true", help="run real agent command lines against a model on loopback")
    parser.addoption("--fuzz", action="store_true", help="run atheris, a guided fuzzer from PyPI, on the parsers")
    parser.addoption("--long", action="store_true", help="make and question a history of thousands of commits")


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
