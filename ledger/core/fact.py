"""What a door hands to the recorder: facts, and what the recorder should look at to complete them.

Adapters (`ledger.agents`) are pure: they turn one native event into an `Observation`. The recorder adds what only it can
know: sequence, time, links, blob ids, salts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class PayloadData(NamedTuple):
    """Free text or bulk data that an entry will commit to. `media` is a media type such as `text/plain`."""

    data: bytes
    media: str


class Fact(NamedTuple):
    """One fact, before it is an entry.

    `once` names the fact for idempotency: the recorder appends a fact with the same (agent, session, turn, once) only
    once. Facts of one call use `<kind>:<call id>`. None means that only an equal fact within two seconds is a repetition.

    `answers` says how `cause` is found: the open request of this `call` ("call"), or the newest open request in the session
    with the same `input_digest` ("input"), for events that carry no call id, or the session's only open request ("open").

    `mark` tells an event from others of the same surface, for agents whose calls have no identifiers: the recorder then names
    the call (`ledger.recording.numbering`).
    """

    kind: str
    actor: Mapping[str, str]
    body: Mapping[str, Any]
    session: str | None = None
    turn: str | None = None
    call: str | None = None
    payloads: Mapping[str, PayloadData] = {}
    once: str | None = None
    answers: str | None = None
    input_digest: str | None = None
    mark: str | None = None


class Observation(NamedTuple):
    """What one native event means.

    `touched` are the paths (absolute, or relative to `cwd`) that the call in `facts` is about to change or has changed, as
    far as its arguments say so. `cwd` is where the agent stood. `plan_file` is a file whose text is the plan of the
    `plan.updated` fact that has no payload yet. `account` is the account that the agent says it works for.
    """

    facts: tuple[Fact, ...]
    cwd: str | None = None
    touched: tuple[str, ...] = ()
    plan_file: str | None = None
    account: str | None = None
