"""The programs that run inside the containers, run here for real."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from core.errors import CommandFailed
from hosts.base import Result, check_exit_code
from infra.doctor.inside import Probe, digest, first_image, probe
from tests.machine import free_port


def here(
    *argv: str, ok: Collection[int] = (0,), timeout: float = 60.0, stdin: bytes | None = None, **_options: object
) -> Result:
    """Runs a container's command on this machine."""
    done = subprocess.run(
        (sys.executable, *argv[1:]), capture_output=True, text=True, timeout=timeout, input=None, check=False
    )
    return check_exit_code("here", Result(argv, done.returncode, done.stdout, done.stderr), ok)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()
        self.wfile.write(b"still loading")

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_way_to_its_end_and_one_that_ends_in_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # a proxy is not asked for another container
    with serving() as port:
        assert probe(here, "127.0.0.1", port, "/health") == Probe("done", "127.0.0.1", 200)
        assert probe(here, "127.0.0.1", port, "/other") == Probe("http", "still loading", 503)


def test_a_closed_port() -> None:
    found = probe(here, "127.0.0.1", free_port(), "/health")
    assert (found.step, found.status) == ("connect", None)
    assert found.said.startswith("127.0.0.1: ")


def test_a_name_that_nobody_knows() -> None:
    assert probe(here, "sam2.invalid", 9090, "/health").step == "resolve"


def test_a_server_that_never_speaks() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = probe(here, "127.0.0.1", silent.getsockname()[1], "/health")
    assert (found.step, found.status) == ("http", None)


def test_the_first_image_below_a_folder(tmp_path: Path) -> None:
    below = tmp_path / "b c"
    below.mkdir()
    (tmp_path / "note.txt").write_text("x")
    (below / "señal #1.png").write_bytes(b"\x89PNG" * 9)
    (tmp_path / "@eaDir").mkdir()
    for left_out in ("@eaDir/a.png", "._a.png", "a.png.part"):
        (tmp_path / left_out).write_text("x")
    found = first_image(here, str(tmp_path), ".*png")
    assert (found.path, found.size, found.error) == (str(below / "señal #1.png"), 16, "")
    assert first_image(here, str(tmp_path), ".*tif").path is None
    gone = first_image(here, str(tmp_path / "gone"), ".*png")
    assert (gone.error, gone.path) == ("FileNotFoundError", str(tmp_path / "gone"))


def test_the_digest_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a b.png"
    file.write_bytes(b"pixels")
    assert digest(here, str(file)).sha256 == hashlib.sha256(b"pixels").hexdigest()
    assert digest(here, str(tmp_path)).error == "IsADirectoryError"


def test_a_program_that_fails_is_no_answer() -> None:
    with pytest.raises(CommandFailed, match=r"re\.error|PatternError"):
        first_image(here, "/", "(")
