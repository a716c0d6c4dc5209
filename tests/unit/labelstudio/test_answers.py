"""Where Label Studio is away it is the proxy that answers: the same error as where nothing does."""

from __future__ import annotations

import json
import re

from core.repository import REPOSITORY
from infra.roles.images.tags import IMAGES
from labelstudio.answers import AWAY, NoAnswer, refusal

CADDYFILE = REPOSITORY / IMAGES / "proxy" / "label-studio.caddy"


def test_away_is_no_answer() -> None:
    (said,) = re.findall(r"respond `(\{[^`]*does not answer[^`]*\})`", CADDYFILE.read_text("utf-8"))
    body = said.replace("{http.error.status_code}", "502")
    assert json.loads(body)["detail"].startswith(AWAY)
    error = refusal("http://ls", "list the projects", 502, body)
    assert isinstance(error, NoAnswer)
    assert str(error).startswith(
        "cannot list the projects: nothing answers at http://ls behind the proxy (HTTP 502); is the label-studio "
    )


def test_other_errors_stay_what_they_are() -> None:
    """A gateway of another kind, and Label Studio's own."""
    assert not isinstance(refusal("http://ls", "x", 502, "<h1>Bad Gateway</h1>"), NoAnswer)
