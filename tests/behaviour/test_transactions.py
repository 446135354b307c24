"""All or nothing: refusals leave no trace, failing storage is rolled back, other tools' data are kept, links are
never followed out.

The first part is a kit that ``test_crashes``, ``test_locks``, ``test_bad_input`` and ``test_journal`` share: trees as
values, the command line in
this process, and a server that forks one child per run, in which the k-th operation on storage kills the process,
fails, or waits for a signal.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import cubes
from kit.command_line import cli
from kit.faulty_runs import ROOT, Server
from kit.scenarios import Scenario, bad_slice, neither, other_tool_appends
from kit.trees import differ, times, tree, without_ours

import zapz
from zapz.errors import ConflictError, StoreError

# -- the kit ---------------------------------------------------------------------------------------------------------


# -- storage that fails ----------------------------------------------------------------------------------------------

NUMBERS = ["ENOSPC", "EIO", "EACCES"]


@pytest.mark.parametrize("name", ["misaligned-v2", "new-v3"])
def test_any_operation_may_fail(
    name: str, scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """Exit code 6; rolled back before the decision; after it "committed", and recovery finishes. Reads and syncs fail
    too."""
    scenario = scenario_of(name)
    count = server.run(
        "append",
        scenario.fresh(tmp_path / "count.zarr"),
        scenario.slice,
        settings=scenario.settings,
        fail={"at": 0, "errno": "EIO", "looks": True},
    )["ops"]
    problems = []
    chosen = range(1, count + 1, 1 if count <= 160 else 3)
    for point in chosen:
        number = NUMBERS[point % 3]
        target = scenario.fresh(tmp_path / f"{point}.zarr")
        order = {"at": point, "errno": number, "looks": True}
        reply = server.run("append", target, scenario.slice, settings=scenario.settings, fail=order)
        found = without_ours(tree(target))
        where = f"{point} {number} {reply['log'][point - 1].replace(str(target), '')}"
        if reply["code"] not in {0, 6}:
            problems.append(f"{where}: exit {reply['code']}, {reply['message'].strip().splitlines()[-1]}")
        if "committed" not in reply["message"] and found not in (scenario.old, scenario.new):
            problems.append(f"{where}: not rolled back: {differ(found, scenario.old)}")
        if target.exists():
            again = server.run("recover", target)
            found = tree(target)
            committed = reply["code"] == 0 or "committed" in reply["message"]
            if again["code"] != 0 or found not in ((scenario.new,) if committed else (scenario.old, scenario.new)):
                problems.append(f"{where}: recovered: {again['message']} {neither(found, scenario)}")
            shutil.rmtree(target, ignore_errors=True)
    assert not problems, "\n".join(problems[:8])


@pytest.mark.parametrize("which", ["folder", "chunk"])
@pytest.mark.parametrize("name", ["misaligned-v2", "stale-v3"])
def test_error_while_probing(
    name: str, which: str, scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """Only a definite absence is an absence: if looking for chunks that exist fails once, none is taken for new (and
    then removed, when that turns out to be wrong)."""
    scenario = scenario_of(name)
    looks = {"at": 0, "errno": "EIO", "looks": True}
    place = scenario.fresh(tmp_path / "count.zarr")
    log = server.run("append", place, scenario.slice, settings=scenario.settings, fail=looks)["log"]
    chunk = "data/0.0.0" if scenario.zarr_format == 2 else "data/c/1/0/0"
    at = next(n for n, line in enumerate(log, 1) if line == f"lstat {place}/{chunk}")
    if which == "folder":
        at = max(n for n, line in enumerate(log[:at], 1) if line == f"lstat {(place / chunk).parent}")
    for number in NUMBERS:
        target = scenario.fresh(tmp_path / f"{number}.zarr")
        order = {"at": at, "errno": number, "looks": True}
        reply = server.run("append", target, scenario.slice, settings=scenario.settings, fail=order)
        assert tree(target) == scenario.old, differ(tree(target), scenario.old)
        assert reply["code"] == 6, reply["message"]


@pytest.mark.parametrize("name", ["misaligned-v3", "new-v2"])
def test_full_disk(name: str, scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path) -> None:
    """From some write on nothing can be written any more: exit code 6, and what had been written is removed, which
    needs no space."""
    scenario = scenario_of(name)
    done = server.run("append", scenario.fresh(tmp_path / "count.zarr"), scenario.slice, settings=scenario.settings)
    writes = [n for n, line in enumerate(done["log"], 1) if line.startswith("write ")]
    problems = []
    for point in writes:
        target = scenario.fresh(tmp_path / f"{point}.zarr")
        order = {"at": point, "errno": "ENOSPC", "on": True, "only": ["write", "pwrite"]}
        reply = server.run("append", target, scenario.slice, settings=scenario.settings, fail=order)
        if reply["code"] != 6 or "space" not in reply["message"]:
            problems.append(f"{point}: exit {reply['code']}, {reply['message'].strip().splitlines()[-1:]}")
        if tree(target) != scenario.old:
            problems.append(f"{point}: not rolled back: {differ(tree(target), scenario.old)}")
    assert not problems, "\n".join(problems[:8])


def test_read_only(scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path) -> None:
    """A read-only file system (every change fails): exit code 6, says so, nothing changes."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    reply = server.run(
        "append", target, scenario.slice, settings=scenario.settings, fail={"at": 1, "errno": "EROFS", "on": True}
    )
    assert reply["code"] == 6
    assert "read-only" in reply["message"].lower()
    assert str(target) in reply["message"]
    assert tree(target) == scenario.old


