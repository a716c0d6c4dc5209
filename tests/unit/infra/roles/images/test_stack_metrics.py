"""Who may read the figures of a stack, and what they say where something is missing."""

from __future__ import annotations

import base64
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.machine import free_port
from tests.unit.infra.roles.images.server_modules import load
from tests.unit.infra.roles.images.test_program_accounts import constant

TOKEN = "0123456789abcdef01234567"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()


@pytest.fixture
def module() -> ModuleType:
    return load("labelrig_metrics")


@pytest.mark.parametrize(
    ("digest", "authorization", "status"),
    [
        ("", "", 404),
        ("", "Bearer ", 404),  # an empty token has a digest, too
        (DIGEST, "", 401),
        (DIGEST, "Bearer", 401),
        (DIGEST, f"Basic {TOKEN}", 401),
        (DIGEST, f"Bearer {TOKEN}0", 401),
        (DIGEST, f"Bearer {DIGEST}", 401),
        (DIGEST, f"Bearer \udcff{TOKEN}", 401),
        (DIGEST, f"Bearer {TOKEN}", None),
        (DIGEST, f"bearer  {TOKEN} ", None),
    ],
)
def test_only_the_token_opens_them(module: ModuleType, digest: str, authorization: str, status: int | None) -> None:
    refused = module.refusal(digest, authorization)
    assert (refused[0] if refused else None) == status


@pytest.fixture
def backend(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            right = self.headers["Authorization"] == "Basic " + base64.b64encode(b"we:secret").decode()
            self.send_response(200 if right and self.path == "/metrics" else 401)
            self.end_headers()
            self.wfile.write(b"labelrig_clicks_total 3\n")

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(module, "BACKEND", ("127.0.0.1", server.server_port, "/metrics"))
        yield
        server.shutdown()


@pytest.mark.usefixtures("backend")
def test_the_backends_figures_are_asked_for(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.backend_figures("we", "secret") == (True, b"labelrig_clicks_total 3\n")
    assert module.backend_figures("", "") == (True, b"")
    monkeypatch.setattr(module, "BACKEND_BYTES", 5)
    assert module.backend_figures("we", "secret") == (True, b"")


def test_a_backend_that_is_gone_has_none(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKEND", ("127.0.0.1", free_port(), "/metrics"))
    assert module.backend_figures("we", "secret") == (False, b"")


@pytest.mark.parametrize(
    ("files", "values"),
    [
        ({"memory.current": "100\n", "memory.max": "200\n"}, [100, 200]),
        ({"memory.current": "100\n", "memory.max": "max\n"}, [100]),
        ({"memory/memory.usage_in_bytes": "7", "memory/memory.limit_in_bytes": "9223372036854771712"}, [7]),
        ({}, []),
    ],
    ids=["v2", "no limit", "v1", "none"],
)
def test_memory_of_its_container(module: ModuleType, tmp_path: Path, files: dict[str, str], values: list[int]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [family.samples[0].value for family in module.memory(tmp_path)] == values


def test_programs_are_no_people(module: ModuleType) -> None:
    assert constant("PROGRAMS") == module.PROGRAMS


def test_runs_that_were_and_those_that_never_were(module: ModuleType, tmp_path: Path) -> None:
    """As backup.sh writes them; a damaged one is one that is not there."""
    (tmp_path / "labelrig-last-backup.json").write_text('{"began": 1, "ended": 5, "ok": false, "answer": {}}')
    (tmp_path / "labelrig-good-backup.json").write_text('{"began": 1, "ended": 3, "ok": true, "answer": {}}')
    (tmp_path / "labelrig-last-drill.json").write_text("half of")
    ok, ended = module.runs(tmp_path)
    assert [(one.labels["run"], one.value) for one in ok.samples] == [("backup", 0.0)]
    assert [(one.labels["run"], one.value) for one in ended.samples] == [("backup", 3.0)]
