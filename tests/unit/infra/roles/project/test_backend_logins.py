"""The backend's password in Label Studio: with every project, and again when it is another one."""

from __future__ import annotations

import io

import pytest

from core.operation import converge
from core.report import Report
from infra.roles.project.backend_logins import BackendLoginsKnown
from labelstudio.models import BasicAuth
from tests.unit.infra.roles.project.labelstudio_bench import BACKEND, LOGIN, Bench

OTHER = BasicAuth("labelrig-another", "another-password")


@pytest.fixture
def bench() -> Bench:
    one = Bench()
    one.server.backend_password = LOGIN.password
    one.apply()
    return one


def apply(bench: Bench, login: BasicAuth) -> list[str]:
    report = Report(io.StringIO())
    with report.stage("logins"):
        converge([BackendLoginsKnown(bench.access, BACKEND, login)], report)
    return report.stages[0].changed


def add_project(bench: Bench, title: str, **row: object) -> int:
    """A project that this run is not about, with an ML backend as an earlier labelrig registered it."""
    project, backend = bench.server.new_id(), bench.server.new_id()
    bench.server.projects[project] = {"id": project, "title": title}
    bench.server.backends[backend] = {
        "id": backend, "project": project, "url": BACKEND, "title": "mine", "is_interactive": True, "state": "CO",
        "error_message": None, **row,
    }  # fmt: skip
    return backend


def test_a_new_backend_is_registered_with_the_password(bench: Bench) -> None:
    (row,) = bench.server.backends.values()
    assert (row["auth_method"], row["basic_auth_user"]) == ("BASIC_AUTH", LOGIN.user)
    assert row["basic_auth_pass"] == LOGIN.password
    assert bench.apply() == []


def test_every_project_gets_a_changed_password(bench: Bench) -> None:
    second = add_project(bench, "Second")
    foreign = add_project(bench, "Third", url="http://other:9090")
    give = f"give Label Studio the password of the ML backend {BACKEND} for "
    assert apply(bench, LOGIN) == [f"{give}Second"]
    assert bench.server.backends[second]["basic_auth_pass"] == LOGIN.password
    assert bench.server.backends[second]["title"] == "mine"
    assert apply(bench, LOGIN) == []
    bench.server.backend_password = OTHER.password
    assert apply(bench, OTHER) == [f"{give}{bench.spec.title}", f"{give}Second"]
    assert apply(bench, OTHER) == []
    assert "basic_auth_pass" not in bench.server.backends[foreign]


def test_a_password_typed_over_in_the_browser_is_replaced(bench: Bench) -> None:
    (row,) = bench.server.backends.values()
    row["basic_auth_pass"] = "typed-by-a-person"
    assert len(apply(bench, LOGIN)) == 1
    assert row["basic_auth_pass"] == LOGIN.password
    assert bench.apply() == []


def test_another_fault_of_a_backend_is_not_ours_to_mend(bench: Bench) -> None:
    (row,) = bench.server.backends.values()
    row |= {"state": "ER", "error_message": "the labeling configuration has no output tag"}
    assert apply(bench, LOGIN) == []