def test_lost_answer_of_the_decision(scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path) -> None:
    """The decision is made, but an error hides that, and it cannot be read back: nothing may be undone, whatever then
    happens."""
    scenario = scenario_of("aligned-v2")
    done = server.run(
        "append",
        scenario.fresh(tmp_path / "count.zarr"),
        scenario.slice,
        settings=scenario.settings,
        fail={"at": 0, "errno": "EIO", "looks": True},
    )
    made = next(n for n, line in enumerate(done["log"], 1) if line.startswith("link ") and line.endswith("/decision"))
    problems = []
    order = {
        "at": made + 1,
        "errno": "EIO",
        "on": True,
        "times": 2,
        "only": ["unlink", "open"],
        "containing": "/.zapz/txn/",
        "looks": True,
    }
    whole = server.run(
        "append", scenario.fresh(tmp_path / "whole.zarr"), scenario.slice, settings=scenario.settings, fail=order
    )["log"]
    for kill in (n for n, line in enumerate(whole, 1) if n > made and line.startswith(("unlink ", "rmdir "))):
        target = scenario.fresh(tmp_path / f"{kill}.zarr")
        server.run("append", target, scenario.slice, settings=scenario.settings, fail=order, kill=kill)
        server.run("recover", target)
        if tree(target) not in (scenario.old, scenario.new):
            problems.append(f"{kill}: {neither(tree(target), scenario)}")
        shutil.rmtree(target)
    assert not problems, "\n".join(problems[:8])


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
@pytest.mark.parametrize("what", ["target", "parent", "slice", "chunk"])
def test_no_permission(what: str, scenario_of: Callable[[str], Scenario], server: Server) -> None:
    """Somebody without permission: exit code 6 that names the place, and nothing changes."""
    scenario = scenario_of("misaligned-v2")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="zapz-test-") as name:
        place = Path(name)
        place.chmod(0o755)
        parent = place / "parent"
        parent.mkdir()
        target, part = parent / "cube.zarr", place / "slice.zarr"
        shutil.copytree(scenario.before, target)
        shutil.copytree(scenario.slice, part)
        for path in (parent, *parent.rglob("*"), part, *part.rglob("*")):
            os.chown(path, 65534, 65534)
        forbidden = {"target": target, "parent": parent, "slice": part, "chunk": part / "data/0.0.0"}[what]
        os.chown(forbidden, 0, 0)
        forbidden.chmod({"target": 0o555, "parent": 0o700, "slice": 0o700, "chunk": 0o600}[what])
        reply = server.run("append", target, part, settings=scenario.settings, uid=65534)
        assert reply["code"] == 6, reply["message"]
        assert "permission" in reply["message"].lower()
        assert tree(target) == scenario.old


