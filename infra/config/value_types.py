"""The kinds of values that settings hold, each with the words for what is wrong with it.

Pure. Validators raise ValueError with a sentence that goes on after the setting's path ("must be ...").
"""

from __future__ import annotations

import difflib
import ipaddress
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from core.repository import REPOSITORY
from infra.config.backend import BACKEND_SETTINGS, backend_problems

TARGET = re.compile(r"(?:(?P<user>.+)@)?(?:\[(?P<bracketed>[^][@]+)\]|(?P<plain>[^][@:]+))(?::(?P<port>[0-9]{1,5}))?")
MACHINE_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
LOGIN = re.compile(r"[^\s:/@-](?:[^\s:/]*[^\s:/@])?")
# Control characters, line breaks, and halves of characters: what an environment holds that is not UTF-8.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
SFTP_LOGIN = r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?[A-Za-z0-9][A-Za-z0-9._-]*"
SFTP = re.compile(rf"sftp:(?:{SFTP_LOGIN}:|//{SFTP_LOGIN}:[0-9]{{1,5}}//)[A-Za-z0-9/._~+-]+")
KEEP = re.compile(r"([0-9]{1,3})d ([0-9]{1,3})w ([0-9]{1,3})m")
TEXT_ONLY_OPTIONS = "log-opts"  # the engine takes no numbers here


@dataclass(frozen=True)
class Target:
    """Where an SSH connection goes, as a person writes it: `user@address:port`."""

    address: str
    user: str | None = None
    port: int | None = None


def parse_target(text: str) -> Target:
    """Read `[user@]name[:port]`; an IPv6 address stands in brackets.

    Raises:
        ValueError: it is something else.
    """
    match = TARGET.fullmatch(text)
    if match is None:
        raise ValueError("must be [user@]name[:port], with an IPv6 address in brackets")
    user, port = match["user"], match["port"]
    if match["bracketed"] is not None and ":" not in match["bracketed"]:
        raise ValueError("has brackets around something that is not an IPv6 address")
    return Target(
        machine_address(match["bracketed"] or match["plain"]),
        None if user is None else login_name(user),
        None if port is None else _port(int(port)),
    )


