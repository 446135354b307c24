"""Every setting that a hint offers is followed to the letter by some test: the next run succeeds, and the data are what a person would want.

``FOLLOWED`` says which test that is, for each place that offers something; a place that is not in it fails.
"""

from __future__ import annotations

import ast
import errno
import fcntl
import os
import shutil
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import ROOT
from kit.cubes import read, write_array, write_group
from kit.small_days import day, locked

import zapz
from zapz.config.layers import NAMES

HERE = "behaviour/test_hints_are_followed.py::"
FLAGS = "unit/cli/test_setting_flags.py::"
FOLLOWED: Mapping[tuple[str, str], str] = {
    ("cf/conversion.py", "force_new"): HERE + "test_a_type_that_holds_both",
    ("cf/conversion.py", "variables"): FLAGS + "test_hints_work_in_the_shell_as_they_stand",
    ("cf/kernels.py", "v2_fill_value"): HERE + "test_cells_that_may_be_missing",
    ("cf/time_conversion.py", "force_new"): "behaviour/test_remedies.py::test_times_that_the_target_cannot_hold",
    ("cf/time_conversion.py", "variables"): "behaviour/test_remedies.py::test_times_that_the_target_cannot_hold",
    ("checks/already_appended.py", "on_existing"): HERE + "test_labels_that_are_there",
    ("checks/soundness.py", "label_order"): FLAGS + "test_a_finding_names_a_flag_of_the_check",
    (
        "checks/static_advice.py",
        "append_label",
    ): "behaviour/test_one_step_slices.py::test_coordinates_that_differ_from_step_to_step",
    ("checks/static_advice.py", "force_new"): "behaviour/test_remedies.py::test_scalars_that_differ_per_slice",
    ("checks/static_advice.py", "static"): HERE + "test_static_variables",
    (
        "format/new_axis.py",
        "excluded_variables",
    ): "behaviour/test_one_step_slices.py::test_codecs_that_may_depend_on_the_number_of_axes",
    (
        "operations/look_ahead.py",
        "slice_order",
    ): "behaviour/test_looking_ahead.py::test_the_shells_order_is_refused_as_a_whole_and_can_be_sorted",
    ("operations/run_plan.py", "slice_polling"): HERE + "test_a_slice_that_is_still_written",
    ("operations/target_state.py", "create"): "behaviour/test_looking_ahead.py::test_existing",
    ("planning/compatibility.py", "excluded_variables"): HERE + "test_a_variable_that_the_target_lacks",
    ("planning/compatibility.py", "on_extra"): HERE + "test_a_variable_that_the_target_lacks",
    ("planning/compatibility.py", "on_missing"): HERE + "test_a_variable_that_the_slice_lacks",
    (
        "planning/levels.py",
        "on_missing",
    ): "behaviour/test_pyramids.py::test_a_pyramid_that_the_slice_lacks_can_be_filled",
    ("planning/config_checks.py", "append_dim"): "behaviour/test_remedies.py::test_another_append_dimension",
    ("planning/config_checks.py", "append_label"): HERE + "test_a_form_without_an_origin",
    (
        "planning/config_checks.py",
        "excluded_variables",
    ): "behaviour/test_one_step_slices.py::test_a_single_value_beside_the_dimension",
    (
        "planning/config_checks.py",
        "included_variables",
    ): "behaviour/test_remedies.py::test_groups_with_lengths_of_their_own",
    ("planning/configured_variables.py", "on_missing"): HERE + "test_a_configured_variable_that_the_first_slice_lacks",
    ("planning/contradictions.py", "force_new"): FLAGS + "test_what_is_offered_has_the_shells_words_and_works",
    ("planning/encoding.py", "zarr_format"): HERE + "test_shards_need_version_3",
    ("planning/label_order.py", "label_order"): HERE + "test_an_order_that_is_not_wanted",
    ("planning/label_steps.py", "append_step"): FLAGS + "test_what_is_offered_has_the_shells_words_and_works",
    ("planning/level_windows.py", "levels"): "behaviour/test_derived_levels.py::test_a_method_that_is_offered",
    ("planning/selection.py", "on_missing"): HERE + "test_an_included_variable_that_the_slice_lacks",
    ("sources/append_label.py", "append_label"): HERE + "test_labels_that_are_written_in_another_way",
    ("sources/readiness.py", "slice_polling"): HERE + "test_a_slice_that_is_still_written",
    ("storage/hierarchy.py", "follow_links"): HERE + "test_links",
    ("storage/holder.py", "lock_wait"): HERE + "test_a_target_that_is_held",
    ("storage/local/opened.py", "follow_links"): "behaviour/test_serve.py::test_links_are_followed_if_that_is_set",
    ("storage/local/store.py", "follow_links"): HERE + "test_links",
    ("storage/local/turn.py", "journal"): HERE + "test_a_journal_on_another_file_system",
    ("storage/no_dataset.py", "slice_source"): "behaviour/test_other_formats.py::test_the_remedy_for_netcdf_works",
    ("storage/objects/store.py", "single_writer"): HERE + "test_storage_that_keeps_no_writers_apart",
    (
        "storage/references/sets.py",
        "slice_references",
    ): "unit/storage/test_references.py::test_what_lies_elsewhere_is_not",
}


