"""Settings by topic, each in a few words, as shown by ``zapz config`` on a terminal. Pure.

``config.settings`` declares and documents them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOPICS: Mapping[str, Mapping[str, str]] = {
    "Target": {
        "target_dir": "Path or URI, if not an argument.",
        "target_storage_options": "Storage options for fsspec.",
        "append_dim": "Dimension along which it grows.",
        "attrs": "Attributes of its root group.",
        "attrs_update_mode": "Whose group attributes are kept.",
        "consolidated": "Write consolidated metadata.",
        "create": "Whether the target may or must be new.",
        "force_new": "Replace an existing target.",
    },
    "Encoding of a new target": {
        "variables": "Data types, chunks, packing, codecs, attributes.",
        "zarr_format": "2 or 3; by default as in the first slice.",
        "label_units": "Units of times if there is only one step.",
        "label_chunk": "Minimum chunk length of labels.",
        "recompress": "Re-encode chunks that could be copied.",
        "v2_fill_value": "Meaning of cells equal to a v2 fill_value.",
    },
    "Slices": {
        "included_variables": "Variables to append; by default all.",
        "excluded_variables": "Variables not to append.",
        "slice_size": "Required size in steps.",
        "slice_order": "As given, or by their first labels.",
        "fixed_dims": "Required sizes of other dimensions.",
        "static": "Allowed difference of static variables.",
        "on_missing": "If a variable is missing.",
        "on_extra": "If there is an extra variable.",
        "slice_storage_options": "Storage options for fsspec.",
        "slice_references": "Locations that reference sets may use.",
        "slice_polling": "Wait for slices that do not exist yet.",
        "slice_ready": "Object that marks a complete slice.",
        "slice_complete": "When a slice is complete.",
    },
    "Slices created by a function": {
        "slice_source": "The function, such as xarray:open_dataset.",
        "slice_source_kwargs": "Its keyword arguments.",
        "extra": "Your own settings for the function.",
        "persist_mem_slices": "Compute each into a temporary store first.",
        "temp_dir": "Folder for large computed slices.",
    },
    "Levels of a pyramid": {
        "levels": "Whether and how they are derived.",
    },
    "Labels": {
        "append_label": "Label of slices without the dimension.",
        "label_order": "Whether they increase or decrease.",
        "append_step": "Required step between labels.",
        "on_existing": "If a slice's labels are already there.",
        "resume_budget": "Bytes of such slices to compare.",
    },
    "Safety": {
        "durability": "What an append survives.",
        "verify": "Decode every chunk that is copied.",
        "lock_wait": "Seconds to wait for another writer.",
        "journal": "Location of lock and journal.",
        "register": "Recognise slices without labels.",
        "single_writer": "Allow storage without writer exclusion.",
        "follow_links": "Allow linked folders that lead out.",
        "trust_config": "Trust configuration files from URIs.",
    },
    "Speed and memory": {
        "workers": "Number of worker threads.",
        "prefetch": "Slices opened or computed ahead.",
        "memory_limit": "Bytes of memory for chunks in progress.",
    },
    "Serving": {
        "serve": "What `zapz serve` serves, where, and to whom.",
    },
    "The run": {
        "dry_run": "Plan and check; change nothing.",
        "logging": "Log to standard error, or as configured.",
        "profiling": "Report where the time is spent.",
        "version": "Version of the configuration format.",
    },
    "Accepted but ignored": {
        "permit_eval": "Expressions never run Python code.",
        "slice_engine": "Slices are opened as Zarr.",
        "temp_storage_options": "Temporary files are local.",
        "disable_rollback": "Changes are always rolled back.",
    },
}
"""Topics, with the settings of each."""

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
"""Sample values, for settings whose declaration has no example."""
