"""Find entries fast: a derived, disposable index of a log. What is shown is re-read from its record, never from here."""
