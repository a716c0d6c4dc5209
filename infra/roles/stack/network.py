"""The compose network: with the subnet, and the part of it for addresses that are not fixed, which the files say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import requests
from docker.errors import DockerException

from core.errors import HostError
from core.operation import Change
from core.report import Report
from infra.roles.docker.compose import Compose

if TYPE_CHECKING:
    from docker import DockerClient

DOWN_TIMEOUT = 180.0
NETWORK = "stack"  # its name in the compose files


class NetworkPresent:
    """A network of this stack that is there has the addresses that the compose files say.

    Compose makes one that is missing, and leaves one that differs as it is (newer releases do not): it is removed with
    the containers on it, which the next operation starts again. No volume is touched.
    """

    name = "network with room for fixed addresses"

    def __init__(self, compose: Compose, project: str, engine: Callable[[], DockerClient], report: Report) -> None:
        self._compose = compose
        self._project = project
        self._engine = engine
        self._report = report

    def plan(self) -> list[Change]:
        """Nothing where there is none, or the right one."""
        present = self._present()
        if present is None or present == self._wanted():
            return []
        return [Change("make the network anew, which stops the containers for a moment", self._remove)]

    def _present(self) -> dict[str, str] | None:
        ours = [f"com.docker.compose.project={self._project}", f"com.docker.compose.network={NETWORK}"]
        try:
            found = self._engine().networks.list(filters={"label": ours})
        except (DockerException, requests.RequestException) as error:
            raise HostError(f"the docker engine stopped answering while the network was looked at: {error}") from error
        return _addresses(found[0].attrs.get("IPAM", {}).get("Config")) if found else None

    def _wanted(self) -> dict[str, str]:
        document = json.loads(self._compose.run("config", "--format", "json").stdout)
        return _addresses(document["networks"][NETWORK].get("ipam", {}).get("config"))

    def _remove(self) -> None:
        self._compose.run("down", "--remove-orphans", timeout=DOWN_TIMEOUT, on_line=self._report.progress)


def _addresses(config: list[dict[str, Any]] | None) -> dict[str, str]:
    """Subnet and range as the engine and compose both have them, but for the case of the names."""
    first = {name.lower().replace("_", ""): str(value) for name, value in (config or [{}])[0].items()}
    return {name: first[name] for name in ("subnet", "iprange") if first.get(name)}
