"""``check`` finds what was damaged, and nothing else; it changes nothing, and costs what it reads."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from kit import cubes
from kit.command_line import run
from kit.trees import tree

import zapz
from zapz.checks import stored_chunks
from zapz.cli import check_command
from zapz.cli.app import app
from zapz.cli.demo import write_slice
from zapz.operations import inspection
from zapz.testing import Died, ObjectService, failing_files, file_operations
from zapz.testing.objects import AnswerError

FORMS: dict[str, dict[str, Any]] = {
    "v2": {"zarr_format": 2, "chunks": (2, 4, 3), "compressors": "blosc"},
    "v2 raw": {"zarr_format": 2, "chunks": (2, 4, 3), "separator": "/"},
    "v3": {"zarr_format": 3, "chunks": (2, 4, 3), "compressors": "zstd"},
    "sharded": {"zarr_format": 3, "chunks": (2, 2, 3), "shards": (4, 4, 6), "compressors": "gzip"},
}
STEPS = 6


@pytest.fixture(scope="module", params=sorted(FORMS))
def good(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Give the name of a form, and a sound cube of it."""
    path = tmp_path_factory.mktemp("good") / "cube.zarr"
    form = dict(FORMS[request.param])
    form["compressors"] = cubes.compressor(form.pop("compressors", "none"), form["zarr_format"])
    cubes.make_slice(path, steps=STEPS, time_chunk=2, nested=True, consolidated=True, attrs={"units": "K"}, **form)
    return request.param, path


def chunks_in(folder: Path) -> list[Path]:
    names = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in names if path.name[-1].isdigit() or path.name == "c")