def offered() -> set[tuple[str, str]]:
    """Return the settings that hints in the source offer, by file: keys of tables in files that speak of remedies."""
    found = set()
    for path in sorted((ROOT / "src" / "zapz").rglob("*.py")):
        text, file = path.read_text(), path.relative_to(ROOT / "src" / "zapz").as_posix()
        if file.startswith(("cli/", "errors.py")) or not any(
            word in text for word in ("remedies", "Advice", "advised(")
        ):
            continue
        for node in ast.walk(ast.parse(text)):
            keys = [key for key in node.keys if key is not None] if isinstance(node, ast.Dict) else []
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
                target = node.targets[0]
                keys = [target.slice] if ast.unparse(target.value) == "remedies" else []
            words = [ast.unparse(key).lstrip("f").strip("'") for key in keys]
            words = ["variables.NAME" if word == "setting" else word for word in words]  # made of a variable's name
            found |= {
                (file, word.partition(".")[0])
                for word in words
                if word.partition(".")[0] in NAMES and word != "variables"
            }
    return found


def test_every_setting_that_is_offered_is_followed() -> None:
    assert offered() == set(FOLLOWED)
    for test in FOLLOWED.values():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), test


def follow(target: Any, slices: Any, *chosen: str, **settings: Any) -> zapz.Report:
    """Append what is refused with the settings that the refusal offers, or the ones chosen of them."""
    with pytest.raises(zapz.ZapzError) as caught:
        zapz.append(target, slices, **settings)
    remedies = caught.value.remedies
    for name in remedies:
        assert f"{name.partition('.')[0]}=" in caught.value.hint, "the hint says what each of them does"
    assert set(chosen) <= set(remedies) != set()
    return zapz.append(target, slices, **{**settings, **{name: remedies[name] for name in chosen or remedies}})


def one(label: float, **variables: Any) -> dict[str, Any]:
    """Return a slice of one step in memory; variables are along ``time`` and ``x``."""
    given = variables or {"v": np.full((1, 3), float(label))}
    return {"time": ("time", np.array([label])), **{name: (("time", "x"), cells) for name, cells in given.items()}}


FULL = np.full((1, 3), 5.0)


def test_a_variable_that_the_slice_lacks(tmp_path: Path) -> None:
    zapz.append(tmp_path / "t", one(0, v=FULL, w=np.ones((1, 3), "i4")))
    assert follow(tmp_path / "t", one(1, w=np.ones((1, 3), "i4"))).length == 2
    found = read(tmp_path / "t")
    assert np.isnan(found["v"][1]).all()
    assert found["w"].tolist() == [[1] * 3] * 2


@pytest.mark.parametrize("chosen", ["excluded_variables", "on_extra"])
def test_a_variable_that_the_target_lacks(chosen: str, tmp_path: Path) -> None:
    zapz.append(tmp_path / "t", one(0))
    assert follow(tmp_path / "t", one(1, v=FULL, w=FULL), chosen).length == 2
    assert read(tmp_path / "t")["v"].tolist() == [[0.0] * 3, [5.0] * 3]
    assert set(read(tmp_path / "t")) == {"time", "v"}


def test_an_included_variable_that_the_slice_lacks(tmp_path: Path) -> None:
    zapz.append(tmp_path / "t", one(0, v=FULL, w=FULL))
    follow(tmp_path / "t", one(1, v=FULL), included_variables=["v", "w"])
    assert np.isnan(read(tmp_path / "t")["w"]).tolist() == [[False] * 3, [True] * 3]