# -- other tools -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", ["misaligned-v2", "misaligned-v3", "aligned-v2"])
def test_other_tool_between_crash_and_recovery(
    name: str, steps: int, scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """Before the decision: exit code 8, every byte of the other tool stays, and the append after that works."""
    scenario = scenario_of(name)
    done = server.run("append", scenario.fresh(tmp_path / "count.zarr"), scenario.slice, settings=scenario.settings)
    decided = next(
        n for n, line in enumerate(done["log"], 1) if line.startswith("link ") and line.endswith("/decision")
    )
    noted = next(n for n, line in enumerate(done["log"], 1) if line.startswith("create ") and line.endswith("/journal"))
    begun = next(n for n, line in enumerate(done["log"], 1) if n > noted and line.startswith("create "))
    for point in sorted({begun, (begun + decided) // 2, decided - 4, decided}):
        target = scenario.fresh(tmp_path / f"{point}.zarr")
        server.run("append", target, scenario.slice, settings=scenario.settings, kill=point)
        other_tool_appends(target, steps, zarr_format=scenario.zarr_format)
        theirs = cubes.read(target)
        kept = without_ours(tree(target))
        reply = server.run("recover", target)
        assert reply["code"] == 8, f"{point}: {reply['message']}"
        assert kept.items() <= tree(target).items(), f"{point}: {differ(tree(target), kept)}"
        cubes.same(cubes.read(target), theirs)
        assert ".zapz" not in tree(target)
        late = tmp_path / f"late{point}.zarr"
        start = len(theirs["time"]) + 5
        part = cubes.make_slice(late, start=start, steps=2, zarr_format=scenario.zarr_format, shape=(10, 8))
        assert server.run("append", target, late, settings=scenario.settings)["appended"] == 1
        cubes.same(cubes.read(target, consolidated=True), cubes.joined([theirs, part], cubes.axes_of()))


def test_other_tool_writes_the_very_documents(
    scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """After a crash before the decision another tool appends as many steps, and its documents happen to be ours byte
    for byte: its chunks stay."""
    scenario = scenario_of("misaligned-v2")
    done = server.run("append", scenario.fresh(tmp_path / "count.zarr"), scenario.slice, settings=scenario.settings)
    decided = next(
        n for n, line in enumerate(done["log"], 1) if line.startswith("link ") and line.endswith("/decision")
    )
    target = scenario.fresh(tmp_path / "cube.zarr")
    server.run("append", target, scenario.slice, settings=scenario.settings, kill=decided)
    other_tool_appends(target, 2, zarr_format=2)
    for key in (
        "time/.zarray",
        "data/.zarray",
        ".zmetadata",
    ):  # as a tool writes them that formats JSON as the target's writer did
        (target / key).write_bytes(scenario.new[key])
    theirs = cubes.read(target)
    server.run("recover", target)
    cubes.same(cubes.read(target), theirs)


@pytest.mark.parametrize("where", ["first", "last"])
def test_other_tool_after_the_decision(
    where: str, scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """Committed, killed, then another tool appends: exit code 8, and nothing of either is lost."""
    scenario = scenario_of("aligned-v2")
    done = server.run("append", scenario.fresh(tmp_path / "count.zarr"), scenario.slice, settings=scenario.settings)
    names = [n for n, line in enumerate(done["log"], 1) if line.startswith("replace ")]
    target = scenario.fresh(tmp_path / "cube.zarr")
    server.run(
        "append",
        target,
        scenario.slice,
        settings=scenario.settings,
        kill=names[0] if where == "first" else names[-1] + 1,
    )
    other_tool_appends(target, 1, zarr_format=2)
    kept = {
        key: data for key, data in without_ours(tree(target)).items() if not re.search(r"/\.[0-9a-f]{16}\.\d{6}$", key)
    }
    reply = server.run("recover", target)
    assert reply["code"] == 8, reply["message"]
    assert without_ours(tree(target)) == kept


def test_visible_append_does_not_block_the_target(
    scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """Killed when everything was visible and only tidying was left; then another tool appends: that is no conflict
    with anything undone."""
    scenario = scenario_of("aligned-v2")
    done = server.run("append", scenario.fresh(tmp_path / "count.zarr"), scenario.slice, settings=scenario.settings)
    last = max(n for n, line in enumerate(done["log"], 1) if line.startswith("replace "))
    target = scenario.fresh(tmp_path / "cube.zarr")
    server.run("append", target, scenario.slice, settings=scenario.settings, kill=last + 2)
    assert without_ours(tree(target)) == scenario.new
    other_tool_appends(target, 1, zarr_format=2)
    theirs = cubes.read(target)
    server.run("recover", target)
    late = tmp_path / "late.zarr"
    part = cubes.make_slice(late, start=50, steps=2, zarr_format=2, shape=(10, 8))
    reply = server.run("append", target, late, settings=scenario.settings)
    assert reply["code"] == 0, reply["message"]
    cubes.same(cubes.read(target), cubes.joined([theirs, part], cubes.axes_of()))


@pytest.mark.parametrize("name", ["misaligned-v2", "misaligned-v3"])
def test_other_tool_during_the_append(name: str, scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """Another tool appends while chunks are copied: exit code 8, nothing of it is removed, the next append works."""
    scenario = scenario_of(name)
    target = scenario.fresh(tmp_path / "cube.zarr")
    theirs: dict[str, Any] = {}

    def meanwhile(done: int, total: int) -> None:
        if done == total:
            other_tool_appends(target, 3, zarr_format=scenario.zarr_format)
            theirs.update(cubes.read(target))

    with pytest.raises(ConflictError) as caught:
        zapz.append(target, scenario.slice, on_progress=meanwhile, **scenario.settings)
    assert caught.value.exit_code == 8
    cubes.same(cubes.read(target), theirs)
    assert ".zapz" not in tree(target)
    late = tmp_path / "late.zarr"
    part = cubes.make_slice(late, start=50, steps=2, zarr_format=scenario.zarr_format, shape=(10, 8))
    zapz.append(target, late, **scenario.settings)
    cubes.same(cubes.read(target), cubes.joined([theirs, part], cubes.axes_of()))


@pytest.mark.parametrize("keys", [["data/1.1.0"], ["data/1.0.0", "data/1.1.0"], ["data/1.0.0", "data/1.1.0", "time/1"]])
def test_keys_that_turn_up(
    keys: list[str], scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """Chunks that another tool writes during the append, beyond the shape: exit code 8, and every one of them is
    kept."""
    scenario = scenario_of("aligned-v2")
    done = server.run("append", scenario.fresh(tmp_path / "count.zarr"), scenario.slice, settings=scenario.settings)
    first = next(n for n, line in enumerate(done["log"], 1) if line.startswith("create ") and "/.zapz/" not in line)
    target = scenario.fresh(tmp_path / "cube.zarr")
    hooks = [{"at": first, "path": str(target / key), "data": b"theirs".hex()} for key in keys]
    reply = server.run("append", target, scenario.slice, settings=scenario.settings, hooks=hooks)
    assert reply["code"] == 8, reply["message"]
    assert tree(target) == {**scenario.old, **dict.fromkeys(keys, b"theirs")}


# -- refusals, dry runs, folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "code"), [("shape", 3), ("label", 3), ("dtype", 3), ("missing", 3), ("chunk", 5)])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_refused_slice_leaves_the_target(
    kind: str, code: int, zarr_format: int, scenario_of: Callable[[str], Scenario], tmp_path: Path
) -> None:
    """Byte for byte as it was; without ``.zapz``; the slice untouched too."""
    scenario = scenario_of(f"misaligned-v{zarr_format}")
    target = scenario.fresh(tmp_path / "cube.zarr")
    part = bad_slice(tmp_path / "bad.zarr", kind, zarr_format=zarr_format)
    was = tree(part)
    said = cli("append", target, part)
    assert said.code == code, said.err
    assert str(part) in said.err
    assert "Traceback" not in said.err
    assert tree(target) == scenario.old
    assert tree(part) == was


def test_slices_before_a_refused_one_stay(scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """Each slice is its own transaction."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    part = bad_slice(tmp_path / "bad.zarr", "chunk")
    said = cli("append", target, scenario.slice, part)
    assert said.code == 5
    assert tree(target) == scenario.new


@pytest.mark.parametrize("kind", ["chunk", "absent", "text"])
@pytest.mark.parametrize("there", [False, True])
def test_failed_creation(kind: str, there: bool, tmp_path: Path) -> None:
    """A creation that fails leaves no folder that we made, and leaves an empty one that was there."""
    target = tmp_path / "new.zarr"
    if there:
        target.mkdir()
    part = tmp_path / "bad.zarr"
    if kind == "chunk":
        bad_slice(part, "chunk")
    elif kind == "text":
        part.mkdir()
        (part / ".zgroup").write_text("{")
    said = cli("append", target, part)
    assert said.code == {"chunk": 5, "absent": 6, "text": 4}[kind], said.err
    assert tree(target) == ({".": None} if there else {})


def test_creation_in_an_empty_folder(tmp_path: Path) -> None:
    """It works, and gives the same as without the folder."""
    cubes.make_slice(tmp_path / "s.zarr", shape=(10, 8))
    (tmp_path / "a.zarr").mkdir()
    assert cli("append", tmp_path / "a.zarr", tmp_path / "s.zarr").code == 0
    assert cli("append", tmp_path / "b.zarr", tmp_path / "s.zarr").code == 0
    assert tree(tmp_path / "a.zarr") == tree(tmp_path / "b.zarr")


@pytest.mark.parametrize("content", ["photo.jpg", "sub/", ".hidden", "data/0.0.0"])
def test_unrelated_folder(content: str, tmp_path: Path) -> None:
    """A folder that holds other things is refused with exit code 4 and stays as it is."""
    cubes.make_slice(tmp_path / "s.zarr", shape=(10, 8))
    target = tmp_path / "mine"
    if content.endswith("/"):
        (target / content).mkdir(parents=True)
    else:
        (target / content).parent.mkdir(parents=True)
        (target / content).write_bytes(b"holiday")
    was = tree(target)
    for arguments in ([], ["--dry-run"]):
        said = cli("append", target, tmp_path / "s.zarr", *arguments)
        assert said.code == 4, said.err
        assert str(target) in said.err
        assert tree(target) == was


@pytest.mark.parametrize("dry", [False, True])
def test_missing_parent_folder(dry: bool, tmp_path: Path) -> None:
    """Exit code 6 that names the folder; a dry run says so too."""
    cubes.make_slice(tmp_path / "s.zarr", shape=(10, 8))
    said = cli("append", tmp_path / "no" / "new.zarr", tmp_path / "s.zarr", *(["--dry-run"] if dry else []))
    assert said.code == 6, said.err
    assert str(tmp_path / "no") in said.err
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("kind", ["good", "new", "chunk", "shape", "crashed"])
def test_dry_run_touches_nothing(
    kind: str, scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """No time of any file or folder changes, and nothing appears."""
    scenario = scenario_of("misaligned-v3")
    target = tmp_path / "cube.zarr"
    part = scenario.slice
    if kind != "new":
        scenario.fresh(target)
    if kind in {"chunk", "shape"}:
        part = bad_slice(tmp_path / "bad.zarr", kind, zarr_format=3)
    if kind == "crashed":
        server.run("append", target, part, settings=scenario.settings, kill=40)
    before = times(tmp_path), times(part), tree(tmp_path)
    said = cli("append", target, part, "--dry-run")
    assert (times(tmp_path), times(part), tree(tmp_path)) == before
    assert said.code == {"good": 0, "new": 0, "chunk": 0, "shape": 3, "crashed": 8}[kind], said.err
    if kind == "crashed":
        assert "zapz recover" in said.err


def test_nothing_to_recover_touches_nothing(scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """``zapz recover`` on a clean target, and ``zapz info``."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    before = times(target)
    assert cli("recover", target).code == 0
    assert cli("info", target).code == 0
    assert times(target) == before


# -- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["data/0.0.0", "data/1.0.0", "time/0"])
@pytest.mark.parametrize("leads", ["file", "nowhere"])
def test_linked_chunk_is_replaced(key: str, leads: str, scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """A chunk of the target that is a link is replaced, never written through; one that leads nowhere and lies beyond
    the shape too."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    outside = tmp_path / "outside"
    outside.mkdir()
    if leads == "nowhere" and key != "data/1.0.0":
        pytest.skip("a chunk in use must be readable")
    if (target / key).exists():
        (target / key).rename(outside / "chunk")
    elif leads == "file":
        (outside / "chunk").write_bytes(b"precious")
    was = tree(outside)
    (target / key).symlink_to(outside / "chunk")
    assert cli("append", target, scenario.slice).code == 0
    assert tree(outside) == was
    assert tree(target) == scenario.new


def test_linked_document_is_replaced(scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """So is a metadata document."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    for number, key in enumerate(("data/.zarray", ".zmetadata")):
        (target / key).rename(tmp_path / f"outside{number}")
        (target / key).symlink_to(tmp_path / f"outside{number}")
    assert cli("append", target, scenario.slice).code == 0
    assert (tmp_path / "outside0").read_bytes() == scenario.old["data/.zarray"]
    assert tree(target) == scenario.new


@pytest.mark.parametrize("linked", ["data", "time", ".zapz"])
def test_linked_folder_that_leads_out(linked: str, scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """An array's folder, or the journal's, that leads out of the target: refused, and nothing outside changes."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    outside = tmp_path / "outside"
    if (target / linked).exists():
        (target / linked).rename(outside)
    else:
        outside.mkdir()
    (target / linked).symlink_to(outside)
    was = times(outside), tree(outside), tree(target)
    said = cli("append", target, scenario.slice)
    assert said.code in {4, 6}, said
    assert "Traceback" not in said.err
    assert linked in said.err
    assert (times(outside), tree(outside), tree(target)) == was


def test_linked_chunk_folder_that_leads_out(scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """A folder of chunks (``c/1``) that is a link: refused, and nothing outside changes."""
    scenario = scenario_of("misaligned-v3")
    target = scenario.fresh(tmp_path / "cube.zarr")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    (target / "data/c/1").symlink_to(outside)
    was = tree(outside), tree(target)
    said = cli("append", target, scenario.slice)
    assert said.code == 4, said
    assert "link" in said.err
    assert (tree(outside), tree(target)) == was


def test_linked_array_of_a_slice(scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """A slice whose array lies elsewhere is refused, unless ``follow_links`` is set."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    part = tmp_path / "s.zarr"
    shutil.copytree(scenario.slice, part)
    (part / "data").rename(tmp_path / "elsewhere")
    (part / "data").symlink_to(tmp_path / "elsewhere")
    said = cli("append", target, part)
    assert said.code == 4
    assert "link" in said.err
    assert tree(target) == scenario.old
    zapz.append(target, part, follow_links=True)
    assert tree(target) == scenario.new


def test_folder_where_a_chunk_belongs(scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path) -> None:
    """A folder at the key of a planned chunk: noticed before the decision, because it cannot be replaced after it."""
    scenario = scenario_of("aligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    (target / "data/1.0.0").mkdir()
    was = tree(target)
    reply = server.run("append", target, scenario.slice, settings=scenario.settings)
    assert reply["code"] in {4, 6, 8}, reply["message"]
    assert "committed" not in reply["message"], reply["message"]
    assert tree(target) == was


def test_error_numbers_survive() -> None:
    """A failure of storage is an ``OSError`` that keeps its number, so that callers can tell."""
    with pytest.raises(StoreError) as caught:
        zapz.append("/proc/no/such/place.zarr", "/nowhere/at/all.zarr")
    assert isinstance(caught.value, OSError)
    assert caught.value.errno in {errno.ENOENT, None}
