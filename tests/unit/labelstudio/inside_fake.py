"""Stands for our programs inside the label-studio container: what they would do is a function on a fake server."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from hosts.base import Result, check_exit_code
from labelstudio.inside.django_side import MARK, REFUSED

CALL = re.compile(r"^sys\.modules\['labelstudio\.inside\.(\w+)'\]\.main\(\*json\.loads\((.*)\)\)$", re.MULTILINE)


class InsideFake:
    """Runs the scripted function of the module that was sent, with what it was asked. Anything else raises."""

    def __init__(self, modules: Mapping[str, Callable[[dict[str, Any]], object]]) -> None:
        self.modules = dict(modules)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refusal: str | None = None
        self.exit_code: int | None = None

    def __call__(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = 60.0,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
    ) -> Result:
        assert stdin is not None
        found = CALL.search(stdin.decode())
        assert found is not None, "no program of ours"
        (asked,) = json.loads(ast.literal_eval(found[2]))
        self.asked.append((found[1], json.loads(asked)))
        if self.refusal is not None:
            told: object = {"problem": self.refusal}
        else:
            told = self.modules[found[1]](json.loads(asked))
        facts = told if isinstance(told, list) else [told]
        stdout = "".join(f"{MARK}{json.dumps(one)}\n" for one in facts)
        for line in stdout.splitlines():
            if on_line is not None:
                on_line(line)
        code = (REFUSED if self.refusal else 0) if self.exit_code is None else self.exit_code
        return check_exit_code("fake", Result(argv, code, stdout, ""), ok)
