"""End everybody's sessions and personal tokens: what another SECRET_KEY has made worthless is taken off the lists.

Label Studio allows one valid token an account, and counts those that the key of before signed: nobody could make a new
one before the old one was revoked by hand.
"""

from __future__ import annotations

from typing import Any

from labelstudio.inside.accounts import BLACKLIST
from labelstudio.inside.django_side import get, in_transaction, say, serve


def main(asked: str) -> None:
    """End them, and tell whose personal tokens were among them; `asked` is `{}`."""
    serve(_serve, asked)


def _serve(_asked: dict[str, Any]) -> None:
    say(owners=in_transaction(_sign_out))


def _sign_out() -> list[str]:
    get("django.contrib.sessions.models", "Session").objects.all().delete()
    void = get(BLACKLIST, "BlacklistedToken")
    tokens = get(BLACKLIST, "OutstandingToken").objects.filter(blacklistedtoken__isnull=True)
    valid = list(tokens.select_related("user"))
    void.objects.bulk_create([void(token=one) for one in valid], ignore_conflicts=True)
    return sorted({one.user.email for one in valid if one.user is not None})
