"""The first user's password: what was changed in the file is set, what was changed in the browser stays."""

from __future__ import annotations

import io
import itertools

import pytest

from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from infra.roles.project.backend_token import BackendTokenPresent
from infra.roles.project.role import ProjectContext, project_role
from infra.roles.stack.image_folders import ImageFolder
from labelstudio.access import Access
from labelstudio.config import load_project
from labelstudio.password_record import PasswordRecord
from tests.fakes import FakeHost
from tests.unit.infra.roles.project.labelstudio_bench import LOGIN, no_secret
from tests.unit.labelstudio.labelstudio_fake import BASE, EMAIL, PASSWORD, FakeLabelStudio
from tests.unit.labelstudio.test_session import Container

SET = f"set the password of {EMAIL} in Label Studio to the one in secrets.env"
RECORD = f"record that the password of {EMAIL} is the one in secrets.env"
FILE = "/srv/x/password.record"


class Bench:
    """A Label Studio, and a machine with the file of secrets."""

    def __init__(self) -> None:
        self.server = FakeLabelStudio()
        self.host = FakeHost()
        self.token: str | None = self.server.token()
        self.notices: list[str] = []

    def run(self, password: str, *, planned: bool = False) -> list[str]:
        """What is changed, or what a plan shows, where the file holds this password."""
        report = Report(io.StringIO())
        access = Access(BASE, EMAIL, password, self.token, self.server.transport)
        container = Container(self.server)
        context = ProjectContext(
            host=self.host,
            env_file="/srv/x/secrets.env",
            state="/srv/x",
            folder=ImageFolder("set", "/data/set"),
            access=access,
            exec_in_label_studio=container,
            exec_in_backend=container,
            write_secret=no_secret,
            backend_login=LOGIN,
            report=report,
        )
        role = project_role(load_project(REPOSITORY), context)
        # What comes before the backend's own token: the login.
        operations = list(itertools.takewhile(lambda one: not isinstance(one, BackendTokenPresent), role))
        if planned:
            return [change.summary for operation in operations for change in operation.plan()]
        with report.stage("project"):
            converge(operations, report)
        self.token, self.notices = access.api_key, report.notices
        return report.stages[0].changed


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_first_run_records_the_password(bench: Bench) -> None:
    bench.token = None
    assert len(bench.run(PASSWORD)) == 1
    assert bench.run(PASSWORD) == []
    assert PASSWORD not in bench.host.files[FILE].decode()
    assert bench.host.modes[FILE] == 0o600


def test_a_password_changed_in_the_file_is_set(bench: Bench) -> None:
    bench.run(PASSWORD)
    assert bench.run("another-password", planned=True) == [SET]
    assert bench.server.password == PASSWORD
    assert bench.run("another-password") == [SET]
    assert bench.server.password == "another-password"
    assert bench.run("another-password") == []


def test_a_password_changed_in_the_browser_stays(bench: Bench) -> None:
    bench.run(PASSWORD)
    bench.server.password = "of-the-browser"
    assert bench.run(PASSWORD) == []
    assert bench.server.password == "of-the-browser"


def test_the_password_of_another_person_is_not_overwritten(bench: Bench) -> None:
    """`LABEL_STUDIO_USERNAME` names another account: the recorded password was not this one's."""
    PasswordRecord.of(bench.host, "/srv/x").write("before@lab.example", "of-another-account")
    bench.server.password = "of-the-browser"
    assert bench.run(PASSWORD) == [RECORD]
    assert bench.server.password == "of-the-browser"
    (notice,) = bench.notices
    assert notice.startswith(f"Label Studio does not accept the password of {EMAIL} in secrets.env")


def test_a_stack_of_an_earlier_version_is_recorded_once(bench: Bench) -> None:
    assert bench.run(PASSWORD, planned=True) == [RECORD]
    assert bench.host.files == {}
    assert bench.run(PASSWORD) == [RECORD]
    assert (bench.run(PASSWORD), bench.notices) == ([], [])


def test_an_earlier_stack_keeps_the_password_of_the_browser(bench: Bench) -> None:
    """Nothing is known of it: it is left alone with a notice, and the file counts from then on."""
    bench.server.password = "of-the-browser"
    assert bench.run(PASSWORD) == [RECORD]
    assert bench.server.password == "of-the-browser"
    (notice,) = bench.notices
    assert notice.startswith(f"Label Studio does not accept the password of {EMAIL} in secrets.env: it was changed in")
    assert bench.run("another-password") == [SET]
    assert bench.server.password == "another-password"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"nothing-here\n", b"salt of-an-earlier-version\n"])
def test_a_record_that_cannot_be_read_is_none(bench: Bench, content: bytes) -> None:
    bench.host.files[FILE] = content
    assert bench.run(PASSWORD) == [RECORD]
    assert bench.run(PASSWORD) == []