def test_a_configured_variable_that_the_first_slice_lacks(tmp_path: Path) -> None:
    made = {"w": {"dims": ["time", "x"], "encoding": {"dtype": "float32"}}}
    follow(tmp_path / "t", one(0), variables=made)
    found = read(tmp_path / "t")["w"]
    assert (found.dtype, found.shape, np.isnan(found).all()) == (np.float32, (1, 3), True)


def test_a_form_without_an_origin(tmp_path: Path) -> None:
    write_group(tmp_path / "sst_20250106", zarr_format=3)
    write_array(tmp_path / "sst_20250106", "v", np.ones((2, 3)), dims=["y", "x"], zarr_format=3)
    follow(tmp_path / "t", tmp_path / "sst_20250106", append_label={"format": "%Y%m%d"})
    assert zapz.info(tmp_path / "t").labels["time"][0] == "2025-01-06T00:00:00"


@pytest.mark.parametrize(
    ("label", "chosen"),
    [
        ({"from": "value:06/2025", "format": "%Y"}, None),  # strptime's words are the user's to write
        ({"from": "value:20250107"}, "append_label.format"),
        ({"from": "value:2025-01-06T10:30", "units": "days since 2025-01-01"}, "append_label.units"),
    ],
)
def test_labels_that_are_written_in_another_way(label: dict[str, str], chosen: str | None, tmp_path: Path) -> None:
    step = {"v": (("y", "x"), np.ones((2, 3)))}
    if chosen != "append_label.units":
        zapz.append(tmp_path / "t", step, append_label={"from": "value:2025-01-05"})
    if chosen is None:
        with pytest.raises(zapz.LabelError) as caught:
            zapz.append(tmp_path / "t", step, append_label=label)
        assert "append_label.format" in caught.value.remedies
        return
    follow(tmp_path / "t", step, chosen, append_label=label)
    last = zapz.info(tmp_path / "t").labels["time"][1]
    assert last == ("2025-01-06T10:30:00" if chosen == "append_label.units" else "2025-01-07T00:00:00")


@pytest.mark.parametrize("labels", [[3, 5, 2], [True, False]])
def test_an_order_that_is_not_wanted(labels: list[Any], tmp_path: Path) -> None:
    """Out of order, and without any; what is appended stands as it is."""
    slices = [
        {"time": ("time", np.array([label])), "v": (("time", "x"), np.full((1, 3), float(i)))}
        for i, label in enumerate(labels)
    ]
    if isinstance(labels[0], bool):
        slices = [{**each, "time": ("time", np.array([complex(i, i)]))} for i, each in enumerate(slices)]
    zapz.append(tmp_path / "t", slices[:-1], label_order="any")
    follow(tmp_path / "t", slices[-1], "label_order")
    assert read(tmp_path / "t")["v"][:, 0].tolist() == list(range(len(labels)))


def test_labels_that_are_there(tmp_path: Path) -> None:
    zapz.append(tmp_path / "t", [one(0), one(1)])
    assert follow(tmp_path / "t", one(1), on_existing="refuse").already == 1
    assert follow(tmp_path / "t", one(1, v=FULL)).skipped == 1
    over = {"time": ("time", np.array([1, 2])), "v": (("time", "x"), np.array([[1.0] * 3, [2.0] * 3]))}
    with pytest.raises(zapz.LabelError):
        zapz.append(tmp_path / "t", over)
    assert read(tmp_path / "t")["v"][:, 0].tolist() == [0, 1]


def test_a_type_that_holds_both(tmp_path: Path) -> None:
    """The target is made anew, from all slices."""
    zapz.append(tmp_path / "t", one(0, v=FULL.astype("f4")))
    slices = [one(0, v=FULL.astype("f4")), one(1, v=FULL.astype("c8") * 1j)]
    with pytest.raises(zapz.ZapzError) as caught:
        zapz.append(tmp_path / "t", slices[1])
    zapz.append(tmp_path / "t", slices, **caught.value.remedies)
    assert read(tmp_path / "t")["v"][:, 0].tolist() == [5, 5j]


def test_static_variables(tmp_path: Path) -> None:
    """A mask that differs; what the target has stays."""
    masks = [{"mask": ("x", np.array([0, 1, n], "i4"))} for n in (0, 1)]
    zapz.append(tmp_path / "t", one(0) | masks[0])
    follow(tmp_path / "t", one(1) | masks[1])
    assert read(tmp_path / "t")["mask"].tolist() == [0, 1, 0]
    assert read(tmp_path / "t")["v"][:, 0].tolist() == [0, 1]


