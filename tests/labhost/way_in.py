"""A way to a port of a lab host that is no SSH tunnel: its sshd carries few connections, and people open many."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.labhost.host import LabHost, docker

CHUNK = 65536  # bytes
CONNECT_TIMEOUT, STOP_TIMEOUT = 30.0, 30.0  # seconds
CLONE_NEWNET = 0x40000000  # of <sched.h>
OWN_NETWORK = Path("/proc/thread-self/ns/net")


@contextmanager
def in_network(namespace: Path) -> Iterator[None]:
    """Let this thread make its sockets in another network namespace; a socket stays where it was made. See setns(2)."""
    with OWN_NETWORK.open() as own, namespace.open() as other:
        _enter(other.fileno())
        try:
            yield
        finally:
            _enter(own.fileno())


@contextmanager
def way_in(host: LabHost, port: int) -> Iterator[str]:
    """The address here that leads to a port that listens at the host's 127.0.0.1, for any number of connections."""
    process = docker("inspect", "--format", "{{.State.Pid}}", host.name).stdout.strip()
    namespace = Path(f"/proc/{process}/ns/net")

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with in_network(namespace):
            there = socket.socket()
        # What goes wrong closes the connection, and that is what the one who asked sees.
        with contextlib.closing(writer), there, contextlib.suppress(OSError):
            there.setblocking(False)
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(there, ("127.0.0.1", port)), CONNECT_TIMEOUT)
            answers, asks = await asyncio.open_connection(sock=there)
            with contextlib.closing(asks):
                await asyncio.gather(_pump(reader, asks), _pump(answers, writer))

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=f"way to {host.name}")
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(STOP_TIMEOUT)

    try:
        server: asyncio.Server = run(asyncio.start_server(carry, "127.0.0.1", 0))
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            run(_stop(server))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(STOP_TIMEOUT)
        loop.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until the source ends, and let the target know that it has."""
    while data := await source.read(CHUNK):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for one in others:
        one.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "setns")
