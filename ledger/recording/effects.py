"""What a call changed: the paths that it names, and where it can run anything, whatever changed in the work tree meanwhile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ledger.core.fact import Fact
from ledger.core.linediff import split_text
from ledger.errors import RepoError
from ledger.recording.calls import Call, Effect, close_call, dead_calls, doubt_name, note_run, writes_anything, writing_calls
from ledger.recording.origins import HERE, HUMAN, UNKNOWN, Origin, agents
from ledger.recording.snapshots import Snapshots
from ledger.recording.writer import now_ms
from ledger.repo.blobs import TOO_LARGE
from ledger.repo.gitdir import GitDir
from ledger.repo.index import stale_paths
from ledger.repo.snapshots import look
from ledger.store.journal import Journal

LOOK_MS = 150
CLOCK_MS = 10  # files are stamped by a clock that ticks every few milliseconds
_MAX_FOUND = 300
_MAX_STALE = 50
_FAILED = ("failed", "denied", "cancelled")


def before_call(journal: Journal, repo: GitDir, fact: Fact, touched: list[bytes], at_ms: int) -> dict[bytes, str | None]:
    """Look at what a call is about to touch, and return the blobs there.

    What is new since the last look is a person's, or a call's that is open. Before a call that can write anything, all paths that
    were seen lately are looked at, so that what a person did to them is not taken for its doing.
    """
    wide = writes_anything(fact)
    if repo.work_tree is None or not (touched or wide):
        return {}
    dead = dead_calls(journal, repo)
    if dead:
        give_up(journal, repo, dead, at_ms, budget_ms=LOOK_MS)
    snapshots = Snapshots(journal, repo, at_ms)
    others = writing_calls(journal, repo, at_ms)
    before: dict[bytes, str | None] = {}
    for path in touched:
        if snapshots.seen(path) is None:
            before[path] = snapshots.begin(path, _whose_at_first(snapshots, path, others, HERE)).blob
        else:
            before[path] = snapshots.observe(path, _meanwhile(journal, repo, others, path)).after
    if wide:
        for path in snapshots.known_paths():
            snapshots.observe(path, _meanwhile(journal, repo, others, path))
        read = 0
        for path, blob in stale_paths(repo, snapshots.object_format).items():
            if read < _MAX_STALE and snapshots.seen(path) is None:
                change = snapshots.observe(path, _meanwhile(journal, repo, others, path), base=(blob, 0o100644))
                read += change.after is not None  # that one is gone costs next to nothing to see
    snapshots.close()
    return before


def after_call(
    journal: Journal, repo: GitDir, call: Call | None, fact: Fact, touched: list[bytes], at_ms: int, *, live: bool, budget_ms: int
) -> tuple[list[Effect], bool]:
    """Look at what a call has changed; return that, and whether all of it was looked for."""
    if repo.work_tree is None:
        return [], True
    wide = call is not None and call.writes
    before = dict(call.before) if call else {}
    if not (wide or before or touched):
        return [], True
    snapshots = Snapshots(journal, repo, at_ms)
    others = [each for each in writing_calls(journal, repo, at_ms) if call is None or each.seq != call.seq]
    effects = []
    given = _read_input(journal, call) if call is not None and (before or touched) else None
    for path in dict.fromkeys([*before, *touched]):
        effect = _named(snapshots, path, call, fact, others, given, live=live)
        if effect is not None:
            effects.append(effect)
    whole = True
    if wide and call is not None:
        if live:
            found, whole = _found(journal, snapshots, call, {*before, *touched}, others, budget_ms)
            effects += found
        else:
            whole = False
        journal.set_meta(doubt_name(repo.git_dir), "0" if whole else "1")
        note_run(journal, repo, call.at_ms - CLOCK_MS, at_ms + CLOCK_MS)
    snapshots.close()
    return _with_moves(effects), whole


def give_up(journal: Journal, repo: GitDir, unanswered: Sequence[Call], at_ms: int, *, budget_ms: int) -> None:
    """Forget calls that get no result: their turn ended, or they were killed. Whose it is that they may have written, nobody knows.

    Most were denied and wrote nothing, so a look is taken; where there is no time for one, the work tree is in doubt.
    """
    for call in unanswered:
        close_call(journal, call)
    if repo.work_tree is None:
        return
    snapshots = Snapshots(journal, repo, at_ms)
    for path in dict.fromkeys(path for call in unanswered for path, _ in call.before):
        if snapshots.seen(path) is not None:
            snapshots.observe(path, UNKNOWN)
    since = min((call.at_ms for call in unanswered if call.writes), default=None)
    if since is not None:
        note_run(journal, repo, since - CLOCK_MS, at_ms + CLOCK_MS)
        if not _look_since(snapshots, since, budget_ms):
            journal.set_meta(doubt_name(repo.git_dir), "1")
    snapshots.close()


def _look_since(snapshots: Snapshots, since_ms: int, budget_ms: int) -> bool:
    """Note whatever changed since then as nobody's; say whether all of it was looked for."""
    try:
        seen_now = look(snapshots.repo, snapshots.object_format, budget_ms / 1000)
    except RepoError:
        return False
    candidates = list(dict.fromkeys([*seen_now.paths, *snapshots.known_paths()]))
    for path in candidates[:_MAX_FOUND]:
        state = snapshots.state(path)
        if state.at_ms < since_ms - CLOCK_MS:
            continue
        if snapshots.seen(path) is None:
            snapshots.begin(path, UNKNOWN)
        else:
            snapshots.observe(path, UNKNOWN, state=state)
    return seen_now.whole and len(candidates) <= _MAX_FOUND


