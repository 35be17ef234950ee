"""One sync: seal, fetch into quarantine, judge, advance, witness, push; again where somebody else pushed meanwhile.

    1. our own log is sealed
    2. the remote says what it has; what is new to us is fetched into refs/ledger/incoming/<remote>/
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
from typing import NamedTuple

from ledger.core.seal import format_ref
from ledger.errors import LedgerError, RepoError, StoreError
from ledger.recorder import Recorder
from ledger.recording.writer import format_at, now_ms
from ledger.repo.gitdir import GitDir
from ledger.repo.seals import edit_refs, is_ancestor, list_tips, move_ref, read_prefix
from ledger.store import pins
from ledger.store.lock import Lock
from ledger.sync.incoming import Judged, judge
from ledger.sync.remote import MAX_LOGS, Listing, Remote
from ledger.sync.witness import witness

EVIDENCE = "refs/ledger/evidence"
_ROUNDS = 6
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
        self._prefix = read_prefix(repo)
        self._recorder = recorder
        self._push = push
        self._progress = progress
        self._said: dict[tuple[str, str], Change] = {}
        self._judged: dict[tuple[str, str, str | None], Judged] = {}
        self._lost: set[str] = set()  # logs whose ref on the remote is missing, or went back
        self._report = Report(remote.name, None)

    def run(self) -> Report:
        """Do as the module says."""
        for number in range(_ROUNDS):
            self._seal()
            listing = self._remote.list_tips()
            tips = self._take(listing)
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

    def _local(self) -> dict[str, str]:
        return list_tips(self._repo, f"{self._prefix}/logs", MAX_LOGS)

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

    def _take(self, listing: Listing) -> dict[str, str]:
        """Fetch and judge what the remote has and we do not; return what it has. The remote's word for it is checked by git."""
        if listing.truncated:
            self._warn(f"{self._remote.name} has more refs of logs than anybody should: the rest is left alone")
        local, tips = self._local(), dict(listing.tips)
        known = list_tips(self._repo, f"refs/ledger/remotes/{self._remote.folder}", MAX_LOGS)
        wanted = [log for log, tip in tips.items() if local.get(log) != tip and known.get(log) != tip]
        for start in range(0, len(wanted), 500):
            self._progress("logs fetched", start, len(wanted))
            self._remote.fetch(wanted[start : start + 500])
        came = list_tips(self._repo, f"refs/ledger/incoming/{self._remote.folder}", 2 * MAX_LOGS)
        tips |= {log: came[log] for log in wanted if log in came}  # it may have moved on since it was asked
        self._notice_losses(tips, known)
        moved = [log for log in tips if local.get(log) != tips[log] and (log in came or known.get(log) == tips[log])]
        for number, log in enumerate(moved, 1):
            self._progress("logs verified", number, len(moved))
            self._settle(log, tips[log], local.get(log))
        remembered = {self._remote.known(log): tips[log] for log in moved if known.get(log) != tips[log]}
        remembered |= {self._remote.known(log): tip for log, tip in tips.items() if local.get(log) == tip != known.get(log)}
        edit_refs(self._repo, remembered, [self._remote.incoming(log) for log in came])
        return tips

    def _notice_losses(self, tips: dict[str, str], known: dict[str, str]) -> None:
        for log, before in known.items():
            now = tips.get(log)
            if now is None:
                self._lost.add(log)
                self._warn(f"{self._remote.name} no longer has the log {log}: its ref was deleted")
            elif now != before and not is_ancestor(self._repo, before, now):
                self._lost.add(log)
                self._warn(f"the ref of the log {log} on {self._remote.name} went back, or was replaced")

    def _settle(self, log: str, tip: str, local: str | None) -> None:
        """Judge one ref that came, and let the local one advance where it may."""
        if log == self._own and self._settle_own(log, tip, local):
            return
        judged = self._judge(log, tip, local)
        if judged.strays:
            self._say(log, "foreign", None, f"{judged.strays} commits of somebody else lie on its ref; they count for nothing")
        if judged.how in ("new", "advanced") and judged.tip is not None:
            try:
                move_ref(self._repo, format_ref(self._prefix, log), judged.tip, local, f"sync with {self._remote.folder}")
                self._say(log, judged.how, judged.size)
            except RepoError:
                pass  # somebody moved it at the same moment: the next round looks again
        elif judged.how == "fork":
            self._keep_evidence(log, tip)
            self._say(log, "fork", judged.size, f"{judged.reason}; both are kept, the other under {EVIDENCE}/{log}/")
        elif judged.how == "refused":
            self._say(log, "refused", judged.size, judged.reason)

    def _judge(self, log: str, tip: str, local: str | None) -> Judged:
        key = (log, tip, local)
        if key not in self._judged:
            self._judged[key] = judge(self._repo, log, tip, local)
        return self._judged[key]

    def _settle_own(self, log: str, tip: str, local: str | None) -> bool:
        """Look at the remote's ref of our own log; false where it must be judged like anybody's, for it is ours no more."""
        assert self._recorder is not None
        if local is not None and is_ancestor(self._repo, tip, local):
            return True  # it is behind; pushing mends that
        if self._recorder.is_against(tip):
            # A genuine checkpoint of ours that the journal does not bear out: the journal went back. Never sign there again.
            self._recorder.succeed()
            self._say(log, "succeeded", None, f"the remote has more of it than its journal; {self._own} continues it")
            self._seal()
            return False
        if local is None or not is_ancestor(self._repo, local, tip):
            self._seal(merge=tip)
        else:
            self._adopt(log, tip, local)
        return True

    def _adopt(self, log: str, tip: str, local: str) -> None:
        """Take over the remote's ref of our own log, which continues ours: seals that a crash let us forget, or others' commits."""
        move_ref(self._repo, format_ref(self._prefix, log), tip, local, f"sync with {self._remote.folder}")
        self._seal()

    def _keep_evidence(self, log: str, tip: str) -> None:
        edit_refs(self._repo, {f"{EVIDENCE}/{log}/{tip}": tip})

    # Giving

    def _witness(self) -> None:
        if self._recorder is None:
            return
        others = {log: tip for log, tip in self._local().items() if log != self._own}
        try:
            count = witness(self._recorder, self._repo, others)
        except LedgerError as error:
            self._warn(f"no log.seen entries could be written: {error.message}")
            return
        if count:
            self._report.seen += count
            self._seal()

    def _give(self, tips: dict[str, str]) -> bool:
        """Push what the remote lacks; false where something of it came too late, and another look may help."""
        local = self._local()
        updates = {log: tip for log, tip in local.items() if self._may_push(log, tip, tips.get(log))}
        if not updates:
            return True
        self._progress("logs pushed", 0, len(updates))
        refs, again = {}, False
        for pushed in self._remote.push(updates):
            log = pushed.log
            if pushed.how == "rejected":
                self._say(log, "rejected", None, pushed.reason)
                again = again or "fetch first" in pushed.reason or "non-fast-forward" in pushed.reason or "lock" in pushed.reason
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

    def _may_push(self, log: str, tip: str, there: str | None) -> bool:
        """Say whether a log is to be pushed: ours where it is ahead, another's where the remote's ref is missing or behind."""
        if there is None:
            return True
        if there == tip:
            return False
        try:
            return is_ancestor(self._repo, there, tip)
        except RepoError:
            return False

    def _remember_loss(self, log: str) -> None:
        try:
            pins.note_healed(self._state, log, f"its ref on {self._remote.name} was missing or had gone back", format_at(now_ms()))
        except StoreError:
            pass  # it was said now; that it is not said again costs nobody anything
