"""Where this clone lies, and which version it is."""

from __future__ import annotations

import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def own_version(repository: Path = REPOSITORY) -> str:
    """The version of labelrig, as `pyproject.toml` has it."""
    version: str = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    return version
