"""The tutorial notebook: it runs, on real data if they are here, and is kept without its outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
from kit.pages import DOCS, Stage

NOTEBOOK = DOCS / "tutorial.ipynb"
RUNS = """
import sys, nbclient, nbformat
notebook = nbclient.NotebookClient(nbformat.read(sys.argv[1], as_version=4), timeout=120, kernel_name="python3").execute()
print("".join(nbformat.writes(notebook)))
"""
"""A child runs it: what the kernel's libraries leave behind stays there."""


def test_it_is_kept_without_outputs() -> None:
    """They would change with every version of what draws them. The site shows them: it runs the notebook."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert NOTEBOOK.stat().st_size < 20_000


def test_it_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    missing = [name for name in ("nbclient", "ipykernel", "matplotlib") if find_spec(name) is None]
    if missing:
        pytest.skip(f"no module {missing[0]!r} runs the notebook")
    with Stage(tmp_path_factory.mktemp("tutorial")).entered():
        done = subprocess.run([sys.executable, "-c", RUNS, NOTEBOOK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    outputs = [output for cell in json.loads(done.stdout)["cells"] for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    printed = "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")
    assert "exit code -9" in printed
    assert "left by the killed run: 1" in printed
    assert "sound: True" in printed
    assert not [output for output in outputs if output.get("name") == "stderr"], printed
