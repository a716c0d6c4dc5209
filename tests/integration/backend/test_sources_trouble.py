"""Servers in trouble, the cache of fetched images, and TLS, over real HTTP."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.errors import ImageError, RequestError, SourceUnavailable
from backend.sources import ImageSources
from backend.sources.addresses import HostPolicy, parse_hosts
from backend.sources.fetch import Fetcher, FetchLimits
from backend.sources.file_cache import FileCache
from backend.sources.http import Http, Patience
from tests.integration.backend.image_server import (
    Handler,
    file,
    serving,
    status,
)
from tests.integration.backend.sources_bench import IMAGE, by_name, fetched, left_in_cache, sources, wait_for


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


# Servers in trouble


def drip(handler: Handler) -> None:
    """A byte now and then, for ever: no single wait is long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    while not handler.served.closing.wait(0.01):
        handler.wfile.write(b"x")


def drip_head(handler: Handler) -> None:
    """As `drip`, already in the headers."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not handler.served.closing.wait(0.01):
        handler.wfile.write(b"x")


def silent(handler: Handler) -> None:
    """Nothing at all."""
    handler.served.closing.wait(60)


@pytest.mark.parametrize("route", [drip, drip_head, silent])
def test_deadline_holds_whatever_the_server_does(root: Path, route: Callable[[Handler], None]) -> None:
    with serving({"/a.png": route}) as server:
        begin = time.monotonic()
        with pytest.raises(SourceUnavailable, match=r"^the image's server 127.0.0.1 did not send the image in time$"):
            fetched(sources(root), f"{server.url}/a.png", seconds=0.4)
        assert time.monotonic() - begin < 10
        assert left_in_cache(root) == []


def test_server_that_stops_sending(root: Path) -> None:
    with serving({"/a.png": silent}) as server:
        source = by_name(root, [["127.0.0.1"]], "127.0.0.1", Patience(read_seconds=0.2))
        with pytest.raises(SourceUnavailable, match=r"^the image's server 127.0.0.1 stopped sending$"):
            fetched(source, f"{server.url}/a.png")


def test_nobody_listens(root: Path) -> None:
    with serving() as server:
        url = f"{server.url}/a.png"
    with pytest.raises(SourceUnavailable, match=r"^the image's server 127.0.0.1 cannot be reached: no connection$"):
        fetched(sources(root), url)


def hang_up(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"half")
    handler.close_connection = True


def chunks_hang_up(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"4\r\nhalf\r\n")
    handler.close_connection = True


def nonsense(handler: Handler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("route", [hang_up, chunks_hang_up, nonsense])
def test_broken_answer_leaves_nothing(root: Path, route: Callable[[Handler], None]) -> None:
    with serving({"/a.png": route}) as server:
        source = sources(root)
        with pytest.raises(SourceUnavailable, match=r"ended too early, or answered with no valid HTTP$"):
            fetched(source, f"{server.url}/a.png")
        assert left_in_cache(root) == []
        server.routes["/a.png"] = file(IMAGE)
        assert fetched(source, f"{server.url}/a.png") == IMAGE


@pytest.mark.parametrize(
    ("code", "error"),
    [(400, ImageError), (403, ImageError), (404, ImageError), (410, ImageError), (204, SourceUnavailable),
     (304, SourceUnavailable), (424, SourceUnavailable), (429, SourceUnavailable), (500, SourceUnavailable)],
)  # fmt: skip
def test_status(root: Path, code: int, error: type[RequestError]) -> None:
    def route(handler: Handler) -> None:
        handler.give(code)

    with serving({"/a.png": route}) as server:
        with pytest.raises(error, match=rf"^127.0.0.1 answered {code} for the image '127.0.0.1/.../a.png'") as caught:
            fetched(sources(root), f"{server.url}/a.png?sig=abc")
        assert type(caught.value) is error
        assert "abc" not in str(caught.value)


@pytest.mark.parametrize("announced", [True, False])
def test_too_large_image(root: Path, announced: bool) -> None:
    def route(handler: Handler) -> None:
        if announced:
            handler.give(200, IMAGE)
            return
        handler.send_response(200)
        handler.end_headers()
        while not handler.served.closing.is_set():
            handler.wfile.write(IMAGE)

    with serving({"/a.png": route}) as server:
        source = sources(root, limits=FetchLimits(download_bytes=50_000))
        with pytest.raises(ImageError, match=r"has more than 0.0476837 MB \(IMAGE_DOWNLOAD_LIMIT_MB\)$"):
            fetched(source, f"{server.url}/a.png")
        assert left_in_cache(root) == []


def test_packed_answer_is_refused(root: Path) -> None:
    with serving({"/a.png": lambda handler: handler.give(200, b"x", Content_Encoding="gzip")}) as server:
        with pytest.raises(ImageError, match=r"sends '127.0.0.1/.../a.png' packed \('gzip'\)$"):
            fetched(sources(root), f"{server.url}/a.png")
        assert server.seen[0].headers["accept-encoding"] == "identity"


def test_cache_that_cannot_be_written(root: Path) -> None:
    """Images are read from memory."""
    with serving({"/a.png": file(IMAGE, '"1"')}) as server:
        (root.parent / "cache").touch()
        source = sources(root)
        assert [fetched(source, f"{server.url}/a.png") for _ in range(2)] == [IMAGE] * 2
        assert len(server.seen) == 1
        assert source.problem == "fetched images are not kept in IMAGE_CACHE_DIR: File exists"


def test_proxy_of_the_environment_is_not_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving({"/a.png": file(IMAGE)}) as server:
        assert fetched(sources(root), f"{server.url}/a.png") == IMAGE


# The cache


def test_fetched_once_and_kept_over_a_restart(root: Path) -> None:
    with serving({"/a.png": file(IMAGE)}) as server:
        url = f"{server.url}/a.png"
        first = sources(root).open(url, None, time.monotonic() + 30)
        source = sources(root)
        assert [source.open(url, None, time.monotonic() + 30) for _ in range(3)] == [first] * 3
        assert len(server.seen) == 1


def test_many_who_ask_for_one_image_download_it_once(root: Path) -> None:
    waiting, go = threading.Semaphore(0), threading.Event()

    def route(handler: Handler) -> None:
        waiting.release()
        assert go.wait(30)
        handler.give(200, IMAGE)

    with serving({"/a.png": route}) as server, ThreadPoolExecutor(8) as pool:
        source, url = sources(root), f"{server.url}/a.png"
        answers = [pool.submit(source.open, url, None, time.monotonic() + 30) for _ in range(8)]
        assert waiting.acquire(timeout=30)
        go.set()
        assert len({one.result(30) for one in answers}) == 1
        assert len(server.seen) == 1


def test_who_has_more_time_takes_over(root: Path) -> None:
    first_is_here = threading.Event()

    def route(handler: Handler) -> None:
        if not first_is_here.is_set():
            first_is_here.set()
            silent(handler)
        else:
            handler.give(200, IMAGE)

    with serving({"/a.png": route}) as server, ThreadPoolExecutor(2) as pool:
        source, url = sources(root), f"{server.url}/a.png"
        hasty = pool.submit(source.open, url, None, time.monotonic() + 0.5)
        assert first_is_here.wait(30)
        patient = pool.submit(source.open, url, None, time.monotonic() + 30)
        with pytest.raises(SourceUnavailable):
            hasty.result(30)
        assert patient.result(30).path.read_bytes() == IMAGE


def test_failure_is_told_to_all_who_wait(root: Path) -> None:
    go = threading.Event()

    def route(handler: Handler) -> None:
        assert go.wait(30)
        handler.give(500)

    with serving({"/a.png": route}) as server, ThreadPoolExecutor(4) as pool:
        source, url = sources(root), f"{server.url}/a.png"
        answers = [pool.submit(source.open, url, None, time.monotonic() + 30) for _ in range(4)]
        go.set()
        for one in answers:
            with pytest.raises(SourceUnavailable, match="answered 500"):
                one.result(30)


ALWAYS = FetchLimits(fresh_seconds=0, retry_seconds=0)


def test_changed_image_is_noticed_and_has_another_identity(root: Path) -> None:
    with serving({"/a.png": file(b"old", '"1"')}) as server:
        source, url = sources(root, limits=ALWAYS), f"{server.url}/a.png"
        old = source.open(url, None, time.monotonic() + 30)
        assert source.open(url, None, time.monotonic() + 30) == old
        server.routes["/a.png"] = file(b"new", '"2"')
        new = source.open(url, None, time.monotonic() + 30)
        assert old.identity != new.identity
        assert (old.path.read_bytes(), new.path.read_bytes()) == (b"old", b"new")
        assert [one.headers.get("if-none-match") for one in server.seen] == [None, '"1"', '"1"']


def test_version_by_date(root: Path) -> None:
    date = "Mon, 23 Nov 2026 05:00:00 GMT"

    def route(handler: Handler) -> None:
        same = handler.headers.get("If-Modified-Since") == date
        handler.give(304 if same else 200, b"" if same else IMAGE, Last_Modified=date)

    with serving({"/a.png": route}) as server:
        source = sources(root, limits=ALWAYS)
        assert [fetched(source, f"{server.url}/a.png") for _ in range(2)] == [IMAGE] * 2
        assert server.seen[1].headers["if-modified-since"] == date


@pytest.mark.parametrize("code", [403, 404, 410])
def test_cached_copy_is_not_used_when_gone_or_forbidden(root: Path, code: int) -> None:
    """Copy from before is not used for what is gone or forbidden."""
    with serving({"/a.png": file(IMAGE, '"1"')}) as server:
        source, url = sources(root, limits=ALWAYS), f"{server.url}/a.png"
        fetched(source, url)
        server.routes["/a.png"] = status(code)
        with pytest.raises(ImageError, match=f"answered {code}"):
            fetched(source, url)
        assert left_in_cache(root) == []


@pytest.mark.parametrize("route", [status(503), hang_up])
def test_copy_from_before_is_used_while_the_server_has_trouble(
    root: Path, route: Callable[[Handler], None], caplog: pytest.LogCaptureFixture
) -> None:
    with serving({"/a.png": file(IMAGE, '"1"')}) as server:
        source, url = sources(root, limits=ALWAYS), f"{server.url}/a.png?sig=abc"
        fetched(source, url)
        server.routes["/a.png"] = route
        assert fetched(source, url) == IMAGE
        assert "the copy of '127.0.0.1/.../a.png' from before is used" in caplog.text
        assert "abc" not in caplog.text


def test_server_in_trouble_is_not_asked_at_each_click(root: Path) -> None:
    now = [1000.0]
    cache = FileCache(root.parent / "cache", 10**7, clock=lambda: now[0])
    source = ImageSources(root, Fetcher(Http(HostPolicy(None, parse_hosts("127.0.0.1"))), cache, None))
    with serving({"/a.png": file(IMAGE, '"1"')}) as server:
        url = f"{server.url}/a.png"
        asked = []
        for seconds, clicks in ((0, 2), (299, 2), (2, 3), (29, 2), (2, 1)):
            now[0] += seconds
            assert [fetched(source, url) for _ in range(clicks)] == [IMAGE] * clicks
            asked.append(len(server.seen))
            server.routes["/a.png"] = status(503)
        assert asked == [1, 1, 2, 2, 3]


def test_length_that_is_not_told_makes_no_version(root: Path) -> None:
    def route(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("ETag", '"1"')
        handler.end_headers()
        handler.wfile.write(IMAGE)
        handler.close_connection = True

    with serving({"/a.png": route}) as server:
        source = sources(root, limits=ALWAYS)
        assert [fetched(source, f"{server.url}/a.png") for _ in range(2)] == [IMAGE] * 2
        assert "if-none-match" not in server.seen[1].headers


def test_killed_in_the_middle_of_a_download(root: Path) -> None:
    """The next start removes the half file and fetches the whole one."""
    script = """
