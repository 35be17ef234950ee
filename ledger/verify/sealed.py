"""The walk over a ref: seals, from the first one on, as far as each continues the log (docs/spec/seal.md, docs/spec/verify.md).

Whoever can push can put anything on a ledger's ref. So of each commit:

1. it has a seal's form (ledger.repo.seals looks at sizes before bytes), or it is a stray
2. its checkpoint is of this log, and signed by the key that signs the record behind it, or it is a stray
3. its segment goes on where the log ends, and the tree over both has the root that was signed: a genuine seal. Only its records
   are walked; what is wrong with them the key's holder signed
4. signed, but it does not go on there: records are missing before it, or they are not what was signed, or there are two histories

Memory does not grow with the log but for some 500 bytes a seal. Nothing is fetched. Where git itself fails: RepoError.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from ledger.core.checkpoint import Checkpoint, check_checkpoint, format_origin, log_key, parse_checkpoint
from ledger.core.ed25519 import check_message
from ledger.core.entry import parse_record
from ledger.core.merkle import Frontier, format_hash, hash_leaf
from ledger.core.note import Note, parse_note
from ledger.core.seal import parse_segment
from ledger.errors import FormatError, RepoError, TrustError
from ledger.repo.catfile import ObjectReader
from ledger.repo.gitdir import GitDir
from ledger.repo.seals import SealObject, Stray, read_chain, read_parents, read_seals, read_tip
from ledger.verify.chain import ROTATED, Walked, Walker, find_signer
from ledger.verify.known import NOTHING, GenuineSeal, Known, Wanted
from ledger.verify.notes import Notes
from ledger.verify.signatures import Signatures
from ledger.verify.verdict import Findings

MAX_STRAYS = 1000  # in a row; behind them nothing is looked for
MAX_ABSENT = 20  # objects in a row that are not here
MAX_KEPT = 100  # strays that are named
MAX_MERGES = 16  # of somebody else's, whose other parents are looked behind
MAX_SUSPECTS = 16  # signed checkpoints that did not fit, and that are looked into

Take = Callable[[int, bytes], None]
Progress = Callable[[int], None]


class Fork(NamedTuple):
    """A checkpoint that the log's key signed and that contradicts what the log's other seals hold: evidence of two histories."""

    oid: str
    size: int
    root: bytes
    note: bytes


@dataclass(slots=True)
class WalkedRef:
    """What a ref holds. `heads` has, for each of the `seals`, the hash of the log's last record there.

    `missing` is the largest size that was signed and is beyond what is here, 0 where there is none.
    """

    walked: Walked
    tip: str
    seals: list[GenuineSeal] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    genuine_tip: str | None = None
    strays: list[Stray] = field(default_factory=list)
    stray_count: int = 0
    forks: list[Fork] = field(default_factory=list)
    missing: int = 0

    @property
    def frontier(self) -> Frontier:
        """The tree up to the last genuine seal."""
        return self.walked.frontier


class _Signed(NamedTuple):
    """A checkpoint of this log that its key signed, and the records that came with it: `start` is the first one's seq."""

    oid: str
    checkpoint: Checkpoint
    note: bytes
    start: int
    records: list[bytes]
    may_rotate: bool


def walk_ref(
    repo: GitDir,
    log: str,
    tip: str,
    findings: Findings,
    signatures: Signatures,
    notes: Notes,
    *,
    known: Known | None = None,
    take: Take | None = None,
    progress: Progress = lambda done: None,
    wanted: Wanted = NOTHING,
) -> WalkedRef:
    """Read the seals of `log` behind the commit `tip`, report what is wrong, and return what the ref holds.

    With `known`, only what is newer than its tip is read, where the ref still continues it (see `read_newer`); else all. `take`
    is called with (seq, record) for every record that is read, in order. Raises RepoError where git fails.
    """
    newer = None if known is None else read_newer(repo, tip, known)
    oids = read_chain(repo, tip) if newer is None else newer
    known = None if newer is None else known
    return _RefWalk(repo, log, tip, findings, signatures, notes, known, take, wanted).run(oids, progress)