def nearest(key: str, known: Iterable[str], number: int, *, alike: float = 0.6) -> list[str]:
    """The known names that `key` probably means: one with swapped letters, else similar ones.

    Args:
        alike: how similar at least, in ``[0, 1]``.
    """
    by_plain = {_plain(name): name for name in known}
    near = difflib.get_close_matches(_plain(key), by_plain, n=len(by_plain) or 1, cutoff=alike)
    swapped = [name for name in near if sorted(name) == sorted(_plain(key))]
    return [by_plain[name] for name in (swapped or near)[:number]]


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def machine_address(text: str) -> str:
    """Return a host name or an IP address (of either kind, without brackets) as it was given."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if not MACHINE_NAME.fullmatch(text):
            raise ValueError("must be a host name or an IP address, without user and port") from None
    return text


def login_name(text: str) -> str:
    """Return a user name as it was given. Directory names (`LAB\\ana`, `ana@lab`) are fine."""
    if not LOGIN.fullmatch(text):
        raise ValueError("must be a user name, without spaces, `:` or `/`")
    return text


def _port(number: int) -> int:
    if not 1 <= number <= 65535:
        raise ValueError("must have a port from 1 to 65535")
    return number


def _jump(text: str) -> str:
    parse_target(text)
    return text


def _no_boolean(value: object) -> object:
    # YAML's `true` is Python's 1, and pydantic would take it for a number.
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def _like(pattern: str, words: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"must be {words}")
        return text

    return check


def _path_there(text: str) -> str:
    """A path on the host: nothing here can expand `~` or a relative one for another machine."""
    if not text.startswith("/") or ".." in text.split("/") or not text.isprintable():
        raise ValueError("must be an absolute path on the host, without `..`")
    path = "/" + posixpath.normpath(text).lstrip("/")
    if path == "/":
        raise ValueError("must be a folder below `/`")
    return path


def _folder_there(value: object) -> Path:
    return Path(_path_there(str(value) if isinstance(value, str | Path) else ""))


def fits_env_file(text: str) -> bool:
    """Whether compose reads a value in single quotes as it was written: there is no escape that every version knows."""
    return not CONTROL.search(text) and "'" not in text and not text.endswith("\\")


def _folder_here(value: object) -> Path:
    """A folder on this machine, as the containers will have it mounted: absolute, whatever it was started from."""
    return _absolute_here(value, "folder")


def _file_here(value: object) -> Path:
    return _absolute_here(value, "file")


def _absolute_here(value: object, kind: str) -> Path:
    text = str(value) if isinstance(value, str | Path) else ""
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise ValueError("begins with the home folder of a user that is not there") from None
    if CONTROL.search(text) or not path.is_absolute():
        raise ValueError(f"must be the absolute path of a {kind}")
    return path


def _path_here(value: object) -> Path:
    """A path on this machine: `~` is expanded, a relative one begins in the repository, wherever we were started."""
    if not isinstance(value, str | Path) or not str(value).isprintable() or not str(value):
        raise ValueError("must be a path on this machine")
    try:
        return REPOSITORY / Path(value).expanduser()
    except RuntimeError:
        raise ValueError("begins with the home folder of a user that is not there") from None


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:  # whose text may hold a login
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isprintable() or " " in text:
        raise ValueError("must begin with http:// or https:// and name a host")
    return text


def _site_address(text: str) -> str:
    """Scheme, host and port, in the form that browsers name a page's origin in."""
    parts = urlsplit(_web_address(text))
    try:
        host, port = machine_address(parts.hostname or ""), parts.port
    except ValueError:
        raise ValueError("must name a host, and a port from 1 to 65535") from None
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc or port == 0:
        raise ValueError("must be scheme, host and port only, as in https://label.lab.example: no path, no login")
    shown = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{shown}" if port in (None, usual) else f"{parts.scheme}://{shown}:{port}"


def without_login(url: str) -> str:
    """Return a web address as it was given, unless it holds a login."""
    if "@" in urlsplit(url).netloc:
        raise ValueError("holds a login, which belongs in the host's secrets.env (LABELRIG_CHECKPOINT_URL)")
    return url


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError("must be an IPv4 address of the machine, or 0.0.0.0 for all of them") from None


def private_subnet(text: str) -> str:
    """Return a network of a size for containers in its usual form."""
    network = ipaddress.ip_network(text)  # its ValueError says what is wrong
    if network.version != 4 or not network.is_private or not 16 <= network.prefixlen <= 28:
        raise ValueError("must be a private IPv4 network between /16 and /28")
    return str(network)


def backup_repository(text: str) -> str:
    """A place for backups as restic names it: a folder, or another machine by SFTP, S3 or restic's own REST server."""
    kind, colon, rest = text.partition(":")
    if CONTROL.search(text) or not fits_env_file(text) or " " in text:
        raise ValueError("may hold no space, quote or control character")
    if text.startswith("/") and ".." not in text.split("/") and text.strip("/"):
        return posixpath.normpath(text)
    if colon and kind == "sftp" and SFTP.fullmatch(text):
        return text
    if colon and kind == "s3" and "/" in rest.strip("/"):
        return text
    if colon and kind == "rest" and rest.startswith(("http://", "https://")):
        if "@" in urlsplit(rest).netloc:
            raise ValueError("holds a login, which belongs in `backup_environment_file` (RESTIC_REPOSITORY=rest:...)")
        return text
    raise ValueError(
        "must be an absolute path, sftp:USER@HOST:/PATH (with another port sftp://USER@HOST:PORT//PATH), "
        "s3:https://HOST/BUCKET, or rest:https://HOST:PORT/NAME"
    )


def backup_keep(text: str) -> str:
    """How many backups stay, as `7d 5w 12m`: that many daily, weekly and monthly ones."""
    counts = KEEP.fullmatch(text)
    if counts is None or not any(map(int, counts.groups())):
        raise ValueError("must be like `7d 5w 12m`: daily, weekly and monthly backups that stay, one of them at least")
    return text


