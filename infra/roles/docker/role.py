"""The role "docker": an engine that runs and builds, and compose."""

from __future__ import annotations

from core.operation import Operation
from core.report import Report
from hosts.base import Host
from infra.roles.docker.apt import Apt
from infra.roles.docker.packages import EnginePackages
from infra.roles.docker.service import EngineAccess, EngineRunning


def restart_engine(host: Host, report: Report) -> None:
    """Restart the engine of a host; its containers come back as their restart policies say."""
    EngineRunning(host, report).restart()


def docker_role(host: Host, report: Report, apt: Apt | None = None) -> list[Operation]:
    """Return the operations that lead to a usable Docker engine with compose, in their order.

    An engine that is there is used and never replaced: the distribution's, Docker's own packages, a rootless
    one, or the one that `DOCKER_HOST` or a docker context names. Nothing is read or changed here yet.

    Args:
        apt: where missing packages come from; by default the machine's own sources.
    """
    return [EnginePackages(host, report, apt), EngineRunning(host, report), EngineAccess(host)]
