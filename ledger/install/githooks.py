"""Git hooks: which files are to be where, so that ours run and everybody else's go on running.

Git runs the hooks of one folder: `<common dir>/hooks`, or what core.hooksPath says. Ours go into that folder. A hook that is there
already is renamed to `X.ledger-chained`, and ours runs it first, with the same arguments and input; its exit status counts.

Some folders are not ours to write: those outside the repository (a global core.hooksPath) and those whose files are tracked.
Then `<common dir>/ledger/hooks` holds a stub for every hook a client may have, each of which runs the one of the original
folder first, and core.hooksPath in the repository's own config names it.

Hook managers do their own: pre-commit renames a hook to `X.legacy` and runs it from its own; lefthook renames it to `X.old` and
forgets it; husky sets core.hooksPath and writes its folder anew.
"""

from __future__ import annotations

import os
import shlex
import stat
from typing import NamedTuple

from ledger.errors import Refused
from ledger.install import git
from ledger.install.files import Content, digest, lies_within, read_content, remove_file, write_content
from ledger.install.manifest import HookSet, Manifest
from ledger.install.templates import CHAINED_SUFFIX, RECORDING, Wiring, is_stub, render_stub
from ledger.repo.gitdir import GitDir
from ledger.store.state import make_folder

# The hooks a client may have. Those that run for every ref or index update, or whose mere presence changes what git does, get a
# stub only where the original folder has one.
_CLIENT = (
    *("applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "pre-merge-commit", "pre-rebase", "post-checkout"),
    *("pre-auto-gc", "sendemail-validate"),
)
_ON_DEMAND = (
    *("reference-transaction", "post-index-change", "push-to-checkout", "pre-receive", "update", "proc-receive", "post-receive"),
    *("post-update", "fsmonitor-watchman", "p4-changelist", "p4-prepare-changelist", "p4-post-changelist", "p4-pre-submit"),
)
_STUB_MODE = 0o755


class Stub(NamedTuple):
    """One stub: where it goes, its content, and the file that has to make room (renamed) first, or None."""

    hook: str
    path: str
    data: bytes
    rename: tuple[str, str] | None


class HookPlan(NamedTuple):
    """What is to be done for the git hooks: the set as it will be, the stubs, and the new local core.hooksPath or None."""

    hook_set: HookSet
    stubs: tuple[Stub, ...]
    hookspath: str | None
    notes: tuple[str, ...]


class Place(NamedTuple):
    """The hooks folder that git would use without us: absolute, and as the stubs should name it."""

    folder: str
    spelled: str
    work_tree: str | None


class Undone(NamedTuple):
    """What `remove_stubs` did: paths that were put back or removed, and those it left, with the reason."""

    restored: tuple[str, ...]
    left: tuple[str, ...]


class HookState(NamedTuple):
    """How one hook is: `state` is installed, missing, replaced, not executable or bypassed."""

    hook: str
    path: str
    state: str


def own_folder(common_dir: str) -> str:
    """Return the hooks folder that is ours, for repositories whose own may not be written."""
    return os.path.join(common_dir, "ledger", "hooks")


def find_place(repo: GitDir, work_tree: str, previous: str | None) -> Place:
    """Return the hooks folder that git would use without us. `previous` is the local core.hooksPath that ours replaced."""
    own = own_folder(repo.common_dir)
    paths = git.read_hookspaths(work_tree)
    values = [path.value for path in paths if path.value != own]
    if len(values) != len(paths) and previous is not None:
        values.append(os.path.expanduser(previous))
    if paths and paths[-1].scope == "worktree" and paths[-1].value != own:
        raise Refused(
            "core.hooksPath is set for this work tree alone",
            remedy="set it for the whole repository instead, and take it out with `git config --worktree --unset core.hooksPath`",
        )
    if not values:
        return Place(os.path.join(repo.common_dir, "hooks"), os.path.join(repo.common_dir, "hooks"), None)
    value = values[-1]
    if os.path.isabs(value):
        return Place(os.path.normpath(value), value, None)
    # git reads a relative one from the top of the work tree, where hooks run: each work tree has its own.
    return Place(os.path.normpath(os.path.join(work_tree, value)), os.path.join(".", value), work_tree)


def plan_hooks(repo: GitDir, interpreter: str, state: str, manifest: Manifest) -> HookPlan:
    """Return what is to be done, having changed nothing. Raises Refused."""
    assert repo.work_tree is not None
    previous = next((hook_set.previous for hook_set in manifest.hooks if hook_set.mode == "own"), None)
    place = find_place(repo, repo.work_tree, previous)
    if _may_write(repo, repo.work_tree, place):
        return _plan_in_place(repo, place, interpreter, state)
    return _plan_own(repo, repo.work_tree, place, interpreter, state, manifest)


def _may_write(repo: GitDir, work_tree: str, place: Place) -> bool:
    real = os.path.realpath(place.folder)
    if lies_within(real, repo.common_dir):
        return True
    if not lies_within(real, work_tree) or real == work_tree:
        return False
    return not git.is_tracked(work_tree, real)


def _plan_in_place(repo: GitDir, place: Place, interpreter: str, state: str) -> HookPlan:
    own_ledger = os.path.join(repo.common_dir, "ledger")
    beside = os.path.realpath(place.folder) == os.path.join(repo.common_dir, "hooks")
    # Named from the stub's own folder where that can be, so that a moved clone's hooks go on working.
    wiring = Wiring(interpreter, state, '"$here"/../ledger' if beside else shlex.quote(own_ledger), '"$here"', original=False)
    stubs: list[Stub] = []
    notes: list[str] = []
    for hook in RECORDING:
        stub = _plan_stub(place.folder, hook, render_stub(hook, wiring))
        stubs.append(stub)
        if stub.rename is not None:
            notes.append(f"the {hook} hook that was here runs first, as {os.path.basename(stub.rename[1])}")
    written = {stub.path: digest(stub.data) for stub in stubs}
    return HookPlan(HookSet(place.folder, "in-place", place.work_tree, written, None), tuple(stubs), None, tuple(notes))


def _plan_stub(folder: str, hook: str, data: bytes) -> Stub:
    """Return where the stub for `hook` goes, and what has to make room for it."""
    path = os.path.join(folder, hook)
    if not os.path.lexists(path):
        return Stub(hook, path, data, None)
    legacy = path + ".legacy"
    if holds_stub(path, hook):
        return Stub(hook, path, data, None)
    if runs_legacy(path) and holds_stub(legacy, hook):
        return Stub(hook, legacy, data, None)
    if os.path.isdir(path):
        raise Refused(f"{path} is a folder, where git expects a hook", remedy="move it away and run `ledger init` again")
    return Stub(hook, path, data, (path, path + CHAINED_SUFFIX))


def _plan_own(repo: GitDir, work_tree: str, place: Place, interpreter: str, state: str, manifest: Manifest) -> HookPlan:
    folder = own_folder(repo.common_dir)
    wiring = Wiring(interpreter, state, '"$here"/..', shlex.quote(place.spelled), original=True)
    hooks = [*RECORDING, *_CLIENT]
    hooks += [hook for hook in _ON_DEMAND if os.access(os.path.join(place.folder, hook), os.X_OK)]
    stubs = tuple(Stub(hook, os.path.join(folder, hook), render_stub(hook, wiring), None) for hook in hooks)
    earlier = next((hook_set for hook_set in manifest.hooks if hook_set.mode == "own"), None)
    local = git.local_hookspath(work_tree)
    previous = local if local != folder else earlier.previous if earlier else None
    why = "its files are tracked" if lies_within(os.path.realpath(place.folder), work_tree) else "it lies outside the repository"
    note = f"{place.folder} is not written to, for {why}; the hooks there run first, from {folder}"
    written = {stub.path: digest(stub.data) for stub in stubs}
    hook_set = HookSet(folder, "own", None, written, previous)
    return HookPlan(hook_set, stubs, None if local == folder else folder, (note,))


def stub_is_current(stub: Stub) -> bool:
    """Say whether the stub is in place, as it should be."""
    if stub.rename is not None or os.path.islink(stub.path):
        return False
    return read_content(stub.path) == Content(stub.data, _STUB_MODE)


def install_stub(stub: Stub) -> None:
    """Put a stub into place. A crash leaves the old hook, or the renamed one beside the new, or git without a hook for a moment."""
    if stub.rename is not None:
        source, target = stub.rename
        if os.path.lexists(target) and not _same_bytes(source, target):
            os.rename(target, target + ".old")  # an earlier hook that its manager replaced: kept, no longer run
        os.rename(source, target)
    elif os.path.islink(stub.path):
        remove_file(stub.path)
    write_content(stub.path, Content(stub.data, _STUB_MODE))


def remove_stubs(hook_set: HookSet) -> Undone:
    """Take our stubs out of a folder, and put the hooks back that they ran first."""
    restored: list[str] = []
    left: list[str] = []
    for recorded in hook_set.stubs:
        path = recorded.removesuffix(".legacy")
        hook = os.path.basename(path)
        # Managers keep what they find under other names: every copy of ours goes, and the first one's place is free.
        ours = [spot for spot in (path, path + ".legacy", path + ".old") if holds_stub(spot, hook)]
        for spot in ours:
            remove_file(spot)
        restored += ours
        if hook_set.mode == "in-place" and not _put_back(path, ours[0] if ours else None):
            left.append(path + CHAINED_SUFFIX)
    return Undone(tuple(restored), tuple(left))


def _put_back(path: str, where: str | None) -> bool:
    """Rename the chained hook of `path` to where our stub was found. False if there is one and its place is taken."""
    chained = path + CHAINED_SUFFIX
    if not os.path.lexists(chained):
        return True
    if where is None and not os.path.lexists(path):
        where = path
    if where != path and (_same_bytes(chained, path) or (runs_legacy(chained) and runs_legacy(path))):
        remove_file(chained)  # its manager has put it back already
        return True
    if where is None:
        return False
    os.rename(chained, where)
    return True


def _same_bytes(one: str, other: str) -> bool:
    first = read_content(one) if os.path.isfile(one) else None
    second = read_content(other) if os.path.isfile(other) else None
    return first is not None and second is not None and first.data == second.data


def holds_stub(path: str, hook: str) -> bool:
    """Say whether the file at `path` is a stub of ours for `hook`."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    content = read_content(path)
    return content is not None and is_stub(content.data, hook)


def runs_legacy(path: str) -> bool:
    """Say whether the hook at `path` is one of pre-commit's, which runs the one it found as `X.legacy`."""
    content = read_content(path) if os.path.isfile(path) else None
    return content is not None and b"File generated by pre-commit" in content.data[:400]


def check_githooks(repo: GitDir, manifest: Manifest) -> list[HookState]:
    """Return how each recording hook is, for the work tree of `repo`. Empty where none was installed. Raises Refused, RepoError."""
    work_tree = repo.work_tree or repo.git_dir
    paths = git.read_hookspaths(work_tree)
    value = paths[-1].value if paths else os.path.join(repo.common_dir, "hooks")
    effective = os.path.realpath(os.path.join(work_tree, value))
    states = []
    for hook_set in manifest.hooks:
        if hook_set.work_tree not in (None, repo.work_tree):
            continue
        used = os.path.realpath(hook_set.folder) == effective
        for path, wanted in hook_set.stubs.items():
            hook = os.path.basename(path).removesuffix(".legacy")
            if hook in RECORDING:
                states.append(HookState(hook, path, _state_of(path, hook, wanted) if used else "bypassed"))
    in_use = [state for state in states if state.state != "bypassed"]
    return in_use or states


def _state_of(path: str, hook: str, wanted: str) -> str:
    try:
        found = os.lstat(path)
    except OSError:
        return "missing"
    if not stat.S_ISREG(found.st_mode):
        return "replaced"
    content = read_content(path)
    if content is None or digest(content.data) != wanted:
        legacy = path + ".legacy"
        if runs_legacy(path) and holds_stub(legacy, hook):
            return "installed" if os.access(legacy, os.X_OK) else "not executable"
        return "replaced"
    return "installed" if found.st_mode & 0o111 else "not executable"


def trailer_switch(common_dir: str) -> str:
    """Return the path of the file whose presence tells the stubs to add no trailer."""
    return os.path.join(common_dir, "ledger", "no-trailer")


def switch_trailer(common_dir: str, on: bool) -> None:
    """Let the stubs add the commit trailer, or not. Raises StoreError."""
    path = trailer_switch(common_dir)
    if on:
        remove_file(path)
    elif not os.path.exists(path):
        make_folder(os.path.dirname(path))
        write_content(path, Content(b"", 0o644))
