"""Writers witness each other: `log.seen` entries carry the signed checkpoints of the other logs (docs/spec/sync.md, section 4).

An entry is due where another log grew by anything but its own `log.seen` since our last one about it: else two clones would
answer each other for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ledger.core.checkpoint import parse_checkpoint
from ledger.core.merkle import format_hash
from ledger.core.note import parse_note
from ledger.core.seal import parse_segment
from ledger.errors import FormatError
from ledger.recorder import Recorder
from ledger.recording.writer import Writer
from ledger.repo.catfile import ObjectReader
from ledger.repo.gitdir import GitDir
from ledger.repo.seals import SealObject, has_commit, read_chain, read_seals

_SEEN = b'"kind":"log.seen"'
_NOTE = "seen:"  # the journal's own notes: the tip of each log that an entry was written about


class _Due(NamedTuple):
    """What an entry is to be written about: a log, its tip, and the note at that tip (None: nothing worth an entry)."""

    log: str
    tip: str
    note: str | None


def witness(recorder: Recorder, repo: GitDir, tips: Mapping[str, str]) -> int:
    """Append what is due about the logs whose verified `tips` are given, and return how many entries that were."""
    with_journal = recorder.append(lambda writer: _seen(writer))
    due = [_look(repo, log, tip, with_journal.get(log)) for log, tip in tips.items() if with_journal.get(log) != tip]
    if not due:
        return 0
    return recorder.append(lambda writer: _write(writer, due))


def _seen(writer: Writer) -> dict[str, str]:
    rows = writer.journal.all("SELECT name, value FROM meta WHERE name >= ? AND name < ?", (_NOTE, _NOTE + "g"))
    return {str(name)[len(_NOTE) :]: str(value) for name, value in rows}


def _look(repo: GitDir, log: str, tip: str, since: str | None) -> _Due:
    """Return what is due about one log, whose tip was `since` when an entry was written last."""
    known = since if since is not None and has_commit(repo, since) else None
    note, news = b"", known is None
    with ObjectReader(repo) as reader:
        for seal in read_seals(reader, read_chain(repo, tip, known)):
            if isinstance(seal, SealObject):
                note = seal.note
                news = news or _has_news(seal)
    return _Due(log, tip, note.decode("utf-8") if news and note else None)


def _has_news(seal: SealObject) -> bool:
    try:
        return any(_SEEN not in record for record in parse_segment(seal.segment))
    except FormatError:
        return False


def _write(writer: Writer, due: list[_Due]) -> int:
    count = 0
    for log, tip, note in due:
        if note is not None and not writer.journal.is_paused():
            checkpoint = parse_checkpoint(parse_note(note.encode()).text)
            body = {"log": log, "size": checkpoint.size, "root": format_hash(checkpoint.root), "checkpoint": note}
            writer.append("log.seen", source="git", body=body)
            count += 1
        writer.journal.set_meta(_NOTE + log, tip)
    return count
