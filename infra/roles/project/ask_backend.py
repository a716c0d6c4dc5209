"""Requests to the SAM2 backend from inside its container: its port is not published."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from core.errors import CommandFailed, LabelStudioError
from hosts.base import Exec, Result
from labelstudio.asking import STOPPED

ASK_BACKEND = ("python", "-m", "backend.ask")
REFUSED, NO_ANSWER = 1, 2  # its exit codes beside 0
SECONDS_FOR_ONE = 330.0
OK, NOT_NOW = 200, (0, 503, 504)  # statuses; 0 where there was no response
Answer = dict[str, Any]  # to one of many requests: `status` and `body`


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


def ask_backend_lines(
    run: Exec, path: str, requests: Sequence[object], on_answer: Callable[[int], None] = lambda _count: None
) -> list[Answer]:
    """Send many requests, several at a time; the answers in the same order.

    Args:
        requests: bodies of a POST.
        on_answer: called with the number of answers so far.

    Raises:
        LabelStudioError: the container stopped meanwhile: not all were answered.
    """
    answered = 0

    def line(_text: str) -> None:
        nonlocal answered
        answered += 1
        on_answer(answered)

    bodies = "".join(json.dumps(one) + "\n" for one in requests).encode()
    timeout = SECONDS_FOR_ONE * len(requests)
    ask = (*ASK_BACKEND, "--lines", "POST", path)
    # A container that stops takes the program with it: then there are fewer answers.
    result = run(*ask, ok=(0, *STOPPED), timeout=timeout, stdin=bodies, on_line=line)
    answers: list[Answer] = [json.loads(text) for text in result.stdout.splitlines() if text.startswith("{")]
    if len(answers) != len(requests):
        raise LabelStudioError(
            f"the SAM2 backend answered {len(answers)} of {len(requests)} images; see its log, and run the same "
            "command again: it goes on from here"
        )
    return answers


def _no_answer(method: str, path: str, result: Result) -> CommandFailed:
    reason = (result.stderr or result.stdout).strip()[-300:]
    return CommandFailed(f"the SAM2 backend does not answer {method} {path}: {reason}; does the stack run?")
