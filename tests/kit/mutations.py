"""What each precaution of zapz is good for: a table of those that are taken away, and of the tests that must notice.

Every entry names a piece of text that occurs once in a file of ``src/zapz``, what it becomes, what is lost with it, and the narrowest
selection of tests that fails then. ``test_mutations`` carries them out. An entry whose text is no longer there fails: change it with the code.
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
    return f"faults/test_power_loss.py::test_power_fails_by_the_thousand[{story}]"


def power_recovered(story: str) -> str:
    """Return the test that lets it fail everywhere in recoveries from a story."""
    return f"faults/test_power_loss.py::test_power_fails_in_recovery_by_the_thousand[{story}]"


def missing(name: str) -> str:
    """Return a test that was written because the others did not notice."""
    return f"faults/test_missing_faults.py::test_{name}"


def missing_remote(name: str) -> str:
    """Return one about object services."""
    return f"faults/test_missing_remote_faults.py::test_{name}"


def references(name: str) -> str:
    """Return one about reference sets."""
    return f"unit/storage/test_references.py::test_{name}"


def permissions(name: str) -> str:
    """Return one about permissions."""
    return f"behaviour/test_permissions.py::test_{name}"


JOURNAL_LOST = "faults/test_power_loss.py::test_power_fails_in_recovery_from_an_unsynced_journal"
KEPT = "faults/test_power_loss.py::test_power_fails_while_files_are_kept"
DURABLE = "unit/storage/test_durability.py::test_everything_is_durable_before_the_decision"
DURABLE_FOLDERS = (
    "unit/storage/test_durability.py::test_folders_of_documents_without_chunks_are_durable_before_the_decision"
)
DURABLE_JOURNAL = "unit/storage/test_durability.py::test_journal_is_durable_before_the_first_chunk"
DURABLE_RENAMES = "unit/storage/test_durability.py::test_renames_are_durable_before_staged_names_go"
SYNCFS_ERROR = "unit/storage/test_durability.py::test_syncfs_reports_its_error"
SYNCFS_TRUSTED = "unit/storage/test_durability.py::test_syncfs_is_trusted_on_local_file_systems_only"
FENCE = "faults/test_fence.py::test_a_writer_that_stands_still[appends-another one appends]"
CRASH = "faults/test_every_fault.py::test_crash_after_every_change_of_a_small_append"
FAILS = "faults/test_every_fault.py::test_every_operation_of_a_small_append_fails"
RIGHTS_CHANGE = "unit/storage/test_rights.py::test_rights_that_change_after_the_decision_count"
SHOWN = "unit/storage/test_rights.py::test_nothing_hidden_is_shown_for_an_instant"
NEW_IN_PLACE = "unit/storage/test_rights.py::test_new_target_in_place_of_a_hidden_one"
KILLED = "faults/test_crashes.py::test_killed_at_every_operation"
NO_LINKS = "faults/test_crashes.py::test_killed_where_no_link_can_be_made[EOPNOTSUPP]"
STALLED = "faults/test_turns.py::test_one_that_stalls_and_one_that_takes_over"
THREE = "faults/test_turns.py::test_three_writers"
EVERY_TWO = "faults/test_turns.py::test_every_interleaving_of_two[5-x-True-False]"
TURN_UP = "behaviour/test_transactions.py::test_keys_that_turn_up"
LINK_OUT = "behaviour/test_transactions.py::test_linked_folder_that_leads_out"
LOST_DECISION = "behaviour/test_transactions.py::test_lost_answer_of_the_decision"
OTHER_TOOL_ANYWHERE = "faults/test_every_fault.py::test_another_tool_between_every_crash_and_recovery[document-v2]"
OTHER_TOOL_REMOTE = missing_remote("other_tool_changes_a_document[decision-x/.zarray]")
OTHER_TOOL = "behaviour/test_transactions.py::test_other_tool"


def planted(name: str) -> str:
    """Return a test of what a journal is believed."""
    return f"faults/test_planted.py::test_{name}"


def cached(name: str) -> str:
    """Return a test of the cache that readers of lazy arrays share."""
    return f"unit/sources/test_shared_cache.py::test_{name}"


def blocks(name: str) -> str:
    """Return a test of lazy arrays that are computed by blocks."""
    return f"unit/sources/test_dask_blocks.py::test_{name}"


def sparse(name: str) -> str:
    """Return a test about very many chunks."""
    return f"behaviour/test_sparse.py::test_{name}"


DISK = "storage/local/durability.py"
LOCAL = "storage/local/store.py"
REPLACING = "storage/local/staging.py"
RIGHTS = "storage/local/rights.py"
EXCHANGE = "storage/local/exchange.py"
LOCKS = "storage/local/lock.py"
LEASED = "storage/local/lease_lock.py"
FLOCK = "storage/local/flock.py"
TURN = "storage/local/turn.py"
SUCCESSION = "storage/local/succession.py"
HOLDER = "storage/holder.py"
OBJECTS = "storage/objects/store.py"
PROBING = "storage/objects/capabilities.py"
ANSWERS = "storage/objects/errors.py"
OBJECT_LOCK = "storage/objects/lock.py"
REFERENCES = "storage/references/sets.py"
REFERENCE_BACKEND = "storage/references/backend.py"
GIVEN = "storage/adapters.py"
DATASET = "storage/hierarchy.py"
LOCATIONS = "storage/references/locations.py"
TRANSACTION = "txn/local/transaction.py"
INTENTS = "txn/local/intents.py"
RECOVER = "txn/local/recovery.py"
JOURNAL = "txn/journal.py"
SESSIONS = "txn/local/session.py"
BOUNDS = "txn/bounds.py"
REMAINS = "txn/local/inventory.py"
FENCED = "txn/objects/transaction.py"
SETTLING = "txn/objects/settling.py"
TURNS = "txn/objects/session.py"
LEASE = "txn/objects/lease.py"
COORDINATOR = "txn/objects/coordinator.py"
SHARED_CACHE = "sources/shared_cache.py"
DASK_BLOCKS = "sources/dask_blocks.py"
HEAD = "txn/objects/head.py"
VACUUM = "txn/objects/vacuum.py"

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
    Mutation(REPLACING, "        self._syncer.files([temporary])\n        self._rename", "        self._rename", "a replaced file is synced before its rename", power("foreign")),
    Mutation(REPLACING, "        self._syncer.folders([key])\n", "", "the decision's name is synced", power("misaligned-v2")),
    Mutation(REPLACING, "            self._syncer.files([temporary])\n            self._rename", "            self._rename", "without links, the decision is synced before its rename", power("no-links")),
    Mutation(REPLACING, "wanted)\n        self._syncer.files([aside])\n", "wanted)\n", "copies are synced", power("no-links")),
    Mutation(REPLACING, "                self._syncer.files([aside])\n        try:", "                pass\n        try:", "rights that are taken over once more are synced", RIGHTS_CHANGE),
    Mutation(LOCAL, "self._syncer.made.add(path)", "pass", "a new folder is remembered for syncing its name", power("new-nested")),
    Mutation(LOCAL, 'self._syncer.made.add("")  # another', "pass  # another", "an empty target's name is synced", power("new-in-fresh-folder")),
    Mutation(LOCAL, '        self._syncer.made.add("")\n        return True', "        return True", "a new target's name is synced", power("new-v2")),
    Mutation(LOCAL, "self._syncer.made.add(parent(key))  # perhaps", "pass  # perhaps", "the name of the lock's folder is synced", DURABLE_JOURNAL),
    Mutation(LOCAL, "self._syncer.files(keys, naming)", "self._syncer.files(keys)", "folders that documents go to are synced", DURABLE_FOLDERS),
    Mutation(TRANSACTION, "        store.sync([key])\n", "", "the journal is synced", DURABLE_JOURNAL),
    Mutation(TRANSACTION, "self._store.sync([*self._written(), ballot], naming=self._names)", "self._store.sync([ballot])", "chunks and staged files are synced before the decision", DURABLE),
    Mutation(TRANSACTION, "sync([*self._written(), ballot]", "sync([*self._written()]", "the ballot is synced before it is cast", power("misaligned-v2")),
    Mutation(TRANSACTION, "], naming=self._names)", "])", "folders without chunks are synced", DURABLE_FOLDERS),
    Mutation(TRANSACTION, "        yield from self._created.keys()\n", "", "new chunks are synced", DURABLE),
    Mutation(RECOVER, "        store.sync_folders([decision_key(intent.id)])\n    ours", "        pass\n    ours", "a decision that was read is synced", missing("power_fails_in_recovery_from_an_unsynced_decision")),
    Mutation(RECOVER, "    store.sync_folders(applied)\n", "", "renames are synced before staged names go", DURABLE_RENAMES),
    Mutation(RECOVER, "    store.sync([join(KEPT", "    list([join(KEPT", "what is kept is synced", KEPT),
    Mutation(RECOVER, "        store.sync([journal_key(intent.id)])  # nothing", "        # nothing", "a journal that is undone is synced", JOURNAL_LOST),
    Mutation(RECOVER, 'store.sync([write_ballot(store, intent, "abort")])', 'write_ballot(store, intent, "abort")', "a ballot against is synced", power_recovered("new-v2")),
    Mutation(RECOVER, 'store.sync_folders([join(folder, ".")', 'list([join(folder, ".")', "removals are synced before the journal goes", power("refused")),
)

WHO_MAY_DO_WHAT = (
    Mutation(TRANSACTION, "self._names[key]), parts, PRIVATE)", "self._names[key]), parts)", "staged files are private until they get their rights", SHOWN),
    Mutation(TRANSACTION, "            self._store.take_over(staged", "            (staged", "staged files get their rights before the decision", "unit/storage/test_rights.py::test_another_user_of_the_group_recovers"),
    Mutation(TRANSACTION, "neighbours(key, known) if key in documents else ()", "()", "new documents are as hidden as their neighbours", "unit/storage/test_rights.py::test_new_documents_tell_nobody_what_others_hide"),
    Mutation(TRANSACTION, "        store.enclose(parent(key), folders_of(intent))\n", "", "the staging folder is as hidden as the folders of the target", "unit/storage/test_rights.py::test_files_of_a_hidden_folder_are_not_staged_in_an_open_one"),
    Mutation(REPLACING, "        return self.create(key, narrowed(), PRIVATE)", "        return self.create(key, parts)", "the journal is as hidden as the documents", SHOWN),
    Mutation(REPLACING, "parts, PRIVATE if old else 0o666)", "parts)", "a file that is written anew is private until it gets its rights", "unit/storage/test_rights.py::test_a_file_that_is_written_anew_keeps_its_rights"),
    Mutation(REPLACING, "                rights.give(self._at(temporary), old)\n", "                pass\n", "a file that is written anew keeps its rights", "unit/storage/test_rights.py::test_a_file_that_is_written_anew_keeps_its_rights"),
    Mutation(REPLACING, "        wanted = self._rights_of(key) or (None if linked else rights", "        wanted = (None if linked else rights", "rights are looked at once more when a file is put in place", RIGHTS_CHANGE),
    Mutation(REPLACING, "or (None if linked else rights.rights_of(self._at(staged)))", "or None", "a copy that was cut short gets its rights", "unit/storage/test_rights.py::test_a_copy_that_was_cut_short_gets_its_rights"),
    Mutation(REPLACING, "[self.read(staged)], PRIVATE)", "[self.read(staged)])", "a copy is private until it gets its rights", SHOWN),
    Mutation(RECOVER, ", like=join(folder, name))", ")", "what is kept is as hidden as it was", "unit/storage/test_rights.py::test_what_is_kept_of_a_conflict_is_hidden"),
    Mutation(RIGHTS, "found = os.lstat(path)", "found = os.stat(path)", "rights are not taken through links", "unit/storage/test_rights.py::test_link_is_replaced_by_an_ordinary_file"),
    Mutation(RIGHTS, "os.open(path, READ | _NO_FOLLOW)", "os.open(path, READ)", "rights are not given through links", "unit/storage/test_rights.py::test_links_are_not_followed"),
    Mutation(RIGHTS, "(0o7777 if folder else 0o777)", "0o7777", "setuid is not kept", "unit/storage/test_rights.py::test_privileges_are_not_kept"),
    Mutation(RIGHTS, "        wanted = wanted.in_another_group(group)\n", "        pass\n", "another group gets no more than everybody had", "unit/storage/test_rights.py::test_group_that_cannot_be_kept"),
    Mutation(RIGHTS, "wanted = wanted.without_list() if name == ACCESS else wanted", "pass", "without its list a file is no more open", "unit/storage/test_rights.py::test_list_that_cannot_be_kept"),
    Mutation(RIGHTS, "and status.st_mode & 0o077:", "and False:", "a file is closed while its group changes", "unit/storage/test_rights.py::test_nobody_gets_access_on_the_way"),
    Mutation(RIGHTS, "        if error.errno not in _UNABLE | _NO_DATA:\n            raise\n        return False\n    return True", "        raise error from None\n    return True", "a file system without modes is no obstacle", "unit/storage/test_rights.py::test_file_system_without_modes_and_attributes"),
    Mutation(LOCAL, '                self._narrow(parent(key), [""])\n', "", "a journal beside a hidden target is hidden", "unit/storage/test_rights.py::test_journal_beside_a_hidden_target_is_hidden"),
    Mutation(EXCHANGE, '        self._made("")\n', "", "a new target's folder keeps the old one's rights", NEW_IN_PLACE),
    Mutation(EXCHANGE, "old = super()._rights_of(key) or rights.rights_of(self._there(key))", "old = super()._rights_of(key)", "a new target's documents keep the old ones' rights", "unit/storage/test_rights.py::test_new_target_keeps_the_rights_of_each_document"),
    Mutation(EXCHANGE, "for key in (*wanted, *self._old))", "for key in wanted)", "a new target's documents are as hidden as the old ones", NEW_IN_PLACE),
)

LOCAL_STORAGE = (
    Mutation(LOCAL, "os.O_EXCL | ", "", "chunks are created exclusively", TURN_UP),
    Mutation(LOCAL, "            with contextlib.suppress(OSError):\n                os.unlink(path)\n", "            pass\n", "a chunk that was cut short is removed", FAILS),
    Mutation(LOCAL, "if error.errno in _LOST and self.size(key) == 0:", "if False:", "a file whose creation got lost is removed", FAILS),
    Mutation(REPLACING, "            link(self._at(staged), path)", "            os.replace(self._at(staged), path)", "the decision is exclusive", missing("decision_is_exclusive")),
    Mutation(REPLACING, "if self._lstat(key) is not None:", "if False:", "without links, the decision is exclusive", missing("decision_is_exclusive")),
    Mutation(REPLACING, "the name aside is still there.\n        self.remove(aside)", "the name aside is still there.", "a second name that rename left is removed", CRASH),
    Mutation(REPLACING, "if not linked and not same_content(self._at(staged), self._at(aside)):", "if not linked:", "a copy that was reserved is used", missing("space_is_reserved")),
    Mutation(LOCAL, "            os.rmdir(path)", '            __import__("shutil").rmtree(path)', "folders are removed only if they are empty", missing("folder_with_a_file_of_somebody")),
    Mutation(LOCAL, "if not self._follow_links and os.path.islink(self._at(path)):", "if False:", "folders that are links are refused", "behaviour/test_transactions.py::test_linked_chunk_folder_that_leads_out"),
    Mutation("storage/local/files.py", "return os.lstat(self._at(key))", "return os.stat(self._at(key))", "a dangling link counts as existing", "behaviour/test_transactions.py::test_linked_chunk_is_replaced"),
    Mutation(LOCKS, "            _remove(path)\n        finally:\n            os.close(descriptor)", "            os.close(descriptor)\n        finally:\n            _remove(path)", "the lock file goes while it is held", missing("lock_file_goes_while_it_is_held")),
    Mutation(REPLACING, "        self.remove(aside)\n        self.create(aside", "        self.create(aside", "a torn copy is made anew", missing("copy_that_was_cut_short")),
    Mutation(FLOCK, "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB", "the lock is exclusive", "unit/storage/test_locks.py::test_held_lock"),
    Mutation(FLOCK, "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "", "the lock is taken", "unit/storage/test_locks.py::test_held_lock"),
    Mutation(FLOCK, "        if not same_file(descriptor, path):", "        if False:", "a locked file that is no longer there is not the lock", missing("lock_on_a_removed_file")),
    Mutation(FLOCK, "        except IsADirectoryError as error:  #", "        except InterruptedError as error:  #", "a turn is respected by who has flock", "unit/storage/test_leased_locks.py::test_flock_leaves_a_leased_lock_alone"),
    Mutation(LOCKS, "    if not is_networked(root):\n        with", "    if True:\n        with", "flock is not relied on behind a network", "unit/storage/test_busy.py::test_it_is_said_once"),
    Mutation(TURN, "clock.now() - self._fresh > LEASE / 2 or", "", "who has a turn stops himself", missing("lease_that_was_not_renewed")),
    Mutation(TURN, "or not is_there(self.owner)", "", "who has a turn looks whether it is his", "faults/test_fence.py::test_a_writer_that_stands_still[undoes-another one appends]"),
    Mutation("storage/local/turn_folders.py", "os.path.join(path, TURN, token), ended_folder", "os.path.join(path, TURN), ended_folder", "only a certain turn is ended", missing("turn_that_changed_hands_before_it_was_ended")),
    Mutation(SUCCESSION, "        if layout.is_ended(name):\n            _end", "        if False:\n            _end", "what was under way is taken over", FENCE),
    Mutation(TURN, "            if os.path.lexists(path):\n                raise self", "            if False:\n                raise self", "a folder that is not found is not taken for a file that is gone", "unit/txn/test_turn.py::test_a_chunk_that_is_there_is_not_gone"),
    Mutation(SUCCESSION, "            if os.path.lexists(path):\n                raise\n            return False\n", "            return True\n", "only what has its second name loses its first", "unit/txn/test_turn.py::test_a_turn_that_ends_while_it_takes_over"),
    Mutation(LOCAL, "            turn.make_folder(path)\n", "            os.mkdir(path)\n", "new folders go through the turn", "faults/test_fence.py::test_a_creation_that_stands_still"),
    Mutation(SUCCESSION, "        if not closed(folder):", "        if False:", "the way out is closed first", "unit/txn/test_turn.py::test_nothing_is_taken_before_the_way_out_is_closed"),
    Mutation(SUCCESSION, "            if not os.path.lexists(old):\n", "            if False:\n", "a transaction that goes meanwhile is not another tool's", "unit/txn/test_turn.py::test_a_transaction_that_goes_meanwhile_is_not_foreign"),
    Mutation(SUCCESSION, "key=layout.ended_number, reverse=True):", "key=layout.ended_number):", "the last turn that was over is taken over first", "unit/txn/test_turn.py::test_the_last_one_is_taken_over_first"),
    Mutation(LOCAL, '            if self._turn is not None and not key.startswith(f"{WAY}/"):', '            if self._turn is not None and key.startswith(_OF_TURN) and not key.startswith(f"{WAY}/"):', "removals go through the turn", "faults/test_fence.py::test_a_writer_that_stands_still[undoes-another one appends]"),
    Mutation(LOCAL, '            if self._turn is not None and not key.startswith(f"{WAY}/"):', "            if self._passage(key) is not None:", "what is removed from a transaction goes through the turn", "unit/txn/test_turn.py::test_nothing_is_decided_or_removed_once_the_way_is_closed"),
    Mutation(REPLACING, "            if (turn := self._turn) is None:", "            if (turn := self._turn) is None or turn:", "what is decided goes through the turn", "unit/txn/test_turn.py::test_nothing_is_decided_or_removed_once_the_way_is_closed"),
    Mutation(REPLACING, "rights.born(trial) if turn is None else turn.born(self._at(folder))", "rights.born(trial)", "what a new file gets is not tried at its place", "faults/test_fence.py::test_nothing_is_made_at_its_place"),
    Mutation(TURN, "        if (model := rights.heritage(folder)) is None:", "        if True:", "new folders inherit what their place gives", "faults/test_fence.py::test_nothing_is_made_at_its_place"),
    Mutation(LOCAL, "                self._inherit(turn, aside, parent(key))\n", "", "new files inherit what their place gives", "faults/test_fence.py::test_nothing_is_made_at_its_place"),
    Mutation("storage/local/turn_folders.py", "        os.close(os.open(path, READ))", "        os.lstat(path)", "a client of NFS asks its server whether the turn is over", "unit/txn/test_turn.py::test_whether_the_turn_is_over_is_asked_of_the_server"),
    Mutation("storage/local/turn_folders.py", "    for name in names_in(path):\n        with contextlib.suppress(FileNotFoundError):\n            remove_tree(os.path.join(path, name))\n    os.rmdir(path)", "    os.rmdir(path)", "what a trial leaves is removed", "unit/txn/test_turn.py::test_what_a_trial_leaves_is_removed"),
    Mutation(LOCAL, "        if (turn := self._passage(key)) is not None:\n            return self._create_through", "        if False:\n            return self._create_through", "new files go through the turn", "faults/test_fence.py::test_a_writer_that_stands_still[appends-recovery]"),
    Mutation(LOCAL, 'f"{key}/".startswith(_OF_TURN):', "False:", "transactions lie in the turn", FENCE),
    Mutation(LEASED, "            if seen != watched:", "            if watched is None:", "a leased lock that is touched stays", "unit/storage/test_leased_locks.py::test_waiting_for_its_end"),
    Mutation(TRANSACTION, "        self._store.check_lock()\n        self.deciding", "        self.deciding", "the lock is looked at before the decision", missing("lease_that_was_not_renewed")),
    Mutation(FLOCK, "        if os.path.islink(folder):", "        if False:", "the lock's folder is no link", LINK_OUT),
    Mutation(HOLDER, "theirs == ours and", "", "only processes of this start and this space are judged", missing("who_is_dead")),
    Mutation(HOLDER, "_UNKNOWN not in ours and", "", "what cannot be told proves nothing", missing("who_is_dead_where_nothing_is_told")),
    Mutation(HOLDER, "and ticks != theirs", "and False", "a process number that is used again is noticed", missing("process_number_that_is_used_again")),
    Mutation(HOLDER, "clock == their_clock and", "", "times of different clocks are not compared", missing("process_number_that_is_used_again")),
)

LOCAL_TRANSACTIONS = (
    Mutation(TRANSACTION, "        store.sync([key])\n        with let_through():\n            yield running\n", "        with let_through():\n            yield running\n", "the journal is synced before chunks are written", DURABLE_JOURNAL),
    Mutation(TRANSACTION, '        store.record(key, [b"".join(journal.write(intent))], known)\n        store.sync([key])\n        with let_through():\n            yield running\n', '        with let_through():\n            yield running\n            store.record(key, [b"".join(journal.write(intent))], known)\n            store.sync([key])\n', "the journal comes before chunks", CRASH),
    Mutation(TRANSACTION, '        if not cast(self._store, self._intent, "commit"):', '        for name, key in self._intent.staged():\n            self._store.install(stage_key(self._intent.id, name), key)\n        if not cast(self._store, self._intent, "commit"):', "the decision comes before what becomes visible", CRASH),
    Mutation(TRANSACTION, "        if changed:\n            raise", "        if False:\n            raise", "documents are looked at before the decision", f"{OTHER_TOOL}_during_the_append"),
    Mutation(TRANSACTION, '        if not cast(self._store, self._intent, "commit"):', '        cast(self._store, self._intent, "commit")\n        if False:', "a decision that was lost is noticed", missing("somebody_else_decides")),
    Mutation(TRANSACTION, "        self._reserve()\n", "", "space is reserved before the decision", missing("space_is_reserved")),
    Mutation(TRANSACTION, "        if unwritten:", "        if False:", "a replacement that was not written is noticed", missing("replacement_that_is_not_written")),
    Mutation(TRANSACTION, "                self._note_foreign(key)\n", "                pass\n", "a foreign key is noted", power("foreign")),
    Mutation(TRANSACTION, "                finish(self._store, self._intent)\n            raise", "                pass\n            raise", "an interrupt during application waits", "faults/test_signals.py::test_an_interrupt_of_the_library"),
    Mutation(TRANSACTION, "            if self._store.size(journal_key(self._intent.id)) is not None:", "            if True:", "what has ended is not finished again", "faults/test_signals.py::test_an_interrupt_of_the_library"),
    Mutation("interrupts.py", "    if _state.depth and _state.held is None:", "    if False:", "a signal during application waits", "faults/test_signals.py::test_a_signal_at_every_operation"),
    Mutation(TRANSACTION, "if store.abilities.durable and isinstance(error, StoreError):", "if False:", "a decision that could not be synced is not acted on", FAILS),
    Mutation(TRANSACTION, "        _undo_quietly(running, error)\n", "", "a refused append is undone", "behaviour/test_transactions.py::test_refused_slice_leaves_the_target[2-chunk-5]"),
    Mutation(INTENTS, "        existing += store.existing(extent.all())\n", "", "stale keys are found", f"{KILLED}[stale-v2]"),
    Mutation(INTENTS, "for folder, there in folders.items() if there)", "for folder, there in folders.items() if not there)", "folders that were there stay", missing("folders_that_were_there")),
    Mutation(TRANSACTION, "return self._key(path, index) in self._names", "return False", "a missing chunk is written over a stale one", missing("missing_chunk_over_a_stale_one")),
    Mutation(JOURNAL, '        for number, key in enumerate(self.existing, len(self.documents) + 1):\n            yield f"{number:06d}", next((p for p in paths if not p or key.startswith(f"{p}/")), parent(key)), key\n        for number, document in enumerate(self.documents, 1):\n            yield f"{number:06d}", parent(document.key), document.key\n', '        for number, document in enumerate(self.documents, 1):\n            yield f"{number:06d}", parent(document.key), document.key\n        for number, key in enumerate(self.existing, len(self.documents) + 1):\n            yield f"{number:06d}", next((p for p in paths if not p or key.startswith(f"{p}/")), parent(key)), key\n', "boundary chunks come before documents", missing("order_of_documents")),
    Mutation(JOURNAL, "for number, document in enumerate(self.documents, 1):\n            yield", "for number, document in reversed(list(enumerate(self.documents, 1))):\n            yield", "consolidated metadata come last", missing("order_of_documents")),
    Mutation(RECOVER, '            elif decision == "commit":', "            elif False:", "what was decided is finished", missing("recovery_says_what_it_did")),
    Mutation(RECOVER, "foreign = Requirements(wanted).violations(here, becoming=ours)", "foreign: list[str] = []", "recovery looks at documents before it applies", f"{OTHER_TOOL}_after_the_decision"),
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
    Mutation(RECOVER, "if any(store.linked(f) for f in above - folders):", "if False:", "nothing is removed behind a link", "unit/txn/test_journal.py::test_array_folder_that_became_a_link"),
    Mutation(RECOVER, "    store.remove(journal_key(transaction))\n    try:", "    try:", "the journal goes first", missing("journal_goes_first")),
    Mutation(RECOVER, '.files != ("journal",):', ".files == ():", "a damaged end of a journal is noticed", "unit/txn/test_journal.py::test_damaged_end_of_a_journal_that_was_acted_on"),
    Mutation(RECOVER, "if intent is not None and intent.id != transaction:", "if False:", "a journal belongs to its folder", "unit/txn/test_journal.py::test_journal_in_another_transactions_folder"),
    Mutation(RECOVER, "        refuse_link(store, folder_of(name))\n", "        pass\n", "journals are not looked for behind links", "unit/txn/test_journal.py::test_linked_journal_folders"),
    Mutation(SESSIONS, "recover(self._store).joined(_settle_replacement(self._store))", "_settle_replacement(self._store)", "a turn begins with recovery", CRASH),
    Mutation(SESSIONS, "                store.check_lock()\n                raise\n", "                raise\n", "what is read once the lock is lost is not believed", "unit/storage/test_leased_locks.py::test_what_is_read_once_the_lock_is_lost_proves_nothing"),
    Mutation(SESSIONS, "        for remaining in range(_RETRIES, -1, -1):\n", "        recover(self._store)\n        for remaining in range(_RETRIES, -1, -1):\n", "recovery comes after the lock", missing("nothing_happens_before_the_lock")),
    Mutation(SESSIONS, "        _refuse_elsewhere(self._store)\n        try:", "        try:", "a journal elsewhere is refused", missing("journal_elsewhere")),
    Mutation("storage/waiting.py", "        if self._cancelled is not None and self._cancelled():", "        if False:", "a wait can be cancelled", "unit/storage/test_waits.py::test_waiting_for_the_lock_is_cancelled"),
    Mutation("__main__.py", "    sys.unraisablehook = interrupts.keep_swallowed\n", "", "a signal that Python swallows ends the command", "unit/test_interrupts.py::test_a_signal_swallowed_before_the_handlers_are_there_ends_the_command"),
    Mutation("interrupts.py", "        _state.held = error.number if isinstance(error, Stopped) else signal.SIGINT\n", "        pass\n", "a signal in a finalizer ends the run", "unit/test_interrupts.py::test_what_python_swallows_ends_the_run_at_the_next_look"),
    Mutation("checks/already_appended.py", "if stored + after.values[: max(0, stop - length)] != new.values:", "if stop > length or stored != new.values:", "a dry run sees labels that are partly planned", "behaviour/test_dry_run.py::test_dry_run_sees_a_slice_that_is_partly_in_the_target_and_partly_planned"),
    Mutation("checks/already_appended.py", "    if new.values and new.values[0] is not None and (places := after.places(new.values[0])):", "    if not length and (places := after.places(new.values[0])):", "a dry run finds labels of planned slices behind a target's", "behaviour/test_dry_run.py::test_labels_partly_in_the_target_and_partly_in_a_slice_of_the_same_call"),
    Mutation("operations/append.py", "        self._look(items, state)\n        with contextlib", "        with contextlib", "a dry run refuses an order as the run does", "behaviour/test_dry_run.py::test_a_dry_run_refuses_an_order_as_the_run_does"),
    Mutation("checks/already_appended.py", "        starts = {found.path: _start(there, found, source.uri) for found in labels}", "        starts = {found.path: _start(there, found, source.uri) for found in labels[:1]}", "groups of which only one is there are refused, planned or not", "behaviour/test_dry_run.py::test_groups_of_which_only_one_is_there_are_refused_alike"),
    Mutation("planning/labels.py", "cells = flat.view(encoding.plain.dtype) if encoding.reinterpreted else flat", "cells = flat", "unsigned labels are in order after 127", "behaviour/test_gaps.py::test_unsigned_and_packed_labels_are_shown_and_ordered_as_readers_see_them"),
    Mutation("operations/label_gaps.py", "    if encoding.reinterpreted:", "    if False:", "unsigned labels that are missing are named", "behaviour/test_gaps.py::test_unsigned_and_packed_labels_are_shown_and_ordered_as_readers_see_them"),
    Mutation("operations/foresee.py", "                _require_codecs(plan, each)", "                pass", "a dry run refuses codecs that zapz cannot run", "behaviour/test_dry_run.py::test_codecs_that_zapz_cannot_run_are_refused_alike"),
    Mutation("planning/documents.py", "    return 0 if found is None else -found[1]", "    return 0", "coarse levels become visible first", "behaviour/test_pyramids.py::test_the_coarsest_level_becomes_visible_first"),
    Mutation("planning/compatibility.py", "    if target.pyramids and not creates:", "    if False:", "a slice that lacks levels is refused", "behaviour/test_pyramids.py::test_a_pyramid_with_labels_is_not_filled"),
    Mutation("cf/aggregation.py", "        valid = counts > 0\n", "        valid = counts >= 0\n", "a window without values is missing", "unit/cf/test_aggregation.py::test_law_a_cell_is_what_the_definition_says"),
    Mutation("cf/aggregation.py", "(2 * rest == number) & (low % 2 != 0)", "(2 * rest == number)", "a mean half between two integers becomes the even one", "unit/cf/test_aggregation.py::test_law_a_cell_is_what_the_definition_says"),
    Mutation("cf/aggregation.py", "            plain = plain.astype(object)  # sums may need more than 64 bits\n", "            pass\n", "sums of 64 bits do not overflow", "unit/cf/test_aggregation.py::test_the_sums_of_64_bits_do_not_overflow"),
    Mutation("execution/cascade.py", "            if not self._rounded:  # windows have", "            if False:  # windows have", "cells without a chunk count like others", "unit/execution/test_cascade.py::test_law_levels_from_the_finest_one"),
    Mutation("execution/cascade.py", "            whole = inside if waiting.fits(inside.box) else", "            whole = inside if True else", "a block waits for the rest of its windows", "unit/execution/test_cascade.py::test_law_levels_from_the_finest_one"),
    Mutation("planning/level_chains.py", "    if steps_of(narrow) + steps_of(ratio) != steps_of(wide):", "    if False:", "sums are grouped as in each level alone", "unit/planning/test_level_windows.py::test_chains"),
    Mutation("checks/level_proof.py", "        for rounded in (first, not first):", "        for rounded in (first,):", "levels that were made in another way are found", "behaviour/test_derived_levels.py::test_law_a_flat_slice_continues_all_levels"),
    Mutation("checks/level_proof.py", "            if not errors:\n", "            if True:\n", "levels that no method gives are not derived", "behaviour/test_derived_levels.py::test_what_cannot_be_derived_is_refused"),
    Mutation("operations/plan_slice.py", "        self.placer.begin_turn()\n", "", "levels are proven under the lock", "behaviour/test_derived_levels.py::test_the_proof_is_made_again_for_each_turn"),
    Mutation("operations/slice_feed.py", "placement.paths.get(path, path)", "path", "a lazy flat slice is computed before the lock is taken", "behaviour/test_derived_levels.py::test_what_is_computed_is_computed_before_the_lock_is_taken"),
    Mutation("operations/execute_plan.py", "    if plan.placement.paths:", "    if False:", "a plan with derived levels needs no settings", "behaviour/test_derived_levels.py::test_a_plan_needs_no_settings_to_be_executed"),
    Mutation("planning/level_windows.py", "    if fine != own:", "    if False:", "a level with another packing is not derived", "behaviour/test_derived_levels.py::test_what_cannot_be_derived_is_refused"),
    Mutation("planning/flat_slice.py", " if path not in target.arrays]\n    for folder", "]\n    for folder", "a variable of the target is no level", "behaviour/test_pyramids.py::test_a_pyramid_with_labels_is_not_filled"),
    Mutation("execution/sparse.py", "    return {path: each for path, each in plan.arrays.items() if path not in finest and each.derivation is None}", "    return plan.arrays", "all cells of the finest level are handed on", "behaviour/test_derived_levels.py::test_very_many_chunks_of_which_few_exist"),
    Mutation("execution/families.py", "        if cells is None and not self._keeps:", "        if False:", "a mean of equal floats is computed", "behaviour/test_derived_levels.py::test_a_mean_of_equal_floats"),
    Mutation("operations/plan_slice.py", "        others = check_level_labels(target, source, placement, labels, self._same_labels)", "        others: dict[str, Any] = {}", "the labels of all levels are equal", "behaviour/test_pyramids.py::test_a_slice_that_is_refused_leaves_the_target_as_it_was"),
    Mutation("planning/compatibility.py", "        folder = path if path in levels else", "        folder = path if False else", "levels that are arrays have sizes of their own", "behaviour/test_pyramids.py::test_levels_that_are_arrays_have_sizes_of_their_own"),
    Mutation("planning/new_target.py", "    array = array if any(array.dims) else replace(array, dims=source.dims)\n", "", "a new OME-Zarr grows from length 0", "behaviour/test_pyramids.py::test_levels_that_are_arrays_have_sizes_of_their_own"),
    Mutation("format/multiscales.py", "        is_outside = _SCHEME.match(inner) is not None", "        is_outside = False", "the path of a level has no scheme", "behaviour/test_pyramids.py::test_the_path_of_a_level_stays_inside"),
    Mutation("sources/opener.py", "                for place in opened.places:", "                for place in ():", "a link of a slice does not lead into the target", "behaviour/test_pyramids.py::test_a_slice_given_as_a_mapper_does_not_lead_into_the_target"),
    Mutation("sources/contexts.py", '    asked = _has(value, "get_dataset") and not is_multi_level(value)\n    if (ours', '    asked = _has(value, "get_dataset")\n    if (ours', "a multi-level object is not closed", "behaviour/test_pyramids.py::test_a_multi_level_object_is_a_slice"),
    Mutation("storage/hierarchy.py", "    if sorted(stored) != list(range(len(stored))):", "    if False:", "a missing level is noticed", "behaviour/test_pyramids.py::test_a_slice_that_is_refused_leaves_the_target_as_it_was"),
    Mutation("format/documents.py", " or key == LEVELS", "", "recovery knows .zlevels", "faults/test_every_fault.py::test_crash_after_every_change_of_a_small_append"),
    Mutation("planning/levels.py", "        if path not in slice_.arrays and _levels_of(target, [path]) & there:", "        if False:", "every level of a slice has labels", "behaviour/test_pyramids.py::test_a_level_without_labels_is_refused"),
    Mutation("operations/execute_plan.py", "        check_level_labels(before, source, unread, labels, set())", "        pass", "a plan knows the labels of all levels", "behaviour/test_pyramids.py::test_a_plan_is_not_executed_with_other_labels_in_a_level"),
    Mutation("checks/reading.py", "        if path not in checked and placement.offset:", "        if False:", "the labels of a target's levels are equal", "behaviour/test_pyramids.py::test_a_target_whose_levels_have_other_labels_is_refused"),
    Mutation("sources/trees.py", ' or getattr(item, "_level_datasets", True)', "", "a level that was replaced in memory counts", "behaviour/test_pyramids.py::test_a_path_counts_only_if_it_is_what_the_object_holds"),
    Mutation("planning/new_target.py", "implicit_groups({*_arrays_in(documents), *slice_.groups}, slice_.groups)", "implicit_groups(_arrays_in(documents), slice_.groups)", "a new target has a document for every group", "behaviour/test_pyramids.py::test_groups_without_documents_above_a_group"),
    Mutation("planning/levels.py", "        if pyramid.missing or len(found) < len(pyramid.levels):", "        if False:", "no new target is half a pyramid", "behaviour/test_pyramids.py::test_settings_do_not_make_half_a_pyramid"),
    Mutation("planning/levels.py", " and not labelled & {*missing}", "", "labels of a pyramid are not filled", "behaviour/test_pyramids.py::test_a_pyramid_with_labels_is_not_filled"),
    Mutation("cli/standing.py", "    if not done and isinstance(error, _BEFORE_WRITING):", "    if False:", "an error before the first slice says that nothing was written", "unit/cli/test_standing.py::test_an_error_before_the_first_slice_says_that_nothing_was_written"),
    Mutation("storage/waiting.py", "        interrupts.stop_if_held()\n", "", "a signal ends a wait", "unit/storage/test_waits.py::test_a_signal_that_is_held_back_ends_a_wait"),
    Mutation("operations/target_turn.py", "Wait(self._config.lock_wait, self._watch.cancelled, self._watch.waits)", "Wait(self._config.lock_wait)", "waiting for the lock can be cancelled", "unit/storage/test_waits.py::test_waiting_for_the_lock_is_cancelled"),
    Mutation("operations/target_turn.py", "        with open_session(self.store, wait, remember=self._config.register) as session:\n", "        early = self.reader.look()\n        self.reader.look = lambda session=None: early\n        with open_session(self.store, wait, remember=self._config.register) as session:\n", "the lock comes before reading", "unit/storage/test_locks.py::test_race_with_waiting"),
)

OBJECT_TURNS = (
    Mutation(SETTLING, "    outcome, documents = decide_against(store, intent)\n    if outcome is None:\n        return Recovery()\n", "    outcome, documents = read_decided(store, intent.id)\n", "a takeover decides", missing_remote("a_takeover_decides_first")),
    Mutation(SETTLING, '    store.replace(decision_key(intent.id), journal.decision(intent.id, "abort", now=time.time()), None)\n', '    store.write(decision_key(intent.id), [journal.decision(intent.id, "abort", now=time.time())])\n', "a decision against is exclusive", STALLED),
    Mutation(SETTLING, "store.replace(HEAD, heads.encode(head.free()), tag)", "store.write(HEAD, [heads.encode(head.free())])", "a head that is settled is freed on its tag", missing_remote("head_that_has_moved_on")),
    Mutation(SETTLING, "    for key in Requirements({**dict.fromkeys(documents), **intent.base}).violations(", "    for key in () and Requirements({**dict.fromkeys(documents), **intent.base}).violations(", "documents are looked at before they are applied", missing_remote("other_tool_changes_a_document_of_a_crashed_append")),
    Mutation(SETTLING, "violations(found, becoming=written)", "violations(found)", "documents that are applied already count", missing_remote("append_that_became_visible_in_part")),
    Mutation(SETTLING, "store.replace_many([(key, documents[key], tags[key]) for key in nested])", '[store.write(key, [documents[key]]) or "" for key in nested]', "documents of arrays are replaced on their tags", OTHER_TOOL_REMOTE),
    Mutation(SETTLING, "        if tag is None:\n            raise overtaken", "        if False:\n            raise overtaken", "a document that was not replaced is noticed", OTHER_TOOL_REMOTE),
    Mutation(SETTLING, 'if "/" not in key and store.replace(key, data, tags[key]) is None:', 'if "/" not in key and store.write(key, [data]) is False:', "the root's documents are replaced on their tags", missing_remote("fences_alone")),
    Mutation(SETTLING, 'nested = [key for key in documents if "/" in key]', 'nested = [key for key in reversed(documents) if "zarr" not in key[:3]]', "the root's documents come last", missing_remote("order_of_requests")),
    Mutation(SETTLING, "if watched is None or watched[0] != tag:", "if watched is None:", "an owner that renews keeps its turn", missing_remote("owner_that_renews_is_left_alone")),
    Mutation(SETTLING, "quiet = now - watched[1] >= head.lease or", "quiet = now - watched[1] >= 0 or", "a whole lease is waited for", missing_remote("living_owner_is_left_alone")),
    Mutation(SETTLING, "dead = head.left or is_dead(head.owner)", "dead = True", "an owner counts as dead only if it is", missing_remote("living_owner_is_left_alone")),
    Mutation(SETTLING, "dead = head.left or is_dead(head.owner)", "dead = head.left", "an owner of this machine that is dead is not waited for", missing_remote("takeover")),
    Mutation(SETTLING, "    if head.left or (head.owner is not None and is_dead(head.owner)):\n        return True\n", "", "recovery does not wait for who is dead", missing_remote("takeover")),
    Mutation(SETTLING, "rest=0.0 if dead else head.lease", "rest=0.0", "late requests of who was taken over are reckoned with", missing_remote("takeover")),
    Mutation(SETTLING, "> _LONG_AGO + 10 * head.lease", "> 0", "clocks of other machines may be wrong", missing_remote("living_owner_is_left_alone")),
    Mutation(FENCED, "if store.largest is not None and not packed and target.chunk_bytes > store.largest:", "if False:", "chunks too large are refused first", missing_remote("chunks_too_large_for_one_request")),
    Mutation("txn/local/transaction.py", "                    self._created.add(receipt.path, receipt.index)\n", "                    pass\n", "what another process wrote is undone with the rest", "unit/txn/test_receipts.py::test_what_was_written_elsewhere_is_undone"),
    Mutation(FENCED, "        return True\n\n    def merge(", "        return False\n\n    def merge(", "a missing chunk is written out", missing_remote("missing_chunk_is_written_out")),
    Mutation(FENCED, "        self._lease.check()\n        self.touched = True\n", "        self.touched = True\n", "the lease is looked at before a chunk", missing_remote("lease_ends_before_a_request")),
    Mutation(FENCED, "        self.touched = True\n", "", "chunks that were written are remembered", missing_remote("what_a_refused_append_has_written_is_remembered")),
    Mutation(FENCED, "        if self._store.replace(key, data, tag, mine=read) is not None:\n            return Receipt(path, index, len(data))\n        if not read:", "        if self._store.write(key, [data]) is None:\n            return Receipt(path, index, len(data))\n        if not read:", "chunks are replaced on their tags, or created", STALLED),
    Mutation(FENCED, "        if not read:  # a stale", "        if True:  # a stale", "a boundary chunk is replaced on the tag of its reading only", missing_remote("boundary_chunk_that_somebody_writes")),
    Mutation(FENCED, "                confirm(self._store, self.intent, self._lease)\n", "", "whose turn it is, is looked at before a stale chunk is replaced", missing_remote("lease_ends_before_a_stale_chunk_is_replaced")),
    Mutation(FENCED, 'hint="Run the append again.")\n    lease.check()\n', 'hint="Run the append again.")\n', "the lease is looked at before a stale chunk is replaced", missing_remote("lease_ends_before_a_stale_chunk_is_replaced")),
    Mutation(FENCED, "for key in Requirements(governing).violations({key: data", "for key in () and Requirements(governing).violations({key: data", "documents are looked at before the decision, on an object service", missing_remote("other_tool_changes_a_document[x/2-x/.zarray]")),
    Mutation(FENCED, "        self._lease.check()\n        data = journal.decision", "        data = journal.decision", "the lease is looked at before the decision", missing_remote("lease_ends_before_a_request")),
    Mutation(FENCED, "        except ConflictError:\n            apply(self._store, self.intent, plan.documents)  # unless", "        except ConflictError:\n            raise  # unless", "somebody else may have applied it", missing_remote("document_that_is_written_anew_as_it_was")),
    Mutation(FENCED, "            apply(self._store, self.intent, plan.documents)\n            raise", "            raise", "a signal during application waits, on an object service", missing_remote("signal_during_application")),
    Mutation(LEASE, "new = store.replace(HEAD, encode(head), tag)", "new = store.write(HEAD, [encode(head)]) or store.tag(HEAD)", "the head is taken on its tag", missing_remote("head_that_moved_before_it_was_taken")),
    Mutation(TURNS, "        reading.note_many(key for array in plan.arrays.values() for key in array.boundary_keys())\n", "", "tags of boundary chunks are noted before the intent", missing_remote("fences_alone")),
    Mutation(COORDINATOR, "stack.enter_context(lock.hold(store, LOCK, wait))", "pass", "where no lease is safe there is a lock", missing_remote("lock_where_nothing_is_replaced_on_conditions")),
    Mutation(TURNS, "moved = held.move(Head.leave if self._unsettled else Head.free)", "moved = True", "the head is freed", missing_remote("order_of_requests")),
    Mutation(TURNS, "        held.stop()\n        self._lease = None\n", "        held.stop()\n        self._lease = None\n        for name in self._done:\n            settling.forget(self._store, name)\n", "the decision goes after the head is free", missing_remote("order_of_requests")),
    Mutation(TURNS, "Head.leave if self._unsettled else Head.free", "(lambda head: head) if self._unsettled else Head.free", "who has given up says so", missing_remote("owner_that_has_given_up")),
    Mutation(TURNS, "        self._rest(intent)\n", "", "keys of who was taken over are left for a while", missing_remote("takeover")),
    Mutation(TURNS, "outcome, documents = settling.decide_against(self._store, running.intent)", 'outcome, documents = "abort", {}', "giving up decides, and finds what is decided", missing_remote("decision_whose_answer_is_lost")),
    Mutation(TURNS, "head.aborted(time.time(), rest) if running.touched else head", "head", "a refused append's keys are remembered", missing_remote("what_a_refused_append_has_written_is_remembered")),
    Mutation(LEASE, "limit = self._head.lease / 2", "limit = self._head.lease", "an owner stops at half its lease", missing_remote("lease_ends_before_a_request")),
    Mutation(LEASE, '                self._lost = "another process has taken over"\n', "", "a renewal that was refused ends the lease", missing_remote("renewals")),
    Mutation(LEASE, "self._head, self._tag, self._fresh = head, tag, started", "self._head, self._tag, self._fresh = head, tag, time.monotonic()", "a renewal counts from when it was sent", missing_remote("renewals")),
    Mutation(HEAD, "return Head(epoch=self.epoch + 1, dirty=self.dirty, register=self.register)", "return Head(epoch=self.epoch + 1, register=self.register)", "a free head remembers what was aborted", missing_remote("what_a_refused_append_has_written_is_remembered")),
    Mutation(HEAD, "if not (c <= a and b <= d)\n", "if not (c < b and a < d)\n", "what was written over in part stays remembered", missing_remote("what_a_refused_append_has_written_is_remembered")),
    Mutation(HEAD, "for (a, b), (c, d) in zip(dirty.spans, planned.spans, strict=True)\n    )", "for (a, b), (c, d) in zip(dirty.spans, planned.spans, strict=True)\n    ) and False", "keys that are shared are found", missing_remote("takeover")),
)

OBJECT_STORAGE = (
    Mutation(OBJECTS, "return tag if here == data else None", "return tag", "what lies there is compared", EVERY_TWO),
    Mutation(OBJECTS, "return tag if here == data else None", "return None", "a lost answer is no refusal", missing_remote("any_answer_is_lost")),
    Mutation(OBJECTS, "            return self._backend.put_new(path, data)", "            return self._backend.put(path, data)", "creation is exclusive", STALLED),
    Mutation(OBJECTS, "            return self._backend.put_over(path, data, tag)", "            return self._backend.put(path, data)", "replacement is conditional", EVERY_TWO),
    Mutation("storage/objects/files.py", "if self._noted.setdefault(key, tag) != tag:", "if self._noted.setdefault(key, tag) is None:", "a chunk that changes while it is read is noticed", missing_remote("chunk_that_changes_while_it_is_read")),
    Mutation(OBJECTS, "        if not self.abilities.writable:", "        if False:", "services without exclusive creation are refused", missing_remote("target_that_cannot_be_written_safely")),
    Mutation(PROBING, 'exclusive = _refuses(lambda: backend.put_new(path, b"2"))', "exclusive = True", "whether creation is exclusive is tried", missing_remote("probing")),
    Mutation(PROBING, 'if not _refuses(lambda: backend.put_over(path, b"3", _NO_SUCH_TAG)):', "if False:", "whether a wrong tag is refused is tried", missing_remote("probing")),
    Mutation(PROBING, 'return not _refuses(lambda: backend.put_over(path, b"4", tag)) or _holds(backend, path, b"4")', "return True", "whether the right tag is taken is tried", missing_remote("probing")),
    Mutation(PROBING, "        backend.delete(path)", "        pass", "what was tried is removed", missing_remote("probing")),
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

SPARSE = (
    Mutation("execution/sparse.py", "        if size <= MANY or not source.abilities.listable:", "        if True:", "very many absent chunks are not gone through one by one", sparse("append_costs_what_exists[v2.]")),
    Mutation("execution/sparse.py", "        written = not (local and is_fill)\n", "        written = not local\n", "absent chunks that read otherwise are written, or refused", sparse("missing_chunks_that_read_otherwise[False]")),
    Mutation("execution/sparse.py", "        written = not (local and is_fill)\n", "        written = not is_fill\n", "on object services absent chunks are written, or refused", sparse("object_services_write_every_chunk_out")),
    Mutation("execution/sparse.py", "count(plan.unit_spans), math.prod(plan.source.units.counts)", "count(plan.spans), math.prod(plan.source.grid.counts)", "inner chunks of shards count", sparse("inner_chunks_count")),
    Mutation("execution/run.py", "            if (index := each.target.index(key)) is not None:\n", "            if (index := each.target.index(key)) is None:\n", "stale chunks among very many are cleared", sparse("stale_chunks_and_a_boundary[v2/]")),
    Mutation(INTENTS, "        if extent.count > MANY:\n", "        if False:\n", "very many planned keys are not probed one by one", sparse("append_costs_what_exists[v3/]")),
    Mutation("storage/local/posix.py", "                if len(found) >= most:\n                    return None\n", "", "a listing does not grow with what lies elsewhere", sparse("listing_does_not_grow_with_the_target")),
    Mutation("storage/presence.py", "return index if inside and self._keys.key(index) == name else None", "return index if inside else None", "names that are no keys are ignored", sparse("names_that_are_no_keys[v3.]")),
)

BELIEVED = (
    Mutation(RECOVER, "        bounds.check(store, intent, decision, folder_of(transaction), {REGISTER})\n", "        pass\n", "a journal is held against the documents", planted("lies[None-live chunks]")),
    Mutation(BOUNDS, "starts = [a == n // c for", "starts = [a >= 0 for", "an append's range begins where the array ends", planted("lies[None-chunks that begin too late]")),
    Mutation(BOUNDS, '        if key not in base:\n            what = f"chunks', '        if False:\n            what = f"chunks', "the other format's document counts", planted("lies[None-the other format's document]")),
    Mutation(BOUNDS, "    if not known:\n", "    if False:\n", "chunks without a document are nobody's to remove", planted("lies[None-no document at all]")),
    Mutation(BOUNDS, "            if not np.all(known[0] | known[1]):", "            if False:", "a boundary chunk with old values was not made by an append", planted("boundary_chunk_as_its_own")),
    Mutation(BOUNDS, "    if extent.keys != array.keys or len(spans) != array.ndim:", "    if len(spans) != array.ndim:", "chunk keys are the document's", planted("lies[None-another style]")),
    Mutation(BOUNDS, "        if folder != path and folder.startswith(below):", "        if False:", "an array around others has no chunks of theirs", planted("chunk_of_an_array_around_others")),
    Mutation(BOUNDS, "    require_no_array_above(store, path, where)\n    if keys", "    if keys", "an array within another has no chunks", planted("lies[None-an array within an array]")),
    Mutation(BOUNDS, "digest(data) != ours[key] and", "False and", "what is staged is what was planned", planted("lies_about_what_is_staged[other bytes]")),
    Mutation(BOUNDS, "        if store.linked(place):", "        if False:", "what is staged is no link", planted("lies_about_what_is_staged[a linked chunk]")),
    Mutation(BOUNDS, "        if not any(extent.holds(key) for extent in intent.extents):", "        if False:", "chunks that existed are planned ones", planted("lies[commit-a chunk outside]")),
    Mutation("storage/presence.py", "    if count(spans) <= MANY:\n        return indices", "    if True:\n        return indices", "very many planned chunks are not gone through one by one", planted("very_many_chunks_of_an_array_that_is_not_there")),
    Mutation(REMAINS, "    _check(store, remains, where)\n", "", "what remains is held against the documents", planted("lies_about_what_remains[no documents]")),
    Mutation(BOUNDS, "if [(key, digest(data)) for key, data in documents.items()] != [(d.key, d.digest) for d in intent.documents]:", "if False:", "a decision carries what was planned", planted("decision_about_other_documents[others]")),
    Mutation(SETTLING, "    bounds.check_names(intent, bounds.where_of(store, HEAD))\n", "", "an intent in a head names documents", planted("decision_about_other_documents[no document]")),
    Mutation(VACUUM, "candidates(store, extent.path, extent.keys, extent.spans):", "__import__('zapz.format.grid').format.grid.indices(extent.spans):", "very many dirty keys are not looked at one by one", planted("vacuum_of_very_many_keys")),
    Mutation(HEAD, "    if not 0 <= seconds <= _LONGEST:", "    if False:", "a head makes nobody wait for ever", planted("head_that_would_make_everybody_wait[lease-nan]")),
    Mutation(RECOVER, "    store.check_lock()\n    with contextlib", "    with contextlib", "the lock is looked at before anything is undone", missing("undo_with_a_lock_that_is_lost")),
    Mutation(FENCED, "        if head.intent is not None and head.intent.id == self.intent.id:\n            return\n        self.settled", "        return\n        self.settled", "the head is read again after the decision", missing_remote("decision_that_comes_after_everything_is_forgotten")),
)

CONFIGURATION = (
    Mutation("config/trust.py", "        if origin in LIMITED and name not in HARMLESS:\n", "        if False:\n", "a file from a URI sets what is harmless alone", "unit/config/test_trust.py::test_a_file_from_elsewhere_may_set_nothing_else"),
    Mutation("config/trust.py", "        if name in UNFILED:\n", "        if False:\n", "no file says that it is trusted", "unit/config/test_trust.py::test_no_file_says_that_it_is_trusted"),
    Mutation("config/files.py", "trusted or is_local(given)", 'trusted or "file://" in given', "a chain is not local", "unit/config/test_trust.py::test_every_chain_is_elsewhere"),
    Mutation("config/files.py", "None if origin in LIMITED else known", "known", "a file from a URI does not see the environment", "unit/config/test_trust.py::test_a_file_from_elsewhere_may_not_use_variables"),
    Mutation("config/trust.py", "frozenset({Origin.ELSEWHERE, Origin.FOUND})", "frozenset({Origin.ELSEWHERE})", "nor does one that nobody named", "unit/config/test_discovery.py::test_only_what_is_harmless_unless_the_file_is_named"),
    Mutation("cli/discovery.py", "        if theirs := _theirs(inner):\n", "        if theirs := '':\n", "no file is read above a folder of others", "unit/config/test_discovery.py::test_a_file_that_is_not_read_is_said_to_be_there"),
    Mutation("cli/discovery.py", "    if theirs := _theirs(folder):\n", "    if theirs := '':\n", "no file is read that others may have put there", "unit/config/test_discovery.py::test_a_file_that_is_not_read_is_said_to_be_there"),
    Mutation("cli/discovery.py", "    theirs = _theirs(path)\n", "    theirs = ''\n", "nor one that they can write to", "unit/config/test_discovery.py::test_a_file_that_is_not_read_is_said_to_be_there"),
    Mutation("cli/discovery.py", "    if not no_config:\n", "    if True:\n", "--no-config reads nothing that was not named", "unit/config/test_discovery.py::test_every_command_reads_them"),
    Mutation("config/parsers.py", "    refuse_secrets(values, lambda: spans(text), where)\n", "", "secrets are not published", "unit/config/test_trust.py::test_a_secret_is_not_published"),
    Mutation("config/environment.py", "secret.start < span.end and span.start < secret.end", "secret.start <= span.start and span.end <= secret.end", "nor in a part of a value", "unit/config/test_trust.py::test_a_secret_is_not_published"),
    Mutation("config/layers.py", '        logging_types.check_logging_of_file(checked.get("logging"), layer.place / "logging")\n', "        pass\n", "logging in a file is no code", "unit/diagnostics/test_file_logging.py::test_nothing_runs_and_nothing_is_touched"),
    Mutation("config/layers.py", '        if layer.origin is not Origin.CALLER and "logging" in merged:\n', "        if False:\n", "a file does not give arguments to a handler that the caller chose", "unit/diagnostics/test_file_logging.py::test_a_file_does_not_fill_in_what_another_has_begun"),
    Mutation("config/logging_types.py", "    if _CONVERTED.search(given):\n", "    if False:\n", "no text in a file is looked up as code", "unit/diagnostics/test_file_logging.py::test_what_a_file_may_not_hold"),
    Mutation("config/logging_types.py", "not field.isidentifier()", "False", "a format does not look into objects", "unit/diagnostics/test_file_logging.py::test_what_a_file_may_not_hold"),
    Mutation("diagnostics/profile_file.py", " or os.pread(file, len(_MARK), 0) != _MARK", "", "a profile overwrites its like alone", "unit/diagnostics/test_diagnostics.py::test_a_profile_overwrites_nothing_else"),
    Mutation("diagnostics/profile_file.py", "os.O_RDWR | os.O_NOFOLLOW", "os.O_RDWR", "a profile follows no link", "unit/diagnostics/test_diagnostics.py::test_a_profile_overwrites_nothing_else"),
    Mutation("diagnostics/profile_file.py", "os.O_CREAT | os.O_EXCL", "os.O_CREAT", "a new profile is new", "unit/diagnostics/test_diagnostics.py::test_what_comes_to_lie_there_meanwhile_is_not_overwritten"),
    Mutation("diagnostics/diagnosed.py", "        profile_file.check_place(path)\n", "        pass\n", "a profile's place is looked at before", "unit/diagnostics/test_diagnostics.py::test_a_profile_overwrites_nothing_else"),
)

DROP_INS = (
    Mutation("sources/contexts.py", "            raise _stopped(generator, where, type(more).__name__)\n", "            pass\n", "a second slice of a generator is not lost in silence", "behaviour/test_zappend_slices.py::test_a_generator_that_yields_twice_is_refused"),
    Mutation("cli/zappend_command.py", "    if made.target_dir is None:\n", "    if False:\n", "no slice is taken for the target", "behaviour/test_zappend_drop_in.py::test_the_command_without_a_target"),
    Mutation("planning/new_target.py", "settings.encoding.fill_is_marker or ", "", "a configured marker is one", "behaviour/test_xarray_encoding.py::test_integers"),
    Mutation("config/xarray_encoding.py", "        if twice is not None:\n", "        if False:\n", "of two encodings none is dropped in silence", "behaviour/test_xarray_encoding.py::test_what_is_given_twice_is_refused"),
)

UNDEFINED_FILL = (
    Mutation("planning/missing_cells.py", "undefined = target.fill.image is None and (source is None or source.fill.image is not None)", "undefined = False", "what a slice says is written where the target says nothing", "behaviour/test_undefined_fill.py::test_zeros_of_a_slice_that_defines_them_are_written"),
    Mutation("planning/missing_cells.py", "(source is None or source.fill.image is not None)", "(source is not None and source.fill.image is not None)", "a variable that the slice has not is written where the target says nothing", "behaviour/test_undefined_fill.py::test_variable_that_the_slice_has_not"),
    Mutation("planning/missing_cells.py", "(source is None or source.fill.image is not None)", "True", "what nobody has said is not written", "behaviour/test_undefined_fill.py::test_what_neither_side_defines_is_not_written"),
    Mutation("execution/chunk_builder.py", "                return True  # unchanged", "                return False  # unchanged", "old cells that nobody has written are not written", "behaviour/test_undefined_fill.py::test_what_neither_side_defines_is_not_written"),
)

REFERENCE_SETS = (
    Mutation(REFERENCES, "if not any(found.is_below(allowed) for allowed in self._resolved):", "if False:", "where a reference leads is asked", references("what_lies_elsewhere_is_not")),
    Mutation(REFERENCES, "real = os.path.realpath(found.path)", "real = os.path.normpath(found.path)", "links are resolved", references("what_lies_elsewhere_is_not")),
    Mutation(REFERENCES, "if self._lazy:\n                self._require_absent(key)", "if False:\n                pass", "damaged parquet is no missing chunk", references("damaged_parquet_is_no_missing_chunk")),
    Mutation(REFERENCES, '("gen", raw.get("gen"))', '("gen", None)', "generators are refused", references("templates_are_refused")),
    Mutation(REFERENCE_BACKEND, 'if meaning(error) == "absent":', "if False:", "a file that is gone is no missing chunk", references("a_file_that_is_gone_is_no_missing_chunk")),
    Mutation(REFERENCE_BACKEND, "trace.on_request_redirect.append(refuse)", "pass", "redirects are not followed", references("redirects_are_not_followed")),
    Mutation(REFERENCE_BACKEND, "if found.size is not None and stop is not None and len(data)", "if False and len(data)", "the length of what came is looked at", references("a_server_that_ignores_ranges_is_noticed")),
    Mutation(LOCATIONS, "self.path.startswith(f\"{other.path.rstrip('/')}/\")", "self.path.startswith(other.path.rstrip('/'))", "names are compared segment by segment", references("below")),
    Mutation(LOCATIONS, "decoded = unquote(path)", "decoded = path", "percent-encoding is looked through", references("names_that_could_lead_elsewhere")),
    Mutation(GIVEN, "if leads_to_references(store):", "if False:", "stores around references are refused", references("what_lies_within_or_around_a_set_is_refused")),
)

PERMISSIONS = (
    Mutation(DATASET, "            return _named(store, error)", "            raise error", "what may not be listed is read by its consolidated metadata", permissions("a_slice_that_may_not_be_listed")),
    Mutation(DATASET, "    found |= store.read_many(named)\n    _require(named, found)", "    found |= store.read_many(named)", "half a dataset is no dataset", permissions("half_a_local_slice_that_may_not_be_listed")),
    Mutation(OBJECTS, '                    self.children("")  #', "                    pass  #", "that a target has to be listed is said before anything is written", permissions("a_target_has_to_be_listed")),
    Mutation(COORDINATOR, "                store.require_deletable()\n", "", "a lock that could not be removed is not made", permissions("a_lock_that_is_an_object_has_to_be_deleted")),
    Mutation(DISK, "            _sync_parent(os.path.dirname(self._root))", "            sync_path(os.path.dirname(self._root))", "a target's parent need not be readable", permissions("a_target_asks_nothing_of_its_parent")),
)
VALUES = (
    Mutation("format/v2.py", "        return among(fill, named)\n", "        return True\n", "a missing_value that contradicts the fill value makes it unclear", "behaviour/test_markers.py::test_a_missing_value_that_contradicts_the_fill_value"),
    Mutation("checks/comparing.py", "and (slice_bytes is not None or self._same_fill)", "and slice_bytes is not None", "chunks that both lack are not decoded", "behaviour/test_comparing.py::test_chunks_that_both_lack_cost_nothing"),
    Mutation("checks/comparing.py", "min(share.bytes // cost, _CONTENTS)", "share.bytes // cost", "no more chunks are opened than is reasonable", "behaviour/test_comparing.py::test_chunks_that_both_lack_cost_nothing"),
    Mutation("checks/already_appended.py", "            for earlier in self.planned:\n                values", "            for earlier in ():\n                values", "planned slices take up places in every group", "behaviour/test_comparing.py::test_a_group_that_comes_late_has_its_labels_where_they_are"),
    Mutation("planning/meaning.py", "return made if hiding is None or copied else", "return made if True else", "a bound does not begin to be missing", "behaviour/test_markers.py::test_a_bound_does_not_begin_to_be_missing"),
    Mutation("format/v2.py", "        return bool(array.marker == fill)\n", "        return True\n", "two markers that contradict each other are unclear", "behaviour/test_markers.py::test_two_markers_that_contradict_each_other_are_unclear"),
    Mutation("planning/steps.py", "verbatim and source.fill.image == target.fill.image", "verbatim", "what a copied shard lacks reads as the fill value", "unit/format/test_shards.py::test_inner_chunks_that_a_shard_lacks_keep_their_values"),
    Mutation("sources/feed.py", "self._failures, self._reason, self._error = [], None, None", "pass", "the feed does not keep an error", "unit/sources/test_slices_let_go.py::test_refusals"),
    Mutation("execution/run.py", "        done.pop().result()  #", "        future = done.pop()\n        future.result()  #", "nor do threads", "unit/sources/test_slices_let_go.py::test_an_error_while_chunks_are_moved_by_threads"),
    Mutation("sources/source_store.py", "            if not self.has_cells:\n                raise NotFoundError", "            if True:\n                raise NotFoundError", "what read lacks is made of cells", "behaviour/test_mixed_sources.py::test_what_is_not_given_as_bytes_is_given_as_cells"),
    Mutation("storage/hierarchy.py", "            and doors.may_hold_consolidated(listing.files, self.documents)", "            and False", "consolidated metadata below the root are read", "behaviour/test_larger_wholes.py::test_consolidated_metadata_at_any_depth_are_refreshed"),
    Mutation("operations/target.py", "    if around.pyramid is not None:\n", "    if False:\n", "a level is no target", "behaviour/test_larger_wholes.py::test_a_level_is_no_target"),
    Mutation("cf/encoding.py", '    if dtype.kind == "b":  #', "    if False:  #", "no boolean is missing", "behaviour/test_fill_values.py::test_no_boolean_is_missing"),
    Mutation("format/v2.py", "never_missing = array.is_label or is_boolean(array.dtype, attrs)", "never_missing = is_boolean(array.dtype, attrs)", "no label is missing", "behaviour/test_fill_values.py::test_a_label_that_equals_the_fill_value_is_a_label"),
    Mutation("format/v2.py", '        if arrays[path].assumed and "_FillValue" not in arrays[path].attributes:  # bounds are never missing\n', "        if False:\n", "no bound is missing", "behaviour/test_markers.py::test_no_bound_is_missing"),
    Mutation("format/v2.py", "bool(packed and fill != 0)", "packed", "a fill value that nobody chose is unclear", "behaviour/test_packing.py::test_a_packed_cell_that_equals_the_fill_value"),
    Mutation("cf/kernels.py", "if (unclear := missing & mask(cells, source.unclear)).any():", "if False:", "what readers see differently is refused", "behaviour/test_fill_values.py::test_where_readers_differ_the_slice_is_refused"),
    Mutation("cf/kernels.py", "        missing &= ~marked  #", "        pass  #", "markers of the target stay what they are", "unit/cf/test_cf.py::test_a_marker_that_the_target_has_too_stays"),
    Mutation("checks/reading.py", "    if array.fill.value != undefined(array.dtype):\n", "    if False:\n", "labels that were not written keep their value", "behaviour/test_fill_values.py::test_labels_that_were_never_written_keep_their_value"),
    Mutation("planning/documents.py", "        if path in unfilled:\n", "        if False:\n", "an existing label variable loses its fill value", "behaviour/test_fill_values.py::test_an_existing_target_loses_the_fill_value_that_would_hide_a_label"),
    Mutation("format/v3.py", 'if chain.endian != "big" or not', "if True or not", "array filters over big-endian numbers", "unit/format/test_codecs.py::test_array_filters_over_big_endian_numbers_in_the_other_format"),
    Mutation("checks/character_arrays.py", "    if longer.any():\n", "    if False:\n", "no text is cut", "behaviour/test_char_arrays.py::test_longer_texts_are_refused"),
    Mutation("checks/character_arrays.py", "            if all(found.get(key) == data for key, data in stored.items()):\n", "            if True:\n", "a changed slice is noticed in its other form", "behaviour/test_char_arrays.py::test_a_slice_that_changes_meanwhile_is_noticed"),
    Mutation("checks/comparing.py", "                suspects.append(number)\n", "                pass\n", "unequal lengths are looked into", "behaviour/test_comparing.py::test_a_chunk_of_another_length_is_looked_at_whatever_the_budget"),
    Mutation("checks/comparing.py", "    return [round(i * (total - 1) / (several - 1)) for i in range(several)]", "    return [0]", "the last chunk is among the sample", "behaviour/test_comparing.py::test_samples_are_spread"),
    Mutation("checks/comparing.py", "            if slice_bytes == target_bytes and (", "            if (slice_bytes is None) == (target_bytes is None) and (", "bytes are compared", "behaviour/test_comparing.py::test_a_difference_anywhere_is_found_and_named"),
    Mutation("checks/already_appended.py", "    known = next(i for i, found in enumerate(places) if found)\n", "    return None\n", "overlaps of labels in no order are refused", "behaviour/test_comparing.py::test_overlaps_of_labels_in_no_order_are_refused"),
    Mutation("storage/objects/errors.py", "(not_found and status is None)", "not_found", "a refusal is no absence, whatever a library calls it", "behaviour/test_remedies.py::test_a_library_that_calls_every_answer_not_found"),
    Mutation("sources/open_slice.py", "        if here != dict(there):\n", "        if False:\n", "a slice that is one step and changes is noticed", "behaviour/test_one_step_slices.py::test_a_slice_that_changes_while_it_is_copied"),
    Mutation("format/new_axis.py", "if (unknown := array.codecs.unknown) is not None:", "if (unknown := None) is not None:", "codecs that may know of axes", "behaviour/test_one_step_slices.py::test_codecs_that_may_depend_on_the_number_of_axes"),
    Mutation("planning/config_checks.py", "        if beside and (there is None or there.ndim):\n", "        if False:\n", "a scalar beside its dimension is refused", "behaviour/test_one_step_slices.py::test_a_single_value_beside_the_dimension"),
    Mutation("sources/append_label.py", "    if _axis_of(like) is not None and units is None:\n", "    if False:\n", "digits are no time", "behaviour/test_append_label.py::test_refusals"),
    Mutation("config/label_origin.py", "            if here and not once:\n", "            if False:\n", "patterns end", "behaviour/test_append_label.py::test_patterns_that_could_take_for_ever"),
)

SEEN = (
    Mutation("planning/gaps.py", "    if any(abs(difference - step) > rounding for difference in inner):\n", "    if False:\n", "a slice that keeps another step tells of no gap", "behaviour/test_gaps.py::test_an_append_says_nothing_where_nothing_can_be_told"),
    Mutation("planning/gaps.py", "        if fit is not None and fit.is_kept:\n", "        if False:\n", "months are steps", "behaviour/test_gaps.py::test_months_are_steps"),
    Mutation("format/agreement.py", "            if not _equal(here, there):\n                expected", "            if False:\n                expected", "consolidated metadata are compared", "behaviour/test_check.py::test_a_damage_is_found_and_nothing_else"),
    Mutation("checks/soundness.py", "    if ordered and wrong.any():\n", "    if False:\n", "labels out of order are found", "behaviour/test_check.py::test_a_damage_is_found_and_nothing_else"),
    Mutation("checks/stored_chunks.py", "            reader.decode(data, unit)\n", "            pass\n", "chunks are decoded by a check", "behaviour/test_check.py::test_what_a_shard_holds_is_decoded"),
    Mutation("operations/check.py", "        changed = changed or _is_changed(store, seen)\n", "        pass\n", "a change during a check is noticed", "behaviour/test_check.py::test_a_change_during_the_check_is_noticed"),
    Mutation("cli/printing.py", "        if lost is not None and (ended is None or not ended.code):\n", "        if False:\n", "output that is lost is told", "unit/cli/test_printing.py::test_a_full_disk_loses_what_is_printed_and_no_more"),
    Mutation("storage/local/flock.py", "os.fsencode(name)", "name.encode()", "locks of names that are not UTF-8", "unit/storage/test_names.py::test_a_lock_of_such_a_name"),
)  # fmt: skip
# fmt: on

# fmt: off
LOOKED_AT = (
    Mutation("operations/look_ahead.py", "and not follows(found, config):", "and False:", "slices of a call are in the order of their labels", "behaviour/test_looking_ahead.py::test_the_shells_order_is_refused_as_a_whole_and_can_be_sorted"),
    Mutation("operations/look_ahead.py", "same = kept, kept.is_unchanged(kept.dataset.documents)", "same = kept, True", "metadata that are kept are read again", "behaviour/test_looking_ahead.py::test_a_slice_that_changes_meanwhile_is_refused"),
    Mutation("operations/look_ahead.py", "same = fingerprint_of(source.uri, source.dataset.documents) == self._marks.pop(number)", "same = True", "metadata are compared with what was seen", "behaviour/test_looking_ahead.py::test_a_slice_that_changes_meanwhile_is_refused"),
    Mutation("checks/reading.py", "if seen is not None and seen.digest != digest_of_cells(stored):", "if False:", "labels are compared with what was seen", "behaviour/test_looking_ahead.py::test_a_slice_that_changes_meanwhile_is_refused"),
    Mutation("checks/reading.py", " and seen.conversion is conversion:", ":", "labels that were seen are those of another target", "behaviour/test_looking_ahead.py::test_a_target_that_another_writer_makes_meanwhile_changes_no_labels_of_slices"),
    Mutation("planning/meaning.py", "None if whose is None else whose.attributes, dataset.zarr_format", "None, dataset.zarr_format", "bounds follow their parent's units", "behaviour/test_remembered.py::test_bounds_follow_their_parent"),
    Mutation("planning/meaning.py", '*self._causes("target", target, path), narrow)', "narrow)", "a conversion is that into this target", "behaviour/test_remembered.py::test_a_conversion_is_that_of_these_two"),
    Mutation("planning/labels.py", ' or stored.dtype.kind == "f":', ":", "the grain of labels is that of those that are kept", "behaviour/test_remembered.py::test_joined_lines"),
)
PICTURES = (
    Mutation("pictures/page.py", "    return Markup(html.escape(plain, quote=True))\n", "    return Markup(plain)\n", "text in a page is escaped", "unit/pictures/test_rendered_pages.py::test_hostile_names_are_text"),
    Mutation("pictures/timeline.py", "        return 0 if not self.missing else", "        return 0 if 2 * self.missing < self.steps else", "a cell in which few steps are missing says so", "unit/pictures/test_timelines.py::test_every_missing_step_is_visible"),
    Mutation("operations/thumbnails.py", "    values[mask(cells, plain.markers)] = np.nan\n", "", "missing cells have no colour", "unit/pictures/test_rendered_pages.py::test_thumbnails_show_stored_values"),
    Mutation("cli/terminal.py", "    if has_colours(stream):\n        deep", "    if True:\n        deep", "colours are for terminals that have them", "unit/cli/test_kept_output.py::test_colours"),
    Mutation("operations/foresee.py", '    return "empty" if absent_is_fill else "encoded"', "    return kind", "a chunk that the slice lacks is shown so", "behaviour/test_dry_run.py::test_a_dry_run_counts_the_chunks_that_the_run_writes"),
    Mutation("operations/foresee.py", '            encoded += kinds.count("empty")', "            pass", "a dry run counts chunks of fill values where they are written", "behaviour/test_dry_run.py::test_a_dry_run_counts_the_chunks_that_the_run_writes"),
    Mutation("operations/foresee.py", "        if effort > self._left:", "        if False:", "a dry run looks at a bounded number of chunks", "behaviour/test_dry_run.py::test_a_dry_run_looks_at_a_bounded_number_of_chunks"),
)
COMPUTED = (
    Mutation(SHARED_CACHE, "                other.over.wait()\n", "                return make()\n", "threads that need a value at the same time make it once", cached("threads_that_ask_at_once_share_one_value[kept]")),
    Mutation(SHARED_CACHE, "while self._nbytes + nbytes > self.limit:", "while False:", "what a cache keeps is bounded", cached("what_was_used_least_recently_is_dropped_first")),
    Mutation(SHARED_CACHE, "            if nbytes <= self.limit:\n", "            if True:\n", "a value larger than the limit drops no others", cached("a_value_may_be_as_large_as_the_limit_and_no_larger")),
    Mutation(SHARED_CACHE, "raise _copied(other.failure)", "raise other.failure", "threads do not share an error", cached("threads_that_ask_at_once_get_the_same_error[plain]")),
    Mutation(SHARED_CACHE, "        except CancelledError:\n            raise  # the", "        except ZeroDivisionError:\n            raise  # the", "who did not cancel tries himself", cached("an_interrupt_is_of_one_thread_alone[cancelled]")),
    Mutation(SHARED_CACHE, "                del making  # this", "                pass  # this", "an error that is gone keeps no cells", cached("nothing_of_a_failed_value_is_left")),
    Mutation(DASK_BLOCKS, "        part = get_sync(tasks, key)\n", "        part = get_sync(tasks, key)\n        get_sync(self._tasks(key), [(self._name, *i) for i in indices(self._blocks)])\n", "a box computes the blocks that it touches and no others", blocks("a_box_computes_the_blocks_that_it_touches")),
    Mutation(DASK_BLOCKS, "self._cache.get((self._token, index), partial(self._computed, index), _size)", "self._computed(index)", "a block that is kept is not computed again", blocks("a_kept_block_is_not_computed_again")),
    Mutation(DASK_BLOCKS, "object()  # not", "array.name  # not", "lazy arrays of one name are told apart", blocks("arrays_in_one_cache_are_told_apart")),
    Mutation(DASK_BLOCKS, "        cells.flags.writeable = False\n", "", "cells that readers share cannot be changed", blocks("cells_that_are_shared_cannot_be_changed")),
    Mutation(DASK_BLOCKS, "and owner.nbytes <= cells.nbytes else", "else", "a block that is kept keeps no larger array", blocks("a_kept_block_keeps_nothing_else")),
)
SERVED = "unit/config/test_serve_settings.py::test_"
SERVE_COMMAND = "unit/cli/test_serve_command.py::test_"
SERVING = (
    Mutation("config/serve_settings.py", "    if is_loopback(settings.host) or settings.public or settings.token_file is not None:\n", "    if True:\n", "data are not served to other machines by mistake", f"{SERVED}other_machines_need_a_token_or_public_data"),
    Mutation("config/serve_settings.py", "    return address.is_loopback\n", "    return address.is_private\n", "an address of the local network is one of other machines", f"{SERVED}other_machines_need_a_token_or_public_data"),
    Mutation("config/serve_settings.py", "    if ANY_ORIGIN not in settings.cors or settings.public:\n", "    if True:\n", "web pages of any origin do not read data by mistake", f"{SERVED}any_origin_only_if_the_data_are_public"),
    Mutation("config/serve_settings.py", "    storage_options: Mapping[str, object] = field(default_factory=dict, repr=False)\n", "    storage_options: Mapping[str, object] = field(default_factory=dict)\n", "storage options of what is served are not shown", f"{SERVED}settings_can_be_sent_to_workers_and_show_no_secret"),
    Mutation("server/token_file.py", "    if mode & _OTHERS:\n", "    if False:\n", "a token file that other users can read is refused", f"{SERVE_COMMAND}a_token_file_that_others_can_read_the_hints_command_works"),
    Mutation("server/token_file.py", 'found="another character (the token is not shown)"', "found=token", "no token is shown", f"{SERVE_COMMAND}lines_that_are_no_tokens_are_not_shown"),
    Mutation("server/token_file.py", "    if not found:\n", "    if False:\n", "a file without tokens protects nothing", f"{SERVE_COMMAND}a_token_file_without_tokens_the_hints_command_works"),
    Mutation("server/arguments.py", "        if name in users and not (given and name in replaceable):\n", "        if False:\n", "no dataset hides another by mistake", f"{SERVE_COMMAND}two_equal_names_need_a_name_and_the_hint_gives_one"),
)
SERVED_STATES = (
    Mutation("server/generation.py", "    if (before.home, before.edits) != (after.home, after.edits):\n        return False\n", "", "an edit or another folder retires older states", "unit/server/test_states.py::test_what_is_no_growth_retires_older_states[2-edits]"),
    Mutation("server/generation.py", "and all(a <= b for a, b in zip(before.shape, after.shape, strict=True))", "", "a shorter array retires older states", "unit/server/test_states.py::test_what_is_no_growth_retires_older_states[3-shorter]"),
    Mutation("server/generation.py", "        and before.attributes == after.attributes\n", "", "other attributes of arrays retire older states", "unit/server/test_states.py::test_what_is_no_growth_retires_older_states[3-attributes]"),
    Mutation("server/resolving.py", "        410,\n", "        404,\n", "a state that is gone is no fill value", "unit/server/test_states.py::test_pinned_states[3]"),
    Mutation("server/failures.py", "        return 502\n", "        return 404\n", "a dataset that is gone is no fill value", "unit/server/test_states.py::test_the_folder_is_gone[3-True]"),
    Mutation("server/loading.py", "    if unequal := unequal_lengths(dataset, origin.append_dim):", "    if unequal := '':", "documents that do not fit together are not published", "unit/server/test_places.py::test_levels_that_differ_in_length_are_not_published"),
    Mutation("server/loading.py", "        if is_being_applied(origin.store):", "        if False:", "a commit that is being applied is not published", "faults/test_serving_crashes.py::test_without_consolidated_metadata"),
    Mutation("server/content.py", "        if not piece:\n", "        if False:\n", "an object that ends early is an error", "unit/server/test_http_semantics.py::test_short_content_is_an_error[3145728]"),
    Mutation("server/views.py", "    differs = stored.fill.value is not None and array.fill != stored.fill\n", "    differs = False\n", "missing chunks keep their value in the other format", "unit/server/test_views.py::test_missing_chunks_keep_their_value[3-7]"),
    Mutation("server/access.py", "        return name in _LOOPBACK or name == request.address or name in self.hosts\n", "        return True\n", "a server answers for its own names alone", "unit/server/test_http_semantics.py::test_hosts_that_are_known"),
    Mutation("server/pages.py", '.replace("://", ":<wbr>//")', "", "fsspec finds no other links than children", "unit/server/test_listings.py::test_links_are_the_children[.-3]"),
    Mutation("server/application.py", "            if not (holds(name, served) and lasts()):", "            if not lasts():", "a dataset that was taken away is not served from memory", "behaviour/test_serve.py::test_the_configuration_is_followed"),
    Mutation("server/growing.py", "        return published.is_same()  # the usual case, at the least cost\n", "        return True\n", "documents are not sent again after they changed", "unit/server/test_repeats.py::test_documents_are_sent_again_until_they_change"),
    Mutation("storage/local/opened.py", "above.st_ino != known[1] or", "False or", "a chunk in a folder that became a link is not read again", "unit/server/test_repeats.py::test_a_chunk_that_is_not_there_any_more[linked folder]"),
    Mutation("storage/local/opened.py", '_OPEN = READ | getattr(os, "O_NOFOLLOW", 0) | os.O_NONBLOCK', "_OPEN = READ | os.O_NONBLOCK", "a chunk that is a link is not followed", "unit/server/test_states.py::test_what_is_no_chunk[3-link]"),
)
# fmt: on

MUTATIONS = (
    *COMPUTED,
    *SYNCS,
    *LOCAL_STORAGE,
    *LOCAL_TRANSACTIONS,
    *OBJECT_TURNS,
    *OBJECT_STORAGE,
    *CONFIGURATION,
    *WHO_MAY_DO_WHAT,
    *DROP_INS,
    *UNDEFINED_FILL,
    *REFERENCE_SETS,
    *PERMISSIONS,
    *BELIEVED,
    *SPARSE,
    *VALUES,
    *SEEN,
    *LOOKED_AT,
    *PICTURES,
    *SERVING,
    *SERVED_STATES,
)
