"""The door for people: one click module per command, all of rich in `ledger.cli.screen`."""
