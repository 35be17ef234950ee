"""What is to be believed of a ref that came from a remote: judged in quarantine, by signatures and the tree alone.

A local ref advances only to seals whose records, keys and checkpoints continue what it has; git's own idea of a fast-forward counts
for nothing, and neither do somebody else's commits in between.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.core.checkpoint import Checkpoint, log_key, parse_checkpoint
from ledger.core.merkle import Frontier, hash_leaf
from ledger.core.note import Note, format_note, parse_note
from ledger.errors import FormatError
from ledger.repo.catfile import ObjectReader
from ledger.repo.gitdir import GitDir
from ledger.repo.objects import Objects
from ledger.repo.seals import read_notes
from ledger.verify.commits import check_commits, check_roots
from ledger.verify.known import GenuineSeal, Known
from ledger.verify.notes import Notes
from ledger.verify.sealed import WalkedRef, walk_ref
from ledger.verify.signatures import SomeSignatures
from ledger.verify.verdict import RULES, Findings

MAX_REPEATED_BYTES = 16 << 10  # of a note, with its cosignatures, in a log.seen


class Judged(NamedTuple):
    """What came of one incoming ref.

    `how` is `new`, `advanced`, `current`, `behind` (what came begins what is here), `fork` (two histories, both signed by the log's
    key), or `refused`; `tip` and `size` are those of the genuine part that came, and `reason` says why not. `lacks` says what is
    missing behind the genuine part, where something is. `seal` is the last genuine one.
    """

    log: str
    how: str
    tip: str | None
    size: int
    reason: str = ""
    strays: int = 0
    lacks: str = ""
    seal: GenuineSeal | None = None


def judge(repo: GitDir, log: str, incoming: str, local: str | None, known: Known | None = None) -> Judged:
    """Judge the commit `incoming` as the tip of `log`, whose ref here names `local`. Moves nothing. Raises RepoError.

    With what a verifier's run left as `known`, only newer seals are read; where the answer is not that all is well, all of them.
    """
    if known is not None:
        judged = _judge(repo, log, incoming, local, known)
        if judged.how in ("new", "current", "advanced") and not judged.lacks:
            return judged
    return _judge(repo, log, incoming, local, None)


def _judge(repo: GitDir, log: str, incoming: str, local: str | None, known: Known | None) -> Judged:
    findings = Findings()
    here = None if local is None else _read_checkpoint(repo, local)
    tree = _TreeAt(here.size if here else 0)
    walked = _walk(repo, log, incoming, findings, tree, known)
    size = walked.frontier.size
    came = Judged(log, "", walked.genuine_tip, size, strays=walked.stray_count, lacks=_say_missing(walked))
    came = came._replace(seal=_last(walked))
    if walked.genuine_tip is None:
        return came._replace(how="refused", reason=came.lacks or "it has no seal of this log")
    if walked.forks:
        return came._replace(how="fork", reason=f"two checkpoints of its own contradict each other at {walked.forks[0].size}")
    if findings.worst(log) == "invalid":
        bad = next(finding for finding in findings.listed() if RULES[finding.code].verdict == "invalid")
        return came._replace(how="refused", reason=f"{bad.code}: {bad.message}")
    if local is None:
        return came._replace(how="new")
    # What the local tip says of itself is enough only as long as what came bears it out: somebody may have moved the local ref.
    if here is not None and size >= here.size and tree.root(walked) == here.root:
        return came._replace(how="current" if size == here.size else "advanced")
    return _compare(repo, log, incoming, local, walked, came)


def find_genuine(repo: GitDir, log: str, tip: str, known: Known | None = None) -> GenuineSeal | None:
    """Return the last genuine seal of `log` behind `tip`; None where there is none, or it is over nonsense. Raises RepoError."""
    findings = Findings()
    walked = _walk(repo, log, tip, findings, _TreeAt(0), known)
    return None if findings.worst(log) in ("invalid", "diverged") else _last(walked)


def _last(walked: WalkedRef) -> GenuineSeal | None:
    """Return the last genuine seal; of its note what somebody may repeat: the log's signature, and those under other names.

    A further line under the log's own name is its writer's trap: under another history of the log, that key may be the one in
    force, its signature bad, and whoever quoted the note a forger. Nobody has to carry kilobytes of unknown cosignatures either.
    """
    if not walked.seals:
        return None
    seal = walked.seals[-1]
    key = walked.walked.key_at(seal.size)
    if key is None or not seal.note:
        return seal
    note, own = parse_note(seal.note), log_key(walked.walked.log, key)
    mine = tuple(each for each in note.signatures if (each.name, each.key_id) == (own.name, own.id))
    kept = tuple(each for each in note.signatures if each in mine or each.name != own.name)
    data = format_note(Note(note.text, kept))
    return seal._replace(note=data if len(data) <= MAX_REPEATED_BYTES else format_note(Note(note.text, mine)))


def _compare(repo: GitDir, log: str, incoming: str, local: str, walked: WalkedRef, came: Judged) -> Judged:
    """Compare what came with the genuine part of what is here, whatever the local tip looks like."""
    theirs = walked.frontier.size
    tree = _TreeAt(theirs)
    mine = _walk(repo, log, local, Findings(), tree)
    size = mine.frontier.size
    if mine.genuine_tip is None:
        return came._replace(how="new")
    if size >= theirs:
        same = tree.root(mine) == walked.frontier.root()
    else:
        again = _TreeAt(size)
        same = again.root(_walk(repo, log, incoming, Findings(), again)) == mine.frontier.root()
    if not same:
        return came._replace(how="fork", reason=f"its first {min(size, theirs)} records are others than those that are here")
    return came._replace(how="behind" if theirs < size else "current" if theirs == size else "advanced")


def _say_missing(walked: WalkedRef) -> str:
    if not walked.missing:
        return ""
    return f"seals are missing: its key signed {walked.missing} records, and {walked.frontier.size} are there"


def _walk(repo: GitDir, log: str, tip: str, findings: Findings, tree: _TreeAt, known: Known | None = None) -> WalkedRef:
    notes = Notes(log)
    bad = SomeSignatures(lambda seq: findings.add("signature.bad", log, seq, "the signature is not that of the key in force"))
    walked = walk_ref(repo, log, tip, findings, bad, notes, known=known, take=tree.take)
    if walked.walked.genesis is not None:
        objects = Objects(repo)
        here = check_commits(log, notes.commits, objects, Findings())
        check_roots(log, walked.walked.genesis, notes.commits, here, repo, objects, findings, ours=True)
    return walked


class _TreeAt:
    """Gathers the tree over the first `size` records of a walk."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._frontier = Frontier()

    def take(self, seq: int, record: bytes) -> None:
        if seq == self._frontier.size and seq < self._size:
            self._frontier.append(hash_leaf(record))

    def root(self, walked: WalkedRef) -> bytes | None:
        """Return the root at `size`, or None where the walk did not come so far."""
        for seal in walked.seals:
            if seal.size == self._size:
                return seal.root
        return self._frontier.root() if self._frontier.size == self._size else None


def _read_checkpoint(repo: GitDir, tip: str) -> Checkpoint | None:
    """Return the checkpoint of the seal `tip`, unchecked; None where it is none."""
    with ObjectReader(repo) as reader:
        ((_, data),) = read_notes(reader, [tip])
    try:
        return None if data is None else parse_checkpoint(parse_note(data).text)
    except FormatError:
        return None
