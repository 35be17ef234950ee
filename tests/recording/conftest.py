"""What the tests of the recorder share: a repository with a ledger."""

from __future__ import annotations

import pytest
from desk import Desk, Sandbox


@pytest.fixture
def desk(sandbox: Sandbox) -> Desk:
    """A repository with one commit, a log, and git hooks that record."""
    return Desk.begin(sandbox)
