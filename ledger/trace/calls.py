"""One call with the words that led to it: what an answer about a line, and any other about single calls, shows of each."""

from __future__ import annotations

from typing import TypedDict

from ledger.core.entry import Entry
from ledger.trace.answers import Unknown, build_asked, build_ran
from ledger.trace.logs import Log
from ledger.trace.model import Asked, Ran
from ledger.trace.window import Window, is_asked


class Cause(TypedDict):
    """A call, and the name of the prompt behind it, a key of the answer's `prompts`; null where none is on record."""

    call: Ran
    session: str | None
    prompt: str | None


class Causes:
    """The calls and prompts of an answer, each once, by the names of their entries."""

    def __init__(self, unknown: Unknown) -> None:
        self.unknown = unknown
        self.calls: dict[str, Cause] = {}
        self.prompts: dict[str, Asked] = {}

    def add(self, log: Log, seq: int) -> Cause | None:
        """Take up the call whose request is `seq`, with its prompt; None where there is no such entry."""
        name = log.ref(seq)
        if name not in self.calls:
            request = log.entry(seq)
            if request is None or request.kind != "tool.requested":
                return None
            (ran,) = build_ran(Window(log, (), (request,), seq, seq), self.unknown)
            prompt = find_prompt(log, request)
            asked = None if prompt is None else self._ask(log, prompt)
            self.calls[name] = {"call": ran, "session": request.session, "prompt": asked}
        return self.calls[name]

    def _ask(self, log: Log, prompt: Entry) -> str:
        name = log.ref(prompt.seq)
        if name not in self.prompts:
            (self.prompts[name],) = build_asked(Window(log, (), (prompt,), prompt.seq, prompt.seq), self.unknown)
        return name


def find_prompt(log: Log, request: Entry) -> Entry | None:
    """Return the newest prompt of the call's session before it that may be a person's, or None."""
    if request.session is None:
        return None
    newest = log.entries(log.index.newest(request.session, "prompt.submitted", request.seq))
    return next((prompt for prompt in newest if is_asked(prompt, log)), None)
