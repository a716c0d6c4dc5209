"""Our own programs inside the label-studio container: for what its API does slowly, badly, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from core.errors import LabelStudioError
from hosts.base import Exec
from labelstudio.inside.django_side import MARK, REFUSED
from labelstudio.program import program
from labelstudio.session import LOADED_PYTHON

PACKAGE = "labelstudio.inside"
TIMEOUT = 3600.0
STOPPED = (137, 143)  # the signals with which an engine ends a container

Facts = dict[str, Any]


class RefusedInside(LabelStudioError):
    """Our program refused what it was asked, and took back what it had done."""


def ask_inside(
    run: Exec,
    module: str,
    asked: Facts,
    on_facts: Callable[[Facts], None] | None = None,
    *,
    doing: str | None = None,
    shared: Sequence[str] = (),
) -> list[Facts]:
    """Run a module of `inside` in the container.

    Args:
        run: runs a command in the label-studio container.
        module: its name.
        asked: what its `main` gets; travels on standard input and shows in no process list.
        on_facts: called with each thing it tells, when it does.
        doing: what is done, for the message of a refusal: "make an account".
        shared: modules of ours that it imports beside those of `inside`, by their whole names.

    Returns:
        Everything that it told.

    Raises:
        RefusedInside: it refused, with the reason.
        LabelStudioError: the container was stopped meanwhile.
        HostError: it could not be run, or failed.
    """

    def line(text: str) -> None:
        if on_facts is not None:
            for facts in _told([text]):
                on_facts(facts)

    source = program(("django_side", "accounts", module), json.dumps(asked), package=PACKAGE, shared=shared)
    result = run(*LOADED_PYTHON, ok=(0, REFUSED, *STOPPED), timeout=TIMEOUT, stdin=source, on_line=line)
    told = list(_told(result.stdout.splitlines()))
    if result.exit_code in STOPPED:
        raise LabelStudioError(
            f"the label-studio container stopped in the middle of the work (exit code {result.exit_code}); what was "
            "done stays: see its log, start it again, and run the same command to go on"
        )
    if result.exit_code == REFUSED:
        why = told[-1]["problem"] if told else "(no reason)"
        raise RefusedInside(f"Label Studio cannot {doing or f'{module} this'}: {why}")
    return told


def _told(lines: Iterable[str]) -> Iterable[Facts]:
    for text in lines:
        if text.startswith(MARK):
            yield json.loads(text.removeprefix(MARK))
