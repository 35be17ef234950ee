"""What `ledger init` puts into place and `ledger deinit` takes out again: git hooks, agents' hooks, and a note of both."""
