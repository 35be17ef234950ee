"""What the tests of the receivers share: a repository in which an agent's hooks have recorded a session."""

from __future__ import annotations

import pytest
from listener import Sandbox, Scene


@pytest.fixture
def scene(sandbox: Sandbox) -> Scene:
    """A repository with a log, in which Codex began the session `s-codex`."""
    return Scene.begin(sandbox)
