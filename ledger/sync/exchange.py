"""One sync: seal, fetch into quarantine, judge, advance, witness, push; again where somebody else pushed meanwhile.

    1. the remote says what it has; what is new to us is fetched into refs/ledger/incoming/<remote>/
    2. our own log is sealed, unless the remote has more of it than the journal: then a successor is opened (sign-once)
    3. each ref that came is judged (ledger.sync.incoming) and, where it is good, the local one advances
    4. `log.seen` entries are appended about the others, and sealed
    5. our own log is pushed, and others where the remote's ref is missing or behind; never forced
    6. refs/ledger/remotes/<remote>/ remembers what the remote has: a ref that goes back behind it was tampered with

A crash, or a network that fails, anywhere in between loses nothing: refs move one by one and only forward, and the next run goes on
from what there is. Two syncs of one clone exclude each other; those of several clones meet at the remote, where a push that comes
too late is rejected, and tried again after another look.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from ledger.core.seal import format_ref
from ledger.errors import LedgerError, RepoError, StoreError
from ledger.recorder import Recorder
from ledger.recording.writer import format_at, now_ms
from ledger.repo.gitdir import GitDir
from ledger.repo.seals import edit_refs, has_object, is_ancestor, list_objects, list_tips, move_ref, read_prefix, read_tip
from ledger.store import pins
from ledger.store.lock import Lock
from ledger.sync.incoming import Judged, find_genuine, judge
from ledger.sync.remote import MAX_LOGS, Listing, Remote
from ledger.sync.witness import witness
from ledger.verify.known import GenuineSeal
from ledger.verify.subject import read_known

EVIDENCE = "refs/ledger/evidence"
MAX_LOCAL = 100_000  # refs of logs here that are looked at
_AGAIN = 200  # refs that were refused before and are judged once more in one run
_ROUNDS = 6
# What git, or a server, says of a push that met another one.
_TOO_LATE = ("fetch first", "non-fast-forward", "lock", "incorrect old value", "failed to update ref")
# (what is being done, how much of it is done, how much there is)
Progress = Callable[[str, int, int], None]


class Change(NamedTuple):
    """What happened to one log.

    `how` is `new`, `advanced`, `pushed`, `healed` (the remote's ref was missing or had gone back), `rejected` (the remote does not
    take it), `fork`, `refused`, `foreign` (somebody else's commits lie on its ref) or `succeeded`. `reason` says more in words.
    """

    log: str
    how: str
    size: int | None = None
    reason: str = ""


@dataclass(slots=True)
class Report:
    """What a sync did. `log` is this clone's own, None where it has none; `seen` counts the log.seen entries that were written."""

    remote: str
    log: str | None
    logs: int = 0
    seen: int = 0
    changes: list[Change] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def is_well(self) -> bool:
        """Say whether nothing is left that somebody should look at."""
        bad = {"fork", "refused"}
        return not any(change.how in bad or (change.how == "rejected" and change.log == self.log) for change in self.changes)


def sync(
    repo: GitDir,
    state: str,
    remote_name: str,
    *,
    push: bool = True,
    patience_s: float | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Report:
    """Exchange sealed logs with a remote and return what was done. Raises RepoError where it cannot be reached, and StoreError."""
    remote = Remote(repo, remote_name, read_prefix(repo), patience_s=patience_s)
    recorder = Recorder.find(repo, state)
    name = hashlib.sha256(os.fsencode(repo.common_dir)).hexdigest()
    try:
        with Lock(os.path.join(state, "sync", f"{name}.lock"), wait_s=60.0):
            return _Exchange(repo, state, remote, recorder, push, progress).run()
    finally:
        if recorder is not None:
            recorder.close()


class _Exchange:
    """The state of one sync."""

    def __init__(self, repo: GitDir, state: str, remote: Remote, recorder: Recorder | None, push: bool, progress: Progress) -> None:
        self._repo = repo
        self._state = state
        self._remote = remote
        self._prefix = remote.prefix
        self._recorder = recorder
        self._push = push
        self._progress = progress
        self._said: dict[tuple[str, str], Change] = {}
        self._judged: dict[tuple[str, str, str | None], Judged] = {}
        self._genuine: dict[tuple[str, str], GenuineSeal | None] = {}
        self._lost: set[str] = set()  # logs whose ref on the remote is missing, or went back
        self._report = Report(remote.name, None)

    def run(self) -> Report:
        """Do as the module says."""
        for number in range(_ROUNDS):
            known = list_tips(self._repo, f"refs/ledger/remotes/{self._remote.folder}", MAX_LOGS)
            listing = self._remote.list_tips(partial(self._names, known))
            tips = self._take(listing, known)
            self._witness()
            if not self._push or self._give(tips):
                break
            if number + 1 < _ROUNDS:
                time.sleep(random.uniform(0.05, 0.2) * (number + 1))  # whoever we met at the remote tries again, too
        self._report.log = self._own
        self._report.logs = len(self._local())
        self._report.changes = list(self._said.values())
        return self._report

    @property
    def _own(self) -> str | None:
        return None if self._recorder is None else self._recorder.clone.log

    def _names(self, known: dict[str, str]) -> list[str]:
        """Return the logs that this clone has or knows of, its own first."""
        return list(dict.fromkeys([*([self._own] if self._own else []), *known, *self._local()]))

    def _local(self) -> dict[str, str]:
        return list_tips(self._repo, f"{self._prefix}/logs", MAX_LOCAL)

    def _say(self, log: str, how: str, size: int | None = None, reason: str = "") -> None:
        self._said[log, how] = Change(log, how, size, reason)

    def _warn(self, text: str) -> None:
        if text not in self._report.warnings:
            self._report.warnings.append(text)

    # Taking

    def _seal(self, merge: str | None = None) -> None:
        """Seal our own log; where that fails, what others have is exchanged all the same."""
        if self._recorder is None:
            return
        before = self._own
        try:
            self._recorder.seal(merge=merge)
        except LedgerError as error:
            self._warn(f"our own log could not be sealed: {error.message}")
        if before is not None and self._own != before:
            self._say(before, "succeeded", None, f"its journal had gone back behind its own checkpoints; {self._own} continues it")

    def _take(self, listing: Listing, known: dict[str, str]) -> dict[str, str]:
        """Fetch and judge what the remote has and we do not; return what it has. The remote's word for it is checked by git."""
        if listing.truncated:
            self._warn(f"{self._remote.name} has more refs of logs than anybody should: the rest is left alone")
        tips, local = dict(listing.tips), self._local()
        wanted = [log for log, tip in tips.items() if local.get(log) != tip and known.get(log) != tip]
        came = self._fetch(wanted, tips)
        self._guard(tips, came)
        self._seal()
        local = self._local()
        lost = self._notice_losses(tips, known)
        moved = [log for log in tips if local.get(log) != tips[log] and (log in came or known.get(log) == tips[log])]
        # What never was good is looked at again, for it may be by now (a history that came since); thousands are not, each time.
        again = [log for log in moved if log not in came and log not in local]
        skipped = set(random.sample(again, len(again) - _AGAIN)) if len(again) > _AGAIN else set()
        for number, log in enumerate(moved, 1):
            self._progress("logs verified", number, len(moved))
            if log not in skipped:
                self._settle(log, tips[log], local.get(log))
        self._remember(tips, known, {*moved, *(log for log in tips if local.get(log) == tips[log])} - lost)
        return tips

    def _fetch(self, wanted: list[str], tips: dict[str, str]) -> set[str]:
        """Fetch the refs of `wanted`, put what they name now into `tips`, and return those that are here and are commits."""
        for start in range(0, len(wanted), 500):
            self._progress("logs fetched", start, len(wanted))
            for log, reason in self._remote.fetch(wanted[start : start + 500]).items():
                self._say(log, "refused", None, f"it could not be fetched: {reason}")
        came: set[str] = set()
        if not wanted:
            return came
        for log, (oid, kind) in list_objects(self._repo, f"refs/ledger/incoming/{self._remote.folder}", 2 * MAX_LOGS).items():
            if log not in wanted:
                continue  # an earlier run died
            if kind == "commit":
                tips[log] = oid  # it may have moved on since it was asked
                came.add(log)
            elif tips[log] == oid:
                self._say(log, "refused", None, f"its ref names a {kind}, not a commit")
        return came

    def _remember(self, tips: dict[str, str], known: dict[str, str], logs: set[str]) -> None:
        """Keep what the remote has, and clear the quarantine. Of what went back there, the better state is what is remembered."""
        new = {self._remote.known(log): tips[log] for log in logs if known.get(log) != tips[log]}
        gone = list_objects(self._repo, f"refs/ledger/incoming/{self._remote.folder}", 2 * MAX_LOGS)
        edit_refs(self._repo, new, [self._remote.incoming(log) for log in gone])

    def _guard(self, tips: dict[str, str], came: set[str]) -> None:
        """Open a successor where the remote has a checkpoint of our own key that the journal does not bear out (sign-once).

        Looked at before anything is sealed: a whole machine that was set back has no other way to know.
        """
        log = self._own
        if self._recorder is None or log is None or log not in came:
            return
        try:
            if self._recorder.is_against(tips[log]):
                self._recorder.succeed()
                self._say(log, "succeeded", None, f"the remote has more of it than its journal; {self._own} continues it")
        except LedgerError as error:
            self._warn(f"our own log could not be compared with {self._remote.name}: {error.message}")

    def _notice_losses(self, tips: dict[str, str], known: dict[str, str]) -> set[str]:
        """Say what the remote had and has no more, and return these logs."""
        lost = set()
        for log, before in known.items():
            now = tips.get(log)
            if now is None:
                lost.add(log)
                self._warn(f"{self._remote.name} no longer has the log {log}: its ref was deleted")
            elif now != before and has_object(self._repo, now) and not is_ancestor(self._repo, before, now):
                lost.add(log)
                self._warn(f"the ref of the log {log} on {self._remote.name} went back, or was replaced")
        self._lost |= lost
        return lost

    def _settle(self, log: str, tip: str, local: str | None) -> None:
        """Judge one ref that came, and let the local one advance where it may."""
        if log == self._own:
            self._settle_own(log, tip, local)
            return
        judged = self._judge(log, tip, local)
        if judged.strays and judged.tip is not None:
            self._say(log, "foreign", None, f"{judged.strays} commits of somebody else lie on its ref; they count for nothing")
        if judged.how in ("new", "advanced") and judged.tip is not None:
            if self._move(log, judged.tip, local):
                self._say(log, judged.how, judged.size)
                self._genuine[log, judged.tip] = judged.seal
        elif judged.how == "behind" and not is_ancestor(self._repo, tip, local or ""):
            self._say(log, "rejected", None, "other commits lie on its ref; without force only its writer can put it right")
        elif judged.how == "fork":
            self._keep_evidence(log, tip)
            self._say(log, "fork", judged.size, f"{judged.reason}; both are kept, the other under {EVIDENCE}/{log}/")
        if judged.how == "refused" or judged.lacks:
            self._say(log, "refused", judged.size, judged.reason or judged.lacks)

    def _move(self, log: str, new: str, old: str | None) -> bool:
        """Move the local ref of a log; false where somebody did at the same moment: the next round, or run, looks again."""
        ref = format_ref(self._prefix, log)
        try:
            if old is None:
                old = read_tip(self._repo, ref)  # git lists no ref that is a dangling link, and yet it is in the way
            move_ref(self._repo, ref, new, old, f"sync with {self._remote.folder}")
        except RepoError as error:
            self._warn(f"the ref of the log {log} could not be moved: {error.message}")
            return False
        return True

    def _judge(self, log: str, tip: str, local: str | None) -> Judged:
        key = (log, tip, local)
        if key not in self._judged:
            try:
                self._judged[key] = judge(self._repo, log, tip, local, read_known(self._state, log, "ref"))
            except RepoError as error:  # what is damaged here, of one log, is nothing to the others
                self._judged[key] = Judged(log, "refused", None, 0, f"git cannot read it: {error.message}")
        return self._judged[key]

    def _settle_own(self, log: str, tip: str, local: str | None) -> None:
        """Look at the remote's ref of our own log, which holds nothing that is against the journal."""
        if local is not None and is_ancestor(self._repo, tip, local):
            return  # it is behind; pushing mends that
        if local is None or not is_ancestor(self._repo, local, tip):
            self._seal(merge=tip)
        elif self._move(log, tip, local):
            self._seal()  # seals that a crash let us forget are taken over, and others' commits taken in

    def _keep_evidence(self, log: str, tip: str) -> None:
        edit_refs(self._repo, {f"{EVIDENCE}/{log}/{tip}": tip})

    # Giving

    def _witness(self) -> None:
        if self._recorder is None:
            return
        others = {log: tip for log, tip in self._local().items() if log != self._own}
        try:
            count = witness(self._recorder, self._repo, others, self._find_genuine)
        except LedgerError as error:
            self._warn(f"no log.seen entries could be written: {error.message}")
            return
        if count:
            self._report.seen += count
            self._seal()

    def _give(self, tips: dict[str, str]) -> bool:
        """Push what the remote lacks; false where something of it came too late, and another look may help."""
        updates = self._choose(tips)
        if not updates:
            return True
        self._progress("logs pushed", 0, len(updates))
        refs, again = {}, False
        for pushed in self._remote.push(updates):
            log = pushed.log
            if pushed.how == "rejected":
                self._say(log, "rejected", None, pushed.reason)
                again = again or any(word in pushed.reason for word in _TOO_LATE)
                continue
            refs[self._remote.known(log)] = updates[log]
            self._said.pop((log, "rejected"), None)
            if log in self._lost:
                self._say(log, "healed")
                self._remember_loss(log)
            elif pushed.how == "done":
                self._say(log, "pushed")
        edit_refs(self._repo, refs)
        return not again

    def _choose(self, tips: dict[str, str]) -> dict[str, str]:
        """Return what is to be pushed: ours where it is ahead, another's where the remote's ref is missing or behind.

        Of another's only what is genuine: whoever can write this repository could have laid something on the local ref.
        """
        chosen = {}
        for log, tip in self._local().items():
            there = tips.get(log)
            if not self._is_ahead(tip, there):
                continue
            genuine = None if log == self._own else self._find_genuine(log, tip)
            mine = tip if log == self._own else None if genuine is None else genuine.oid
            if mine is not None and (mine == tip or self._is_ahead(mine, there)):
                chosen[log] = mine
        return chosen

    def _is_ahead(self, tip: str, there: str | None) -> bool:
        return there is None or (there != tip and is_ancestor(self._repo, there, tip))

    def _find_genuine(self, log: str, tip: str) -> GenuineSeal | None:
        if (log, tip) not in self._genuine:
            try:
                self._genuine[log, tip] = find_genuine(self._repo, log, tip, read_known(self._state, log, "ref"))
            except RepoError as error:
                self._genuine[log, tip] = None
                self._warn(f"git cannot read the log {log}: {error.message}")
        return self._genuine[log, tip]

    def _remember_loss(self, log: str) -> None:
        try:
            pins.note_healed(self._state, log, f"its ref on {self._remote.name} was missing or had gone back", format_at(now_ms()))
        except StoreError:
            pass  # it was said now; that it is not said again costs nobody anything
