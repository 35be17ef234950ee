"""docs/spec/verify.md names every finding there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from ledger.verify.verdict import RULES, VERDICTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/spec/verify.md").read_text("utf-8")
SOURCES = "\n".join(path.read_text("utf-8") for path in [*(ROOT / "ledger/verify").glob("*.py"), ROOT / "ledger/core/chain.py"])


def test_the_page_lists_the_rules() -> None:
    """Each code in the page has the severity and the verdict that the verifier gives it, and none is left out."""
    rows = re.findall(r"^\| `([a-z.-]+)` \| (error|warning|info) \| ([a-z]*) ?\| \S", PAGE, re.MULTILINE)
    assert {code: (severity, verdict or "consistent") for code, severity, verdict in rows} == {
        code: tuple(rule) for code, rule in RULES.items()
    }


def test_every_code_is_used_and_every_used_code_is_listed() -> None:
    """What the code reports and what the list holds are the same codes."""
    used = set(re.findall(r'(?:\.add\(|Break\(|breaks, )\s*"([a-z.-]+)"', SOURCES)) | {"findings.truncated"}
    assert used == set(RULES)


def test_the_page_lists_the_verdicts_in_order() -> None:
    """The verdicts' table goes from best to worst as the code does."""
    assert tuple(re.findall(r"^\| `([a-z]+)` \| [^|]+ \| [01] \|", PAGE, re.MULTILINE)) == VERDICTS
