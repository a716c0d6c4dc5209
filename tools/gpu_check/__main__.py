"""`python -m tools.gpu_check`: run it, print the table, keep it as Markdown and JSON. Exit code 1: a part did not pass.

This module and what it imports need the standard library alone: what the parts need may lie in a folder of wheels.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.gpu_check.plan import parse
from tools.gpu_check.report import as_json, exit_code, markdown
from tools.gpu_check.run import REPOSITORY, command_of, run_parts

INSTALL_SECONDS = 120.0
PIP = ("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    began = time.monotonic()
    plan = parse(arguments, REPOSITORY / ".labelrig" / "gpu")
    plan.out.mkdir(parents=True, exist_ok=True)

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        sys.stderr.write(f"{minutes}:{seconds:02d} {text}\n")
        sys.stderr.flush()

    with tempfile.TemporaryDirectory(prefix="labelrig-gpu-") as name:
        paths = [str(REPOSITORY)]
        if plan.wheels is not None:
            say(f"installing the wheels of {plan.wheels}")
            if not _install(sorted(plan.wheels.glob("*.whl")), Path(name)):
                return 1
            paths.insert(0, name)  # before the machine's own packages: these versions were tested
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
        outcomes = run_parts(plan, environment, command_of(plan), say, began)
    seconds = time.monotonic() - began
    text = markdown(plan, outcomes, seconds)
    (plan.out / "gpu.json").write_text(as_json(plan, outcomes, seconds), encoding="utf-8")
    (plan.out / "gpu.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return exit_code(outcomes)


def _install(wheels: Sequence[Path], folder: Path) -> bool:
    """Unpack wheels into a folder, without a network; says why where it cannot."""
    command = (sys.executable, *PIP, "--target", str(folder), *map(str, wheels))
    try:
        subprocess.run(command, check=True, timeout=INSTALL_SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(
            f"error: the {len(wheels)} wheels could not be installed ({error}); gather them for this Python\n"
        )
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
