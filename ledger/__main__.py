"""`ledger`, `git-ledger` and `python -m ledger`: the command line, which Ctrl-C ends quietly also while it is being loaded."""

from __future__ import annotations

import signal


def main() -> None:
    """Load the command line, run it and exit."""
    listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # whoever started us may have had it ignored
    if listens:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is held yet that would have to be put down in order
    from ledger.cli.main import main as run

    if listens:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
