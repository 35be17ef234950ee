"""`init` and `deinit`, without the talking.

plan     read everything, refuse what must be refused, change nothing
install  1. the manifest, which says what everything was   2. folders   3. git hooks, core.hooksPath
         4. agents' settings   5. info/exclude   6. the manifest again, as it came out
remove   the same from the end to the start; what was never done needs no undoing
"""

from __future__ import annotations

import os
from typing import NamedTuple

from ledger.errors import Refused, StoreError
from ledger.install import agents, exclude, git, githooks
from ledger.install.agents import SettingsPlan
from ledger.install.files import Content, digest, lies_within, missing_folders, read_content, remove_file, write_content
from ledger.install.githooks import HookPlan
from ledger.install.manifest import HookSet, Manifest, Written, read_manifest, remove_manifest, write_manifest
from ledger.repo.gitdir import GitDir
from ledger.repo.hookcheck import hookspath_lines


class Plan(NamedTuple):
    """What is to be done. `own` and `user` are the manifests as they are now; `user_settings` belong to the second."""

    repo: GitDir
    state: str
    interpreter: str
    own: Manifest
    user: Manifest
    hooks: HookPlan
    settings: tuple[SettingsPlan, ...]
    user_settings: tuple[SettingsPlan, ...]
    dropped: tuple[Written, ...]
    lines: tuple[str, ...]


class Done(NamedTuple):
    """What was done: paths that changed, agents that are wired now and where, and remarks."""

    changed: tuple[str, ...]
    agents: dict[str, str]
    notes: tuple[str, ...]


class Removed(NamedTuple):
    """What `remove` did: paths put back as they were, paths that only our lines were taken out of, paths that were left."""

    restored: tuple[str, ...]
    edited: tuple[str, ...]
    left: tuple[str, ...]


def check_repository(repo: GitDir) -> None:
    """Raise Refused for a repository without a work tree, or with something else where the ledger's folder goes."""
    if repo.work_tree is None:
        raise Refused(
            f"{repo.git_dir} is a bare repository, or you stand inside a git folder: agents work in work trees",
            remedy="run `ledger init` in a clone, in its work tree",
        )
    folder = os.path.join(repo.common_dir, "ledger")
    if os.path.lexists(folder) and not _is_real_folder(folder):
        raise Refused(f"{folder} is no folder, or a link", remedy="move it away and try again")


def plan_install(repo: GitDir, state: str, interpreter: str, names: list[str], scope: str) -> Plan:
    """Return what `init` would do for the agents in `names`, having changed nothing. Raises Refused."""
    check_repository(repo)
    own, user = read_manifest(state, repo.common_dir), read_manifest(state, "")
    hooks = githooks.plan_hooks(repo, interpreter, state, own)
    manifest = user if scope == "user" else own
    settings = tuple(
        agents.plan_settings(name, scope, repo, agents.hook_command(interpreter, state, name), manifest) for name in names
    )
    project = settings if scope == "project" else ()
    kept = {plan.path for plan in project}
    # Settings of other work trees are theirs; those of this one that are wanted no longer go.
    dropped = tuple(
        written
        for written in own.files
        if written.role == "settings" and written.path not in kept and lies_within(written.path, repo.work_tree or "")
    )
    lines = _plan_lines(repo, own, hooks, project, dropped)
    return Plan(repo, state, interpreter, own, user, hooks, project, settings if scope == "user" else (), dropped, lines)


def _plan_lines(
    repo: GitDir, own: Manifest, hooks: HookPlan, settings: tuple[SettingsPlan, ...], dropped: tuple[Written, ...]
) -> tuple[str, ...]:
    """Return the lines that info/exclude needs, for files in the work tree that git does not ignore anyway."""
    assert repo.work_tree is not None
    gone = {exclude.exclude_line(repo.work_tree, written.path) for written in dropped}
    lines = [line for line in own.lines if line not in gone]
    paths = [plan.path for plan in settings] + [stub.path for stub in hooks.stubs]
    paths += [stub.rename[1] for stub in hooks.stubs if stub.rename]
    for path in paths:
        if lies_within(path, repo.work_tree) and not lies_within(path, repo.common_dir):
            line = exclude.exclude_line(repo.work_tree, path)
            if line not in lines and not git.is_ignored(repo.work_tree, path):
                lines.append(line)
    return tuple(lines)


