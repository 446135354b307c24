"""The environments of the contenders: one for zapz, one for zappend, one for current peers."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
# What goes into each environment, and the packages whose versions the table names.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "peers": ("xarray", "zarr", "tensorstore", "dask"),
    "zappend": ("zappend==0.8.0", "xarray==2024.9.*", "zarr<3"),
    "zapz": (str(CHECKOUT),),
}
SHOWN: dict[str, tuple[str, ...]] = {
    "peers": ("xarray", "dask", "zarr", "tensorstore", "numpy"),
    "zappend": ("zappend", "xarray", "zarr", "numpy"),
    "zapz": ("zapz", "zarr", "numcodecs", "numpy"),
}
VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        found[name] = "missing"
print(json.dumps(found))
"""


class SetupError(Exception):
    """An environment could not be made; the message is the end of what pip said."""


def prepare_environment(root: Path, name: str) -> Path:
    """Make an environment unless it is there and up to date; return its Python.

    Args:
        root: The folder of all environments.
        name: Which one.

    Raises:
        SetupError: If the packages cannot be installed.
    """
    folder = root / name
    python = folder / "bin" / "python"
    stamp = folder / "installed.txt"
    wanted = "\n".join([sys.version, *REQUIREMENTS[name], source_digest() if name == "zapz" else ""])
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    stamp.unlink(missing_ok=True)
    print(f"setting up {folder}", file=sys.stderr, flush=True)
    if not python.exists():
        run([sys.executable, "-m", "venv", str(folder)])
    # A changed checkout has the same version as before, so pip must be told to install it again.
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*install, *REQUIREMENTS[name]])
    if name == "zapz":
        run([*install, "--force-reinstall", "--no-deps", *REQUIREMENTS[name]])
    stamp.write_text(wanted)
    return python


def run(command: list[str]) -> None:
    """Run a command of the set-up.

    Raises:
        SetupError: If it fails.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(last_line(done.stderr) or f"{command[0]} failed")


def last_line(text: str) -> str:
    """Return the last line that says something, shortened: of a traceback, the message."""
    lines = [line.strip() for line in text.splitlines() if line.strip(" ^~╰─╯│")]
    limit = 300
    return lines[-1][:limit] if lines else ""


def source_digest() -> str:
    """Return a digest of the checkout's code, which changes when zapz must be installed again."""
    digest = hashlib.sha256()
    for path in [CHECKOUT / "pyproject.toml", *sorted((CHECKOUT / "src").rglob("*.py"))]:
        digest.update(str(path.relative_to(CHECKOUT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def versions(python: Path, name: str) -> str:
    """Return the versions that matter in an environment, in one line."""
    done = subprocess.run([str(python), "-c", VERSIONS, *SHOWN[name]], capture_output=True, text=True, check=False)
    if done.returncode:
        return last_line(done.stderr)
    found: dict[str, str] = json.loads(done.stdout)
    return ", ".join(f"{package} {version}" for package, version in found.items())


def machine(work: Path) -> str:
    """Return cores, processor, memory, filesystem, system and Python in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    listing = subprocess.run(["df", "-T", str(work)], capture_output=True, text=True, check=False)
    filesystem = "unknown filesystem"
    if listing.returncode == 0 and sys.platform == "linux":
        filesystem = listing.stdout.splitlines()[-1].split()[1]
    parts = (
        f"{os.cpu_count()} cores ({processor()})",
        f"{memory:.0f} GiB",
        filesystem,
        platform.platform(),
        f"Python {platform.python_version()}",
        f"load before the run {os.getloadavg()[0]:.1f}",
    )
    return ", ".join(parts)


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
