"""The shell stubs and the plugin that get installed, made from the templates in the top-level folder `hooks/`."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

RECORDING = ("prepare-commit-msg", "commit-msg", "post-commit", "post-merge", "post-rewrite", "pre-push")
CHAINED_SUFFIX = ".ledger-chained"
_TEMPLATES = {
    "prepare-commit-msg": "prepare-commit-msg.sh",
    "commit-msg": "commit-msg.sh",
    "post-commit": "post-event.sh",
    "post-merge": "post-event.sh",
    "post-rewrite": "post-rewrite.sh",
    "pre-push": "pre-push.sh",
}
_INCLUDE = "# @include "
_MARK = b"\n# git-ledger: %s. "


class Wiring(NamedTuple):
    """What is baked into the stubs.

    `ledger` is the folder `<common dir>/ledger` and `chained` the one of the hooks to run first, as shell words that may use
    `$here`, the stub's own folder. `original` says that those hooks are where they were, so under their own names.
    """

    interpreter: str
    state: str
    ledger: str
    chained: str
    original: bool


def render_stub(hook: str, wiring: Wiring) -> bytes:
    """Return the stub for a hook: one that records, or for any other hook one that only passes on."""
    text = _read(_TEMPLATES.get(hook, "pass.sh"))
    text = text.replace("@CHAIN@", "chain-original.sh" if wiring.original else "chain.sh")
    text = "\n".join(_included(line) for line in text.split("\n"))
    values = {
        "@HOOK@": hook,
        "@CHAINED_COMMIT_MSG@": _chained("commit-msg", wiring),
        "@CHAINED@": _chained(hook, wiring),
        "@LEDGER@": wiring.ledger,
        "@UID@": str(os.getuid()),
        "@PYTHON@": shlex.quote(wiring.interpreter),
        "@STATE@": shlex.quote(wiring.state),
    }
    # One pass over the template: a path may hold what looks like a placeholder.
    return os.fsencode(re.sub(r"@[A-Z_]+@", lambda match: values[match[0]], text))


def render_plugin(command: Sequence[str]) -> bytes:
    """Return opencode's plugin, which hands each event to `command`."""
    # JSON in ASCII is JavaScript, whatever a path is made of; one that is not UTF-8 cannot be said in either.
    return _read("opencode.js").replace("@COMMAND@", json.dumps(list(command))).encode("utf-8")


def is_plugin(data: bytes) -> bool:
    """Say whether these bytes are a plugin of ours, whatever was baked into it."""
    return data.startswith(b"// git-ledger: ")


def is_stub(data: bytes, hook: str) -> bool:
    """Say whether these bytes are a stub of ours for this hook, whatever was baked into it."""
    return data.startswith(b"#!/bin/sh") and (_MARK % hook.encode()) in data[:200]


def _chained(hook: str, wiring: Wiring) -> str:
    return f"{wiring.chained}/{hook}" if wiring.original else f"{wiring.chained}/{hook}{CHAINED_SUFFIX}"


def _included(line: str) -> str:
    return _read(line.removeprefix(_INCLUDE)).rstrip("\n") if line.startswith(_INCLUDE) else line


def _read(name: str) -> str:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    installed = os.path.join(package, "_hooks", name)
    # In a source tree the templates lie beside the package.
    path = installed if os.path.exists(installed) else os.path.join(os.path.dirname(package), "hooks", name)
    with open(path, encoding="utf-8") as file:
        return file.read()
