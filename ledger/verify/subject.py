"""One log of a repository: read from its journal where that is here, else from its ref; and questions about it afterwards.

A walk keeps nothing that grows with the log. So whoever wants the hash of a record, or the root of a size, asks before it; what
turns out to be wanted only later is read a second time, without being judged again.

What an earlier run verified (`Known`) is not read again: of a ref only what is newer than its last genuine seal; of a journal all
rows, for a digest that tells whether they are the same, and only the new ones are judged. Where anything does not fit, everything
is read as if for the first time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.core.checkpoint import check_checkpoint, format_origin, log_key, parse_checkpoint
from ledger.core.ed25519 import check_message
from ledger.core.entry import hash_record
from ledger.core.merkle import Frontier, format_hash, hash_leaf
from ledger.core.note import parse_note
from ledger.core.seal import format_ref
from ledger.errors import FormatError, RepoError, TrustError
from ledger.repo.catfile import ObjectReader
from ledger.repo.gitdir import GitDir
from ledger.repo.seals import read_chain, read_notes, read_tip
from ledger.store import pins as pin_store
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path
from ledger.verify.chain import Walked, cut_chunks, walk
from ledger.verify.known import NOTHING, GenuineSeal, Known, Wanted, format_known, parse_known
from ledger.verify.notes import Notes
from ledger.verify.sealed import WalkedRef, read_frontiers, read_hashes, read_newer, walk_ref
from ledger.verify.signatures import EverySignature, Signatures, SomeSignatures
from ledger.verify.verdict import Anchor, Findings

# (what is being done, how much of it is done, how much there is)
Progress = Callable[[str, int, int], None]


class Remembered(NamedTuple):
    """What a journal's own notes say of its seals: hints, but nobody else remembers them here."""

    tip: str | None
    size: int
    ref: str | None


@dataclass(slots=True)
class Subject:
    """One log on its way through the checks.

    `ref` is what its ref holds, as far as it was read: of a log whose journal is here, that is checkpoints and no records. `reused`
    records were verified by an earlier run. `outrun` is the walk over the journal of a log whose ref goes further, and was read
    instead.
    """

    walked: Walked
    notes: Notes
    findings: Findings
    has_journal: bool
    ref: WalkedRef | None = None
    reused: int = 0
    outrun: Walked | None = None
    known: Known | None = None
    trust: str = "first-use"
    is_counted: bool = False
    belongs: bool = True
    anchors: list[Anchor] = field(default_factory=list)

    @property
    def log(self) -> str:
        """The log's name."""
        return self.walked.log

    @property
    def seals(self) -> list[GenuineSeal]:
        """The genuine seals, oldest first."""
        return self.ref.seals if self.ref is not None else []


def read_known(state: str, log: str, source: str) -> Known | None:
    """Return what an earlier run found out about a log from its `journal` or `ref`, or None. A damaged memory is none."""
    data = pin_store.read_verified(state, _name(log, source))
    return None if data is None else parse_known(data, log)


