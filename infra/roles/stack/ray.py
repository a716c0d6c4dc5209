"""What Ray's container gets on a host that serves together with others; see compose/ray.yaml and cluster.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from infra.config.serving import Serving
from infra.config.settings import UID, Settings
from infra.roles.images.tags import CLUSTER, HAPROXY
from infra.roles.stack.addresses import address_of
from infra.roles.stack.render import IMAGE_VARIABLES, STAND_IN, cluster_secrets
from infra.roles.stack.sizes import MachineSize, container_limits, ray_values

Part = Literal["alone", "head", "worker"]
REPLICAS = "LABELRIG_RAY_REPLICAS"  # of this host


@dataclass(frozen=True)
class Place:
    """How a host takes part in a group that serves.

    Attributes:
        host: its name in the inventory.
        serving: the group.
        replicas: member -> how many replicas of the model it holds; those of one host are its first so many GPUs.
        gpus: a replica has a GPU of its own; else all of them compute on the processors.
    """

    host: str
    serving: Serving
    replicas: Mapping[str, int]
    gpus: bool

    @property
    def own(self) -> int:
        """The replicas of this host."""
        return self.replicas[self.host]

    @property
    def all_replicas(self) -> int:
        """The replicas of all hosts."""
        return sum(self.replicas.values())


def by_container(images: Mapping[str, str]) -> dict[str, str]:
    """Tags by the service that runs them, where Ray's image has the place of the backend's."""
    return {"sam2" if service == CLUSTER else service: tag for service, tag in images.items()}


def head_values(
    settings: Settings, place: Place, images: Mapping[str, str], machine: MachineSize
) -> dict[str, str]:  # fmt: skip
    """What compose asks for on the head beside the values of a stack that serves by itself.

    Args:
        images: service -> tag.
    """
    return {
        **_node_values(settings, place, machine, alone=False),
        IMAGE_VARIABLES[HAPROXY]: images[HAPROXY],
        "LABELRIG_STAND_IN_ADDRESS": address_of(settings.subnet, STAND_IN),
        "LABELRIG_CLUSTER_REPLICAS": str(place.all_replicas),
        "LABELRIG_CLUSTER_REPLICA_GPUS": "1" if place.gpus else "0",
        "LABELRIG_LABEL_STUDIO_URL": settings.url,
    }


def worker_values(
    settings: Settings, place: Place, images: Mapping[str, str], model: str, machine: MachineSize
) -> dict[str, str]:
    """What compose asks for on a worker.

    Args:
        images: service -> tag.
        model: what SAM2_MODEL gets.

    Raises:
        ValueError: the containers' user was not chosen yet.
    """
    if settings.uid is None:
        raise ValueError("the containers' user must be chosen before the stack is rendered")
    return {
        "COMPOSE_PROJECT_NAME": settings.project,
        UID: str(settings.uid),
        IMAGE_VARIABLES["sam2"]: by_container(images)["sam2"],
        "LABELRIG_SAM2_MODEL": model,
        "LABELRIG_LOG_FILE_MB": str(settings.log_file_mb),
        **_node_values(settings, place, machine, alone=True),
    }


def _node_values(settings: Settings, place: Place, machine: MachineSize, *, alone: bool) -> dict[str, str]:
    serving = place.serving
    limits = container_limits(machine, settings.memory_gb)
    secrets = cluster_secrets(settings)
    if not secrets:
        raise ValueError("the token must be made before the stack is rendered")
    return {
        "LABELRIG_HOST_NAME": place.host,
        "LABELRIG_RAY_ADDRESS": serving.addresses[place.host],
        "LABELRIG_RAY_HEAD": serving.head_address,
        "LABELRIG_RAY_PORT": str(serving.port),
        "LABELRIG_RAY_WORKER_PORTS": "-".join(map(str, serving.worker_ports)),
        REPLICAS: str(place.own),
        "LABELRIG_RAY_GPUS": str(place.own if place.gpus else 0),
        **ray_values(machine, limits, settings.memory_gb, place.own, alone=alone),
        **secrets,
    }
