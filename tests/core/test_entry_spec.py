"""The worked example of docs/spec/entry.md is recomputed from its seed and must be what the page says, literally."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ledger.core.canonical import parse_canonical
from ledger.core.ed25519 import check_sshsig, public_key_of, sign_sshsig
from ledger.core.entry import Entry, format_entry, format_record, hash_record, log_id, parse_record
from ledger.core.kinds import ACTOR_TYPES, KINDS, SOURCES
from ledger.core.payload import PayloadRef, commit_payload
from ledger.core.sshsig import ENTRY_NAMESPACE, fingerprint, format_armoured, format_public_key
from ledger.errors import FormatError, TrustError

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "spec" / "entry.md").read_text("utf-8")
EXAMPLE = PAGE.partition("## 9. Worked example")[2]
SEED = bytes(range(32))
PUBLIC_KEY = public_key_of(SEED)
PROMPT = b"Please add the demo file"


def record_of(entry: Entry) -> bytes:
    """Return the signed record of `entry`."""
    data = format_entry(entry)
    return format_record(data, sign_sshsig(SEED, ENTRY_NAMESPACE, data))


def genesis() -> Entry:
    """Return the example's genesis."""
    return Entry(
        v=1,
        log="",
        seq=0,
        prev="0" * 64,
        key=fingerprint(PUBLIC_KEY),
        at="2026-01-02T03:04:05.678Z",
        kind="log.opened",
        source="cli",
        actor={"type": "recorder", "name": "ledger"},
        body={
            "roots": ["1f2e3d4c5b6a79880716253443526170fedcba98"],
            "object_format": "sha1",
            "nonce": "00112233445566778899aabbccddeeff",
            "public_key": format_public_key(PUBLIC_KEY),
            "key_storage": "file",
            "clone": "ffeeddccbbaa99887766554433221100",
            "tool_version": "0.1.0",
        },
    )


def prompt() -> Entry:
    """Return the example's prompt, built on the recomputed genesis."""
    return Entry(
        v=1,
        log=log_id(format_entry(genesis())),
        seq=1,
        prev=hash_record(record_of(genesis())),
        key=fingerprint(PUBLIC_KEY),
        at="2026-01-02T03:04:06.000Z",
        kind="prompt.submitted",
        source="hook",
        actor={"type": "unknown"},
        body={},
        session="s-1",
        turn="t-1",
        payloads=(PayloadRef("prompt", commit_payload(SEED, PROMPT), len(PROMPT), "text/plain"),),
    )


def page_records() -> list[bytes]:
    """Return the records as the page shows them."""
    return [line.strip().encode() for line in EXAMPLE.splitlines() if line.startswith('    {"entry":{"actor"')]


def page_signature() -> str:
    """Return the armoured signature as the page shows it, with a newline at its end."""
    lines = re.search(r"^    -----BEGIN SSH.*^    -----END SSH SIGNATURE-----$", EXAMPLE, re.DOTALL | re.MULTILINE)
    assert lines is not None
    return "".join(line.strip() + "\n" for line in lines[0].splitlines())


def test_the_records_are_the_page_s() -> None:
    """Both records come out byte for byte."""
    assert [record_of(genesis()), record_of(prompt())] == page_records()


def test_the_records_parse_to_the_entries() -> None:
    """The page's bytes say what the example says."""
    assert [parse_record(record).entry for record in page_records()] == [genesis(), prompt()]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(format_public_key(PUBLIC_KEY), id="public key"),
        pytest.param(fingerprint(PUBLIC_KEY), id="fingerprint"),
        pytest.param(f"record hash is `{hash_record(record_of(genesis()))}`", id="genesis hash"),
        pytest.param(f"name is `{log_id(format_entry(genesis()))}`", id="log name"),
        pytest.param(f"commitment is `{commit_payload(SEED, PROMPT)}`", id="commitment"),
        pytest.param(f"record hash is `{hash_record(record_of(prompt()))}`", id="prompt hash"),
        pytest.param(f"`{PROMPT.decode()}` ({len(PROMPT)} bytes)", id="prompt"),
    ],
)
def test_the_figures_are_the_page_s(text: str) -> None:
    """Keys, hashes, the name and the commitment stand on the page as they are computed."""
    assert text in EXAMPLE


def test_the_armoured_signature_is_the_page_s() -> None:
    """It is rebuilt from the public key and the 64 bytes that the record holds."""
    signature = parse_record(page_records()[1]).signature
    assert format_armoured(PUBLIC_KEY, ENTRY_NAMESPACE, signature) == page_signature()


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_ssh_keygen_accepts_the_page_s_signature(tmp_path: Path) -> None:
    """Stock OpenSSH verifies the entry's bytes with the page's signature, and no other bytes."""
    signers, signature = tmp_path / "signers", tmp_path / "signature"
    signers.write_text(f'example namespaces="ledger-entry" {format_public_key(PUBLIC_KEY)}\n')
    signature.write_text(page_signature())
    command = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "example", "-n", "ledger-entry", "-s", signature]
    entry_bytes = parse_record(page_records()[1]).entry_bytes
    assert subprocess.run(command, input=entry_bytes, capture_output=True, check=False).returncode == 0
    assert subprocess.run(command, input=entry_bytes + b"\n", capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("index", [0, 1], ids=["genesis", "prompt"])
def test_every_flipped_bit_of_the_example_shows(index: int) -> None:
    """A reader of the page can flip any bit: the record is refused, or its signature is."""
    record = page_records()[index]
    for place in range(len(record)):
        for bit in range(8):
            changed = bytearray(record)
            changed[place] ^= 1 << bit
            with pytest.raises((FormatError, TrustError)):
                _, entry_bytes, signature = parse_record(bytes(changed))
                check_sshsig(PUBLIC_KEY, ENTRY_NAMESPACE, entry_bytes, signature)


def test_every_truncation_of_the_example_is_refused() -> None:
    """No proper beginning of a record is one."""
    for record in page_records():
        for size in range(len(record)):
            with pytest.raises(FormatError):
                parse_record(record[:size])


def test_the_page_names_what_the_code_knows() -> None:
    """Kinds, sources and actor types are the same in the code and on the page."""
    section = PAGE.partition("## 4. Kinds and bodies")[2].partition("## 5. ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {kind for row in rows for kind in re.findall(r"`([a-z]+\.[a-z]+)`", row)} == KINDS
    members = dict(re.findall(r"^\| `(source|actor)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert set(re.findall(r"`([a-z]+)`", members["source"])) == SOURCES
    types = members["actor"].partition("type is ")[2].partition(";")[0]
    assert set(re.findall(r"`([a-z]+)`", types)) == ACTOR_TYPES


def test_the_page_s_shape_of_a_record_is_json() -> None:
    """The records on the page are canonical JSON with two members."""
    assert [sorted(parse_canonical(record)) for record in page_records()] == [["entry", "sig"]] * 2
