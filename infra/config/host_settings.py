"""What can be set for a host: the settings of its stack, and how to get there and deploy.

See `infra.config.stack_settings` for what the parts of a field are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import JsonValue, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from infra.config import stack_settings
from infra.config.serving import Serving
from infra.config.stack_settings import DatabaseSetting, StackSettings, about, one_of
from infra.config.value_types import (
    Address,
    DaemonSettings,
    FolderThere,
    ImageName,
    Jump,
    Login,
    PathHere,
    PathThere,
    Port,
    Seconds,
    UnixUser,
    Whole,
    without_login,
)

DOCKER_DAEMON: Mapping[str, JsonValue] = {"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}}
Images = Literal["auto", "host", "ship"]


class HostSettings(StackSettings):
    """One host with everything that was set for it. `name` is what people call it."""

    name: str
    data: Annotated[
        FolderThere | None,
        about(
            "absolute path on the host",
            "Folder with your images on the host, mounted read-only. Without it, a dozen demo images are drawn.",
            "/NAS/home/me/RGB_T_SAR",
        ),
    ] = None
    database: DatabaseSetting = "postgres"  # several people work on a host
    tls_certificate: Annotated[
        FolderThere | None,
        about(
            "absolute path on the host",
            "Certificate for `tls: files`, in PEM, with the certificates between it and the root.",
            "/etc/ssl/lab/label.crt",
        ),
    ] = None
    tls_key: Annotated[
        FolderThere | None,
        about(
            "absolute path on the host",
            "Private key of `tls_certificate`, in PEM, without a passphrase. Root's alone is fine.",
            "/etc/ssl/private/label.key",
        ),
    ] = None
    backup_password_file: Annotated[
        FolderThere | None,
        about(
            "absolute path on the host",
            "File on the host with the password of the backups. Without it one is made and kept in the host's "
            "secrets.env (LABELRIG_BACKUP_PASSWORD); without that password no backup can be read, so keep it "
            "elsewhere too.",
            "/etc/labelrig/backup-password",
        ),
    ] = None
    backup_environment_file: Annotated[
        FolderThere | None,
        about(
            "absolute path on the host",
            "File on the host with lines NAME=VALUE that restic gets as its environment: AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY for s3, RESTIC_REPOSITORY for an address with a login.",
            "/etc/labelrig/backup.env",
        ),
    ] = None
    address: Annotated[
        Address,
        about(
            "host name or IP address",
            "Where SSH finds the host: a name of the network or of your SSH configuration, or an IP address. "
            "Without it, the host's name in the inventory is tried.",
            "gpu01.lab.example",
        ),
    ] = ""
    user: Annotated[
        Login | None,
        about(
            "user name",
            "Who logs in: root, or a user with sudo. Without it, what your SSH configuration says, else your own name.",
            "admin",
        ),
    ] = None
    ssh_port: Annotated[
        Port | None,
        about(
            "whole number, 1 to 65535", "Port of the SSH server. Without it, your SSH configuration's, else 22.", 2222
        ),
    ] = None
    ssh_key: Annotated[
        PathHere | None,
        about(
            "path on this machine",
            "Private key to log in with; a relative path begins in the repository. "
            "Without it, the keys of the SSH agent and the usual files in ~/.ssh are tried.",
            "~/.ssh/lab_ed25519",
        ),
    ] = None
    jump: Annotated[
        Jump | None,
        about(
            "user@host[:port]",
            "A machine to go through when the host cannot be reached from here. "
            "Its host key is checked like the host's own.",
            "me@gate.lab.example",
        ),
    ] = None
    known_hosts: Annotated[
        PathHere | None,
        about(
            "path on this machine",
            "A file with the host's SSH key, read besides those of your SSH configuration (~/.ssh/known_hosts): so "
            "that a lab can keep its keys in one reviewed place. A relative path begins in the repository.",
            "infra/known_hosts",
        ),
    ] = None
    connect_timeout: Annotated[
        Seconds,
        about("seconds, 1 to 300", "How long to wait for the SSH server's answer. Raise it for a host far away."),
    ] = 10.0

    root: Annotated[
        PathThere,
        about(
            "absolute path on the host",
            "Where releases, secrets and the lock are kept, in a folder of the project's name that only root may read.",
        ),
    ] = "/srv/labelrig"
    images: Annotated[
        Images,
        about(
            one_of(Images),
            "Where the container images come from. `ship` sends this machine's over SSH, only the layers that the host "
            "lacks; `host` builds them there; `auto` decides for each image that the host lacks: it is sent when this "
            "machine has it, else built there.",
        ),
    ] = "auto"
    label_studio_image: Annotated[
        ImageName | None,
        about(
            "image name",
            "An image of the lab's own instead of our Label Studio. It must be in the host's or this machine's engine.",
            "lab/label-studio:1.23.2",
        ),
    ] = None
    sam2_image: Annotated[
        ImageName | None,
        about(
            "image name",
            "An image of the lab's own instead of our SAM2 backend. It must be in the host's or this machine's engine.",
            "lab/sam2:2026-05",
        ),
    ] = None
    keep_releases: Annotated[
        Whole,
        about(
            "whole number, 2 or more",
            "How many releases stay on the host, the current one counted. A rollback can only go to one that stayed.",
            ge=2,
        ),
    ] = 5
    docker_daemon: Annotated[
        DaemonSettings,
        about(
            "mapping",
            "What the Docker engine's /etc/docker/daemon.json must hold; its other keys stay as they are. Layers are "
            "merged key by key; `null` takes one out. The default keeps container logs from filling the disk.",
            {"live-restore": True},
        ),
    ] = DOCKER_DAEMON
    docker_users: Annotated[
        tuple[UnixUser, ...],
        about(
            "list of users",
            "Users on the host who may use Docker without sudo. Membership in the group `docker` is as good as root.",
            ["ana", "jorge"],
        ),
    ] = ()
    manage_docker: Annotated[
        bool,
        about(
            "true or false",
            "Whether Docker may be installed and configured on the host. With false its packages, daemon.json and "
            "group are never touched, and a missing or old engine is an error.",
        ),
    ] = True
    hooks: Annotated[
        PathHere,
        about(
            "path on this machine",
            "Folder with the programs pre-deploy, post-deploy and on-failure, each optional, run on this machine. "
            "A relative path begins in the repository.",
            validate_default=True,
        ),
    ] = Path("infra/hooks")

    _serving: Serving | None = PrivateAttr(None)

    @property
    def serving(self) -> Serving | None:
        """The group in which the host serves with others; None: it serves by itself."""
        return self._serving

    @property
    def is_worker(self) -> bool:
        """Whether the host only answers clicks: Label Studio is on another host of its group."""
        return self._serving is not None and self._serving.head != self.name

    def with_serving(self, serving: Serving | None) -> HostSettings:
        """The same host in a group that serves. A worker keeps nothing that is worth a backup."""
        if serving is None:
            return self
        update = {} if serving.head == self.name else {"backup_repository": None, "tls": "off", "public_url": None}
        host = self.model_copy(update=update)
        host._serving = serving
        return host

    @model_validator(mode="before")
    @classmethod
    def _address_of_name(cls, values: Any) -> Any:
        return {"address": values.get("name"), **values} if isinstance(values, dict) else values

    @field_validator("checkpoint_url")
    @classmethod
    def _without_login(cls, url: str | None) -> str | None:
        return url if url is None else without_login(url)


def setting_fields() -> dict[str, FieldInfo]:
    """The settings of a host by name, in the order of the documentation."""
    return {name: field for name, field in HostSettings.model_fields.items() if name != "name"}


def problems_in(layer: Mapping[str, object], path: str, also: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with some settings, each as a sentence that begins with `path` and the key; no values.

    Args:
        layer: settings by name.
        path: where they stand.
        also: keys that the place may hold besides settings, to be named where one was misspelt.
    """
    found = [f"{path}.name: is not a setting; a host's name is its key"] if "name" in layer else []
    try:
        HostSettings.model_validate({**layer, "name": "any"})
    except ValidationError as error:
        found += [f"{path}.{in_words(one, also)}" for one in error.errors(include_input=False, include_url=False)]
    return found


def in_words(error: ErrorDetails, also: tuple[str, ...] = ()) -> str:
    """One problem as `key.of.key: what is wrong`."""
    return stack_settings.in_words(error, setting_fields(), also)
