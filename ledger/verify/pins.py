"""What this machine saw of a log before, held against what it sees now."""

from __future__ import annotations

from ledger.store.pins import Pin
from ledger.verify.chain import Walked
from ledger.verify.verdict import Findings


def check_pin(walked: Walked, pin: Pin | None, findings: Findings) -> None:
    """Report a log that is shorter than its pin, or that has another record where the pin was set."""
    if pin is None:
        return
    if walked.size < pin.size:
        message = f"the log went back: on {pin.at} it had more records than now"
        findings.add("pin.rollback", walked.log, None, message, f"at least {pin.size} records", f"{walked.size} records")
        return
    found = walked.hash_at(pin.size - 1)
    if found != pin.hash:
        message = f"the log has another record here than on {pin.at}"
        findings.add("pin.mismatch", walked.log, pin.size - 1, message, pin.hash, found or "no record")
