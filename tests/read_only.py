"""Which commands and requests only look: a list of what is allowed, so that anything new counts as a change."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from core.errors import LabelrigError
from hosts import looking
from hosts.base import DEFAULT_TIMEOUT, Result
from infra.database.state import database_state
from infra.deploy import prune
from infra.releases.scripts import FOLDER
from infra.roles.docker.apt import NO_CACHE
from infra.roles.docker.compose import CANDIDATES
from infra.roles.docker.packages import LOOK_FOR
from infra.roles.images import mirror as image_mirror
from infra.roles.nvidia import devices as nvidia_devices
from infra.roles.nvidia import facts as nvidia_facts
from infra.roles.preflight import checks as preflight
from infra.roles.preflight import data_folder
from infra.roles.project.ask_backend import ASK_BACKEND
from infra.roles.stack import folders_on_host as folders_there
from infra.roles.stack.backend_secrets import KEY_FILE, PASSWORD_FILE

ENGINE_QUESTIONS = re.compile(r"(GET|HEAD) /\S*")
# What changes nothing although it is sent with POST: an access token that lives five minutes is worked out.
WEB_QUESTIONS = ("POST /api/token/refresh/",)

EXACT = frozenset(
    {
        ("true",),
        ("uname", "-m"),
        ("uname", "-r"),
        ("date", "+%s"),
        ("docker", "--version"),
        ("dockerd", "--version"),
        ("nvidia-ctk", "--version"),
        ("dpkg", "--print-architecture"),
        ("python3", "-m", "pip", "config", "list"),
        ("docker", "system", "dial-stdio"),  # without input it says nothing to anybody
        ("apt-get", *NO_CACHE, "update", "--print-uris"),
    }
)
SCRIPTS = frozenset(
    {
        data_folder.LIST,
        looking.WHY_UNSEEN,
        folders_there.DIGESTS,
        image_mirror.AUTH_FILES,
        nvidia_devices.MISSING_SCRIPT,
        nvidia_facts.LIBRARY_SCRIPT,
        nvidia_facts.PCI_SCRIPT,
        preflight.NEAREST_DISK,
        prune.MANIFESTS,
        LOOK_FOR,
    }
)
HOST_SCRIPTS = {("releases", "look"), ("lock", "look"), ("audit", "last")}
FIND_ACTS = re.compile(r"-(delete|exec|execdir|ok|okdir|fprint|fprint0|fprintf|fls)")
DOCKER_LOOKS = (("version",), ("info",), ("inspect",), ("image", "inspect"), ("ps",))
COMPOSE_FILES = frozenset({"--project-name", "--env-file", "--file"})
COMPOSE_LOOKS: Mapping[str, frozenset[str]] = {
    "config": frozenset({"--hash", "*", "--quiet", "--services", "--format", "json", "--volumes"}),
    "ps": frozenset({"--all", "--quiet", "--format", "json", "db", "sam2", "label-studio"}),
}


def is_read_only(argv: Sequence[str], stdin: bytes | None = b"") -> bool:
    """Whether a command changes nothing, whoever runs it.

    Args:
        stdin: what it gets; None where that is not known.
    """
    command = tuple(argv)
    if compose := _compose_arguments(command):
        return _compose_looks(compose, stdin)
    if command[:3] == ("sh", "-s", "--"):
        return _host_script_looks(command[3:], stdin)
    if stdin != b"":
        return False
    if command[:2] == ("env", "LC_ALL=C.UTF-8"):
        return command[2:3] == ("apt-cache",) and is_read_only(command[2:])
    if command in EXACT:
        return True
    rule = RULES.get(command[0] if command else "")
    return rule is not None and rule(command[1:])


def is_reading_request(request: str) -> bool:
    """Whether an HTTP request, `METHOD PATH`, changes nothing on the engine or in Label Studio."""
    return ENGINE_QUESTIONS.fullmatch(request) is not None or request in WEB_QUESTIONS


def _any(_arguments: tuple[str, ...]) -> bool:
    return True


def _find(arguments: tuple[str, ...]) -> bool:
    return not any(FIND_ACTS.fullmatch(one) for one in arguments)


def _sh(arguments: tuple[str, ...]) -> bool:
    return arguments[:1] == ("-c",) and arguments[1:2] != () and arguments[1] in SCRIPTS


def _apt_get(arguments: tuple[str, ...]) -> bool:
    """`apt-get indextargets` without apt's own cache: it would be written."""
    rest = arguments[len(NO_CACHE) + 1 :]
    return arguments[: len(NO_CACHE) + 1] == (*NO_CACHE, "indextargets") and _options(rest) <= {
        "--format",
        "--no-release-info",
    }


