"""Writers witness each other: `log.seen` entries carry the signed checkpoints of the other logs (docs/spec/sync.md, section 4).

An entry is due where another log grew by anything but its own `log.seen` since our last one about it: else two clones would
answer each other for ever.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from ledger.core.entry import log_id, parse_record
from ledger.core.merkle import format_hash
from ledger.core.seal import parse_segment
from ledger.core.sshsig import parse_public_key
from ledger.errors import FormatError, RepoError
from ledger.recorder import Recorder
from ledger.recording.writer import Writer
from ledger.repo.catfile import ObjectReader
from ledger.repo.gitdir import GitDir
from ledger.repo.seals import SealObject, has_commit, read_chain, read_seals
from ledger.store.pins import read_pins
from ledger.verify.commits import Reach
from ledger.verify.known import GenuineSeal
from ledger.verify.trailers import read_lines
from ledger.verify.trust import read_trust

_SEEN = b'"kind":"log.seen"'
MAX_LOGS = 256  # that are witnessed without anybody vouching for them
_LOOKED_AT = 200  # logs beyond these whose keys one sync looks up
_NOTE = "seen:"  # the journal's own notes: the tip of each log that an entry was written about


# (log, tip) → the last genuine seal behind the tip, or None
FindGenuine = Callable[[str, str], "GenuineSeal | None"]


class _Due(NamedTuple):
    """What an entry is to be written about: a log, its tip, and the last genuine seal there (None: nothing worth an entry)."""

    log: str
    tip: str
    seal: GenuineSeal | None


def witness(recorder: Recorder, repo: GitDir, tips: Mapping[str, str], find_genuine: FindGenuine) -> int:
    """Append what is due about the logs whose local `tips` are given, and return how many entries that were.

    Nobody vouches for a local tip, so an entry is only ever about what `find_genuine` finds behind it.
    """
    before = recorder.append(lambda writer: _seen(writer))
    grown = {log: tip for log, tip in tips.items() if before.get(log) != tip}
    chosen = choose(repo, recorder.state, grown, before)
    due = [_look(repo, log, tip, before.get(log), find_genuine) for log, tip in grown.items() if log in chosen]
    if not due:
        return 0
    return recorder.append(lambda writer: _write(writer, due))


def choose(repo: GitDir, state: str, grown: Mapping[str, str], before: Collection[str]) -> set[str]:
    """Return which of the `grown` logs are witnessed: all that were `before`, and new ones until there are MAX_LOGS.

    Behind that many only those that somebody vouches for: this machine's pins, a commit, or a list of keys. Whoever may push can
    make logs by the thousand, and each entry about one stays in our own log for ever.
    """
    chosen = {log for log in grown if log in before}
    new = [log for log in grown if log not in before]
    room = max(0, MAX_LOGS - len(before))
    if len(new) <= room:
        return chosen | set(new)
    pinned = read_pins(state).keys()
    named = {line.head.log for line in read_lines(repo, None, Reach(repo)) if line.head is not None}
    vouched = {log for log in new if log in pinned or log in named}
    others = [log for log in new if log not in vouched]
    trust = read_trust(repo, None)
    listed = {**(trust.given or {}), **(trust.committed or {})} if others else {}
    if listed:
        some = random.sample(others, min(len(others), _LOOKED_AT))
        vouched |= {log for log in some if _genesis_key(repo, log, grown[log]) in listed}
        others = [log for log in others if log not in vouched]
    return chosen | vouched | set(others[: max(0, room - len(vouched))])


def _genesis_key(repo: GitDir, log: str, tip: str) -> bytes | None:
    """Return the key that a log began with, as the first seal behind `tip` says and the log's name bears out."""
    try:
        with ObjectReader(repo) as reader:
            (seal,) = read_seals(reader, read_chain(repo, tip)[:1])
            if not isinstance(seal, SealObject):
                return None
            record = parse_record(parse_segment(seal.segment)[0])
            return parse_public_key(str(record.entry.body.get("public_key"))) if log_id(record.entry_bytes) == log else None
    except (RepoError, FormatError, ValueError, IndexError):
        return None


def _seen(writer: Writer) -> dict[str, str]:
    rows = writer.journal.all("SELECT name, value FROM meta WHERE name >= ? AND name < ?", (_NOTE, _NOTE + "g"))
    return {str(name)[len(_NOTE) :]: str(value) for name, value in rows}


def _look(repo: GitDir, log: str, tip: str, since: str | None, find_genuine: FindGenuine) -> _Due:
    """Return what is due about one log, whose tip was `since` when an entry was written last."""
    known = since if since is not None and has_commit(repo, since) else None
    return _Due(log, tip, find_genuine(log, tip) if known is None or _has_news(repo, tip, known) else None)


def _has_news(repo: GitDir, tip: str, since: str) -> bool:
    """Say whether anything but log.seen may have come since a commit."""
    with ObjectReader(repo) as reader:
        try:
            seals = read_seals(reader, read_chain(repo, tip, since))
            return any(_is_news(seal) for seal in seals if isinstance(seal, SealObject))
        except RepoError:
            return True  # whoever looks for what is genuine there says what is wrong


def _is_news(seal: SealObject) -> bool:
    try:
        return any(_SEEN not in record or parse_record(record).entry.kind != "log.seen" for record in parse_segment(seal.segment))
    except FormatError:
        return False


def _write(writer: Writer, due: list[_Due]) -> int:
    """Write what is due. While recording is paused nothing is, and it stays due."""
    if writer.journal.is_paused():
        return 0
    count = 0
    for log, tip, seal in due:
        if seal is not None:
            body = {"log": log, "size": seal.size, "root": format_hash(seal.root), "checkpoint": seal.note.decode()}
            writer.append("log.seen", source="git", body=body)
            count += 1
        writer.journal.set_meta(_NOTE + log, tip)
    return count
