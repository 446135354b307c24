"""The pages of the documentation: what they show is run, and what is generated in them can be generated again.

``PYTHONPATH=src:tests python -m kit.pages`` brings the pages up to date: the settings, the command line, and the output behind the commands.

A command that serves (``zapz serve``, ``uvicorn``) runs until the next one of the page, or until the page's end. In the pages it listens at port 8080; here
at a free one, which then stands for 8080 in what the page runs, and 8080 for it in what that prints.
"""

from __future__ import annotations

import contextlib
import glob
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from kit import ROOT
from kit.http_clients import fresh_connections
from kit.servers import Server, running, start_moto, wait_until
from kit.terminals import Terminal, seen
from zapz.__main__ import main as zapz_main
from zapz.cli import reference as commands
from zapz.cli.demo import write_slices
from zapz.config import reference as settings
from zapz.config.files import resolve

README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\n$")
"""What stands before a block that no test runs, with the reason."""
_FENCED = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = set("|&;<>$`(){}\\")
"""What only a shell understands."""
_GENERATED = re.compile(r"<!-- (\w+): generated, do not edit -->.*?<!-- end of \1 -->", re.DOTALL)
_SERVES = re.compile(r"(zapz serve|uvicorn) ")
_LISTENS = re.compile(r"http://127\.0\.0\.1:(\d+).*Press C", re.DOTALL | re.IGNORECASE)
"""What a server has printed once it listens: its port, and how to stop it."""
_PORT = "8080"
"""The port of servers in the pages."""
_PRINTS = re.compile(r"^ *print\(.*\)  # (.*)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a page."""

    language: str
    """What stands behind the fence."""
    title: str
    """The name of the file that it is, or what it is called; mostly empty."""
    text: str
    """What is in it."""
    span: tuple[int, int]
    """Where its text is in the page."""
    not_run: str
    """Why no test runs it; empty if one does."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A command, and what a page shows as its output."""

    command: str
    """As it is typed."""
    output: str
    """Without the end of the last line; empty if the page leaves it out."""

    @property
    def fails(self) -> bool:
        """Whether it is shown to fail."""
        return re.search(r"^(error|zapz):", self.output, re.MULTILINE) is not None


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found = []
    for match in _FENCED.finditer(page):
        title = re.search(r'title="([^"]*)"', match[2])
        reason = NOT_RUN.search(page, 0, match.start())
        found.append(
            Block(
                language=match[1],
                title=title[1] if title else "",
                text=match[3],
                span=match.span(3),
                not_run=reason[1] if reason and reason.end() == match.start() else "",
            )
        )
    return found


def shown_in(console: str) -> list[Shown]:
    """Return the commands of a console block with their output."""
    parts = re.split(r"^\$ ", console, flags=re.MULTILINE)
    assert not parts[0], "a console block begins with a command"
    pairs = [part.partition("\n") for part in parts[1:]]
    return [Shown(command=command, output=output.rstrip("\n")) for command, _, output in pairs]


def needs_service(page: str) -> bool:
    """Return whether the commands of a page need an object service."""
    return any("s3://" in block.text for block in blocks_of(page) if block.language == "console")


def without_generated(page: str) -> str:
    """Return a page without what is generated from the code."""
    return _GENERATED.sub("", page)


def normalised(output: str) -> str:
    """Return output without what differs from run to run: sizes, times, numbers of processes, the last digits of numbers."""
    text = re.sub(r"\b\d[\d.,]* ?[kMG]?B\b", "# B", output)
    text = re.sub(r"\b\d+(\.\d+)?(?= s\b)", "#", text)
    text = re.sub(r"(took: .*)", lambda line: re.sub(r"\d\.\d\d", "#", line[0]), text)
    text = re.sub(r"\bprocess \d+", "process #", text)
    text = re.sub(r"(?<![\d:T])\d\d:\d\d(?![\d:])", "##:##", text)
    text = re.sub(r"-?\d+\.\d{5,}", lambda number: f"{float(number[0]):.3g}", text)
    return "\n".join(re.sub(r"(?<=\S) {2,}", "  ", line).rstrip() for line in text.splitlines())


class Stage:
    """A folder in which the demo has left its slices: what a page shows is run there, in its order."""

    def __init__(self, folder: Path, service: Server | None = None) -> None:
        self.folder = folder
        self.service = service
        days = write_slices(folder / "zapz-demo")[:-1]
        self.netcdf = [(folder / "june" / path.name).with_suffix(".nc") for path in days]
        command = folder / ".bin" / "zapz"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m zapz "$@"\n')
        command.chmod(0o755)
        self._server = contextlib.ExitStack()
        self._port = _PORT

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Work in the folder, with ``zapz`` on the path, as somewhere else on this machine."""
        path = f"{self.folder / '.bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        changed = {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "80", "NO_COLOR": "1"}
        if self.service is not None:
            options = {
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_ENDPOINT_URL": "endpoint_url",
            }
            changed |= {name: self.service.options[option] for name, option in options.items()}
        modules = set(sys.modules)
        with (
            mock.patch.dict(os.environ, changed),
            mock.patch.object(sys, "path", [*sys.path]),
            contextlib.chdir(self.folder),
            fresh_connections(),
            self._server,
        ):
            for name in [name for name in os.environ if name.startswith("ZAPZ_") and name != "ZAPZ_DATA"]:
                del os.environ[name]
            yield
        for name in set(sys.modules) - modules:  # what a page wrote itself is not there for the next page
            if str(getattr(sys.modules[name], "__file__", "")).startswith(f"{self.folder}/"):
                del sys.modules[name]

    def shell(self, command: str, *, terminal: bool = False) -> tuple[int, str]:
        """Run a command; return its exit code and all that it prints. One that needs no shell is run in this process.

        On a terminal, a command that serves must be refused: it would never end.
        """
        if _SERVES.match(command) and not terminal:
            return self._serve(command)
        command = self._here(command)
        words = _words(command)
        if words is None:
            assert not terminal, "only plain commands have a terminal"
            done = subprocess.run(
                ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            return done.returncode, self._told(done.stdout)
        out = Terminal() if terminal else io.StringIO()
        code = 0
        with mock.patch.object(sys, "argv", words), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                zapz_main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        return code, self._told("\n".join(line for line in seen(out.getvalue())) if terminal else out.getvalue())

    def _serve(self, command: str) -> tuple[int, str]:
        """Run a command that serves, until the next one; return its exit code, and what it prints until it listens or ends."""
        self._server.close()
        command = command.replace(f"--port {_PORT}", "--port 0") if "--port" in command else f"{command} --port 0"
        log = self.folder / ".bin" / "server.log"
        process = self._server.enter_context(running(["bash", "-c", f"exec {command}"], log))
        wait_until(lambda: process.poll() is not None or _LISTENS.search(log.read_text()) is not None, process, log)
        printed = log.read_text()
        if listens := _LISTENS.search(printed):
            self._port = listens[1]
        return process.poll() or 0, self._told(printed)

    def _here(self, text: str) -> str:
        """Return a piece of a page as it is run here."""
        return text.replace(f":{_PORT}", f":{self._port}")

    def _shown(self, output: str) -> str:
        """Return what is printed here as a page shows it."""
        return output.replace(f":{self._port}", f":{_PORT}")

    def write_netcdf(self) -> None:
        """Write the demo's slices as NetCDF files, too."""
        import xarray as xr

        self.netcdf[0].parent.mkdir(exist_ok=True)
        for path in self.netcdf:
            slice_ = self.folder / "zapz-demo" / path.with_suffix(".zarr").name
            xr.open_zarr(slice_).to_netcdf(path, engine="h5netcdf")

    def python(self, piece: str) -> str:
        """Run a piece of Python by itself, and return what it prints."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(self._here(piece), "<page>", "exec"), {"__name__": "__main__"})
        return self._shown(out.getvalue())

    def _told(self, output: str) -> str:
        return self._shown(output.replace(f"{self.folder}/", "")).rstrip("\n")

    def run(self, block: Block, checked: bool = True) -> str:
        """Run a block, and return it with what its commands print now, where it shows that.

        Args:
            block: The block.
            checked: Whether output that differs from what is shown is an error.
        """
        if f" {self.netcdf[0].parent.name}/" in block.text and not self.netcdf[0].exists():
            self.write_netcdf()
        if block.language == "console":
            return "".join(
                self._run(each, checked, terminal=block.title == "on a terminal") for each in shown_in(block.text)
            )
        if block.language == "python" and not block.title:
            promised = _PRINTS.findall(block.text)
            assert promised, f"shows nothing of what it does:\n{block.text}"
            printed = self.python(block.text)
            assert [line for line in printed.splitlines() if line in promised] == promised, f"{block.text}\n{printed}"
        elif block.language in {"toml", "json", "yaml"}:
            place = self.folder / (block.title or f"shown.{block.language}")
            place.write_text(block.text)
            resolve(place, {}, dict.fromkeys(re.findall(r"\$(\w+)", block.text), "x"))
        elif block.title:
            (self.folder / block.title).write_text(block.text)
        return block.text

    def _run(self, shown: Shown, checked: bool, *, terminal: bool) -> str:
        code, output = self.shell(shown.command, terminal=terminal)
        assert (code != 0) == shown.fails or (not checked and shown.output == "…"), f"{shown.command}\n{code}\n{output}"
        if not shown.output:
            return f"$ {shown.command}\n"
        same = normalised(output) == normalised(shown.output)
        if checked:
            assert same, f"{shown.command}\nprints\n{output}\nbut the page shows\n{shown.output}"
        return f"$ {shown.command}\n{shown.output if same else output}\n"


def _words(command: str) -> Sequence[str] | None:
    """Return a command as ``sys.argv`` has it; None if it needs a shell, is not of zapz, or opens connections, which would stay open."""
    if not command.startswith("zapz ") or set(command) & _SHELL or "s3://" in command:
        return None
    words = []
    for word in shlex.split(command, comments=True):
        words += sorted(glob.glob(word)) or [word]
    return words


def generated(page: str) -> str:
    """Return a page with what is generated from the code as it is today."""
    for module in (settings, commands):
        if module.OPENING in page:
            page = module.insert_into(page)
    return page


def refreshed(page: str, stage: Stage) -> str:
    """Return a page with what is generated as it is today, and with what its commands print today."""
    page = generated(page)
    parts, here = [], 0
    with stage.entered():
        for block in blocks_of(page):
            start, end = block.span
            parts += [page[here:start], block.text if block.not_run else stage.run(block, checked=False)]
            here = end
    return "".join([*parts, page[here:]])


def main() -> None:
    """Bring pages up to date: those that are named, or all."""
    warnings.simplefilter("error")
    for page in [Path(name).resolve() for name in sys.argv[1:]] or PAGES:
        before = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as services:
            service = services.enter_context(start_moto()) if needs_service(before) else None
            after = refreshed(before, Stage(Path(folder).resolve(), service))
        if after != before:
            page.write_text(after, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)}: brought up to date\n")


if __name__ == "__main__":
    main()
