"""What `ledger doctor` looks at. Each check says what is, how bad it is, and what to do about it; none changes anything."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ledger.core import sshsig
from ledger.errors import FormatError, LedgerError, Refused
from ledger.install import agents, codextrust, githooks, jsontext
from ledger.install.files import read_content
from ledger.install.manifest import Manifest, read_manifest
from ledger.install.templates import is_plugin
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir, how_to_start
from ledger.store import keys
from ledger.store import state as places
from ledger.store.reader import JournalReader
from ledger.store.sshagent import AgentSigner, agent_keys

OLDEST_GIT = (2, 30)
_AGAIN = "run `ledger init` again"


class Check(NamedTuple):
    """One finding: `level` is ok, warn or fail; `remedy` is empty where there is nothing to do."""

    name: str
    level: str
    message: str
    remedy: str = ""


class Patient(NamedTuple):
    """What is examined."""

    repo: GitDir
    state: str
    found: places.Found
    own: Manifest
    user: Manifest


def examine(repo: GitDir, state: str) -> list[Check]:
    """Return every check's finding. A check that cannot be made is a finding, too."""
    found = places.find_clone(state, repo.common_dir, repo.work_tree)
    patient = Patient(repo, state, found, read_manifest(state, repo.common_dir), read_manifest(state, ""))
    results = [Check("repository", "ok", repo.work_tree or repo.git_dir)]
    for name, look in _CHECKS.items():
        try:
            results += look(patient)
        except LedgerError as error:
            results.append(Check(name, "fail", error.message, error.remedy))
        except OSError as error:
            results.append(Check(name, "fail", f"{error.filename or name}: {error.strerror}", "check the permissions"))
    return results


def wired_agents(patient: Patient) -> dict[str, list[str]]:
    """Return the settings files that hold our hooks, by agent."""
    wired: dict[str, list[str]] = {}
    for manifest in (patient.own, patient.user):
        for agent, paths in manifest.settings.items():
            wired.setdefault(agent, []).extend(path for path in paths if _is_wired(path, manifest))
    return {agent: paths for agent, paths in wired.items() if paths}


def _is_wired(path: str, manifest: Manifest) -> bool:
    content = read_content(path) if path.endswith(".js") else None
    return is_plugin(content.data) if content is not None else bool(_events_wired(path, manifest))


def _check_git(patient: Patient) -> Iterator[Check]:
    said = run_git(["version"], cwd="/").decode("utf-8", "replace").strip()
    match = re.search(r"(\d+)\.(\d+)", said)
    if match and (int(match[1]), int(match[2])) < OLDEST_GIT:
        yield Check("git", "fail", said, "install git 2.30 or newer")
    else:
        yield Check("git", "ok", said)


def _check_ledger(patient: Patient) -> Iterator[Check]:
    clone, how = patient.found
    if clone is None:
        yield Check("ledger", "fail", "this repository has no ledger on this machine", how_to_start(patient.repo))
    elif how == "known":
        yield Check("ledger", "ok", f"log {clone.log}")
    else:
        happened = {"moved": "moved", "copied": "is a copy", "replaced": "was replaced by another"}.get(how, how)
        yield Check("ledger", "warn", f"log {clone.log}, but the clone {happened} since `ledger init`", _AGAIN)


def _check_interpreter(patient: Patient) -> Iterator[Check]:
    interpreter = patient.own.interpreter
    if not interpreter:
        return
    if not os.access(interpreter, os.X_OK):
        yield Check("interpreter", "fail", f"{interpreter} is gone, so the hooks record nothing", _AGAIN)
        return
    done = subprocess.run([interpreter, "-I", "-c", "import ledger.hook"], cwd="/", capture_output=True, check=False)
    if done.returncode:
        yield Check("interpreter", "fail", f"`{interpreter} -I -m ledger.hook` fails", f"install git-ledger anew, {_AGAIN}")
    else:
        yield Check("interpreter", "ok", interpreter)


_HOOK_TROUBLE = {
    "missing": "is missing",
    "replaced": "was replaced or changed",
    "not executable": "is not executable",
    "bypassed": "is in place, but git uses another hooks folder now (core.hooksPath)",
}


