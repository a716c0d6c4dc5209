"""What is wrong with the replicas, in sentences for `/health`, `/status` and the log."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from backend import __version__
from backend.cluster.messages import Report
from backend.cluster.placing import host_of

TRACEBACK = "Traceback (most recent call last)"
COLOR = re.compile(r"\x1b\[[0-9;]*m")
CLOCK_SECONDS = 20.0  # a report may have waited for one that comes 10 s later


def problems_of(reports: Sequence[Report], now: float) -> list[str]:
    """What the reports show.

    Args:
        now: the ingress's wall clock when they came, seconds.
    """
    found = [f"{one.replica}: {one.reason}" for one in reports if one.reason is not None]
    named = Counter(one.replica for one in reports)
    found += [
        f"{count} replicas are called {name}: give their hosts different names (CLUSTER_HOST)"
        for name, count in named.items()
        if count > 1
    ]
    versions = {host_of(one.replica): one.version for one in reports if one.version not in ("", __version__)}
    found += [f"{host} runs labelrig {version}, the ingress {__version__}" for host, version in versions.items()]
    clocks = {host_of(one.replica): one.clock - now for one in reports if one.clock}
    found += [
        f"the clock of {host} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the ingress's"
        for host, ahead in clocks.items()
        if abs(ahead) > CLOCK_SECONDS
    ]
    return found


def why_of(message: str) -> str:
    """What Ray Serve says of replicas that are missing, as one sentence: of a traceback its error alone."""
    lines = [line.strip() for line in COLOR.sub("", message).splitlines() if line.strip()]
    if TRACEBACK not in message:
        return " ".join(lines)
    name, colon, text = lines[-1].partition(": ")
    return text if colon and name.startswith("backend.errors.") else lines[-1]
