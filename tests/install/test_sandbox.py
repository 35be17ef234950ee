"""The environment that tests run in."""

from __future__ import annotations

import os


def test_the_sandbox_is_in_force_here_and_in_children(sandbox):
    """A test and the git it starts see the sandbox's home and nothing of the developer's."""
    repo = sandbox.make_repo(commit=True)
    assert os.environ["HOME"] == str(sandbox.home)
    assert sandbox.git("log", "-1", "--format=%an <%ae> %s", cwd=repo) == "Ada Example <ada@example.invalid> first"
    assert not sandbox.state.exists()