def read_newer(repo: GitDir, tip: str, known: Known) -> list[str] | None:
    """Return the commits on top of the last seal that is `known`, or None where the first parents of `tip` do not lead there."""
    if known.tip is None or tip == known.tip:
        return None if known.tip is None else []
    if read_tip(repo, known.tip) is None:
        return None
    oids = read_chain(repo, tip, known.tip)
    # Git leaves out all that the known seal reaches; that these stand on it by their first parents is another question.
    return oids if oids and read_tip(repo, f"{oids[0]}^1") == known.tip else None


class _RefWalk:
    """One walk: the state between two seals."""

    def __init__(
        self,
        repo: GitDir,
        log: str,
        tip: str,
        findings: Findings,
        signatures: Signatures,
        notes: Notes,
        known: Known | None,
        take: Take | None,
        wanted: Wanted,
    ) -> None:
        self._repo, self._log, self._findings, self._take = repo, log, findings, take
        self._origin = format_origin(log)
        self._walker = Walker(log, findings, signatures, notes, wanted=wanted.seqs, known=known)
        self._wanted = wanted
        walked = self._walker.walked
        self._seen = WalkedRef(walked, tip)
        if known is not None:
            self._seen.seals, self._seen.heads, self._seen.genuine_tip = list(known.seals), list(known.heads), known.tip
        self._suspects: list[_Signed] = []
        self._absent: Stray | None = None  # behind the last genuine seal
        self._in_a_row = self._gone = 0

    def run(self, oids: Sequence[str], progress: Progress) -> WalkedRef:
        """Look at the commits `oids`, oldest first, and at what somebody's merge hides behind its other parents."""
        with ObjectReader(self._repo) as reader:
            self._read(reader, oids, progress)
            for hidden in self._find_hidden():
                self._read(reader, hidden, progress)
            self._find_roots(reader)
        self._walker.finish()
        self._report()
        return self._seen

    def _read(self, reader: ObjectReader, oids: Sequence[str], progress: Progress) -> None:
        seen = self._seen
        for item in read_seals(reader, oids):
            reason = self._judge(item) if isinstance(item, SealObject) else item.reason
            if reason is None:
                self._in_a_row = self._gone = 0
                progress(self._walker.walked.frontier.size)
                continue
            stray = item if isinstance(item, Stray) else Stray(item.oid, reason)
            if stray.absent:
                self._absent, self._gone = self._absent or stray, self._gone + 1
            seen.stray_count += 1
            self._in_a_row += 1
            if len(seen.strays) < MAX_KEPT:
                seen.strays.append(stray)
            if self._in_a_row >= MAX_STRAYS or self._gone >= MAX_ABSENT:
                break

    def _find_hidden(self) -> Iterator[list[str]]:
        """Yield runs of commits that continue the last genuine seal behind another parent than the first of somebody's commit.

        Whoever may push can lay such a commit over an old seal and the last one: git takes it for a fast-forward.
        """
        seen = self._seen
        for stray in [stray for stray in seen.strays[-MAX_MERGES:] if not stray.absent]:
            for parent in read_parents(self._repo, stray.oid)[1:MAX_MERGES]:
                oids = read_chain(self._repo, parent, seen.genuine_tip)
                if oids and read_parents(self._repo, oids[0])[:1] == ([seen.genuine_tip] if seen.genuine_tip else []):
                    yield oids

    def _judge(self, seal: SealObject) -> str | None:
        """Take a seal in where it is signed by the log's key; else return why it is a stray."""
        try:
            note = parse_note(seal.note)
            checkpoint = parse_checkpoint(note.text)
        except FormatError as error:
            return error.message
        if checkpoint.origin != self._origin:
            return "its checkpoint is of another log"
        size = self._walker.walked.frontier.size
        try:
            records, wrong = parse_segment(seal.segment), None
        except FormatError as error:
            records, wrong = [], error.message
        signed = _Signed(seal.oid, checkpoint, seal.note, checkpoint.size - len(records), records, ROTATED in seal.segment)
        if signed.start < 0:
            return "its segment has more records than its checkpoint counts"
        if not self._is_signed(note, signed, size):
            return "its checkpoint is not signed by the log's key"
        if checkpoint.size > size:
            self._extend(signed, size, wrong)
            return None
        return self._compare(signed, wrong)

    def _is_signed(self, note: Note, signed: _Signed, size: int) -> bool:
        """Say whether the key that signs the record behind the checkpoint signed it, as far as that key can be known."""
        walked, checkpoint = self._walker.walked, signed.checkpoint
        if checkpoint.size <= size:
            keys = [walked.key_at(checkpoint.size)]
        else:
            new = signed.records[max(0, size - signed.start) :] if signed.start <= size else []
            key = self._walker.chain.public_key
            keys = [find_signer(self._log, key, new, size) if key is None or signed.may_rotate else key]
            if 0 < signed.start < size:  # another history may have had other keys
                keys.append(find_signer(self._log, walked.key_at(signed.start), signed.records, signed.start))
        trusted = [log_key(self._log, key) for key in dict.fromkeys(keys) if key is not None]
        try:
            check_checkpoint(note, trusted, check_message)
        except (FormatError, TrustError):
            return False
        return True

    def _extend(self, signed: _Signed, size: int, wrong: str | None) -> None:
        """Take in a seal that is signed for more records than there are yet."""
        walked = self._walker.walked
        if wrong is None and signed.start > size:
            self._seen.missing = max(self._seen.missing, signed.checkpoint.size)
            return
        new = signed.records[size - signed.start :] if wrong is None else []
        frontier = Frontier(size, walked.frontier.hashes)
        frontier.extend([sha256(b"\x00" + record).digest() for record in new])  # as hash_leaf, a call less for every record
        if frontier.root() != signed.checkpoint.root:
            self._suspect(signed)
            return
        self._keep_roots(new, size)
        walked.frontier = frontier
        self._walker.take(enumerate(new, size))
        if self._take is not None:
            for seq, record in enumerate(new, size):
                self._take(seq, record)
        self._keep(signed)

    def _compare(self, signed: _Signed, wrong: str | None) -> str | None:
        """Compare a checkpoint, signed for no more records than there are, with what is known; return why it is a stray."""
        walked, checkpoint = self._walker.walked, signed.checkpoint
        root = walked.frontier.root() if checkpoint.size == walked.frontier.size else walked.roots.get(checkpoint.size)
        if root != checkpoint.root:
            self._suspect(signed)
            return None
        if wrong is not None or signed.start < walked.frontier.size:  # anybody can copy a checkpoint
            return wrong or "it repeats what is there already"
        self._keep(signed)  # how a writer takes somebody else's commit in
        return None

    def _keep(self, signed: _Signed) -> None:
        seen, walked, checkpoint = self._seen, self._walker.walked, signed.checkpoint
        seen.seals.append(GenuineSeal(signed.oid, checkpoint.size, checkpoint.root, signed.note))
        seen.heads.append(self._walker.chain.head)
        seen.genuine_tip, self._absent = signed.oid, None
        walked.roots[checkpoint.size] = checkpoint.root

    def _keep_roots(self, new: Sequence[bytes], size: int) -> None:
        """Compute the roots that are wanted inside a segment. Claims name sizes of seals, so there hardly ever are any."""
        for inside in sorted(each for each in self._wanted.sizes if size < each < size + len(new)):
            frontier = Frontier(size, self._walker.walked.frontier.hashes)
            frontier.extend(map(hash_leaf, new[: inside - size]))
            self._walker.walked.roots[inside] = frontier.root()

    def _suspect(self, signed: _Signed) -> None:
        if len(self._suspects) < MAX_SUSPECTS:
            self._suspects.append(signed)

    def _find_roots(self, reader: ObjectReader) -> None:
        """Tell forks from segments that somebody changed, by a second pass over the seals where one is needed."""
        walked = self._walker.walked
        lost = {size for size in self._wanted.sizes if 0 < size <= walked.frontier.size} - walked.roots.keys()
        sizes = {each.checkpoint.size for each in self._suspects} | {each.start for each in self._suspects}
        sizes = {size for size in sizes | lost if 0 <= size <= walked.frontier.size}
        frontiers = read_frontiers(reader, self._seen.seals, sizes) if sizes else {}
        walked.roots |= {size: frontier.root() for size, frontier in frontiers.items() if size}
        for signed in self._suspects:
            checkpoint = signed.checkpoint
            before, same = frontiers.get(signed.start), frontiers.get(checkpoint.size)
            if same is not None and same.root() == checkpoint.root:
                continue
            if same is not None or (before is not None and signed.start < walked.frontier.size and _fits(before, signed)):
                self._seen.forks.append(Fork(signed.oid, checkpoint.size, checkpoint.root, signed.note))
            else:
                message = f"the seal {signed.oid} does not hold the records that its checkpoint signs for"
                self._findings.add("seal.root", self._log, signed.start, message, format_hash(checkpoint.root))

    def _report(self) -> None:
        seen, log = self._seen, self._log
        size = self._walker.walked.frontier.size
        if seen.missing <= size:
            seen.missing = 0
        for fork in seen.forks:
            message = f"the log's key signed {fork.oid}, which contradicts the log: there are two histories"
            self._findings.add("seal.fork", log, None, message, None, f"{fork.size} records under {format_hash(fork.root)}")
        if seen.missing:
            message = "seals are missing: the log's key signed for more records than are here"
            self._findings.add("seal.missing", log, None, message, f"{seen.missing} records", f"{size} records")
        elif self._absent is not None:
            message = f"objects of the commit {self._absent.oid} are not here: {self._absent.reason}"
            self._findings.add("seal.missing", log, None, message)
        elif not seen.seals:
            self._findings.add("seal.missing", log, None, f"no seal of the log is behind {seen.tip}")
        if seen.stray_count:
            first = seen.strays[0]
            more = "; what lies behind them was not looked at" if self._in_a_row >= MAX_STRAYS or self._gone >= MAX_ABSENT else ""
            message = f"{seen.stray_count} commits on the log's ref are not its own, first {first.oid}: {first.reason}{more}"
            self._findings.add("ref.foreign", log, None, message)


