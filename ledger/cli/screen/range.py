"""The page of `ledger trace <base>..<head>`: a pull request summed up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from ledger.cli.plain import safe
from ledger.cli.screen.blame import BY_STYLES, bullets, counts_text, headline, many, names_line, title, who_text
from ledger.cli.screen.rows import Rows
from ledger.cli.screen.texts import DIM, graded, path_text, print_page, words
from ledger.cli.screen.trace import answer_sections

_MOST = 50


def render_range(trace: Mapping[str, Any]) -> None:
    """Print the page."""
    recorded = sum(item["match"]["rung"] != "none" for item in trace["commits"])
    first = Text.assemble(("range ", "bold"), (safe(trace["range"][:200]), "bold yellow"))
    commits, sessions = many(len(trace["commits"]), "commit"), many(len(trace["sessions"]), "session")
    second = Text(f"{commits}, {recorded:,} recorded, {sessions}  ·  ledger ")
    second.append_text(graded(trace["verdict"]))
    third = Text.assemble("lines added: ", counts_text(trace["lines"]))
    parts: list[RenderableType] = [headline(first, second, third, names_line(_logs(trace)))]
    if not trace["commits"]:
        print_page(*parts, Text("\nThere are no commits in this range.", style="yellow"))
        return
    parts += _section("Who asked whom", _sessions(trace["sessions"]), trace["sessions"])
    parts += _section("Which commits", _commits(trace["commits"]), trace["commits"])
    parts += _section("Whose lines", _paths(trace["paths"]), trace["paths"])
    parts += _section("What ran", _ran(trace["ran"]), trace["ran"]["count"])
    parts += answer_sections(trace, ("approvals", "network", "boundary"))
    if trace["unknown"]:
        parts += [title("What could not be established", "yellow"), Padding(bullets(trace["unknown"]), (0, 0, 0, 3))]
    print_page(*parts)


def _logs(trace: Mapping[str, Any]) -> list[str]:
    return list({str(item["entry"]).partition("/")[0]: 1 for name in ("approvals", "network", "boundary") for item in trace[name]})


def _section(name: str, shown: RenderableType, found: Any) -> list[RenderableType]:
    return [title(name), Padding(shown if found else Text("not on record", style=DIM), (0, 0, 0, 3))]


def _table(*widths: int | None) -> Rows:
    return Rows(*((width, "left") for width in widths))


def _more(table: Rows, found: list[Any]) -> Rows:
    if len(found) > _MOST:
        table.add_row("", Text(f"… {len(found):,} in all: --json lists them", style=DIM))
    return table


def _sessions(sessions: list[Mapping[str, Any]]) -> RenderableType:
    table = _table(8, None, 34)
    for item in sessions[:_MOST]:
        who = who_text(item["who"]) if item["who"] else Text("no prompt of a person is on record", style="yellow")
        text = Text.assemble(who, ("  to ", DIM), (safe(str(item["agent"] or "an agent")[:60]), "cyan"))
        done = ", ".join(many(count, what) for count, what in _done(item))
        table.add_row(Text(safe(item["session"][:8]), style=DIM), text, Text(done, style=DIM))
    return _more(table, sessions)


def _done(item: Mapping[str, Any]) -> list[tuple[int, str]]:
    return [(item["prompts"], "prompt"), (item["calls"], "call"), (len(item["commits"]), "commit")]


def _commits(commits: list[Mapping[str, Any]]) -> RenderableType:
    table = _table(8, None, 12, 26)
    for item in commits[:_MOST]:
        subject = words(item["commit"]["subject"], lines=1, characters=120)
        rung = "not recorded" if item["match"]["rung"] == "none" else item["match"]["rung"]
        table.add_row(
            Text(item["commit"]["oid"][:8], style="yellow"),
            subject,
            Text(rung, style="yellow") if rung == "not recorded" else graded(rung),
            _counts(item["lines"]),
        )
    return _more(table, commits)


def _paths(paths: list[Mapping[str, Any]]) -> RenderableType:
    ranked = sorted(paths, key=lambda item: -sum(item["lines"].values()))
    table = _table(None, 40)
    for item in ranked[:_MOST]:
        table.add_row(Text(path_text(item["path"])[:500]), _counts(item["lines"]))
    return _more(table, ranked)


def _counts(counts: Mapping[str, int]) -> Text:
    text = Text()
    for by, count in counts.items():
        if count:
            text.append(f"{' ' if text else ''}{count:,} {by}", style=BY_STYLES[by])
    return text


def _ran(ran: Mapping[str, Any]) -> RenderableType:
    text = Text(f"{many(ran['count'], 'call')}: ")
    text.append(", ".join(f"{count:,} {outcome}" for outcome, count in ran["outcomes"].items()))
    text.append("\n" + ", ".join(f"{safe(name[:60])} ×{count}" for name, count in list(ran["tools"].items())[:20]), style=DIM)
    for name, count in list(ran["mcp_servers"].items())[:20]:
        text.append(f", MCP server {safe(name[:60])} ×{count}", style="magenta")
    return text
