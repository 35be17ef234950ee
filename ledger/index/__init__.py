"""Find it fast: a derived, disposable index. Whatever is shown from it is checked against its record."""
