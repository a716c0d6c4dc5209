"""`python -m backend.cluster.door`: hands each connection to the ingress, over a socket in a folder that both have.

The ingress is on the network of its host, as Ray wants it, and Label Studio on one of containers alone. With this door
between them no port of the host is open for clicks. What passes is not looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

CHUNK = 1 << 16


class DoorSettings(BaseSettings):
    """A field's upper-case name is the variable."""

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True, env_ignore_empty=True, extra="ignore")

    port: Annotated[int, Field(ge=0, le=65535, description="TCP port; 0 takes a free one")] = 9090
    cluster_socket: Annotated[Path, Field(description="the ingress's socket; it may come later, and be made anew")]


async def serve(settings: DoorSettings) -> asyncio.Server:
    """Listen on all addresses of the container, until the server is closed."""

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            try:
                inner_reader, inner_writer = await asyncio.open_unix_connection(str(settings.cluster_socket))
            except OSError as error:  # the sender sees a connection that ends, as without a backend
                sys.stderr.write(f"the ingress does not answer: {error.strerror}\n")
                return
            with contextlib.closing(inner_writer):
                inwards = asyncio.create_task(_pass(reader, inner_writer))
                # When the ingress has answered and ends the connection, what the client still sends counts no more.
                await _pass(inner_reader, writer)
                inwards.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await inwards

    return await asyncio.start_server(enter, "0.0.0.0", settings.port)  # noqa: S104 - a container's only way


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on what comes, as fast as it is taken, and that nothing more comes."""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(CHUNK):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _main(settings: DoorSettings) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    server = await serve(settings)
    await ended.wait()
    server.close()


def main() -> int:
    """Run until a signal comes; returns the exit code."""
    try:
        settings = DoorSettings()  # type: ignore[call-arg]  # from the environment
    except ValidationError as error:
        lines = error.errors(include_input=False, include_url=False)
        sys.stderr.write("".join(f"{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}\n" for one in lines))
        return 2
    asyncio.run(_main(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
