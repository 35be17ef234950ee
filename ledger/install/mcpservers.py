"""`init --mcp`: the proxy before the MCP servers in the agents' settings, and out again.

A server's `command` and `args` become ours, which name the ones before behind a `--`; so what is to be put back can be read from
what is there, also where somebody changed the file since. Everything else of the file keeps its bytes. No file is made, none that
git tracks is written to, and whatever cannot be edited is left and named.

This lies over what `init` does for hooks, which may be in the same files: it is put on last and taken off first, and so each finds
the bytes that it left. Its own note of what was there is a manifest beside the other one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from ledger.errors import FormatError, LedgerError, NoRepository, Refused
from ledger.install import git, jsontext, tomltext
from ledger.install.files import Content, digest, lies_within, read_content, write_content
from ledger.install.manifest import Manifest, Written, format_manifest, manifest_path, parse_manifest
from ledger.repo.gitdir import GitDir, find_repository
from ledger.store.state import read_regular_file, write_file

SCOPES = ("project", "user")
_HEAD = ["-I", "-m", "ledger", "--state"]
_MIDDLE = ["record", "mcp", "--server"]
_MAX_BYTES = 64 << 20
_REMOTE = ("url", "httpUrl", "serverUrl")


class Place(NamedTuple):
    """A file in which an agent keeps MCP servers, and the path of the object or table that holds them."""

    agent: str
    path: str
    root: str
    names: tuple[str, ...]


class Found(NamedTuple):
    """One server of one file: wrapped by us, or left alone with the reason `why`."""

    agent: str
    server: str
    path: str
    why: str = ""


class Plan(NamedTuple):
    """What is to be done in one scope: files to write as (path, before, after), and what becomes of each server."""

    scope: str
    files: tuple[tuple[str, Content, Content], ...]
    found: tuple[Found, ...]


class Editor(Protocol):
    """Edits one kind of text."""

    def parse(self, text: str) -> Any:
        """Return the value of a text. Raises FormatError."""

    def edit(
        self, text: str, names: tuple[str, ...], old: Mapping[str, Any], command: str, args: list[str] | None, kept: str
    ) -> str:
        """Return `text` with other `command` and `args` for a server, spelled as in `kept` where that says the same."""


def places(scope: str, work_tree: str) -> list[Place]:
    """Return the files of a scope, also those that are not there."""
    home = os.path.expanduser("~")
    claude = os.path.join(os.environ.get("CLAUDE_CONFIG_DIR") or home, ".claude.json")
    if scope == "user":
        codex = os.path.abspath(os.environ.get("CODEX_HOME") or os.path.join(home, ".codex"))
        return [
            Place("codex", os.path.join(codex, "config.toml"), codex, ("mcp_servers",)),
            Place("claude-code", claude, home, ("mcpServers",)),
            Place("gemini", os.path.join(home, ".gemini", "settings.json"), home, ("mcpServers",)),
        ]
    return [
        Place("codex", os.path.join(work_tree, ".codex", "config.toml"), work_tree, ("mcp_servers",)),
        Place("claude-code", os.path.join(work_tree, ".mcp.json"), work_tree, ("mcpServers",)),
        Place("claude-code", claude, home, ("projects", work_tree, "mcpServers")),
        Place("gemini", os.path.join(work_tree, ".gemini", "settings.json"), work_tree, ("mcpServers",)),
    ]


# Wrapping


def wrap(interpreter: str, state: str, server: str, command: str, args: list[str]) -> tuple[str, list[str]]:
    """Return the command and the arguments that start a server behind the proxy."""
    return interpreter, [*_HEAD, state, *_MIDDLE, server, "--", command, *args]


def unwrap(args: Any) -> tuple[str, list[str]] | None:
    """Return the command and the arguments that `wrap` was given, or None for arguments that it did not make."""
    if not isinstance(args, list) or len(args) < 11 or not all(isinstance(arg, str) for arg in args):
        return None
    if args[:4] != _HEAD or args[5:8] != _MIDDLE or args[9] != "--":
        return None
    return args[10], args[11:]


def wrap_servers(text: str, place: Place, interpreter: str, state: str) -> tuple[str, list[Found]]:
    """Return `text` with the proxy before every server that has a command, and what became of each."""
    editor = _editor(place.path)
    found = []
    for name, server in _servers(editor.parse(text), place.names).items():
        why = _why_not(server)
        if not why:
            inner = unwrap(server.get("args")) or (server["command"], server.get("args", []))
            command, args = wrap(interpreter, state, name, *inner)
            if (server["command"], server.get("args")) != (command, args):
                try:
                    text = _edited(editor, text, (*place.names, name), server, command, args, "")
                except FormatError as error:
                    why = error.message
        found.append(Found(place.agent, name, place.path, why))
    return text, found


def unwrap_servers(text: str, place: Place, kept: str) -> str:
    """Return `text` without the proxy; what is as it was in `kept`, the file before us, is spelled as it was there."""
    editor = _editor(place.path)
    for name, server in _servers(editor.parse(text), place.names).items():
        inner = unwrap(server.get("args")) if isinstance(server, dict) else None
        if inner is not None:
            command, args = inner
            before = _at(_try_parse(editor, kept), (*place.names, name))
            had_args = not isinstance(before, dict) or "args" in before
            text = _edited(editor, text, (*place.names, name), server, command, args if args or had_args else None, kept)
    return text


def _servers(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    found = _at(value, names)
    return found if isinstance(found, dict) else {}


def _at(value: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _try_parse(editor: Editor, text: str) -> Any:
    try:
        return editor.parse(text) if text.strip() else {}
    except FormatError:
        return {}


def _why_not(server: Any) -> str:
    """Return why a server cannot have the proxy before it, or nothing."""
    if not isinstance(server, dict):
        return "not a server"
    if any(name in server for name in _REMOTE) or server.get("type") in ("http", "sse", "streamable-http", "ws"):
        return "reached over HTTP, and the proxy is for stdio"
    args = server.get("args", [])
    if not isinstance(server.get("command"), str) or not server["command"]:
        return "has no command"
    if not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
        return "has arguments that are no texts"
    return ""


def _edited(
    editor: Editor, text: str, names: tuple[str, ...], old: Mapping[str, Any], command: str, args: list[str] | None, kept: str
) -> str:
    """Edit one server and read the outcome: nothing else may have changed. Raises FormatError."""
    wanted = editor.parse(text)
    changed = _at(wanted, names)
    changed["command"] = command
    changed.pop("args", None)
    if args is not None:
        changed["args"] = args
    try:
        after = editor.edit(text, names, old, command, args, kept)
    except (KeyError, ValueError, IndexError) as error:
        raise FormatError("is written in a form that is not edited here") from error
    if editor.parse(after) != wanted:
        raise FormatError("is written in a form that is not edited here")
    return after


class _Json:
    """JSON settings."""

    @staticmethod
    def parse(text: str) -> Any:
        """Return the value of a JSON text. Raises FormatError."""
        return jsontext.parse(text)

    @staticmethod
    def edit(text: str, names: tuple[str, ...], old: Mapping[str, Any], command: str, args: list[str] | None, kept: str) -> str:
        """Replace the values where they stand; `args` goes to the end where there is none."""
        text = jsontext.replace(text, (*names, "command"), _kept_json(kept, (*names, "command"), command))
        if args is None:
            return jsontext.remove(text, (*names, "args")) if "args" in old else text
        if "args" in old:
            return jsontext.replace(text, (*names, "args"), _kept_json(kept, (*names, "args"), args))
        return jsontext.insert(text, names, "args", args)


def _kept_json(kept: str, path: tuple[str, ...], value: Any) -> str:
    try:
        spelled = jsontext.spelling(kept, path)
        if jsontext.parse(spelled) == value:
            return spelled
    except (FormatError, KeyError, ValueError, IndexError):
        pass
    return json.dumps(value, ensure_ascii=False)


class _Toml:
    """Codex's config.toml."""

    @staticmethod
    def parse(text: str) -> Any:
        """Return the value of a TOML text. Raises FormatError."""
        return tomltext.parse(text)

    @staticmethod
    def edit(text: str, names: tuple[str, ...], old: Mapping[str, Any], command: str, args: list[str] | None, kept: str) -> str:
        """Replace the values where they stand; `args` gets a line below `command` where there is none."""
        at = tomltext.find(text, (*names, "args"))
        if at is not None and args is not None:
            text = text[: at.value] + _kept_toml(kept, (*names, "args"), args) + text[at.end :]
        elif at is not None:
            text = _without_line(text, at)
        at = tomltext.find(text, (*names, "command"))
        if at is None:
            raise FormatError("is written inline, and only a table of its own is edited here")
        text = text[: at.value] + _kept_toml(kept, (*names, "command"), command) + text[at.end :]
        if args is None or "args" in old:
            return text
        at = tomltext.find(text, (*names, "command"))
        assert at is not None
        name = text[at.start : at.value].rstrip(" \t=")
        if not name.endswith("command"):
            raise FormatError("has its members' names in quotes, which is not edited here")
        indent = text[text.rfind("\n", 0, at.start) + 1 : at.start]
        end = at.line_end - (text[at.line_end - 1 : at.line_end] == "\r")
        break_ = text[end : at.line_end] + "\n"
        return f"{text[:end]}{break_}{indent}{name[: -len('command')]}args = {tomltext.spell(args)}{text[end:]}"


