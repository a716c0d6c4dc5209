"""The settings of a stack, wherever it runs, each with its kind, default and reason: the one source of their documents.

`Settings` (`.env`, this machine) and `HostSettings` (inventory) derive from `StackSettings`. In each field `title` is
the kind in words, `description` one or more sentences of which the first can stand alone, and `env` the name in `.env`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from core.text import bulleted
from infra.config.value_types import (
    BackendSettings,
    BackupKeep,
    BackupRepository,
    BackupSchedule,
    Email,
    FileHere,
    FolderHere,
    IPv4,
    Port,
    ProjectName,
    SiteAddress,
    Subnet,
    WebAddress,
    Whole,
    nearest,
)

Model = Literal["auto", "demo", "tiny", "small", "base-plus", "large"]
Database = Literal["sqlite", "postgres"]
Gpu = Literal["auto", "require", "off"]
Tls = Literal["off", "internal", "files", "acme", "proxy"]
Updates = Literal["auto", "keep"]


def about(kind: str, text: str, *examples: object, env: str | None = None, **more: Any) -> Any:
    """A pydantic field with everything that documents say about it."""
    extra: JsonDict = {} if env is None else {"env": env}
    return Field(title=kind, description=text, examples=list(examples) or None, json_schema_extra=extra or None, **more)


def one_of(values: Any) -> str:
    """The values of a `Literal` in words: `auto, require or off`."""
    *others, last = get_args(values)
    return f"{', '.join(others)} or {last}"


def env_name(field: FieldInfo) -> str | None:
    """What a setting is called in `.env`; None where it has no line of its own."""
    extra = field.json_schema_extra
    return str(extra["env"]) if isinstance(extra, dict) else None


DatabaseSetting = Annotated[
    Database,
    about(
        one_of(Database),
        "Where Label Studio keeps its data: a file, or a PostgreSQL server in a container. SQLite locks up when "
        "several people work at once; it is for trying. Once there is data, another value is refused: "
        "`./inv database.move` moves the work.",
        env="LABELRIG_DATABASE",
    ),
]


class StackSettings(BaseModel):
    """What can be chosen about a stack. Values are never shown in errors: some of the derived ones are secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    data: Annotated[
        FolderHere | None,
        about(
            "absolute path of a folder",
            "Folder with your images, mounted read-only in the containers that read it. Without it, a dozen demo "
            "images are drawn; `./inv up --data FOLDER` writes this line.",
            "/NAS/home/me/RGB_T_SAR",
            env="LABELRIG_DATA",
        ),
    ] = None
    model: Annotated[
        Model,
        about(
            one_of(Model),
            "Which SAM 2.1 answers. `auto` takes a real one if its weights can be had, else the demo model, which only "
            "knows drawn shapes.",
            env="LABELRIG_MODEL",
        ),
    ] = "auto"
    checkpoint_url: Annotated[
        WebAddress | None,
        about(
            "http or https address",
            "Where the weights are downloaded from. Without it, Meta's own address; a mirror inside the lab saves the "
            "way out.",
            "http://mirror.lab.example/sam2",
            env="LABELRIG_CHECKPOINT_URL",
        ),
    ] = None
    database: DatabaseSetting = "sqlite"
    gpu: Annotated[
        Gpu,
        about(
            one_of(Gpu),
            "What to do about an NVIDIA GPU. `auto` uses one if it is there and says so if not, `require` fails "
            "without one, `off` stays on the CPU.",
            env="LABELRIG_GPU",
        ),
    ] = "auto"
    companion: Annotated[
        bool,
        about(
            "true or false",
            "Whether labelrig's own script runs in Label Studio's pages: state and errors of SAM2 in words, keys to "
            "accept and reject, a brush that asks SAM2. Without it the pages are as Label Studio makes them.",
            env="LABELRIG_COMPANION",
        ),
    ] = True
    memory_gb: Annotated[
        Whole | None,
        about(
            "whole number, 4 to 4096",
            "Memory that the containers of the stack may take together, in GiB. Without it, what the machine has less "
            "an eighth. The backend gets most of it; a container that wants more than its share is started again.",
            env="LABELRIG_MEMORY_GB",
            ge=4,
            le=4096,
        ),
    ] = None
    image_updates: Annotated[
        Updates,
        about(
            one_of(Updates),
            "Whether images are built again when Debian has published fixes of their packages. `keep` uses those that "
            "are there, and `./inv doctor` names what they lack.",
            env="LABELRIG_IMAGE_UPDATES",
        ),
    ] = "auto"
    log_file_mb: Annotated[
        Whole,
        about(
            "whole number, 1 to 10000",
            "How large a file of a container's log gets, in MB. Each container keeps three; `./inv logs` shows them.",
            env="LABELRIG_LOG_FILE_MB",
            ge=1,
            le=10000,
        ),
    ] = 10
    project: Annotated[
        ProjectName,
        about(
            "name",
            "Name of the stack: its compose project, volumes, images and folder of state. Two stacks on one machine "
            "need two names, two ports and two subnets.",
            env="LABELRIG_PROJECT",
        ),
    ] = "labelrig"
    subnet: Annotated[
        Subnet,
        about(
            "private IPv4 network, /16 to /28",
            "The containers' private network. Change it when it overlaps a network of your lab; preflight tells.",
            env="LABELRIG_SUBNET",
        ),
    ] = "172.31.250.0/24"
    listen: Annotated[
        IPv4,
        about(
            "IPv4 address of the machine",
            "Address of the machine where Label Studio is published. 127.0.0.1 keeps it to the machine itself, and "
            "`./inv tunnel` brings a server's to you; any other address is open to that network, past firewalls such "
            "as ufw, and without TLS unless `tls` says otherwise.",
            env="LABELRIG_LISTEN",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        Port,
        about(
            "whole number, 1 to 65535",
            "Port where Label Studio is published, at the address `listen`.",
            env="LABEL_STUDIO_PORT",
        ),
    ] = 8080
    public_url: Annotated[
        SiteAddress | None,
        about(
            "http or https address",
            "The address at which people open Label Studio, where that is not `listen` and `port`. With it only this "
            "name is answered. An https address needs `tls`.",
            "https://label.lab.example",
            env="LABELRIG_PUBLIC_URL",
        ),
    ] = None
    tls: Annotated[
        Tls,
        about(
            one_of(Tls),
            "Where the certificate of `public_url` comes from. `internal`: a CA of this stack's own, whose root your "
            "browsers must trust; `files`: `tls_certificate` and `tls_key`; `acme`: Let's Encrypt, which must reach "
            "port 443; `proxy`: another reverse proxy has it. docs/tls.md tells of each.",
            "internal",
            env="LABELRIG_TLS",
        ),
    ] = "off"
    tls_certificate: Annotated[
        FileHere | None,
        about(
            "absolute path of a file",
            "Certificate for `tls: files`, in PEM, with the certificates between it and the root.",
            "/etc/ssl/lab/label.crt",
            env="LABELRIG_TLS_CERTIFICATE",
        ),
    ] = None
    tls_key: Annotated[
        FileHere | None,
        about(
            "absolute path of a file",
            "Private key of `tls_certificate`, in PEM, without a passphrase. Root's alone is fine.",
            "/etc/ssl/private/label.key",
            env="LABELRIG_TLS_KEY",
        ),
    ] = None
    backup_repository: Annotated[
        BackupRepository | None,
        about(
            "folder, or sftp:, s3: or rest: address",
            "Where `./inv backup` keeps encrypted backups, as restic names it. Without it there are none. "
            "docs/backup.md tells of each kind; a folder should lie on another disk than the stack.",
            "/NAS/backup/labelrig",
            "sftp:backup@nas.lab.example:/backup/labelrig",
            env="LABELRIG_BACKUP_REPOSITORY",
        ),
    ] = None
    backup_password_file: Annotated[
        FileHere | None,
        about(
            "absolute path of a file",
            "File with the password of the backups. Without it one is made and kept with the other secrets "
            "(LABELRIG_BACKUP_PASSWORD); without that password no backup can be read, so keep it elsewhere too.",
            "/etc/labelrig/backup-password",
            env="LABELRIG_BACKUP_PASSWORD_FILE",
        ),
    ] = None
    backup_environment_file: Annotated[
        FileHere | None,
        about(
            "absolute path of a file",
            "File with lines NAME=VALUE that restic gets as its environment: AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY for s3, RESTIC_REPOSITORY for an address with a login.",
            "/etc/labelrig/backup.env",
            env="LABELRIG_BACKUP_ENVIRONMENT_FILE",
        ),
    ] = None
    backup_schedule: Annotated[
        BackupSchedule,
        about(
            "off, or a time as systemd's OnCalendar has it",
            "When a backup is made by itself, on a server with systemd. docs/backup.md has the line for cron.",
            "Mon..Sat 02:30",
            env="LABELRIG_BACKUP_SCHEDULE",
        ),
    ] = "02:30"
    backup_keep: Annotated[
        BackupKeep,
        about(
            "counts such as 7d 5w 12m",
            "How many daily, weekly and monthly backups stay.",
            "14d 8w 24m",
            env="LABELRIG_BACKUP_KEEP",
        ),
    ] = "7d 5w 12m"
    username: Annotated[
        Email,
        about(
            "e-mail address",
            "Login of the first user of Label Studio, made on the first start.",
            env="LABEL_STUDIO_USERNAME",
        ),
    ] = "admin@labelrig.local"
    backend: Annotated[
        BackendSettings,
        about(
            "mapping",
            "Settings of the SAM2 backend: caches, mask clean-up, limits, by their names in docs/backend.md. "
            "Layers are merged name by name; `null` takes one out.",
            {"MASK_KEEP": "clicked", "EMBEDDING_CACHE_DISK_MB": 200000},
        ),
    ] = {}


def in_words(error: ErrorDetails, fields: Mapping[str, FieldInfo], also: Iterable[str] = ()) -> str:
    """One problem as `key.of.key: what is wrong`, without the value.

    Args:
        fields: the settings by the name that the problem has.
        also: further names that the place may hold, to be suggested where one was misspelt.
    """
    where = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        return unknown(where, (*fields, *also))
    if error["type"] == "value_error":
        return f"{where}: {error['ctx']['error']}"
    field = fields.get(where)
    wanted = f"expected {field.title}" if field is not None else error["msg"].replace("Input should be", "must be", 1)
    return f"{where}: {wanted}"


def unknown(name: str, known: Iterable[str], number: int = 1) -> str:
    """The sentence for a name that is not a setting, with what was probably meant."""
    near = nearest(name.rpartition(".")[2], known, number)
    hint = f"did you mean {' or '.join(near)}?" if near else "`./inv docs` lists them all"
    return f"{name}: is not a setting; {hint}"


def listed(problems: Sequence[str], origin: str = "") -> str:
    """All problems in one text. `origin` is the file that they are in."""
    start = f"{origin}: " if origin else ""
    if len(problems) == 1:
        return f"{start}{problems[0]}"
    return f"{start}{len(problems)} settings cannot be used:\n{bulleted(problems)}"
