"""Files and secrets that a host keeps: as root where it is another machine, as the user where it is this one."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

import pytest

from core.operation import converge
from hosts.local import LocalHost
from infra.config.dotenv import parse_env_text, update_env_file
from infra.config.settings import Settings
from infra.roles.stack.model import _place
from infra.roles.stack.secrets import SecretsMade
from tests.recorder import RecordingHost
from tests.unit.infra.deploy_bench import LabHost, quiet

MADE = (
    *("LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_SECRET_KEY", "LABELRIG_POSTGRES_PASSWORD", "LABELRIG_BACKEND_PASSWORD"),
)
POSTGRES = Settings.model_validate({"LABELRIG_DATABASE": "postgres"})


class Noting(RecordingHost):
    """Notes as whom files are read and written."""

    def __init__(self, host: LocalHost) -> None:
        super().__init__(host)
        self.as_root: list[bool] = []

    def read(self, path: str, *, as_root: bool = False) -> bytes | None:
        self.as_root.append(as_root)
        return super().read(path, as_root=as_root)

    def write(self, path: str, content: bytes, mode: int = 0o644, *, as_root: bool = False) -> None:
        self.as_root.append(as_root)
        super().write(path, content, mode, as_root=as_root)


@pytest.fixture(params=[False, True], ids=["here", "there"])
def host(request: pytest.FixtureRequest) -> Noting:
    return Noting(LabHost() if request.param else LocalHost())


def everything_as_root(host: Noting) -> bool:
    """True: all of it; False: nothing of it."""
    (one,) = {*host.as_root, *(as_root for _, as_root in host.commands)}
    return one


def test_secrets_are_made_once_and_are_in_no_argument(host: Noting, tmp_path: Path) -> None:
    path = tmp_path / "labelrig" / "secrets.env"
    operation = SecretsMade(host, path, POSTGRES)
    (change,) = operation.plan()
    assert change.summary == (f"make {', '.join(MADE)} and write them to secrets.env")
    assert not path.exists()
    assert converge([operation], quiet()) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made = parse_env_text(path.read_text(), "")
    assert tuple(made) == MADE
    assert min(map(len, made.values())) >= 20
    assert not any(value in word for value in made.values() for argv, _ in host.commands for word in argv)
    known = Settings.model_validate({"LABELRIG_DATABASE": "postgres", **made})
    assert converge([SecretsMade(host, path, known)], quiet()) == 0
    assert parse_env_text(path.read_text(), "") == made
    assert everything_as_root(host) is not host.is_local


def test_adds_a_secret_of_a_later_version(host: Noting, tmp_path: Path) -> None:
    """A secret of a later version is added to those that are there."""
    path = tmp_path / "secrets.env"
    converge([SecretsMade(host, path, Settings())], quiet())
    before = parse_env_text(path.read_text(), "")
    converge([SecretsMade(host, path, Settings.model_validate({"LABELRIG_DATABASE": "postgres", **before}))], quiet())
    after = parse_env_text(path.read_text(), "")
    assert set(after) - set(before) == {"LABELRIG_POSTGRES_PASSWORD"}
    assert after.items() >= before.items()


def test_secrets_that_others_may_read_are_closed(host: Noting, tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    converge([SecretsMade(host, path, Settings())], quiet())
    known = Settings.model_validate(parse_env_text(path.read_text(), ""))
    path.chmod(0o644)
    operation = SecretsMade(host, PurePosixPath(path), known)  # type: ignore[arg-type]
    assert [change.summary for change in operation.plan()] == ["make secrets.env readable for its owner only"]
    assert converge([operation], quiet()) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert everything_as_root(host) is not host.is_local


def test_an_env_file_keeps_what_others_wrote_into_it(host: Noting, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# why\nA=1 # one\nB='old'")
    update_env_file(host, str(path), {"B": "new $x", "C": "3"})
    assert path.read_text() == "# why\nA=1 # one\nB='new $x'\nC='3'\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert everything_as_root(host) is not host.is_local


@pytest.mark.parametrize(("name", "value"), [("A", "two\nlines"), ("A", "x\r"), ("A B", "x"), ("", "x")])
def test_what_cannot_stand_in_an_env_file_is_not_written(host: Noting, tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"cannot stand in a \.env file$") as caught:
        update_env_file(host, str(tmp_path / "file"), {name: value})
    assert value not in str(caught.value) or value == "x"
    assert host.as_root == []


def test_rewrites_private_file_only_when_it_differs(host: Noting, tmp_path: Path) -> None:
    """A file is placed private, and written again only when it differs."""
    path = tmp_path / "state" / "fetch.env"
    for content, written in ((b"A='1'\n", 1), (b"A='1'\n", 1), (b"A='2'\n", 2)):
        _place(host, str(path), content)
        assert path.read_bytes() == content
        assert len(host.writes) == written
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert everything_as_root(host) is not host.is_local
