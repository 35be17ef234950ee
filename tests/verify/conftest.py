"""Scenes for the verifier's tests."""

from __future__ import annotations

from typing import Any

import pytest
from scene import Scene, fill


@pytest.fixture
def scene(sandbox: Any) -> Scene:
    """A repository with one commit and a log of a dozen entries, its journal in place."""
    made = fill(Scene(sandbox, sandbox.make_repo(commit=True)))
    made.install()
    return made
