"""Signing in to Label Studio without a browser, and the personal access token that everything else uses.

Label Studio keeps one valid personal token per user and shows its secret once, when it is made. The way to one over
HTTP is the login form (it wants its CSRF token back), then `POST /api/token/` in the session. A token is a refresh
JWT: it is exchanged for an access JWT of 300 s before each use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from core.errors import LabelStudioError
from hosts.base import Exec
from labelstudio.answers import reaching, refusal
from labelstudio.token_auth import TokenAuth, TokenRefused

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
RESET_TIMEOUT = 120.0
NO_SUCH_USER = 3
REPAIR = (
    "Label Studio's database is older than .env, or the password was changed in the browser: "
    "put the right password into .env (LABEL_STUDIO_PASSWORD), or have it set with "
    "`label-studio reset_password` inside the container"
)

# Read from standard input, so that the password never stands in an argument list.
RESET_SCRIPT = """
import os, pathlib, sys
import label_studio
sys.path.insert(0, str(pathlib.Path(label_studio.__file__).parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings.label_studio")
import django
django.setup()
from users.models import User
user = User.objects.filter(email=email.lower()).first() or User.objects.filter(email=email).first()
if user is None:
    sys.exit({no_such_user})
user.set_password(password)
user.save(update_fields=["password"])
"""
# The interpreter that Label Studio itself runs with is named in the first line of its command.
OWN_PYTHON = ("sh", "-c", 'exec "$(sed -n \'1s/^#! *//p\' "$(command -v label-studio)")" -')
# The same for a container that serves: where its Label Studio is loaded already (labelrig_programs.py in its image) the
# program runs in a process split off from that, and need not load it again.
LOADED_PYTHON = (
    "sh",
    "-c",
    'python="$(sed -n \'1s/^#! *//p\' "$(command -v label-studio)")"; '
    "if [ -S /dev/shm/labelrig-programs ]; then "
    'exec "$python" -IS /usr/local/lib/labelrig/labelrig_programs.py; fi; exec "$python" -',
)


class SignInRefused(LabelStudioError):
    """The user or the password is wrong."""


@dataclass(frozen=True)
class Session:
    """A signed-in browser session."""

    base_url: str
    http: httpx.Client

    def make_token(self) -> str:
        """Make a personal access token; one that is already there is revoked, its secret cannot be had again.

        Raises:
            LabelStudioError: Label Studio did not make one.
        """
        doing = "make a personal access token"
        with reaching(self.base_url, doing):
            answer = self.http.post("/api/token/", json={})
            if answer.status_code == httpx.codes.CONFLICT:
                self._revoke_tokens()
                answer = self.http.post("/api/token/", json={})
        if answer.status_code != httpx.codes.CREATED:
            raise refusal(self.base_url, doing, answer.status_code, answer.text)
        return str(answer.json()["token"])

    def _revoke_tokens(self) -> None:
        # The list shows tokens without their signature; that is enough to revoke them.
        for one in self.http.get("/api/token/").json():
            answer = self.http.post("/api/token/blacklist/", json={"refresh": one["token"]})
            if answer.status_code not in (httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND):
                raise refusal(self.base_url, "revoke the old personal token", answer.status_code, answer.text)


@contextmanager
def sign_in(
    base_url: str, username: str, password: str, transport: httpx.BaseTransport | None = None
) -> Iterator[Session]:
    """Sign in through the login form.

    Raises:
        SignInRefused: this user and password are not accepted.
        LabelStudioError: no answer, or not the login form.
    """
    with http_client(base_url, transport) as http:
        with reaching(base_url, "sign in"):
            form = http.get("/user/login/")
            token = http.cookies.get("csrftoken")
            if form.status_code != httpx.codes.OK or token is None:
                raise refusal(base_url, "open the login form", form.status_code, form.text)
            fields = {"csrfmiddlewaretoken": token, "email": username, "password": password}
            answer = http.post("/user/login/", data=fields)
        if answer.status_code != httpx.codes.FOUND:
            if answer.status_code == httpx.codes.OK:  # the form again, with an error in it
                raise SignInRefused(
                    f"cannot sign in: Label Studio at {base_url} does not accept the password in .env "
                    f"for {username}. {REPAIR}"
                )
            raise refusal(base_url, "sign in", answer.status_code, answer.text)
        yield Session(base_url, http)


def token_works(base_url: str, token: str, transport: httpx.BaseTransport | None = None) -> bool:
    """Whether Label Studio accepts a stored token; see `token_owner`."""
    return token_owner(base_url, token, transport) is not None


def token_owner(base_url: str, token: str, transport: httpx.BaseTransport | None = None) -> str | None:
    """The e-mail address of the account that a token belongs to (personal, or legacy where those are switched on).

    Returns:
        None where Label Studio does not accept the token.

    Raises:
        LabelStudioError: it gave no clear answer.
    """
    doing = "check the stored token"
    auth = TokenAuth(base_url, token)
    with http_client(base_url, transport) as http, reaching(base_url, doing):
        try:
            answer = http.get("/api/current-user/whoami", auth=auth)
        except TokenRefused:
            return None
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            return None
        if answer.status_code == httpx.codes.OK:
            return str(answer.json()["email"])
    raise refusal(base_url, doing, answer.status_code, answer.text)


def rotate_token(base_url: str, token: str, transport: httpx.BaseTransport | None = None) -> str:
    """Make another personal token for the account of this one, which is void from then on.

    Raises:
        LabelStudioError: Label Studio did not make one.
    """
    doing = "replace the personal access token"
    with http_client(base_url, transport) as http, reaching(base_url, doing):
        answer = http.post("/api/token/rotate/", json={"refresh": token}, auth=TokenAuth(base_url, token))
    if answer.status_code != httpx.codes.OK:
        raise refusal(base_url, doing, answer.status_code, answer.text)
    return str(answer.json()["refresh"])


def reset_password(run: Exec, username: str, password: str) -> None:
    """Set a user's password in Label Studio's database.

    Raises:
        LabelStudioError: there is no such user.
        HostError: the command could not be run.
    """
    values = f"email, password = {username!r}, {password!r}\n"
    script = values + RESET_SCRIPT.replace("{no_such_user}", str(NO_SUCH_USER))
    result = run(*LOADED_PYTHON, ok=(0, NO_SUCH_USER), timeout=RESET_TIMEOUT, stdin=script.encode())
    if result.exit_code == NO_SUCH_USER:
        raise LabelStudioError(
            f"cannot set the password: Label Studio's database has no user {username}; "
            "put the name that it has into .env (LABEL_STUDIO_USERNAME)"
        )


def http_client(base_url: str, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """An HTTP client with time-outs. It ignores proxy settings: Label Studio is on this machine or a tunnel away."""
    return httpx.Client(base_url=base_url, timeout=TIMEOUT, trust_env=False, transport=transport)