def _apt_cache(arguments: tuple[str, ...]) -> bool:
    rest = arguments[len(NO_CACHE) + 1 :]
    return arguments[: len(NO_CACHE) + 1] == (*NO_CACHE, "policy") and not _options(rest)


def _apt_config(arguments: tuple[str, ...]) -> bool:
    return arguments[:1] == ("shell",) and not _options(arguments)


def _dpkg_query(arguments: tuple[str, ...]) -> bool:
    return arguments[:1] == ("-W",) and _options(arguments) <= {"-W", "-f"}


def _systemd_analyze(arguments: tuple[str, ...]) -> bool:
    return arguments[:1] == ("calendar",) and not _options(arguments)


def _nvidia_smi(arguments: tuple[str, ...]) -> bool:
    return bool(arguments) and all(one.startswith(("--query-gpu=", "--format=")) for one in arguments)


def _docker(arguments: tuple[str, ...]) -> bool:
    if arguments[:1] == ("exec",):
        return arguments[1:2] != () and not arguments[1].startswith("-") and _in_container("sam2", arguments[2:], b"")
    return any(arguments[: len(look)] == look for look in DOCKER_LOOKS)


RULES: Mapping[str, Callable[[tuple[str, ...]], bool]] = {
    "apt-cache": _apt_cache,
    "apt-config": _apt_config,
    "apt-get": _apt_get,
    "cat": _any,
    "docker": _docker,
    "dpkg-query": _dpkg_query,
    "find": _find,
    "findmnt": _any,
    "getent": _any,
    "id": _any,
    "nvidia-smi": _nvidia_smi,
    "readlink": _any,
    "sh": _sh,
    "sha256sum": _any,
    "stat": _any,
    "systemd-analyze": _systemd_analyze,
    "test": _any,
}


def _options(arguments: Sequence[str]) -> set[str]:
    return {one for one in arguments if one.startswith("-")}


def _compose_arguments(command: tuple[str, ...]) -> tuple[str, ...]:
    """What comes after the program where it is compose, as `find_compose` may have found it."""
    for program in CANDIDATES:
        if command[: len(program)] == program:
            return command[len(program) :]
    return ()


def _compose_looks(arguments: tuple[str, ...], stdin: bytes | None) -> bool:
    if arguments == ("version", "--short"):
        return stdin == b""
    while arguments[:1] and arguments[0] in COMPOSE_FILES:
        arguments = arguments[2:]
    verb, rest = arguments[:1], arguments[1:]
    if verb == ("exec",):
        return rest[:1] == ("--no-TTY",) and _in_container("".join(rest[1:2]), rest[2:], stdin)
    allowed = COMPOSE_LOOKS.get("".join(verb))
    return allowed is not None and stdin == b"" and allowed.issuperset(rest)


def _in_container(service: str, command: tuple[str, ...], stdin: bytes | None) -> bool:
    if service == "sam2" and stdin == b"":
        known = command in {(*ASK_BACKEND, "GET", "/health"), ("cat", KEY_FILE), ("sha256sum", PASSWORD_FILE)}
        return known or (command[:1] == ("nvidia-smi",) and _nvidia_smi(command[1:]))
    return (service, command, stdin) in (_state_question("sqlite"), _state_question("postgres"))


def _state_question(kind: str) -> tuple[str, tuple[str, ...], bytes | None]:
    """How the state of a database is asked for, as the product does it."""
    asked: list[tuple[tuple[str, ...], bytes | None]] = []

    def note(
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = DEFAULT_TIMEOUT,
        stdin: bytes | None = None,
        **_options: object,
    ) -> Result:
        asked.append((argv, stdin))
        raise LabelrigError("only noted")

    try:
        database_state("postgres" if kind == "postgres" else "sqlite", note)
    except LabelrigError:
        ((argv, stdin),) = asked
    return ("db" if kind == "postgres" else "label-studio"), argv, stdin


def _host_script_looks(arguments: tuple[str, ...], stdin: bytes | None) -> bool:
    for script in FOLDER.glob("*.sh"):
        if script.read_bytes() == stdin:
            if script.stem == "leftovers":
                return len(arguments) == 1  # a second one is a signal
            return (script.stem, "".join(arguments[:1])) in HOST_SCRIPTS
    return False
