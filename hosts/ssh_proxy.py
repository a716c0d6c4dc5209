"""`ProxyCommand`: a program of this machine whose standard streams lead to an SSH server.

paramiko's own waits until a whole buffer is full, leaves the program behind, and has no way to say why it ended.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import threading
from typing import Any

END_SECONDS = 5.0


class ProxySocket:
    """The program as a socket: what paramiko asks of one."""

    def __init__(self, command: str) -> None:
        """Start it.

        Args:
            command: a line for `sh`, with its values in place.
        """
        self.last_words = ""  # once closed: what it wrote last to its standard error, and how it ended where it did
        self._closing = threading.Lock()
        self._near, far = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the socket
        with far:
            # A group of its own: Ctrl-C is for us, who still need the way to clean up there.
            self._program = subprocess.Popen(
                ("/bin/sh", "-c", f"exec {command}"),
                stdin=far.fileno(),
                stdout=far.fileno(),
                stderr=self._errors,
                start_new_session=True,
            )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._near, name)

    def close(self) -> None:
        """Close the socket and end the program. More than once does no harm."""
        with self._closing:  # paramiko's thread closes it too
            if self._errors.closed:
                return
            self.last_words = self._last_words()
            self._errors.close()
            self._near.close()
            if self._program.poll() is None:
                self._program.terminate()
                try:
                    self._program.wait(END_SECONDS)
                except subprocess.TimeoutExpired:
                    self._program.kill()
                    self._program.wait(END_SECONDS)

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._program.wait(0.2)
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        code = self._program.poll()
        ended = f"it ended with exit code {code}" if code is not None else "it still runs"
        return f"{ended}; {lines[-1].strip()}" if lines else ended
