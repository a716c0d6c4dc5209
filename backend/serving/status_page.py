"""`GET /status`: one page for people about the model, its queue and caches, and the last clicks and errors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from backend.queue.scheduling import QueueState
from backend.serving.metrics import CacheUse
from backend.serving.recent import Percentiles, RecentClick, RecentError
from backend.serving.watch import Health

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
TEMPLATES = Path(__file__).resolve().parent / "templates"
UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class StatusSnapshot:
    """All that the page shows, at one moment.

    Attributes:
        at: the moment, UTC.
        version: of this program.
        model: its name: `tiny`, `demo`.
        model_version: as Label Studio stores it with a mask.
        is_demo: the model knows drawn scenes only; the page says so loudly.
        health: how the backend is.
        reason: why, unless it is ready.
        uptime_seconds: since the process began.
        queue: what waits and what runs.
        active_clicks: clicks that are being answered or wait.
        device: where the model runs; None before it is loaded.
        engine: what computes; None before it is loaded.
        engine_reason: why this engine was chosen, a sentence.
        memory_bytes: of the process, in memory now; None when the system does not say.
        device_memory_bytes: of the model's device; None when it has no memory of its own.
        caches: by name.
        percentiles: of the stages of the last clicks.
        clicks: the last ones, the newest first.
        errors: the last ones, the newest first.
        refresh_seconds: how often a browser loads the page again; 0 never.
    """

    at: datetime
    version: str
    model: str
    model_version: str
    is_demo: bool
    health: Health
    reason: str | None
    uptime_seconds: float
    queue: QueueState
    active_clicks: int
    device: str | None = None
    engine: str | None = None
    engine_reason: str | None = None
    memory_bytes: int | None = None
    device_memory_bytes: int | None = None
    caches: Mapping[str, CacheUse] | None = None
    percentiles: Sequence[Percentiles] = ()
    clicks: Sequence[RecentClick] = ()
    errors: Sequence[RecentError] = ()
    refresh_seconds: int = 5


def render_status(snapshot: StatusSnapshot) -> str:
    """The page as HTML; every value in it is escaped. Send it with `HEADERS`."""
    return _template().render(page=snapshot)


def resident_bytes(statm: Path = Path("/proc/self/statm")) -> int | None:
    """The process's memory now, in bytes; None where the system does not say."""
    try:
        return int(statm.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def size_text(size: float) -> str:
    """Bytes for people: `512 bytes`, `1.5 GB`; 1 kB is 1000 bytes."""
    for unit in UNITS[:-1]:
        if size < (1000 if unit == "bytes" else 999.95):
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {UNITS[-1]}"


def duration_text(seconds: float) -> str:
    """Seconds for people, two units at most: `0.4 s`, `3 min 20 s`, `2 d 5 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, smaller, smaller_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // smaller} {smaller_name}"
    return f"{whole} s"


def milliseconds_text(value: float) -> str:
    """Milliseconds for people: `0.4`, `17`, `2 950`."""
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}".replace(",", "\N{NO-BREAK SPACE}")


def _percent_text(share: float) -> str:
    return f"{100 * share:.0f} %"


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(size=size_text, duration=duration_text, ms=milliseconds_text, percent=_percent_text)
    return environment.get_template("status.html")
