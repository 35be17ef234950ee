"""Opening logs: the genesis, the clone map, and what happens to clones that moved, were copied or were restored."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from typing import Any, NamedTuple

from ledger import __version__
from ledger.core import sshsig
from ledger.core.entry import GENESIS_PREV, VERSION, Entry, format_entry, format_record, hash_record, log_id
from ledger.core.trailer import Head
from ledger.errors import StoreError
from ledger.recording.heads import note_head
from ledger.recording.writer import RECORDER, format_at, now_ms
from ledger.repo.commits import object_format, root_commits
from ledger.repo.gitdir import GitDir
from ledger.store import keys
from ledger.store import state as places
from ledger.store.journal import Journal, create_journal
from ledger.store.lock import Lock
from ledger.store.reader import JournalReader


class Begun(NamedTuple):
    """What `begin_log` did. `created` is false where the log was there already."""

    log: str
    created: bool
    key_storage: str
    fingerprint: str
    predecessor: str | None


def begin_log(repo: GitDir, state: str, *, key: str | None = None, settings: Mapping[str, Any] | None = None) -> Begun:
    """Return this clone's log, opening one where there is none; make the key that it needs.

    `key` is `file`, `ssh-agent` or `ssh-agent:SHA256:…` and only counts for a new log. A moved clone keeps its log; a copied or
    restored one opens its own, which names its predecessor; so does one whose journal is gone.
    """
    with Lock(os.path.join(state, "clones", "lock"), wait_s=30.0):
        begun = _begin(repo, state, key, settings)
        if repo.work_tree is not None:
            places.note_tree(state, repo.common_dir, repo.work_tree)
        return begun


def begin_successor(repo: GitDir, state: str, log: str) -> None:
    """Open a log for this clone that continues `log`, whose journal went back behind what its key has sealed.

    Nothing is done where another process did it already.
    """
    with Lock(os.path.join(state, "clones", "lock"), wait_s=30.0):
        clone = places.find_clone(state, repo.common_dir, repo.work_tree).clone
        if clone is None or clone.log != log:
            return
        predecessor = _head_of(state, log, repo.common_dir)
        _open(repo, state, _key_for(state, None), predecessor, clone.settings)


def _begin(repo: GitDir, state: str, key: str | None, settings: Mapping[str, Any] | None) -> Begun:
    found = places.find_clone(state, repo.common_dir, repo.work_tree)
    clone = settle(state, repo, found)
    lost = found.how == "known" and not os.path.exists(places.journal_path(state, clone.log)) if clone else False
    if clone is not None and not lost:
        if settings:
            clone = clone._replace(settings={**clone.settings, **settings})
            places.write_clone(state, clone)
        signer = keys.load_signer(state, _log_key(state, clone.log))
        return Begun(clone.log, False, signer.storage, sshsig.fingerprint(signer.public_key), None)
    name = _key_for(state, key)
    predecessor = None if found.clone is None else _head_of(state, found.clone.log, repo.common_dir)
    kept: Mapping[str, Any] = {}
    if found.clone is not None:
        # Copying a clone must not be a way out of `required`.
        kept = places.settings_of(state, found.clone.log) if found.how == "copied" else found.clone.settings
    log = _open(repo, state, name, predecessor, {**places.SETTINGS_DEFAULT, **kept, **(settings or {})})
    signer = keys.load_signer(state, name)
    return Begun(log, True, signer.storage, sshsig.fingerprint(signer.public_key), predecessor.log if predecessor else None)


def settle(state: str, repo: GitDir, found: places.Found) -> places.Clone | None:
    """Return the clone whose log a found clone goes on with, or None where it needs a log of its own.

    A moved clone's map is written at its new place before the old one is removed: a crash between leaves both, and the old
    one names a path that is no more.
    """
    if found.clone is None or found.how in ("copied", "replaced"):
        return None
    if found.how == "moved":
        moved = found.clone._replace(common_dir=repo.common_dir)
        places.write_clone(state, moved)
        try:
            _rehome(state, moved.log, found.clone.common_dir, repo.common_dir)
        except StoreError:
            pass  # what was not seen before the move is not found then; recording goes on, or says itself why not
        places.remove_clone(state, found.clone.common_dir)
        return moved
    return found.clone


def _open(repo: GitDir, state: str, key: str, predecessor: Head | None, settings: Mapping[str, Any]) -> str:
    """Make the journal with its genesis, then the clone map. A crash between the two leaves a journal that nobody names."""
    signer = keys.load_signer(state, key)
    clone = os.urandom(16).hex()
    shape = object_format(repo)
    body: dict[str, Any] = {
        "roots": root_commits(repo),
        "object_format": shape,
        "nonce": os.urandom(16).hex(),
        "public_key": sshsig.format_public_key(signer.public_key),
        "key_storage": signer.storage,
        "clone": clone,
        "tool_version": __version__,
    }
    if predecessor is not None:
        body["predecessor"] = predecessor._asdict()
    at = format_at(now_ms())
    genesis = Entry(VERSION, "", 0, GENESIS_PREV, sshsig.fingerprint(signer.public_key), at, "log.opened", "cli", RECORDER, body)
    entry_bytes = format_entry(genesis)
    record = format_record(entry_bytes, signer.sign(sshsig.ENTRY_NAMESPACE, entry_bytes))
    log = log_id(entry_bytes)
    create_journal(state, log, record, {"key": key, "object_format": shape})
    with closing(Journal(state, log)) as journal, journal:
        for tree in (repo, *_other_trees(repo)):
            note_head(journal, tree)  # commits from now on are looked for, also those before the first event
    inode = os.stat(repo.common_dir).st_ino
    places.write_clone(state, places.Clone(log, clone, repo.common_dir, inode, os.uname().nodename, settings))
    try:
        places.write_head_file(repo.common_dir, Head(log, 0, hash_record(record)))  # not through a link, so it goes first
        places.make_folder(places.git_spool_dir(repo.common_dir))
    except StoreError:
        pass  # both are hints and conveniences, in a place where an agent can write; the log is there
    return log


def _other_trees(repo: GitDir) -> list[GitDir]:
    """Return the clone's main work tree and the linked ones (gitrepository-layout(5)) without `repo`."""
    folder = os.path.join(repo.common_dir, "worktrees")
    try:
        linked = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    except OSError:
        linked = []
    return [GitDir(git_dir, repo.common_dir, None) for git_dir in (repo.common_dir, *linked) if git_dir != repo.git_dir]


