"""What our code imports is named in the .in files; what the image needs not is not in its lock."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
REQUIREMENTS = REPOSITORY / "requirements"
# The distribution where its name is not the module's.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "dotenv": "python-dotenv",
    "hydra": "hydra-core",
    "pydantic_core": "pydantic",
    "yaml": "pyyaml",
}
OURS = {"backend", "commands", "core", "dataset", "demo", "hosts", "infra", "labeling", "labelstudio", "masks", "tools"}


def named(*files: str) -> set[str]:
    lines = [line for name in files for line in (REQUIREMENTS / name).read_text().splitlines()]
    return {found[0].lower().replace("_", "-") for line in lines if (found := re.match(r"[A-Za-z0-9_.-]+", line))}


def imported(*folders: str) -> set[str]:
    """The distributions that the modules of these folders import, at their top or in a function.

    Without the programs that run in Label Studio's container, which import its packages.
    """
    modules: set[str] = set()
    for path in (path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")):
        if {"inside", "dockerfiles"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    return {
        DISTRIBUTIONS.get(name, name.replace("_", "-"))
        for name in modules - OURS
        if name not in sys.stdlib_module_names
    }


@pytest.mark.parametrize(
    ("folders", "files"),
    [
        (("core", "masks", "labeling", "hosts", "labelstudio", "infra", "dataset", "commands"), ("infra.in",)),
        (("backend", "masks", "labeling"), ("backend.in", "torch.in", "sam2.in", "cluster.in")),
    ],
)
def test_direct_imports_are_named(folders: tuple[str, ...], files: tuple[str, ...]) -> None:
    assert imported(*folders) - named(*files) == set()


def test_backend_image_holds_no_more_than_it_needs() -> None:
    """The SDK of Label Studio brings 50 packages, and the backend does not import it."""
    packages = re.findall(r"^([a-z0-9_.-]+)==", (REQUIREMENTS / "backend.lock").read_text(), re.MULTILINE)
    assert len(packages) <= 50
    assert {"label-studio-sdk", "pandas", "nltk", "lxml"} & set(packages) == set()