def _check_hooks(patient: Patient) -> Iterator[Check]:
    states = githooks.check_githooks(patient.repo, patient.own)
    if not states:
        if patient.found.clone is not None:
            yield Check("git hooks", "fail", "none is installed for this work tree", _AGAIN)
        return
    wrong = [hook for hook in states if hook.state != "installed"]
    for hook in wrong:
        yield Check("git hooks", "fail", f"{hook.hook} {_HOOK_TROUBLE[hook.state]}: {hook.path}", _AGAIN)
    if not wrong:
        folder = os.path.dirname(states[0].path)
        yield Check("git hooks", "ok", f"{len(states)} in {folder}")
    switch = os.path.lexists(githooks.trailer_switch(patient.repo.common_dir))
    wanted = patient.found.clone is None or patient.found.clone.settings.get("trailer", True)
    if switch and wanted:
        yield Check(
            "git hooks",
            "warn",
            "commit trailers are off, and no setting says so",
            "`ledger config trailer true`",
        )


def _check_agents(patient: Patient) -> Iterator[Check]:
    seen = agents.find_agents(patient.repo.work_tree or patient.repo.git_dir)
    wired = wired_agents(patient)
    for agent, kind in agents.AGENTS.items():
        paths = wired.get(agent, [])
        if paths:
            for path in paths:
                yield from _check_wiring(patient, agent, path)
        elif agent in patient.own.settings or agent in patient.user.settings:
            yield Check(kind.title, "fail", "its hooks are no longer in its settings", _AGAIN)
        elif agent in seen:
            yield Check(kind.title, "warn", "is on this machine and not wired", f"`ledger init --agents {agent}` if it is used")
        if len(paths) > 1 and agent == "codex":
            yield Check(
                kind.title,
                "warn",
                f"wired twice, in {' and '.join(paths)}",
                "`ledger deinit`, then one scope",
            )


def _check_wiring(patient: Patient, agent: str, path: str) -> Iterator[Check]:
    kind = agents.AGENTS[agent]
    manifest = patient.own if path in patient.own.settings.get(agent, ()) else patient.user
    if not kind.events:
        content = read_content(path)
        command = agents.hook_command(manifest.interpreter, manifest.state, agent)
        if content is not None and content.data == agents.plugin_text(command):
            yield Check(kind.title, "ok", f"the plugin {path}")
        else:
            yield Check(kind.title, "warn", f"the plugin {path} is not the one that this version installs", _AGAIN)
        return
    events = _events_wired(path, manifest)
    missing = [event for event in kind.events if event not in events]
    if missing:
        yield Check(kind.title, "warn", f"{path} lacks our hook for {', '.join(missing)}", _AGAIN)
    else:
        yield Check(kind.title, "ok", f"{len(events)} events in {path}")


def _events_wired(path: str, manifest: Manifest) -> set[str]:
    """Return the events for which the settings file at `path` runs one of our commands."""
    hooks = _read_json(path).get("hooks")
    found = set()
    for event, groups in hooks.items() if isinstance(hooks, dict) else ():
        for group in groups if isinstance(groups, list) else ():
            entries = group.get("hooks") if isinstance(group, dict) else None
            if isinstance(entries, list) and any(isinstance(it, dict) and it.get("command") in manifest.commands for it in entries):
                found.add(event)
    return found


def _check_codex_trust(patient: Patient) -> Iterator[Check]:
    home = agents.home_of("codex")
    work_tree = patient.repo.work_tree or ""
    for manifest in (patient.own, patient.user):
        command = agents.hook_command(manifest.interpreter, manifest.state, "codex")
        for path in manifest.settings.get("codex", ()):
            trust = codextrust.read_trust(home, path, command, work_tree, os.path.dirname(patient.repo.common_dir))
            if manifest is patient.own and not trust.project:
                yield Check("Codex trust", "warn", "the project is not trusted yet, so Codex reads no hooks from it", _OPEN_CODEX)
            if trust.missing:
                known = trust.total - len(trust.missing)
                message = f"{known} of the {trust.total} hooks in {path} are trusted; Codex silently skips those that are not"
                yield Check("Codex trust", "warn", message, _OPEN_CODEX)
            elif trust.total:
                yield Check("Codex trust", "ok", f"all {trust.total} hooks are trusted")


