"""A small Ceph: one monitor, one storage daemon that keeps objects in memory, and the RADOS gateway, which speaks S3 and means its conditions.

The programs are Debian's (or Ubuntu's), unpacked into the tests' cache and run from there; root is not needed. Where they are installed, those are run.
The cluster trusts whoever reaches it, which on loopback is this machine; the gateway asks for the keys below as any S3 server does.
"""

import contextlib
import os
import platform
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from kit.servers import HOST, fetched, free_port, listening, running, said, tool, wait_until

KEY, SECRET = "x", "y"
PACKAGES = ("ceph-mon", "ceph-osd", "radosgw")


def unpack(root: Path) -> None:
    """Download the packages and what they need beyond what is installed, and unpack them into a folder."""
    apt, dpkg = tool("apt-get"), tool("dpkg-deb")
    wanted = [
        line.split()[1]
        for line in said([apt, "install", "--simulate", "--no-install-recommends", *PACKAGES]).splitlines()
        if line.startswith("Inst ")
    ]
    debs = root.parent / "debs"
    debs.mkdir()
    said([apt, "download", *(name for name in wanted if not name.startswith("python3-"))], cwd=debs)
    for deb in debs.iterdir():
        said([dpkg, "--extract", str(deb), str(root)])


def programs() -> Path:
    """Return the folder under which ``usr/bin`` has Ceph's programs."""
    if all(shutil.which(name) for name in PACKAGES):
        return Path("/")
    return fetched("ceph", unpack)


class Cluster:
    """Files of a cluster that lives in one folder, and how to run its programs."""

    def __init__(self, root: Path, folder: Path, gate: int) -> None:
        libraries = Path("usr/lib", f"{platform.machine()}-linux-gnu")
        self.root, self.folder = root, folder
        self.id, self.monitor = str(uuid.uuid4()), f"v2:{HOST}:{free_port()}"
        self.environment = {"CEPH_CONF": str(folder / "conf")}
        if root != Path("/"):
            places = (libraries, libraries / "ceph", Path("usr/lib/ceph"), Path("lib") / libraries.name)
            self.environment["LD_LIBRARY_PATH"] = os.pathsep.join(str(root / place) for place in places)
        settings = {
            "fsid": self.id,
            "mon host": f"[{self.monitor}]",
            "public addr": HOST,
            **{f"auth {who} required": "none" for who in ("cluster", "service", "client")},
            "ms mon client mode": "crc",  # the gateway would ask for encryption, which needs keys
            **{f"osd pool default {what}": 1 for what in ("size", "min size")},
            **{f"osd pool default {what}": 4 for what in ("pg num", "pgp num")},
            "osd crush chooseleaf type": 0,  # one daemon is enough for a placement
            "osd objectstore": "memstore",
            "memstore device bytes": 4 << 30,
            "mon allow pool size one": "true",
            "mon max pg per osd": 1000,
            **{
                f"mon data avail {what}": 1 for what in ("warn", "crit")
            },  # a disk that is nearly full is no reason to stop
            "paxos propose interval": 0.02,  # a second by default, which a start waits for ten times
            "mon data": folder / "mon",
            "osd data": folder / "osd",
            "rgw data": folder / "rgw",
            "run dir": folder,
            "admin socket": folder / "$name.socket",
            "pid file": "",
            "log file": folder / "$name.log",
            "mon cluster log file": folder / "cluster.log",
            "plugin dir": root / libraries / "ceph",
            "erasure code dir": root / libraries / "ceph" / "erasure-code",
            "osd class dir": root / libraries / "rados-classes",
            "rgw frontends": f"beast endpoint={HOST}:{gate}",
            "rgw thread pool size": 32,
        }
        (folder / "conf").write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
        for name in ("mon", "osd", "rgw"):
            (folder / name).mkdir()

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self.root / "usr/bin" / program), *arguments]
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")

    def daemon(self, program: str, *arguments: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        command = [str(self.root / "usr/bin" / program), "--foreground", *arguments]
        return running(command, self.log(program), self.environment)

    def log(self, program: str) -> Path:
        return self.folder / f"{program}.out"


@contextlib.contextmanager
def gateway(root: Path) -> Iterator[tuple[int, dict[str, int]]]:
    """Run a new, empty cluster; give the gateway's port and the daemons' process ids. Its folder is short: sockets live in it."""
    with tempfile.TemporaryDirectory(prefix="zapz-ceph-") as work, contextlib.ExitStack() as daemons:
        folder, gate = Path(work), free_port()
        cluster = Cluster(root, folder, gate)
        monitors, disks = str(folder / "monitors"), str(folder / "disks")
        cluster.run("monmaptool", "--create", "--fsid", cluster.id, "--addv", "a", f"[{cluster.monitor}]", monitors)
        cluster.run("osdmaptool", "--createsimple", "1", disks)
        cluster.run("ceph-mon", "--mkfs", "--id", "a", "--monmap", monitors, "--osdmap", disks)
        started = {"monitor": daemons.enter_context(cluster.daemon("ceph-mon", "--id", "a"))}
        cluster.run("ceph-osd", "--mkfs", "--id", "0", "--osd-uuid", str(uuid.uuid4()))
        started["storage"] = daemons.enter_context(cluster.daemon("ceph-osd", "--id", "0"))
        started["gateway"] = daemons.enter_context(cluster.daemon("radosgw", "--name", "client.rgw"))
        wait_until(lambda: listening(gate), started["gateway"], cluster.log("radosgw"))
        keys = (f"--access-key={KEY}", f"--secret-key={SECRET}")
        cluster.run("radosgw-admin", "user", "create", "--uid=zapz", "--display-name=zapz", *keys)
        yield gate, {name: process.pid for name, process in started.items()}
