"""Signing in and the token, at the HTTP seam."""

from __future__ import annotations

import ast
import io
from collections.abc import Collection

import httpx
import pytest

from core.errors import LabelStudioError
from core.operation import converge
from core.report import Report
from hosts.base import Result
from infra.roles.project.token import ApiKeyPresent
from labelstudio.access import Access
from labelstudio.answers import NoAnswer
from labelstudio.password_record import PasswordRecord
from labelstudio.session import SignInRefused, reset_password, sign_in, token_works
from tests.fakes import FakeHost
from tests.unit.labelstudio.labelstudio_fake import BASE, EMAIL, PASSWORD, FakeLabelStudio, jwt


class Container:
    """Stands for the label-studio container: keeps what was run, and sets the password as the script does."""

    def __init__(self, server: FakeLabelStudio, exit_code: int = 0) -> None:
        self.server = server
        self.exit_code = exit_code
        self.argv: tuple[str, ...] = ()
        self.script = ""

    def __call__(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = 0.0,
        stdin: bytes | None = None,
        **_options: object,
    ) -> Result:
        self.argv, self.script = argv, (stdin or b"").decode()
        if self.exit_code == 0:
            first = ast.parse(self.script).body[0]
            assert isinstance(first, ast.Assign)
            _, self.server.password = ast.literal_eval(first.value)
        assert self.exit_code in ok
        return Result(argv, self.exit_code, "", "")


@pytest.fixture
def server() -> FakeLabelStudio:
    return FakeLabelStudio()


def make_token(server: FakeLabelStudio) -> str:
    with sign_in(BASE, EMAIL, PASSWORD, server.transport) as session:
        return session.make_token()


def test_a_token_is_made_through_the_login_form(server: FakeLabelStudio) -> None:
    assert make_token(server) == server.tokens[0]


def test_a_token_whose_secret_is_lost_is_revoked_and_made_anew(server: FakeLabelStudio) -> None:
    lost = server.token()
    made = make_token(server)
    assert server.tokens == [made]
    assert made != lost


def test_a_wrong_password_names_the_repair_and_not_the_password(server: FakeLabelStudio) -> None:
    with pytest.raises(SignInRefused) as caught, sign_in(BASE, EMAIL, "wrong-password", server.transport):
        pass
    assert str(caught.value) == (
        "cannot sign in: Label Studio at http://label-studio.test does not accept the password in .env for "
        "admin@labelrig.local. Label Studio's database is older than .env, or the password was changed in the "
        "browser: put the right password into .env (LABEL_STUDIO_PASSWORD), or have it set with "
        "`label-studio reset_password` inside the container"
    )


@pytest.mark.parametrize("spoiled", ["no cookie", "bad gateway", "forbidden"])
def test_an_answer_that_is_no_login_form_is_an_error(server: FakeLabelStudio, spoiled: str) -> None:
    if spoiled == "no cookie":
        server.overrides["GET /user/login"] = lambda _: httpx.Response(200, text="hello")
        message = "cannot open the login form: Label Studio at http://label-studio.test answered HTTP 200: hello"
    elif spoiled == "bad gateway":
        server.overrides["GET /user/login"] = lambda _: httpx.Response(502, text="<html><h1>Bad Gateway</h1></html>")
        message = (
            "cannot open the login form: Label Studio at http://label-studio.test answered HTTP 502: Bad Gateway; "
            "see the log of the label-studio container (`docker logs`)"
        )
    else:
        server.overrides["POST /user/login"] = lambda _: httpx.Response(403, text="CSRF verification failed.")
        message = (
            "cannot sign in: Label Studio at http://label-studio.test answered HTTP 403: CSRF verification failed."
        )
    with pytest.raises(LabelStudioError) as caught, sign_in(BASE, EMAIL, PASSWORD, server.transport):
        pass
    assert str(caught.value) == message


