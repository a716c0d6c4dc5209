"""Where a new password goes: onto a terminal once, or into a private file; never into a log or into JSON."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import SettingsError

MODE = 0o600


class Handover:
    """Takes new passwords, and hands them to the person who made them.

    Attributes:
        file: gets them, a line each; None shows them on the terminal.
    """

    def __init__(self, file: Path | None, *, terminal: bool) -> None:
        """
        Raises:
            SettingsError: there is no terminal and no file; nothing was changed.
        """
        if file is None and not terminal:
            raise SettingsError(
                "the new password is shown on a terminal only, and this is none (or --json); "
                "--password-file FILE writes it into a private file. Nothing was changed"
            )
        self.file = file
        self._made: dict[str, str] = {}
        self._doubtful: list[str] = []

    def open(self) -> None:
        """Make the file, private from its first byte, before anything is done that needs it.

        Raises:
            SettingsError: it is there already, or cannot be made.
        """
        if self.file is None:
            return
        try:
            os.close(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE))
        except FileExistsError:
            raise SettingsError(f"--password-file {self.file}: is there already; nothing was changed") from None
        except OSError as error:
            raise SettingsError(
                f"--password-file {self.file}: cannot be made: {error.strerror}; nothing was changed"
            ) from None

    def take(self, email: str, password: str) -> None:
        """Keep a password, before it is set: one that was set and lost helps nobody."""
        self._made[email] = password
        self._write()

    def forget(self, email: str) -> None:
        """Drop a password that was not set."""
        self._made.pop(email, None)
        self._write()

    def doubt(self, email: str) -> None:
        """Keep a password of which it cannot be known whether it was set: one too many harms less than one too few."""
        self._doubtful.append(email)

    def doubtful_lines(self) -> list[str]:
        """What is said of those passwords, for the terminal."""
        unknown = "it is not known whether it was set, as the work was cut off; sign in with it, or make another one"
        return [f"{email}: {self.shown(email)}; {unknown} (`./inv user.reset {email}`)" for email in self._doubtful]

    def close(self) -> None:
        """Remove the file where nothing came into it."""
        if self.file is not None and not self._made:
            self.file.unlink(missing_ok=True)

    def shown(self, email: str) -> str:
        """What is said of an account's password, for the terminal."""
        if self.file is not None:
            return f"password in {self.file}"
        return f"password {self._made[email]} (not kept, not shown again)"

    def _write(self) -> None:
        if self.file is None:
            return
        text = "".join(f"{email} {password}\n" for email, password in self._made.items())
        with self.file.open("r+", encoding="utf-8") as stream:
            stream.truncate()
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
