"""Pages: well-formed, all text escaped whatever it is, nothing from elsewhere, no script; the same facts as on a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from kit import pictured_cubes as cubes
from kit.command_line import run

import zapz
from zapz.operations import thumbnails
from zapz.pictures import page
from zapz.pictures.page import Markup, Section
from zapz.testing import ObjectService

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "a & b &lt; c",
    "]]>",
    "</style><b>",
    "</pre></div>",
    "\x00\x1b[31m",
    "日本 é",
]
TEXT = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40))


def parsed(html: str) -> ET.Element:
    """Return a page as XML, which it is, too; it needs nothing from elsewhere and runs nothing."""
    root = ET.fromstring(html.removeprefix("<!DOCTYPE html>\n"))
    assert not {each.tag for each in root.iter()} & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for each in root.iter():
        for name, value in each.attrib.items():
            assert not name.startswith("on")
            assert name not in {"href", "action", "data"}
            assert name != "src" or value.startswith("data:image/png;base64,")
    css = "".join(each.text or "" for each in root.iter("style"))
    assert not re.search(r"@import|url\(|https?:", css)
    return root


def text_of(root: ET.Element) -> str:
    return "".join(root.itertext())


@given(TEXT, TEXT, st.lists(TEXT, max_size=4), st.booleans())
def test_all_text_is_escaped(name: str, title: str, cells: list[str], is_open: bool) -> None:
    body = page.join([page.html_table(cells, [cells]), page.listed(cells), page.element("p", title, name)])
    section = Section(title=title, body=body, aside=name, is_open=is_open)
    html = page.document(title, page.fragment("what", name, cells, [section], title))
    root = parsed(html)
    assert page.escaped(html) is html
    (found,) = [each for each in root.iter() if each.get("class") == "zapz-name"]
    assert (found.text or "").replace("\ufffd", "") == "".join(
        each for each in name if each.isprintable() or each in "\n\t"
    )
    (details,) = root.iter("details")
    assert (details.get("open") == "open") is is_open
    html.encode("utf-8")


def test_what_is_html_is_kept() -> None:
    assert page.escaped("<b>") == "&lt;b&gt;"
    assert page.escaped(Markup("<b/>")) == "<b/>"
    assert page.element("td", 3) == "<td>3</td>"
    assert (
        page.html_table(("a", "b"), [("", "x")])
        == "<table><thead><tr><th>b</th></tr></thead><tbody><tr><td>x</td></tr></tbody></table>"
    )
    assert page.html_table(("a",), [("",)]) == ""
    assert page.listed([]) == ""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cube that has gaps, a sharded one, and slices."""
    place = tmp_path_factory.mktemp("pages")
    cubes.with_gaps(place / "daily.zarr")
    cubes.sharded(place / "hourly.zarr")
    cubes.daily(place / "next.zarr", [302])
    return place


def test_the_page_of_a_target(here: Path) -> None:
    info = zapz.info(here / "daily.zarr", thumbnails=True, chunks=True)
    root = parsed(info._repr_html_())
    text = text_of(root)
    for words in (
        "2024-01-01 → 2024-10-26",
        "296 steps, every 1 day, 4 missing in 2 gaps",
        "missing: 2024-02-14; 2024-05-03 to 2024-05-05",
        "float32, fill NaN",
        "degC",
        "copied, whatever the length of the slice",
        "the boundary chunk holds 296 of 1,024 steps",
    ):
        assert words in text
    (timeline,) = [svg for svg in root.iter("svg") if svg.get("class") == "zapz-timeline"]
    assert {rect.get("class") for rect in timeline.iter("rect")} == {"zapz-there", "zapz-part"}
    (picture,) = root.iter("img")
    assert picture.get("alt", "").startswith("sst, last step: ")
    grids = [svg for svg in root.iter("svg") if svg.get("class") == "zapz-grid"]
    assert len(grids) == 2
    plain = next(root.iter("pre")).text or ""
    assert "296 steps" in plain


def test_the_page_of_a_plan(here: Path) -> None:
    plan = zapz.plan(here / "daily.zarr", here / "next.zarr")
    root = parsed(plan._repr_html_())
    kinds = {
        rect.get("class") for svg in root.iter("svg") if svg.get("class") == "zapz-grid" for rect in svg.iter("rect")
    }
    assert {"zapz-old", "zapz-copied", "zapz-boundary"} <= kinds
    assert "2 steps are missing between 2024-10-26 and 2024-10-29" in text_of(root)
    assert (
        repr(plan) == f"<zapz.Plan for {here / 'daily.zarr'}: append 1 step at step 296: 4 chunks copied, 1 re-encoded>"
    )
    assert str(plan) == repr(plan)
    assert repr(zapz.Plan.from_json(plan.to_json())) == repr(plan)