_OPEN_CODEX = (
    "still to do: open codex in this repository, trust the project if it asks, and the hooks when it shows `Hooks need review`"
)


def _check_claude_switches(patient: Patient) -> Iterator[Check]:
    if "claude-code" not in patient.own.settings and "claude-code" not in patient.user.settings:
        return
    work_tree = patient.repo.work_tree or ""
    spots = [os.path.join(agents.home_of("claude-code"), "settings.json")]
    spots += [os.path.join(work_tree, ".claude", name) for name in ("settings.json", "settings.local.json")]
    for path in spots:
        if _read_json(path).get("disableAllHooks") is True:
            yield Check("Claude Code", "fail", f"{path} has disableAllHooks, so no hook of ours runs", "take it out")


def _check_gemini_switches(patient: Patient) -> Iterator[Check]:
    if "gemini" not in patient.own.settings and "gemini" not in patient.user.settings:
        return
    spots = [agents.home_of("gemini"), os.path.join(patient.repo.work_tree or "", ".gemini"), "/etc/gemini-cli"]
    for path in (os.path.join(spot, "settings.json") for spot in spots):
        switches = _read_json(path).get("hooksConfig")
        if not isinstance(switches, dict):
            continue
        disabled = switches.get("disabled")
        if switches.get("enabled") is False:
            yield Check("Gemini CLI", "fail", f"{path} has hooksConfig.enabled false, so no hook of ours runs", "take it out")
        elif isinstance(disabled, list) and "git-ledger" in disabled:
            yield Check("Gemini CLI", "fail", f"{path} disables the hook git-ledger", "take it out of hooksConfig.disabled")


def _check_key(patient: Patient) -> Iterator[Check]:
    clone = patient.found.clone
    if clone is None:
        return
    with JournalReader(places.journal_path(patient.state, clone.log)) as journal:
        name = journal.meta("key") or ""
        paused = journal.is_paused()
        count = journal.count()
    yield Check(
        "journal", "ok", f"{count} {'entry' if count == 1 else 'entries'} in {places.journal_path(patient.state, clone.log)}"
    )
    if paused:
        yield Check("recording", "warn", "is paused", "`ledger resume` goes on")
    signer = keys.load_signer(patient.state, name)
    path = os.path.join(keys.keys_dir(patient.state), name + ".key")
    shown = f"{sshsig.fingerprint(signer.public_key)} ({signer.storage})"
    if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        yield Check("key", "fail", f"others may read {path}", f"`chmod 600 {path}`, and consider `ledger keys rotate`")
    elif isinstance(signer, AgentSigner) and signer.public_key not in agent_keys(signer.socket):
        yield Check("key", "fail", f"the ssh-agent does not hold {shown}", "`ssh-add` it; meanwhile events wait in the spool")
    else:
        yield Check("key", "ok", shown)


def _check_spool(patient: Patient) -> Iterator[Check]:
    clone = patient.found.clone
    if clone is None:
        return
    spots = (places.spool_dir(patient.state, clone.log), places.git_spool_dir(patient.repo.common_dir))
    waiting = sum(len(os.listdir(spot)) for spot in spots if os.path.isdir(spot))
    if waiting:
        yield Check("spool", "warn", f"{waiting} events wait to be signed", "the next event takes them up")
    else:
        yield Check("spool", "ok", "nothing waits")


def _read_json(path: str) -> dict[str, Any]:
    """Return a settings file's object, an empty one where it has none that can be read."""
    try:
        content = read_content(path)
        value = jsontext.parse(content.data.decode("utf-8")) if content else {}
    except (Refused, FormatError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


_CHECKS: dict[str, Callable[[Patient], Iterator[Check]]] = {
    "git": _check_git,
    "ledger": _check_ledger,
    "interpreter": _check_interpreter,
    "git hooks": _check_hooks,
    "agents": _check_agents,
    "Codex trust": _check_codex_trust,
    "Claude Code": _check_claude_switches,
    "Gemini CLI": _check_gemini_switches,
    "key": _check_key,
    "spool": _check_spool,
}
