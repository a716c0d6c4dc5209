"""How this machine reaches package indexes and mirrors: read here, lent to a build, never kept in an image."""

from __future__ import annotations

import ast
import configparser
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import HostError
from hosts.base import ANY_EXIT_CODE, Host, environment_of

# What of pip's settings says where packages come from; the rest (caches, colours, target folders) is the host's.
PIP_SETTINGS = (
    "index-url",
    "extra-index-url",
    "trusted-host",
    "no-index",
    "proxy",
    "timeout",
    "default-timeout",
    "retries",
    "pre",
    "prefer-binary",
)
ADDRESS_LISTS = ("index-url", "extra-index-url", "find-links")
CA_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
SYSTEM_PIP_CONF = "/etc/pip.conf"
SYSTEM_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
REMOTE_SCHEMES = ("http", "https")


@dataclass(frozen=True)
class PipSettings:
    """What pip on this machine goes by.

    Attributes:
        options: option name without dashes -> value, for a `pip.conf`; may hold credentials.
        link_folders: local folders in which pip looks for wheels.
        ca_bundle: path of the CA bundle in use; None where pip uses its own.
    """

    options: Mapping[str, str] = field(repr=False)
    link_folders: tuple[str, ...]
    ca_bundle: str | None


def read_pip_settings(host: Host, environment: Mapping[str, str] | None = None) -> PipSettings:
    """Ask pip itself (its files and variables have many places), and the usual variables for the CA bundle.

    Where there is no pip, a bare server, its system-wide file is read.

    Raises:
        HostError: the CA bundle that the settings name is not there.
    """
    if environment is None:
        environment = environment_of(host)
    merged: dict[str, str] = {}
    for python in (sys.executable, "python3") if host.is_local else ("python3",):
        answer = host.run(python, "-m", "pip", "config", "list", ok=ANY_EXIT_CODE)
        if answer.ok:
            merged = merge_pip_config(answer.stdout)
            break
    else:
        merged = {
            name.removeprefix("PIP_").lower().replace("_", "-"): value
            for name, value in environment.items()
            if name.startswith("PIP_") and value
        }
        if not host.is_local:
            merged = read_pip_conf((host.read(SYSTEM_PIP_CONF) or b"").decode("utf-8", "replace"))
    options = {name: value for name, value in merged.items() if name in PIP_SETTINGS}
    folders: list[str] = []
    for name in ADDRESS_LISTS:
        addresses = merged.get(name, "").split()
        remote = [address for address in addresses if urlsplit(address).scheme in REMOTE_SCHEMES]
        if name == "find-links":
            folders = [local_path(address) for address in addresses if address not in remote]
        options.pop(name, None)
        if remote:
            options[name] = "\n".join(remote)
    return PipSettings(options, tuple(folders), _ca_bundle(host, merged.get("cert"), environment))


def read_pip_conf(text: str) -> dict[str, str]:
    """Read a `pip.conf`: `[install]` beats `[global]`. One that cannot be read says nothing, as for pip."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    merged: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            merged |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    return merged


def merge_pip_config(listing: str) -> dict[str, str]:
    """Read the output of `pip config list`: variables beat `[install]`, which beats `[global]`."""
    ranked: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listing.splitlines():
        key, separator, literal = line.partition("=")
        section, dot, name = key.rpartition(".")
        if separator and dot and section in ranked:
            value = ast.literal_eval(literal)
            ranked[section][name.removeprefix("--")] = str(value)
    return ranked["global"] | ranked["install"] | ranked[":env:"]


def local_path(address: str) -> str:
    """The path behind a local `find-links` entry, which is a path or a file URL."""
    parts = urlsplit(address)
    return parts.path if parts.scheme == "file" else str(Path(address).expanduser())


def pip_conf(settings: PipSettings, *, ca_bundle: str | None, wheels: str) -> str:
    """Write the `pip.conf` of a build.

    Args:
        settings: the machine's.
        ca_bundle: where the CA bundle lies in the build; None: pip's own.
        wheels: where in the build the page with the wheels from the machine's disk lies.
    """
    options = dict(settings.options)
    links = [wheels, *options.pop("find-links", "").split()]
    options |= {"disable-pip-version-check": "true", "root-user-action": "ignore", "no-input": "true"}
    options["find-links"] = "\n".join(links)
    if ca_bundle is not None:
        options["cert"] = ca_bundle
    lines = [f"{name} = " + value.replace("\n", "\n    ") for name, value in sorted(options.items())]
    return "\n".join(["[global]", *lines, ""])


def _ca_bundle(host: Host, cert: str | None, environment: Mapping[str, str]) -> str | None:
    named = cert or next((environment[name] for name in CA_BUNDLE_VARIABLES if environment.get(name)), None)
    path = named or SYSTEM_CA_BUNDLE
    if host.read(path) is not None:
        return path
    if named is not None:
        raise HostError(
            f"{host.name}: the CA bundle {named}, which pip's settings or the environment name, is not there"
        )
    return None
