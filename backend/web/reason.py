"""An error's sentence in the status line, where Label Studio shows it.

When a backend answers with an error, Label Studio 1.23.2 tells the person who connects it, or the browser that asked
for a mask, `<status> Client Error: <reason phrase> for url: ...` and never the body (ml/api_connector.py, by
`requests.Response.raise_for_status`). The reason phrase is free text (RFC 9112, section 4), so the sentence goes there
as well as into the body.
"""

from __future__ import annotations

import string
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REASON_HEADER = b"x-error-detail"
LONGEST = 500
SAFE = (string.punctuation + " ").replace("%", "")
EVENT_LIMIT = 64 * 1024  # uvicorn's own


def reason_header(detail: str) -> dict[str, str]:
    """The header that carries a sentence to the status line: one line of Latin-1, cut where it is long.

    As a header it is ASCII, with the other characters as `%E4`: nothing on its way may stumble over an umlaut.
    """
    line = " ".join(detail.split())
    shown = line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
    text = shown.encode("latin-1", errors="replace").decode("latin-1")
    printable = "".join(one if one.isprintable() else "?" for one in text)
    return {REASON_HEADER.decode(): quote(printable, safe=SAFE, encoding="latin-1")}


class _Connection(h11.Connection):
    """Writes the header's text as the reason phrase; the header itself does not leave."""

    def send(self, event: h11.Event) -> bytes | None:  # type: ignore[override]  # overloaded there
        return super().send(_with_reason(event) if isinstance(event, h11.Response) else event)


class ReasonProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with sentences in the status line; for `uvicorn.run(http=...)`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Connection(h11.SERVER, self.config.h11_max_incomplete_event_size or EVENT_LIMIT)


def _with_reason(event: h11.Response) -> h11.Response:
    found = [value for name, value in event.headers if name == REASON_HEADER]
    if not found:
        return event
    headers = [(name, value) for name, value in event.headers.raw_items() if name.lower() != REASON_HEADER]
    return h11.Response(status_code=event.status_code, headers=headers, reason=unquote_to_bytes(found[0]))
