"""Standing grants: files by which an agent needs no leave, as they were when a session began, and each time that they change.

    codex         rules/*.rules of its home, and the machine's requirements.toml: digests and texts. config.toml: its digest, for it
                  may hold secrets
    claude-code   the settings of user, project and machine: digests, and of their members those that grant or forbid
    gemini        the same, and the policies of its home: digests and texts

An approval "for good" is a line in one of these, and so is whatever an agent or a person writes there without asking.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, NamedTuple

from ledger.core.fact import PayloadData
from ledger.core.text import clean_text
from ledger.recording.facts import Setting
from ledger.recording.writer import Writer
from ledger.store.state import read_regular_file

_MAX_FILE = 256 << 10
_MAX_FILES = 50
_MEMBERS = ("permissions", "sandbox", "disableAllHooks", "allowManagedHooksOnly", "defaultMode")
_GEMINI_MEMBERS = ("tools", "security", "hooksConfig")


class Grants(NamedTuple):
    """One file that grants: its short name, size and digest, and what of it may be kept as text."""

    name: str
    size: int
    digest: str
    text: str | None


def note_grants(writer: Writer, setting: Setting, home: str, session: str | None, *, begins: bool) -> None:
    """Append `boundary.declared` with the standing grants where a session begins, or where one of them is another than before."""
    found = [*_read(setting, home)]
    now = {item.name: item.digest for item in found}
    key = f"grants:{setting.agent}:{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"
    before = _parse(writer.journal.meta(key))
    changed = sorted(name for name in {*now, *(before or {})} if now.get(name) != (before or {}).get(name))
    if not begins and not changed:
        return
    if not found and not changed:
        return
    body: dict[str, Any] = {
        "event": "standing-grants",
        "grants": [{"file": item.name, "size": item.size, "digest": item.digest} for item in found],
    }
    if before is not None and changed:
        body["changed"] = changed
    body["basis"] = {"grants": "agent-file"}
    texts = {item.name: item.text for item in found if item.text is not None}
    data = json.dumps(texts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    writer.append(
        "boundary.declared",
        source="transcript",
        actor={"type": "policy", "name": setting.agent},
        body=body,
        session=session,
        payloads={"grants": PayloadData(clean_text(data).encode(), "application/json")} if texts else None,
        at_ms=setting.at_ms,
    )
    writer.journal.set_meta(key, json.dumps(now, sort_keys=True))


def _read(setting: Setting, home: str) -> list[Grants]:
    if setting.agent == "gemini":
        return _read_gemini(setting, home)
    if setting.agent == "codex":
        places = _folder(home, "rules", ".rules")
        places += [
            ("requirements.toml", "/etc/codex/requirements.toml", True),
            ("config.toml", os.path.join(home, "config.toml"), False),
        ]
        return [item for name, path, whole in places if (item := _grants(name, path, whole=whole))]
    places = [("~/settings.json", os.path.join(home, "settings.json"), False)]
    places.append(("managed-settings.json", "/etc/claude-code/managed-settings.json", False))
    for name in (".claude/settings.json", ".claude/settings.local.json"):
        if setting.repo.work_tree:
            places.append((name, os.path.join(setting.repo.work_tree, name), False))
    found = (_grants(name, path, whole=False, members=_MEMBERS) for name, path, _ in places)
    return [item for item in found if item is not None]


def _read_gemini(setting: Setting, home: str) -> list[Grants]:
    found = [_grants(name, path, whole=True) for name, path, _ in _folder(home, "policies", ".toml")]
    places = [("~/settings.json", os.path.join(home, "settings.json")), ("system/settings.json", "/etc/gemini-cli/settings.json")]
    if setting.repo.work_tree:
        places.append((".gemini/settings.json", os.path.join(setting.repo.work_tree, ".gemini", "settings.json")))
    found += [_grants(name, path, whole=False, members=_GEMINI_MEMBERS) for name, path in places]
    return [item for item in found if item is not None]


def _folder(home: str, folder: str, ending: str) -> list[tuple[str, str, bool]]:
    """Return (short name, path, whether its text is kept) of the files of an agent's folder."""
    place = os.path.join(home, folder)
    try:
        names = sorted(name for name in os.listdir(place) if name.endswith(ending) and name.isprintable())[:_MAX_FILES]
    except OSError:
        return []
    return [(f"{folder}/{name}", os.path.join(place, name), True) for name in names]


def _grants(name: str, path: str, *, whole: bool, members: tuple[str, ...] = ()) -> Grants | None:
    data = read_regular_file(path, _MAX_FILE)
    if data is None:
        return None
    text: str | None = data.decode("utf-8", "replace") if whole else None
    if members:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            value = None
        kept = {member: value[member] for member in members if member in value} if isinstance(value, dict) else {}
        text = json.dumps(kept, ensure_ascii=False, sort_keys=True) if kept else None
    return Grants(name, len(data), hashlib.sha256(data).hexdigest(), text)


def _parse(text: str | None) -> dict[str, str] | None:
    value = json.loads(text) if text else None
    return value if isinstance(value, dict) else None
