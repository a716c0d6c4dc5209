"""A lab's own programs before and after a deploy: ask for leave, tell the chat, open a ticket.

They run on this machine, with what happened in their environment and without our secrets.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from core.errors import CommandTimedOut, LabelrigError
from core.report import Report
from core.text import indented
from hosts.base import Host, Result
from infra.config.settings import secret_names

HookName = Literal["pre-deploy", "post-deploy", "on-failure", "on-alert"]
HOOK_TIMEOUT = 300.0
ERROR_LENGTH = 8000  # an environment variable has a limit, and a ticket a reader
ANSWERS = range(-255, 256)  # below zero: ended by a signal


class HookFailed(LabelrigError):
    """A hook that can stop a deploy did."""


@dataclass(frozen=True)
class HookValues:
    """What a hook gets to know, each as `LABELRIG_<NAME>`; empty where there is nothing to say. Never a secret."""

    host: str
    address: str
    project: str
    command: str
    commit: str = ""
    release: str = ""
    result: str = ""
    error: str = ""
    url: str = ""

    def environment(self) -> dict[str, str]:
        """The variables by name, without what an environment cannot hold."""
        values = {f"LABELRIG_{one.name.upper()}": str(getattr(self, one.name)) for one in fields(self)}
        return {name: value.replace("\0", "")[:ERROR_LENGTH] for name, value in values.items()}


def run_hook(
    name: HookName, folder: Path, values: HookValues, host: Host, report: Report, timeout: float = HOOK_TIMEOUT
) -> bool:
    """Run a hook, if there is one, as a stage of its own; False where it failed.

    Args:
        folder: where the hooks lie.
        host: this machine.
        timeout: seconds, after which it and its children are killed.

    Raises:
        HookFailed: it is `pre-deploy` and failed. The others have nothing left to stop: they leave a notice.
    """
    path = folder / name
    if not path.is_symlink() and not path.exists():
        return True
    with report.stage(f"hook {name}"):
        problem = _problem(path, values, host, report, timeout)
        if problem is None:
            report.ok(f"{path} ran", [])
            return True
        text = f"{values.host}: the hook {path} {problem}"
        if name == "pre-deploy":
            raise HookFailed(f"{text}\nNothing was deployed to this host.")
        report.skipped(str(path), "it failed")
        report.notice(text)
        return False


def _problem(path: Path, values: HookValues, host: Host, report: Report, timeout: float) -> str | None:
    """Run it and say how it went wrong, or None."""
    if not path.is_file() or not os.access(path, os.X_OK):
        return f"cannot be run: it is not an executable file; `chmod +x {path}`, or take it away"
    unset = [part for secret in secret_names() for part in ("-u", secret)]
    given = [f"{variable}={value}" for variable, value in values.environment().items()]
    began = time.monotonic()
    try:
        result = host.run(
            "env",
            *unset,
            *given,
            str(path),
            ok=ANSWERS,
            timeout=timeout,
            on_line=lambda line: report.info(f"      {line}"),
        )
    except CommandTimedOut:
        return f"did not end within {time.monotonic() - began:.0f} s and was stopped"
    return None if result.ok else _ending(result)


def _ending(result: Result) -> str:
    how = f"ended with exit code {result.exit_code}"
    if result.exit_code < 0:
        how = f"was ended by signal {-result.exit_code}"
    output = indented(result.stdout.rstrip() + "\n" + result.stderr)
    return f"{how}; its last lines:\n{output}"
