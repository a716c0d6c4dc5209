"""The backend's door: everything but `GET /health` asks for the password."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.routing import Route

from backend.settings import Settings
from backend.web.app import create_app
from backend.web.credential import PasswordFile, password_in
from tests.unit.backend.fakes import MODEL, FakeSegmenter, click, region

PASSWORD = "a-password-ñ-of-the-backend"
GOOD = ("labelrig", PASSWORD)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return path


@pytest.fixture
def closed(settings: Settings, file: Path) -> Iterator[TestClient]:
    """A backend with a password."""
    with_password = settings.model_copy(update={"backend_password_file": file})
    with TestClient(create_app(FakeSegmenter, with_password, MODEL)) as client:
        yield client


def test_every_route_but_health_is_closed(closed: TestClient) -> None:
    """Also those that somebody adds later: what is not named open is closed."""
    routes = {(method, one.path) for one in closed.app.routes if isinstance(one, Route) for method in one.methods or ()}  # type: ignore[attr-defined]
    assert {("POST", "/predict"), ("POST", "/embed"), ("GET", "/status"), ("GET", "/openapi.json")} <= routes
    for method, path in sorted(routes | {("GET", "/nothing"), ("POST", "/health"), ("GET", "//health")}):
        answer = closed.request(method, path.replace("{job}", "one"))
        assert answer.status_code == (200 if (method, path) == ("GET", "/health") else 401), (method, path)


def test_a_refusal_says_what_is_missing(closed: TestClient) -> None:
    answer = closed.post("/predict", content=b"not even JSON")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert answer.json()["detail"].startswith(
        "this backend asks for a password: none came with the request; `./inv up`"
    )
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    wrong = closed.get("/status", auth=("labelrig", "another"))
    assert wrong.status_code == 401
    assert "the one that came is another" in wrong.json()["detail"]
    assert PASSWORD not in wrong.text


def test_with_the_password_all_is_as_without_one(closed: TestClient) -> None:
    body = click(region("keypointlabels", 25, 75, id="a", label="Person"))
    assert closed.post("/predict", json=body, auth=GOOD).status_code == 200
    assert closed.get("/metrics", auth=("any name", PASSWORD)).status_code == 200
    assert closed.get("/status", auth=GOOD).status_code == 200
    assert 'status="401"' not in closed.get("/metrics", auth=GOOD).text
    closed.get("/status")
    assert 'status="401"' in closed.get("/metrics", auth=GOOD).text


def test_a_changed_file_counts_without_a_restart(closed: TestClient, file: Path) -> None:
    file.with_suffix(".new").write_text("another-password")
    os.replace(file.with_suffix(".new"), file)
    assert closed.get("/status", auth=GOOD).status_code == 401
    assert closed.get("/status", auth=("labelrig", "another-password")).status_code == 200


@pytest.mark.parametrize("content", [None, "", "  \n", "short"])
def test_without_a_password_in_the_file_nobody_gets_in(closed: TestClient, file: Path, content: str | None) -> None:
    """An empty password must not open to an empty one."""
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    for given in (PASSWORD, "", "short", (content or "").strip()):
        answer = closed.get("/status", auth=("labelrig", given))
        assert answer.status_code == 401
        assert "the file of BACKEND_PASSWORD_FILE" in answer.json()["detail"]
    assert closed.get("/health").status_code == 200
    file.write_text(PASSWORD)
    assert closed.get("/status", auth=GOOD).status_code == 200


@pytest.mark.parametrize(
    ("header", "password"),
    [
        (basic("user:pass:word"), "pass:word"),
        ("basic " + basic(":x")[6:], "x"),
        (basic("user:"), ""),
        (basic("no colon"), None),
        (f"Bearer {basic('user:x')[6:]}", None),
        ("Basic !!!", None),
        ("Basic", None),
        ("", None),
        ("Basic " + base64.b64encode(b"user:\xff\xfe").decode(), None),
    ],
)
def test_the_header_is_read_as_the_standard_says(header: str, password: str | None) -> None:
    assert password_in(header) == password


def test_a_folder_in_the_files_place_opens_nothing(tmp_path: Path) -> None:
    one = PasswordFile(tmp_path)
    assert not one.matches("")
    assert "Is a directory" in str(one.problem())