def _without_line(text: str, at: tomltext.Statement) -> str:
    """Return `text` without the lines of a statement, and with as many newlines at its end as it had before."""
    start = text.rfind("\n", 0, at.start) + 1
    if at.line_end < len(text):
        return text[:start] + text[at.line_end + 1 :]
    return text[: start - 1].removesuffix("\r") if start else ""


def _kept_toml(kept: str, path: tuple[str, ...], value: Any) -> str:
    try:
        at = tomltext.find(kept, path) if _at(tomltext.parse(kept), path) == value else None
    except FormatError:
        at = None
    return tomltext.spell(value) if at is None else kept[at.value : at.end]


def _editor(path: str) -> Editor:
    return _Toml() if path.endswith(".toml") else _Json()


# Files


def plan(repo: GitDir, state: str, interpreter: str, scope: str) -> Plan:
    """Return what `init --mcp` would do in a scope, having changed nothing."""
    assert repo.work_tree is not None
    files: dict[str, tuple[Content, Content]] = {}
    found: list[Found] = []
    for place in places(scope, repo.work_tree):
        try:
            before, after, servers = _plan_file(place, repo, interpreter, state, files)
        except LedgerError as error:
            found.append(Found(place.agent, "", place.path, error.message))
            continue
        found += servers
        if before is not None and after is not None and after != before:
            files[after_path(place)] = (before, after)
    return Plan(scope, tuple((path, before, after) for path, (before, after) in files.items()), tuple(found))


