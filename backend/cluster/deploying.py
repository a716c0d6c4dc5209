"""The replicas as a deployment of Ray Serve. Only this module, `calls` and `routing` import Ray."""

from __future__ import annotations

import os
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import AutoscalingConfig, RequestRouterConfig
from ray.serve.handle import DeploymentHandle

from backend.cluster.problems import why_of
from backend.cluster.replica import Replica
from backend.cluster.settings import ClusterSettings
from backend.errors import SettingsError

APP = "labelrig"
NAMESPACE = "labelrig"
DEPLOYMENT = "sam2"
ROUTER = "backend.cluster.routing:OrderedRouter"
FALLBACKS = 2  # replicas after a key's own that are tried where it is gone
# At a replica, and waiting for one: more than there ever are. Where Serve's limit was reached, a probe would wait for a
# place as well, and the replica seem silent. What a replica takes is said by its application, for each kind of request.
REQUESTS = 10_000
HEALTH_PERIOD_SECONDS, HEALTH_TIMEOUT_SECONDS = 5.0, 30.0
REQUESTS_BEFORE_MORE = 4  # of a replica, on the average of half a minute; auto-scaling adds replicas above it
DRAIN_SECONDS = 30.0  # for the requests of a replica that is taken out


def join(settings: ClusterSettings) -> None:
    """Join the cluster as who speaks to it.

    Raises:
        SettingsError: it is not there, or does not take our token.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=settings.cluster_address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False)
    except (RayError, ConnectionError, RuntimeError, ValueError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise SettingsError(
            [f"no Ray cluster takes us at CLUSTER_ADDRESS={settings.cluster_address}: {first}"]
        ) from None


def deploy(
    settings: ClusterSettings, model_version: str, replica: type[Replica] = Replica
) -> tuple[DeploymentHandle, int]:
    """Have the replicas started, without waiting for them; those that run already stay.

    Args:
        model_version: a replica with another model does not start.
        replica: what each of them is.

    Returns: how they are called, and how many there are to be at least.

    Raises:
        SettingsError: there are to be more than at most.
    """
    there = ray.cluster_resources().get("GPU", 0.0)
    gpus = settings.cluster_replica_gpus
    if gpus is None:
        gpus = 1.0 if there else 0.0
    count = settings.cluster_replicas or max(1, int(there / gpus) if gpus else 1)
    most = settings.cluster_replicas_max or count
    if most < count:
        raise SettingsError([f"CLUSTER_REPLICAS_MAX is {most}, and there are to be {count} replicas"])
    scaling: dict[str, Any] = {"num_replicas": count}
    if most > count:
        scaling = {
            "autoscaling_config": AutoscalingConfig(
                min_replicas=count, max_replicas=most, target_ongoing_requests=REQUESTS_BEFORE_MORE
            )
        }
    serve.start(proxy_location="Disabled")
    deployment = serve.deployment(
        replica,
        name=DEPLOYMENT,
        **scaling,
        ray_actor_options={"num_cpus": settings.cluster_replica_cpus, "num_gpus": gpus},
        logging_config={"enable_access_log": False},  # a line a click, in a file that is not read
        max_ongoing_requests=REQUESTS,
        max_queued_requests=REQUESTS,
        health_check_period_s=HEALTH_PERIOD_SECONDS,
        health_check_timeout_s=HEALTH_TIMEOUT_SECONDS,
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
        request_router_config=RequestRouterConfig(
            request_router_class=ROUTER, request_router_kwargs={"num_fallback_replicas": FALLBACKS}
        ),
    )
    # Without a version Serve makes one up, and a new ingress would have all replicas replaced.
    versioned = deployment.options(version=model_version, _internal=True)
    target = serve.RunTarget(versioned.bind(model_version), name=APP, route_prefix=None)
    (handle,) = serve.run_many([target], wait_for_applications_running=False)
    return handle, count


def startup_problem() -> str | None:
    """Why a replica does not start, as Ray Serve has it; None where it says nothing. Waits for Serve's controller."""
    application = serve.status().applications.get(APP)
    deployment = None if application is None else application.deployments.get(DEPLOYMENT)
    return None if deployment is None or not deployment.message else why_of(deployment.message)
