"""Agents' hooks: merged into the settings of the project or of the user, and taken out again.

Each event gets one group of our own at the end of its list; whatever else the file says keeps its place and its spelling. Ours is
recognised by its exact command, which is the same in every scope, so that Claude Code runs it once.

opencode has no such settings: it gets a plugin, a file of its own that is ours from the first byte to the last.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ledger.errors import FormatError, Refused
from ledger.install import git, jsontext
from ledger.install.files import Content, digest, lies_within, read_content, remove_file, write_content
from ledger.install.manifest import Manifest, Written
from ledger.install.templates import is_plugin, render_plugin
from ledger.repo.gitdir import GitDir

_TIMEOUT_S = 30
# Codex gives these two no more than 3 seconds, and hashes the value after it was cut down to that.
_CODEX_SHORT = {"SessionEnd": 3, "Interrupt": 3}

# Events that Claude Code versions in use all know; one that a version does not know could cost the user the whole file.
CLAUDE_EVENTS = tuple(
    """
    SessionStart SessionEnd UserPromptSubmit UserPromptExpansion PreToolUse PostToolUse PostToolUseFailure PostToolBatch
    PermissionRequest PermissionDenied Notification SubagentStart SubagentStop Stop StopFailure PreCompact PostCompact Setup
    TaskCreated TaskCompleted Elicitation ElicitationResult ConfigChange InstructionsLoaded CwdChanged FileChanged
    """.split()
)
CODEX_EVENTS = tuple(
    """
    SessionStart SessionEnd UserPromptSubmit PreToolUse PermissionRequest PostToolUse PreCompact PostCompact SubagentStart
    SubagentStop Stop Interrupt
    """.split()
)


# Of Gemini's events those that tell something: the others carry the whole conversation, or come with every call of the model.
GEMINI_EVENTS = ("SessionStart", "SessionEnd", "BeforeAgent", "AfterAgent", "BeforeTool", "AfterTool", "Notification")


class AgentKind(NamedTuple):
    """Where an agent keeps its settings, how its program is called, and which events it has.

    `timeouts` are in the agent's own unit, as is `timeout`. An agent without events gets a plugin instead of settings.
    """

    name: str
    title: str
    program: str
    folder: str
    project_file: str
    user_file: str
    events: tuple[str, ...]
    timeouts: Mapping[str, int] = {}
    timeout: int = _TIMEOUT_S
    named: bool = False  # each hook bears a name, by which the agent shows it


AGENTS = {
    kind.name: kind
    for kind in (
        AgentKind("codex", "Codex", "codex", ".codex", "hooks.json", "hooks.json", CODEX_EVENTS, _CODEX_SHORT),
        AgentKind("claude-code", "Claude Code", "claude", ".claude", "settings.local.json", "settings.json", CLAUDE_EVENTS),
        AgentKind(
            *("gemini", "Gemini CLI", "gemini", ".gemini", "settings.json", "settings.json", GEMINI_EVENTS),
            timeout=_TIMEOUT_S * 1000,
            named=True,
        ),
        AgentKind("opencode", "opencode", "opencode", ".opencode", "plugins/git-ledger.js", "plugins/git-ledger.js", ()),
    )
}


class SettingsPlan(NamedTuple):
    """One settings file of one agent: as it is (None where there is none), as it was without us, and as it is to be."""

    agent: str
    path: str
    before: Content | None
    original: Content | None
    after: Content


def hook_command(interpreter: str, state: str, agent: str) -> str:
    """Return the shell command that hands an agent's event to the recorder."""
    return shlex.join([interpreter, "-I", "-m", "ledger.hook", "--state", state, agent])


def hook_groups(agent: str, command: str) -> dict[str, dict[str, Any]]:
    """Return our group for each event of an agent."""
    kind = AGENTS[agent]
    name = {"name": "git-ledger"} if kind.named else {}
    return {
        event: {"hooks": [{**name, "type": "command", "command": command, "timeout": kind.timeouts.get(event, kind.timeout)}]}
        for event in kind.events
    }


