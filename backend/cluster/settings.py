"""What the cluster is made of, from the environment of the ingress; and of a host, what it is called."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.errors import SettingsError


class ClusterSettings(BaseSettings):
    """A field's upper-case name is the variable; empty means not given."""

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True, env_ignore_empty=True, extra="ignore")

    cluster_address: Annotated[str, Field(description="of Ray's head; `auto` is the one on this machine")] = "auto"
    cluster_host: Annotated[
        str | None,
        Field(pattern="^[A-Za-z0-9._-]{1,63}$", description="of a GPU host: its name; default its host name"),
    ] = None
    cluster_replicas: Annotated[
        int | None, Field(ge=1, le=1000, description="default: one for each GPU, or one where there is none")
    ] = None
    cluster_replicas_max: Annotated[
        int | None, Field(ge=1, le=1000, description="start more, up to so many, while requests wait; default: never")
    ] = None
    cluster_replica_cpus: Annotated[
        float, Field(gt=0, le=1024, description="that Ray counts for a replica; it does not limit it")
    ] = 1.0
    cluster_replica_gpus: Annotated[
        float | None, Field(ge=0, le=1, description="of a replica; default 1 where there are GPUs, else 0")
    ] = None


def load_cluster_settings() -> ClusterSettings:
    """Read the environment.

    Raises:
        SettingsError: one line for each variable that cannot be used; values are not repeated.
    """
    try:
        return ClusterSettings()
    except ValidationError as error:
        lines = error.errors(include_input=False, include_url=False)
    raise SettingsError([f"{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in lines])