def clear_doubt(journal: Journal, repo: GitDir, budget_s: float) -> None:
    """Look at a whole work tree that is in doubt, with time: whose what is there is stays unknown, what follows does not."""
    if repo.work_tree is None or not in_doubt(journal, repo):
        return
    snapshots = Snapshots(journal, repo, now_ms())
    seen_now = look(repo, snapshots.object_format, budget_s)
    for path in dict.fromkeys([*seen_now.paths, *snapshots.known_paths()]):
        if snapshots.seen(path) is None:
            snapshots.begin(path, UNKNOWN)
        else:
            snapshots.observe(path, UNKNOWN)
    snapshots.close()
    if seen_now.whole:
        journal.set_meta(doubt_name(repo.git_dir), "0")


def in_doubt(journal: Journal, repo: GitDir) -> bool:
    """Say whether something may have changed in this work tree since it was last looked at as a whole."""
    return journal.meta(doubt_name(repo.git_dir)) == "1"


def _meanwhile(journal: Journal, repo: GitDir, others: list[Call], path: bytes) -> Origin:
    """Return whose it is that a path changed while only `others` were open."""
    able = [call for call in others if call.may_write(path)]
    if not able:
        return UNKNOWN if in_doubt(journal, repo) else HUMAN
    # A call that only edits what it names gets what it was asked for when its result comes. If it was denied, none does.
    return agents(able[0].seq, "inferred") if len(able) == 1 and able[0].writes else UNKNOWN


def _whose_at_first(snapshots: Snapshots, path: bytes, others: list[Call], whose: Origin) -> Origin:
    """Return whose the lines of a path are at the first look: `whose`, unless a call that is open, or was, may have written it."""
    able = [call.at_ms for call in others if call.may_write(path)]
    at_ms = snapshots.stat(path)[1]
    return UNKNOWN if (able and at_ms >= min(able) - CLOCK_MS) or snapshots.did_run(at_ms, at_ms) else whose


def _named(
    snapshots: Snapshots, path: bytes, call: Call | None, fact: Fact, others: list[Call], given: Any, *, live: bool
) -> Effect | None:
    """Look at a path that the call named."""
    before = dict(call.before) if call else {}
    alone = live and call is not None and path in before and not any(each.may_write(path) for each in others)
    fresh = agents(call.seq, "partial") if alone and call is not None else UNKNOWN
    if snapshots.seen(path) is None:
        state = snapshots.begin(path, UNKNOWN)
        after, mode = state.blob, state.mode
    else:
        change = snapshots.observe(path, fresh)
        after, mode = change.after, change.after_mode
    if live and call is not None and path in before and fact.body.get("outcome") not in _FAILED:
        snapshots.settle(path, before[path], call.seq, _asked_for(given, snapshots, path, before[path]))
    if before.get(path) == after or TOO_LARGE in (before.get(path), after):
        return None
    # What was there before the call, or right after it, was not seen.
    return Effect(path, before.get(path), after, mode, sure=call is not None and live)


def _found(
    journal: Journal, snapshots: Snapshots, call: Call, named: set[bytes], others: list[Call], budget_ms: int
) -> tuple[list[Effect], bool]:
    """Look for what else changed while the call was open; return that, and whether it is all.

    A file that was last written before the call is what a person left there.
    """
    repo = snapshots.repo
    try:
        seen_now = look(repo, snapshots.object_format, budget_ms / 1000)
    except RepoError:
        return [], False
    whole, doubt = seen_now.whole, in_doubt(journal, repo)
    changed = set(snapshots.known_paths())
    unseen = [path for path in seen_now.paths if path in changed or snapshots.seen(path) is None]
    candidates = [path for path in dict.fromkeys([*unseen, *changed]) if path not in named]
    effects = []
    bases = [seen_now.paths[path][0] for path in candidates[:_MAX_FOUND] if path in seen_now.paths]
    snapshots.fetch([blob for blob in bases if blob is not None])
    for path in candidates[:_MAX_FOUND]:
        state, seen = snapshots.state(path), snapshots.seen(path)
        mine = state.at_ms >= call.at_ms - CLOCK_MS
        if not mine and seen is None:
            snapshots.begin(path, _whose_at_first(snapshots, path, others, UNKNOWN if doubt else HERE))
            continue
        if not mine:
            snapshots.observe(path, _meanwhile(journal, repo, others, path), state=state)
            continue
        alone = not any(each.may_write(path) for each in others)
        fresh = agents(call.seq, "inferred") if alone and not (doubt and seen is None) else UNKNOWN
        base = seen_now.paths.get(path, (None, 0))
        if path not in seen_now.paths:
            snapshots.save(path, state, [])  # as HEAD has it: committed, or taken back by git
        change = snapshots.observe(path, fresh, base=base, state=state)
        differs = change.before != change.after or change.before_mode != change.after_mode
        if differs and TOO_LARGE not in (change.before, change.after):
            is_kept = seen_now.whole and path not in seen_now.paths
            effects.append(Effect(path, change.before, change.after, change.after_mode, sure=False, found=True, kept=is_kept))
    return effects, whole and len(candidates) <= _MAX_FOUND


