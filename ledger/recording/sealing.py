"""Sealing: what was recorded since the last seal becomes a segment and a checkpoint on the log's own ref (docs/spec/seal.md).

One sealer at a time, and only of records that are durable already, so that nobody who appends has to wait for git:

    1. the ref is compared with the tip that the journal remembers; where somebody moved it, see `_reconcile`
    2. for each run of up to a megabyte of records: blobs, tree, signed commit are stored and synced
    3. the ref moves, compared with what it was
    4. the journal remembers tip, size and frontier

A crash after 2 leaves objects that nothing names. After 3 the ref is ahead of the journal's memory: the next seal finds a
checkpoint of ours that fits the journal, and goes on from it. No two checkpoints of one size can come of it, for each is over
records that were durable before.

Sign-once: a checkpoint signed with our own key that the journal does not bear out proves that the journal went back (a restored
backup, a cut tail). `Behind` says so; the log is then never signed again, and the recorder opens a successor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ledger.core import sshsig
from ledger.core.checkpoint import Checkpoint, check_checkpoint, format_origin, log_key, sign_checkpoint
from ledger.core.entry import parse_record
from ledger.core.merkle import Frontier, format_frontier, hash_leaf, parse_frontier
from ledger.core.note import parse_note
from ledger.core.seal import PREFIX, SealCommit, chunk_records, format_commit, format_ref, format_segment
from ledger.errors import FormatError, LedgerError, RepoError, StoreCorrupt, TrustError
from ledger.recording.writer import now_ms
from ledger.repo.catfile import ObjectReader
from ledger.repo.git import PATIENCE_S, run_git
from ledger.repo.gitdir import GitDir
from ledger.repo.heads import read_loose
from ledger.repo.seals import has_commit, hash_tree, move_ref, read_chain, read_named, read_notes, read_tip, write_seal
from ledger.store.journal import Journal
from ledger.store.keys import find_signer
from ledger.store.lock import Lock
from ledger.store.state import lock_path

if TYPE_CHECKING:
    from ledger.store.keys import Signer

_ROTATED = b'"kind":"key.rotated"'
Progress = Callable[[int], None]


class Behind(LedgerError):
    """The journal is behind, or against, a checkpoint that this log's own key signed."""


class Sealed(NamedTuple):
    """How a log is sealed now: its size and tip (None where nothing ever was), and what this run did.

    `records` were added. `healed` is empty, `restored` (the ref was gone or went back), `adopted` (seals of ours that the journal
    did not know of) or `rebuilt` (the seals were gone as well), and `foreign` the commit of somebody else that lay on the ref.
    """

    log: str
    ref: str
    size: int
    tip: str | None
    records: int
    healed: str = ""
    foreign: str | None = None


class _Place(NamedTuple):
    """Where sealing goes on: the last seal, the tree up to it, what the ref names now, and what was found there."""

    tip: str | None
    frontier: Frontier
    at: str | None
    healed: str
    foreign: str | None


class _Genuine(NamedTuple):
    """A seal on a ref whose note this log's key signed."""

    oid: str
    checkpoint: Checkpoint


def seal_log(
    journal: Journal, signer: Signer, repo: GitDir, prefix: str, progress: Progress = lambda done: None, *, merge: str | None = None
) -> Sealed:
    """Seal what was recorded since the last seal; the caller holds the lock for sealing, and no transaction.

    `merge` is a commit of somebody else that lies on a remote's ref of this log: the next seal takes it in. Raises Behind, and
    RepoError, StoreError or KeyUnavailable where something fails; then nothing changed but what a later run goes on from.
    """
    ref = format_ref(prefix, journal.log)
    place = _find_place(journal, repo, ref)
    foreign = merge or place.foreign
    at_s, shape = now_ms() // 1000, journal.meta("object_format") or "sha1"
    tip, frontier, before = place.tip, place.frontier, place.frontier.size
    chunks: Iterator[Sequence[bytes]] = iter(chunk_records(_records(journal, before)))
    chunk = next(chunks, None)
    # An empty segment where nothing is new, yet somebody's commit is in the way.
    while chunk is not None or (foreign is not None and tip is not None):
        chunk = chunk or []
        start = frontier.size
        frontier.extend(map(hash_leaf, chunk))
        note = _sign(journal, signer, frontier)
        tree, tree_data = hash_tree(note, segment := format_segment(chunk), shape)
        # The first seal has no parent, whatever lay on the ref: by first parents a reader must come to our seals alone.
        parents = tuple(oid for oid in (tip, foreign) if oid) if tip else ()
        message = f"Seal {start} to {frontier.size} of {journal.log}"
        commit = format_commit(SealCommit(tree, parents, at_s, message), signer.public_key, signer.sign)
        foreign = foreign if tip is None else None
        tip = write_seal(repo, note, segment, tree_data, commit, shape)
        progress(frontier.size - before)
        chunk = next(chunks, None)
    if tip is not None and tip != place.at:
        move_ref(repo, ref, tip, place.at, "seal")
    if tip is not None and (tip != journal.meta("sealed_tip") or ref != journal.meta("sealed_ref")):
        _remember(journal, ref, tip, frontier)
    return Sealed(journal.log, ref, frontier.size, tip, frontier.size - before, place.healed, merge or place.foreign)


