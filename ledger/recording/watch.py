"""Are our git hooks still there? Hook managers take the hooks path back, and an agent can; the next turn of an agent notices."""

from __future__ import annotations

import json

from ledger.recording.writer import Writer
from ledger.repo.gitdir import GitDir
from ledger.repo.hookcheck import hooks_in_place
from ledger.store.state import clone_path, read_regular_file

_MAX_MANIFEST_BYTES = 16 << 20


def notice_hooks(writer: Writer, repo: GitDir) -> None:
    """Append `gap.noted` once when the hooks that `init` installed are gone: commits may then be found late, or not at all.

    When they are back it is armed again. Where `init` installed none, or the manifest is under the path of a moved clone, nothing
    can be said.
    """
    manifest = _read_manifest(clone_path(writer.journal.state, repo.common_dir))
    if manifest is None or not manifest.get("hooks"):
        return
    gone = "0" if hooks_in_place(manifest, repo.common_dir, repo.work_tree) else "1"
    if gone == (writer.journal.meta("hooks_gone") or "0"):
        return
    writer.journal.set_meta("hooks_gone", gone)
    if gone == "1":
        writer.append("gap.noted", source="hook", body={"reason": "git-hooks-gone", "count": 1, "size": 0})


def _read_manifest(path: str) -> dict[str, object] | None:
    data = read_regular_file(path.removesuffix(".json") + ".install.json", _MAX_MANIFEST_BYTES)
    if data is None:
        return None
    try:
        value = json.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
