"""SSHSIG: stock OpenSSH and we accept each other's signatures, and nobody's unsound keys."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import find_vectors

from ledger.core import sshsig
from ledger.core.ed25519 import check_sshsig, public_key_of, sign_sshsig
from ledger.errors import FormatError, TrustError

needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
P = 2**255 - 19


def keygen(*arguments: str | Path, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen."""
    return subprocess.run(["ssh-keygen", *arguments], input=input, capture_output=True, check=False)


def make_key(folder: Path, *options: str) -> Path:
    """Make a key with ssh-keygen and return the path of its private half."""
    path = folder / "key"
    assert keygen("-q", "-t", "ed25519", "-N", "", "-C", "", *options, "-f", path).returncode == 0
    return path


@needs_ssh_keygen
@pytest.mark.parametrize("message", [b"", b"hello ledger\n", bytes(range(256)) * 4000], ids=["empty", "short", "a megabyte"])
def test_openssh_signs_and_we_check(tmp_path: Path, message: bytes) -> None:
    """An armoured signature of ssh-keygen parses, verifies, and formats back to the same text."""
    key, file = make_key(tmp_path), tmp_path / "message"
    file.write_bytes(message)
    assert keygen("-Y", "sign", "-f", key, "-n", "ledger-entry", "-O", "hashalg=sha512", file).returncode == 0
    text = (tmp_path / "message.sig").read_text()
    parts = sshsig.parse_armoured(text)
    assert parts.public_key == sshsig.parse_public_key(key.with_suffix(".pub").read_text().strip())
    assert parts.namespace == sshsig.ENTRY_NAMESPACE
    check_sshsig(parts.public_key, parts.namespace, message, parts.signature)
    assert sshsig.format_armoured(*parts) == text
    with pytest.raises(TrustError):
        check_sshsig(parts.public_key, parts.namespace, message + b"x", parts.signature)


@needs_ssh_keygen
def test_we_sign_and_openssh_checks(tmp_path: Path) -> None:
    """ssh-keygen verifies our signature, and neither another message, namespace nor principal."""
    seed, message = os.urandom(32), b'{"actor":{"type":"unknown"}}'
    public_key = public_key_of(seed)
    signers, signature = tmp_path / "signers", tmp_path / "signature"
    signers.write_text(f'ledger-x namespaces="git,ledger-entry" {sshsig.format_public_key(public_key)}\n')
    armoured = sshsig.format_armoured(public_key, sshsig.ENTRY_NAMESPACE, sign_sshsig(seed, sshsig.ENTRY_NAMESPACE, message))
    signature.write_text(armoured)

    def verifies(data: bytes, principal: str = "ledger-x", namespace: str = "ledger-entry") -> bool:
        return keygen("-Y", "verify", "-f", signers, "-I", principal, "-n", namespace, "-s", signature, input=data).returncode == 0

    assert verifies(message)
    assert not verifies(message + b" ")
    assert not verifies(message, principal="somebody")
    assert not verifies(message, namespace="git")


@needs_ssh_keygen
def test_keys_and_fingerprints_are_openssh_s(tmp_path: Path) -> None:
    """A public key is spelled, and its fingerprint computed, as ssh-keygen does."""
    key = make_key(tmp_path)
    private = load_ssh_private_key(key.read_bytes(), None)
    assert isinstance(private, Ed25519PrivateKey)
    public_key = public_key_of(private.private_bytes_raw())
    assert sshsig.format_public_key(public_key) == key.with_suffix(".pub").read_text().strip()
    assert keygen("-l", "-f", key.with_suffix(".pub")).stdout.decode().split()[1] == sshsig.fingerprint(public_key)


