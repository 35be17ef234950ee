"""The exception tree of the project. This module imports nothing.

    LedgerError                 anything a user may meet; has a message and, where there is one, a remedy
    ├── FormatError             the bytes are malformed
    ├── TrustError              the bytes are well formed, and not to be believed
    ├── StoreError              the disk let us down
    │   ├── StoreBusy           somebody else holds the lock for longer than we wait
    │   ├── StoreFull           no space left
    │   ├── StoreReadOnly       the place may not be written
    │   └── StoreCorrupt        what we wrote is not what we read
    ├── KeyUnavailable          the signing key cannot be used now (no agent, no file, wrong owner)
    ├── RepoError               git, or the repository, said no
    │   └── NoRepository        there is no repository here
    ├── NoLedger                the repository is here, a ledger is not
    └── Refused                 what was asked for would do harm, so nothing was done

Our own mistakes are ValueError, RuntimeError or assert, never one of these.
"""

from __future__ import annotations


class LedgerError(Exception):
    """Something a user may meet. `remedy` says what to do about it, in one sentence, or is empty."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class FormatError(LedgerError):
    """The bytes are malformed."""


class TrustError(LedgerError):
    """The bytes are well formed, and not to be believed."""


class StoreError(LedgerError):
    """The disk let us down."""


class StoreBusy(StoreError):
    """The lock was held by somebody else for longer than we wait."""


class StoreFull(StoreError):
    """No space is left where the journal rests."""


class StoreReadOnly(StoreError):
    """The journal's place may not be written by this process."""


class StoreCorrupt(StoreError):
    """What was read is not what was written."""


class KeyUnavailable(LedgerError):
    """The signing key cannot be used now."""


class RepoError(LedgerError):
    """Git, or the repository, said no."""


class NoRepository(RepoError):
    """There is no git repository at the place asked about."""


class NoLedger(LedgerError):
    """The repository has no ledger on this machine."""


class Refused(LedgerError):
    """What was asked for would do harm, so nothing was done."""
