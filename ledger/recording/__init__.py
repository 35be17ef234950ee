"""How facts become entries: the writer, open calls, commits, spools, and the opening of logs. Used by `ledger.recorder` alone."""