@needs_ssh_keygen
def test_a_signature_of_another_key_type_is_refused(tmp_path: Path) -> None:
    """Records hold Ed25519 signatures only."""
    key, file = tmp_path / "key", tmp_path / "message"
    assert keygen("-q", "-t", "ecdsa", "-N", "", "-f", key).returncode == 0
    file.write_bytes(b"x")
    assert keygen("-Y", "sign", "-f", key, "-n", "ledger-entry", file).returncode == 0
    with pytest.raises(FormatError):
        sshsig.parse_armoured((tmp_path / "message.sig").read_text())


@settings(derandomize=True, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.text("abc-", min_size=1), st.binary(min_size=64, max_size=64))
def test_armour_and_keys_are_twins(public_key: bytes, namespace: str, signature: bytes) -> None:
    """Parsing gives back the parts, formatting the same text."""
    text = sshsig.format_armoured(public_key, namespace, signature)
    assert sshsig.parse_armoured(text) == (public_key, namespace, signature)
    assert sshsig.parse_public_key(sshsig.format_public_key(public_key)) == public_key
    assert sshsig.parse_key_blob(sshsig.format_key_blob(public_key)) == public_key


def test_signatures_are_bound_to_key_namespace_and_message() -> None:
    """Changing any of the three breaks the signature, and so does changing itself."""
    seed, other = os.urandom(32), public_key_of(os.urandom(32))
    signature, public_key = sign_sshsig(seed, "ledger-entry", b"m"), public_key_of(seed)
    check_sshsig(public_key, "ledger-entry", b"m", signature)
    for arguments in (
        (other, "ledger-entry", b"m", signature),
        (public_key, "ledger-rotation", b"m", signature),
        (public_key, "ledger-entry", b"n", signature),
        (public_key, "ledger-entry", b"m", bytes(64)),
        (public_key, "ledger-entry", b"m", signature[:63]),
        (public_key, "ledger-entry", b"m", signature + b"\0"),
        (public_key, "ledger-entry", b"m", b""),
    ):
        with pytest.raises(TrustError):
            check_sshsig(*arguments)


def armoured(blob: bytes, width: int = 70) -> str:
    """Return any blob between the armour's lines."""
    text = b64encode(blob).decode()
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    return "\n".join([sshsig.BEGIN, *lines, sshsig.END, ""])


GOOD = sshsig.format_armoured(bytes(32), "ledger-entry", bytes(64))
BLOB = b64decode("".join(GOOD.split("\n")[1:-2]))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(GOOD.rstrip("\n"), id="no newline at the end"),
        pytest.param(GOOD + "\n", id="a newline too many"),
        pytest.param(" " + GOOD, id="white space before"),
        pytest.param(GOOD.replace("\n", "\r\n"), id="carriage returns"),
        pytest.param(armoured(BLOB, 64), id="another width"),
        pytest.param(armoured(BLOB + b"\0"), id="a byte behind"),
        pytest.param(armoured(BLOB[:-1]), id="a byte short"),
        pytest.param(armoured(b""), id="empty armour"),
        pytest.param(armoured(b"SSHSIG"), id="the magic alone"),
        pytest.param(armoured(BLOB.replace(b"SSHSIG", b"SSHSIH")), id="another magic"),
        pytest.param(armoured(BLOB.replace(b"\0\0\0\1", b"\0\0\0\2", 1)), id="version 2"),
        pytest.param(armoured(BLOB.replace(b"sha512", b"sha256")), id="SHA-256"),
        pytest.param(armoured(BLOB.replace(b"ssh-ed25519", b"ssh-ed25518")), id="another key type"),
        pytest.param(armoured(BLOB.replace(b"ledger-entry", b"ledger-entr\xff")), id="a namespace that is not ASCII"),
        pytest.param(armoured(BLOB[:6] + BLOB[6:].replace(b"\0\0\0\x33", b"\xff\xff\xff\xff", 1)), id="a length beyond the end"),
        pytest.param(GOOD.replace("A", "é", 1), id="not ASCII"),
        pytest.param(sshsig.BEGIN + "\n" + sshsig.END + "\n", id="no lines"),
        pytest.param(sshsig.BEGIN, id="the first line alone"),
    ],
)
def test_other_armour_is_refused(text: str) -> None:
    """There is one spelling of an armoured signature, and junk raises FormatError and nothing else."""
    with pytest.raises(FormatError):
        sshsig.parse_armoured(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("ssh-ed25519", id="no blob"),
        pytest.param("ssh-rsa AAAA", id="another type"),
        pytest.param(sshsig.format_public_key(bytes(32)) + " me@example", id="a comment"),
        pytest.param(sshsig.format_public_key(bytes(32)) + "\n", id="a newline"),
        pytest.param(sshsig.format_public_key(bytes(32)).replace(" ", "  "), id="two spaces"),
        pytest.param(sshsig.format_public_key(bytes(31)), id="31 bytes"),
        pytest.param(sshsig.format_public_key(bytes(33)), id="33 bytes"),
        pytest.param(
            "ssh-ed25519 " + b64encode(b"\0\0\0\7ssh-rsa" + sshsig.format_key_blob(bytes(32))[15:]).decode(), id="rsa inside"
        ),
        pytest.param("ssh-ed25519 é", id="not ASCII"),
        pytest.param("sk-ssh-ed25519@openssh.com " + b64encode(bytes(51)).decode(), id="a security key"),
    ],
)
def test_other_public_keys_are_refused(text: str) -> None:
    """Anything but one plain Ed25519 key raises FormatError."""
    with pytest.raises(FormatError):
        sshsig.parse_public_key(text)


