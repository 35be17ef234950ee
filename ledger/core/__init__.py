"""What the bytes mean. No files, clock, randomness, environment or logging in here."""
