"""Programs of ours in this container, each in a process split off from a Label Studio that is loaded already.

To load Label Studio takes 2.5 s of a processor, which each program that labelrig runs in the container had to spend.
`serve` is split off before Label Studio serves, and waits at a socket that only the container's own user may open. As a
command (`python labelrig_programs.py`, its program on standard input) this file hands its three streams over there and
ends with the program's exit code; where none answers, it becomes a Python that runs the program, as `python -` does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import Any

SOCKET = "/dev/shm/labelrig-programs"  # noqa: S108 - of this container alone, and gone with it
BACKLOG = 64
STREAMS = (0, 1, 2)
KILLED = 137  # as of a program whose container was stopped
SIGNALLED = 128
MODE = 0o600


def split_off(path: str = SOCKET) -> None:
    """Begin to serve, in a process of its own that ends with the container."""
    if os.fork() == 0:
        try:
            serve(path)
        except Exception as error:  # noqa: BLE001 - Label Studio serves all the same, and programs load it themselves
            sys.stderr.write(f"labelrig: programs load Label Studio anew: {error!r}\n")
        finally:
            os._exit(1)


def serve(path: str) -> None:
    """Run each program that comes, until the process is ended; any number of them at once."""
    import gc
    from multiprocessing import connection, get_context

    gc.freeze()  # else each program's collector would touch, and so copy, all of Label Studio
    fork = get_context("fork")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listener:
        mask = os.umask(0o777 & ~MODE)
        listener.bind(path)
        os.umask(mask)
        listener.listen(BACKLOG)
        running: dict[Any, tuple[Any, socket.socket]] = {}
        while True:
            ready = connection.wait([listener, *running])
            for ended in [one for one in running if one in ready]:
                process, asking = running.pop(ended)
                process.join()
                _answer(asking, process.exitcode)
                process.close()
            if listener in ready:
                asking, _ = listener.accept()
                streams = _streams(asking)
                if len(streams) == len(STREAMS):
                    process = fork.Process(target=_run, args=(streams, listener))
                    process.start()
                    running[process.sentinel] = (process, asking)
                for stream in streams:
                    os.close(stream)


def _streams(asking: socket.socket) -> list[int]:
    asking.settimeout(10)
    try:
        _, streams, _, _ = socket.recv_fds(asking, 1, len(STREAMS))
    except OSError:  # who asked is gone
        return []
    return list(streams)


def _answer(asking: socket.socket, code: int | None) -> None:
    """Args: code: of a process as `multiprocessing` knows it, a signal as a negative number."""
    with asking, contextlib.suppress(OSError):  # who asked may wait no longer
        asking.sendall(b"%d" % (KILLED if code is None else code if code >= 0 else SIGNALLED - code))


def _run(streams: list[int], listener: socket.socket) -> None:
    """Be the program on the first of these streams."""
    listener.close()
    for number, stream in zip(STREAMS, streams, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lasts
    sys.argv = ["-"]
    program = sys.stdin.buffer.read()
    exec(compile(program, "<stdin>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})  # noqa: S102 - labelrig sent it


def main() -> int:
    """Hand the streams over; returns the exit code."""
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(SOCKET)
            socket.send_fds(asking, [b"."], STREAMS)
        except OSError:
            os.execv(sys.executable, [sys.executable, "-"])  # noqa: S606 - no shell is wanted
        code = asking.recv(16)
    return int(code) if code else KILLED


if __name__ == "__main__":
    sys.exit(main())
