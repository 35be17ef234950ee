"""The lock of a log: one flock, taken before every append (docs/spec/journal.md, section 2).

flock before `BEGIN IMMEDIATE`: without it, SQLite's own busy handler stalls up to 1.75 s with eight writers. The kernel lets go
of a flock when its holder dies, so nothing has to be repaired after a kill. The file itself is never removed.
"""

from __future__ import annotations

import fcntl
import os
import time
from types import TracebackType

from ledger.errors import StoreBusy
from ledger.store.state import make_folder, store_error

WAIT_S = 2.0


class Lock:
    """Holds the flock on `path` while in the `with` block. Raises StoreBusy after `wait_s` seconds."""

    def __init__(self, path: str, wait_s: float = WAIT_S) -> None:
        self.path = path
        self._wait_s = wait_s
        self._descriptor = -1

    def __enter__(self) -> Lock:
        make_folder(os.path.dirname(self.path))
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise store_error(error, self.path) from error
        deadline = time.monotonic() + self._wait_s
        pause = 0.0005
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return self
            except OSError:
                if time.monotonic() >= deadline:
                    os.close(self._descriptor)
                    raise StoreBusy(
                        f"the log is locked by another process for more than {self._wait_s:g} s ({self.path})",
                        remedy="nothing is lost: facts wait in the spool; `fuser` on the file says who holds it",
                    ) from None
            time.sleep(pause)
            pause = min(pause * 1.5, 0.01)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._descriptor)
