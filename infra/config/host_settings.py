"""What can be said about a host, each setting with its kind, default and reason: the one source of their documentation.

`title` is the kind in words, `description` what `./inv docs` and the tables in docs/inventory.md and the README show.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from infra.config.settings import Database, Gpu, Model, private_subnet
from infra.config.value_types import (
    Address,
    BackendSettings,
    DaemonSettings,
    Email,
    ImageName,
    IPv4,
    Jump,
    Login,
    PathHere,
    PathThere,
    Port,
    ProjectName,
    Seconds,
    UnixUser,
    WebAddress,
    Whole,
    nearest,
)


def _told(kind: str, text: str, *examples: object, **more: Any) -> Any:
    return Field(title=kind, description=text, examples=list(examples) or None, **more)


class HostSettings(BaseModel):
    """One host with everything that was said about it. `name` is what people call it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    address: Annotated[
        Address,
        _told(
            "host name or IP address",
            "Where SSH finds the host: a name of the network or of your SSH configuration, or an IP address. "
            "Without it, the host's name in the inventory is tried.",
            "gpu01.lab.example",
        ),
    ] = ""
    user: Annotated[
        Login | None,
        _told(
            "user name",
            "Who logs in: root, or a user with sudo. Without it, what your SSH configuration says, else your own name.",
            "admin",
        ),
    ] = None
    ssh_port: Annotated[
        Port | None,
        _told(
            "whole number, 1 to 65535", "Port of the SSH server. Without it, your SSH configuration's, else 22.", 2222
        ),
    ] = None
    ssh_key: Annotated[
        PathHere | None,
        _told(
            "path on this machine",
            "Private key to log in with; a relative path begins in the repository. "
            "Without it, the keys of the SSH agent and the usual files in ~/.ssh are tried.",
            "~/.ssh/lab_ed25519",
        ),
    ] = None
    jump: Annotated[
        Jump | None,
        _told(
            "user@host[:port]",
            "A machine to go through when the host cannot be reached from here. "
            "Its host key is checked like the host's own.",
            "me@gate.lab.example",
        ),
    ] = None
    known_hosts: Annotated[
        PathHere | None,
        _told(
            "path on this machine",
            "A file with the host's SSH key, read besides ~/.ssh/known_hosts: so that a lab can keep its keys in one "
            "reviewed place. A relative path begins in the repository.",
            "infra/known_hosts",
        ),
    ] = None
    connect_timeout: Annotated[
        Seconds,
        _told("seconds, 1 to 300", "How long to wait for the SSH server's answer. Raise it for a host far away."),
    ] = 10.0

    project: Annotated[
        ProjectName,
        _told(
            "name",
            "Name of the stack: its compose project, volumes, images and folder below `root`. "
            "Two stacks on one host need two names, two ports and two subnets.",
        ),
    ] = "labelrig"
    root: Annotated[
        PathThere,
        _told(
            "absolute path on the host",
            "Where releases, secrets and the lock are kept, in a folder of the project's name that only root may read.",
        ),
    ] = "/srv/labelrig"
    data: Annotated[
        PathThere | None,
        _told(
            "absolute path on the host",
            "Folder with your images on the host, mounted read-only. Without it, a dozen demo images are drawn.",
            "/NAS/home/me/RGB_T_SAR",
        ),
    ] = None
    model: Annotated[
        Model,
        _told(
            "auto, demo, tiny, small, base-plus or large",
            "Which SAM 2.1 answers. `auto` takes a real one if its weights can be had, else the demo model, which only "
            "knows drawn shapes.",
        ),
    ] = "auto"
    checkpoint_url: Annotated[
        WebAddress | None,
        _told(
            "http or https address",
            "Where the weights are downloaded from. Without it, Meta's own address; a mirror inside the lab saves the "
            "way out.",
            "http://mirror.lab.example/sam2",
        ),
    ] = None
    subnet: Annotated[
        str,
        AfterValidator(private_subnet),
        _told(
            "private IPv4 network, /16 to /28",
            "The containers' private network. Change it when it overlaps a network of your lab; preflight tells.",
        ),
    ] = "172.31.250.0/24"
    port: Annotated[
        Port,
        _told("whole number, 1 to 65535", "Port of the host where Label Studio is published, at the address `listen`."),
    ] = 8080
    listen: Annotated[
        IPv4,
        _told(
            "IPv4 address of the host",
            "Address of the host where Label Studio is published. 127.0.0.1 keeps it to the host itself, and "
            "`./inv tunnel` brings it to you; any other address is open to that network, without TLS and past ufw.",
            "10.0.0.5",
        ),
    ] = "127.0.0.1"
    username: Annotated[
        Email, _told("e-mail address", "Login of the first user of Label Studio, made on the first start.")
    ] = "admin@labelrig.local"
    database: Annotated[
        Database,
        _told(
            "postgres or sqlite",
            "Where Label Studio keeps its data. SQLite locks up when several people work at once; it is for trying.",
        ),
    ] = "postgres"
    gpu: Annotated[
        Gpu,
        _told(
            "auto, require or off",
            "What to do about an NVIDIA GPU. `auto` uses one if it is there and says so if not; `require` stops the "
            "deploy where there is none; `off` stays on the CPU.",
        ),
    ] = "auto"
    companion: Annotated[
        bool,
        _told(
            "true or false",
            "Whether labelrig's own script runs in Label Studio's pages: state and errors of SAM2 in words, keys to "
            "accept and reject, a brush that asks SAM2. With false the pages are as Label Studio makes them.",
        ),
    ] = True
    images: Annotated[
        Literal["auto", "host", "ship"],
        _told(
            "auto, host or ship",
            "Where the container images come from. `ship` sends this machine's over SSH, only the layers that the host "
            "lacks; `host` builds them there; `auto` ships when this machine has them, else builds there.",
        ),
    ] = "auto"
    label_studio_image: Annotated[
        ImageName | None,
        _told(
            "image name",
            "An image of the lab's own instead of our Label Studio. It must be in the host's or this machine's engine.",
            "lab/label-studio:1.23.2",
        ),
    ] = None
    sam2_image: Annotated[
        ImageName | None,
        _told(
            "image name",
            "An image of the lab's own instead of our SAM2 backend. It must be in the host's or this machine's engine.",
            "lab/sam2:2026-05",
        ),
    ] = None
    backend: Annotated[
        BackendSettings,
        _told(
            "mapping",
            "Settings of the SAM2 backend: caches, mask clean-up, limits, by their names in docs/backend.md. "
            "Layers are merged name by name; `null` takes one out.",
            {"MASK_KEEP": "clicked", "EMBEDDING_CACHE_DISK_MB": 200000},
        ),
    ] = {}
    keep_releases: Annotated[
        Whole,
        nearest,
        _told(
            "whole number, 2 or more",
            "How many releases stay on the host, the current one counted. A rollback can only go to one that stayed.",
            ge=2,
        ),
    ] = 5
    docker_daemon: Annotated[
        DaemonSettings,
        _told(
            "mapping",
            "What the Docker engine's /etc/docker/daemon.json must hold; its other keys stay as they are. Layers are "
            "merged key by key; `null` takes one out. The default keeps container logs from filling the disk.",
            {"live-restore": True},
        ),
    ] = {"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}}
    docker_users: Annotated[
        tuple[UnixUser, ...],
        _told(
            "list of users",
            "Users on the host who shall use Docker without sudo. Membership in the group `docker` is as good as root.",
            ["ana", "jorge"],
        ),
    ] = ()
    manage_docker: Annotated[
        bool,
        _told(
            "true or false",
            "Whether Docker may be installed and configured on the host. With false its packages, daemon.json and "
            "group are never touched, and a missing or old engine is an error.",
        ),
    ] = True
    hooks: Annotated[
        PathHere,
        _told(
            "path on this machine",
            "Folder with the programs pre-deploy, post-deploy and on-failure, each optional, run on this machine. "
            "A relative path begins in the repository.",
            validate_default=True,
        ),
    ] = Path("infra/hooks")

    @model_validator(mode="before")
    @classmethod
    def _address_of_name(cls, values: Any) -> Any:
        return {"address": values.get("name"), **values} if isinstance(values, dict) else values


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
    where = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        near = nearest(where, (*setting_fields(), *also), 1)
        return f"{where}: is not a setting; " + (f"did you mean {near[0]}?" if near else "`./inv docs` lists them all")
    if error["type"] == "value_error":
        return f"{where}: {error['ctx']['error']}"
    field = setting_fields().get(where)
    wanted = f"expected {field.title}" if field is not None else error["msg"].replace("Input should be", "must be", 1)
    return f"{where}: {wanted}"
