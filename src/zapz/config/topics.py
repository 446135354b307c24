"""What settings are about, and each of them in a few words: what ``zapz config`` shows on a terminal. Pure.

``config.settings`` declares them and says all that there is to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOPICS: Mapping[str, Mapping[str, str]] = {
    "Target": {
        "target_dir": "Where it is, if no argument says so.",
        "target_storage_options": "fsspec's options for its storage.",
        "append_dim": "Dimension along which it grows.",
        "attrs": "Attributes of its root group.",
        "attrs_update_mode": "Group attributes: the target's or the slice's.",
        "consolidated": "Write consolidated metadata.",
        "create": "Whether it may, or must, be new.",
        "force_new": "Replace an existing target.",
    },
    "Encoding of a new target": {
        "variables": "Data types, chunks, packing, codecs, attributes.",
        "zarr_format": "2 or 3; by default as the first slice.",
        "label_units": "Units of times that one step says little of.",
        "label_chunk": "Least chunk length of labels.",
        "recompress": "Re-encode chunks that could be copied.",
        "v2_fill_value": "What cells equal to a v2 fill_value are.",
    },
    "Slices": {
        "included_variables": "Variables to append; by default all.",
        "excluded_variables": "Variables not to append.",
        "slice_size": "Size that each must have.",
        "slice_order": "As given, or by their first labels.",
        "fixed_dims": "Sizes that other dimensions must have.",
        "static": "How equal static variables must be.",
        "on_missing": "If one lacks a variable.",
        "on_extra": "If one has a variable too many.",
        "slice_storage_options": "fsspec's options for their storage.",
        "slice_references": "Where reference sets may lead.",
        "slice_polling": "Wait for those that are not there yet.",
        "slice_ready": "Object that says that one is complete.",
        "slice_complete": "When one is complete.",
    },
    "Slices made by a function": {
        "slice_source": "The function, such as xarray:open_dataset.",
        "slice_source_kwargs": "Its keyword arguments.",
        "extra": "Settings of your own, for it.",
        "persist_mem_slices": "Compute each into a temporary store first.",
        "temp_dir": "Where large ones are kept meanwhile.",
    },
    "Labels": {
        "append_label": "Label of slices without the dimension.",
        "label_order": "Whether they increase or decrease.",
        "append_step": "Step that neighbours must keep.",
        "on_existing": "If those of a slice are there already.",
        "resume_budget": "Bytes of such slices that are compared.",
    },
    "Safety": {
        "durability": "What an append survives.",
        "verify": "Decode every chunk that is copied.",
        "lock_wait": "Seconds to wait for another writer.",
        "journal": "Where lock and journal lie.",
        "register": "Recognise slices without labels.",
        "single_writer": "Allow storage that keeps no two writers apart.",
        "follow_links": "Allow linked folders that lead out.",
        "trust_config": "Trust configuration files from URIs.",
    },
    "Speed and memory": {
        "workers": "Threads that move chunks.",
        "prefetch": "Slices opened or computed ahead.",
        "memory_limit": "Bytes for chunks under way.",
    },
    "The run": {
        "dry_run": "Plan and check; touch nothing.",
        "logging": "Log to standard error, or as a table says.",
        "profiling": "Report where the time went.",
        "version": "Version of the form of configurations.",
    },
    "Accepted and not used": {
        "permit_eval": "Expressions need no permission.",
        "slice_engine": "Slices are Zarr.",
        "temp_storage_options": "Temporary files are local.",
        "disable_rollback": "There is nothing to roll back.",
    },
}
"""Topics, and the settings of each."""

SAMPLES: Mapping[str, Any] = {
    "append_dim": "step",
    "label_chunk": "keep",
    "lock_wait": 60,
    "memory_limit": "4GB",
    "prefetch": 1,
    "resume_budget": "1GB",
    "slice_storage_options": {"anon": True},
    "static": 0.01,
    "target_storage_options": {"anon": True},
    "temp_storage_options": {"anon": True},
    "variables": {"sst": {"encoding": {"dtype": "int16"}}},
}
"""Values that show how a setting is given, where its declaration has no example."""