def home_of(agent: str) -> str:
    """Return the folder where an agent keeps the user's own settings."""
    if agent == "codex" and os.environ.get("CODEX_HOME"):
        return os.path.abspath(os.environ["CODEX_HOME"])
    if agent == "gemini" and os.environ.get("GEMINI_CLI_HOME"):
        return os.path.join(os.path.abspath(os.environ["GEMINI_CLI_HOME"]), AGENTS[agent].folder)
    if agent == "opencode":
        base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
        return os.path.join(os.path.abspath(base), "opencode")
    return os.path.join(os.path.expanduser("~"), AGENTS[agent].folder)


def settings_path(agent: str, scope: str, work_tree: str) -> str:
    """Return the settings file that `scope` (project or user) writes to."""
    kind = AGENTS[agent]
    if scope == "user":
        return os.path.join(home_of(agent), kind.user_file)
    return os.path.join(work_tree, kind.folder, kind.project_file)


def find_agents(work_tree: str) -> list[str]:
    """Return the agents that this machine or this repository shows signs of."""
    return [
        name
        for name, kind in AGENTS.items()
        if shutil.which(kind.program) or os.path.isdir(home_of(name)) or os.path.isdir(os.path.join(work_tree, kind.folder))
    ]


def plan_settings(agent: str, scope: str, repo: GitDir, command: str, manifest: Manifest) -> SettingsPlan:
    """Return what is to become of one settings file, having changed nothing. Raises Refused."""
    assert repo.work_tree is not None
    named = settings_path(agent, scope, repo.work_tree)
    path = _resolve(named, home_of(agent) if scope == "user" else repo.work_tree, scope, repo)
    before = read_content(path)
    if not AGENTS[agent].events:
        return _plan_plugin(agent, path, before, command, manifest)
    text = _decode(before.data, path) if before else ""
    value = _parse(text, path)
    written = manifest.file(path)
    original = _without_us(before, text, written, {command, *manifest.commands}, path)
    if any(other != command for other in manifest.commands):
        text = drop_commands(text, {*manifest.commands} - {command}, kept=original.data if original else b"")
        value = _parse(text, path)
    for event, group in hook_groups(agent, command).items():
        if group in value.get("hooks", {}).get(event, []):
            continue
        text = _add_group(text, value, event, group)
        value = _parse(text, path)
    mode = before.mode if before else 0o600 if scope == "user" else 0o644
    return SettingsPlan(agent, path, before, original, Content(text.encode(), mode))


def _plan_plugin(agent: str, path: str, before: Content | None, command: str, manifest: Manifest) -> SettingsPlan:
    """Return what is to become of a file that is ours alone. Raises Refused where somebody else's has its name."""
    if before is not None and not is_plugin(before.data):
        raise Refused(f"{path} is there already, and not ours", remedy="move it away, or leave this agent out with --agents")
    return SettingsPlan(agent, path, before, None, Content(plugin_text(command), before.mode if before else 0o644))


def plugin_text(command: str) -> bytes:
    """Return the plugin that hands events to the shell command `command`."""
    return render_plugin(shlex.split(command))


def _without_us(before: Content | None, text: str, written: Written | None, commands: Collection[str], path: str) -> Content | None:
    """Return the file as it was before us, as far as that can be known."""
    if before is None:
        return None
    if written is not None and digest(before.data) == written.after:
        return None if written.original is None else Content(written.original, written.mode)
    kept = written.original if written is not None and written.original is not None else b""
    bare = drop_commands(text, commands, kept=kept)
    if written is not None and written.original is None and not _parse(bare, path):
        return None
    return Content(bare.encode(), before.mode)


def undo_settings(written: Written, commands: Collection[str]) -> str:
    """Put a settings file back, or take our hooks out of it. Returns restored, edited, gone or left (malformed by now)."""
    now = read_content(written.path)
    if now is None:
        return "gone"
    if digest(now.data) == written.after:
        _put_back(written)
        return "restored"
    try:
        text = _decode(now.data, written.path)
        _parse(text, written.path)
        bare = drop_commands(text, commands, kept=written.original or b"")
    except Refused:
        return "left"
    if written.original is None and not _parse(bare, written.path):
        remove_file(written.path)
    elif bare != text:
        write_content(written.path, Content(bare.encode(), now.mode))
    return "edited"


