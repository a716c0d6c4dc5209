"""`python -m backend.ask_lines PATH`: many POST requests to the backend in this container, one a line.

Each line of standard input is a body. Each line of the output is `{"status": ..., "body": ...}`, in the same order;
status 0 where there was no answer. Several are under way at once, so that an image is read while the model works.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

AT_ONCE = 3
TIMEOUT_SECONDS = 330.0


def main() -> int:
    """Ask, and print what came."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m backend.ask_lines PATH <bodies\n")
        return 2
    port, lines = int(os.environ.get("PORT") or "9090"), [line for line in sys.stdin.buffer.read().splitlines() if line]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for answer in pool.map(partial(_ask, port, sys.argv[1]), lines):
            sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
            sys.stdout.flush()
    return 0


def _ask(port: int, path: str, body: bytes) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", path, body=body, headers={"Content-Type": "application/json"})
        answer = connection.getresponse()
        return {"status": answer.status, "body": json.loads(answer.read())}
    except (OSError, ValueError, http.client.HTTPException) as error:
        return {"status": 0, "body": {"detail": f"no answer on port {port}: {error}"}}
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
