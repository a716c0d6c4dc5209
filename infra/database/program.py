"""Python of ours that runs in a container of Label Studio, where nothing of ours is installed: sent as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

# Each module gets its own name, so that it imports those before it as it does here.
LOADER = """
import json, sys, types
for name, text in json.loads({modules!r}):
    for parent in ("infra", "infra.database"):
        sys.modules.setdefault(parent, types.ModuleType(parent)).__path__ = []
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
sys.modules[{last!r}].main(*json.loads({arguments!r}))
"""


def program(modules: Sequence[str], *arguments: str) -> bytes:
    """Return a program for `python -` that calls the last module's `main`.

    Args:
        modules: names of modules in this package, each after those it imports. They need the standard library, and
            what the container has.
        arguments: of `main`.
    """
    texts = [(f"infra.database.{name}", Path(__file__).with_name(f"{name}.py").read_text("utf-8")) for name in modules]
    return LOADER.format(modules=json.dumps(texts), last=texts[-1][0], arguments=json.dumps(arguments)).encode()
