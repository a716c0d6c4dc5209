"""Who gets at the backend: nobody without its password, and Label Studio for its users at this one address alone."""

from __future__ import annotations

import dataclasses
import io
import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from core.operation import converge
from core.report import Report
from infra.config.backend_login import backend_login
from infra.config.dotenv import read_env_file
from infra.roles.project.ask_backend import ask_backend
from infra.roles.project.backend_token import ACCOUNT, BackendTokenPresent, held_token
from infra.roles.stack.addresses import address_of, gateway_of
from infra.roles.stack.backend_secrets import (
    FOLDER,
    KEY_FILE,
    PASSWORD_FILE,
    WRITER,
    BackendPasswordPresent,
)
from labelstudio.access import Access
from labelstudio.models import BasicAuth
from labelstudio.session import reset_password, sign_in, token_owner, token_works
from labelstudio.token_auth import TokenAuth
from tests.e2e.clicks import Round, click, scenes
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.test_containers import container_of

ROUTES = (
    *(("GET", path) for path in ("/", "/ready", "/status", "/metrics", "/versions", "/openapi.json", "/embed")),
    *(("POST", path) for path in ("/setup", "/predict", "/boxes", "/refine", "/propagate", "/embed", "/webhook")),
)
ACCOUNT_ROW = "select is_superuser, is_staff, is_active, password from htx_user where email = ?"
READ_ROW = (
    "import json, sqlite3, sys; "
    "file = sqlite3.connect('file:/label-studio/data/label_studio.sqlite3?mode=ro', uri=True); "
    "print(json.dumps(file.execute(sys.argv[1], sys.argv[2:]).fetchone()))"
)


@pytest.fixture
def login(stage: Stage) -> BasicAuth:
    return stage.ctx.backend_login


@pytest.fixture
def door(stack: Stack) -> Iterator[httpx.Client]:
    """The backend as every login of this machine reaches it: over the bridge, whatever is published."""
    url = f"http://{address_of(stack.settings.subnet, 'sam2')}:9090"
    with httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
        yield client


@contextmanager
def api(stage: Stage, token: str | None = None) -> Iterator[httpx.Client]:
    access = stage.ctx.access
    auth = TokenAuth(access.base_url, token or str(access.api_key))
    with httpx.Client(base_url=access.base_url, auth=auth, timeout=60, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    "auth", [None, ("labelrig", "another-password"), ("labelrig", "")], ids=["none", "wrong", "empty"]
)
def test_without_the_password_the_backend_is_closed(
    door: httpx.Client, stage: Stage, auth: tuple[str, str] | None
) -> None:
    """Every login of the server reaches the address: an empty request is refused before anything of it is read."""
    assert stage.client.backends(stage.project_id)[0].connected
    for method, path in ROUTES:
        answer = door.request(method, path, auth=auth)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["WWW-Authenticate"].startswith("Basic"), (method, path)
    assert door.get("/health", auth=auth).status_code == 200


def test_with_the_password_it_answers(door: httpx.Client, login: BasicAuth) -> None:
    answers = {path: door.get(path, auth=(login.user, login.password)) for path in ("/ready", "/status", "/metrics")}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(answers, 200)


def test_the_password_is_a_file_that_only_its_user_reads(stack: Stack, stage: Stage) -> None:
    password = stage.ctx.backend_login.password
    for service in ("label-studio", "sam2"):
        container = container_of(stack, service)
        log = container.logs()
        assert isinstance(log, bytes)
        shown = json.dumps(container.attrs) + json.dumps(container.top()) + log.decode("utf-8", "replace")
        assert password not in shown, service
    for file in (PASSWORD_FILE, KEY_FILE):
        assert stage.ctx.exec_in_backend("stat", "-c", "%a", file).stdout == "600\n"
        written = container_of(stack, "sam2").exec_run(["sh", "-c", f"echo x >>{file}"])
        assert written.exit_code != 0
        assert b"Read-only file system" in written.output


@pytest.mark.parametrize("path", ["status", "metrics", "versions"])
def test_an_import_by_url_reads_nothing_of_the_backend(stage: Stage, path: str) -> None:
    """Any account may import by URL, and the guard lets the backend through: it gets the refusal, as a file."""
    project = stage.client.create_project(
        f"Import {uuid.uuid4().hex[:8]}", "", "<View><Text name='t' value='$t'/></View>"
    )
    try:
        with api(stage) as http:
            seen = [http.post(f"/api/projects/{project}/import", data={"url": f"http://sam2:9090/{path}"}).text]
            rows = http.get("/api/tasks", params={"project": project}).raise_for_status().json()["tasks"]
            seen += [http.get(url).text for row in rows for url in row["data"].values()]
        assert any("asks for a password" in one for one in seen), seen
        for told in ("labelrig_", "demo@", "<html"):
            assert not any(told in one for one in seen), seen
    finally:
        stage.client.sdk.projects.delete(project)


