"""What twenty people wait for, before and now, in one run: the table of docs/performance.md is printed by it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from docker import DockerClient

from core.operation import converge
from core.report import Report
from hosts.local import LocalHost
from infra.roles.docker.compose import Compose
from infra.roles.stack.containers import StackRunning
from labelstudio.session import http_client
from tests.e2e import clicks
from tests.e2e.clicks import Round
from tests.e2e.conftest import Stack
from tests.e2e.people import Crowd, Figures, crowd
from tests.e2e.project_cases import Stage

PEOPLE, ROUNDS = 20, 3
BEFORE = ["label-studio", "start", "--no-browser", "--internal-host", "0.0.0.0", "--port", "8080"]
SETTINGS = {"DJANGO_SETTINGS_MODULE": "core.settings.label_studio", "PYTHONPATH": ""}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_people(
    stack: Stack, stage: Stage, round_: Round, engine: DockerClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody gets an error, pages open sooner than under the development server of before, and more is done."""
    scenes = clicks.scenes(round_)
    chosen = [scenes[number % len(scenes)] for number in range(PEOPLE)]
    key = stage.ctx.access.api_key
    assert key is not None
    assert stack.settings.password is not None
    account = (stack.settings.username, stack.settings.password.get_secret_value())
    with crowd(round_, key, stage.ctx.backend_login, account, chosen, ROUNDS) as people:
        people.look_at_images()
        now = people.work(stack.settings.url)
        before = under_runserver(stack, engine, people, tmp_path)
    with capsys.disabled():
        print(f"\n{before.row('runserver')}\n{now.row('gunicorn behind Caddy')}")  # noqa: T201
    assert now.errors == []
    assert now.percentile("open", 95) < before.percentile("open", 95)
    assert now.seconds < before.seconds


def under_runserver(stack: Stack, engine: DockerClient, people: Crowd, folder: Path) -> Figures:
    """A release from before, on the same image and database: no proxy, Label Studio published at its port.

    So it is a rollback as well: what serves gives the port up first, and the way back is the usual one.
    """
    compose_file, *_, machine = stack.files.compose
    override, without_proxy = folder / "before.yaml", folder / "machine.yaml"
    service = {
        "command": BEFORE, "environment": SETTINGS, "ports": [f"127.0.0.1:{stack.settings.port}:8080"],
    }  # fmt: skip
    override.write_text(yaml.safe_dump({"services": {"label-studio": service}}))
    services = yaml.safe_load(Path(machine).read_text())["services"]
    without_proxy.write_text(yaml.safe_dump({"services": {name: services[name] for name in ("label-studio", "sam2")}}))
    files = (compose_file, str(override), str(without_proxy))
    compose = Compose(LocalHost(), stack.settings.project, files, stack.files.env)
    running = StackRunning(compose, stack.settings.project, lambda: engine, Report(), ("sam2", "label-studio"))
    try:
        converge([running], Report())
        assert stack.running.container("proxy") is None
        with http_client(stack.settings.url) as http:
            assert http.get("/health").headers["Server"].startswith("WSGIServer")
        return people.work(stack.settings.url)
    finally:
        converge([stack.running], Report())
