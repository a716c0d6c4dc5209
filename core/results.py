"""How a command went on each of its hosts, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from core.report import Report


@dataclass(frozen=True)
class HostResult:
    """How a command went on one host.

    Args:
        host: what people call it.
        report: its stages.
        error: the message it ended with, None where all went well.
        exit_code: what a run for this host alone would return.
        seconds: wall time.
    """

    host: str
    report: Report
    error: str | None
    exit_code: int
    seconds: float

    @property
    def failed(self) -> int:
        """How many stages failed; an error outside every stage counts as one."""
        stages = sum(stage.failed for stage in self.report.stages)
        return stages or int(self.error is not None or self.exit_code != 0)


def recap(results: Sequence[HostResult]) -> str:
    """The lines that end a run: one for each host, in the form that Ansible made familiar."""
    width = max((len(one.host) for one in results), default=0)
    return "\n".join(f"{one.host:<{width}}  {_counts(one)}  {one.seconds:.1f} s" for one in results)


def as_json(results: Sequence[HostResult]) -> str:
    """Everything that was recorded: one object with `ok`, `changed`, and `hosts`, each like the JSON of `./inv up`."""
    hosts = [
        {
            **json.loads(one.report.as_json()),
            "host": one.host,
            "exit_code": one.exit_code,
            "error": one.error,
            "seconds": round(one.seconds, 3),
        }
        for one in results
    ]
    body = {
        "ok": all(one.exit_code == 0 for one in results),
        "changed": sum(one.report.changed for one in results),
        "hosts": hosts,
    }
    return json.dumps(body, indent=2, ensure_ascii=False)


def _counts(result: HostResult) -> str:
    stages = result.report.stages
    counts = {
        "ok": sum(len(stage.ok) for stage in stages),
        result.report.changes_word.replace(" ", "-"): result.report.changed,
        "skipped": sum(len(stage.skipped) for stage in stages),
        "failed": result.failed,
        "unknown": sum(len(stage.unknown) for stage in stages),
    }
    return " ".join(f"{name}={count}" for name, count in counts.items())
