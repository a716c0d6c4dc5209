"""What changed between two runs of `./inv doctor`, so that people are told once and not every ten minutes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from core.text import inline, visible

State = Literal["broken", "warning", "well"]
NOT_WELL = ("broken", "warning")
WORST_FIRST: tuple[State, ...] = ("broken", "warning", "well")
DOCTOR = "doctor"  # the link of a diagnosis that ended before it came to the others


@dataclass(frozen=True)
class Trouble:
    """A link that was not well when people were last told.

    Attributes:
        result: broken or warning.
        since: when it was first seen so, ISO 8601.
    """

    result: str
    since: str


@dataclass(frozen=True)
class Message:
    """What people are told of one stack.

    Attributes:
        host: what people call it.
        state: of the whole stack now.
        title: one line.
        lines: what broke, what holds again, and the verdict.
        links: what changed, for programs.
    """

    host: str
    state: State
    title: str
    lines: tuple[str, ...]
    links: tuple[Mapping[str, str], ...]

    @property
    def text(self) -> str:
        """The whole of it."""
        return "\n".join([self.title, *self.lines])


def troubles_now(checks: list[Mapping[str, Any]], before: Mapping[str, Trouble], now: datetime) -> dict[str, Trouble]:
    """The links that are not well, by id.

    Of a link that could not be looked at this time, nothing new is known: it stays what it was. That is one which was
    skipped, and every one where there is no diagnosis but the check `DOCTOR`.

    Args:
        checks: those of a diagnosis, as in the JSON of `./inv doctor`.
        before: what was known when people were last told.
    """
    partial = any(check["id"] == DOCTOR for check in checks)
    found = {link: known for link, known in before.items() if partial and link != DOCTOR}
    for check in checks:
        link, result = str(check["id"]), str(check["result"])
        known = before.get(link)
        if result == "skipped" and known is not None:
            found[link] = known
        elif result in NOT_WELL:
            same = known is not None and known.result == result
            found[link] = known if same and known is not None else Trouble(result, now.isoformat(timespec="seconds"))
    return found


def message_of(
    host: str, diagnosis: Mapping[str, Any], before: Mapping[str, Trouble], after: Mapping[str, Trouble], now: datetime
) -> Message | None:
    """What is to be told; None where nothing changed. Words of others are made so that every channel can carry them.

    Args:
        diagnosis: as in the JSON of `./inv doctor`: `checks` and `verdict`.
        before, after: the links that were and are not well.
    """
    checks = {str(check["id"]): check for check in diagnosis["checks"]}
    new = [link for link, trouble in after.items() if before.get(link) != trouble]
    healed = [link for link in before if link not in after]
    if not new and not healed:
        return None
    state = next(one for one in WORST_FIRST if one == "well" or any(two.result == one for two in after.values()))
    lines = [_line(after[link].result, link, checks[link]) for link in new]
    lines += [
        f"holds again: {link} ({before[link].result} for {_duration(before[link].since, now)})" for link in healed
    ]
    links = [
        {"id": link, "result": after[link].result, "seen": str(checks[link]["seen"]), "fix": str(checks[link]["fix"])}
        for link in new
    ]
    links += [
        {"id": link, "result": "ok", "seen": str(checks.get(link, {}).get("seen", "")), "fix": ""} for link in healed
    ]
    words = {"broken": "broken", "warning": "works, with a warning", "well": "well again"}
    worst = next((link for link in (*new, *after) if after[link].result == state), "")
    title = f"labelrig {host}: {words[state]}{f': {worst}' if worst else ''}"
    shown = tuple({name: visible(value) for name, value in link.items()} for link in links)
    return Message(
        inline(host), state, inline(title), tuple(map(visible, (*lines, "", str(diagnosis["verdict"])))), shown
    )


def read_troubles(content: bytes | None) -> dict[str, dict[str, Trouble]]:
    """What each channel was last told, from the file that `as_file` made; nothing where that cannot be read."""
    try:
        told = json.loads(content or b"{}")
        return {
            str(channel): {str(link): Trouble(str(one["result"]), str(one["since"])) for link, one in links.items()}
            for channel, links in told.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def as_file(told: Mapping[str, Mapping[str, Trouble]]) -> bytes:
    """What each channel was told, as JSON."""
    body = {channel: {link: asdict(one) for link, one in links.items()} for channel, links in told.items()}
    return json.dumps(body, indent=2, sort_keys=True).encode() + b"\n"


def _line(result: str, link: str, check: Mapping[str, Any]) -> str:
    fix = f" — fix: {check['fix']}" if check["fix"] else ""
    return f"{result}: {link}: {check['seen']}{fix}"


def _duration(since: str, now: datetime) -> str:
    try:
        seconds = max((now - datetime.fromisoformat(since)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return "some time"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
