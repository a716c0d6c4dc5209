"""Requests to the SAM2 backend from inside its container: its port is not published."""

from __future__ import annotations

import json
from typing import Any

from core.errors import CommandFailed
from hosts.base import Exec, Result

ASK_BACKEND = ("python", "-m", "backend.ask")
REFUSED, NO_ANSWER = 1, 2  # its exit codes beside 0


def ask_backend(
    run: Exec, method: str, path: str, body: dict[str, object] | None = None, *, timeout: float = 30.0
) -> Result:
    """Send one request; the result's `stdout` is the response's body, and it is `ok` where the status is 2xx.

    Raises:
        CommandFailed: there is no response.
    """
    stdin = None if body is None else json.dumps(body).encode()
    result = run(*ASK_BACKEND, method, path, ok=(0, REFUSED, NO_ANSWER), timeout=timeout, stdin=stdin)
    if result.exit_code == NO_ANSWER:
        raise _no_answer(method, path, result)
    return result


def ask_backend_json(
    run: Exec, method: str, path: str, body: dict[str, object] | None = None, *, timeout: float = 30.0
) -> tuple[bool, dict[str, Any]]:
    """Send one request: whether its status is 2xx, and the object in its body.

    Raises:
        CommandFailed: there is no response, or its body is not a JSON object.
    """
    result = ask_backend(run, method, path, body, timeout=timeout)
    try:
        answer = json.loads(result.stdout)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise _no_answer(method, path, result)
    return result.ok, answer


def _no_answer(method: str, path: str, result: Result) -> CommandFailed:
    reason = (result.stderr or result.stdout).strip()[-300:]
    return CommandFailed(f"the SAM2 backend does not answer {method} {path}: {reason}; does the stack run?")