def test_the_page_of_a_report(here: Path, tmp_path: Path) -> None:
    report = zapz.append(tmp_path / "new.zarr", [here / "next.zarr", here / "next.zarr"], explain=True)
    root = parsed(report._repr_html_())
    text = text_of(root)
    assert "1 appended · 1 already there" in text
    assert "last label 2024-10-29" in text
    assert [svg for svg in root.iter("svg") if svg.get("class") == "zapz-grid"]
    dry = parsed(zapz.append(tmp_path / "new.zarr", cubes.days([400]), dry_run=True)._repr_html_())
    assert "1 planned, nothing written" in text_of(dry)
    assert "no slices" in text_of(parsed(zapz.append(tmp_path / "new.zarr", [])._repr_html_()))


def test_hostile_names_are_text(tmp_path: Path) -> None:
    """Of variables, dimensions, units, folders and slices, and in notes."""
    bad = "<script>alert(1)"
    folder = tmp_path / "<b>&amp;'\""
    folder.mkdir()
    slice_ = {
        "time": ("time", np.arange(3)),
        bad: (("time", "<i>y", "x&y"), np.zeros((3, 5, 5)), {"units": "<u>\"'&", "_FillValue": np.nan}),
        "<td>": ("time", np.arange(3)),
    }
    settings: dict[str, Any] = {"on_extra": "ignore"}
    zapz.append(folder / "cube.zarr", slice_, **settings)
    info = zapz.info(folder / "cube.zarr", thumbnails=True, chunks=True)
    later = {**slice_, "time": ("time", np.arange(5, 8)), "<hr>": ("time", np.arange(3))}
    plan = zapz.plan(folder / "cube.zarr", later, **settings)
    report = zapz.append(folder / "cube.zarr", later, explain=True, **settings)
    for thing in (info, plan, report):
        root = parsed(thing._repr_html_())
        assert bad in text_of(root)
        assert {each.tag for each in root.iter()} <= {
            "div",
            "style",
            "pre",
            "header",
            "span",
            "details",
            "summary",
            "p",
            "ul",
            "li",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "svg",
            "g",
            "rect",
            "path",
            "text",
            "title",
            "figure",
            "figcaption",
            "img",
            "b",
        }
    assert run("info", folder / "cube.zarr", "--html", tmp_path / "page.html")[0] == 0
    assert bad in text_of(parsed((tmp_path / "page.html").read_text(encoding="utf-8")))


