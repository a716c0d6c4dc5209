"""Requests to the SAM2 backend from inside its container: its port is not published."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

from core.errors import CommandFailed, LabelrigError, LabelStudioError
from core.text import TAIL_LINES
from hosts.base import Exec, Result
from labelstudio.asking import STOPPED

ASK_BACKEND = ("python", "-m", "backend.ask")
REFUSED, NO_ANSWER = 1, 2  # its exit codes beside 0
SECONDS_FOR_ONE = 330.0
STREAM_SECONDS = 7 * 24 * 3600.0
JOIN_SECONDS = 10.0
LAST = frozenset({"done", "error", "detail"})  # of a line after which nothing runs there
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


def model_version(run: Exec) -> str:
    """What the backend calls its model: the version under which Label Studio shows its predictions.

    Raises:
        LabelStudioError: it does not say.
    """
    _, answer = ask_backend_json(run, "GET", "/versions")
    try:
        return str(answer["versions"][0])
    except (KeyError, IndexError, TypeError):
        raise LabelStudioError(f"the version of the SAM2 backend is unknown; it answered {answer}") from None


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


@contextmanager
def backend_stream(run: Exec, path: str, body: dict[str, object], cancel: str) -> Iterator[Iterator[Answer]]:
    """Send one request whose response is lines of JSON, and read them as they come.

    Args:
        body: of a POST.
        cancel: path of a DELETE that ends the work, sent where the context is left before the last line came: one with
            `done`, `error` or, of a refusal, `detail`. After it the DELETE would end what has taken the work's place.

    Returns:
        A context that yields the lines.

    Raises:
        LabelStudioError: the backend refuses, nothing more comes of it, or it stopped in the middle; while the lines
            are read.
    """
    arriving: SimpleQueue[str | Result | BaseException] = SimpleQueue()

    def ask() -> None:
        try:
            ask_stream = (*ASK_BACKEND, "--stream", "POST", path)
            stdin, ok = json.dumps(body).encode(), (0, REFUSED, NO_ANSWER, *STOPPED)
            call = partial(run, *ask_stream, ok=ok, timeout=STREAM_SECONDS, stdin=stdin)
            arriving.put(call(on_line=arriving.put, tail=TAIL_LINES))  # all masks of a long run are gigabytes
        except BaseException as error:  # noqa: BLE001 - it is raised again where the lines are read
            arriving.put(error)

    ended = False

    def lines() -> Iterator[Answer]:
        nonlocal ended
        refusal = ""
        while isinstance(one := arriving.get(), str):
            line = _object_in(one)
            if line is None:
                continue
            ended = ended or not LAST.isdisjoint(line)
            if "detail" in line:
                refusal = str(line["detail"])
            else:
                yield line
        ended = True
        if isinstance(one, BaseException):
            raise one
        if refusal:
            raise LabelStudioError(f"the SAM2 backend refuses: {refusal}")
        if not one.ok:
            what = "stopped in the middle of" if one.exit_code != NO_ANSWER else "does not go on with"
            why = "" if one.exit_code != NO_ANSWER else f": {_reason(one)}"
            raise LabelStudioError(
                f"the SAM2 backend {what} POST {path}{why}; see its log, and run the same command again: it goes on "
                "from here"
            )

    asking = threading.Thread(target=ask, name="backend stream", daemon=True)
    asking.start()
    try:
        yield lines()
    finally:
        if not ended:
            with suppress(LabelrigError):
                ask_backend(run, "DELETE", cancel)
        asking.join(JOIN_SECONDS)


def _object_in(text: str) -> Answer | None:
    """A line as an object; None of what a program says on its other stream."""
    try:
        line = json.loads(text) if text.startswith("{") else None
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _no_answer(method: str, path: str, result: Result) -> CommandFailed:
    return CommandFailed(f"the SAM2 backend does not answer {method} {path}: {_reason(result)}; does the stack run?")


def _reason(result: Result) -> str:
    return (result.stderr or result.stdout).strip()[-300:]
