"""What git says: hooks installed and removed, commit facts, snapshots, patch-ids."""
