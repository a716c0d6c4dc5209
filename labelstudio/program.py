"""Python of ours that runs in a container of Label Studio, where nothing of ours is installed: sent as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

# Each module gets its own name, so that it imports those before it as it does here.
LOADER = """
import json, sys, types
for name, text in json.loads({modules!r}):
    parents = name.split(".")[:-1]
    for parent in (".".join(parents[:depth]) for depth in range(1, len(parents) + 1)):
        sys.modules.setdefault(parent, types.ModuleType(parent)).__path__ = []
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
sys.modules[{last!r}].main(*json.loads({arguments!r}))
"""


def program(
    modules: Sequence[str], *arguments: str, package: str = "infra.database", shared: Sequence[str] = ()
) -> bytes:
    """Return a program for `python -` that calls the last module's `main`.

    Args:
        modules: names of modules in the package, each after those it imports. They need the standard library, and
            what the container has.
        arguments: of `main`.
        package: where the modules lie.
        shared: modules of other packages, by their whole names, that those import.
    """
    root = Path(__file__).parents[1]
    names = [*shared, *(f"{package}.{name}" for name in modules)]
    texts = [(name, root.joinpath(*name.split(".")).with_suffix(".py").read_text("utf-8")) for name in names]
    return LOADER.format(modules=json.dumps(texts), last=texts[-1][0], arguments=json.dumps(arguments)).encode()
