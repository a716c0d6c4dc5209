"""The door: what a client and the ingress send each other passes, and both see when the other ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

from backend.cluster.door import DoorSettings, serve

SECONDS = 20


async def exchange(folder: Path, answer: bytes, sent: bytes) -> tuple[bytes, bytes]:
    """What the ingress got, and what the client got back, where the ingress answers when all has come."""
    got = bytearray()

    async def ingress(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1000):
            got.extend(piece)
        writer.write(answer)
        await writer.drain()
        writer.close()

    inner = await asyncio.start_unix_server(ingress, str(folder / "ingress.sock"))
    door = await serve(DoorSettings(port=0, cluster_socket=folder / "ingress.sock"))
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.sockets[0].getsockname()[1])
        writer.write(sent)
        writer.write_eof()
        back = await reader.read(-1)
        writer.close()
        return bytes(got), back
    finally:
        door.close()
        inner.close()


def test_passes_both_ways_to_the_byte(tmp_path: Path) -> None:
    """Many times what a socket holds, so that both ways are slower than who writes."""
    sent, answer = bytes(range(256)) * 20_000, bytes(reversed(range(256))) * 20_000
    got, back = asyncio.run(asyncio.wait_for(exchange(tmp_path, answer, sent), SECONDS))
    assert (got, back) == (sent, answer)


def test_ends_a_connection_without_an_ingress(tmp_path: Path) -> None:
    async def ask() -> bytes:
        door = await serve(DoorSettings(port=0, cluster_socket=tmp_path / "none.sock"))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.sockets[0].getsockname()[1])
            writer.close()
            return await reader.read(-1)
        finally:
            door.close()

    assert asyncio.run(asyncio.wait_for(ask(), SECONDS)) == b""


def test_ingress_sees_a_client_that_goes(tmp_path: Path) -> None:
    """As it would without the door: work for a page that was closed ends."""

    async def leave() -> bytes:
        ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def ingress(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(3)
            ended.set_result(await reader.read(-1))
            writer.close()

        inner = await asyncio.start_unix_server(ingress, str(tmp_path / "ingress.sock"))
        door = await serve(DoorSettings(port=0, cluster_socket=tmp_path / "ingress.sock"))
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", door.sockets[0].getsockname()[1])
            writer.write(b"ask")
            await writer.drain()
            writer.close()
            return await ended
        finally:
            door.close()
            inner.close()

    assert asyncio.run(asyncio.wait_for(leave(), SECONDS)) == b""
