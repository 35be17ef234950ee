"""Where the bytes rest: the state folder, the journal, keys and spools."""