def install(plan: Plan) -> Done:
    """Carry out a plan. Raises StoreError or RepoError; `deinit` cleans up after that, too."""
    changed: list[str] = []
    excluded = _plan_exclude(plan)
    manifest = _new_manifest(plan, excluded)
    if manifest != plan.own:
        write_manifest(plan.state, manifest)
    if plan.user_settings:
        _install_user(plan, changed)
    try:
        _make_folders([os.path.dirname(path) for path in _paths(plan)] + [os.path.join(plan.repo.common_dir, "info")])
        for stub in plan.hooks.stubs:
            if not githooks.stub_is_current(stub):
                githooks.install_stub(stub)
                changed.append(stub.path)
        if plan.hooks.hookspath is not None:
            assert plan.repo.work_tree is not None
            git.set_local_hookspath(plan.repo.work_tree, plan.hooks.hookspath)
            changed.append(_config_path(plan.repo))
        for written in plan.dropped:
            agents.undo_settings(written, plan.own.commands)
            changed.append(written.path)
        changed += _write_settings(plan.settings)
        if excluded is not None and excluded[1] != excluded[0]:
            write_content(exclude.exclude_path(plan.repo.common_dir), excluded[1])
            changed.append(exclude.exclude_path(plan.repo.common_dir))
    except OSError as error:
        raise StoreError(f"{error.filename}: {error.strerror}", remedy="make it writable, and run `ledger init` again") from error
    final = _with_config(plan, manifest)
    if final != manifest:
        write_manifest(plan.state, final)
    wired = {plan.agent: plan.path for plan in (*plan.settings, *plan.user_settings)}
    return Done(tuple(changed), wired, plan.hooks.notes)


def _paths(plan: Plan) -> list[str]:
    return [stub.path for stub in plan.hooks.stubs] + [settings.path for settings in plan.settings]


def _plan_exclude(plan: Plan) -> tuple[Content | None, Content, Content | None] | None:
    """Return info/exclude as it is, as it is to be, and as it was without us; None where it is not needed."""
    path = exclude.exclude_path(plan.repo.common_dir)
    if os.path.islink(path):
        raise Refused(f"{path} is a link, and is not followed", remedy="replace it by a file")
    before = exclude.read_exclude(plan.repo.common_dir)
    written = plan.own.file(path)
    if written is not None and before is not None and digest(before.data) == written.after:
        original = None if written.original is None else Content(written.original, written.mode)
    else:
        original = before and Content(exclude.drop_lines(before.data, plan.own.lines), before.mode)
    after = exclude.add_lines(original, plan.lines)
    if written is None and (not plan.lines or after is None):
        return None
    return before, after or Content(b"", 0o644), original


def _new_manifest(plan: Plan, excluded: tuple[Content | None, Content, Content | None] | None) -> Manifest:
    """Return the manifest as it is to be, core.hooksPath apart."""
    own, repo = plan.own, plan.repo
    dropped = {written.path for written in plan.dropped}
    files = {written.path: written for written in own.files if written.path not in dropped}
    for settings in plan.settings:
        files[settings.path] = _written(settings.path, "settings", settings.original, settings.after)
    if excluded is not None:
        path = exclude.exclude_path(repo.common_dir)
        files[path] = _written(path, "exclude", excluded[2], excluded[1])
    if plan.hooks.hookspath is not None:
        path = _config_path(repo)
        config = read_content(path)
        assert config is not None  # git itself would not have found the repository
        files[path] = _written(path, "config", config, config)  # as it is without us: it names another folder, or none
    needed = [folder for path in _paths(plan) for folder in missing_folders(os.path.dirname(path))]
    needed += missing_folders(os.path.join(repo.common_dir, "info"))
    commands = [agents.hook_command(plan.interpreter, plan.state, settings.agent) for settings in plan.settings]
    wired: dict[str, tuple[str, ...]] = {settings.agent: (settings.path,) for settings in plan.settings}
    for agent, paths in own.settings.items():
        others = [path for path in paths if path not in dropped and path not in wired.get(agent, ())]
        if others:
            wired[agent] = (*others, *wired.get(agent, ()))
    return own._replace(
        interpreter=plan.interpreter,
        state=plan.state,
        files=tuple(files.values()),
        folders=tuple(dict.fromkeys([*own.folders, *needed])),
        hooks=_new_hook_sets(own, plan.hooks),
        hookspath=tuple(hookspath_lines(_config_bytes(repo))),
        commands=tuple(dict.fromkeys([*own.commands, *commands])),
        settings=wired,
        lines=plan.lines,
    )


def _new_hook_sets(own: Manifest, hooks: HookPlan) -> tuple[HookSet, ...]:
    """Return the hook sets with the new one last. Where each work tree has its own folder, the other trees' stay in force."""
    new = hooks.hook_set
    others = [old for old in own.hooks if (old.folder, old.work_tree) != (new.folder, new.work_tree)]
    both = new.work_tree is not None
    return (*(old._replace(in_force=old.in_force and both and old.work_tree is not None) for old in others), new)


def _with_config(plan: Plan, manifest: Manifest) -> Manifest:
    """Return the manifest with what the repository's config is now."""
    data = _config_bytes(plan.repo)
    path = _config_path(plan.repo)
    files = manifest.files
    if plan.hooks.hookspath is not None:
        files = tuple(file._replace(after=digest(data)) if file.path == path else file for file in files)
    return manifest._replace(files=files, hookspath=tuple(hookspath_lines(data)))


