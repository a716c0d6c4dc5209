from __future__ import annotations

import base64
import re

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import ImageError
from backend.sources.locations import Location, Locator

LOCATOR = Locator("http://label-studio:8080", "https://labels.lab.example/ls")


def located(url: str, task_id: str | None = "17", locator: Locator = LOCATOR) -> tuple[str, str | None, str, bool]:
    found = locator.locate(url, task_id)
    return found.name, found.mounted, str(found.url), found.with_token


@pytest.mark.parametrize(
    "url",
    [
        "/data/local-files/?d=a%20b/%C3%A9.png",
        "http://label-studio:8080/data/local-files/?d=a%20b/%C3%A9.png",
        "HTTP://LABEL-STUDIO:8080/data/local-files/?d=a%20b/%C3%A9.png",
        "https://labels.lab.example/ls/data/local-files/?d=a%20b/%C3%A9.png",
        "https://labels.lab.example:443/ls/data/local-files/?d=a%20b/%C3%A9.png",
        "/ls/data/local-files/?d=a%20b/%C3%A9.png",
    ],
)
def test_local_files_are_looked_for_in_the_mount_first(url: str) -> None:
    asked = "http://label-studio:8080/data/local-files/?d=a%20b/%C3%A9.png"
    assert located(url) == ("a b/é.png", "a b/é.png", asked, True)


def test_local_files_need_no_label_studio() -> None:
    assert Locator().locate("/data/local-files/?d=a.png", None) == Location("a.png", mounted="a.png", with_token=True)


def test_local_files_of_another_host_are_not_in_the_mount() -> None:
    url = "http://other/data/local-files/?d=a.png"
    assert located(url) == ("other/.../local-files", None, url, False)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("/data/upload/3/8f-a%20b.png", "http://label-studio:8080/data/upload/3/8f-a%20b.png"),
        ("http://label-studio:8080/data/upload/3/8f-a%20b.png", "http://label-studio:8080/data/upload/3/8f-a%20b.png"),
        (
            "https://labels.lab.example/ls/data/upload/3/8f-a%20b.png",
            "http://label-studio:8080/data/upload/3/8f-a%20b.png",
        ),
    ],
)
def test_uploads(url: str, asked: str) -> None:
    assert located(url) == ("8f-a b.png", None, asked, True)


def test_resolve_link_in_the_task_itself() -> None:
    assert located("/tasks/3/resolve/?fileuri=czM6")[1:] == (
        None, "http://label-studio:8080/tasks/3/resolve/?fileuri=czM6", True
    )  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "/api/users/",
        "/user/logout",
        "/static/a.png",
        "/data/upload/../../api/users/",
        "/data/upload/%2e%2e/%2E%2E/api/users/",
        "/data/upload/..%5c../api/users/",
        "/data/uploads/3/a.png",
    ],
)
def test_token_goes_with_requests_for_files_only(path: str) -> None:
    assert located(path)[3] is False


@pytest.mark.parametrize(
    "url", ["http://label-studio/a.png", "https://label-studio:8080/a.png", "http://label-studio.evil:8080/data/upload/a",
            "https://labels.lab.example/lsx/data/upload/1/a.png"]
)  # fmt: skip
def test_other_origin_or_path_is_another_server(url: str) -> None:
    assert located(url)[2:] == (url, False)


@pytest.mark.parametrize("uri", ["s3://bucket/a b/é=.png", "gs://b/k.png", "azure-blob://c/k?x.png", "dbfs://v/k.png"])
def test_cloud_uri_goes_through_the_resolve_link_of_its_task(uri: str) -> None:
    found = LOCATOR.locate(uri, "17")
    assert found.url is not None
    assert found.with_token
    assert (found.url.host, found.url.port, found.url.path) == ("label-studio", 8080, "/tasks/17/resolve/")
    assert base64.urlsafe_b64decode(found.url.params["fileuri"].encode()).decode() == uri
    assert found.name == uri.split("?")[0]


@pytest.mark.parametrize("task_id", [None, "", "x", "1/2", "../3", "١"])
def test_cloud_uri_needs_a_task(task_id: str | None) -> None:
    with pytest.raises(ImageError, match=r"^the image 's3://b/k' in a cloud storage .* names no task id$"):
        LOCATOR.locate("s3://b/k", task_id)


@pytest.mark.parametrize("url", ["/data/upload/3/a.png", "s3://b/k"])
def test_address_of_label_studio_is_needed(url: str) -> None:
    with pytest.raises(ImageError, match=r"does not know its address; set LABEL_STUDIO_URL$"):
        Locator().locate(url, "1")


def test_image_that_the_task_holds_needs_no_server() -> None:
    url = "data:image/png;base64,AAAA"
    assert Locator().locate(url, None) == Location("data:image/png,...", data_url=url)
    assert "AAAA" not in repr(Locator().locate(url, None))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("file:///etc/passwd", "file:"),
        ("//other/a.png", "//other/a.png"),
        ("a.png", "a.png"),
        ("", ""),
        ("http:///a.png", "http:"),
    ],
)
def test_what_is_no_address_of_an_image(url: str, shown: str) -> None:
    with pytest.raises(
        ImageError, match=rf"^the task's image '{re.escape(shown)}' is not a URL that images are read from"
    ):
        LOCATOR.locate(url, "1")


def test_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ImageError) as caught:
        LOCATOR.locate("http://user:secret@other/a.png", "1")
    assert "secret" not in str(caught.value)


def test_signature_is_in_no_name() -> None:
    name = located("https://b.s3.amazonaws.com/k/a.png?X-Amz-Signature=abc#frag")[0]
    assert name == "b.s3.amazonaws.com/.../a.png"


@given(
    st.one_of(st.text(), st.text().map("http://".__add__), st.text().map("/".__add__), st.text().map("s3://".__add__))
)
def test_any_text_is_a_location_or_one_error(text: str) -> None:
    try:
        found = LOCATOR.locate(text, "1")
    except ImageError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - either is right
    else:
        assert found.url is None or isinstance(found.url, httpx.URL)
        assert not found.with_token or (found.url is not None and found.url.host == "label-studio")
