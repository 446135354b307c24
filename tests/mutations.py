"""What each precaution of zapz is good for: a table of those that are taken away, and of the tests that must notice.

Every entry names a piece of text that occurs once in a file of ``src/zapz``, what it becomes, what is lost with it, and the narrowest
selection of tests that fails then. ``test_mutations`` carries them out. An entry whose text is no longer there fails: mend it with the code.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """A precaution, taken away."""

    file: str
    """Below ``src/zapz``."""
    text: str
    instead: str
    lost: str
    """What is taken away, in a few words of its own."""
    found_by: str
    """Node id below ``tests``."""


def power(story: str) -> str:
    """Return the test that lets the power fail everywhere in a story."""
    return f"test_power_loss.py::test_power_fails_by_the_thousand[{story}]"


def power_recovered(story: str) -> str:
    """Return the test that lets it fail everywhere in recoveries from a story."""
    return f"test_power_loss.py::test_power_fails_in_recovery_by_the_thousand[{story}]"


def missing(name: str) -> str:
    """Return a test that was written because the others did not notice."""
    return f"test_missing_faults.py::test_{name}"


def missing_remote(name: str) -> str:
    """Return one about object services."""
    return f"test_missing_remote_faults.py::test_{name}"


JOURNAL_LOST = "test_power_loss.py::test_power_fails_in_recovery_from_an_unsynced_journal"
KEPT = "test_power_loss.py::test_power_fails_while_files_are_kept"
DURABLE = "test_durability.py::test_everything_is_durable_before_the_decision"
DURABLE_FOLDERS = "test_durability.py::test_folders_of_documents_without_chunks_are_durable_before_the_decision"
DURABLE_JOURNAL = "test_durability.py::test_journal_is_durable_before_the_first_chunk"
DURABLE_RENAMES = "test_durability.py::test_renames_are_durable_before_staged_names_go"
SYNCFS_ERROR = "test_durability.py::test_syncfs_reports_its_error"
SYNCFS_TRUSTED = "test_durability.py::test_syncfs_is_trusted_on_local_file_systems_only"
CRASH = "test_every_fault.py::test_crash_after_every_change_of_a_small_append"
FAILS = "test_every_fault.py::test_every_operation_of_a_small_append_fails"
KILLED = "test_crashes.py::test_killed_at_every_operation"
NO_LINKS = "test_crashes.py::test_killed_where_no_link_can_be_made[EOPNOTSUPP]"
STALLED = "test_turns.py::test_one_that_stalls_and_one_that_takes_over"
THREE = "test_turns.py::test_three_writers"
EVERY_TWO = "test_turns.py::test_every_interleaving_of_two"
TURN_UP = "test_transactions.py::test_keys_that_turn_up"
LINK_OUT = "test_transactions.py::test_linked_folder_that_leads_out"
LOST_DECISION = "test_transactions.py::test_lost_answer_of_the_decision"
OTHER_TOOL_ANYWHERE = "test_every_fault.py::test_another_tool_between_every_crash_and_recovery[document-v2]"
OTHER_TOOL_REMOTE = missing_remote("other_tool_changes_a_document[decision-x/.zarray]")
OTHER_TOOL = "test_transactions.py::test_other_tool"

DISK, LOCAL, LOCKS, LEASED, FLOCK = (
    f"storage/{name}.py" for name in ("durability", "local", "locks", "leased", "flock")
)
TRANSACTION, RECOVER, JOURNAL, SESSIONS = (
    f"txn/{name}.py" for name in ("transaction", "recover", "journal", "sessions")
)
FENCED, TURNS, LEASE, HEAD, VACUUM = (f"txn/{name}.py" for name in ("fenced", "turns", "lease", "head", "vacuuming"))
OBJECTS, PROBING, ANSWERS, OBJECT_LOCK = (
    f"storage/{name}.py" for name in ("objects", "probing", "answers", "object_lock")
)

# fmt: off
SYNCS = (
    Mutation(DISK, "        for path in paths:\n            sync_path(path)\n", "", "files are synced", DURABLE),
    Mutation(DISK, "            sync_path(path)\n        self._sync_folders(folders)", "            sync_path(path)", "with files, folders are synced", DURABLE),
    Mutation(DISK, "            self._sync_folders(folders)", "            pass", "folders alone are synced", DURABLE_RENAMES),
    Mutation(DISK, "while folder and folder in self.made:", "while False:", "folders above a new one are synced", DURABLE),
    Mutation(DISK, 'if "" in folders and "" in self.made:', "if False:", "the name of the target is synced", DURABLE),
    Mutation(DISK, "    os.fsync(descriptor)", "    pass", "fsync is called", DURABLE),
    Mutation(DISK, "if _FULL_SYNC is not None:", "if False:", "the drive's cache is flushed on macOS", missing("full_sync")),
    Mutation(DISK, "if _syncfs()(self._descriptor) != 0:", "if _syncfs()(self._descriptor) is None:", "an error of syncfs is noticed", SYNCFS_ERROR),
    Mutation(DISK, "if _syncfs()(self._descriptor) != 0:", "if False:", "syncfs is called", power("syncfs")),
    Mutation(DISK, 'if any(self._device(folder) != self._device("") for folder in folders):', "if False:", "syncfs is not for other devices", missing("syncfs_of_another_device")),
    Mutation(DISK, "in _TRUSTED:", "is not None:", "syncfs is trusted on some file systems only", SYNCFS_TRUSTED),
    Mutation(DISK, "< _FIRST_KERNEL:", "< (0,):", "syncfs is not trusted on old kernels", missing("syncfs_of_an_old_kernel")),
    Mutation(LOCAL, "        self._syncer.files([temporary])\n        self._rename", "        self._rename", "a replaced file is synced before its rename", power("foreign")),
    Mutation(LOCAL, "        self._syncer.folders([key])\n", "", "the decision's name is synced", power("misaligned-v2")),
    Mutation(LOCAL, "            self._syncer.files([temporary])\n            self._rename", "            self._rename", "without links, the decision is synced before its rename", power("no-links")),
    Mutation(LOCAL, "        self._syncer.files([aside])\n        return False", "        return False", "copies made before the decision are synced", power("no-links")),
    Mutation(LOCAL, "            self._syncer.files([aside])\n        try:", "        try:", "copies made by a recovery are synced", power_recovered("no-links")),
    Mutation(LOCAL, "self._syncer.made.add(path)", "pass", "a new folder is remembered for syncing its name", power("new-nested")),
    Mutation(LOCAL, 'self._syncer.made.add("")  # somebody', "pass  # somebody", "an empty target's name is synced", power("new-in-fresh-folder")),
    Mutation(LOCAL, '        self._syncer.made.add("")\n        return True', "        return True", "a new target's name is synced", power("new-v2")),
    Mutation(LOCAL, "self._syncer.made.add(parent(key))  # perhaps", "pass  # perhaps", "the name of the lock's folder is synced", DURABLE_JOURNAL),
    Mutation(LOCAL, "self._syncer.files(keys, naming)", "self._syncer.files(keys)", "folders that documents go to are synced", DURABLE_FOLDERS),
    Mutation(TRANSACTION, "        store.sync([key])\n", "", "the journal is synced", DURABLE_JOURNAL),
    Mutation(TRANSACTION, "self._store.sync([*self._written(), ballot], naming=self._names)", "self._store.sync([ballot])", "chunks and staged files are synced before the decision", DURABLE),
    Mutation(TRANSACTION, "sync([*self._written(), ballot]", "sync([*self._written()]", "the ballot is synced before it is cast", power("misaligned-v2")),
    Mutation(TRANSACTION, "], naming=self._names)", "])", "folders without chunks are synced", DURABLE_FOLDERS),
    Mutation(TRANSACTION, "        yield from self._created.keys()\n", "", "new chunks are synced", DURABLE),
    Mutation(RECOVER, "    if not checked:\n        store.sync_folders(", "    if False:\n        store.sync_folders(", "a decision that was read is synced", missing("power_fails_in_recovery_from_an_unsynced_decision")),
    Mutation(RECOVER, "    store.sync_folders(applied)\n", "", "renames are synced before staged names go", DURABLE_RENAMES),
    Mutation(RECOVER, "    store.sync([join(KEPT", "    list([join(KEPT", "what is kept is synced", KEPT),
    Mutation(RECOVER, "        store.sync([journal_key(intent.id)])  # nothing", "        # nothing", "a journal that is undone is synced", JOURNAL_LOST),
    Mutation(RECOVER, 'store.sync([write_ballot(store, intent, "abort")])', 'write_ballot(store, intent, "abort")', "a ballot against is synced", power_recovered("new-v2")),
    Mutation(RECOVER, 'store.sync_folders([join(folder, ".")', 'list([join(folder, ".")', "removals are synced before the journal goes", power("refused")),
)

LOCAL_STORAGE = (
    Mutation(LOCAL, "os.O_EXCL | ", "", "chunks are created exclusively", TURN_UP),
    Mutation(LOCAL, "            with contextlib.suppress(OSError):\n                os.unlink(path)\n", "            pass\n", "a chunk that was cut short is removed", FAILS),
    Mutation(LOCAL, "if error.errno in _LOST and self.size(key) == 0:", "if False:", "a file whose creation got lost is removed", FAILS),
    Mutation(LOCAL, "            link(self._at(staged), path)", "            os.replace(self._at(staged), path)", "the decision is exclusive", missing("decision_is_exclusive")),
    Mutation(LOCAL, "if self._lstat(key) is not None:", "if False:", "without links, the decision is exclusive", missing("decision_is_exclusive")),
    Mutation(LOCAL, "the name aside is still there.\n        self.remove(aside)", "the name aside is still there.", "a second name that rename left is removed", CRASH),
    Mutation(LOCAL, "second_name(self._at(staged), self._at(aside)) and not same_content(self._at(staged), self._at(aside)):", "second_name(self._at(staged), self._at(aside)):", "a copy that was reserved is used", missing("space_is_reserved")),
    Mutation(LOCAL, "            os.rmdir(path)", '            __import__("shutil").rmtree(path)', "folders are removed only if they are empty", missing("folder_with_a_file_of_somebody")),
    Mutation(LOCAL, "if not self._follow_links and os.path.islink(self._at(path)):", "if False:", "folders that are links are refused", "test_transactions.py::test_linked_chunk_folder_that_leads_out"),
    Mutation(LOCAL, "return os.lstat(self._at(key))", "return os.stat(self._at(key))", "a dangling link counts as existing", "test_transactions.py::test_linked_chunk_is_replaced"),
    Mutation(LOCKS, "            _remove(path)\n        finally:\n            os.close(descriptor)", "            os.close(descriptor)\n        finally:\n            _remove(path)", "the lock file goes while it is held", missing("lock_file_goes_while_it_is_held")),
    Mutation(LOCAL, "        self.remove(aside)\n        self.create(aside", "        self.create(aside", "a torn copy is made anew", missing("copy_that_was_cut_short")),
    Mutation(FLOCK, "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB", "the lock is exclusive", "test_locks.py::test_held_lock"),
    Mutation(FLOCK, "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "", "the lock is taken", "test_locks.py::test_held_lock"),
    Mutation(FLOCK, "        if not same_file(descriptor, path):", "        if False:", "a locked file that is no longer there is not the lock", missing("lock_on_a_removed_file")),
    Mutation(FLOCK, "if b'\"lease\"' in before and not is_dead(holder_of(before)):", "if False:", "a lock with a lease is respected by who has flock", "test_leased_locks.py::test_flock_leaves_a_leased_lock_alone"),
    Mutation(LOCKS, "    if not is_networked(root):\n        with", "    if True:\n        with", "flock is not relied on behind a network", "test_leased_locks.py::test_a_lease_that_runs_out_is_taken_over"),
    Mutation(LEASED, "clock.now() - self._fresh > LEASE / 2:", "False:", "a leased lock's owner stops itself", missing("lock_with_a_lease_that_is_lost")),
    Mutation(LEASED, "            if seen != watched:", "            if watched is None:", "a leased lock that is touched stays", "test_leased_locks.py::test_waiting_for_its_end"),
    Mutation(LEASED, "            if same_file(descriptor, path):\n                os.unlink(path)", "            os.unlink(path)", "only one's own leased lock is removed", missing("lock_with_a_lease_that_is_lost")),
    Mutation(TRANSACTION, "        self._store.check_lock()\n        if key", "        if key", "the lock is looked at before a chunk", missing("lock_with_a_lease_that_is_lost")),
    Mutation(TRANSACTION, "        self._store.check_lock()\n        if not cast", "        if not cast", "the lock is looked at before the decision", missing("lock_with_a_lease_that_is_lost")),
    Mutation(FLOCK, "        if os.path.islink(folder):", "        if False:", "the lock's folder is no link", LINK_OUT),
    Mutation(FLOCK, "their_start != start:", "False:", "a machine that was started anew holds nothing", missing("who_is_dead")),
    Mutation(FLOCK, "their_space != space:", "False:", "process numbers of other containers mean nothing", missing("who_is_dead")),
    Mutation(FLOCK, "held.host != os.uname().nodename or", "False or", "processes of other hosts are not judged", missing("who_is_dead")),
)

LOCAL_TRANSACTIONS = (
    Mutation(TRANSACTION, "        store.sync([key])\n        yield running\n", "        yield running\n", "the journal is synced before chunks are written", DURABLE_JOURNAL),
    Mutation(TRANSACTION, '        store.create(key, [b"".join(journal.write(intent))])\n        store.sync([key])\n        yield running\n', '        yield running\n        store.create(key, [b"".join(journal.write(intent))])\n        store.sync([key])\n', "the journal comes before chunks", CRASH),
    Mutation(TRANSACTION, '        if not cast(self._store, self._intent, "commit"):', '        for name, key in self._intent.staged():\n            self._store.install(stage_key(self._intent.id, name), key)\n        if not cast(self._store, self._intent, "commit"):', "the decision comes before what becomes visible", CRASH),
    Mutation(TRANSACTION, "        if changed:\n            raise", "        if False:\n            raise", "documents are looked at before the decision", f"{OTHER_TOOL}_during_the_append"),
    Mutation(TRANSACTION, '        if not cast(self._store, self._intent, "commit"):', '        cast(self._store, self._intent, "commit")\n        if False:', "a decision that was lost is noticed", missing("somebody_else_decides")),
    Mutation(TRANSACTION, "        self._reserve()\n", "", "space is reserved before the decision", missing("space_is_reserved")),
    Mutation(TRANSACTION, "        if unwritten:", "        if False:", "a replacement that was not written is noticed", missing("replacement_that_is_not_written")),
    Mutation(TRANSACTION, "                self._note_foreign(key)\n", "                pass\n", "a foreign key is noted", power("foreign")),
    Mutation(TRANSACTION, "            finish(self._store, self._intent)\n            raise", "            raise", "a signal during application waits", "test_crashes.py::test_signal_after_the_decision_finishes_first"),
    Mutation(TRANSACTION, "if store.abilities.durable and isinstance(error, StoreError):", "if False:", "a decision that could not be synced is not acted on", FAILS),
    Mutation(TRANSACTION, "        _undo_quietly(running, error)\n", "", "a refused append is undone", "test_transactions.py::test_refused_slice_leaves_the_target[2-chunk-5]"),
    Mutation(TRANSACTION, "        existing += store.existing(extent.all())\n", "", "stale keys are found", f"{KILLED}[stale-v2]"),
    Mutation(TRANSACTION, "for folder, there in folders.items() if there)", "for folder, there in folders.items() if not there)", "folders that were there stay", missing("folders_that_were_there")),
    Mutation(TRANSACTION, "return self._key(path, index) in self._names", "return False", "a missing chunk is written over a stale one", missing("missing_chunk_over_a_stale_one")),
    Mutation(JOURNAL, '        for number, key in enumerate(self.existing, len(self.documents) + 1):\n            yield f"{number:06d}", next((p for p in paths if not p or key.startswith(f"{p}/")), parent(key)), key\n        for number, document in enumerate(self.documents, 1):\n            yield f"{number:06d}", parent(document.key), document.key\n', '        for number, document in enumerate(self.documents, 1):\n            yield f"{number:06d}", parent(document.key), document.key\n        for number, key in enumerate(self.existing, len(self.documents) + 1):\n            yield f"{number:06d}", next((p for p in paths if not p or key.startswith(f"{p}/")), parent(key)), key\n', "boundary chunks come before documents", missing("order_of_documents")),
    Mutation(JOURNAL, "for number, document in enumerate(self.documents, 1):\n            yield", "for number, document in reversed(list(enumerate(self.documents, 1))):\n            yield", "consolidated metadata come last", missing("order_of_documents")),
    Mutation(RECOVER, '            elif decision == "commit":', "            elif False:", "what was decided is finished", missing("recovery_says_what_it_did")),
    Mutation(RECOVER, "not in {base, ours.get(key, base)}]", "is False]", "recovery looks at documents before it applies", f"{OTHER_TOOL}_after_the_decision"),
    Mutation(RECOVER, "if path in theirs or (theirs and (not path or not begun)):", "if False:", "documents of others are left alone", f"{OTHER_TOOL}_after_the_decision"),
    Mutation(RECOVER, "if path in theirs or (theirs and (not path or not begun)):", "if path in theirs:", "a root that would tell of others' documents is left alone", OTHER_TOOL_ANYWHERE),
    Mutation(RECOVER, "if not checked and store.size(staged) is None:", "if False:", "a clean-up that was cut short is finished", power("misaligned-v2")),
    Mutation(RECOVER, "    _keep(store, intent)\n", "    clean(store, intent.id)\n", "what cannot be applied is kept", KEPT),
    Mutation(RECOVER, "is None:  # left by an earlier recovery", "is False:  # left by an earlier recovery", "a torn ballot is written anew", power_recovered("new-v2")),
    Mutation(RECOVER, '        cast(store, intent, "abort")\n', "", "what is undone is decided against", missing("recovery_says_what_it_did")),
    Mutation(RECOVER, '    if read_decision(store, intent.id) == "commit":\n        finish', "    if False:\n        finish", "undoing looks whether it was decided", missing("undo_finds_a_decision")),
    Mutation(RECOVER, "        store.remove(aside_of(stage_key(intent.id, name), key))\n    changed", "        pass\n    changed", "copies beside documents are removed", NO_LINKS),
    Mutation(RECOVER, "    changed = changed_documents(store, intent)\n", "    changed = []\n", "recovery looks at documents before it removes", f"{OTHER_TOOL}_between_crash_and_recovery"),
    Mutation(RECOVER, "if changed and created is None and _all_ours(store, intent):", "if False:", "a journal that a power failure brought back is dropped", power("two-calls")),
    Mutation(RECOVER, "sorted(folders - set(intent.folders), key", "sorted(folders, key", "folders of others are not removed", missing("folders_that_were_there")),
    Mutation(RECOVER, "kept = {*intent.existing, *intent.foreign}", "kept = {*intent.foreign}", "keys that existed are not removed", CRASH),
    Mutation(RECOVER, "kept = {*intent.existing, *intent.foreign}", "kept = {*intent.existing}", "keys of others are not removed", power("foreign")),
    Mutation(RECOVER, "(created is None or created.holds(extent.path, index))", "True", "only what was created is removed", TURN_UP),
    Mutation(RECOVER, "if any(store.linked(f) for f in above - folders):", "if False:", "nothing is removed behind a link", "test_journal.py::test_array_folder_that_became_a_link"),
    Mutation(RECOVER, "    store.remove(journal_key(transaction))\n    try:", "    try:", "the journal goes first", missing("journal_goes_first")),
    Mutation(RECOVER, '.files != ("journal",):', ".files == ():", "a damaged end of a journal is noticed", "test_journal.py::test_damaged_end_of_a_journal_that_was_acted_on"),
    Mutation(RECOVER, "if intent is not None and intent.id != transaction:", "if False:", "a journal belongs to its folder", "test_journal.py::test_journal_in_another_transactions_folder"),
    Mutation(RECOVER, "        refuse_link(store, folder_of(name))\n", "        pass\n", "journals are not looked for behind links", "test_journal.py::test_linked_journal_folders"),
    Mutation(SESSIONS, "recover(self._store).joined(renewal.settle(self._store))", "renewal.settle(self._store)", "a turn begins with recovery", CRASH),
    Mutation(SESSIONS, "        for remaining in range(_RETRIES, -1, -1):\n", "        recover(self._store)\n        for remaining in range(_RETRIES, -1, -1):\n", "recovery comes after the lock", missing("nothing_happens_before_the_lock")),
    Mutation(SESSIONS, "        _refuse_elsewhere(self._store)\n        self.recovered", "        self.recovered", "a journal elsewhere is refused", missing("journal_elsewhere")),
    Mutation("appender.py", "        with open_session(self.store, self.config.lock_wait, remember=self.config.register) as session:\n", "        early = self._look()\n        self._look = lambda session: early\n        with open_session(self.store, self.config.lock_wait, remember=self.config.register) as session:\n", "the lock comes before reading", "test_locks.py::test_race_with_waiting"),
)

OBJECT_TURNS = (
    Mutation(FENCED, "    outcome, documents = decide_against(store, intent)\n    if outcome is None:\n        return Recovery()\n", "    outcome, documents = read_decided(store, intent.id)\n", "a takeover decides", STALLED),
    Mutation(FENCED, '    store.replace(decision_key(intent.id), journal.decision(intent.id, "abort", now=time.time()), None)\n', '    store.write(decision_key(intent.id), [journal.decision(intent.id, "abort", now=time.time())])\n', "a decision against is exclusive", STALLED),
    Mutation(FENCED, "store.replace(HEAD, heads.encode(head.free()), tag)", "store.write(HEAD, [heads.encode(head.free())])", "a head that is settled is freed on its tag", missing_remote("head_that_has_moved_on")),
    Mutation(FENCED, "        if digest(found) != intent.base.get(key):\n            raise overtaken", "        if False:\n            raise overtaken", "documents are looked at before they are applied", missing_remote("other_tool_changes_a_document_of_a_crashed_append")),
    Mutation(FENCED, "        if found == data:\n            continue\n", "", "documents that are applied already count", missing_remote("append_that_became_visible_in_part")),
    Mutation(FENCED, "store.replace_many([(key, documents[key], tags[key]) for key in nested])", '[store.write(key, [documents[key]]) or "" for key in nested]', "documents of arrays are replaced on their tags", OTHER_TOOL_REMOTE),
    Mutation(FENCED, "        if tag is None:\n            raise overtaken", "        if False:\n            raise overtaken", "a document that was not replaced is noticed", OTHER_TOOL_REMOTE),
    Mutation(FENCED, 'if "/" not in key and store.replace(key, data, tags[key]) is None:', 'if "/" not in key and store.write(key, [data]) is False:', "the root's documents are replaced on their tags", missing_remote("fences_alone")),
    Mutation(FENCED, 'nested = [key for key in documents if "/" in key]', 'nested = [key for key in reversed(documents) if "zarr" not in key[:3]]', "the root's documents come last", missing_remote("order_of_requests")),
    Mutation(FENCED, "if watched is None or watched[0] != tag:", "if watched is None:", "an owner that renews keeps its turn", missing_remote("owner_that_renews_is_left_alone")),
    Mutation(FENCED, "quiet = now - watched[1] >= head.lease or", "quiet = now - watched[1] >= 0 or", "a whole lease is waited for", missing_remote("living_owner_is_left_alone")),
    Mutation(FENCED, "dead = head.left or is_dead(head.owner)", "dead = True", "an owner counts as dead only if it is", missing_remote("living_owner_is_left_alone")),
    Mutation(FENCED, "dead = head.left or is_dead(head.owner)", "dead = head.left", "an owner of this machine that is dead is not waited for", missing_remote("takeover")),
    Mutation(FENCED, "    if head.left or (head.owner is not None and is_dead(head.owner)):\n        return True\n", "", "recovery does not wait for who is dead", missing_remote("takeover")),
    Mutation(FENCED, "rest=0.0 if dead else head.lease", "rest=0.0", "late requests of who was taken over are reckoned with", missing_remote("takeover")),
    Mutation(FENCED, "> _LONG_AGO + 10 * head.lease", "> 0", "clocks of other machines may be wrong", missing_remote("living_owner_is_left_alone")),
    Mutation(FENCED, "if store.largest is not None and not packed and target.chunk_bytes > store.largest:", "if False:", "chunks too large are refused first", missing_remote("chunks_too_large_for_one_request")),
    Mutation(FENCED, "        return True\n\n    def put(", "        return False\n\n    def put(", "a missing chunk is written out", missing_remote("missing_chunk_is_written_out")),
    Mutation(FENCED, "        self._lease.check()\n        self.touched = True\n", "        self.touched = True\n", "the lease is looked at before a chunk", missing_remote("lease_ends_before_a_request")),
    Mutation(FENCED, "        self.touched = True\n", "", "chunks that were written are remembered", missing_remote("what_a_refused_append_has_written_is_remembered")),
    Mutation(FENCED, "        if self._store.replace(key, data, tag, mine=read) is not None:\n            return len(data)\n        if not read:", "        if self._store.write(key, [data]) is None:\n            return len(data)\n        if not read:", "chunks are replaced on their tags, or created", STALLED),
    Mutation(FENCED, "        if not read:  # a stale", "        if True:  # a stale", "a boundary chunk is replaced on the tag of its reading only", missing_remote("boundary_chunk_that_somebody_writes")),
    Mutation(FENCED, "                confirm(self._store, self.intent, self._lease)\n", "", "whose turn it is, is looked at before a stale chunk is replaced", missing_remote("lease_ends_before_a_stale_chunk_is_replaced")),
    Mutation(FENCED, 'hint="Run the append again.")\n    lease.check()\n', 'hint="Run the append again.")\n', "the lease is looked at before a stale chunk is replaced", missing_remote("lease_ends_before_a_stale_chunk_is_replaced")),
    Mutation(FENCED, "            if digest(found) != self.intent.base.get(key):", "            if False:", "documents are looked at before the decision", missing_remote("other_tool_changes_a_document[x/2-x/.zarray]")),
    Mutation(FENCED, "        self._lease.check()\n        data = journal.decision", "        data = journal.decision", "the lease is looked at before the decision", missing_remote("lease_ends_before_a_request")),
    Mutation(FENCED, "        except ConflictError:\n            apply(self._store, self.intent, plan.documents)  # unless", "        except ConflictError:\n            raise  # unless", "somebody else may have applied it", missing_remote("document_that_is_written_anew_as_it_was")),
    Mutation(FENCED, "            apply(self._store, self.intent, plan.documents)\n            raise", "            raise", "a signal during application waits", missing_remote("signal_during_application")),
    Mutation(TURNS, "tag = self._store.replace(HEAD, heads.encode(head), self._tag)", "tag = self._store.write(HEAD, [heads.encode(head)]) or self._store.tag(HEAD)", "the head is taken on its tag", missing_remote("head_that_moved_before_it_was_taken")),
    Mutation(TURNS, "        reading.note_many(key for array in plan.arrays.values() for key in array.boundary_keys())\n", "", "tags of boundary chunks are noted before the intent", missing_remote("fences_alone")),
    Mutation(TURNS, "stack.enter_context(object_lock.hold(store, LOCK, self._wait))", "pass", "where no lease is safe there is a lock", missing_remote("lock_where_nothing_is_replaced_on_conditions")),
    Mutation(TURNS, "moved = held.move(Head.leave if self._unsettled else Head.free)", "moved = True", "the head is freed", missing_remote("order_of_requests")),
    Mutation(TURNS, "        held.stop()\n        self._lease = None\n", "        held.stop()\n        self._lease = None\n        for name in self._done:\n            self._store.remove(decision_key(name))\n", "the decision goes after the head is free", missing_remote("order_of_requests")),
    Mutation(TURNS, "Head.leave if self._unsettled else Head.free", "(lambda head: head) if self._unsettled else Head.free", "who has given up says so", missing_remote("owner_that_has_given_up")),
    Mutation(TURNS, "        self._rest(intent.extents)\n", "", "keys of who was taken over are left for a while", missing_remote("takeover")),
    Mutation(TURNS, "outcome, documents = fenced.decide_against(self._store, running.intent)", 'outcome, documents = "abort", {}', "giving up decides, and finds what is decided", missing_remote("decision_whose_answer_is_lost")),
    Mutation(TURNS, "head.aborted(time.time(), rest) if running.touched else head", "head", "a refused append's keys are remembered", missing_remote("what_a_refused_append_has_written_is_remembered")),
    Mutation(LEASE, "limit = self._head.lease / 2", "limit = self._head.lease", "an owner stops at half its lease", missing_remote("lease_ends_before_a_request")),
    Mutation(LEASE, '                self._lost = "another process has taken over"\n', "", "a renewal that was refused ends the lease", missing_remote("renewals")),
    Mutation(LEASE, "self._head, self._tag, self._fresh = head, tag, started", "self._head, self._tag, self._fresh = head, tag, time.monotonic()", "a renewal counts from when it was sent", missing_remote("renewals")),
    Mutation(HEAD, "return Head(epoch=self.epoch + 1, dirty=self.dirty, register=self.register)", "return Head(epoch=self.epoch + 1, register=self.register)", "a free head remembers what was aborted", missing_remote("what_a_refused_append_has_written_is_remembered")),
    Mutation(HEAD, "if not (c <= a and b <= d)\n", "if not (c < b and a < d)\n", "what was written over in part stays remembered", missing_remote("what_a_refused_append_has_written_is_remembered")),
    Mutation(HEAD, "for (a, b), (c, d) in zip(dirty.spans, planned.spans, strict=True)\n    )", "for (a, b), (c, d) in zip(dirty.spans, planned.spans, strict=True)\n    ) and False", "keys that are shared are found", missing_remote("takeover")),
)

OBJECT_STORAGE = (
    Mutation(OBJECTS, "return tag if here == data else None", "return tag", "what lies there is compared", STALLED),
    Mutation(OBJECTS, "return tag if here == data else None", "return None", "a lost answer is no refusal", missing_remote("any_answer_is_lost")),
    Mutation(OBJECTS, "            return self._backend.put_new(path, data)", "            return self._backend.put(path, data)", "creation is exclusive", STALLED),
    Mutation(OBJECTS, "            return self._backend.put_over(path, data, tag)", "            return self._backend.put(path, data)", "replacement is conditional", STALLED),
    Mutation(OBJECTS, "if self._noted.setdefault(key, tag) != tag:", "if self._noted.setdefault(key, tag) is None:", "a chunk that changes while it is read is noticed", missing_remote("chunk_that_changes_while_it_is_read")),
    Mutation(OBJECTS, "        if not self.abilities.writable:", "        if False:", "services without exclusive creation are refused", missing_remote("target_that_cannot_be_written_safely")),
    Mutation(PROBING, 'exclusive = _refuses(lambda: backend.put_new(path, b"2"))', "exclusive = True", "whether creation is exclusive is tried", missing_remote("probing")),
    Mutation(PROBING, 'if not _refuses(lambda: backend.put_over(path, b"3", _NO_SUCH_TAG)):', "if False:", "whether a wrong tag is refused is tried", missing_remote("probing")),
    Mutation(PROBING, 'return not _refuses(lambda: backend.put_over(path, b"4", tag)) or _holds(backend, path, b"4")', "return True", "whether the right tag is taken is tried", missing_remote("probing")),
    Mutation(PROBING, "            backend.delete(path)", "            pass", "what was tried is removed", missing_remote("probing")),
    Mutation(ANSWERS, "_AGAIN_STATUS = frozenset((408, 409,", "_AGAIN_STATUS = frozenset((408,", "a conflict is no verdict", missing_remote("what_a_status_means")),
    Mutation(OBJECT_LOCK, "while store.create(key, [mine]) is None:", "while store.write(key, [mine]):", "a lock that is an object is exclusive", missing_remote("lock_where_nothing_is_replaced_on_conditions")),
    Mutation(OBJECT_LOCK, "            if store.read(key) == mine:", "            if True:", "only one's own lock is removed", missing_remote("lock_where_nothing_is_replaced_on_conditions")),
    Mutation(OBJECT_LOCK, "if is_dead(holder_of(content)):", "if True:", "only a dead process's lock is broken", missing_remote("lock_where_nothing_is_replaced_on_conditions")),
    Mutation(OBJECT_LOCK, "if is_dead(holder_of(content)):", "if False:", "a dead process's lock is broken", missing_remote("lock_where_nothing_is_replaced_on_conditions")),
    Mutation(VACUUM, "if array is not None and all(i < n for i, n in zip(index, array.grid.counts, strict=True)):", "if False:", "chunks within the shape are not vacuumed", missing_remote("vacuum_leaves_the_boundary_chunk")),
    Mutation(VACUUM, "array.keys != extent.keys or", "False or", "keys of another array are not vacuumed", missing_remote("vacuum_of_an_array_that_was_made_anew")),
    Mutation(VACUUM, "    if young > 0:", "    if False:", "vacuum waits for late requests", missing_remote("vacuum_waits_for_late_requests")),
    Mutation(VACUUM, "time.time() - made > _HOUR", "True", "young decisions are kept", missing_remote("vacuum_waits_for_late_requests")),
    Mutation(VACUUM, "            check()\n            store.remove(key)\n", "            store.remove(key)\n", "vacuum looks at its lease before each removal", missing_remote("lease_ends_before_a_removal")),
)
# fmt: on

MUTATIONS = (*SYNCS, *LOCAL_STORAGE, *LOCAL_TRANSACTIONS, *OBJECT_TURNS, *OBJECT_STORAGE)
