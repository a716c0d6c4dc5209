"""Every error that labelrig expects, with the exit code it ends in.

LabelrigError              1  anything that failed while changing or reading a machine
├── SettingsError          2  the command line, .env, or a versioned file is wrong; nothing was changed
├── PreflightError         3  the machine does not meet the needs; nothing was changed
├── HostError              1  talking to a machine went wrong
│   ├── CommandFailed      1  a command ended with an exit code that is no answer
│   ├── CommandTimedOut    1  a command did not end in its time
│   └── FileAccessError    1  a file could not be read or written
├── NotConverged           1  an operation was applied and still sees something to change
├── WaitTimeout            1  something did not become ready before its deadline
├── LabelStudioError       1  Label Studio answered with an error, or not at all
└── ProofFailed            1  everything runs, but the click did not come back as a mask

An expected error is shown as one message (what, where, seen, next step) without a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class LabelrigError(Exception):
    """Base of all expected errors; `exit_code` is what the process returns."""

    exit_code = 1


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


class HostError(LabelrigError):
    """Talking to a machine went wrong."""


class CommandFailed(HostError):
    """A command ended with an exit code that is no answer."""


class CommandTimedOut(HostError):
    """A command did not end in its time and was stopped."""


class FileAccessError(HostError):
    """A file could not be read or written."""


class NotConverged(LabelrigError):
    """An operation was applied and its own check still sees something to change."""


class WaitTimeout(LabelrigError):
    """Something did not become ready before its deadline."""


class LabelStudioError(LabelrigError):
    """Label Studio answered with an error, or not at all."""


class ProofFailed(LabelrigError):
    """Everything runs, but the proof click did not come back as the mask of the clicked object."""
