"""Has the user trusted our hooks in Codex? Only asked, never answered for them.

Codex runs a hook only when `config.toml` holds, under `hooks.state."<file>:<event>:<group>:<index>"`, the SHA-256 of what it is:
compact JSON with sorted members. It reads a project's own hooks only when the project itself is trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

from ledger.errors import FormatError, Refused
from ledger.install import jsontext
from ledger.install.files import read_content


class Trust(NamedTuple):
    """`project` says whether the project is trusted, `missing` names the events whose hook is not."""

    project: bool
    missing: tuple[str, ...]
    total: int


class _Hook(NamedTuple):
    event: str
    position: str
    digest: str


def trusted_hash(event: str, hook: dict[str, Any], matcher: str | None = None) -> str:
    """Return what Codex would write for a command hook of `event` once its user trusts it."""
    value: dict[str, Any] = {
        "event_name": event_key(event),
        "hooks": [
            {"async": bool(hook.get("async", False)), "command": hook["command"], "timeout": hook["timeout"], "type": "command"}
        ],
    }
    if matcher is not None:
        value["matcher"] = matcher
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def event_key(event: str) -> str:
    """Return Codex's key for an event: `PreToolUse` is `pre_tool_use`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", event).lower()


def read_trust(codex_home: str, hooks_file: str, command: str, *roots: str) -> Trust:
    """Return what Codex's config says of our hooks in `hooks_file` and of a project at any of `roots`. Raises Refused."""
    config = _read_config(os.path.join(codex_home, "config.toml"))
    hooks = config.get("hooks")
    state = hooks.get("state") if isinstance(hooks, dict) else None
    states = state if isinstance(state, dict) else {}
    ours = list(_our_hooks(hooks_file, command))
    missing = [hook.event for hook in ours if not _is_trusted(states.get(f"{hooks_file}:{hook.position}"), hook.digest)]
    projects = config.get("projects")
    trusted = isinstance(projects, dict) and any(_is_project_trusted(projects.get(root)) for root in roots)
    return Trust(trusted, tuple(missing), len(ours))


def _is_project_trusted(project: Any) -> bool:
    return isinstance(project, dict) and project.get("trust_level") == "trusted"


def _is_trusted(state: Any, digest: str) -> bool:
    return isinstance(state, dict) and state.get("trusted_hash") == digest and state.get("enabled", True) is not False


def _our_hooks(path: str, command: str) -> Iterator[_Hook]:
    content = read_content(path)
    if content is None:
        return
    try:
        events = jsontext.parse(content.data.decode("utf-8"))["hooks"].items()
        for event, groups in events:
            for group_number, group in enumerate(groups):
                for number, hook in enumerate(group["hooks"]):
                    if hook.get("command") == command:
                        position = f"{event_key(event)}:{group_number}:{number}"
                        yield _Hook(event, position, trusted_hash(event, hook, group.get("matcher")))
    except (FormatError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{path} is not a file of hooks: {error}", remedy="mend it, or run `ledger init` again") from error


def _read_config(path: str) -> dict[str, Any]:
    content = read_content(path)
    if content is None:
        return {}
    try:
        return tomllib.loads(content.data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{path} is malformed: {error}", remedy="mend it; Codex cannot read it either") from error
