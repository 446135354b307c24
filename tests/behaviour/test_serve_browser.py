"""A page of another origin in a real browser: it reads what its origin may read, and nothing else; no other name reaches the server."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from kit import cubes
from kit.browsers import browser, missing
from kit.zapz_server import serving

GONE = missing("playwright")
pytestmark = pytest.mark.skipif(bool(GONE), reason=f"not installed: {GONE}")

READ = """async ([url, options]) => {
    try {
        const reply = await fetch(url, options);
        return {status: reply.status, size: (await reply.arrayBuffer()).byteLength, range: reply.headers.get("content-range"), tag: reply.headers.get("etag")};
    } catch (error) {
        return {refused: String(error)};
    }
}"""
EVENTS = """async url => await new Promise(resolve => {
    const source = new EventSource(url);
    source.addEventListener("generation", event => { source.close(); resolve(JSON.parse(event.data)); });
    source.onerror = () => { source.close(); resolve({refused: true}); };
})"""


def read(page: Any, url: str, **options: Any) -> Any:
    return page.evaluate(READ, [url, options])


class Quiet(SimpleHTTPRequestHandler):
    """Serves pages, and says nothing."""

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def pages_at(folder: Path) -> Iterator[str]:
    """Serve a folder of pages; give its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("options", [[], ["--stdlib"]], ids=str)
def test_pages_of_other_origins(tmp_path: Path, options: list[str]) -> None:
    cubes.make_slice(tmp_path / "cube.zarr", zarr_format=3, chunks=(1, 2, 2), shards=(1, 4, 6), consolidated=True)
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "page.html").write_text("<!DOCTYPE html><title>A page</title>")
    shard = (tmp_path / "cube.zarr" / "data" / "c" / "0" / "0" / "0").stat().st_size
    with (
        browser() as started,
        pages_at(tmp_path / "pages") as origin,
        pages_at(tmp_path / "pages") as stranger,
        serving("--cors", origin, *options, tmp_path / "cube.zarr") as server,
    ):
        url = f"{server.url}cube/data/c/0/0/0"
        page = started.new_page()
        page.goto(f"{origin}/page.html")
        whole = read(page, url)
        assert (whole["status"], whole["size"]) == (200, shard)
        assert whole["tag"]
        part = read(page, url, headers={"Range": "bytes=-68"})
        assert (part["status"], part["size"], part["range"]) == (206, 68, f"bytes {shard - 68}-{shard - 1}/{shard}")
        assert read(page, url, method="HEAD")["status"] == 200
        assert read(page, f"{server.url}cube/data/c/99/0/0")["status"] == 404
        assert read(page, url, headers={"If-None-Match": whole["tag"], "Authorization": "Bearer x"})["status"] == 304
        assert page.evaluate(EVENTS, f"{server.url}cube/events")["dims"]["time"] == 3
        assert "refused" in read(page, url, method="POST", headers={"Content-Type": "application/json"}, body="{}")
        other = started.new_page()
        other.goto(f"{stranger}/page.html")
        for path in ("cube/zarr.json", "cube/data/c/0/0/0", "", "metrics", "healthz"):
            assert "refused" in read(other, f"{server.url}{path}"), path
        assert (
            page.evaluate(READ, [f"{server.url}cube/zarr.json".replace("127.0.0.1", "localhost"), {}])["status"] == 200
        )


def test_another_name_for_loopback(tmp_path: Path) -> None:
    """DNS rebinding: a name of a stranger's leads to this machine."""
    cubes.make_slice(tmp_path / "cube.zarr", zarr_format=3, chunks=(1, 4, 6), consolidated=True)
    import shutil

    from kit.browsers import NAMES
    from playwright.sync_api import sync_playwright

    path = next(found for name in NAMES if (found := shutil.which(name)))
    with serving("--public", tmp_path / "cube.zarr") as server, sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP rebound.example 127.0.0.1"]
        started = driver.chromium.launch(executable_path=path, args=arguments)
        try:
            page = started.new_page()
            reply = page.goto(f"{server.url}cube/zarr.json".replace("127.0.0.1", "rebound.example"))
            assert reply is not None
            assert reply.status == 421
            assert "consolidated" not in page.content()
        finally:
            started.close()