def after_path(place: Place) -> str:
    """Return the file that a place leads to, links followed."""
    return os.path.realpath(place.path)


def _plan_file(
    place: Place, repo: GitDir, interpreter: str, state: str, files: Mapping[str, tuple[Content, Content]]
) -> tuple[Content | None, Content | None, list[Found]]:
    path = after_path(place)
    before = files[path][0] if path in files else read_content(path)
    if before is None:
        return None, None, []
    now = files[path][1] if path in files else before
    try:
        text = now.data.decode("utf-8")
        after, servers = wrap_servers(text, place, interpreter, state)
    except (UnicodeDecodeError, FormatError) as error:
        raise Refused(f"{place.path} is malformed, and was left alone: {error}") from error
    if after == text:
        return None, None, servers
    why = _why_no_writing(place, path, repo)
    if why:
        return None, None, [server._replace(why=server.why or why) for server in servers]
    return before, Content(after.encode("utf-8"), before.mode), servers


def _why_no_writing(place: Place, path: str, repo: GitDir) -> str:
    if not lies_within(path, os.path.realpath(place.root)) or lies_within(path, repo.common_dir):
        return f"its file is a link that leads to {path}"
    if repo.work_tree is not None and lies_within(path, repo.work_tree) and git.is_tracked(repo.work_tree, path):
        return "its file is tracked by git, and what is shared is not written to"
    return ""


def install(repo: GitDir, state: str, interpreter: str, scope: str) -> Plan:
    """Put the proxy before the servers of a scope and return what was done. Raises StoreError.

    What the files were is written down before the first of them changes: a crash in between is undone by `remove`.
    """
    done = plan(repo, state, interpreter, scope)
    key = _key(repo, scope)
    noted = _read(state, key)
    files = {written.path: written for written in noted.files}
    for path, before, after in done.files:
        original = _original(path, before.data, files.get(path), scope, repo)
        files[path] = Written(path, "mcp", original, before.mode, digest(after.data))
    wanted = noted._replace(
        interpreter=interpreter,
        state=state,
        files=tuple(files.values()),
        clones=tuple(dict.fromkeys([*noted.clones, repo.common_dir])),
    )
    if wanted != noted:
        write_file(_path(state, key), format_manifest(wanted))
    for path, _, after in done.files:
        write_content(path, after)
    return done


