"""Agents that commit and whose hooks say nothing: switched off by a project's settings, by an option, or broken.

What a git hook's environment names is a claim. But a session that nobody has heard of, and that makes commits, is worth a note: a
`disableAllHooks` in a project's settings silences a user's hooks, and leaves git's.
"""

from __future__ import annotations

import json
import os

from ledger.recording.claims import Claims
from ledger.recording.writer import Writer
from ledger.repo.gitdir import GitDir
from ledger.store.state import read_regular_file

_MAX_SETTINGS = 1 << 20
_SETTINGS = {"claude-code": (".claude/settings.json", ".claude/settings.local.json")}


def notice_silence(writer: Writer, repo: GitDir, claims: Claims, oid: str) -> None:
    """Append `gap.noted` once for a session that a commit's environment names, and of which no hook of the agent told."""
    if not claims.session or not claims.agent:
        return
    key = f"silent:{claims.agent}:{claims.session}"
    known = writer.journal.one("SELECT 1 FROM done WHERE key IN (?, ?)", (f"session:{claims.agent}:{claims.session}", key))
    if known is not None:
        return
    body: dict[str, object] = {"reason": "agent-hooks-silent", "count": 1, "size": 0, "agent": claims.agent, "oid": oid}
    body["claims"] = {"session": claims.session}
    basis = {"agent": "claimed", "claims": "claimed"}
    disabled = [name for name in _SETTINGS.get(claims.agent, ()) if _disables_hooks(repo, name)]
    if disabled:
        body["disabled_by"] = disabled
    seq = writer.append("gap.noted", source="git", body={**body, "basis": basis})
    writer.journal.run("INSERT INTO done VALUES (?, ?, ?, ?)", (key, seq, 0, "git"))


def _disables_hooks(repo: GitDir, name: str) -> bool:
    """Say whether a project's settings switch hooks off, as they are now."""
    data = read_regular_file(os.path.join(repo.work_tree, name), _MAX_SETTINGS) if repo.work_tree else None
    try:
        value = json.loads(data) if data else None
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("disableAllHooks") is True
