"""`python -m backend.healthcheck`: exit code 0 when the backend on this machine answers clicks.

For the container's health check: standard library only, no proxy, `PORT` from the environment.
"""

from __future__ import annotations

import http.client
import os
import sys

TIMEOUT_SECONDS = 3.0


def main() -> int:
    """Ask `/ready` and say on stderr why not."""
    port = os.environ.get("PORT") or "9090"
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT_SECONDS)
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        body = answer.read(2000).decode("utf-8", errors="replace")
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stderr.write(f"no answer on port {port}: {error}\n")
        return 1
    sys.stderr.write(f"{answer.status} {body}\n")
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