class Library:
    """Opens the logs of one repository."""

    def __init__(
        self, repo: GitDir, state: str, prefix: str, tips: dict[str, str], own: str | None, *, full: bool, progress: Progress
    ) -> None:
        self.repo, self.state, self.prefix, self.tips, self.own = repo, state, prefix, tips, own
        self._full, self._progress = full, progress

    def has(self, log: str) -> bool:
        """Say whether there is anything of `log` here."""
        return log in self.tips or os.path.exists(journal_path(self.state, log))

    def open(self, log: str, seqs: Collection[int]) -> Subject:
        """Walk a log that is here, and keep the hashes of the records `seqs`, as far as it has them."""
        if not os.path.exists(journal_path(self.state, log)):
            subject = self._open_ref(log, Wanted(seqs))
        else:
            subject = self._open_journal(log, seqs)
            if log != self.own and subject.ref is not None and subject.ref.missing:
                # The writer's journal went back, or this machine has an old copy: others hold more than it does.
                other = self._open_ref(log, Wanted(seqs, {subject.walked.size}))
                if other.walked.size > subject.walked.size:
                    other.outrun, subject = subject.walked, other
        self.find_hashes(subject, seqs)
        return subject

    # --- From a ref -----------------------------------------------------------------------------------------------------------

    def _open_ref(self, log: str, wanted: Wanted) -> Subject:
        known = self._read_known(log, "ref")
        if known is not None:
            subject = self._walk_ref(log, wanted, known)
            if subject.findings.worst(log) == "consistent" and subject.ref is not None and not subject.ref.forks:
                return subject
        return self._walk_ref(log, wanted, None)

    def _walk_ref(self, log: str, wanted: Wanted, known: Known | None) -> Subject:
        notes, findings = Notes(log), Findings()
        signatures = self._signatures(log, findings, 0)
        tip = self.tips[log]
        try:
            ref = walk_ref(
                *(self.repo, log, tip, findings, signatures, notes),
                known=known,
                progress=lambda done: self._progress("records", done, done),
                wanted=wanted,
            )
        except RepoError as error:
            findings.add("seal.missing", log, None, f"git cannot read the log's ref: {error.message}")
            return Subject(Walked(log), Notes(log), findings, has_journal=False, ref=WalkedRef(Walked(log), tip))
        reused = known.size if known is not None and ref.walked.size and ref.seals[: len(known.seals)] == list(known.seals) else 0
        return Subject(ref.walked, notes, findings, has_journal=False, ref=ref, reused=reused, known=known)

    # --- From a journal -------------------------------------------------------------------------------------------------------

    def _open_journal(self, log: str, seqs: Collection[int]) -> Subject:
        with JournalReader(journal_path(self.state, log)) as journal:
            known = self._read_known(log, "journal")
            if known is not None and journal.digest(known.size) == known.digest:
                subject = self._walk_journal(journal, log, seqs, known)
                if subject.findings.worst(log) == "consistent":
                    return subject
            return self._walk_journal(journal, log, seqs, None)

    def _walk_journal(self, journal: JournalReader, log: str, seqs: Collection[int], known: Known | None) -> Subject:
        notes, findings = Notes(log), Findings()
        claims = self._read_claims(log, known, findings)
        size, total = 0 if known is None else known.size, journal.count()
        sizes = {seal.size for seal in claims.seals if seal.size > size}
        progress = (lambda done: None) if self._full else (lambda done: self._progress("records", done, total))
        walked = walk(
            *(journal, log, findings, self._signatures(log, findings, total), notes, progress),
            wanted=Wanted(seqs, sizes),
            known=known,
        )
        subject = Subject(walked, notes, findings, has_journal=True, reused=size, known=known)
        subject.ref = self._judge_claims(subject, claims)
        if log == self.own:
            self._check_own_ref(subject, _remembered(journal), findings)
        return subject

    def _read_claims(self, log: str, known: Known | None, findings: Findings) -> _Claims:
        """Read the checkpoints on a log's ref, without the segments: the records are those of the journal."""
        tip, origin = self.tips.get(log), format_origin(log)
        claims = _Claims(tip, [], [], [])
        if tip is None:
            return claims
        try:
            newer = None if known is None else read_newer(self.repo, tip, known)
            if known is not None and newer is not None:
                claims.known.extend(known.seals)
            with ObjectReader(self.repo) as reader:
                for oid, data in read_notes(reader, read_chain(self.repo, tip) if newer is None else newer):
                    try:
                        checkpoint = None if data is None else parse_checkpoint(parse_note(data).text)
                    except FormatError:
                        checkpoint = None
                    if data is not None and checkpoint is not None and checkpoint.origin == origin:
                        claims.seals.append(GenuineSeal(oid, checkpoint.size, checkpoint.root, data))
                    else:
                        claims.strays.append(oid)
        except RepoError as error:
            findings.add("seal.missing", log, None, f"git cannot read the log's ref: {error.message}")
        return claims

    def _judge_claims(self, subject: Subject, claims: _Claims) -> WalkedRef | None:
        """Hold each checkpoint that the log's key signed against the journal's tree."""
        if claims.tip is None:
            return None
        walked, log, findings = subject.walked, subject.log, subject.findings
        ref = WalkedRef(walked, claims.tip, list(claims.known), genuine_tip=claims.known[-1].oid if claims.known else None)
        lost = {seal.size for seal in claims.seals if 0 < seal.size <= walked.frontier.size} - walked.roots.keys()
        if lost:
            self.find_roots(subject, lost)
        beyond = False
        for seal in claims.seals:
            if not is_signed(log, seal.note, walked.key_at(min(seal.size, walked.size))):
                claims.strays.append(seal.oid)
                beyond = beyond or seal.size > walked.size
            elif seal.size > walked.size:
                ref.missing = max(ref.missing, seal.size)
            elif seal.root == self._root(subject, seal.size):
                ref.seals.append(seal)
                ref.genuine_tip = seal.oid
            else:
                message = f"the log's key sealed other records than the journal has, in {seal.oid}"
                found = self._root(subject, seal.size)
                findings.add("seal.mismatch", log, None, message, format_hash(seal.root), found and format_hash(found))
        if beyond and not ref.missing:  # a key that the journal does not know of may have signed it
            further = self._walk_ref(log, NOTHING, None).walked.size
            ref.missing = further if further > walked.size else 0
        if ref.missing and log == self.own:
            message = "the journal went back: the log's key has sealed more records than it has"
            findings.add("journal.rolled-back", log, None, message, f"{ref.missing} records", f"{walked.size} records")
        ref.stray_count = len(claims.strays)
        if claims.strays:
            message = f"{len(claims.strays)} commits on the log's ref are not its own, first {claims.strays[0]}"
            findings.add("ref.foreign", log, None, message)
        return ref

    def _root(self, subject: Subject, size: int) -> bytes | None:
        walked = subject.walked
        return walked.frontier.root() if size == walked.frontier.size else walked.roots.get(size)

    def _check_own_ref(self, subject: Subject, remembered: Remembered, findings: Findings) -> None:
        """Report a ref of our own that is gone or went back, by what the journal remembers of it."""
        if remembered.tip is None:
            return
        log, ref = subject.log, subject.ref
        elsewhere = None if remembered.ref in (None, format_ref(self.prefix, log)) else read_tip(self.repo, str(remembered.ref))
        if ref is None and elsewhere == remembered.tip:
            return  # the prefix was changed since; the next seal moves along
        if ref is not None and (remembered.tip in (ref.tip, ref.genuine_tip) or any(s.oid == remembered.tip for s in ref.seals)):
            return
        # The seals that we made are not there. What is may still hold all records: then nothing is lost.
        found = (
            Subject(Walked(log), Notes(log), Findings(), has_journal=False) if ref is None else self._walk_ref(log, Wanted(), None)
        )
        bad = [finding for finding in found.findings.listed() if finding.code in ("seal.root", "seal.fork")]
        if found.walked.size >= remembered.size and not bad:
            return
        for finding in bad:
            findings.add(finding.code, log, finding.seq, finding.message, finding.expected, finding.found)
        what = "is gone" if ref is None else "went back, or does not hold what was sealed"
        message = f"the log's ref {what}; `ledger seal` puts it back here, and `ledger sync` on the remote"
        findings.add("ref.rolled-back", log, None, message, f"{remembered.size} records", f"{found.walked.size} records")

    # --- Questions afterwards -------------------------------------------------------------------------------------------------

    def find_hashes(self, subject: Subject, seqs: Collection[int]) -> None:
        """Let the subject know the hashes of the records `seqs`, as far as it has them."""
        walked = subject.walked
        lost = {seq for seq in seqs if 0 <= seq < walked.size - 1 and seq not in walked.hashes}
        if not lost:
            return
        if subject.has_journal:
            with JournalReader(journal_path(self.state, subject.log)) as journal:
                for seq in lost:
                    record = journal.record(seq)
                    if record is not None:
                        walked.hashes[seq] = hash_record(record)
        elif subject.ref is not None:
            with ObjectReader(self.repo) as reader:
                walked.hashes |= read_hashes(reader, subject.ref, lost)

    def find_roots(self, subject: Subject, sizes: Collection[int]) -> None:
        """Let the subject know the roots of `sizes`, as far as it has them."""
        walked = subject.walked
        lost = {size for size in sizes if 0 <= size < walked.frontier.size and size not in walked.roots}
        if not lost:
            return
        if subject.has_journal:
            frontier = Frontier()
            with JournalReader(journal_path(self.state, subject.log)) as journal:
                for size, chunk in cut_chunks(journal.records(), 0, lost):
                    frontier.extend(hash_leaf(data if type(data) is bytes else b"") for _, data in chunk)
                    if size in lost:
                        walked.roots[size] = frontier.root()
                    if size >= max(lost):
                        break
        elif subject.seals:
            with ObjectReader(self.repo) as reader:
                found = read_frontiers(reader, subject.seals, lost)
            walked.roots |= {size: frontier.root() for size, frontier in found.items()}

    def walk_evidence(self, log: str, tip: str, sizes: Collection[int]) -> WalkedRef | None:
        """Walk what somebody kept as evidence of another history of `log`; None where git cannot read it."""
        findings = Findings()
        try:
            return walk_ref(self.repo, log, tip, findings, SomeSignatures(lambda seq: None), Notes(log), wanted=Wanted((), sizes))
        except RepoError:
            return None

    # --- For the next run -----------------------------------------------------------------------------------------------------

    def remember(self, subject: Subject) -> None:
        """Leave what was found for the next run, where the walk found no error. Raises StoreError."""
        walked, known = subject.walked, subject.known
        if not walked.keys or subject.findings.worst(subject.log) != "consistent" or subject.outrun is not None:
            return
        ref = subject.ref
        tip, seals = (None, []) if ref is None or ref.missing or ref.forks else (ref.genuine_tip, ref.seals)
        if known is not None and (known.size, known.tip) == (walked.size, tip) and known.hashes.keys() >= walked.hashes.keys():
            return
        if walked.size != walked.frontier.size or (not subject.has_journal and tip is None):
            return
        digest = ""
        if subject.has_journal:
            with JournalReader(journal_path(self.state, subject.log)) as journal:
                digest = journal.digest(walked.size) or ""
        last = len(seals) - 1
        kept = [seal if place == last or _is_cosigned(seal.note) else seal._replace(note=b"") for place, seal in enumerate(seals)]
        heads = tuple(ref.heads) if ref is not None and not subject.has_journal else ()
        name = _name(subject.log, "journal" if subject.has_journal else "ref")
        found = Known(
            subject.log,
            walked.size,
            walked.head,
            walked.frontier.hashes,
            walked.version,
            walked.latest,
            tuple(walked.keys),
            walked.opening,
            subject.notes.dump(),
            walked.hashes,
            tip,
            tuple(kept),
            heads,
            digest,
        )
        pin_store.write_verified(self.state, name, format_known(found))

    def _read_known(self, log: str, source: str) -> Known | None:
        return None if self._full else read_known(self.state, log, source)

    def _signatures(self, log: str, findings: Findings, total: int) -> Signatures:
        def report_bad(seq: int) -> None:
            findings.add("signature.bad", log, seq, "the signature is not that of the key in force")

        if not self._full:
            return SomeSignatures(report_bad)
        return EverySignature(report_bad, lambda done: self._progress("signatures", done, max(total, done)))


@dataclass(slots=True)
class _Claims:
    """What lies on the ref of a log whose journal is here: seals that an earlier run found genuine, and what is to be judged."""

    tip: str | None
    known: list[GenuineSeal]
    seals: list[GenuineSeal]
    strays: list[str]


def is_signed(log: str, note: bytes, public_key: bytes | None) -> bool:
    """Say whether `public_key` signed a note, as a key of `log`."""
    if public_key is None:
        return False
    try:
        check_checkpoint(parse_note(note), [log_key(log, public_key)], check_message)
    except (FormatError, TrustError):
        return False
    return True


def _remembered(journal: JournalReader) -> Remembered:
    size = journal.meta("sealed_size") or ""
    return Remembered(journal.meta("sealed_tip"), int(size) if size.isdecimal() else 0, journal.meta("sealed_ref"))


def _is_cosigned(note: bytes) -> bool:
    return note.count("\n— ".encode()) > 1


def _name(log: str, source: str) -> str:
    return f"{log}.{source}"
