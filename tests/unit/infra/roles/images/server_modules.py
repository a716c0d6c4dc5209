"""Modules of Label Studio's image, which are no package of the repository."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from core.repository import REPOSITORY

SERVER = REPOSITORY / "infra" / "roles" / "images" / "dockerfiles" / "label-studio" / "server"


@contextmanager
def loaded(name: str) -> Iterator[ModuleType]:
    """A module as the image has it, for as long as the context lasts."""
    spec = importlib.util.spec_from_file_location(name, SERVER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass looks for it there
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.modules.pop(name)
