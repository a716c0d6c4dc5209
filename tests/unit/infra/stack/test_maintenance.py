"""The pass of an upgrade is in every request, also after the client was closed; the mark of an upgrade is read back."""

from __future__ import annotations

import httpx
import pytest

from core.errors import LabelrigError
from infra.config.settings import Settings
from infra.stack.maintenance import HEADER, PassingTransport, access_of, new_pass
from infra.stack.site import Site
from infra.stack.upgrading import Upgrading, read_upgrading, refuse_half_upgraded, write_upgrading
from labelstudio.session import http_client
from tests.fakes import FakeHost

MARK = Upgrading("20261130T120000Z", "forward", "release-1", "before12", "pass", "15")


def test_every_request_carries_the_pass() -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get(HEADER))
        return httpx.Response(200)

    transport = PassingTransport("open-sesame", httpx.MockTransport(answer))
    for _ in range(2):
        with http_client("http://label.lab", transport) as http:
            http.get("/health")
            http.post("/api/token/", json={})
    assert seen == ["open-sesame"] * 4


def test_a_closed_transport_opens_again() -> None:
    """Clients close what they are given, and an upgrade has several of them."""
    transport = PassingTransport("open-sesame")
    for _ in range(2):
        with http_client("http://127.0.0.1:9", transport) as http, pytest.raises(httpx.ConnectError):
            http.get("/health")


def test_access_without_a_pass_is_as_before() -> None:
    settings = Settings.model_validate({"LABEL_STUDIO_PASSWORD": "password-here"})
    assert access_of(settings, None).transport is None
    assert access_of(settings, None, "http://localhost:1").base_url == "http://localhost:1"


def test_passes_differ() -> None:
    assert len({new_pass() for _ in range(100)}) == 100


def site() -> Site:
    settings = Settings.model_validate({})
    return Site(FakeHost(), settings, "/state", "/state", "/state/.env", lambda: settings)


def test_mark_is_private_and_read_back() -> None:
    one = site()
    assert read_upgrading(one) is None
    refuse_half_upgraded(one)
    write_upgrading(one, MARK)
    assert read_upgrading(one) == MARK
    assert isinstance(one.host, FakeHost)
    assert one.host.modes["/state/upgrading.json"] == 0o600
    with pytest.raises(LabelrigError, match=r"an upgrade was cut off; `\./inv upgrade` goes on"):
        refuse_half_upgraded(one)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"stamp": 1}'])
def test_damaged_mark_names_the_way_out(content: bytes) -> None:
    one = site()
    one.host.write("/state/upgrading.json", content)
    with pytest.raises(LabelrigError, match=r"upgrading.json is damaged.*`\./inv restore`"):
        read_upgrading(one)
