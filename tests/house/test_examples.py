"""The examples in ``docs/examples`` do what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from kit.pages import DOCS, Stage

import zapz

EXAMPLES = DOCS / "examples"
TRIED = {"nightly.sh", "airflow_dag.py", "xarray_loop.py", "embedding.py"}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def run(stage: Stage, *words: object) -> subprocess.CompletedProcess[str]:
    with stage.entered():
        return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)


def test_every_example_is_tried_here_and_listed() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == TRIED
    page = (DOCS / "examples.md").read_text(encoding="utf-8")
    assert all(f"](examples/{name})" in page for name in TRIED)


def test_nightly(stage: Stage) -> None:
    """Creates nothing by mistake, extends, passes over, keeps the exit code, and shows the end of its log then."""
    (stage.folder / "zapz-demo" / "late.zarr").rename(stage.folder / "late.zarr")
    script = [EXAMPLES / "nightly.sh", "cube.zarr", "zapz-demo", "log.txt"]
    assert os.access(script[0], os.X_OK)
    done = run(stage, *script)
    assert done.returncode == 6
    assert "exit code 6: the next run tries again" in done.stderr
    assert not (stage.folder / "cube.zarr").exists()
    zapz.append(stage.folder / "cube.zarr", stage.folder / "zapz-demo" / "2024-06-01.zarr")
    done = run(stage, *script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert zapz.info(stage.folder / "cube.zarr").dims["time"] == 5
    (stage.folder / "late.zarr").rename(stage.folder / "zapz-demo" / "late.zarr")
    done = run(stage, *script)
    assert done.returncode == 3
    assert "exit code 3: a slice needs your attention" in done.stderr
    assert "4 appended" in (stage.folder / "log.txt").read_text()


def test_xarray_loop(stage: Stage) -> None:
    import xarray as xr

    stage.write_netcdf()
    program = (EXAMPLES / "xarray_loop.py").read_text(encoding="utf-8")
    with stage.entered(), mock.patch.object(sys, "argv", ["xarray_loop.py", "cube.zarr", "june"]):
        assert stage.python(program) == "5 days appended, 0 already there; the last one is 2024-06-05T00:00:00\n"
        assert stage.python(program).startswith("0 days appended, 5 already there")
    made = xr.open_zarr(stage.folder / "cube.zarr")
    assert made.sst.encoding["dtype"] == "int16"
    assert made.sst.attrs["units"] == "K"
    slices = sorted((stage.folder / "zapz-demo").glob("2024-06-0*.zarr"))
    whole = xr.concat([xr.open_zarr(each).sst for each in slices], "time") + 273.15
    assert abs(made.sst - whole).max() < 0.011


def test_embedding(stage: Stage) -> None:
    slices = sorted((stage.folder / "zapz-demo").glob("2024-06-0*.zarr"))
    done = run(stage, sys.executable, EXAMPLES / "embedding.py", "cube.zarr", *slices)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert [each["outcome"] for each in events if each["event"] == "slice"] == ["appended"] * 5
    assert events[-1] == {"event": "end", "exit_code": 0, "appended": 5, "length": 5}
    assert any(each["event"] == "progress" and each["phase"] == "copying" for each in events)
    done = run(stage, sys.executable, EXAMPLES / "embedding.py", "cube.zarr", stage.folder / "zapz-demo" / "late.zarr")
    assert done.returncode == 3
    assert json.loads(done.stdout.splitlines()[-1])["code"] == "label"


def test_embedding_is_cancelled_by_a_signal(stage: Stage) -> None:
    """While it waits for a slice that does not come."""
    program = f"import sys; sys.argv = ['embedding.py']; exec(open({str(EXAMPLES / 'embedding.py')!r}).read().split('if __name__')[0])\n"
    program += "zapz_append = zapz.append\nzapz.append = lambda *a, **k: zapz_append(*a, slice_polling=True, **k)\nsys.exit(main('cube.zarr', 'never.zarr'))"
    with stage.entered():
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "progress"
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    lines = process.communicate(timeout=30)[0].splitlines()
    assert process.returncode == 130
    assert json.loads(lines[-1])["code"] == "cancelled"


# -- Airflow, or what stands in for it ---------------------------------------------------------------------------------


class FailError(Exception):
    """Stands for Airflow's error after which a task is not tried again."""


def decorator(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Stands for ``@task(...)`` and ``@dag(...)``: called in a DAG, a task only notes that it is there."""

    def decorate(function: Callable[..., Any]) -> Any:
        def called(*args: Any) -> None:
            CALLS.append((function.__name__, args))
            if "schedule" in options:
                function()

        called.function = function  # type: ignore[attr-defined]
        called.options = options  # type: ignore[attr-defined]
        return called

    return decorate


CALLS: list[tuple[str, tuple[Any, ...]]] = []


@pytest.fixture
def airflow_dag(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    exceptions, sdk, airflow = ModuleType("airflow.exceptions"), ModuleType("airflow.sdk"), ModuleType("airflow")
    exceptions.__dict__["AirflowFailException"] = FailError
    sdk.__dict__.update(dag=decorator, task=decorator)
    for module in (airflow, exceptions, sdk):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    CALLS.clear()
    names: dict[str, Any] = {"__name__": "airflow_dag"}
    exec((EXAMPLES / "airflow_dag.py").read_text(encoding="utf-8"), names)
    return SimpleNamespace(**names)


def test_airflow_dag(stage: Stage, airflow_dag: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The DAG has its task, and the task appends a day once, however often it runs; what no retry helps is not tried again."""
    append, polling = zapz.append, {"interval": 0.01, "timeout": 10}
    monkeypatch.setattr(zapz, "append", lambda *a, **k: append(*a, **{**k, "slice_polling": polling}))
    assert CALLS == [("grow_sst", ()), ("append_day", (airflow_dag.TARGET, airflow_dag.SLICES))]
    assert airflow_dag.grow_sst.options["max_active_runs"] == 1
    append_day = airflow_dag.append_day.function
    cube, slices = str(stage.folder / "cube.zarr"), str(stage.folder / "zapz-demo")
    assert append_day(cube, slices, "2024-06-01") == 1
    assert append_day(cube, slices, "2024-06-02") == 2
    assert append_day(cube, slices, "2024-06-02") == 2
    with pytest.raises(FailError, match="exit code 3: the slice's labels"):
        append_day(cube, slices, "late")


def test_airflow_tries_again_what_may_pass(
    stage: Stage, airflow_dag: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = zapz.append
    monkeypatch.setattr(zapz, "append", lambda *a, **k: append(*a, **{**k, "slice_polling": False}))
    with pytest.raises(zapz.StoreError):
        airflow_dag.append_day.function(str(stage.folder / "cube.zarr"), str(stage.folder), "2024-06-09")
