"""Where a task's image lies: read off its URL alone, nothing is looked up.

| the task says                          | asked                                                   | with the token |
|----------------------------------------|---------------------------------------------------------|----------------|
| `/data/local-files/?d=a.png`           | the shared folder, then Label Studio                    | yes            |
| `/data/upload/3/a.png`, other `/...`   | Label Studio                                            | yes, for files |
| `/tasks/3/resolve/?fileuri=...`        | the same, which redirects or streams                    | yes            |
| `http(s)://<Label Studio>/...`         | as if it began at the `/`                               | yes, for files |
| `http(s)://elsewhere/...`              | that server                                             | no             |
| `s3://`, `gs://`, `azure-blob://`, ... | Label Studio's resolve link, which redirects or streams | yes            |
| `data:image/png;base64,...`            | nobody: the task holds the image                        |                |

Label Studio's resolve link: `io_storages/proxy_api.py` of Label Studio 1.23.2,
`GET /tasks/<id>/resolve/?fileuri=<base64url of the URI>`.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote

import httpx

from backend.errors import ImageError
from backend.sources.mount import LOCAL_FILES_PATH, name_in_query
from labeling.data_urls import is_data_url, shown_data_url

# Whatever storages Label Studio knows; the S3, Google, Azure, Redis and Databricks ones look like this.
CLOUD_URI = re.compile(r"(?!https?:|file:|data:)[A-Za-z][A-Za-z0-9+.-]*://[^/?#]+/.+", re.DOTALL | re.IGNORECASE)
# The token goes with the requests for files and with no other path of Label Studio.
FILE_PATHS = re.compile(r"/(?:data/(?:upload|local-files)|storage-data|(?:tasks|projects)/\d+/(?:resolve|presign))/")
RESOLVE_PATH = re.compile(r"/(?:tasks|projects)/\d+/(?:resolve|presign)/")
NAME_LENGTH = 200
NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f]")
Origin = tuple[str, str, int]


@dataclass(frozen=True)
class Location:
    """What to look for, in this order: what the task holds, a file in the mount, a URL.

    Attributes:
        name: what people call it.
        mounted: path below the root of the shared folder.
        url: where a GET gives the image.
        with_token: the URL is one of Label Studio's that serve files to who is known.
        data_url: the image itself, see `labeling.data_urls`.
    """

    name: str
    mounted: str | None = None
    url: httpx.URL | None = None
    with_token: bool = False
    data_url: str | None = field(default=None, repr=False)


class Locator:
    """Reads the URLs of tasks."""

    def __init__(self, label_studio_url: str | None = None, public_url: str | None = None) -> None:
        """
        Args:
            label_studio_url: where the backend reaches Label Studio; None when it cannot.
            public_url: where browsers reach the same Label Studio, if its tasks hold such URLs (its LABEL_STUDIO_HOST).
        """
        self._label_studio = httpx.URL(label_studio_url.rstrip("/") + "/") if label_studio_url else None
        known = [self._label_studio] if self._label_studio else []
        if public_url:
            known.append(httpx.URL(public_url.rstrip("/") + "/"))
        self._known = [(origin_of(one), one.path.rstrip("/")) for one in known]

    def locate(self, url: str, task_id: str | None) -> Location:
        """Where the image of a task's URL lies.

        Raises:
            ImageError: the URL names no image that the backend could read.
        """
        if is_data_url(url):
            return Location(shown_data_url(url), data_url=url)
        text = url.strip()
        if CLOUD_URI.fullmatch(text):
            return self._cloud(text, task_id)
        if text.startswith("/") and not text.startswith("//"):
            return self._of_label_studio(text)
        try:
            parsed = httpx.URL(text)
            host = parsed.host  # what begins with `xn--` is decoded here
        except (httpx.InvalidURL, UnicodeError):
            raise ImageError(f"the task's image URL {_shown(text.split('?')[0])!r} is not a valid URL") from None
        if parsed.scheme not in ("http", "https") or not host:
            shown = text.split(":")[0] + ":" if ":" in text else text.split("?")[0]
            raise ImageError(
                f"the task's image {_shown(shown)!r} is not a URL that images are read from: expected "
                f"{LOCAL_FILES_PATH}?d=..., /data/upload/..., http(s)://..., data:... or the URI of a cloud storage"
            )
        if parsed.userinfo:
            raise ImageError(
                f"the task's image URL at {_shown(parsed.host)!r} holds a user name or password; it is not read"
            )
        origin = origin_of(parsed)
        for known, base in self._known:
            if origin == known and parsed.path.startswith(base + "/"):
                return self._of_label_studio(parsed.raw_path.decode("ascii").removeprefix(base))
        name = _shown(f"{parsed.host}/.../{_last(parsed.path)}")
        return Location(name, url=parsed)

    def _of_label_studio(self, target: str) -> Location:
        """A path (and query) of Label Studio's, with or without the path that it is installed below."""
        for _, base in self._known:
            if base and target.startswith(base + "/"):
                target = target.removeprefix(base)
        path, _, query = target.partition("?")
        if path == LOCAL_FILES_PATH:
            name = name_in_query(query)
            return Location(_shown(name), mounted=name, url=self._joined(target), with_token=True)
        address = self._joined(target)
        if address is None:
            raise ImageError(
                f"the task's image {_shown(path)!r} comes from Label Studio by HTTP, but the backend does not know its "
                "address; set LABEL_STUDIO_URL"
            )
        name = _uri_in(query) if RESOLVE_PATH.fullmatch(path) else _last(path)
        return Location(_shown(name), url=address, with_token=self._serves_files(address))

    def _cloud(self, uri: str, task_id: str | None) -> Location:
        name = _shown(uri.split("?")[0])
        if task_id is None or not (task_id.isascii() and task_id.isdecimal()):
            raise ImageError(
                f"the image {name!r} in a cloud storage is read through its task, but the request names no task id"
            )
        encoded = base64.urlsafe_b64encode(uri.encode()).decode("ascii")
        address = self._joined(f"/tasks/{task_id}/resolve/?fileuri={encoded}")
        if address is None:
            raise ImageError(
                f"the image {name!r} in a cloud storage is read through Label Studio, but the backend does not know "
                "its address; set LABEL_STUDIO_URL"
            )
        return Location(name, url=address, with_token=True)

    def _joined(self, target: str) -> httpx.URL | None:
        if self._label_studio is None:
            return None
        try:
            return self._label_studio.join(str(self._label_studio).rstrip("/") + target)
        except (httpx.InvalidURL, UnicodeError):
            raise ImageError(f"the task's image URL {_shown(target.split('?')[0])!r} is not a valid URL") from None

    def _serves_files(self, url: httpx.URL) -> bool:
        base = self._label_studio.path.rstrip("/") if self._label_studio else ""
        # A proxy may take the dots for what they mean only after they are decoded, as they are here.
        climbs = ".." in url.path.replace("\\", "/").split("/")
        return not climbs and FILE_PATHS.match(url.path.removeprefix(base)) is not None


def origin_of(url: httpx.URL) -> Origin:
    """Scheme, host in lower case, and port (RFC 6454): whom one speaks to."""
    return url.scheme, url.host.lower().rstrip("."), url.port or {"http": 80, "https": 443}.get(url.scheme, 0)


def _uri_in(query: str) -> str:
    """What a resolve link leads to, without what may stand behind a `?` in it; as it is where it cannot be read."""
    encoded = parse_qs(query).get("fileuri", [""])[0]
    try:
        return base64.urlsafe_b64decode(encoded.encode()).decode().split("?")[0]
    except ValueError:
        return unquote(encoded)


def _last(path: str) -> str:
    return unquote(path.rstrip("/").rsplit("/", 1)[-1])


def _shown(text: str) -> str:
    """For a message: no control characters, not endless."""
    clean = NOT_SHOWN.sub("?", text)
    return clean if len(clean) <= NAME_LENGTH else clean[: NAME_LENGTH - 3] + "..."
