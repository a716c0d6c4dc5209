"""The number of the containers' user is chosen once and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.operation import converge
from infra.config.settings import FIRST_UID, LAST_UID, load_settings
from infra.roles.stack.container_user import ContainerUserChosen
from tests.fakes import FakeHost
from tests.unit.infra.deploy_bench import quiet

ALL = [str(number) for number in range(FIRST_UID, LAST_UID + 1)]
ENV, RENDERED = "/.env", "/state/stack.env"


@pytest.fixture
def host() -> FakeHost:
    made = FakeHost()
    for database in ("passwd", "group"):
        made.script("getent", database, *ALL, exit_code=2)
        made.script("getent", database, "61059", exit_code=2)
    return made


def operation(host: FakeHost, folder: Path) -> ContainerUserChosen:
    path = folder / ".env"
    path.write_bytes(host.files.get(ENV, b""))
    return ContainerUserChosen(host, ENV, load_settings(path, {}, {}), RENDERED)


def test_a_number_is_chosen_once(host: FakeHost, tmp_path: Path) -> None:
    first = operation(host, tmp_path)
    number = first.number()
    assert [change.summary for change in first.plan()] == [
        f"choose number {number} for the user of the containers and write it to .env"
    ]
    assert converge([first], quiet()) == 1
    assert host.files[ENV] == f"LABELRIG_UID='{number}'\n".encode()
    again = operation(host, tmp_path)
    assert (again.plan(), again.number()) == ([], number)


def test_a_lost_number_is_taken_from_the_stack_that_is_there(host: FakeHost, tmp_path: Path) -> None:
    host.files[RENDERED] = b"LABELRIG_UID='61059'\n"
    assert operation(host, tmp_path).number() == 61059
    host.script("getent", "passwd", "61059", stdout="ana:x:61059:100::/home/ana:/bin/sh\n")
    assert operation(host, tmp_path).number() != 61059, "an account has got it meanwhile"


def test_a_number_outside_the_range_is_refused(tmp_path: Path) -> None:
    """The images have no name for it, and a person may have it."""
    (tmp_path / ".env").write_text("LABELRIG_UID=1001\n")
    with pytest.raises(Exception, match="LABELRIG_UID: expected whole number, 61041 to 61060"):
        load_settings(tmp_path / ".env", {}, {})
