"""Where public test vectors are, when they are there: a folder beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

VECTORS = Path(__file__).resolve().parents[1].parent / "shared" / "vectors"


def find_vectors(name: str) -> Path:
    """Return the path of the vectors `name`; skip the test that asks where they are absent."""
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"the public test vectors {name} are not beside this checkout")
    return path