def _rehome(state: str, log: str, old: str, new: str) -> None:
    """Let the working notes of a moved clone speak of its git folders where they are now."""
    columns = (("worktree", "path"), ("call", "worktree"), ("effect", "worktree"))
    with Lock(places.lock_path(state, log), wait_s=10.0), closing(Journal(state, log)) as journal, journal:
        for table, column in columns:
            sql = f"UPDATE OR REPLACE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column} || '/', 1, ?) = ?"
            journal.run(sql, (new, len(old) + 1, len(old) + 1, old + "/"))


def _key_for(state: str, wanted: str | None) -> str:
    """Return the name of the key that a new log begins with, making it where there is none yet."""
    name = keys.current_key(state)
    if name is not None and (wanted is None or wanted == keys.load_signer(state, name).storage):
        return name
    return keys.store_key(state, keys.make_key(wanted or "file"), current=True)


def _log_key(state: str, log: str) -> str:
    with JournalReader(places.journal_path(state, log)) as journal:
        return journal.meta("key") or ""


def _head_of(state: str, log: str, common_dir: str) -> Head | None:
    """Return the last known state of a predecessor: from its journal, else from the head file that was copied along."""
    try:
        with JournalReader(places.journal_path(state, log)) as journal:
            seq = journal.last_seq()
            record = journal.record(seq)
            if record is not None:
                return Head(log, seq, hash_record(record))
    except StoreError:
        pass
    return places.read_head_file(common_dir)
