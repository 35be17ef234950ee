"""What is known of commits, in forms that other tools read. Reads what `trace` answers, and never writes to a log."""