def is_against(journal: Journal, repo: GitDir, tip: str) -> bool:
    """Say whether the commits behind `tip` hold a checkpoint of ours that the journal does not bear out.

    Writes nothing. Raises RepoError where git cannot read them, or not in time.
    """
    try:
        _find_genuine(journal, repo, tip, journal.meta("sealed_tip"))
    except Behind:
        return True
    return False


def _find_place(journal: Journal, repo: GitDir, ref: str) -> _Place:
    """Return where sealing goes on. Raises Behind."""
    stored, frontier = journal.meta("sealed_tip"), _read_frontier(journal)
    if frontier.size > _size(journal):
        raise _behind(journal, frontier.size)
    tip = read_loose(repo, ref)
    if tip is None or tip != stored:
        tip = read_named(repo, ref)  # packed, in a reftable, or moved
    if tip == stored and journal.meta("sealed_ref") in (None, ref):
        return _Place(stored, frontier, tip, "", None)
    _look_elsewhere(journal, repo, ref, stored)
    return _reconcile(journal, repo, tip, stored, frontier)._replace(at=tip)


def _look_elsewhere(journal: Journal, repo: GitDir, ref: str, stored: str | None) -> None:
    """Raise Behind where a ref under another prefix, or what a remote had of this log, is against the journal.

    The prefix is a setting that whoever can write .git can change, and a ref is removed as easily.
    """
    places = {journal.meta("sealed_ref") or "", format_ref(PREFIX, journal.log), f"refs/ledger/remotes/*/{journal.log}"} - {"", ref}
    asked = ["for-each-ref", "--count=100", "--format=%(objectname)", *sorted(places)]
    said = run_git(asked, cwd=repo.git_dir, check=False, patience_s=PATIENCE_S).decode("ascii", "replace")
    for oid in dict.fromkeys(said.split()):
        if oid != stored:
            _find_behind(journal, repo, oid, stored)


def _find_behind(journal: Journal, repo: GitDir, at: str | None, stored: str | None) -> tuple[str | None, _Genuine | None]:
    """Return the commit that the ref names, and the furthest seal of ours behind it. Raises Behind.

    Who can write .git can let the ref name what is not here, or what git waits for ever for: that is as good as no ref, and must
    not keep anybody from sealing.
    """
    try:
        tip = None if at is None else read_tip(repo, at)
        return tip, None if tip is None else _find_genuine(journal, repo, tip, stored)
    except RepoError:
        return None, None


def _reconcile(journal: Journal, repo: GitDir, at: str | None, stored: str | None, frontier: Frontier) -> _Place:
    """Return where to go on where the ref does not name the tip that the journal remembers. Raises Behind."""
    # 1. What is on the ref: seals of ours that go further than the journal remembers (a crash), or somebody else's commits?
    tip, best = _find_behind(journal, repo, at, stored)
    if best is not None and (stored is None or best.checkpoint.size > frontier.size):
        foreign = tip if tip != best.oid else None
        return _Place(best.oid, _frontier_at(journal, best.checkpoint.size), tip, "adopted", foreign)
    # 2. Our own seals are still here: the ref was removed, or went back, or has another's commits.
    if stored is not None and has_commit(repo, stored):
        ours = tip is None or tip in read_chain(repo, stored)
        return _Place(stored, frontier, tip, "restored", None if ours else tip)
    # 3. They are gone: the same records make the same checkpoints anew.
    if best is not None:
        return _Place(best.oid, _frontier_at(journal, best.checkpoint.size), tip, "rebuilt", tip if tip != best.oid else None)
    return _Place(None, Frontier(), tip, "rebuilt" if stored is not None else "", tip)