def _with_moves(effects: list[Effect]) -> list[Effect]:
    """Say of each new file that is one that went whence it came."""
    gone = {effect.before: effect.path for effect in effects if effect.after is None and effect.before is not None}
    return [
        effect._replace(moved_from=gone[effect.after]) if effect.before is None and effect.after in gone else effect
        for effect in effects
    ]


# What a call was asked to write


def _read_input(journal: Journal, call: Call) -> Any:
    """Return what a call was asked to do, as JSON data, or None."""
    row = journal.one("SELECT bytes FROM payload WHERE seq = ? AND name = 'input'", (call.seq,))
    try:
        return json.loads(row[0]) if row is not None else None
    except (ValueError, RecursionError):
        return None


def _asked_for(given: Any, snapshots: Snapshots, path: bytes, before: str | None) -> dict[bytes, int]:
    """Return the lines that a call's input says it will write to a path, and how often; none where it does not say."""
    patches = [given.get(name) for name in ("command", "patchText", "patch")] if isinstance(given, dict) else [given]
    for patch in patches:
        if isinstance(patch, str) and "*** " in patch:
            return _count(_lines_of_patch(patch, path))
    if not isinstance(given, dict):
        return {}
    edits = [each for each in (given["edits"] if isinstance(given.get("edits"), list) else [given]) if isinstance(each, dict)]
    content = given.get("content")
    if isinstance(content, str):
        return _count(split_text(content.encode("utf-8", "surrogatepass")))
    # What an edit puts in may be a part of a line, so that only the outcome says which lines it writes.
    text = snapshots.text_of_blob(path, before)
    edited = None if text is None else _edit(text.replace(b"\r\n", b"\n"), edits)
    return {} if edited is None else _count(split_text(edited))


def _count(lines: list[bytes]) -> dict[bytes, int]:
    counts: dict[bytes, int] = {}
    for line in lines:
        counts[line] = counts.get(line, 0) + 1
    return counts


def _lines_of_patch(patch: str, path: bytes) -> list[bytes]:
    """Return the lines that a patch in Codex's form adds to a path."""
    lines, ours = [], False
    names = [line.partition(": ")[2].strip().encode("utf-8", "surrogateescape") for line in patch.split("\n") if line[:4] == "*** "]
    # A patch may have sections for paths that end alike; only where none is named just so, a longer or shorter name will do.
    is_ours = _is_same if any(_is_same(name, path) for name in names) else _is_named
    for line in patch.split("\n"):
        if line.startswith("*** "):
            verb, colon, name = line[4:].partition(": ")
            if colon and verb in ("Add File", "Update File", "Delete File"):
                ours = is_ours(name.strip().encode("utf-8", "surrogateescape"), path)
            elif colon and verb == "Move to":
                ours = ours or is_ours(name.strip().encode("utf-8", "surrogateescape"), path)
        elif ours and line.startswith("+"):
            lines.append(line[1:].rstrip("\r").encode("utf-8", "surrogateescape"))
    return lines


def _is_same(name: bytes, path: bytes) -> bool:
    return name.removeprefix(b"./") == path


def _is_named(name: bytes, path: bytes) -> bool:
    """Say whether a name in a patch can be this path: the folder it is relative to is not kept."""
    name = name.removeprefix(b"./")
    return path.endswith(b"/" + name) or name.endswith(b"/" + path)


def _edit(text: bytes, edits: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Return `text` with the edits made, or None where none of them says what it puts in the place of what."""
    said = False
    for each in edits:
        old, new = each.get("old_string", each.get("oldString")), each.get("new_string", each.get("newString"))
        if not isinstance(old, str) or not isinstance(new, str):
            continue
        said = True
        many = -1 if True in (each.get("replace_all"), each.get("replaceAll")) else 1
        put = new.encode("utf-8", "surrogatepass")
        if old:
            text = text.replace(old.encode("utf-8", "surrogatepass"), put, many)
        elif not text:
            text = put  # how a file is made by an edit
    return text if said else None
