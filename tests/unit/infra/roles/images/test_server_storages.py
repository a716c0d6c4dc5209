"""How images in cloud storages begin: of what Label Studio streams, and of what it redirects to."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from backend.sources.locations import Locator
from core.repository import REPOSITORY
from tests.unit.infra.roles.images.server_modules import loaded

URI = "s3://bucket/T/ñ a=1?.tif"
TIFF = b"II*\x00" + bytes(range(256)) * 4
CADDY = REPOSITORY / "infra/roles/images/dockerfiles/proxy/label-studio.caddy"


@pytest.fixture(scope="module")
def module() -> Iterator[ModuleType]:
    with loaded("labelrig_pictures"), loaded("labelrig_storages") as module:
        yield module


class Answer:
    """One of Django's that streams, as far as it matters here."""

    def __init__(self, *pieces: bytes) -> None:
        self.taken = 0
        self.streaming_content: Iterator[bytes] = self._counted(pieces)

    def _counted(self, pieces: tuple[bytes, ...]) -> Iterator[bytes]:
        for piece in pieces:
            self.taken += 1
            yield piece


class Object:
    """What a storage's client opens."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces
        self.is_closed = False

    def iter_chunks(self, chunk_size: int) -> Iterator[bytes]:
        assert chunk_size == 32
        return self.pieces

    def close(self) -> None:
        self.is_closed = True


def storage(opened: Any) -> Any:
    asked: list[tuple[str, str]] = []

    def get_bytes_stream(uri: str, range_header: str) -> tuple[Any, str, dict[str, Any]]:
        asked.append((uri, range_header))
        return (opened() if callable(opened) else opened), "image/tiff", {}

    return SimpleNamespace(get_bytes_stream=get_bytes_stream, asked=asked)


def link(module: ModuleType, uri: str = URI) -> Any:
    return module.Link("tasks", 7, base64.urlsafe_b64encode(uri.encode()).decode())


def request(path: str, **query: str) -> Any:
    return SimpleNamespace(path_info=path, GET=query)


@pytest.mark.parametrize("way", ["resolve", "presign"])
@pytest.mark.parametrize("owner", ["tasks", "projects"])
def test_links_of_label_studio(module: ModuleType, owner: str, way: str) -> None:
    encoded = base64.urlsafe_b64encode(URI.encode()).decode()
    found = module.link_of(request(f"/{owner}/7/{way}/", fileuri=encoded, other="1"))
    assert (found.owner, found.number, found.uri) == (owner, 7, URI)
    assert f"/{owner}/*/{way}/" in CADDY.read_text()  # which else hands the picture's grant to the browser


@pytest.mark.parametrize("path", ["/tasks/7/", "/tasks/x/resolve/", "/api/tasks/7/resolve/", "/tasks/7/resolve/more"])
def test_what_is_no_link(module: ModuleType, path: str) -> None:
    assert module.link_of(request(path, fileuri="czM6Ly9iL2s=")) is None
    assert module.link_of(request("/tasks/7/resolve/")) is None


def test_the_backend_asks_by_the_address_of_its_clicks(module: ModuleType) -> None:
    """A picture and the mask on it are of one download, and errors name the image."""
    locator = Locator("http://label-studio:8080")
    of_picture, of_click = locator.locate(link(module).url, None), locator.locate(URI, "7")
    assert of_picture.url == of_click.url
    assert str(of_picture.url) == str(of_click.url)
    assert (of_picture.with_token, of_picture.name) == (True, of_click.name)


def test_a_uri_that_is_not_coded_is_read_as_label_studio_reads_it(module: ModuleType) -> None:
    assert module.Link("tasks", 7, "s3%3A//b/k.tif").uri == "s3://b/k.tif"


@pytest.mark.parametrize("pieces", [(TIFF,), (TIFF[:3], TIFF[3:40], TIFF[40:]), (b"",), ()])
def test_a_stream_goes_on_as_if_nobody_had_looked(module: ModuleType, pieces: tuple[bytes, ...]) -> None:
    answer = Answer(*pieces)
    assert module.start_of(answer) == b"".join(pieces)[:32]
    assert answer.taken <= 2  # the rest is not read ahead
    assert b"".join(answer.streaming_content) == b"".join(pieces)


def test_of_a_redirect_the_storage_itself_is_asked_for_32_bytes(module: ModuleType) -> None:
    opened = Object(iter([TIFF[:20], TIFF[20:300], TIFF[300:]]))  # one that sends all
    asked = storage(opened)
    assert module.Storages(lambda _: asked).start(link(module)) == TIFF[:32]
    assert asked.asked == [(URI, "bytes=0-31")]
    assert opened.is_closed
    assert next(opened.pieces) == TIFF[300:]


def test_a_storage_that_says_nothing_is_left_to_the_browser(module: ModuleType) -> None:
    def broken(_: Any = None) -> Any:
        raise OSError("no route to host")

    storages = module.Storages
    assert storages(lambda _: None).start(link(module)) == b""
    assert storages(broken).start(link(module)) == b""
    assert storages(lambda _: storage(broken)).start(link(module)) == b""
    assert storages(lambda _: storage(None)).start(link(module)) == b""


def test_a_storage_that_hangs_holds_nobody_for_long(module: ModuleType) -> None:
    """Nor more than some threads, however many ask; when it is well again, it is asked again."""
    free = threading.Event()
    hanging = storage(lambda: free.wait(60) and Object(iter([TIFF])))
    storages = module.Storages(lambda _: hanging, seconds=0.2)
    began = time.monotonic()
    for _ in range(module.AT_ONCE + 2):
        assert storages.start(link(module)) == b""
    assert time.monotonic() - began < 30
    assert len(hanging.asked) == module.AT_ONCE
    free.set()
    end = time.monotonic() + 30
    while storages.start(link(module)) != TIFF[:32]:
        assert time.monotonic() < end


def test_what_needs_a_picture_is_known_by_the_start_alone(module: ModuleType, tmp_path: Path) -> None:
    with loaded("labelrig_pictures") as pictures:
        for name, start in (("a.png", TIFF[:32]), ("a.png", b"\xff\xd8\xff"), ("a.tif", b""), ("a.png", b"")):
            (tmp_path / name).write_bytes(start)
            assert pictures.starts_as_unshown(start, f"s3://b/{name}") is pictures.needs_picture(str(tmp_path / name))
        assert pictures.starts_as_unshown(TIFF[:32], "s3://b/a.png")
