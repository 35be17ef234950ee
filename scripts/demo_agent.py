"""Plays a coding agent in the current repository: runs the hooks that `ledger init` put into `.codex/hooks.json`, as Codex would.

Each event goes to each hook command as one JSON object on its standard input, in the form that Codex 0.169 sends. The edit and the
commit are real.
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from pathlib import Path

SESSION, TURN = str(uuid.uuid4()), str(uuid.uuid4())
HOOKS = json.loads(Path(".codex/hooks.json").read_text())["hooks"]
PATCH = """*** Begin Patch
*** Update File: shop.py
@@
 def total(prices):
-    return sum(prices) * 1.0
+    return round(sum(prices), 2)
*** End Patch
"""
PLAN = ["Look at total()", "Round to cents", "Commit"]


def fire(event: str, **members: object) -> None:
    """Send one event to every hook that is installed for it."""
    whole = {"session_id": SESSION, "transcript_path": None, "cwd": os.getcwd(), "hook_event_name": event, "model": "demo-model"}
    whole |= {"permission_mode": "default", **members}
    for group in HOOKS.get(event, []):
        for hook in group["hooks"]:
            subprocess.run(["sh", "-c", hook["command"]], input=json.dumps(whole).encode(), check=True)


def call(number: int, tool: str, tool_input: dict[str, object], response: object, *, ask: str = "", work: str = "") -> None:
    """Play one tool call: request, perhaps a question for permission, the work itself, result."""
    name = f"call_{number}"
    members = {"turn_id": TURN, "tool_name": tool, "tool_input": tool_input}
    fire("PreToolUse", **members, tool_use_id=name)
    if ask:
        fire("PermissionRequest", **members | {"tool_input": {**tool_input, "description": ask}})
    if work:
        environ = {**os.environ, "CODEX_SESSION_ID": SESSION, "CODEX_TOOL_CALL_ID": name, "CODEX_CI": "1"}
        done = subprocess.run(["sh", "-c", work], env=environ, check=True, capture_output=True, text=True)
        response = response or done.stdout
    fire("PostToolUse", **members, tool_use_id=name, tool_response=response)


def plan(done: int) -> dict[str, object]:
    """Return the plan with its first `done` steps completed."""
    return {"plan": [{"step": step, "status": "completed" if at < done else "pending"} for at, step in enumerate(PLAN)]}


def main() -> None:
    """Play one turn."""
    fire("SessionStart", source="startup")
    fire(
        "UserPromptSubmit",
        turn_id=TURN,
        prompt="Totals in the shop show too many decimals. Round them to cents (ticket T-42) and commit.",
    )
    call(0, "update_plan", plan(0), "Plan updated")
    call(1, "Bash", {"command": "cat shop.py"}, "", work="cat shop.py")
    ticket = {"content": [{"type": "text", "text": "T-42: totals show too many decimals"}], "isError": False}
    call(2, "mcp__tickets__lookup", {"ticket": "T-42"}, ticket)
    edit = "sed -i.bak 's/sum(prices) \\* 1.0/round(sum(prices), 2)/' shop.py && rm shop.py.bak"
    call(3, "apply_patch", {"command": PATCH}, "Success. Updated the following files:\nM shop.py\n", work=edit)
    commit = "git commit -qam 'Round totals to cents' && git rev-parse --short HEAD"
    call(4, "Bash", {"command": commit}, "", ask="Commit the change?", work=commit)
    call(5, "update_plan", plan(3), "Plan updated")
    fire("Stop", turn_id=TURN, stop_hook_active=False, last_assistant_message="Totals are rounded to cents, and it is committed.")
    fire("SessionEnd", reason="other")


if __name__ == "__main__":
    main()
