"""Signing keys: where they rest and who signs (docs/spec/journal.md, section 4).

    <state>/keys/<64 hex digits>.key   one line, mode 0600: `file <public key> <seed>` or `ssh-agent <public key> <socket>`
    <state>/keys/current               the name of the key that new logs begin with

The name is SHA-256 of the raw public key, in hex. Public keys, seeds and socket paths are base64: loading PEM costs a hook 18 ms.
A key in an ssh-agent is signed with over its socket; then the cryptography package is not loaded at all. Other places (an OS
keyring, an agent of our own) would be further words at the head of the line.
"""

from __future__ import annotations

import hashlib
import os
from binascii import a2b_base64, b2a_base64
from typing import TYPE_CHECKING, NamedTuple

from ledger.core import sshsig
from ledger.errors import FormatError, KeyUnavailable
from ledger.store.state import make_folder, read_regular_file, write_file

_MAX_LINE = 4096


class FileSigner(NamedTuple):
    """Signs in this process with a seed from a 0600 file."""

    public_key: bytes
    seed: bytes
    storage: str = "file"

    def sign(self, namespace: str, message: bytes) -> bytes:
        """Return the 64 raw bytes of an SSHSIG over `message`."""
        from ledger.core.ed25519 import sign_sshsig  # loaded by whoever signs in process, and by nobody else

        return sign_sshsig(self.seed, namespace, message)

    def sign_message(self, message: bytes) -> bytes:
        """Return the 64 raw bytes of the signature over `message` itself, as checkpoints have it."""
        from ledger.core.ed25519 import sign_message

        return sign_message(self.seed, message)


if TYPE_CHECKING:
    from ledger.store.sshagent import AgentSigner

    # Whoever signs: the raw 32-byte `public_key`, `storage` (`file` or `ssh-agent`), `sign(namespace, message)`, `sign_message`.
    Signer = FileSigner | AgentSigner


def key_name(public_key: bytes) -> str:
    """Return the name under which a key rests."""
    return hashlib.sha256(public_key).hexdigest()


def keys_dir(state: str) -> str:
    """Return the folder of the keys."""
    return os.path.join(state, "keys")


def load_signer(state: str, name: str) -> Signer:
    """Return the signer of the key called `name`. Raises KeyUnavailable."""
    path = os.path.join(keys_dir(state), name + ".key")
    line = read_regular_file(path, _MAX_LINE)
    if line is None:
        raise KeyUnavailable(
            f"the key {path} is missing or unreadable", remedy="restore it, or begin a new one with `ledger keys rotate`"
        )
    try:
        storage, public, secret = line.decode("ascii").rstrip("\n").split(" ")
        public_key, where = a2b_base64(public, strict_mode=True), a2b_base64(secret, strict_mode=True)
    except ValueError as error:
        raise KeyUnavailable(f"the key {path} is damaged", remedy="restore it from a backup") from error
    if key_name(public_key) == name and storage == "file" and len(where) == 32:
        return FileSigner(public_key, where)
    if key_name(public_key) == name and storage == "ssh-agent":
        from ledger.store.sshagent import AgentSigner

        return AgentSigner(public_key, os.fsdecode(where))
    raise KeyUnavailable(f"the key {path} is damaged", remedy="restore it from a backup")


def store_key(state: str, signer: Signer, *, current: bool) -> str:
    """Write a key's line, and make it the one that new logs begin with if `current`; return its name."""
    sshsig.check_public_key(signer.public_key)
    make_folder(keys_dir(state))
    where = signer.seed if isinstance(signer, FileSigner) else os.fsencode(signer.socket)
    name = key_name(signer.public_key)
    words = [signer.storage, *(b2a_base64(data, newline=False).decode("ascii") for data in (signer.public_key, where))]
    line = " ".join(words) + "\n"
    write_file(os.path.join(keys_dir(state), name + ".key"), line.encode("ascii"), mode=0o600)
    public = f"{sshsig.format_public_key(signer.public_key)} git-ledger\n"
    write_file(os.path.join(keys_dir(state), name + ".pub"), public.encode("ascii"), mode=0o644)
    if current:
        write_file(os.path.join(keys_dir(state), "current"), f"{name}\n".encode("ascii"))
    return name


def find_signer(state: str, fingerprint: str) -> Signer:
    """Return the signer of the key with this OpenSSH fingerprint, among all that rest here. Raises KeyUnavailable."""
    try:
        names = sorted(name[:-4] for name in os.listdir(keys_dir(state)) if name.endswith(".key"))
    except OSError:
        names = []
    for name in names:
        try:
            signer = load_signer(state, name)
        except KeyUnavailable:
            continue
        if sshsig.fingerprint(signer.public_key) == fingerprint:
            return signer
    raise KeyUnavailable(f"the key {fingerprint} is not here", remedy="restore it from a backup")


def current_key(state: str) -> str | None:
    """Return the name of the key that new logs begin with, or None before the first `init`."""
    line = read_regular_file(os.path.join(keys_dir(state), "current"), 128)
    return None if line is None else line.decode("ascii", "replace").strip()


def make_key(where: str) -> Signer:
    """Make a key in a file (`file`), or take the one an ssh-agent holds (`ssh-agent` or `ssh-agent:SHA256:…`)."""
    if where == "file":
        from ledger.core.ed25519 import public_key_of

        seed = os.urandom(32)
        return FileSigner(public_key_of(seed), seed)
    kind, _, wanted = where.partition(":")
    if kind != "ssh-agent":
        raise FormatError(f"{where!r} is no place for a key", remedy="file, ssh-agent or ssh-agent:SHA256:…")
    socket = os.environ.get("SSH_AUTH_SOCK", "")
    if not socket:
        raise KeyUnavailable(
            "no ssh-agent: SSH_AUTH_SOCK is not set", remedy="start one and `ssh-add` an Ed25519 key, or use --key file"
        )
    from ledger.store.sshagent import AgentSigner, agent_keys

    held = [key for key in agent_keys(socket) if not wanted or sshsig.fingerprint(key) == wanted]
    if len(held) != 1:
        found = ", ".join(sshsig.fingerprint(key) for key in held) or "none"
        raise KeyUnavailable(
            f"the ssh-agent holds {len(held)} usable Ed25519 keys: {found}",
            remedy="name one: --key ssh-agent:SHA256:… (sk- keys cannot sign entries)",
        )
    return AgentSigner(held[0], os.path.abspath(socket))
