"""Packages that a library imports for a part of itself that most runs, or all of ours, never use."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


class _Deferred(ModuleType):
    """Stands for a package until something in it is used. (`importlib.util.LazyLoader` loads on `import` already.)"""

    def __getattr__(self, name: str) -> object:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        loaded = importlib.import_module(self.__name__)
        self.__dict__.update(vars(loaded))
        return getattr(loaded, name)


def defer(name: str) -> None:
    """Have a package loaded at the first use of anything in it instead of when it is imported."""
    sys.modules.setdefault(name, _Deferred(name))


def leave_out(name: str) -> None:
    """Have the import of an optional module fail as if it were not installed."""
    sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # the import system's own way to say so
