"""An account for a program: a member of the organisation that no password opens, with one personal token."""

from __future__ import annotations

from typing import Any

from labelstudio.inside.accounts import join, new_token
from labelstudio.inside.django_side import Refused, get, in_transaction, say, serve


def main(asked: str) -> None:
    """Make the account, or put it right, and tell a new token; `asked` is `{email}`. Tokens from before become void."""
    serve(_serve, asked)


def _serve(asked: dict[str, Any]) -> None:
    say(token=in_transaction(lambda: _token_of(asked["email"])))


def _token_of(email: str) -> str:
    users = get("users.models", "User").objects
    # A write first, see `in_transaction`; rights that somebody gave it are taken away again.
    plain = {"is_active": True, "is_staff": False, "is_superuser": False}
    users.filter(email=email).update(**plain)
    organization = get("organizations.models", "Organization").objects.order_by("pk").first()
    if organization is None:
        raise Refused("it has no organization yet; sign in once in the browser")
    user, _ = users.get_or_create(email=email, defaults={"username": email.partition("@")[0], **plain})
    user.set_unusable_password()
    user.save(update_fields=["password"])
    join(user, organization)
    return new_token(user)
