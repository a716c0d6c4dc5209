"""The backend's token: of an account of its own, and the administrator's of earlier days made void."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from core.errors import LabelrigError
from core.operation import converge
from core.report import Report
from hosts.local import LocalHost
from infra.config.dotenv import read_env_file
from infra.roles.project.backend_token import ACCOUNT, BackendTokenPresent
from labelstudio.access import Access
from labelstudio.session import token_works
from tests.unit.labelstudio.inside_fake import InsideFake
from tests.unit.labelstudio.labelstudio_fake import BASE, EMAIL, PASSWORD, FakeLabelStudio

MAKE = f"make a token for {ACCOUNT} and hand it over to the SAM2 backend"


class Bench:
    """A Label Studio, `.env`, and the backend's file; with this machine's shell in the place of the container's."""

    def __init__(self, folder: Path) -> None:
        self.server = FakeLabelStudio()
        self.env, self.file = folder / ".env", folder / "key"
        self.access = Access(BASE, EMAIL, PASSWORD, self.server.token(), self.server.transport)
        self.inside = InsideFake({"service_account": self._account})

    def _account(self, asked: dict[str, str]) -> dict[str, str]:
        return {"token": self.server.token(asked["email"])}

    def operation(self) -> BackendTokenPresent:
        def write(path: str, content: bytes) -> None:
            Path(path).write_bytes(content)

        host = LocalHost()
        return BackendTokenPresent(self.access, host, str(self.env), self.inside, host.run, write, str(self.file))

    def apply(self) -> list[str]:
        report = Report(io.StringIO())
        with report.stage("token"):
            converge([self.operation()], report)
        return report.stages[0].changed

    @property
    def held(self) -> str:
        return self.server.owners[self.file.read_text()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_backend_gets_a_token_of_its_own_once(bench: Bench) -> None:
    admins = bench.access.api_key
    assert bench.apply() == [MAKE]
    assert bench.held == ACCOUNT
    assert bench.apply() == []
    assert bench.access.api_key == admins
    assert len(bench.inside.asked) == 1


def test_the_administrators_token_is_made_void(bench: Bench) -> None:
    """An earlier labelrig handed it to the backend."""
    old = bench.access.api_key
    assert old is not None
    bench.file.write_text(old)
    void = f"make the token of {EMAIL} void, which the SAM2 backend holds, and write another to .env"
    assert bench.apply() == [void, MAKE]
    assert not token_works(BASE, old, bench.server.transport)
    new = read_env_file(bench.env)["LABEL_STUDIO_API_KEY"]
    assert new == bench.access.api_key != old
    assert token_works(BASE, new, bench.server.transport)
    assert bench.held == ACCOUNT
    assert bench.apply() == []


def test_a_run_that_broke_off_is_completed_by_the_next(bench: Bench) -> None:
    bench.file.write_text(str(bench.access.api_key))
    bench.inside.refusal = "the container stopped"
    with pytest.raises(LabelrigError, match="the container stopped"):
        bench.apply()
    bench.inside.refusal = None
    assert bench.apply() == [MAKE]  # the old one is void already
    assert bench.held == ACCOUNT


@pytest.mark.parametrize("owner", [EMAIL, "ana@lab.example"])
def test_another_accounts_token_is_replaced(bench: Bench, owner: str) -> None:
    bench.file.write_text(bench.server.token(owner))
    admins = bench.access.api_key
    assert bench.apply() == [MAKE]
    assert (bench.held, bench.access.api_key) == (ACCOUNT, admins)


def test_a_token_that_is_void_is_replaced(bench: Bench) -> None:
    bench.apply()
    bench.server.tokens.remove(bench.file.read_text())
    assert bench.apply() == [MAKE]
    assert bench.apply() == []


def test_what_will_be_done_does_not_hold_a_token(bench: Bench) -> None:
    bench.file.write_text(str(bench.access.api_key))
    shown = "".join(change.summary + change.diff for change in bench.operation().plan())
    assert str(bench.access.api_key) not in shown
    assert not bench.env.exists()
