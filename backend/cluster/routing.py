"""Ray Serve's router of the ingress: to the replicas in the order that the ingress says, past those that are gone."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ray.serve._private.common import ReplicaID
from ray.serve._private.request_router.replica_wrapper import RunningReplica
from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter

from backend.cluster.messages import NAME


class OrderedRouter(ConsistentHashRouter):  # type: ignore[misc]  # Ray has no types in the backend's environment
    """The session of a request is names of replicas, divided by blanks: the first of them that is there, and so on.

    Liveness, retries and waiting for a replica are Ray Serve's. Where none of the names is there, all replicas may
    answer, by Ray Serve's own hash of the session.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._by_name: dict[str, list[ReplicaID]] = {}

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """See `RequestRouter.update_replicas`."""
        super().update_replicas(replicas)
        by_name: defaultdict[str, list[ReplicaID]] = defaultdict(list)
        for replica in replicas:
            by_name[str(replica.replica_metadata.get(NAME))].append(replica.replica_id)
        self._by_name = dict(by_name)

    def _lookup_ranked_replicas(self, routing_key: str) -> list[ReplicaID]:
        named = [found for name in routing_key.split(" ") for found in self._by_name.get(name, ())]
        alive = [found for found in named if found in self._replicas]
        ranked: list[ReplicaID] = super()._lookup_ranked_replicas(routing_key)
        return alive[: 1 + self._num_fallback_replicas] or ranked