def _original(path: str, data: bytes, written: Written | None, scope: str, repo: GitDir) -> bytes:
    """Return a file as it was without the proxy, as far as that can be known."""
    kept = b"" if written is None or written.original is None else written.original
    if written is not None and digest(data) == written.after:
        return kept
    return _without_proxies(path, data.decode("utf-8"), kept.decode("utf-8"), scope, repo).encode("utf-8")


class Removed(NamedTuple):
    """Paths put back as they were, paths that only the proxy was taken out of, paths that were left."""

    restored: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def installed_scopes(repo: GitDir, state: str) -> list[str]:
    """Return the scopes in which the proxy is before servers for this clone."""
    return [scope for scope in SCOPES if repo.common_dir in _read(state, _key(repo, scope)).clones]


def take_off(repo: GitDir, state: str, scope: str) -> Removed:
    """Take the proxy out of the files of a scope, whoever relies on it; what was noted of that stays, without the files."""
    key = _key(repo, scope)
    noted = _read(state, key)
    removed: dict[str, list[str]] = {"restored": [], "edited": [], "left": [], "gone": []}
    for written in noted.files:
        removed[_undo(written, scope, repo)].append(written.path)
    if noted.files:
        write_file(_path(state, key), format_manifest(noted._replace(files=())))
    return Removed(tuple(removed["restored"]), tuple(removed["edited"]), tuple(removed["left"]))


def remove(repo: GitDir, state: str) -> Removed:
    """Undo what `install` did for this clone; in the user's own files once no other clone relies on it."""
    found = Removed()
    for scope in installed_scopes(repo, state):
        key = _key(repo, scope)
        noted = _read(state, key)
        others = tuple(clone for clone in noted.clones if clone != repo.common_dir and os.path.isdir(clone))
        if others:
            write_file(_path(state, key), format_manifest(noted._replace(clones=others)))
            continue
        done = take_off(repo, state, scope)
        found = Removed(found.restored + done.restored, found.edited + done.edited, found.left + done.left)
        os.unlink(_path(state, key))
    return found


def _undo(written: Written, scope: str, repo: GitDir) -> str:
    """Put a file back, or take the proxy out of it. Returns restored, edited, gone or left (malformed by now)."""
    try:
        now = read_content(written.path)
        if now is None:
            return "gone"
        original = written.original or b""
        if digest(now.data) in (written.after, digest(original)):
            if now.data != original:
                write_content(written.path, Content(original, now.mode))
            return "restored"
        text, kept = now.data.decode("utf-8"), original.decode("utf-8")
        text = _without_proxies(written.path, text, kept, scope, repo)
    except (Refused, FormatError, UnicodeDecodeError):
        return "left"
    if text.encode("utf-8") != now.data:
        write_content(written.path, Content(text.encode("utf-8"), now.mode))
    return "edited"


def _without_proxies(path: str, text: str, kept: str, scope: str, repo: GitDir) -> str:
    """Return a file's text without this clone's proxies."""
    for names in _our_names(path, text, scope, repo):
        text = unwrap_servers(text, Place("", path, "", names), kept)
    return text


def _our_names(path: str, text: str, scope: str, repo: GitDir) -> list[tuple[str, ...]]:
    """Return where in a file this clone's proxies may be; of Claude Code's file of projects, in those of our work trees."""
    if os.path.basename(path) != ".claude.json" or scope == "user":
        return [("mcp_servers",)] if path.endswith(".toml") else [("mcpServers",)]
    projects = _servers(jsontext.parse(text), ("projects",))
    return [("projects", project, "mcpServers") for project in projects if _common_dir_at(project) == repo.common_dir]


def _common_dir_at(path: str) -> str | None:
    try:
        return find_repository(path).common_dir if os.path.isabs(path) else None
    except NoRepository:
        return None


def _key(repo: GitDir, scope: str) -> str:
    return repo.common_dir if scope == "project" else ""


def _path(state: str, key: str) -> str:
    return manifest_path(state, key).removesuffix(".install.json") + ".mcp.install.json"


def _read(state: str, key: str) -> Manifest:
    data = read_regular_file(_path(state, key), _MAX_BYTES)
    if data is None:
        return Manifest(key)
    try:
        return parse_manifest(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(
            f"the note of what was put before MCP servers, {_path(state, key)}, is damaged: {error}",
            remedy="move it away, and check the agents' MCP settings by hand",
        ) from error
