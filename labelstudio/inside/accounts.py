"""What an account holds beside its password: personal tokens and sessions. Runs where Django is; see `ask_inside`."""

from __future__ import annotations

from typing import Any

from labelstudio.inside.django_side import get

BLACKLIST = "rest_framework_simplejwt.token_blacklist.models"


def void_tokens(user: Any) -> None:
    """Make every token of an account void. An access token that was made of one lives on for its 5 minutes."""
    void = get(BLACKLIST, "BlacklistedToken").objects
    for one in get(BLACKLIST, "OutstandingToken").objects.filter(user=user):
        void.get_or_create(token=one)
    user.reset_token()  # of the kind from before, where somebody switched those on


def new_token(user: Any) -> str:
    """Make a personal token for an account, the only one: those from before become void."""
    void_tokens(user)
    return str(get("jwt_auth.models", "LSAPIToken").for_user(user).get_full_jwt())


def end_sessions(user: Any) -> None:
    """Sign an account out everywhere. Sessions that cannot be read were signed with another key and open nothing."""
    key = get("django.contrib.auth", "SESSION_KEY")
    for one in list(get("django.contrib.sessions.models", "Session").objects.all()):
        if one.get_decoded().get(key) == str(user.pk):
            one.delete()


def join(user: Any, organization: Any) -> None:
    """Make an account a member of the organisation, as signing up does."""
    members = get("organizations.models", "OrganizationMember").objects
    members.update_or_create(user=user, organization=organization, defaults={"deleted_at": None})
    user.active_organization = organization
    user.save(update_fields=["active_organization"])