import sys, time
from pathlib import Path
from backend.sources import open_sources
root = Path(sys.argv[1])
sources = open_sources(root, root.parent / "cache", 10**7, hosts_allowed="127.0.0.1")
sources.open(sys.argv[2], None, time.monotonic() + 60)
"""
    half_sent = threading.Event()

    def route(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(IMAGE)))
        handler.end_headers()
        handler.wfile.write(IMAGE[: len(IMAGE) // 2])
        half_sent.set()
        silent(handler)

    with serving({"/a.png": route}) as server:
        url = f"{server.url}/a.png"
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(root), url],
            cwd=Path(__file__).parents[3],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": "."},
        )
        try:
            assert half_sent.wait(60)
            wait_for(lambda: any(name.endswith(".part") for name in left_in_cache(root)))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        assert [Path(name).suffix for name in left_in_cache(root)] == [".part"]
        source = sources(root)
        assert left_in_cache(root) == []
        server.routes["/a.png"] = file(IMAGE)
        assert fetched(source, url) == IMAGE


# TLS


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_certificate_is_checked_also_of_a_custom_authority(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificate is checked for the name and a custom authority is trusted."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=images.example", "-addext",
         "subjectAltName=DNS:images.example"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving({"/a.png": file(IMAGE)}, context) as server:
        url = f"https://images.example:{server.port}/a.png"
        untrusted = r"^the image's server images.example cannot be reached: its certificate is not trusted$"
        with pytest.raises(SourceUnavailable, match=untrusted):
            fetched(by_name(root, [["127.0.0.1"]], "images.example"), url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetched(by_name(root, [["127.0.0.1"]], "images.example"), url) == IMAGE
        with pytest.raises(SourceUnavailable, match="its certificate is not trusted"):
            fetched(by_name(root, [["127.0.0.1"]], "other.example"), url.replace("images", "other"))
