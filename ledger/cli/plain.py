"""Text from outside, made harmless for a terminal. Prompts, paths and tool output are hostile."""

from __future__ import annotations

import unicodedata


def safe(text: str, *, keep_newlines: bool = False) -> str:
    """Return `text` with every control, format and surrogate character shown as an escape.

    That covers terminal escape sequences, and the bidirectional marks that make a line read otherwise than it is.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character, keep_newlines) for character in text)


def _shown(character: str, keep_newlines: bool) -> str:
    if keep_newlines and character in "\n\t":
        return character
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"):
        return character.encode("unicode_escape").decode("ascii")
    return character