def test_a_page_is_written_by_the_command(here: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    code, out, err = run("info", here / "hourly.zarr", "--html", file, "--json")
    assert (code, err, json.loads(out)["thumbnails"]) == (0, "", [])
    root = parsed(file.read_text(encoding="utf-8"))
    assert len(list(root.iter("img"))) == 2
    code, out, err = run("info", here / "hourly.zarr", "--html", file)
    assert out.splitlines()[-1] == f"page: {file}"
    code, out, err = run("info", here / "hourly.zarr", "--html", tmp_path / "none" / "page.html")
    assert code == 6
    assert "cannot write the page" in err
    assert not any("picture" in note for note in zapz.info(here / "hourly.zarr").notes)


# -- what is read for it ---------------------------------------------------------------------------------------------------


def test_thumbnails_show_stored_values(here: Path) -> None:
    """Unpacked; missing where the marker is; as the last step is."""
    daily, hourly = (zapz.info(here / name, thumbnails=True).thumbnails for name in ("daily.zarr", "hourly.zarr"))
    (sst,) = daily
    np.testing.assert_array_equal(sst.cells, cubes.field(change=29.9))
    assert (sst.path, sst.dims, sst.shape, sst.step, sst.whole) == ("sst", ("lat", "lon"), (18, 36), 295, True)
    packed, wind = hourly
    np.testing.assert_allclose(packed.cells, cubes.field() + 273, atol=0.006)
    np.testing.assert_array_equal(wind.cells, cubes.field())
    assert 0 < sst.missing < 0.2
    assert zapz.info(here / "daily.zarr").thumbnails == ()


@pytest.mark.parametrize("shape", [(2, 700, 300), (2, 300, 1000), (3, 2, 257, 256), (300, 270)])
def test_thumbnails_are_small(shape: tuple[int, ...], tmp_path: Path) -> None:
    """At most 256 rows and columns at equal distances, whatever the chunks are; of further axes the first."""
    values = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    dims = ("time", "level", "y", "x") if len(shape) == 4 else ("time", "y", "x")[: len(shape)]
    chunks = [1 if d == "time" and len(shape) > 2 else min(n, 64) for d, n in zip(dims, shape, strict=True)]
    zapz.append(tmp_path / "c", {"v": (dims, values)}, variables={"v": {"encoding": {"chunks": chunks}}})
    (found,) = zapz.info(tmp_path / "c", thumbnails=True).thumbnails
    plane = values if len(shape) == 2 else values[-1] if len(shape) == 3 else values[-1, 0]
    rows, cells = (np.arange(min(n, 256)) * n // min(n, 256) for n in plane.shape)
    np.testing.assert_array_equal(found.cells, plane[np.ix_(rows, cells)].astype(np.float32))
    assert found.shape == plane.shape
    assert found.step == (None if len(shape) == 2 else shape[0] - 1)


def test_of_a_huge_step_the_middle_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(2 * 40 * 60, dtype=np.float32).reshape(2, 40, 60)
    zapz.append(
        tmp_path / "c", {"v": (("time", "y", "x"), values)}, variables={"v": {"encoding": {"chunks": [1, 10, 10]}}}
    )
    monkeypatch.setattr(thumbnails, "_BYTES", 4 * 400)
    (found,) = zapz.info(tmp_path / "c", thumbnails=True).thumbnails
    assert not found.whole
    assert found.cells.shape == (20, 20)
    top = int(found.cells[0, 0])
    np.testing.assert_array_equal(found.cells, values[1][(top - 2400) // 60 :, (top - 2400) % 60 :][:20, :20])
    monkeypatch.setattr(thumbnails, "_CHUNKS", 2)
    (found,) = zapz.info(tmp_path / "c", thumbnails=True).thumbnails
    assert (found.whole, found.cells.shape) == (False, (10, 20))
    monkeypatch.setattr(thumbnails, "_BYTES", 100)
    info = zapz.info(tmp_path / "c", thumbnails=True)
    assert info.thumbnails == ()
    assert "no picture of variables with chunks of more than 100 B: v" in info.notes


def test_a_picture_says_what_it_shows(tmp_path: Path) -> None:
    """Cells that are missing, or not finite; the step, where there is one; the last label, where there is one."""
    root = zarr.open_group(tmp_path / "c", mode="w", zarr_format=3)
    for group, labels in ((root, [1, 2]), (root.create_group("g"), [3, 4])):
        group.create_array("time", data=np.array(labels), dimension_names=["time"])
    values = {"gone": np.nan, "endless": np.inf}
    for name, value in values.items():
        root.create_array(name, data=np.full((2, 5, 6), value, "f4"), dimension_names=["time", "y", "x"])
    page = parsed(zapz.info(tmp_path / "c", thumbnails=True)._repr_html_())
    assert "all cells are missing" in text_of(page)
    assert "no finite values" in text_of(page)
    (title,) = [each for each in page.iter("summary") if each.text == "Last step"]
    assert list(title) == []  # no label: that of one group is not that of the other
    zarr.create_array(tmp_path / "d", data=np.ones((5, 6)), dimension_names=["y", "x"], zarr_format=3)
    words = text_of(parsed(zapz.info(tmp_path / "d", thumbnails=True)._repr_html_()))
    assert "Last step" not in words
    assert "independent of the append dimension" in words


def test_a_damaged_chunk_costs_its_picture_only(here: Path, tmp_path: Path) -> None:
    cubes.daily(tmp_path / "c", [0, 1])
    (tmp_path / "c" / "sst" / "1.0.0").write_bytes(b"x")
    info = zapz.info(tmp_path / "c", thumbnails=True)
    assert info.thumbnails == ()
    assert any(note.startswith("no picture of sst: ") for note in info.notes)


def test_chunks_are_counted(here: Path, tmp_path: Path) -> None:
    cubes.daily(tmp_path / "c", range(5))
    (tmp_path / "c" / "sst" / "1.0.0").unlink()
    (tmp_path / "c" / "sst" / "7.0.0").write_bytes(b"beyond the shape")
    found = {v.path: v for v in zapz.info(tmp_path / "c", chunks=True).variables}
    assert (found["sst"].stored_chunks, found["sst"].missing_chunks) == (19, 1)
    size = sum(p.stat().st_size for p in (tmp_path / "c" / "sst").glob("[0-4].*"))
    assert found["sst"].stored_bytes == size
    assert {v.stored_chunks for v in zapz.info(tmp_path / "c").variables} == {None}
    service = ObjectService()
    zapz.append(service.store("bucket/cube"), cubes.days([0]))
    counted = {v.path: v for v in zapz.info(service.store("bucket/cube"), chunks=True).variables}
    assert counted["sst"].stored_chunks == 1
    assert counted["sst"].stored_bytes


def test_json_only_gains_fields(here: Path) -> None:
    found = json.loads(run("info", here / "daily.zarr", "--json", "--chunks")[1])
    assert {
        "uri",
        "zarr_format",
        "dims",
        "append_dim",
        "variables",
        "labels",
        "steps",
        "lock",
        "journal",
        "notes",
    } <= set(found)
    assert {"path", "dims", "shape", "dtype", "chunks", "inner_chunks", "codecs", "grows", "dead_bytes"} <= set(
        found["variables"][0]
    )
    assert {"step", "gaps", "missing", "first"} <= set(found["steps"]["time"])
    assert {"after", "before", "missing"} <= set(found["steps"]["time"]["first"][0])
    assert sum(each["missing"] for each in found["steps"]["time"]["ranges"]) == 4
    dry = json.loads(run("append", "--dry-run", "--json", here / "daily.zarr", here / "next.zarr")[1])["slices"][0][
        "plan"
    ]
    assert {
        "target",
        "slice",
        "creates",
        "offset",
        "length",
        "copied_chunks",
        "encoded_chunks",
        "bytes",
        "decoded_bytes",
        "working_set",
        "checks",
        "variables",
        "notes",
        "replaces",
    } <= set(dry)
    assert (dry["gap"], dry["labels"]) == (2, ["2024-10-29T00:00:00"] * 2)
