"""Every error that labelrig expects, with the exit code it ends in.

LabelrigError              1  anything that failed while changing or reading a machine
├── SettingsError          2  the command line, .env, or a versioned file is wrong; nothing was changed
├── PreflightError         3  the machine does not meet the needs; nothing was changed
├── LockHeld               4  another run holds the host's lock; nothing was changed
├── RolledBack             5  a release failed its gate and the one before it serves again
├── Unfinished             1  a restore or an upgrade was cut off, and goes first; nothing was changed
├── HostError              1  talking to a machine went wrong
│   ├── ConnectFailed      6  no SSH connection: name, route, port, or the machine is down
│   │   ├── HostKeyRefused 6  the machine's SSH key is unknown, or not the one we know
│   │   └── LoginRefused   6  the machine does not let this user in
│   ├── ConnectionLost     6  the machine went away in the middle of the work
│   ├── SudoRefused        1  the user may not become root there
│   ├── CommandFailed      1  a command ended with an exit code that is no answer
│   ├── CommandTimedOut    1  a command did not end in its time
│   └── FileAccessError    1  a file could not be read or written
├── CannotKnow             1  what an operation must read is not there before another one was applied
├── NotConverged           1  an operation was applied and still sees something to change
├── WaitTimeout            1  something did not become ready before its deadline
├── LabelStudioError       1  Label Studio answered with an error, or not at all
└── ProofFailed            1  everything runs, but the click did not come back as a mask

An expected error is shown as one message (what, where, seen, next step) without a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence

UNREACHABLE = 6
INTERRUPTED = 130  # what a process returns that was stopped by hand, as shells say it


class LabelrigError(Exception):
    """Base of all expected errors; `exit_code` is what the process returns.

    `shown`: what there is to say was said already, and the error only carries the exit code.
    """

    exit_code = 1
    shown = False


class SettingsError(LabelrigError):
    """A setting, an argument or a versioned file cannot be used. Nothing was changed."""

    exit_code = 2


class PreflightError(LabelrigError):
    """The machine does not meet the needs. Lists all problems at once. Nothing was changed."""

    exit_code = 3

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(self.problems, 1))
        super().__init__(f"preflight found {len(self.problems)} {noun}; nothing was changed:\n{lines}")


class LockHeld(LabelrigError):
    """Another run holds the lock of the host. Nothing was changed."""

    exit_code = 4


class Unfinished(LabelrigError):
    """A restore or an upgrade was cut off: only the command that ends it starts the stack. Nothing was changed."""


class RolledBack(LabelrigError):
    """A release failed its gate; the release before it serves again."""

    exit_code = 5


class HostError(LabelrigError):
    """Talking to a machine went wrong."""


class ConnectFailed(HostError):
    """No SSH connection could be made."""

    exit_code = UNREACHABLE


class HostKeyRefused(ConnectFailed):
    """The machine's SSH key is unknown, or not the one that was recorded. Nothing was sent to it."""


class LoginRefused(ConnectFailed):
    """The machine was reached and does not let this user in."""


class ConnectionLost(HostError):
    """The machine went away in the middle of the work."""

    exit_code = UNREACHABLE


class SudoRefused(HostError):
    """The user may not become root on the machine."""


class CommandFailed(HostError):
    """A command ended with an exit code that is no answer."""


class CommandTimedOut(HostError):
    """A command did not end in its time and was stopped."""


class FileAccessError(HostError):
    """A file could not be read or written."""


class CannotKnow(LabelrigError):
    """What an operation must read is not there before another one was applied; a plan says *unknown*."""


class NotConverged(LabelrigError):
    """An operation was applied and its own check still sees something to change."""


class WaitTimeout(LabelrigError):
    """Something did not become ready before its deadline."""


class LabelStudioError(LabelrigError):
    """Label Studio answered with an error, or not at all."""


class ProofFailed(LabelrigError):
    """Everything runs, but the proof click did not come back as the mask of the clicked object."""
