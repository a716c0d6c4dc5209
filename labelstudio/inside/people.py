"""The accounts of people: list them, make one, give one another password, take one's way in away.

An account is never deleted: Label Studio would keep its annotations and forget whose they are. It is made inactive, and
stays a member, since the annotations of one who is not are shown as those of a deleted user.
"""

from __future__ import annotations

from typing import Any

from labelstudio.inside.accounts import end_sessions, join, void_tokens
from labelstudio.inside.django_side import Refused, get, in_transaction, say, serve

PROGRAMS = "@labelrig.invalid"  # accounts of programs; their addresses end so


def main(asked: str) -> None:
    """Do what `asked["do"]` says: `list`, `add`, `reset` or `remove`; the latter three to `asked["email"]`."""
    serve(_work, asked)


def _work(asked: dict[str, Any]) -> None:
    if asked["do"] == "list":
        say(people=[_person(user) for user in _users().order_by("email") if not user.email.endswith(PROGRAMS)])
        return
    work = {"add": _add, "reset": _reset, "remove": _remove}[asked["do"]]
    say(**in_transaction(lambda: work(asked)))


def _users() -> Any:
    return get("users.models", "User").objects


def _person(user: Any) -> dict[str, Any]:
    """What is told of an account; times in ISO form, None for one that never signed in."""
    made = get("tasks.models", "Annotation").objects.filter(completed_by=user, was_cancelled=False)
    return {
        "email": user.email,
        "name": user.get_full_name(),
        "active": user.is_active,
        "last_sign_in": user.last_login.isoformat() if user.last_login else None,
        "annotations": made.count(),
        "projects": made.values("project").distinct().count(),
        "drafts": get("tasks.models", "AnnotationDraft").objects.filter(user=user).count(),
    }


def _add(asked: dict[str, Any]) -> dict[str, Any]:
    """A new account, or one that was removed and is let in again; it owns what it owned."""
    email = asked["email"]
    back = _users().filter(email__iexact=email, is_active=False).update(is_active=True)  # a write first
    if not back and _users().filter(email__iexact=email).exists():
        raise Refused(f"{email} has an account; `./inv user.reset {email}` gives it another password")
    organization = get("organizations.models", "Organization").objects.order_by("pk").first()
    if organization is None:
        raise Refused("it has no organization yet; sign in once in the browser")
    if back:
        user = _users().get(email__iexact=email)
        void_tokens(user)
    else:
        user = _users().create(email=email, username=email.partition("@")[0])
    if asked["name"]:
        user.first_name, _, user.last_name = asked["name"].partition(" ")
    user.set_password(asked["password"])
    user.save(update_fields=["first_name", "last_name", "password"])
    join(user, organization)
    end_sessions(user)
    return {"person": _person(user), "back": bool(back)}


def _reset(asked: dict[str, Any]) -> dict[str, Any]:
    """Another password; sessions and tokens from before are void."""
    made = get("django.contrib.auth.hashers", "make_password")(asked["password"])
    user = _changed(asked["email"], password=made)
    if not user.is_active:
        raise Refused(f"the account of {user.email} was removed; `./inv user.add {user.email}` lets it in again")
    void_tokens(user)
    end_sessions(user)
    return {"person": _person(user)}


def _remove(asked: dict[str, Any]) -> dict[str, Any]:
    """No sign-in any more; tasks that it holds are free for others, what it made stays."""
    user = _changed(asked["email"], is_active=False)
    void_tokens(user)
    end_sessions(user)
    user.task_locks.all().delete()
    return {"person": _person(user)}


def _changed(email: str, **fields: object) -> Any:
    """The account after a change, which comes before anything is read: see `in_transaction`."""
    if not _users().filter(email__iexact=email).update(**fields):
        raise Refused(f"there is no account {email}; `./inv user.list` has all")
    return _users().get(email__iexact=email)
