"""Write into the standard input of a command while it runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import IO, Any

from core.errors import HostError
from hosts.base import Host, Result


def run_fed(host: Host, *argv: str, write: Callable[[IO[bytes]], None], **arguments: Any) -> Result:
    """Run a command whose standard input is written by a function; see `Host.run` for the other arguments.

    Args:
        write: writes to the file it gets. A command that ends before it has read everything is no error of `write`'s.

    Raises:
        HostError: see `Host.run`.
        Exception: what `write` raised; the command, which got half of its input, may have failed because of it.
    """
    reader, writer = os.pipe()
    failed: list[Exception] = []

    def fill() -> None:
        try:
            with os.fdopen(writer, "wb") as pipe:
                write(pipe)
        except BrokenPipeError:
            pass  # the other side ended; how, its exit code says
        except Exception as error:  # noqa: BLE001 - raised again below, in the caller's thread
            failed.append(error)

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    ended: HostError | None = None
    try:
        with os.fdopen(reader, "rb") as pipe:
            result = host.run(*argv, stdin=pipe, **arguments)
    except HostError as error:
        ended = error
    finally:
        thread.join()
    if failed:
        raise failed[0] from ended
    if ended is not None:
        raise ended
    return result
