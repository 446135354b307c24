"""nginx in front of ``zapz serve``, with the configuration that ``docs/behind-nginx.md`` shows, and the few requests that tests make to it."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kit.pages import DOCS, blocks_of
from kit.servers import HOST, Missing, free_port, listening, running, tool, wait_until
from kit.zapz_server import PATIENCE, Answered, Running

NAME = "data.example.org"
"""The host name in the page."""
_PAGE = "behind-nginx.md"
_FILE = "zapz.conf"
_MAIN = """\
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
{user}
events {{ }}
http {{
    access_log off;
    gzip on;
    gzip_types application/json application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/zapz.conf;
}}
"""
"""What is around the page's file: compression is on, as in many a configuration."""


@dataclass(frozen=True)
class Nginx:
    """nginx that runs."""

    port: int
    """Its port for TLS."""
    plain: int
    """Its port without TLS."""
    certificate: Path
    """Its certificate, for the name and for ``localhost``."""

    @property
    def url(self) -> str:
        """Its root, with a slash at its end."""
        return f"https://localhost:{self.port}/"

    @contextlib.contextmanager
    def open(self, path: str, method: str = "GET", **headers: str) -> Iterator[http.client.HTTPResponse]:
        """Give the reply to a request, not read yet. Underscores in names of header fields are hyphens."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=PATIENCE, context=context)
        fields = {"Host": NAME, **{name.replace("_", "-"): text for name, text in headers.items()}}
        try:
            connection.request(method, path, headers=fields)
            yield connection.getresponse()
        finally:
            connection.close()

    def get(self, path: str, method: str = "GET", **headers: str) -> Answered:
        """Return the reply to a request."""
        with self.open(path, method, **headers) as reply:
            fields = {name.lower(): value for name, value in reply.getheaders()}
            return Answered(reply.status, fields, reply.read())


def shown() -> str:
    """Return the configuration that the page shows."""
    page = (DOCS / _PAGE).read_text(encoding="utf-8")
    (text,) = (block.text for block in blocks_of(page) if block.title == _FILE)
    return text


def program() -> str:
    """Return where nginx is: Debian's is in a folder that may not be on the path.

    Raises:
        Missing: It is not installed.
    """
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    if found is None:
        raise Missing("nginx is not installed")
    return found


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate that signs itself; return it, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = f"subjectAltName=DNS:{NAME},DNS:localhost"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words = ["req", "-x509", *curve, "-days", "2", "-subj", f"/CN={NAME}", "-addext", names]
    subprocess.run(
        [tool("openssl"), *words, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    return certificate, key


@contextlib.contextmanager
def nginx(folder: Path, server: Running, *, without: str = "") -> Iterator[Nginx]:
    """Run nginx in front of a server until the end of the block.

    Args:
        folder: An empty folder for its files.
        server: The server, ``zapz serve``.
        without: A line that is left out of the configuration.

    Raises:
        Missing: nginx or openssl is not installed.
    """
    command = program()
    certificate, key = _certificate(folder)
    here = Nginx(port=free_port(), plain=free_port(), certificate=certificate)
    changed = {
        f"{without}\n": "\n",
        f"server {HOST}:8080;": f"server {urlsplit(server.url).netloc};",
        "listen 443 ": f"listen {HOST}:{here.port} ",
        "listen 80;": f"listen {HOST}:{here.plain};",
        f"/etc/ssl/certs/{NAME}.pem": str(certificate),
        f"/etc/ssl/private/{NAME}.key": str(key),
    }
    if not without:
        del changed["\n"]
    text = shown()
    for word, other in changed.items():
        assert text.count(word) == 1, word
        text = text.replace(word, other)
    (folder / _FILE).write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))
    log = folder / "nginx.log"
    with running([command, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")], log) as process:
        wait_until(lambda: listening(here.port) and listening(here.plain), process, log)
        yield here