def test_imports_and_webhooks_reach_no_other_container(stack: Stack, stage: Stage) -> None:
    """The guard was open for the whole subnet."""
    networks = [container_of(stack, one).attrs["NetworkSettings"]["Networks"] for one in ("label-studio", "proxy")]
    (own,), (proxy,) = ([one["IPAddress"] for one in found.values()] for found in networks)
    with api(stage) as http:
        for url in ("http://label-studio:8080/health", f"http://{own}:8080/health", f"http://{proxy}:8080/"):
            answer = http.post(f"/api/projects/{stage.project_id}/import", data={"url": url})
            assert answer.status_code in (400, 403)
            assert "reserved network address" in answer.text
        for url in (f"http://{own}:8080/", f"http://{gateway_of(stack.settings.subnet)}:8080/"):
            answer = http.post("/api/webhooks/", json={"url": url, "project": stage.project_id})
            assert answer.status_code in (400, 403)
            assert "reserved network address" in answer.text


def test_the_backends_token_is_of_a_plain_account(stage: Stage) -> None:
    held = held_token(stage.ctx.exec_in_backend)
    assert held is not None
    assert held != stage.ctx.access.api_key
    assert token_owner(stage.ctx.access.base_url, held) == ACCOUNT
    row = json.loads(stage.ctx.exec_in_label_studio("python3", "-c", READ_ROW, ACCOUNT_ROW, ACCOUNT).stdout)
    superuser, staff, active, password = row
    assert (superuser, staff, active) == (0, 0, 1)
    assert password.startswith("!")  # Django's mark of one that nothing opens
    project = stage.project_id
    with api(stage, held) as http:
        for method, path in (
            *(
                ("GET", one)
                for one in ("/api/projects/", f"/api/projects/{project}/export", "/api/users/", "/version/")
            ),
            *(("POST", one) for one in ("/api/projects/", f"/api/projects/{project}/import", "/api/ml/")),
            *((one, f"/api/projects/{project}/") for one in ("PATCH", "DELETE")),
        ):
            answer = http.request(method, path)
            assert answer.status_code == 403, (method, path)
            assert f"{ACCOUNT} may read images and nothing else" in answer.text, (method, path)
        image = next(stage.client.tasks(project, stage.spec.labeling.images[0])).image
        assert http.get(image).status_code == 200


def test_a_changed_password_reaches_both_sides(stage: Stage, round_: Round, door: httpx.Client) -> None:
    """Without a restart; the old one opens nothing any more."""
    ctx, before = stage.ctx, stage.ctx.backend_login
    settings = stage.settings.model_copy(update={"backend_password": SecretStr("changed-password-1")})
    changed = dataclasses.replace(stage, ctx=dataclasses.replace(ctx, backend_login=backend_login(settings)))

    def hand_over(one: Stage) -> int:
        password = BackendPasswordPresent(one.ctx.backend_login.password, [ctx.exec_in_backend], ctx.write_secret)
        return converge([password], Report(io.StringIO()))

    give = f"give Label Studio the password of the ML backend {ctx.backend_url} for {stage.spec.title}"
    try:
        assert hand_over(changed) == 1
        assert give in changed.apply()
        assert (hand_over(changed), changed.apply()) == (0, [])
        assert door.get("/status", auth=(before.user, before.password)).status_code == 401
        scene = scenes(round_)[0]
        assert click(round_, scene, scene.objects[0]).iou > 0.5
        assert ask_backend(ctx.exec_in_backend, "GET", "/ready").ok  # our own tools read the file
    finally:
        hand_over(stage)
        stage.apply()
    assert stage.client.backends(stage.project_id)[0].connected


def test_an_administrators_token_of_before_is_made_void(stack: Stack, stage: Stage, tmp_path: Path) -> None:
    """With a user and a file of our own: the real administrator's is in use everywhere."""
    ctx, email, file = stage.ctx, f"{uuid.uuid4().hex[:12]}@labelrig.local", f"{FOLDER}/of-before"
    made = stage.client.sdk.users.create(email=email, username=email.partition("@")[0], first_name="", last_name="")
    try:
        reset_password(ctx.exec_in_label_studio, email, "first-password-1")
        with sign_in(ctx.access.base_url, email, "first-password-1") as session:
            old = session.make_token()
        ctx.write_secret(file, old.encode())
        with closing(Access(ctx.access.base_url, email, "first-password-1", old)) as access:
            env = tmp_path / ".env"
            operation = BackendTokenPresent(
                access, ctx.host, str(env), ctx.exec_in_label_studio, ctx.exec_in_backend, ctx.write_secret, file
            )
            assert converge([operation], Report(io.StringIO())) == 2
            assert converge([operation], Report(io.StringIO())) == 0
        assert not token_works(ctx.access.base_url, old)
        assert token_works(ctx.access.base_url, read_env_file(env)["LABEL_STUDIO_API_KEY"])
        assert token_owner(ctx.access.base_url, str(held_token(ctx.exec_in_backend, file))) == ACCOUNT
    finally:
        stack.compose.run("run", "--rm", "--no-TTY", "--no-deps", WRITER, "rm", "-f", file, timeout=120)
        stage.client.sdk.users.delete(made.id)
        stage.apply()  # the account has one token at a time
    assert token_owner(ctx.access.base_url, str(held_token(ctx.exec_in_backend))) == ACCOUNT