def _put_back(written: Written) -> None:
    if written.original is None:
        remove_file(written.path)
    else:
        write_content(written.path, Content(written.original, written.mode))


def drop_commands(text: str, commands: Collection[str], *, kept: bytes = b"") -> str:
    """Return `text` without the hooks whose command is one of ours.

    A group, list or object that is empty then goes too, unless it was there, empty, in `kept`: the file as it was before us.
    """
    try:
        before = jsontext.parse(kept.decode("utf-8")) if kept.strip() else {}
    except (FormatError, UnicodeDecodeError):
        before = {}
    before_hooks = before.get("hooks") if isinstance(before, dict) else None
    if not text.strip():
        return text
    hooks = jsontext.parse(text).get("hooks", {})
    for event, groups in hooks.items():
        for number in reversed(range(len(groups))):
            entries = groups[number].get("hooks", []) if isinstance(groups[number], dict) else []
            ours = [at for at, entry in enumerate(entries) if isinstance(entry, dict) and entry.get("command") in commands]
            if ours and len(ours) == len(entries):
                text = jsontext.remove(text, ("hooks", event, number))
            else:
                for at in reversed(ours):
                    text = jsontext.remove(text, ("hooks", event, number, "hooks", at))
        was_there = isinstance(before_hooks, dict) and event in before_hooks
        if groups and not was_there and not jsontext.parse(text)["hooks"][event]:
            text = jsontext.remove(text, ("hooks", event))
    if hooks and before_hooks is None and not jsontext.parse(text)["hooks"]:
        text = jsontext.remove(text, ("hooks",))
    return text


def _add_group(text: str, value: dict[str, Any], event: str, group: dict[str, Any]) -> str:
    if not text.strip():
        text = "{}\n"
    if "hooks" not in value:
        return jsontext.insert(text, (), "hooks", {event: [group]})
    if event not in value["hooks"]:
        return jsontext.insert(text, ("hooks",), event, [group])
    return jsontext.insert(text, ("hooks", event), None, group)


def _resolve(path: str, root: str, scope: str, repo: GitDir) -> str:
    """Return the file that `path` leads to. Raises Refused where that is not ours to write."""
    real = os.path.realpath(path)
    home = os.path.realpath(os.path.expanduser("~"))
    allowed = [os.path.realpath(root), home] if scope == "user" else [os.path.realpath(root)]
    if not any(lies_within(real, folder) for folder in allowed) or lies_within(real, repo.common_dir):
        raise Refused(
            f"{path} is a link that leads out of {root}, to {real}",
            remedy="replace the link by a file, or leave this agent out with --agents",
        )
    if os.path.islink(path) and not os.path.exists(path):
        raise Refused(f"{path} is a link to nothing", remedy="remove it, or leave this agent out with --agents")
    if scope == "project" and repo.work_tree is not None and git.is_tracked(repo.work_tree, real):
        raise Refused(
            f"{path} is tracked by git, and what is shared is not written to",
            remedy="use --scope user, or leave this agent out with --agents",
        )
    return real


def _decode(data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(path, "not UTF-8") from error


def _parse(text: str, path: str) -> dict[str, Any]:
    """Return the settings, checked as far as we will touch them. Raises Refused."""
    if not text.strip():
        return {}
    try:
        value = jsontext.parse(text)
    except FormatError as error:
        raise _malformed(path, error.message) from error
    if not isinstance(value, dict):
        raise _malformed(path, "not an object")
    hooks = value.get("hooks", {})
    if not isinstance(hooks, dict):
        raise _malformed(path, "`hooks` is not an object")
    for event, groups in hooks.items():
        if not isinstance(groups, list):
            raise _malformed(path, f"`hooks.{event}` is not a list")
        for group in groups:
            if isinstance(group, dict) and not isinstance(group.get("hooks", []), list):
                raise _malformed(path, f"a group of `hooks.{event}` has `hooks` that are not a list")
    return value


def _malformed(path: str, why: str) -> Refused:
    return Refused(
        f"{path} is malformed, so it was left alone and nothing was installed: {why}",
        remedy="mend the file, or leave this agent out with --agents",
    )
