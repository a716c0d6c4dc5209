"""A command of this machine that has this process's own terminal and streams."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from core.errors import CommandFailed, CommandTimedOut


def run_attached(argv: Sequence[str], timeout: float | None) -> int:
    """Run a command with our standard streams and return its exit code, that of a shell where a signal ended it.

    Args:
        timeout: seconds, after which it is ended; None for a person at a terminal, who ends it.

    Raises:
        CommandFailed: the program is not there.
        CommandTimedOut: it did not end in time.
    """
    try:
        code = subprocess.run(tuple(argv), check=False, timeout=timeout).returncode
    except OSError as error:
        raise CommandFailed(f"this machine: {argv[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise CommandTimedOut(f"this machine: the command did not end in {timeout:g} s and was stopped") from None
    return code if code >= 0 else 128 - code