def small_order_keys() -> list[bytes]:
    """Return every 32-byte string that decodes, canonically or leniently, to a point whose order divides 8."""
    y8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
    ys = [0, 1, P - 1, P, P + 1, y8, P - y8]
    return [(y | sign << 255).to_bytes(32, "little") for y in ys for sign in (0, 1)]


def test_the_list_of_small_points_is_complete() -> None:
    """The points of order 8 satisfy what defines them: y of order 8 gives y(2Q) = 0, and all lie on the curve."""
    d = -121665 * pow(121666, -1, P) % P
    for key in small_order_keys():
        y = (int.from_bytes(key, "little") & (2**255 - 1)) % P
        x2 = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
        assert x2 == 0 or pow(x2, (P - 1) // 2, P) == 1  # on the curve
        # y(2Q) = (y² + x²) / (1 - d x² y²); doubling three times must give y = 1
        for _ in range(3):
            numerator, denominator = (y * y + x2) % P, (1 - d * x2 * y * y) % P
            y = numerator * pow(denominator, -1, P) % P
            x2 = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
        assert (x2, y) == (0, 1)


@pytest.mark.parametrize("key", small_order_keys(), ids=bytes.hex)
def test_keys_of_small_order_are_refused(key: bytes) -> None:
    """They are no identity: one signature by such a key fits many messages."""
    with pytest.raises(TrustError, match="small order"):
        sshsig.check_public_key(key)


@pytest.mark.parametrize("offset", range(2, 19))
def test_keys_beyond_the_field_are_refused(offset: int) -> None:
    """An encoding of y that is not reduced is a second name for another key."""
    for sign in (0, 1):
        with pytest.raises(TrustError, match="canonically"):
            sshsig.check_public_key((P + offset | sign << 255).to_bytes(32, "little"))


def test_sound_keys_pass() -> None:
    """The keys that we make are not refused."""
    for _ in range(64):
        sshsig.check_public_key(public_key_of(os.urandom(32)))


def test_an_unsound_key_signs_nothing() -> None:
    """Checking a signature refuses the key first: here is one that the primitive alone accepts for any message."""
    key, signature = (1).to_bytes(32, "little"), (1).to_bytes(32, "little") + bytes(32)
    Ed25519PublicKey.from_public_bytes(key).verify(signature, b"any message")
    with pytest.raises(TrustError, match="small order"):
        check_sshsig(key, "ledger-entry", b"any message", signature)


@pytest.mark.parametrize("case", range(12))
def test_speccheck(case: int) -> None:
    """Of the published edge cases, keys of small order or odd spelling are refused, whatever the primitive says."""
    vector = json.loads((find_vectors("ed25519/speccheck_cases.json")).read_text())[case]
    key = bytes.fromhex(vector["pub_key"])
    if case in (0, 1, 10, 11):
        with pytest.raises(TrustError):
            sshsig.check_public_key(key)
    else:
        sshsig.check_public_key(key)


def test_speccheck_leaves_one_known_oddity() -> None:
    """What the primitive accepts among the sound keys is case 2 (a mixed-order key, whose owner knows its secret), no other."""
    accepted = []
    for case, vector in enumerate(json.loads((find_vectors("ed25519/speccheck_cases.json")).read_text())):
        key, message, signature = (bytes.fromhex(vector[name]) for name in ("pub_key", "message", "signature"))
        try:
            sshsig.check_public_key(key)
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except (TrustError, InvalidSignature):
            continue
        accepted.append(case)
    assert set(accepted) <= {2, 3}


def test_wycheproof() -> None:
    """The primitive that `core.ed25519` uses answers every published case as it should, and its keys are sound."""
    groups = json.loads(find_vectors("ed25519/wycheproof_ed25519_test.json").read_text())["testGroups"]
    count = 0
    for group in groups:
        key = bytes.fromhex(group["publicKey"]["pk"])
        sshsig.check_public_key(key)
        for test in group["tests"]:
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
                result = "valid"
            except (InvalidSignature, ValueError):
                result = "invalid"
            assert result == test["result"], test["tcId"]
            count += 1
    assert count == 151


VECTOR_CASES = {
    "good": ("msg.a.sha512.sig", "msg.txt"),
    "empty": ("msg_empty.a.sig", "msg_empty.txt"),
    "big": ("msg_big.a.sig", "msg_big.bin"),
}


@pytest.mark.parametrize("case", VECTOR_CASES)
def test_signatures_made_by_openssh(case: str) -> None:
    """Stored SHA-512 signatures verify for their message and namespace, and for no other namespace."""
    folder = find_vectors("sshsig")
    signature, message = VECTOR_CASES[case]
    parts = sshsig.parse_armoured((folder / signature).read_text())
    data = (folder / message).read_bytes()
    check_sshsig(parts.public_key, parts.namespace, data, parts.signature)
    with pytest.raises(TrustError):
        check_sshsig(parts.public_key, "ledger-entry", data, parts.signature)
    with pytest.raises(TrustError):
        check_sshsig(parts.public_key, parts.namespace, data + b"x", parts.signature)


def test_a_signature_over_sha256_is_refused() -> None:
    """OpenSSH would accept it; records never have one, so it is not parsed (a documented deviation)."""
    with pytest.raises(FormatError, match="SHA-512"):
        sshsig.parse_armoured((find_vectors("sshsig") / "msg.a.sha256.sig").read_text())


def test_a_git_signature_is_not_an_entry_s() -> None:
    """The namespace keeps a signature made for git from being passed off as one of an entry."""
    folder = find_vectors("sshsig")
    parts = sshsig.parse_armoured((folder / "msg.a.git.sig").read_text())
    message = (folder / "msg.txt").read_bytes()
    assert parts.namespace == "git"
    check_sshsig(parts.public_key, "git", message, parts.signature)
    with pytest.raises(TrustError):
        check_sshsig(parts.public_key, "ledger-entry", message, parts.signature)


def test_another_key_s_signature_fails() -> None:
    """The stored signature of key b is not one of key a."""
    folder = find_vectors("sshsig")
    a = sshsig.parse_public_key(" ".join((folder / "key_a.pub").read_text().split()[:2]))
    parts = sshsig.parse_armoured((folder / "msg.b.sha512.sig").read_text())
    with pytest.raises(TrustError):
        check_sshsig(a, parts.namespace, (folder / "msg.txt").read_bytes(), parts.signature)
