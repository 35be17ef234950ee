"""The HTTP server that other tests push to."""

from __future__ import annotations

from typing import Any

import pytest
from githttp import serve


@pytest.mark.parametrize("buffer", ["1m", "1"])
def test_git_pushes_and_fetches_over_loopback(sandbox: Any, buffer: str) -> None:
    """Plain git pushes, in one request or in chunks, and clones the same history again."""
    repo = sandbox.make_repo(commit=True)
    oid = sandbox.commit(repo, "more", {f"file{n}": f"{n}" * 3000 for n in range(20)})
    sandbox.make_repo("served/server.git", "--bare")
    with serve(sandbox.root / "served") as url:
        assert url.startswith("http://127.0.0.1:")
        sandbox.git("-c", f"http.postBuffer={buffer}", "push", "-q", f"{url}/server.git", "main", cwd=repo)
        sandbox.git("clone", "-q", f"{url}/server.git", "copy", cwd=sandbox.root)
        assert sandbox.git("rev-parse", "HEAD", cwd=sandbox.root / "copy") == oid
    assert sandbox.run("git", "ls-remote", f"{url}/server.git", cwd=repo).returncode != 0


def test_a_cut_connection_fails_the_fetch(sandbox: Any) -> None:
    """An answer can be broken off in its middle, and git notices; the next one arrives."""
    repo = sandbox.make_repo(commit=True)
    sandbox.make_repo("served/server.git", "--bare")
    cuts = [100]
    with serve(sandbox.root / "served", lambda method, path: cuts.pop() if method == "POST" and cuts else None) as url:
        sandbox.git("push", "-q", str(sandbox.root / "served/server.git"), "main", cwd=repo)
        cloned = ("git", "clone", "-q", f"{url}/server.git", "copy")
        assert sandbox.run(*cloned, cwd=sandbox.root).returncode != 0
        assert sandbox.run(*cloned, cwd=sandbox.root).returncode == 0
