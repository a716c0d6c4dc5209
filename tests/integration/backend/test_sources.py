"""Where images come from, over real HTTP: tokens, clouds, redirects, the mount."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from backend.errors import ImageError, RequestError, SourceUnavailable
from backend.sources.fetch import FetchLimits
from tests.integration.backend.image_server import (
    LEGACY,
    PERSONAL,
    Desk,
    Handler,
    file,
    label_studio,
    redirect,
    serving,
    status,
)
from tests.integration.backend.sources_bench import IMAGE, by_name, fetched, sources

UPLOAD = "/data/upload/3/8f-a.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


# Tokens


def test_upload_with_a_personal_token(root: Path) -> None:
    desk = Desk()
    with label_studio(desk, {UPLOAD: file(IMAGE), "/data/upload/3/b.png": file(b"b")}) as server:
        source = sources(root, server, hosts="")
        got = source.open(UPLOAD, "17", time.monotonic() + 30)
        assert (got.name, got.path.read_bytes()) == ("8f-a.png", IMAGE)
        assert fetched(source, f"{server.url}/data/upload/3/b.png") == b"b"
        (refresh,) = server.asked("/api/token/refresh/")
        assert json.loads(refresh.body) == {"refresh": PERSONAL}
        assert "authorization" not in refresh.headers
        assert server.asked(UPLOAD)[0].headers["authorization"].startswith("Bearer ")
        assert desk.sold == 1


def test_upload_with_a_legacy_token(root: Path) -> None:
    with label_studio(Desk(), {UPLOAD: file(IMAGE)}) as server:
        assert fetched(sources(root, server, key=LEGACY), UPLOAD) == IMAGE
        assert server.asked("/api/token/refresh/") == []
        assert server.asked(UPLOAD)[0].headers["authorization"] == f"Token {LEGACY}"


def test_access_token_that_was_revoked_is_renewed_once(root: Path) -> None:
    desk = Desk()
    with label_studio(desk, {UPLOAD: file(IMAGE), "/data/upload/3/b.png": file(b"b")}) as server:
        source = sources(root, server)
        fetched(source, UPLOAD)
        desk.valid = []
        assert fetched(source, "/data/upload/3/b.png") == b"b"
        assert desk.sold == 2
        assert len(server.asked("/data/upload/3/b.png")) == 2


def test_access_token_of_short_life_is_renewed_before_it_expires(root: Path) -> None:
    desk = Desk(life=0)  # counts as unknown; then one that has expired when it comes
    with label_studio(desk, {UPLOAD: file(IMAGE), "/data/upload/3/b.png": file(b"b")}) as server:
        source = sources(root, server)
        fetched(source, UPLOAD)
        fetched(source, "/data/upload/3/b.png")
        assert desk.sold == 1
        assert len(server.asked("/data/upload/3/b.png")) == 1


def test_token_that_stays_refused(root: Path) -> None:
    with serving({UPLOAD: status(401), "/api/token/refresh/": Desk().refresh}) as server:
        with pytest.raises(ImageError, match=r"answered 401 for the image '8f-a.png'") as caught:
            fetched(sources(root, server), UPLOAD)
        assert len(server.asked(UPLOAD)) == 2
        assert "secrets" not in str(caught.value)


def test_login_page_instead_of_a_file_is_a_refused_token(root: Path) -> None:
    routes = {UPLOAD: redirect("/user/login/?next=x", 302), "/user/login/": file(b"<html>")}
    with serving(routes) as server:
        with pytest.raises(ImageError, match=r"^Label Studio refuses the backend's token; make a new one and set "):
            fetched(sources(root, server, key=LEGACY), UPLOAD)
        assert server.asked("/user/login/") == []


def test_revoked_personal_token(root: Path) -> None:
    with serving({"/api/token/refresh/": status(401)}) as server:
        with pytest.raises(ImageError, match=r"^Label Studio refuses the backend's personal token \(401\)") as caught:
            fetched(sources(root, server), UPLOAD)
        assert PERSONAL not in str(caught.value)


@pytest.mark.parametrize(
    ("route", "said"),
    [
        (status(500), "answered 500 when asked for an access token"),
        (file(b"<html>"), "answered without an access token"),
        (file(b'{"access": 5}'), "answered without an access token"),
        (file(b'["access"]'), "answered without an access token"),
        (file(b'{"access": "a b"}'), "answered without an access token"),
        (file(b" " * 200_000), "answered without an access token"),
    ],
)
def test_no_access_token_now(root: Path, route: Callable[[Handler], None], said: str) -> None:
    with serving({"/api/token/refresh/": route}) as server, pytest.raises(SourceUnavailable, match=said):
        fetched(sources(root, server), UPLOAD)


def test_no_token_at_all_asks_nobody(root: Path, tmp_path: Path) -> None:
    with label_studio(Desk(), {UPLOAD: file(IMAGE)}) as server:
        source = sources(root, server, key=None, key_file=tmp_path / "key")
        with pytest.raises(ImageError, match=r"set LABEL_STUDIO_API_KEY to a personal token"):
            fetched(source, UPLOAD)
        assert server.seen == []
        (tmp_path / "key").write_text(f"{PERSONAL}\n")
        assert fetched(source, UPLOAD) == IMAGE


def test_token_goes_to_no_other_path_of_label_studio(root: Path) -> None:
    with serving({"/api/users": file(b"x")}) as server:
        fetched(sources(root, server), "/api/users")
        assert "authorization" not in server.asked("/api/users")[0].headers


# Clouds and redirects


def test_cloud_uri_redirected_to_another_host_without_the_token(root: Path) -> None:
    uri = "s3://bucket/dir/a b.png"
    with serving({"/bucket/a.png": file(IMAGE, '"v1"')}) as store:
        signed = f"{store.url}/bucket/a.png?X-Amz-Signature=abc"
        with label_studio(Desk(), {"/tasks/17/resolve/": redirect(signed)}) as server:
            source = sources(root, server)
            got = source.open(uri, "17", time.monotonic() + 30)
            assert (got.name, got.path.read_bytes()) == (uri, IMAGE)
            (asked,) = server.asked("/tasks/17/resolve/")
            encoded = asked.target.partition("?fileuri=")[2]
            assert base64.urlsafe_b64decode(httpx.QueryParams(f"x={encoded}")["x"]).decode() == uri
            (stored,) = store.asked("/bucket/a.png")
            assert stored.target.endswith("?X-Amz-Signature=abc")
            assert "authorization" not in stored.headers
            assert stored.headers["host"] == f"127.0.0.1:{store.port}"


def test_cloud_uri_streamed_by_label_studio(root: Path) -> None:
    with label_studio(Desk(), {"/tasks/17/resolve/": file(IMAGE)}) as server:
        assert fetched(sources(root, server, hosts=""), "gs://bucket/a.png") == IMAGE


def test_a_bucket_inside_this_network_is_refused_with_both_ways_out(root: Path) -> None:
    with (
        serving({"/k": file(IMAGE)}) as store,
        label_studio(Desk(), {"/tasks/17/resolve/": redirect(f"{store.url}/k?sig=a")}) as server,
    ):
        with pytest.raises(
            ImageError, match=r"IMAGE_HOSTS_ALLOWED, or switch pre-signed URLs off in the settings of the"
        ):
            fetched(sources(root, server, hosts=""), "s3://b/k")
        with pytest.raises(ImageError, match=r"IMAGE_HOSTS_ALLOWED$"):
            fetched(sources(root, server, hosts=""), f"{store.url}/k")
        assert store.seen == []


def test_signatures_that_change_make_no_new_download(root: Path) -> None:
    with serving({"/k": file(IMAGE, '"v1"')}) as store:
        signatures = iter("abc")

        def resolve(handler: Handler) -> None:
            handler.give(303, Location=f"{store.url}/k?sig={next(signatures)}")

        with label_studio(Desk(), {"/tasks/17/resolve/": resolve}) as server:
            source = sources(root, server, limits=FetchLimits(fresh_seconds=0))
            first = source.open("s3://b/k", "17", time.monotonic() + 30)
            assert source.open("s3://b/k", "17", time.monotonic() + 30) == first
            assert [one.headers.get("if-none-match") for one in store.asked("/k")] == [None, '"v1"']


def test_token_does_not_come_back_after_it_left(root: Path) -> None:
    desk = Desk()
    with label_studio(desk, {"/data/upload/1/b": file(IMAGE)}) as server, serving() as other:
        other.routes["/there"] = redirect(f"{server.url}/data/upload/1/b")
        server.routes[UPLOAD] = desk.only_for_known(redirect(f"{other.url}/there"))
        with pytest.raises(ImageError, match="answered 401"):
            fetched(sources(root, server), UPLOAD)
        seen = [*server.asked("/data/upload/1/b"), *other.seen]
        assert seen
        assert all("authorization" not in one.headers for one in seen)


def test_redirect_inside_label_studio_keeps_the_token(root: Path) -> None:
    with label_studio(Desk(), {UPLOAD: redirect("../4/c.png", 302), "/data/upload/4/c.png": file(IMAGE)}) as server:
        assert fetched(sources(root, server), UPLOAD) == IMAGE


def test_same_host_at_another_port_gets_no_token(root: Path) -> None:
    with serving({UPLOAD: file(IMAGE)}) as other, label_studio(Desk(), {}) as server:
        assert fetched(sources(root, server), f"{other.url}{UPLOAD}") == IMAGE
        assert "authorization" not in other.seen[0].headers
        assert server.seen == []


def test_redirect_to_a_private_address_is_refused(root: Path) -> None:
    with serving({"/latest/meta-data": file(b"secret")}) as inner:
        with label_studio(Desk(), {UPLOAD: redirect(f"{inner.url}/latest/meta-data?sig=abc")}) as server:
            with pytest.raises(ImageError, match=r"has an address inside this network, which is not asked") as caught:
                fetched(sources(root, server, hosts=""), UPLOAD)
            assert "abc" not in str(caught.value)
        assert inner.seen == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_private_server_of_a_task_is_refused(root: Path, host: str) -> None:
    with serving({"/a.png": file(IMAGE)}) as inner:
        with pytest.raises(ImageError, match=r"has an address inside this network"):
            fetched(sources(root, hosts=""), f"http://{host}:{inner.port}/a.png")
        assert inner.seen == []


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://x", "http://", "http://u:p@h/", ""]
)
def test_redirect_to_no_http_address(root: Path, target: str) -> None:
    said = r"redirects to no http\(s\) address$"
    with serving({"/a.png": redirect(target)}) as server, pytest.raises(ImageError, match=said):
        fetched(sources(root), f"{server.url}/a.png")


def test_redirects_without_end(root: Path) -> None:
    with serving({f"/{n}": redirect(f"/{n + 1}", 302) for n in range(9)}) as server:
        with pytest.raises(ImageError, match=r"redirects more than 5 times$"):
            fetched(sources(root), f"{server.url}/0")
        assert len(server.seen) == 6
        server.routes["/5"] = file(IMAGE)
        assert fetched(sources(root), f"{server.url}/0") == IMAGE


def test_name_is_looked_up_once_and_connected_to_as_checked(root: Path) -> None:
    with serving({"/a.png": file(IMAGE)}) as server:
        answers = [["127.0.0.1"], ["192.0.2.1"]]
        source = by_name(root, answers, "images.example")
        assert fetched(source, f"http://images.example:{server.port}/a.png") == IMAGE
        assert server.seen[0].headers["host"] == f"images.example:{server.port}"
        assert len(answers) == 1


def test_name_that_turns_private_is_refused_at_the_next_hop(root: Path) -> None:
    with serving() as server:
        host = f"rebind.example:{server.port}"
        server.routes["/a.png"] = redirect(f"http://other.example:{server.port}/b.png")
        source = by_name(root, [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"]], host)
        with pytest.raises(ImageError, match=r"^the image's server other.example has an address inside this network"):
            fetched(source, f"http://{host}/a.png")
        assert len(server.seen) == 1


def test_second_address_is_tried_when_the_first_is_closed(root: Path) -> None:
    """The second address is tried when nothing listens at the first."""
    with serving({"/a.png": file(IMAGE)}) as server:
        source = by_name(root, [["127.0.0.2", "127.0.0.1"]], "two.example")
        assert fetched(source, f"http://two.example:{server.port}/a.png") == IMAGE


# The mount first


def test_mount_is_asked_first_and_label_studio_after_it(root: Path) -> None:
    (root / "a.png").write_bytes(b"mounted")
    with label_studio(Desk(), {"/data/local-files/": file(IMAGE)}) as server:
        source = sources(root, server)
        assert fetched(source, "/data/local-files/?d=a.png") == b"mounted"
        assert fetched(source, f"{server.url}/data/local-files/?d=a.png") == b"mounted"
        assert server.seen == []
        assert fetched(source, "/data/local-files/?d=b%20c.png") == IMAGE
        assert server.asked("/data/local-files/")[0].target == "/data/local-files/?d=b%20c.png"


@pytest.mark.parametrize(("code", "error"), [(404, ImageError), (500, SourceUnavailable)])
def test_neither_has_the_file(root: Path, code: int, error: type[RequestError]) -> None:
    said = rf"^the image 'b.png' is not in .+ Asked for by HTTP instead: .+ {code} for"
    routes = {"/data/local-files/": status(code)}
    with label_studio(Desk(), routes) as server, pytest.raises(error, match=said):
        fetched(sources(root, server), "/data/local-files/?d=b.png")