def _install_user(plan: Plan, changed: list[str]) -> None:
    """Write the user's own settings, and note which clone relies on them."""
    files = {written.path: written for written in plan.user.files}
    for settings in plan.user_settings:
        files[settings.path] = _written(settings.path, "settings", settings.original, settings.after)
    needed = [folder for settings in plan.user_settings for folder in missing_folders(os.path.dirname(settings.path))]
    commands = [agents.hook_command(plan.interpreter, plan.state, settings.agent) for settings in plan.user_settings]
    manifest = plan.user._replace(
        interpreter=plan.interpreter,
        state=plan.state,
        files=tuple(files.values()),
        folders=tuple(dict.fromkeys([*plan.user.folders, *needed])),
        commands=tuple(dict.fromkeys([*plan.user.commands, *commands])),
        settings={**plan.user.settings, **{settings.agent: (settings.path,) for settings in plan.user_settings}},
        clones=tuple(dict.fromkeys([*plan.user.clones, plan.repo.common_dir])),
    )
    if manifest != plan.user:
        write_manifest(plan.state, manifest)
    _make_folders([os.path.dirname(settings.path) for settings in plan.user_settings])
    changed += _write_settings(plan.user_settings)


def _write_settings(plans: tuple[SettingsPlan, ...]) -> list[str]:
    changed = [plan for plan in plans if plan.before != plan.after]
    for plan in changed:
        write_content(plan.path, plan.after)
    return [plan.path for plan in changed]


def _make_folders(paths: list[str]) -> None:
    for path in paths:
        os.makedirs(path, exist_ok=True)


def remove(repo: GitDir, state: str) -> Removed:
    """Undo what `install` did for this clone; the user's own settings when no other clone relies on them."""
    own = read_manifest(state, repo.common_dir)
    restored: list[str] = []
    edited: list[str] = []
    left: list[str] = []
    for written in own.files:
        if written.role == "settings":
            {"restored": restored, "edited": edited, "left": left, "gone": []}[_undo(written, own)].append(written.path)
    for hook_set in own.hooks:
        undone = githooks.remove_stubs(hook_set)
        restored += undone.restored
        left += undone.left
    for written in own.files:
        if written.role == "config":
            (restored if _undo_config(repo, written, own) else edited).append(written.path)
        elif written.role == "exclude":
            (restored if _undo_exclude(written, own) else edited).append(written.path)
    switch = githooks.trailer_switch(repo.common_dir)
    if _is_real_folder(os.path.dirname(switch)):  # never through a link that somebody laid there
        remove_file(switch)
    _remove_folders(own.folders)
    remove_manifest(state, repo.common_dir)
    _remove_user(repo, state, restored, edited, left)
    return Removed(tuple(restored), tuple(edited), tuple(left))


def _is_real_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _undo(written: Written, manifest: Manifest) -> str:
    return agents.undo_settings(written, manifest.commands)


def _undo_config(repo: GitDir, written: Written, own: Manifest) -> bool:
    """Put core.hooksPath back. True if the whole file is what it was."""
    now = read_content(written.path)
    if now is not None and written.original is not None and digest(now.data) == written.after:
        if now.data != written.original:
            write_content(written.path, Content(written.original, now.mode))
        return True
    cwd = repo.work_tree or repo.git_dir
    if git.local_hookspath(cwd) == githooks.own_folder(repo.common_dir):
        previous = next((hook_set.previous for hook_set in own.hooks if hook_set.mode == "own"), None)
        git.set_local_hookspath(cwd, previous)
    return False


def _undo_exclude(written: Written, own: Manifest) -> bool:
    """Take our lines out of info/exclude. True if the whole file is what it was."""
    now = read_content(written.path)
    if now is None:
        return written.original is None
    if digest(now.data) == written.after:
        if written.original is None:
            remove_file(written.path)
        else:
            write_content(written.path, Content(written.original, written.mode))
        return True
    write_content(written.path, Content(exclude.drop_lines(now.data, own.lines), now.mode))
    return False


def _remove_user(repo: GitDir, state: str, restored: list[str], edited: list[str], left: list[str]) -> None:
    user = read_manifest(state, "")
    if repo.common_dir not in user.clones:
        return
    clones = tuple(clone for clone in user.clones if clone != repo.common_dir and os.path.isdir(clone))
    if clones:
        write_manifest(state, user._replace(clones=clones))
        return
    for written in user.files:
        {"restored": restored, "edited": edited, "left": left, "gone": []}[_undo(written, user)].append(written.path)
    _remove_folders(user.folders)
    remove_manifest(state, "")


def _remove_folders(folders: tuple[str, ...]) -> None:
    """Remove the folders that we made, where nobody has put anything into them since."""
    for folder in sorted(folders, key=len, reverse=True):
        try:
            os.rmdir(folder)
        except OSError:
            pass


def _written(path: str, role: str, original: Content | None, after: Content) -> Written:
    return Written(path, role, original.data if original else None, original.mode if original else after.mode, digest(after.data))


def _config_path(repo: GitDir) -> str:
    return os.path.join(repo.common_dir, "config")


def _config_bytes(repo: GitDir) -> bytes:
    config = read_content(_config_path(repo))
    return config.data if config else b""
