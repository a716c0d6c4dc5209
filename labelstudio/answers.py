"""Turns whatever Label Studio, or the way to it, did wrong into one LabelStudioError."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator

import httpx

from core.errors import LabelStudioError

SHOWN = 400
LOOK = "see the log of the label-studio container (`docker logs`)"
PRIVATE_ADDRESS = "reserved network address"
# What the proxy in front says when Label Studio is not there (dockerfiles/proxy/label-studio.caddy).
AWAY = "Label Studio does not answer"


class NoAnswer(LabelStudioError):
    """Label Studio could not be reached, or broke off: what it did with the request is not known."""


@contextlib.contextmanager
def reaching(base_url: str, doing: str) -> Iterator[None]:
    """Translate what the network did: `doing` is what we were about, as in "sign in".

    Raises:
        NoAnswer: no answer, or none in time.
    """
    try:
        yield
    except httpx.TimeoutException:
        raise NoAnswer(f"cannot {doing}: Label Studio at {base_url} did not answer in time; {LOOK}") from None
    except httpx.ConnectError as error:
        raise NoAnswer(
            f"cannot {doing}: nothing answers at {base_url} ({error}); is the label-studio container running? {LOOK}"
        ) from None
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise NoAnswer(
            f"cannot {doing}: the connection to Label Studio at {base_url} broke off ({reason}); {LOOK}"
        ) from None


def refusal(base_url: str, doing: str, status: int | None, body: object) -> LabelStudioError:
    """Make the error for an answer that is no success; a `NoAnswer` where it is the proxy's, for want of Label Studio.

    Args:
        base_url: where Label Studio is.
        doing: what we were about: "create the project".
        status: the HTTP status.
        body: the answer: text, or already decoded JSON.
    """
    said = said_in(body)
    if said.startswith(AWAY):
        return NoAnswer(
            f"cannot {doing}: nothing answers at {base_url} behind the proxy (HTTP {status}); is the label-studio "
            f"container running? {LOOK}"
        )
    where = f"Label Studio at {base_url} answered HTTP {status}"
    if status == httpx.codes.UNAUTHORIZED:
        step = "the stored token is not accepted; delete LABEL_STUDIO_API_KEY from .env and run `./inv up` again"
    elif status == httpx.codes.FORBIDDEN and PRIVATE_ADDRESS in said:
        step = (
            "it refuses ML backends on this address: the container was not started with the settings that open "
            "labelrig's own subnet (USE_DEFAULT_BANNED_SUBNETS, USER_ADDITIONAL_BANNED_SUBNETS); "
            "run `./inv up` to make it anew"
        )
    elif status is not None and status >= httpx.codes.INTERNAL_SERVER_ERROR:
        step = LOOK
    else:
        step = ""
    return LabelStudioError("; ".join(part for part in (f"cannot {doing}: {where}: {said}", step) if part))


def said_in(body: object) -> str:
    """The sentence in an error answer of Label Studio: its validation errors, else its detail, else plain text."""
    content = _decoded(body)
    if isinstance(content, dict):
        errors = content.get("validation_errors")
        if isinstance(errors, dict) and errors:
            return "; ".join(_field(name, texts) for name, texts in errors.items())
        detail = content.get("detail") or content.get("error") or content.get("errors")
        if detail:
            return _plain(detail if isinstance(detail, str) else json.dumps(detail))
    text = content if isinstance(content, str) else json.dumps(content, default=str)
    return _plain(text) or "(nothing)"


def _decoded(body: object) -> object:
    if not isinstance(body, str):
        return body
    try:
        return json.loads(body)
    except ValueError:
        return body


def _field(name: str, texts: object) -> str:
    joined = " ".join(map(str, texts)) if isinstance(texts, list) else str(texts)
    return _plain(joined if name == "non_field_errors" else f"{name}: {joined}")


def _plain(text: str) -> str:
    """Without HTML tags, on one line, and not longer than a person reads."""
    text = re.sub(r"(?is)<(script|style)\b.*?</\1>", " ", text)
    text = " ".join(re.sub(r"<[^>]*>", " ", text).split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
