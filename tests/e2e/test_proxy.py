"""The way in: an application server behind a proxy, who may do what, and what it costs to guess."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from backend.images import images
from backend.sources.source_file import SourceFile
from core.errors import LabelStudioError
from hosts.local import LocalHost
from infra.stack.maintenance import HEADER, MaintenancePass, begin_maintenance, end_maintenance, new_pass
from infra.stack.site import local_site
from labelstudio.session import SignInRefused, sign_in, token_works
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.test_containers import container_of

ODD = "ä b #1?%41+{x}.png"
MIB = 1024**2


@pytest.fixture(scope="module")
def anyone(stack: Stack) -> Iterator[httpx.Client]:
    """Somebody who is not signed in."""
    with closing(httpx.Client(base_url=stack.settings.url, timeout=60, trust_env=False)) as client:
        yield client


@pytest.fixture
def person(stack: Stack) -> Iterator[httpx.Client]:
    """A signed-in browser, as far as cookies go."""
    assert stack.settings.password is not None
    password = stack.settings.password.get_secret_value()
    with sign_in(stack.settings.url, stack.settings.username, password) as session:
        yield session.http


def cookies_of(client: httpx.Client) -> str:
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


def test_pages_name_no_server_and_are_shut_in(anyone: httpx.Client, stack: Stack) -> None:
    """The development server that ran here is meant for one developer; no page of ours may be framed or guessed at."""
    page = anyone.get("/user/login/")
    assert page.status_code == 200
    assert "server" not in page.headers
    assert page.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    assert page.headers["Content-Security-Policy"] == "frame-ancestors 'self'"
    assert "Strict-Transport-Security" not in page.headers  # which would lock out whoever has no https
    top = container_of(stack, "label-studio").top(ps_args="-o pid,args")
    serving = [row for row in top["Processes"] if "gunicorn" in row[-1] and "sh " not in row[-1]]
    assert len(serving) >= 3  # one that watches, and two at least that serve


def test_static_files_come_from_the_proxy(anyone: httpx.Client) -> None:
    """Compressed and with a check that costs nothing; what was not copied Label Studio serves as ever."""
    script = anyone.get("/react-app/main.js", headers={"Accept-Encoding": "gzip"})
    assert script.status_code == 200
    assert script.headers["Content-Encoding"] == "gzip"
    assert script.headers["Cache-Control"] == "no-cache"  # which Label Studio does not say
    assert script.headers["Content-Type"].startswith("text/javascript")
    again = anyone.get("/react-app/main.js", headers={"If-None-Match": script.headers["ETag"]})
    assert again.status_code == 304
    assert anyone.get("/static/fonts/roboto/roboto.css").status_code == 200
    assert anyone.get("/react-app/main.js.map").status_code == 200
    for path in ("/static/", "/static/../../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd", "/react-app/nothing.js"):
        assert anyone.get(path).status_code in (400, 404), path


def test_maintenance_shows_a_page_and_lets_the_pass_through(
    person: httpx.Client, anyone: httpx.Client, stack: Stack, stage: Stage
) -> None:
    """From one request to the next: people see a page, programs a sentence; guesses at the pass do not help."""
    site = local_site(LocalHost(), stack.settings)
    passing = MaintenancePass(new_pass())
    begin_maintenance(site, passing)
    try:
        for path in ("/", "/user/login/", "/projects/1/data", "/static/nothing"):
            page = anyone.get(path, headers={"Accept": "text/html,*/*"})
            assert page.status_code == 503, path
            assert page.headers["Content-Type"].startswith("text/html")
            assert "Label Studio is not available right now" in page.text
            assert "frame-ancestors" in page.headers["Content-Security-Policy"]
        for path in ("/api/projects", "/data/local-files/?d=demo/scene-01.png", "/react-app/main.js"):
            said = person.get(path)
            assert (said.status_code, "being upgraded" in said.json()["detail"]) == (503, True), path
        assert person.post("/user/login/", data={"email": "x"}).status_code == 503
        for guess in ("", ".", "..", "../on", "*", "pass-*", passing.value[:-1]):
            assert person.get("/api/projects", headers={HEADER: guess}).status_code == 503, guess
        through = person.get("/api/projects", headers={HEADER: passing.value})
        assert through.status_code == 200
        assert token_works(stack.settings.url, str(stage.ctx.access.api_key), passing.transport)
    finally:
        end_maintenance(site)
    assert person.get("/api/projects").status_code == 200


def test_log_out_ends_the_session(person: httpx.Client, anyone: httpx.Client) -> None:
    """A cookie that was copied before is worth nothing afterwards, in each of the processes."""
    copied = {"Cookie": cookies_of(person)}
    assert anyone.get("/api/current-user/whoami", headers=copied).status_code == 200
    assert person.get("/logout/").status_code == 302
    assert [anyone.get("/api/current-user/whoami", headers=copied).status_code for _ in range(20)] == [401] * 20


def test_sessions_of_nobody_leave_no_rows(stack: Stack, stage: Stage, anyone: httpx.Client) -> None:
    """A row is written when a person signs in: not for health checks, tokens, and each request of theirs."""
    count = (
        "import labelrig_gunicorn, django; django.setup()\n"  # the first finds Label Studio
        "from django.contrib.sessions.models import Session; print(Session.objects.count())"
    )

    def rows() -> int:
        output = container_of(stack, "label-studio").exec_run(["python", "-c", count]).output
        assert isinstance(output, bytes)
        return int(output.split()[-1])

    before = rows()
    for _ in range(3):
        anyone.get("/user/login/")
        anyone.get("/health")
        stage.client.project(stage.project_id)
    assert rows() == before


def test_wrong_passwords_are_slowed_down(stack: Stack) -> None:
    """The sixth attempt waits, also with the right password; afterwards the right one works at once."""
    settings = stack.settings
    assert settings.password is not None
    password = settings.password.get_secret_value()

    def attempt(word: str) -> None:
        with sign_in(settings.url, settings.username, word):
            pass

    attempt(password)
    for number in range(5):
        with pytest.raises(SignInRefused):
            attempt(f"wrong-{number}")
    with pytest.raises(LabelStudioError, match=r"HTTP 429: .*Too many wrong passwords .* wait [1-5] seconds"):
        attempt(password)
    time.sleep(5)  # what it says
    attempt(password)
    with pytest.raises(SignInRefused):
        attempt("wrong-again")
    attempt(password)


def test_pages_of_others_change_nothing(person: httpx.Client, stage: Stage, stack: Stack) -> None:
    """With the cookie of a person who is signed in, another origin, a neighbouring port too, is refused."""
    body = {"title": "From elsewhere"}
    neighbour = f"http://127.0.0.1:{stack.settings.port + 1}"
    for origin in ("http://evil.example", neighbour, "null", f"https://127.0.0.1:{stack.settings.port}"):
        answer = person.post("/api/projects/", json=body, headers={"Origin": origin})
        assert answer.status_code == 403
        assert answer.json()["detail"].startswith(f"a page of {origin} may not change anything here")
    own = person.post("/api/projects/", json={"title": "From here"}, headers={"Origin": stack.settings.url})
    assert own.status_code == 201
    stage.client.sdk.projects.delete(own.json()["id"])
    assert person.get("/api/projects/", headers={"Origin": "http://evil.example"}).status_code == 200


def test_other_names_are_not_answered(anyone: httpx.Client) -> None:
    """A page of another name that leads to this machine gets nothing: DNS rebinding."""
    assert anyone.get("/user/login/", headers={"Host": "evil.example"}).status_code == 400


def test_large_bodies_are_refused_in_a_sentence(person: httpx.Client, stage: Stage) -> None:
    answer = person.post("/api/projects/", content=b" " * (33 * MIB), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["detail"].startswith("The request is larger than this server takes: 250 MiB for an import")
    content = {"Content-Type": "application/json"}
    imported = person.post(
        f"/api/projects/{stage.project_id}/import", content=b"[]" + b" " * (33 * MIB), headers=content
    )
    assert imported.status_code not in (413, 502), imported.text
    sign_in_page = person.post("/user/login/", content=b"x" * (70 * 1024))
    assert sign_in_page.status_code == 413


def test_long_addresses_are_taken(person: httpx.Client) -> None:
    """The filters of the data manager stand in the address; beyond any use they are refused."""
    assert person.get("/api/projects/", params={"title": "x" * 40_000}).status_code == 200
    assert person.get("/health", headers={"X-Long": "x" * 400_000}).status_code == 431


def test_images_are_read_by_the_proxy_for_who_may(anyone: httpx.Client, stage: Stage) -> None:
    """Label Studio decides, the proxy reads; names are taken as they are, and no link leads out of the folder."""
    folder = Path(stage.ctx.folder.path)
    picture = (folder / "scene-01.png").read_bytes()
    odd, link, beside = folder / ODD, folder / "link.png", folder.parent / "beside.png"
    for path in (odd, beside):
        path.write_bytes(picture)
        path.chmod(0o644)
    link.symlink_to("/etc/passwd")
    key = stage.ctx.access.api_key
    access = anyone.post("/api/token/refresh/", json={"refresh": key}).json()["access"]
    token = {"Authorization": f"Bearer {access}"}

    def url(path: str) -> str:
        return f"/data/local-files/?d={quote(path, safe='')}"

    def ask(path: str, **headers: str) -> httpx.Response:
        return anyone.get(url(path), headers=token | headers)

    try:
        name = stage.ctx.folder.name
        assert anyone.get(url(f"{name}/scene-01.png")).status_code == 401
        seen = ask(f"{name}/scene-01.png")
        assert (seen.status_code, seen.content) == (200, picture)
        assert seen.headers["Content-Type"] == "image/png"
        assert "sandbox" in seen.headers["Content-Security-Policy"]
        assert "X-Accel-Redirect" not in seen.headers
        assert ask(f"{name}/scene-01.png", **{"If-None-Match": seen.headers["ETag"]}).status_code == 304
        part = ask(f"{name}/scene-01.png", Range="bytes=0-7")
        assert (part.status_code, part.content) == (206, picture[:8])
        assert anyone.get(f"/data/local-files?d={name}/scene-01.png", headers=token).content == picture
        assert ask(f"{name}/{ODD}").content == picture
        wrong = (
            f"{name}/../beside.png", f"{name}/../../../etc/passwd", "/etc/passwd", f"{name}/%2e%2e/%2e%2e/etc/passwd",
            f"{name}/link.png", f"{name}/nothing.png", name, f"{name}/", "",
        )  # fmt: skip
        for one in wrong:
            answer = ask(one)
            assert answer.status_code in (403, 404, 500), one
            assert b"root:" not in answer.content
            assert picture not in answer.content
    finally:
        for path in (odd, link, beside):
            path.unlink()


@pytest.mark.usefixtures("round_")  # the backend is connected
def test_figures_of_the_stack_for_who_has_the_token(anyone: httpx.Client, stack: Stack, stage: Stage) -> None:
    """Label Studio's, and the backend's own behind them, in the format that Prometheus reads."""
    path, token = "/labelrig/metrics", stack.settings.metrics_token
    assert token is not None
    refused = anyone.get(path)
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="labelrig"')
    assert anyone.get(path, headers={"Authorization": f"Bearer {stage.ctx.access.api_key}"}).status_code == 401
    answer = anyone.get(path, headers={"Authorization": f"Bearer {token.get_secret_value()}"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {one.name: one for one in text_string_to_metric_families(answer.text)}
    figures = {name: one.samples[0].value for name, one in families.items() if one.samples}
    assert figures["labelrig_tasks"] >= len(stage.images()) > 0
    assert figures["labelrig_database_bytes"] > 100_000
    assert 0 < figures["labelrig_disk_free_bytes"] < figures["labelrig_disk_size_bytes"]
    assert figures["labelrig_people"] >= 1
    up = {one.labels["service"]: one.value for one in families["labelrig_service_up"].samples}
    assert up == {"label-studio": 1, "sam2": 1}
    assert {"labelrig_clicks", "labelrig_stage_seconds", "labelrig_model_info"} <= set(families)
    assert token.get_secret_value() not in str(container_of(stack, "label-studio").attrs)


def test_pictures_are_for_who_may_see_the_file(
    anyone: httpx.Client, person: httpx.Client, stage: Stage, tmp_path: Path
) -> None:
    """People get what browsers show, programs the file; nobody gets a grant, or what they may not see."""
    folder, name = Path(stage.ctx.folder.path), stage.ctx.folder.name
    counts = (28_000 + np.arange(60 * 80).reshape(60, 80) % 700).astype(np.uint16)
    path, beside, broken = folder / "t ä+.tif", folder.parent / "beside.tif", folder / "broken.tif"
    try:
        for one in (path, beside):
            Image.fromarray(counts).save(one)
        broken.write_bytes(path.read_bytes()[:500])
        for one in (path, beside, broken):
            one.chmod(0o644)
        url = f"/data/local-files/?d={quote(f'{name}/{path.name}', safe='')}"
        assert anyone.get(url).status_code == 401
        seen = person.get(url, headers={"X-Labelrig-Picture": "forged"})
        assert (seen.status_code, seen.headers["Content-Type"]) == (200, "image/png"), seen.text[:300]
        assert "X-Labelrig-Picture" not in seen.headers
        assert "sandbox" in seen.headers["Content-Security-Policy"]
        pixels = np.asarray(Image.open(io.BytesIO(seen.content)).convert("RGB"))
        np.testing.assert_array_equal(pixels, images.read(SourceFile(path, "t", "1"), 10**6))
        again = person.get(url, headers={"If-None-Match": seen.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert person.get(f"{url}&original=1").content == path.read_bytes()
        assert anyone.get(url, headers={"If-None-Match": seen.headers["ETag"]}).status_code == 401
        key = stage.ctx.access.api_key
        access = anyone.post("/api/token/refresh/", json={"refresh": key}).json()["access"]
        assert anyone.get(url, headers={"Authorization": f"Bearer {access}"}).content == path.read_bytes()

        refused = person.get(f"/data/local-files/?d={name}/{broken.name}")
        assert refused.status_code == 422
        assert refused.json()["detail"].startswith(f"the image '{name}/{broken.name}' cannot be read: ")
        for outside in (f"{name}/../beside.tif", f"{name}/nothing.tif", f"/label-studio/files/{name}/../beside.tif"):
            assert person.get(f"/data/local-files/?d={outside}").status_code in (403, 404, 500), outside
        assert anyone.get("/picture").status_code in (302, 404)  # the backend's own address is not the proxy's

        upload = tmp_path / "upload.png"
        Image.fromarray(counts).save(upload)
        made = person.post(
            f"/api/projects/{stage.project_id}/import?commit_to_project=false",
            files={"file": (upload.name, upload.read_bytes())},
        ).json()
        (number,) = made["file_upload_ids"]
        address = f"/data/{person.get(f'/api/import/file-upload/{number}').json()['file']}"
        assert anyone.get(address).status_code == 401
        picture = person.get(address)
        assert Image.open(io.BytesIO(picture.content)).mode == "L", picture.text[:300]
        assert person.get(f"{address}?original=1").content == upload.read_bytes()
        assert person.delete(f"/api/import/file-upload/{number}").status_code in (200, 204)
    finally:
        for one in (path, beside, broken):
            one.unlink(missing_ok=True)
