"""Pyramids of other tools: they write target and slice, zapz appends, and they find what they make of the whole.

``-m judges`` runs them; ``.ci/run`` runs those that are named small.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kit.judging import judge

import zapz

pytestmark = pytest.mark.judges

SMALL = [
    pytest.param("xcube", "judge_xcube.py", "2", id="small xcube v2"),
    pytest.param("pyramids", "judge_ome.py", "0.5", id="small OME-Zarr 0.5"),
    pytest.param("pyramids", "judge_trees.py", "topozarr", id="small topozarr"),
    pytest.param("pyramids", "judge_trees.py", "ndpyramid2", id="small ndpyramid v2"),
]
MORE = [
    pytest.param("xcube", "judge_xcube.py", "3", id="xcube v3"),
    pytest.param("pyramids", "judge_ome.py", "0.4", id="OME-Zarr 0.4"),
    pytest.param("pyramids", "judge_trees.py", "ndpyramid3", id="ndpyramid v3"),
]


@pytest.mark.parametrize(("environment", "program", "kind"), [*SMALL, *MORE])
def test_a_tool_finds_what_it_makes_of_the_whole(environment: str, program: str, kind: str, tmp_path: Path) -> None:
    judge(environment, program, "write", tmp_path, kind)
    (target,), (slice_,) = tmp_path.glob("target.*"), tmp_path.glob("slice.*")
    settings = {"append_dim": "t"} if program == "judge_ome.py" else {}
    created = tmp_path / f"created{target.suffix}"
    zapz.append(created, [target, slice_], **settings)
    zapz.append(target, slice_, **settings)
    assert judge(environment, program, "compare", tmp_path) == "identical"
    shutil.rmtree(target)
    created.rename(target)  # a created target is as good as one that the tool made
    assert judge(environment, program, "compare", tmp_path) == "identical"
