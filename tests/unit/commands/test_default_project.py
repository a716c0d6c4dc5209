"""A lab that deleted the shipped project from `projects.yaml`: every command works with what is there."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from core.errors import SettingsError
from core.operation import Previewer
from core.repository import REPOSITORY
from infra.config.settings import Settings
from infra.deploy.deployment import Deployment
from infra.stack import stages
from infra.stack.up import up
from tests.e2e.clone import Clone
from tests.fakes import FakeHost
from tests.unit.infra.deploy_bench import COMMIT, host_settings, quiet

LAKE = "  lake: {title: Lake, config: rgbt-sar, version: 2}\n"
SEA = "  sea: {title: Sea, config: minimal, version: 1}\n"
NO_DEFAULT = (
    "labeling_configs/projects.yaml has 2 projects and no default: name one with --project, or mark one with "
    "`default: true` (there are: lake, sea)"
)
NO_ANSWER = "nothing answers at http://"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with a stack of its own, whose Label Studio does not run."""
    folder = tmp_path_factory.mktemp("clone")
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    stack = {"LABELRIG_ENV_FILE": str(folder / ".env"), "LABELRIG_PROJECT": "test-default-project"}
    (folder / "annotations.json").write_text('{"images": []}')
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    login = {"LABEL_STUDIO_PASSWORD": "one-two-three", "LABEL_STUDIO_API_KEY": "a" * 40, "LABEL_STUDIO_PORT": port}
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in login.items()))
    return Clone.make(folder, environment | stack)


def write(clone: Clone, *projects: str) -> None:
    (clone.configs / "projects.yaml").write_text("projects:\n" + "".join(projects), encoding="utf-8")


COMMANDS = {
    "export": ("export", "--format", "coco"),
    "import": ("import", "annotations.json"),
    "embed": ("embed",),
    "preannotate": ("preannotate", "--boxes", "annotations"),
    "propagate": ("propagate", "--from", "12"),
    "stats": ("stats",),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_the_only_project_is_meant(clone: Clone, command: tuple[str, ...]) -> None:
    """The command comes as far as Label Studio, which does not run."""
    write(clone, LAKE)
    done = clone.inv(*command)
    assert NO_ANSWER in done.stderr, done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize("name", ["status", "doctor"])
def test_a_stack_is_inspected(clone: Clone, name: str) -> None:
    write(clone, LAKE)
    done = clone.inv(name)
    assert "rgbt-sar" not in done.stdout + done.stderr
    assert "there is no project" not in done.stdout + done.stderr
    assert done.returncode == 1
    assert done.stdout


def test_options_are_checked_before_the_project(clone: Clone) -> None:
    write(clone, LAKE, SEA)
    wrong = {
        ("export", "--format", "cocoo", "--since", "soon"): ("--format is one of coco", "--since"),
        ("import", "nowhere.json"): ("nowhere.json: there is no such file",),
        ("embed", "--project", "lake", "--folder", "x"): ("give either --project or --folder",),
        ("preannotate", "--boxes", "nowhere"): ("--boxes nowhere: must be",),
        ("propagate", "--from", "12", "--to", "3", "--frames", "2"): ("give either --to or --frames",),
        ("propagate", "--from", "first"): ("--from first: must be a whole number",),
        ("preannotate",): ("--boxes WHAT, or --everything",),
        ("preannotate", "--everything", "--boxes", "annotations"): ("leave --boxes and --skip-broken out",),
        ("preannotate", "--everything", "--label", "a=b"): ("it is one label of the project",),
    }
    for command, messages in wrong.items():
        done = clone.inv(*command)
        assert done.returncode == 2
        assert all(message in done.stderr for message in messages), done.stderr
        assert "default" not in done.stderr


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone for what `up` and `deploy` read."""
    shutil.copytree(REPOSITORY / "labeling_configs", tmp_path / "labeling_configs")
    monkeypatch.setattr(stages, "REPOSITORY", tmp_path)
    return tmp_path / "labeling_configs" / "projects.yaml"


def test_a_stack_has_the_default_project(repository: Path) -> None:
    """On the demo images it has a title of its own."""
    repository.write_text(f"projects:\n{LAKE}")
    assert stages.stack_project(Settings()).title == "Lake demo"
    with_images = Settings.model_validate({"LABELRIG_DATA": "/nas"})
    assert stages.stack_project(with_images).title == "Lake"
    repository.write_text(f"projects:\n{SEA}{LAKE.replace('}', ', default: true}')}")
    assert stages.stack_project(with_images).name == "lake"


def test_without_a_default_nothing_is_started(repository: Path) -> None:
    """`up` and `deploy` list the projects before they read anything of the machine."""
    repository.write_text(f"projects:\n{LAKE}{SEA}")
    host = FakeHost()
    with pytest.raises(SettingsError) as caught:
        up(Settings(), host, quiet(), {})
    assert str(caught.value) == NO_DEFAULT
    with pytest.raises(SettingsError) as caught:
        Deployment(host, host_settings(), COMMIT, "alice@desk").run(Previewer(quiet()))
    assert str(caught.value) == NO_DEFAULT
