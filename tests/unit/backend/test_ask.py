"""Requests from inside the backend's container, where the backend listens on a socket in the file system."""

from __future__ import annotations

import io
import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from backend import ask as program

REPOSITORY = Path(__file__).parents[3]


class Handler(BaseHTTPRequestHandler):
    """Says what was asked; `/refused` is refused, and of `/silent` one line comes, and then none."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/silent":
            self._answer(sent)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"one\n")
        self.rfile.read()  # until who asked goes

    def _answer(self, sent: bytes) -> None:
        said = {"path": self.path, "sent": sent.decode(), "login": self.headers.get("Authorization", "")}
        body = json.dumps(said).encode()
        self.send_response(503 if self.path == "/refused" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Labelrig-Replica", f"{self.headers.get('X-Labelrig-Replica', '')} of process 7")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: an address of a socket has no port to show."""


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "backend.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield path
        finally:
            server.shutdown()
            thread.join()


def ask(*words: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "backend.ask", *words), cwd=REPOSITORY, env={"PATH": os.environ["PATH"], **variables},
        input=stdin, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_asks_the_socket_where_there_is_one(listening: Path, tmp_path: Path) -> None:
    """With the password, whatever PORT says; a refusal is exit code 1 as on a port."""
    (tmp_path / "password").write_text("a-password")
    there = {"SOCKET": str(listening), "PORT": "1", "BACKEND_PASSWORD_FILE": str(tmp_path / "password")}
    done = ask("GET", "/ready", **there)
    assert (done.returncode, json.loads(done.stdout)["path"]) == (0, "/ready")
    assert json.loads(done.stdout)["login"].startswith("Basic ")
    assert ask("GET", "/refused", **there).returncode == 1


def test_lines_and_replicas_go_the_same_way(listening: Path) -> None:
    many = ask("--lines", "POST", "/boxes", stdin='{"a":1}\n{"b":2}\n', SOCKET=str(listening))
    assert [json.loads(line)["body"]["sent"] for line in many.stdout.splitlines()] == ['{"a":1}', '{"b":2}']
    one = json.loads(ask("--replica", "gpu02/0", "POST", "/predict", stdin="{}", SOCKET=str(listening)).stdout)
    assert (one["status"], one["replica"]) == (200, "gpu02/0 of process 7")
    streamed = ask("--stream", "POST", "/propagate", stdin="{}", SOCKET=str(listening))
    assert json.loads(streamed.stdout)["path"] == "/propagate"


def test_silence_is_named(listening: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(program, "LINE_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(sys, "argv", ["backend.ask", "--stream", "POST", "/silent"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"{}")))
    monkeypatch.setenv("SOCKET", str(listening))
    assert program.main() == 2
    assert tuple(capfd.readouterr()) == ("one\n", f"no answer at {listening}: nothing came for 0.5 s\n")


def test_names_a_socket_that_is_not_there(tmp_path: Path) -> None:
    done = ask("GET", "/ready", SOCKET=str(tmp_path / "none.sock"))
    assert done.returncode == 2
    assert f"no answer at {tmp_path / 'none.sock'}: " in done.stderr