def _find_genuine(journal: Journal, repo: GitDir, tip: str, stored: str | None) -> _Genuine | None:
    """Return the furthest seal of ours behind `tip`. Raises Behind where one of them is not what the journal says."""
    keys = [log_key(journal.log, key) for key in _keys(journal)]
    after = stored if stored is not None and has_commit(repo, stored) else None
    found: list[_Genuine] = []
    from ledger.core.ed25519 import check_message  # an ordinary seal checks nothing

    with ObjectReader(repo, patience_s=PATIENCE_S) as reader:
        for oid, data in read_notes(reader, read_chain(repo, tip, after, patience_s=PATIENCE_S)):
            try:
                if data is not None:
                    found.append(_Genuine(oid, check_checkpoint(parse_note(data), keys, check_message).checkpoint))
            except (FormatError, TrustError):
                continue
    _check_all(journal, found)
    return max(found, key=lambda seal: seal.checkpoint.size, default=None)


def _check_all(journal: Journal, found: Sequence[_Genuine]) -> None:
    """Raise Behind unless every checkpoint is what the journal's records give."""
    frontier = Frontier()
    for seal in sorted(found, key=lambda seal: seal.checkpoint.size):
        size = seal.checkpoint.size
        if size > _size(journal):
            raise _behind(journal, size)
        _extend(frontier, journal, size)
        if frontier.root() != seal.checkpoint.root:
            raise _behind(journal, size)


def _behind(journal: Journal, size: int) -> Behind:
    message = f"the journal of {journal.log} does not have the {size} records that its own key has sealed: it went back"
    return Behind(message, remedy="recording goes on in a successor log; restore the journal from a newer backup to look into it")


def _sign(journal: Journal, signer: Signer, frontier: Frontier) -> bytes:
    """Return the signed checkpoint of the log's first records, signed by the key that signs the next one."""
    following = journal.one("SELECT bytes FROM record WHERE seq = ?", (frontier.size,))
    if following is not None:
        key = parse_record(bytes(following[0])).entry.key
        if key != sshsig.fingerprint(signer.public_key):
            signer = find_signer(journal.state, key)  # the key was rotated further on
    checkpoint = Checkpoint(format_origin(journal.log), frontier.size, frontier.root())
    return sign_checkpoint(checkpoint, signer.public_key, signer.sign_message)


def _keys(journal: Journal) -> list[bytes]:
    """Return the raw keys that the log says were in force."""
    keys = []
    for (data,) in journal.all("SELECT bytes FROM record WHERE seq = 0 OR instr(bytes, ?)", (_ROTATED,)):
        try:
            entry = parse_record(bytes(data)).entry
            if entry.kind in ("log.opened", "key.rotated"):
                keys.append(sshsig.parse_public_key(str(entry.body.get("public_key"))))
        except FormatError:
            continue  # the verifier says so
    return keys


def _read_frontier(journal: Journal) -> Frontier:
    """Return the tree up to the last seal, as the journal remembers it; built from its records where that is spoilt."""
    text = journal.meta("sealed_frontier")
    if text is None:
        return Frontier()
    try:
        return parse_frontier(text)
    except FormatError as error:
        raise StoreCorrupt(f"the notes in {journal.path} are damaged: {error.message}", remedy="run `ledger verify`") from error


def _frontier_at(journal: Journal, size: int) -> Frontier:
    frontier = Frontier()
    _extend(frontier, journal, size)
    return frontier


def _extend(frontier: Frontier, journal: Journal, size: int) -> None:
    rows = journal.db.execute("SELECT bytes FROM record WHERE seq >= ? AND seq < ? ORDER BY seq", (frontier.size, size))
    frontier.extend(hash_leaf(row[0]) for row in rows)


def _records(journal: Journal, start: int) -> Iterator[bytes]:
    for seq, (number, data) in enumerate(
        journal.db.execute("SELECT seq, bytes FROM record WHERE seq >= ? ORDER BY seq", (start,)), start
    ):
        if number != seq or not isinstance(data, bytes):
            raise StoreCorrupt(f"the record {seq} of {journal.path} is missing or damaged", remedy="run `ledger verify`")
        yield data


def _size(journal: Journal) -> int:
    return journal.last()[0] + 1


def _remember(journal: Journal, ref: str, tip: str, frontier: Frontier) -> None:
    with Lock(lock_path(journal.state, journal.log), wait_s=10.0), journal:
        journal.set_meta("sealed_ref", ref)
        journal.set_meta("sealed_tip", tip)
        journal.set_meta("sealed_size", str(frontier.size))
        journal.set_meta("sealed_frontier", format_frontier(frontier))
