"""What is said of each agent's surfaces is what its modules do, and the page is what is said."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from ledger.agents import (
    claude_code,
    claude_otel,
    claude_transcript,
    codex,
    codex_otel,
    codex_rollout,
    coverage,
    gemini,
    gemini_otel,
    gemini_transcript,
    opencode,
    registry,
)
from ledger.install.agents import AGENTS

ROOT = Path(__file__).resolve().parents[2]
MODULES: dict[str, dict[str, ModuleType]] = {
    "claude-code": {"hooks": claude_code, "transcript": claude_transcript, "telemetry": claude_otel},
    "codex": {"hooks": codex, "transcript": codex_rollout, "telemetry": codex_otel},
    "gemini": {"hooks": gemini, "transcript": gemini_transcript, "telemetry": gemini_otel},
    "opencode": {"hooks": opencode},
}
PAIRS = [(agent, surface) for agent, modules in MODULES.items() for surface in modules]
# Helpers that make facts, by what a module calls: so that a kind counts as told where the helper is called.
_HELPERS = {
    "start_session": "session.started",
    "submit_prompt": "prompt.submitted",
    "update_plan": "plan.updated",
    "request_call": "tool.requested",
    "finish_call": "tool.finished",
    "request_approval": "approval.requested",
    "decided": "approval.decided",
}
_ANSWERING = frozenset().union(*coverage.KINDS_OF.values())


def kinds_of(module: ModuleType) -> set[str]:
    """Return the kinds of facts that a module makes, by its source: those it names, and those of the helpers it calls."""
    source = Path(str(module.__file__)).read_text()
    named = set(re.findall(r'"([a-z]+\.[a-z]+)"', source))
    called = {kind for helper, kind in _HELPERS.items() if re.search(rf"\b{helper}\b", source.partition("\n\n\n")[2])}
    # What grants leave for good is read beside every transcript, by the recorder.
    beside = {"boundary.declared"} if module.__name__.endswith(("_transcript", "_rollout")) else set()
    return (named | called | beside) & _ANSWERING


def test_every_agent_is_declared_with_its_surfaces() -> None:
    """Registry, coverage, installer and modules speak of the same agents and the same surfaces."""
    assert set(MODULES) == set(registry.AGENTS) == set(coverage.AGENTS) == set(AGENTS)
    for agent, modules in MODULES.items():
        assert registry.SURFACES[agent] == tuple(modules)
        assert all(agent == module.NAME for module in modules.values())
        assert agent in coverage.NOTES
        for cell in coverage.row(agent).values():
            assert set(cell.surfaces) <= set(modules)


@pytest.mark.parametrize(("agent", "surface"), PAIRS)
def test_what_is_declared_is_what_the_module_tells(agent: str, surface: str) -> None:
    """A question that a surface is said to answer has facts in its module; facts that answer a question are declared."""
    told = kinds_of(MODULES[agent][surface])
    for question, kinds in coverage.KINDS_OF.items():
        answers = surface in coverage.row(agent)[question].surfaces
        if answers:
            assert kinds & told, f"{agent}'s {surface} is said to tell {question}, and makes no {', '.join(sorted(kinds))}"
    assert told <= coverage.declared_kinds(agent, surface), "the module tells more than is declared"


def test_levels_are_three_and_notes_are_said() -> None:
    """Every cell has a level and a reason; a no without any surface says that nothing tells."""
    for agent in coverage.AGENTS:
        cells = coverage.row(agent)
        assert list(cells) == list(coverage.QUESTIONS)
        for cell in cells.values():
            assert cell.answer.level in ("yes", "partly", "no") and cell.answer.note
            assert (cell.answer.level == "no") == (not set(cell.surfaces) - set(coverage.OPTIONAL))


def test_the_page_is_what_is_declared() -> None:
    """docs/agents.md is written by scripts/agents_page: where it drifts, run that."""
    page = (ROOT / "docs/agents.md").read_text("utf-8")
    assert page == coverage.format_page({name: kind.title for name, kind in AGENTS.items()})