def _backend_name(name: str) -> str:
    if name not in BACKEND_SETTINGS:
        near = nearest(name, BACKEND_SETTINGS, 1)
        hint = f"did you mean {near[0]}?" if near else "docs/backend.md lists them"
        raise ValueError(f"is not a setting of the backend; {hint}")
    return name


def _backend_values(values: Mapping[str, str]) -> Mapping[str, str]:
    if problems := backend_problems(values):
        raise ValueError("; ".join(f"{name} must be {kind}" for name, kind in problems.items()))
    return values


def _as_text(value: object) -> str:
    """A plain value as a container's environment and the engine's log options take it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError("must be text, a number, true or false")


def _without_nulls(values: object) -> object:
    """`null` in a mapping takes out what a weaker layer has."""
    if not isinstance(values, Mapping):
        return values
    return {name: _without_nulls(value) for name, value in values.items() if value is not None}


def _daemon(values: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    options = values.get(TEXT_ONLY_OPTIONS)
    if not isinstance(options, dict):
        return values
    return {**values, TEXT_ONLY_OPTIONS: {name: _as_text(value) for name, value in options.items()}}


Whole = Annotated[int, BeforeValidator(_no_boolean)]
Port = Annotated[Whole, Field(ge=1, le=65535)]
Seconds = Annotated[float, BeforeValidator(_no_boolean), Field(ge=1, le=300)]
Address = Annotated[str, AfterValidator(machine_address)]
Login = Annotated[str, AfterValidator(login_name)]
Jump = Annotated[str, AfterValidator(_jump)]
PathThere = Annotated[str, AfterValidator(_path_there)]
FolderHere = Annotated[Path, BeforeValidator(_folder_here)]
FileHere = Annotated[Path, BeforeValidator(_file_here)]
FolderThere = Annotated[Path, BeforeValidator(_folder_there)]
PathHere = Annotated[Path, BeforeValidator(_path_here)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
SiteAddress = Annotated[str, AfterValidator(_site_address)]
IPv4 = Annotated[str, AfterValidator(_ipv4)]
Subnet = Annotated[str, AfterValidator(private_subnet)]
BackupRepository = Annotated[str, AfterValidator(backup_repository)]
BackupKeep = Annotated[str, AfterValidator(backup_keep)]
NO_SCHEDULE = "off"  # of backups
# What systemd's OnCalendar= takes is systemd's to say (preflight asks it): here only what may stand in a unit file.
BackupSchedule = Annotated[
    str,
    AfterValidator(_like(r"[A-Za-z0-9*][A-Za-z0-9*:.,/ ~-]{0,79}", "off, or a time as systemd's OnCalendar has it")),
]
ProjectName = Annotated[
    str,
    AfterValidator(
        _like(r"[a-z0-9][a-z0-9_-]{0,40}", "up to 41 small letters, digits, `-` and `_`, a letter or digit first")
    ),
]
# What Label Studio's login form takes, which also makes it small.
Email = Annotated[
    str,
    AfterValidator(
        _like(
            r"[A-Za-z0-9!#$%&*+/=?^_`{|}~.-]+@(?:localhost|(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63})",
            "an e-mail address",
        )
    ),
    AfterValidator(str.lower),
]
ImageName = Annotated[
    str, AfterValidator(_like(r"[a-z0-9][A-Za-z0-9._/:@-]*", "an image's name, as `docker run` takes it"))
]
UnixUser = Annotated[str, AfterValidator(_like(r"[A-Za-z_][A-Za-z0-9_.-]*\$?", "the name of a user on the host"))]
BackendSettings = Annotated[
    Mapping[Annotated[str, AfterValidator(_backend_name)], Annotated[str, BeforeValidator(_as_text)]],
    BeforeValidator(_without_nulls),
    AfterValidator(_backend_values),
]
DaemonSettings = Annotated[Mapping[str, JsonValue], BeforeValidator(_without_nulls), AfterValidator(_daemon)]
