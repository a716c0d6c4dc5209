"""`python -m backend.ask METHOD PATH`: one request to the backend in this container, its body from standard input.

The port is not published, so whoever runs the server asks from inside (`docker compose exec`). The answer's body goes
to stdout; exit code 0 for a 2xx answer, 1 for any other, 2 when there was none.
"""

from __future__ import annotations

import http.client
import os
import sys

TIMEOUT_SECONDS = 30.0


def main() -> int:
    """Ask, and print what came."""
    if len(sys.argv) != 3:
        sys.stderr.write("usage: python -m backend.ask METHOD PATH <body\n")
        return 2
    _, method, path = sys.argv
    port = os.environ.get("PORT") or "9090"
    body = sys.stdin.buffer.read() if method in ("POST", "PUT", "PATCH") else None
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT_SECONDS)
        connection.request(method, path, body=body, headers={"Content-Type": "application/json"})
        answer = connection.getresponse()
        sys.stdout.write(answer.read().decode("utf-8", errors="replace"))
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stderr.write(f"no answer on port {port}: {error}\n")
        return 2
    return 0 if 200 <= answer.status < 300 else 1


if __name__ == "__main__":
    sys.exit(main())