class Cube:
    """A copy of a sound cube, to be damaged."""

    def __init__(self, form: str, path: Path) -> None:
        self.form, self.path = form, path
        self.zarr_format: int = FORMS[form]["zarr_format"]
        self.node = ".zarray" if self.zarr_format == 2 else "zarr.json"
        self.attributes = ".zattrs" if self.zarr_format == 2 else "zarr.json"
        self.consolidated = ".zmetadata" if self.zarr_format == 2 else "zarr.json"

    def change(self, key: str, edit: Callable[[dict[str, Any]], object]) -> None:
        meta = json.loads((self.path / key).read_text())
        edit(meta)
        (self.path / key).write_text(json.dumps(meta))

    def set_attribute(self, path: str, name: str, value: Any) -> None:
        attributes = self.change
        attributes(
            f"{path}/{self.attributes}",
            lambda m: (m if self.zarr_format == 2 else m["attributes"]).__setitem__(name, value),
        )

    def entries(self, meta: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = meta["metadata"] if self.zarr_format == 2 else meta["consolidated_metadata"]["metadata"]
        return found

    def consolidate(self) -> None:
        cubes.consolidate(self.path, zarr_format=self.zarr_format)

    def label(self, index: int, value: Any) -> None:
        with cubes.quiet():
            zarr.open_group(self.path, mode="r+", use_consolidated=False)["time"][index] = value  # type: ignore[index]

    def chunk(self, name: str, number: int = 0) -> Path:
        """Return a chunk of an array; sorted, the first is that of the first cells."""
        return chunks_in(self.path / name)[number]


@pytest.fixture
def cube(good: tuple[str, Path], tmp_path: Path) -> Cube:
    form, path = good
    shutil.copytree(path, tmp_path / "cube.zarr")
    return Cube(form, tmp_path / "cube.zarr")


Found = list[tuple[str, str, str]]


def found_in(path: Any, **settings: Any) -> Found:
    """Return kind, place, and what is wrong, of everything that is found."""
    checked = zapz.check(path, **settings)
    assert checked.sound is not bool(checked.findings)
    return [(each.code, each.path, each.what) for each in checked.findings]


# -- what is damaged -------------------------------------------------------------------------------------------------------


def broken_json(cube: Cube) -> Found:
    (cube.path / "data" / cube.node).write_text("{")
    return [("metadata", f"data/{cube.node}", "invalid JSON")]


def no_document(cube: Cube) -> Found:
    (cube.path / "data" / cube.node).unlink()
    return [("metadata", "", "incomplete dataset: consolidated metadata name a document that does not exist")]


def stale_attribute(cube: Cube) -> Found:
    cube.set_attribute("data", "units", "degC")
    what = f"consolidated metadata ({cube.consolidated}) disagree with the document"
    return [("metadata", f"data/{cube.attributes}", what)]


def not_consolidated(cube: Cube) -> Found:
    cube.change(cube.consolidated, lambda m: cube.entries(m).pop("crs/.zarray" if cube.zarr_format == 2 else "crs"))
    what = f"consolidated metadata ({cube.consolidated}) disagree with the document"
    return [("metadata", f"crs/{cube.node}", what)]


def stale_below_the_root(cube: Cube) -> Found:
    cubes.consolidate(cube.path / "deep", zarr_format=cube.zarr_format)
    cube.consolidate()
    inner = f"deep/{cube.consolidated}"
    key = "er/extra/.zarray" if cube.zarr_format == 2 else "er/extra"
    cube.change(inner, lambda m: cube.entries(m)[key].__setitem__("fill_value", 7))
    what = f"consolidated metadata ({inner}) disagree with the document"
    return [("metadata", f"deep/er/extra/{cube.node}", what)]


def other_length(cube: Cube) -> Found:
    cube.change(f"deep/er/extra/{cube.node}", lambda m: m["shape"].__setitem__(0, STEPS - 1))
    cube.consolidate()
    return [("dimension", "", "arrays differ in length along 'time'")]


def other_size(cube: Cube) -> Found:
    cube.change(f"y/{cube.node}", lambda m: m["shape"].__setitem__(0, 3))
    cube.consolidate()
    return [("dimension", "", "arrays differ in length along 'y'")]


def mixture(cube: Cube) -> Found:
    name, text = ("zarr.json", '{"zarr_format": 3, "node_type": "group"}') if cube.zarr_format == 2 else (".zgroup", '{"zarr_format": 2}')  # fmt: skip
    (cube.path / name).write_text(text)
    return [("unsupported", "", "v2 and v3 metadata in the same dataset")]


def repeated_label(cube: Cube) -> Found:
    cube.label(3, 2)
    return [("label", "time", "labels occur more than once")]


def unordered_labels(cube: Cube) -> Found:
    cube.label(slice(2, 4), [3, 2])
    return [("label", "time", "labels are not in order")]


def missing_label(cube: Cube) -> Found:
    cube.set_attribute("time", "_FillValue", -1)
    cube.label(4, -1)
    cube.consolidate()
    return [("label", "time", "labels are missing")]


def damaged_labels(cube: Cube) -> Found:
    chunk = cube.chunk("time", 1)
    chunk.write_bytes(b"xyz")
    return [("chunk", chunk.relative_to(cube.path).as_posix(), "chunk has the wrong length")]


def linked_journal(cube: Cube) -> Found:
    (cube.path / ".zapz").symlink_to(cube.path.parent)
    return [("journal", ".zapz", "a folder of the journal is a link")]


DAMAGES = [broken_json, no_document, stale_attribute, not_consolidated, stale_below_the_root, other_length, other_size, mixture, repeated_label, unordered_labels, missing_label, damaged_labels, linked_journal]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damage_is_found_and_nothing_else(cube: Cube, damage: Callable[[Cube], Found]) -> None:
    expected = damage(cube)
    before = tree(cube.path)
    assert found_in(cube.path) == expected
    assert tree(cube.path) == before
    code, out, err = run("check", cube.path)
    assert (code, err) == (4, "")
    assert expected[0][2] in out
    assert out.endswith("\n1 finding\n")


def truncated(cube: Cube) -> Found:
    chunk = cube.chunk("data", 1)
    chunk.write_bytes(chunk.read_bytes()[:-3])
    return [("chunk", chunk.relative_to(cube.path).as_posix(), "")]


def emptied(cube: Cube) -> Found:
    chunk = cube.chunk("data")
    chunk.write_bytes(b"")
    return [("chunk", chunk.relative_to(cube.path).as_posix(), "")]


def several(cube: Cube) -> Found:
    return [*emptied(cube), *truncated(cube)]


def folder(cube: Cube) -> Found:
    chunk = cube.chunk("data", -1)
    chunk.unlink()
    chunk.mkdir()
    return [("metadata", chunk.relative_to(cube.path).as_posix(), "a folder is at the path of a chunk")]


@pytest.mark.parametrize("damage", [truncated, emptied, several, folder], ids=lambda damage: damage.__name__)
def test_damaged_chunks_are_found_if_they_are_read(cube: Cube, damage: Callable[[Cube], Found]) -> None:
    expected = damage(cube)
    assert found_in(cube.path) == []
    checked = zapz.check(cube.path, chunks=True)
    assert sorted((each.code, each.path) for each in checked.findings) == sorted(each[:2] for each in expected)
    assert checked.chunks is not None
    assert checked.chunks.damaged == len(expected)
    code, out, _ = run("check", "--chunks", cube.path)
    assert (code, out.count(str(expected[0][1]))) == (4, 1)
    assert run("check", cube.path)[0] == 0


def test_what_a_shard_holds_is_decoded(tmp_path: Path) -> None:
    """Its index has a checksum; what it refers to is looked at, too."""
    form = {**FORMS["sharded"], "compressors": cubes.compressor("gzip", 3)}
    cubes.make_slice(tmp_path / "cube.zarr", steps=STEPS, **form)
    shard = tmp_path / "cube.zarr/data/c/0/0/0"
    sound = shard.read_bytes()
    for place, says in ((20, "inner chunk (0, 0, 0)"), (len(sound) - 1, "data/c/0/0/0")):
        data = bytearray(sound)
        data[place] ^= 255
        shard.write_bytes(data)
        (finding,) = zapz.check(tmp_path / "cube.zarr", chunks=True).findings
        assert finding.code == "chunk"
        assert says in finding.path


@pytest.mark.parametrize("large", [False, True])
def test_shards_that_are_too_large_to_be_read_whole(cube: Cube, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    if large:
        monkeypatch.setattr(stored_chunks, "_WHOLE", 10)
    counts = zapz.check(cube.path, chunks=True).chunks
    assert counts is not None
    assert counts.bytes == sum(path.stat().st_size for path in chunks_in(cube.path))


# -- what is no damage -----------------------------------------------------------------------------------------------------


def test_a_sound_cube(cube: Cube) -> None:
    before = tree(cube.path)
    checked = zapz.check(cube.path, chunks=True)
    assert (checked.sound, checked.findings, checked.notes, checked.changed) == (True, (), (), False)
    assert (checked.zarr_format, checked.arrays, checked.labels) == (cube.zarr_format, 5, {"time": STEPS})
    assert checked.steps["time"].step == "1 day"
    files = chunks_in(cube.path)
    counts = checked.chunks
    assert counts is not None
    assert (counts.expected, counts.stored, counts.missing) == (len(files), len(files), 0)
    assert (counts.stale, counts.damaged, counts.bytes) == (0, 0, sum(p.stat().st_size for p in files))
    assert tree(cube.path) == before
    code, out, err = run("check", cube.path)
    assert (code, err) == (0, "")
    assert out.endswith("\nsound\n")
    assert "chunks: not read" in out


def test_missing_and_stale_chunks_are_counted(cube: Cube) -> None:
    cube.chunk("data").unlink()
    stored = len(cubes.files(cube.path / "time")) - (2 if cube.zarr_format == 2 else 1)
    cubes.shrink(cube.path, 2)
    cube.consolidate()
    checked = zapz.check(cube.path, chunks=True)
    counts = checked.chunks
    assert checked.sound
    assert counts is not None
    assert counts.missing == 1
    assert counts.stale is not None
    assert counts.stale >= stored - 1 > 0
    assert counts.stored + counts.missing == counts.expected
    assert "1 missing" in run("check", "--chunks", cube.path)[1]


def test_gaps_are_listed(tmp_path: Path) -> None:
    labels = np.delete(np.arange(10), [3, 4])
    source = {"time": ("time", labels, {"units": "days since 2000-01-01"}), "v": ("time", np.zeros(8))}
    zapz.append(tmp_path / "cube.zarr", source)
    checked = zapz.check(tmp_path / "cube.zarr")
    assert (checked.sound, checked.steps["time"].missing) == (True, 2)
    assert "2 missing in 1 gap: 2 between 2000-01-03 and 2000-01-06" in run("check", tmp_path / "cube.zarr")[1]


def test_labels_may_fall_or_have_no_order(tmp_path: Path) -> None:
    for name, labels, settings in (("falling", [5, 4, 2], {}), ("any", [5, 1, 9], {"label_order": "any"})):
        source = {"time": ("time", np.array(labels)), "v": ("time", np.zeros(3))}
        zapz.append(tmp_path / name, source, label_order="any")
        assert found_in(tmp_path / name, **settings) == []
    assert found_in(tmp_path / "any") == [("label", "time", "labels are not in order")]


@pytest.mark.parametrize("labels", [["a", "b", "c"], ["2024-01-01", "2024-01-02"], [0.5, 1.5], ["x"], []])
def test_labels_of_any_kind(tmp_path: Path, labels: list[Any]) -> None:
    values = np.array(labels, "M8[ns]") if labels and str(labels[0])[0] == "2" else np.array(labels)
    cubes.write_group(tmp_path, zarr_format=2)
    cubes.write_array(tmp_path, "time", values, dims=["time"], zarr_format=2)
    assert found_in(tmp_path, chunks=True) == []
    if len(labels) > 1:
        with cubes.quiet():
            zarr.open_group(tmp_path, mode="r+")["time"][1] = values[0]  # type: ignore[index]
        assert found_in(tmp_path) == [("label", "time", "labels occur more than once")]


def test_a_dataset_without_the_append_dimension(cube: Cube) -> None:
    checked = zapz.check(cube.path, append_dim="step")
    assert (checked.sound, checked.labels) == (True, {})
    assert "no variable has the append dimension 'step'" in checked.notes[0]
    assert run("check", "-d", "step", cube.path)[1].endswith("sound, as far as it was checked\n")


def test_settings_of_the_command(cube: Cube) -> None:
    (cube.path.parent / "c.toml").write_text('append_dim = "step"\n')
    out = run("check", "-c", cube.path.parent / "c.toml", "--workers", 2, "--chunks", cube.path)[1]
    assert "no variable has the append dimension 'step'" in out
    (cube.path.parent / "cube.zarr.zapz").mkdir()
    assert run("check", "--journal", "beside", cube.path)[0] == 0
    assert run("check", "--journal", "nowhere", cube.path)[0] == 2
    cube.label(slice(2, 4), [3, 2])
    assert run("check", cube.path)[0] == 4
    assert run("check", "--set", "label_order=any", cube.path)[0] == 0


def test_a_codec_that_is_not_installed_is_no_damage(tmp_path: Path) -> None:
    """Some codecs are asked for by zarr only when they are used."""
    if importlib.util.find_spec("pcodec"):
        pytest.skip("pcodec is installed")
    cubes.write_group(tmp_path, zarr_format=3)
    cubes.write_array(tmp_path, "v", np.arange(4), zarr_format=3, dims=["time"])
    meta = json.loads((tmp_path / "v/zarr.json").read_text())
    meta["codecs"] = [{"name": "numcodecs.pcodec", "configuration": {}}]
    (tmp_path / "v/zarr.json").write_text(json.dumps(meta))
    with cubes.quiet():
        checked = zapz.check(tmp_path, chunks=True)
    assert (checked.findings, checked.chunks.damaged) == ((), 0)  # type: ignore[union-attr]
    assert "chunks of v are not decoded" in checked.notes[0]


# -- others at work --------------------------------------------------------------------------------------------------------


@pytest.fixture
def days(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"day{day}.zarr" for day in range(3)]
    for day, path in enumerate(paths):
        write_slice(path, day)
    return paths


def test_an_append_that_did_not_end_is_said(tmp_path: Path, days: list[Path]) -> None:
    target = tmp_path / "cube.zarr"
    zapz.append(target, days[0])
    shutil.copytree(target, tmp_path / "copy.zarr")
    middle = file_operations(tmp_path / "copy.zarr", lambda: zapz.append(tmp_path / "copy.zarr", days[1])) // 2
    with failing_files(target, middle, "died"), contextlib.suppress(Died):
        zapz.append(target, days[1])
    checked = zapz.check(target, chunks=True)
    assert (checked.sound, len(checked.journal), checked.lock) == (True, 1, None)
    assert "run `zapz recover`" in run("check", target)[1]


def test_a_change_during_the_check_is_noticed(tmp_path: Path, days: list[Path]) -> None:
    target = tmp_path / "cube.zarr"
    zapz.append(target, days[0])
    seen: list[Any] = []

    def look(done: int, total: int) -> None:
        if not seen:
            seen.append((done, total))
            zapz.append(target, days[1], on_progress=lambda *_: seen.append(zapz.check(target)))

    checked = zapz.check(target, chunks=True, on_progress=look)
    assert (checked.sound, checked.changed, checked.labels) == (True, True, {"time": 1})
    held = seen[1]
    assert (held.sound, held.lock.process) == (True, os.getpid())
    assert not zapz.check(target).changed


def test_what_is_read_while_it_changes_is_read_again(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents of two moments disagree, and that is no damage."""
    real, calls = inspection.read_documents, []

    def read(store: Any) -> dict[str, bytes]:
        found = real(store)
        calls.append(store)
        if len(calls) == 1:
            cube.set_attribute("data", "units", "degC")
            found |= {key: (cube.path / key).read_bytes() for key in (f"data/{cube.attributes}",)}
            cube.set_attribute("data", "units", "K")
            cube.consolidate()
        return found

    monkeypatch.setattr(inspection, "read_documents", read)
    assert found_in(cube.path) == []
    assert len(calls) == 2


def test_what_is_no_dataset_is_no_damaged_one(tmp_path: Path, days: list[Path]) -> None:
    assert run("check", tmp_path / "none")[0] == 6
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    code, _, err = run("check", tmp_path / "other")
    assert (code, "not a Zarr dataset" in err) == (4, True)
    seen: list[zapz.ZapzError] = []

    def look(*_: int) -> None:
        with pytest.raises(zapz.LockedError) as caught:
            zapz.check(tmp_path / "cube.zarr")
        seen.append(caught.value)

    zapz.append(tmp_path / "cube.zarr", days[0], on_progress=look)
    assert seen[0].what == "the target is being created"


# -- what it costs, and where it runs --------------------------------------------------------------------------------------


def test_labels_alone_cost_no_chunks(tmp_path: Path) -> None:
    """However many chunks there are: documents, and the chunks of labels."""
    costs = []
    for name, size in (("small", 2), ("large", 40)):
        shape = {"shape": (size, size), "chunks": (1, 1, 1), "steps": 2, "static": False}
        cubes.make_slice(tmp_path / name, zarr_format=2, consolidated=True, **shape)
        costs.append(file_operations(tmp_path / name, lambda name=name: zapz.check(tmp_path / name)))  # type: ignore[misc]
    assert costs[0] == costs[1] < 120


def test_an_object_service(cube: Cube) -> None:
    service = ObjectService()
    for key, data in cubes.files(cube.path).items():
        service.overwrite(f"bucket/cube/{key}", data)
    local = zapz.check(cube.path, chunks=True)
    checked = zapz.check(service.store("bucket/cube"), chunks=True)
    assert (checked.sound, checked.labels, checked.chunks) == (True, local.labels, local.chunks)
    key = cube.chunk("data").relative_to(cube.path).as_posix()
    service.overwrite(f"bucket/cube/{key}", b"x")
    assert [each.path for each in zapz.check(service.store("bucket/cube"), chunks=True).findings] == [key]


def test_a_service_that_cannot_be_listed(cube: Cube) -> None:
    service = ObjectService()
    service.listable = False
    for key, data in cubes.files(cube.path).items():
        service.overwrite(f"bucket/cube/{key}", data)
    cubes.shrink(cube.path, 2)
    counts = zapz.check(service.store("bucket/cube"), chunks=True).chunks
    assert counts is not None
    assert (counts.stale, counts.missing, counts.damaged) == (None, 0, 0)
    assert "beyond the shape" not in check_command.describe_check(zapz.check(service.store("bucket/cube"), chunks=True))


def test_a_chunk_that_storage_does_not_give(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    service = ObjectService()
    for key, data in cubes.files(cube.path).items():
        service.overwrite(f"bucket/cube/{key}", data)
    denied = f"bucket/cube/{cube.chunk('data').relative_to(cube.path).as_posix()}"

    def before(request: Any) -> None:
        if request.path == denied and request.kind in {"get", "look"}:
            raise AnswerError(403)

    service.before = before
    checked = zapz.check(service.store("bucket/cube"), chunks=True)
    assert [each.code for each in checked.findings] == ["store"]
    assert checked.chunks is not None
    assert (checked.chunks.damaged, checked.chunks.missing) == (1, 0)
    monkeypatch.setattr(stored_chunks, "_MOST_FAILURES", 1)
    with pytest.raises(zapz.StoreError):
        zapz.check(service.store("bucket/cube"), chunks=True)


def test_very_many_findings(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    for chunk in chunks_in(cube.path / "deep"):
        chunk.write_bytes(b"")
    monkeypatch.setattr(stored_chunks, "MOST_FINDINGS", 2)
    monkeypatch.setattr("zapz.operations.check.MOST_FINDINGS", 2)
    checked = zapz.check(cube.path, chunks=True)
    assert checked.chunks is not None
    assert (len(checked.findings), checked.chunks.damaged) == (2, 6)
    assert checked.notes[-1] == "4 more chunks are damaged"


def test_json(cube: Cube) -> None:
    cube.label(3, 2)
    code, out, err = run("check", "--json", "--chunks", cube.path)
    found = json.loads(out)
    assert (code, err, found["sound"], found["chunks"]["damaged"]) == (4, "", False, 0)
    assert found["findings"][0]["found"] == "2020-01-03T00:00:00 at index 2 and index 3"
    assert json.loads(run("check", "--json", cube.path / "none")[1])["error"]["exit_code"] == 6


def test_progress(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the end, also where chunks are missing; on a terminal as a bar."""
    seen: list[tuple[int, int]] = []
    cube.chunk("data").unlink()
    zapz.check(cube.path, chunks=True, on_progress=lambda *numbers: seen.append(numbers), workers=1)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert {total for _, total in seen} == {seen[-1][0]}

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(check_command, "_LATER", 0.0)
    with contextlib.redirect_stderr(terminal):
        assert run_here("check", "--chunks", cube.path) == 0
    assert "checking chunks" in terminal.getvalue()


def run_here(*words: object) -> int:
    """Run the command line with the standard error that there is."""
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as ended:
        app([str(word) for word in words])
    return int(ended.value.code or 0)
