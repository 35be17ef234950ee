"""Workshops in the three modes."""

from __future__ import annotations

import os
import subprocess

import pytest
from workshop import Workshop


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory):
    """husky from npm, in a folder of its own."""
    folder = tmp_path_factory.mktemp("node")
    env = {**os.environ, "HOME": str(folder), "npm_config_cache": str(folder / "cache"), "CI": "1"}
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), "husky@9"]
    subprocess.run(command, env=env, cwd=folder, check=True, timeout=300)
    return folder / "node_modules"


@pytest.fixture(params=["hooks", pytest.param("husky", marks=pytest.mark.managers), "ladder"])
def shop(request, sandbox):
    """A workshop whose commits are seen by hooks, by hooks beside husky's, or by nobody but the agent's next event."""
    modules = request.getfixturevalue("node_modules") if request.param == "husky" else None
    return Workshop(sandbox, request.param, modules)
