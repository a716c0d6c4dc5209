"""Requests to the backend from inside its container; its port is not published (`docker compose exec`).

`python -m backend.ask METHOD PATH` sends standard input as the body of a POST, PUT or PATCH and prints the body of the
response. Exit code 0 for a 2xx response, 1 for any other, 2 without a response. The container's health check is
`GET /ready`: standard library only, no proxy, `SOCKET` or else `PORT` from the environment, as the backend has them,
and the password from the file that `BACKEND_PASSWORD_FILE` names.

`python -m backend.ask --lines METHOD PATH` sends each line of standard input as one request. Each line of the output is
`{"status": ..., "body": ...}`, in the same order, with status 0 where there was no response. Several requests are under
way at once, so that an image is read while the model works.

`python -m backend.ask --replica NAME METHOD PATH` sends one request to a replica of several hosts, whatever its image
is, and prints a line as `--lines` does, with the replica that answered.

`python -m backend.ask --stream METHOD PATH` sends one request and prints its response line by line, as they come. Empty
lines are printed too: the backend sends them while it works (`backend.web.streaming`).
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

AT_ONCE = 3
TIMEOUT_SECONDS = 30.0
LINE_TIMEOUT_SECONDS = 330.0  # without a byte
PASSWORD_FILE = "BACKEND_PASSWORD_FILE"  # noqa: S105 - its name
USER = "backend.ask"  # nobody looks at it
WITH_BODY = ("POST", "PUT", "PATCH")
REPLICA_HEADER = "X-Labelrig-Replica"  # of `backend.cluster`

Connect = Callable[[float], http.client.HTTPConnection]  # called with the seconds that an answer may take


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path
        self._seconds = timeout

    def connect(self) -> None:
        """Open the connection."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._seconds)
        self.sock.connect(self._path)


def main() -> int:
    """Send one request, or one for each line of standard input."""
    parser = argparse.ArgumentParser(prog="python -m backend.ask", description="Send requests to the backend.")
    parser.add_argument("--lines", action="store_true", help="each line of standard input is the body of a request")
    parser.add_argument("--replica", metavar="NAME", help="of several hosts, the replica that is to answer")
    parser.add_argument("--stream", action="store_true", help="print the response's lines as they come")
    parser.add_argument("method")
    parser.add_argument("path")
    options = parser.parse_args()
    where, port = os.environ.get("SOCKET"), os.environ.get("PORT") or "9090"
    try:
        connect = _connector(where, int(port))
        if options.replica:
            return _at_replica(connect, options.method, options.path, options.replica)
        send = _each_line if options.lines else _stream if options.stream else _one
        return send(connect, options.method, options.path)
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stderr.write(f"no answer {f'at {where}' if where else f'on port {port}'}: {error}\n")
        return 2


def _connector(where: str | None, port: int) -> Connect:
    """What opens a connection to the backend: to its socket, where it has one."""
    if where:
        return lambda seconds: SocketConnection(where, seconds)
    return lambda seconds: http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)


def _one(connect: Connect, method: str, path: str) -> int:
    body = sys.stdin.buffer.read() if method in WITH_BODY else None
    status, answer = _request(connect, method, path, body, TIMEOUT_SECONDS)
    sys.stdout.write(answer.decode("utf-8", errors="replace"))
    return 0 if 200 <= status < 300 else 1


def _each_line(connect: Connect, method: str, path: str) -> int:
    def answer(body: bytes) -> dict[str, object]:
        try:
            status, text = _request(connect, method, path, body, LINE_TIMEOUT_SECONDS)
            return {"status": status, "body": json.loads(text)}
        except (OSError, ValueError, http.client.HTTPException) as error:
            return {"status": 0, "body": {"detail": f"no answer: {error}"}}

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for one in pool.map(answer, [line for line in sys.stdin.buffer.read().splitlines() if line]):
            sys.stdout.write(json.dumps(one, separators=(",", ":")) + "\n")
            sys.stdout.flush()
    return 0


def _at_replica(connect: Connect, method: str, path: str, replica: str) -> int:
    body = sys.stdin.buffer.read() if method in WITH_BODY else None
    connection = connect(LINE_TIMEOUT_SECONDS)
    try:
        headers = {"Content-Type": "application/json", REPLICA_HEADER: replica, **_credential()}
        connection.request(method, path, body=body, headers=headers)
        got = connection.getresponse()
        answer = {"status": got.status, "replica": got.getheader(REPLICA_HEADER), "body": json.loads(got.read())}
    finally:
        connection.close()
    sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
    return 0 if 200 <= got.status < 300 else 1


def _stream(connect: Connect, method: str, path: str) -> int:
    body = sys.stdin.buffer.read() if method in WITH_BODY else None
    connection = connect(LINE_TIMEOUT_SECONDS)
    try:
        connection.request(method, path, body=body, headers={"Content-Type": "application/json", **_credential()})
        answer = connection.getresponse()
        for line in answer:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
    except TimeoutError:
        raise TimeoutError(f"nothing came for {LINE_TIMEOUT_SECONDS:g} s") from None
    finally:
        connection.close()
    return 0 if 200 <= answer.status < 300 else 1


def _request(connect: Connect, method: str, path: str, body: bytes | None, timeout: float) -> tuple[int, bytes]:
    connection = connect(timeout)
    try:
        connection.request(method, path, body=body, headers={"Content-Type": "application/json", **_credential()})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _credential() -> dict[str, str]:
    """Nothing where the backend asks for no password, and where its file is not there yet: `/health` is open."""
    path = os.environ.get(PASSWORD_FILE)
    if not path:
        return {}
    try:
        password = Path(path).read_bytes().strip()
    except FileNotFoundError:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(USER.encode() + b":" + password).decode("ascii")}


if __name__ == "__main__":
    sys.exit(main())