def _fits(before: Frontier, signed: _Signed) -> bool:
    """Say whether the tree `before` with a seal's records has the root that was signed."""
    frontier = Frontier(before.size, before.hashes)
    frontier.extend(map(hash_leaf, signed.records))
    return frontier.root() == signed.checkpoint.root


def read_records(reader: ObjectReader, seals: Sequence[GenuineSeal]) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the records of genuine seals once more, with the seq of each run's first. Raises RepoError where one is gone."""
    size = 0
    oids = {seal.oid: seal.size for seal in seals}
    for item in read_seals(reader, list(oids)):
        if isinstance(item, Stray):
            raise RepoError(f"the seal {item.oid} cannot be read any more: {item.reason}", remedy="run `git fsck`")
        records = parse_segment(item.segment)
        new = records[len(records) - (oids[item.oid] - size) :] if oids[item.oid] > size else []
        yield size, new
        size += len(new)


def read_frontiers(reader: ObjectReader, seals: Sequence[GenuineSeal], sizes: set[int]) -> dict[int, Frontier]:
    """Return the log's tree at each of `sizes` that the seals reach, from their records, read once more."""
    found: dict[int, Frontier] = {0: Frontier()} if 0 in sizes else {}
    frontier, wanted = Frontier(), sorted(sizes - {0})
    for _, records in read_records(reader, seals):
        at = 0
        while wanted and wanted[0] <= frontier.size + len(records) - at:
            until = at + wanted[0] - frontier.size
            frontier.extend(map(hash_leaf, records[at:until]))
            at = until
            found[wanted.pop(0)] = Frontier(frontier.size, frontier.hashes)
        if not wanted:
            break
        frontier.extend(map(hash_leaf, records[at:]))
    return found


def read_hashes(reader: ObjectReader, ref: WalkedRef, seqs: Collection[int]) -> dict[int, str]:
    """Return the hashes of records, in hex: of each, its seal is read once more and its records followed to the seal's end."""
    found: dict[int, str] = {}
    sizes = [seal.size for seal in ref.seals]
    for place in sorted({bisect_right(sizes, seq) for seq in seqs if 0 <= seq < (sizes or [0])[-1]}):
        (item,) = read_seals(reader, [ref.seals[place].oid])
        if isinstance(item, Stray):
            raise RepoError(f"the seal {item.oid} cannot be read any more: {item.reason}", remedy="run `git fsck`")
        records = parse_segment(item.segment)
        start = sizes[place] - len(records)
        link = ref.heads[place]
        for seq in range(sizes[place] - 1, start - 1, -1):
            record_hash = sha256(records[seq - start]).hexdigest()
            if record_hash != link:
                raise RepoError(f"the seal {item.oid} is not the one that was verified", remedy="run `ledger verify --full`")
            if seq in seqs:
                found[seq] = record_hash
            link = parse_record(records[seq - start]).entry.prev
    return found
