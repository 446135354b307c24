"""Hooks for MkDocs: all pages of this folder, the README as the first one, and the notebook.

MkDocs refuses a folder of pages that holds its own configuration, so ``docs_dir`` names the folder
of the style sheet, and the pages are added here.
"""

import base64
import html
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

HERE = Path(__file__).parent
NOTEBOOK = HERE / "tutorial.ipynb"


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for path in sorted([*HERE.glob("*.md"), *(HERE / "examples").glob("*.*"), NOTEBOOK]):
        files.append(File.generated(config, path.relative_to(HERE).as_posix(), abs_src_path=str(path)))
    readme = (HERE.parent / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=readme.replace("](docs/", "](")))
    files.append(File.generated(config, "tutorial.md", content=tutorial()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links to where their pages are in the site."""
    return markdown.replace("](../README.md", "](index.md").replace("](tutorial.ipynb)", "](tutorial.md)")


def tutorial() -> str:
    """Return the notebook as a page; run, with what it prints and draws, where that is possible."""
    missing = [name for name in ("zapz", "nbclient", "ipykernel", "matplotlib", "xarray") if find_spec(name) is None]
    if missing:
        cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    else:
        import nbclient
        import nbformat

        cells = nbclient.NotebookClient(nbformat.read(NOTEBOOK, as_version=4), timeout=120).execute()["cells"]
    parts = [part for cell in cells for part in shown(cell)]
    return "\n\n".join([*parts, '<a href="../tutorial.ipynb" download>Download this notebook</a>'])


def shown(cell: Any) -> list[str]:
    """Return a cell and its outputs as Markdown."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    parts = [f"```python\n{source}\n```"]
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            parts.append(f"```text\n{''.join(output['text']).rstrip()}\n```")
        elif "image/png" in output["data"]:
            text = "".join(output["data"].get("text/plain", "a plot"))
            picture = base64.b64encode(base64.b64decode(output["data"]["image/png"])).decode()
            parts.append(f'<img src="data:image/png;base64,{picture}" alt="{html.escape(text)}">')
    return parts