def refused(_request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("[Errno 111] Connection refused")


def late(_request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("timed out")


@pytest.mark.parametrize(
    ("happens", "message"),
    [
        (
            refused,
            "cannot check the stored token: nothing answers at http://label-studio.test ([Errno 111] Connection "
            "refused); is the label-studio container running? "
            "see the log of the label-studio container (`docker logs`)",
        ),
        (
            late,
            "cannot check the stored token: Label Studio at http://label-studio.test did not answer in time; "
            "see the log of the label-studio container (`docker logs`)",
        ),
    ],
)
def test_no_answer_is_said_as_such(happens: httpx.MockTransport, message: str) -> None:
    with pytest.raises(NoAnswer) as caught:
        token_works(BASE, jwt(1), httpx.MockTransport(happens))  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_stored_token_is_checked(server: FakeLabelStudio) -> None:
    token = server.token()
    assert token_works(BASE, token, server.transport)
    server.tokens.clear()
    assert not token_works(BASE, token, server.transport)


def test_a_legacy_token_is_sent_as_it_is(server: FakeLabelStudio) -> None:
    seen = []

    def whoami(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return httpx.Response(200, json={"email": EMAIL})

    server.overrides["GET /api/current-user/whoami"] = whoami
    assert token_works(BASE, "9128fab0ec30016774d8ae41fb84f541a7955817", server.transport)
    assert seen == ["Token 9128fab0ec30016774d8ae41fb84f541a7955817"]


@pytest.mark.parametrize("password", ["plain-password", 'it\'s "quoted" \\ $HOME', "ñandú 🙂 päss"])
def test_the_password_travels_on_standard_input_only(server: FakeLabelStudio, password: str) -> None:
    container = Container(server)
    reset_password(container, EMAIL, password)
    assert server.password == password
    assert not any(password in argument for argument in container.argv)


def test_a_reset_for_an_unknown_user_is_an_error(server: FakeLabelStudio) -> None:
    with pytest.raises(LabelStudioError) as caught:
        reset_password(Container(server, exit_code=3), EMAIL, PASSWORD)
    assert str(caught.value) == (
        "cannot set the password: Label Studio's database has no user admin@labelrig.local; "
        "put the name that it has into .env (LABEL_STUDIO_USERNAME)"
    )


def operation(server: FakeLabelStudio, host: FakeHost, api_key: str | None, password: str = PASSWORD) -> ApiKeyPresent:
    access = Access(BASE, EMAIL, password, api_key, server.transport)
    return ApiKeyPresent(access, host, "/.env", Container(server), PasswordRecord(host, "/record"), quiet())


def test_the_first_run_writes_the_token_and_the_second_keeps_it(server: FakeLabelStudio) -> None:
    host = FakeHost()
    host.files["/.env"] = b"# mine\nLABEL_STUDIO_PORT=8080\n"
    first = operation(server, host, None)

    assert converge([first], quiet()) == 1

    token = server.tokens[0]
    assert host.files["/.env"].decode() == f"# mine\nLABEL_STUDIO_PORT=8080\nLABEL_STUDIO_API_KEY='{token}'\n"
    assert host.modes["/.env"] == 0o600
    assert first.access.api_key == token
    assert converge([operation(server, host, token)], quiet()) == 0


def test_working_token_is_enough_after_password_change(server: FakeLabelStudio) -> None:
    """A working token is enough although the password was changed."""
    token = server.token()
    assert operation(server, FakeHost(), token, "another-password").plan() == []
    assert "POST /user/login" not in server.calls


def test_a_database_older_than_the_env_file_gets_its_password(server: FakeLabelStudio) -> None:
    late_comer = operation(server, FakeHost(), jwt(99), "new-password")

    assert [change.summary for change in late_comer.plan()] == [
        "make a personal access token for admin@labelrig.local and write it to .env (the stored one is not accepted)",
    ]
    assert server.password == PASSWORD  # planning changes nothing, and nobody signs in for it
    assert "POST /user/login" not in server.calls
    assert converge([late_comer], quiet()) == 1
    assert server.password == "new-password"


def quiet() -> Report:
    return Report(io.StringIO())
