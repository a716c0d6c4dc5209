"""The doctor on the running stack: everything holds; then one link is broken at a time, and exactly that is named."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.report import Report
from hosts.local import LocalHost
from infra.doctor.chain import CHAIN, doctor
from infra.doctor.diagnosis import Diagnosis, Verdict
from infra.doctor.logs import logs
from infra.doctor.status import status
from infra.doctor.status_model import BackendStatus
from infra.roles.project.backend_token import held_token
from infra.roles.stack.backend_secrets import KEY_FILE
from infra.roles.stack.containers import restarts_of
from infra.stack.site import Site, local_site
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage

SET_URL = """
import contextlib, sqlite3, sys
with contextlib.closing(sqlite3.connect("/label-studio/data/label_studio.sqlite3", timeout=20)) as database, database:
    changed = database.execute("UPDATE ml_mlbackend SET url = ? WHERE id = ?", sys.argv[1:]).rowcount
    assert changed == 1, changed
"""


@pytest.fixture(scope="module")
def site(stack: Stack) -> Site:
    return local_site(LocalHost(), stack.settings, environment=stack.environment)


def diagnose(site: Site, stage: Stage) -> Diagnosis:
    return doctor(site, stage.spec, Report(io.StringIO()), truth=stage.ctx.truth)


def first_broken(site: Site, stage: Stage) -> tuple[str, str]:
    """Its id and what was seen; it is what the exit code and the verdict say too."""
    found = diagnose(site, stage)
    assert found.exit_code == 1, found.text()
    assert found.first_broken is not None
    assert found.verdict.startswith(f"first broken link: {found.first_broken.id}: ")
    assert found.first_broken.fix
    return found.first_broken.id, found.first_broken.seen


@pytest.fixture
def fresh_containers(stack: Stack) -> None:
    """Containers that no other test's kill has restarted; a recent restart is a warning of the doctor's."""
    found = {service: stack.running.container(service) for service in stack.files.services}
    killed = [service for service, container in found.items() if container is not None and restarts_of(container)]
    if killed:
        stack.compose.run("up", "--detach", "--no-build", "--no-deps", "--force-recreate", *killed, timeout=180)
        stack.running.wait_until_healthy()


@pytest.mark.usefixtures("fresh_containers")
def test_everything_holds(site: Site, stage: Stage) -> None:
    found = diagnose(site, stage)
    assert found.exit_code == 0, found.text()
    assert [check.id for check in found.checks] == [link.id for link in CHAIN]
    assert {check.result for check in found.checks} == {Verdict.OK}
    assert "IoU" in found.checks[-1].seen
    for secret in (stage.ctx.access.api_key, stage.ctx.access.password):
        assert secret is not None
        assert secret not in str(found.as_dict())


def test_a_stopped_backend(site: Site, stage: Stage, stack: Stack) -> None:
    stack.compose.run("stop", "--timeout", "5", "sam2")
    try:
        found = diagnose(site, stage)
        part = status(site, None, Report(io.StringIO()))
    finally:
        stack.compose.run("start", "sam2")
        stack.running.wait_until_healthy()
    results = {check.id: check.result for check in found.checks}
    assert found.first_broken is not None
    assert found.first_broken.id == "containers"
    assert found.first_broken.seen.startswith("sam2 is exited (exit code ")
    assert {name for name, result in results.items() if result is Verdict.SKIPPED} == {
        *("ls-to-sam2", "sam2-to-ls", "image", "backend", "interactive", "click")
    }
    assert results["token"] is results["storage"] is Verdict.OK
    assert not part.ok
    assert "sam2          exited" in part.text()
    assert "1.23.2 answers" in part.text()


def test_another_token_in_the_backend(site: Site, stage: Stage) -> None:
    own, admins = held_token(stage.ctx.exec_in_backend), stage.ctx.access.api_key
    assert own is not None
    assert admins is not None
    try:
        stage.ctx.write_secret(KEY_FILE, b"another")
        assert first_broken(site, stage) == ("token", "Label Studio does not accept the backend's token")
        stage.ctx.write_secret(KEY_FILE, admins.encode())
        user = stage.ctx.access.username
        assert first_broken(site, stage) == ("token", f"the backend has the token of {user}")
    finally:
        stage.ctx.write_secret(KEY_FILE, own.encode())


def test_a_backend_that_is_not_interactive(site: Site, stage: Stage) -> None:
    (kept,) = stage.client.backends(stage.project_id)
    ours, login = (stage.project_id, kept.id, kept.url, kept.title), stage.ctx.backend_login
    stage.client.update_backend(*ours, interactive=False, login=login)
    try:
        assert first_broken(site, stage)[0] == "interactive"
    finally:
        stage.client.update_backend(*ours, login=login)


def test_a_backend_at_localhost(site: Site, stage: Stage) -> None:
    """Label Studio refuses it today; a database from before it did may hold one."""
    (kept,) = stage.client.backends(stage.project_id)
    _set_url(stage, kept.id, "http://localhost:9090")
    try:
        broken, seen = first_broken(site, stage)
    finally:
        _set_url(stage, kept.id, kept.url)
    assert broken == "no-localhost"
    assert seen.startswith(f"ML backend {kept.id} of the project is registered at http://localhost:9090: inside a ")


def _set_url(stage: Stage, backend_id: int, url: str) -> None:
    stage.ctx.exec_in_label_studio("python3", "-c", SET_URL, url, str(backend_id))


def test_another_storage(site: Site, stage: Stage) -> None:
    (kept,) = stage.client.storages(stage.project_id)
    below = Path(stage.ctx.folder.path) / "another"
    below.mkdir(mode=0o755)
    try:
        moved = dataclasses.replace(kept, path=f"{kept.path}/another")
        stage.client.update_storage(stage.project_id, kept.id, moved)
        broken, seen = first_broken(site, stage)
    finally:
        stage.client.update_storage(stage.project_id, kept.id, kept)
        below.rmdir()
    assert broken == "storage"
    assert seen == f"no storage of the project is {kept.path} (there are: {kept.path}/another)"


def test_a_folder_that_the_containers_may_not_read(site: Site, stage: Stage) -> None:
    with mode(Path(stage.ctx.folder.path), 0o700):
        assert first_broken(site, stage) == (
            "storage",
            f"the user of label-studio (uid {stage.settings.uid}) may not read {stage.ctx.folder.path}",
        )


@contextmanager
def mode(folder: Path, wanted: int) -> Iterator[None]:
    before = folder.stat().st_mode
    folder.chmod(wanted)
    try:
        yield
    finally:
        folder.chmod(before)


def test_status_of_a_stack_that_works(site: Site, stage: Stage) -> None:
    part = status(site, None, Report(io.StringIO()))
    assert part.ok, part.text()
    assert isinstance(part.backend, BackendStatus)
    assert part.backend.model == "demo"
    assert part.label_studio == "1.23.2"
    assert str(part.how_to_open) == site.settings.url


def test_logs_carry_the_service_and_the_time(site: Site) -> None:
    lines: list[str] = []
    logs(site, ("sam2",), since="1h", lines=3, out=lines.append, prefix="here | ")
    assert 1 <= len(lines) <= 3
    assert all(line.startswith("here | sam2-1  | 20") for line in lines)
