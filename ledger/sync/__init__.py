"""Exchanging sealed logs with a remote: fetched into quarantine, verified, advanced, and never forced (docs/spec/sync.md)."""
