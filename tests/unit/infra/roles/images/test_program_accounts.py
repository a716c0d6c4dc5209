"""What Label Studio lets the accounts of programs do: read images, and nothing else."""

from __future__ import annotations

import re

import pytest

from backend.sources.locations import FILE_PATHS
from core.repository import REPOSITORY
from infra.roles.project.backend_token import ACCOUNT

SOURCE = REPOSITORY / "infra/roles/images/dockerfiles/label-studio/server/labelrig_middleware.py"


def constant(name: str) -> str:
    """A constant of the module, which needs Django to be imported."""
    found = re.search(rf'^{name} = (?:re\.compile\()?r?"([^"]+)"', SOURCE.read_text(), re.MULTILINE)
    assert found is not None, name
    return found[1]


def test_the_backends_account_is_one_of_them() -> None:
    assert ACCOUNT.endswith(constant("PROGRAMS"))


@pytest.mark.parametrize(
    "path",
    [
        *("/data/upload/3/a.png", "/data/local-files/?d=a.png", "/storage-data/uploaded/?filepath=x"),
        *("/tasks/7/resolve/?fileuri=x", "/projects/7/presign/"),
    ],
)
def test_what_the_backend_asks_for_is_an_image_there_too(path: str) -> None:
    """The backend's own rule and Label Studio's agree."""
    assert FILE_PATHS.match(path)
    assert re.match(constant("IMAGES"), path)


@pytest.mark.parametrize("path", ["/api/projects/", "/api/tasks/7/resolve", "/data/uploads", "/version/", "/tasks/7/"])
def test_everything_else_is_no_image(path: str) -> None:
    assert not re.match(constant("IMAGES"), path)
