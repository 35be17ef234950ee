"""git-ledger: a git-integrated audit ledger for coding agents.

`ledger.Recorder` is the public API for programs that record their own facts (docs/recording.md). It is loaded
on first use, so that the hook pays for nothing it does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ledger.recorder import Recorder

__all__ = ["Recorder", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Recorder":
        from ledger.recorder import Recorder

        return Recorder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
