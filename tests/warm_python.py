"""`./inv` many times: each run is a process of its own, forked from an interpreter that has imported the libraries.

They take 0.3 s of the 0.8 s that a command takes, and Label Studio's SDK another 1.1 s; the tests run `./inv` some two
hundred times. Everything of ours is imported by each run from its own clone, and its arguments,
environment, folder, streams and exit code are those of a program. How long `./inv` itself takes to start, and what it
imports, is looked at by tests that start it as people do (tests/unit/commands).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired

# Packages only: what is imported here is shared by all clones.
LIBRARIES = (
    *("docker", "httpx", "invoke", "packaging.requirements", "pydantic", "requests", "yaml"),
    *("paramiko", "fabric", "cryptography.x509", "label_studio_sdk", "numpy", "cv2", "PIL.Image"),
)
START_TIMEOUT = 60
PIECE = 1 << 16


def run_inv(
    repository: Path, *arguments: str, environment: Mapping[str, str], folder: Path | None = None, timeout: float
) -> CompletedProcess[str]:
    """Run `./inv ARGUMENTS` of a clone, whatever comes of it.

    Args:
        repository: the clone.
        environment: the whole of it.
        folder: where it is called; by default as the tests.
        timeout: in seconds; then it is killed.

    Raises:
        TimeoutExpired: it took longer.
    """
    argv = (str(repository / "tasks.py"), "--search-root", str(repository), *arguments)
    asked = {"argv": argv, "environment": dict(environment), "folder": str(folder or Path.cwd())}
    with socket.socket(socket.AF_UNIX) as connection, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        connection.connect(_address())
        with open(os.devnull, "rb") as nothing:
            socket.send_fds(connection, [b"."], [nothing.fileno(), out.fileno(), err.fileno()])
        connection.sendall(json.dumps(asked).encode() + b"\n")
        with connection.makefile("r", encoding="ascii") as answers:
            pid = int(answers.readline())
            connection.settimeout(timeout)
            try:
                code = int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise TimeoutExpired(argv, timeout) from None
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8"))
    return CompletedProcess(argv, code, *texts)


@functools.cache
def _address() -> str:
    """Start the interpreter; the socket where it listens. It ends with the tests, also when they are killed."""
    folder = tempfile.TemporaryDirectory(prefix="labelrig-inv-")  # its path is short: a socket's may have 108 bytes
    address = f"{folder.name}/socket"
    process = subprocess.Popen(
        (sys.executable, "-I", __file__, address), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
    )

    def end() -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        process.wait(START_TIMEOUT)
        folder.cleanup()

    atexit.register(end)
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        raise AssertionError("the interpreter with the libraries did not start")
    return address


def serve(address: str) -> None:
    """Fork a process for each request until standard input ends; returns in each of them, ready to run its program."""
    import gc
    import warnings
    from importlib import import_module

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in LIBRARIES:
            import_module(name)
    gc.collect()
    gc.freeze()  # else each run's collector would touch, and so copy, all of it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # tests that are interrupted remove what they started with `./inv`
    lifeline = os.dup(0)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        os.write(1, b"ready\n")
        while True:
            ready, _, _ = select.select([listener.fileno(), lifeline], [], [])
            if lifeline in ready:
                sys.exit()
            connection, _ = listener.accept()
            if os.fork() == 0:
                break
            connection.close()
    os.close(lifeline)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    pieces: list[bytes] = []
    while not pieces or not pieces[-1].endswith(b"\n"):
        pieces.append(connection.recv(PIECE))
    asked = json.loads(b"".join(pieces))
    pid = os.fork()
    if pid:
        with contextlib.closing(connection), contextlib.suppress(BrokenPipeError):  # who asked waits no longer
            connection.sendall(b"%d\n" % pid)
            _, status = os.waitpid(pid, 0)
            connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    connection.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = asked["argv"]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))


if __name__ == "__main__":
    serve(sys.argv[1])
    import runpy

    runpy.run_path(sys.argv[0], run_name="__main__")
