"""From a commit back to who asked, what was planned, what ran, and what changed. Reads git, journals and their indexes."""
