"""Is it true? The verifier: it never reads the index and shares only `core` and the store's readers with the writer."""
