"""The connection to one Label Studio: requests with our time-outs and errors, its pages, its files, and the SDK.

Importing the SDK costs seconds of CPU (pandas, jsf, faker), so only a method that writes with it does.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import httpx

from core.errors import LabelStudioError
from labeling.data_urls import content_of, is_data_url, shown_data_url
from labelstudio.answers import reaching, refusal
from labelstudio.session import http_client
from labelstudio.token_auth import TokenAuth

if TYPE_CHECKING:
    from label_studio_sdk import LabelStudio

TIMEOUT = 60.0
CONNECT_TIMEOUT = 5.0
SIGNED_BY_US = "signed-by-us"


class Connection:
    """Signed in to one Label Studio. Every method raises LabelStudioError when it cannot do what its name says."""

    def __init__(self, base_url: str, api_key: str, transport: httpx.BaseTransport | None = None) -> None:
        self.base_url = base_url
        self._http = http_client(base_url, transport)
        self._http.timeout = httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT)
        self._http.auth = TokenAuth(base_url, api_key)

    @functools.cached_property
    def sdk(self) -> LabelStudio:
        """The official SDK's client, imported at the first use: with a time-out, without proxies, and without its
        silent retries. A retried POST would make a second project or backend: Label Studio keeps rows of requests
        that it answers with an error."""
        from label_studio_sdk import LabelStudio

        # Our client signs the requests: the SDK's own exchange of personal tokens calls a deprecated pydantic method,
        # and its 401 comes without a way to tell which token was refused.
        return LabelStudio(  # type: ignore[no-untyped-call]  # the SDK's own subclass is not annotated
            base_url=self.base_url, api_key=SIGNED_BY_US, httpx_client=self._http, timeout=TIMEOUT, max_retries=0
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def download(self, url: str) -> bytes:
        """The bytes behind a task's image URL, as the browser would get them; a data URL holds them."""
        if is_data_url(url):
            return _unpacked(url)
        return self._request(f"read the image {url}", "GET", url).content

    def beginning(self, url: str, count: int) -> bytes:
        """The first bytes behind a task's image URL; fewer where it has no more."""
        if is_data_url(url):
            return _unpacked(url)[:count]
        doing, content = f"read the image {url}", b""
        only = {"Range": f"bytes=0-{count - 1}"}
        with reaching(self.base_url, doing), self._http.stream("GET", url, headers=only) as answer:
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return b""  # an empty file has no first byte
            if not answer.is_success:
                answer.read()
                raise refusal(self.base_url, doing, answer.status_code, answer.text)
            for chunk in answer.iter_bytes():  # a server that knows no ranges sends everything
                content += chunk
                if len(content) >= count:
                    break
        return content[:count]

    def call(
        self,
        doing: str,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str | int] | None = None,
        timeout: float = TIMEOUT,
    ) -> Any:
        """One request and its JSON, for what `bulk` needs of many tasks at once. `doing` as in "read the tasks"."""
        answer = self._request(doing, method, path, json=json, params=params, timeout=timeout)
        try:
            return answer.json()
        except ValueError:
            raise refusal(self.base_url, doing, answer.status_code, answer.text) from None

    def _request(
        self,
        doing: str,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str | int] | None = None,
        timeout: float = TIMEOUT,
    ) -> httpx.Response:
        with reaching(self.base_url, doing):
            answer = self._http.request(method, path, json=json, params=params, timeout=timeout)
        if not answer.is_success:
            raise refusal(self.base_url, doing, answer.status_code, answer.text)
        return answer

    def _pages(
        self, doing: str, path: str, query: Mapping[str, str | int], total_key: str, rows_key: str
    ) -> Iterator[dict[str, Any]]:
        """The rows of a paged list. The SDK's pager asks for one page too many, and makes an object of 40 fields of
        each row: at 10 000 tasks that is half of the time."""
        page, seen, total = 1, 0, 1
        while seen < total:
            body = self._request(doing, "GET", path, params={**query, "page": page}).json()
            rows, total = body[rows_key], int(body[total_key])
            yield from rows
            if not rows:
                return
            page, seen = page + 1, seen + len(rows)

    def _object(self, doing: str, path: str) -> dict[str, Any]:
        body = self.call(doing, "GET", path)
        if not isinstance(body, dict):
            raise refusal(self.base_url, doing, httpx.codes.OK, body)
        return body

    def _objects(self, doing: str, path: str, project_id: int) -> list[dict[str, Any]]:
        """The rows of a list that Label Studio does not page."""
        body = self.call(doing, "GET", path, params={"project": project_id})
        if not isinstance(body, list) or not all(isinstance(one, dict) for one in body):
            raise refusal(self.base_url, doing, httpx.codes.OK, body)
        return body

    @contextlib.contextmanager
    def _doing(self, doing: str) -> Iterator[None]:
        """Around a call of the SDK."""
        from label_studio_sdk.core.api_error import ApiError
        from label_studio_sdk.core.parse_error import ParsingError

        try:
            with reaching(self.base_url, doing):
                yield
        except (ApiError, ParsingError) as error:
            raise refusal(self.base_url, doing, error.status_code, error.body) from None


def _unpacked(data_url: str) -> bytes:
    try:
        return content_of(data_url)
    except ValueError as error:
        raise LabelStudioError(f"the image {shown_data_url(data_url)} cannot be read: {error}") from None
