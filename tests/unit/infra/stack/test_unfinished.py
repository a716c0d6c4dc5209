"""A stack that is half of two states: nothing starts it, nothing moves its data, but the command that ends it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from core.errors import Unfinished
from core.report import Report
from infra.config.settings import Settings
from infra.database import here
from infra.deploy.move_command import move_on_host
from infra.releases.store import Releases
from infra.roles.stack.render import RenderedFile
from infra.stack import up
from infra.stack.site import Site
from infra.stack.stages import stack_operations
from infra.stack.unfinished import refuse_unfinished
from tests.fakes import FakeHost
from tests.unit.infra.deploy_bench import deployment, quiet
from tests.unit.infra.releases.release_bench import FACTS, NOW, files

MARKS = {"restoring": r"`\./inv restore` finishes it", "upgrading": r"`\./inv upgrade` goes on from there"}


def site_with(mark: str) -> Site:
    host, settings = FakeHost(), Settings.model_validate({"LABELRIG_UID": 61041})
    host.files[f"/state/{mark}.json"] = b"{}"
    return Site(host, settings, "/state", "/state", "/state/.env", lambda: settings)


def no_engine() -> NoReturn:
    raise AssertionError("the engine was asked")


@pytest.mark.parametrize("mark", MARKS)
def test_operations_are_refused(mark: str) -> None:
    """What every command that starts a stack begins with, so that none can forget to ask."""
    with pytest.raises(Unfinished, match=MARKS[mark]):
        stack_operations(site_with(mark), no_engine, quiet())


def test_an_upgrade_passes_its_own_mark_only() -> None:
    refuse_unfinished(site_with("upgrading"), upgrading=True)
    with pytest.raises(Unfinished, match=MARKS["restoring"]):
        refuse_unfinished(site_with("restoring"), upgrading=True)
    refuse_unfinished(site_with("other"))


def use(module: Any, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    monkeypatch.setattr(module, "local_site", lambda *_: site_with(mark))


def begin_up(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    use(up, monkeypatch, mark)
    up.up(Settings.model_validate({}), FakeHost(), Report(io.StringIO()), {})


def begin_move(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    use(here, monkeypatch, mark)
    monkeypatch.setattr(here, "database_of", lambda _site: "sqlite")
    here.move_here(Settings.model_validate({}), "postgres", quiet(), replace_target=False)


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("begin", [begin_up, begin_move])
def test_commands_of_this_machine_are_refused(
    monkeypatch: pytest.MonkeyPatch, begin: Callable[[pytest.MonkeyPatch, str], None], mark: str
) -> None:
    with pytest.raises(Unfinished, match=MARKS[mark]):
        begin(monkeypatch, mark)


@pytest.mark.parametrize("mark", MARKS)
def test_move_on_a_host_is_refused(tmp_path: Path, mark: str) -> None:
    one = deployment(tmp_path, database="sqlite")
    releases = Releases(one.host, one.base, lambda: NOW)
    proxy = RenderedFile("/proxy.yaml", b"{}\n", 0o644)
    made = releases.write([*files(), proxy], FACTS.model_copy(update={"database": "sqlite"}))
    releases.activate(made.id)
    releases.mark(made.id, "passed")
    (Path(one.base) / f"{mark}.json").write_text("{}")
    with pytest.raises(Unfinished, match=r"`\./inv (restore|upgrade) --host gpu01`"):
        move_on_host(one, "postgres", quiet(), replace_target=False)
