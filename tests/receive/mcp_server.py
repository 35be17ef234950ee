"""An MCP server for tests: it does what its calls name. `python mcp_server.py` on stdio, one JSON-RPC message a line."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any


def answer(message: dict[str, Any]) -> dict[str, Any] | None:
    """Return the response to one request, or None."""
    method, params = message.get("method"), message.get("params") or {}
    if method == "initialize":
        result = {"protocolVersion": "2025-11-25", "serverInfo": {"name": "tickets-server", "version": "1.2.3"}}
        return {"jsonrpc": "2.0", "id": message["id"], "result": result}
    if method != "tools/call":
        return None
    name = params.get("name")
    if name == "crash":
        os._exit(7)
    if name == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "silent":
        return None
    if name == "broken":
        return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32000, "message": "out of order"}}
    if name == "noise":
        print("this is no JSON", flush=True)
    text = "x" * int(params["arguments"]["size"]) if name == "big" else json.dumps(params.get("arguments"))
    result = {"content": [{"type": "text", "text": text}], "isError": name == "fail"}
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


for line in sys.stdin:
    said = json.loads(line)
    answers = [found for each in (said if isinstance(said, list) else [said]) if (found := answer(each)) is not None]
    if answers:
        print(json.dumps(answers if isinstance(said, list) else answers[0]), flush=True)
