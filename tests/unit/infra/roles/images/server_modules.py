"""Modules of Label Studio's image, which are no package of the repository."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from core.repository import REPOSITORY

SERVER = REPOSITORY / "infra" / "roles" / "images" / "dockerfiles" / "label-studio" / "server"


def load(name: str) -> ModuleType:
    """A module as the image has it; it stays in `sys.modules`."""
    spec = importlib.util.spec_from_file_location(name, SERVER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass looks for it there
    spec.loader.exec_module(module)
    return module


@contextmanager
def loaded(name: str) -> Iterator[ModuleType]:
    """The same, for as long as the context lasts."""
    try:
        yield load(name)
    finally:
        sys.modules.pop(name, None)
