"""Another personal token for an account, whose password need not be known; those from before become void."""

from __future__ import annotations

from typing import Any

from labelstudio.inside.accounts import new_token
from labelstudio.inside.django_side import Refused, get, in_transaction, say, serve


def main(asked: str) -> None:
    """Make the token and tell it; `asked` is `{email}`."""
    serve(_serve, asked)


def _serve(asked: dict[str, Any]) -> None:
    say(token=in_transaction(lambda: _token_of(asked["email"])))


def _token_of(email: str) -> str:
    users = get("users.models", "User").objects.filter(email__iexact=email)
    if not users.update(is_active=True):  # a write first, see `in_transaction`
        raise Refused(f"there is no account {email}")
    return new_token(users.get())