def test_shards_need_version_3(tmp_path: Path) -> None:
    follow(tmp_path / "t", one(0), zarr_format=2, variables={"v": {"encoding": {"chunks": [1, 1], "shards": [1, 3]}}})
    assert zapz.info(tmp_path / "t").zarr_format == 3
    assert read(tmp_path / "t")["v"].tolist() == [[0.0] * 3]


def test_cells_that_may_be_missing(tmp_path: Path) -> None:
    """zarr-python's fill value 0, which no attribute calls missing: as values they stay zeros."""
    for name, fill in (("t", 0), ("s", 7)):
        write_group(tmp_path / name, zarr_format=2)
        write_array(tmp_path / name, "time", np.array([1 + (name == "s")]), dims=["time"], zarr_format=2, fill=None)
        cells = np.array([[0, 7, 2]], "i4")
        write_array(tmp_path / name, "v", cells, dims=["time", "x"], zarr_format=2, fill=fill)
    follow(tmp_path / "t", tmp_path / "s")
    assert read(tmp_path / "t")["v"].tolist() == [[0, 7, 2]] * 2


@pytest.mark.parametrize("of", ["slice", "target"])
def test_links(of: str, tmp_path: Path) -> None:
    write_group(tmp_path / "s", zarr_format=3)
    write_array(tmp_path / "s", "time", np.array([1]), dims=["time"], zarr_format=3)
    write_array(tmp_path / "s", "v", FULL, dims=["time", "x"], zarr_format=3)
    zapz.append(tmp_path / "t", one(0))
    place = tmp_path / ("s" if of == "slice" else "t") / "v"
    (tmp_path / "away").mkdir()
    (place if of == "slice" else place / "c").rename(tmp_path / "away" / "v")
    (place if of == "slice" else place / "c").symlink_to(tmp_path / "away" / "v")
    follow(tmp_path / "t", tmp_path / "s")
    assert read(tmp_path / "t")["v"].tolist() == [[0.0] * 3, [5.0] * 3]


def test_a_target_that_is_held(tmp_path: Path) -> None:
    """Another append ends while it is waited for."""
    target = str(tmp_path / "t")
    held = locked(target)
    with held, pytest.raises(zapz.LockedError) as caught:
        zapz.append(target, day(2))
    assert caught.value.remedies == {"lock_wait": 600}
    other = str(tmp_path / "u")
    held = locked(other)
    held.__enter__()
    ending = threading.Timer(0.2, held.__exit__, (None, None, None))
    ending.start()
    assert zapz.append(other, day(2), **caught.value.remedies).length == 2
    ending.join()


@pytest.mark.parametrize("sign", [{"slice_ready": "_READY"}, {"slice_complete": "chunks"}])
def test_a_slice_that_is_still_written(sign: dict[str, str], tmp_path: Path) -> None:
    write_group(tmp_path / "s", zarr_format=3)
    write_array(tmp_path / "s", "time", np.array([1]), dims=["time"], zarr_format=3)
    write_array(tmp_path / "s", "v", FULL, dims=["time", "x"], zarr_format=3)
    chunk = tmp_path / "s" / "v" / "c" / "0" / "0"
    late = tmp_path / "s" / "_READY" if "slice_ready" in sign else chunk
    data = chunk.read_bytes()
    late.unlink(missing_ok=True)
    threading.Timer(0.2, lambda: late.write_bytes(data)).start()
    assert follow(tmp_path / "t", tmp_path / "s", **sign).appended == 1
    assert read(tmp_path / "t")["v"].tolist() == [[5.0] * 3]


def test_storage_that_keeps_no_writers_apart() -> None:
    from zarr.storage import MemoryStore, WrapperStore

    inner = MemoryStore()
    follow(WrapperStore(inner), one(0))
    assert zapz.info(inner).dims["time"] == 1


def test_a_journal_on_another_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target is a mount point, and there is no ``flock``: what lies beside the target lies elsewhere, with its lease."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    target = tmp_path / "t"
    target.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("this machine has no mount")
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(target)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    monkeypatch.setattr(fcntl, "flock", refuse)
    try:
        assert follow(target, one(0), journal="beside").length == 1
    finally:
        subprocess.run(["umount", str(target)], check=True)
