"""What `init` changed, so that `deinit` can put it back: one JSON file a clone, in the state folder.

It is written before the first change is made, and says what each file was. So `deinit` cleans up after an `init` that was
killed half way as well: what was not done yet needs no undoing, and looks like it.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from typing import Any, NamedTuple

from ledger.errors import StoreCorrupt
from ledger.store.state import clone_path, read_regular_file, write_file

_MAX_BYTES = 64 << 20


class Written(NamedTuple):
    """Somebody else's file that `init` wrote to. `role` is settings, exclude or config; `original` is None where there was none.

    `after` is SHA-256, in hex, of what `init` left there.
    """

    path: str
    role: str
    original: bytes | None
    mode: int
    after: str


class HookSet(NamedTuple):
    """The git hooks of one folder.

    `mode` is `in-place`, or `own` where the folder is ours and chains to the one git would use. `work_tree` is None where
    the folder serves all work trees. `stubs` maps paths to SHA-256 in hex; `previous` is the core.hooksPath, as configured in
    the repository itself, that ours took the place of. `in_force` is false for a folder that git used at an earlier `init`.
    """

    folder: str
    mode: str
    work_tree: str | None
    stubs: dict[str, str]
    previous: str | None
    in_force: bool = True


class Manifest(NamedTuple):
    """Everything that `init` changed for one clone (or, with `common_dir` empty, for one user).

    `commands` are the agent hook commands that are ours, `settings` maps an agent to its settings files, `lines` are those
    added to info/exclude, `hookspath` are the lines of the repository's config that speak of core.hooksPath now.
    `clones` are the common dirs that rely on a user's manifest.
    """

    common_dir: str
    interpreter: str = ""
    state: str = ""
    files: tuple[Written, ...] = ()
    folders: tuple[str, ...] = ()
    hooks: tuple[HookSet, ...] = ()
    hookspath: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    settings: dict[str, tuple[str, ...]] = {}
    lines: tuple[str, ...] = ()
    clones: tuple[str, ...] = ()

    def file(self, path: str) -> Written | None:
        """Return what was written at `path`, if anything."""
        return next((written for written in self.files if written.path == path), None)


def manifest_path(state: str, common_dir: str) -> str:
    """Return where the manifest of a clone rests; an empty `common_dir` names the user's own."""
    if not common_dir:
        return os.path.join(state, "user.install.json")
    return clone_path(state, common_dir)[: -len(".json")] + ".install.json"


def read_manifest(state: str, common_dir: str) -> Manifest:
    """Return the manifest of a clone, an empty one where `init` never ran. Raises StoreCorrupt."""
    path = manifest_path(state, common_dir)
    data = read_regular_file(path, _MAX_BYTES)
    if data is None:
        return Manifest(common_dir)
    try:
        return parse_manifest(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreCorrupt(
            f"the note of what was installed, {path}, is damaged: {error}",
            remedy="move it away, run `ledger init` again and check the hooks by hand",
        ) from error


def write_manifest(state: str, manifest: Manifest) -> None:
    """Write a manifest. Raises StoreError."""
    write_file(manifest_path(state, manifest.common_dir), format_manifest(manifest))


def remove_manifest(state: str, common_dir: str) -> None:
    """Forget what was installed, after it was taken out."""
    try:
        os.unlink(manifest_path(state, common_dir))
    except FileNotFoundError:
        pass


def format_manifest(manifest: Manifest) -> bytes:
    """Return the JSON form of a manifest."""
    value: dict[str, Any] = {"v": 1, **manifest._asdict()}
    value["files"] = [{**file._asdict(), "original": _encode(file.original)} for file in manifest.files]
    value["hooks"] = [hook_set._asdict() for hook_set in manifest.hooks]
    return json.dumps(value, indent=1).encode() + b"\n"


def parse_manifest(data: bytes) -> Manifest:
    """Return the manifest that `format_manifest` wrote. Raises ValueError, KeyError or TypeError for anything else."""
    value = json.loads(data)
    if value.pop("v") != 1:
        raise ValueError("written by a newer ledger")
    return Manifest(
        common_dir=str(value["common_dir"]),
        interpreter=str(value["interpreter"]),
        state=str(value["state"]),
        files=tuple(Written(**{**file, "original": _decode(file["original"])}) for file in value["files"]),
        folders=tuple(map(str, value["folders"])),
        hooks=tuple(HookSet(**hook_set) for hook_set in value["hooks"]),
        hookspath=tuple(map(str, value["hookspath"])),
        commands=tuple(map(str, value["commands"])),
        settings={str(agent): tuple(map(str, paths)) for agent, paths in value["settings"].items()},
        lines=tuple(map(str, value["lines"])),
        clones=tuple(map(str, value["clones"])),
    )


def _encode(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode("ascii")


def _decode(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text, validate=True)
