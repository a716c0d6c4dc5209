"""The address of a stack: what its settings mean together, and what in them cannot be meant."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from infra.config.stack_settings import StackSettings

HTTPS_PORT = 443
OWN_TLS = ("internal", "files", "acme")  # the proxy of the stack has the certificate
SERVICE = "label-studio"  # what the other containers call it
EVERY_NAME = "*"
OF_THE_MACHINE = ("localhost", "127.0.0.1", "[::1]")


def has_own_tls(settings: StackSettings) -> bool:
    """Whether the stack's own proxy serves https."""
    return settings.tls in OWN_TLS


def site_host(settings: StackSettings) -> str:
    """The host name of `public_url`, `localhost` without one."""
    return urlsplit(settings.public_url or "").hostname or "localhost"


def https_port(settings: StackSettings) -> int:
    """The port at which https is published."""
    return urlsplit(settings.public_url or "").port or HTTPS_PORT


def allowed_hosts(settings: StackSettings) -> tuple[str, ...]:
    """The names that Label Studio answers to. A machine in a network, without `public_url`, may be called anything."""
    public = settings.public_url is not None
    if not public and not _is_loopback(settings.listen):
        return (EVERY_NAME,)
    host = site_host(settings)
    named = (f"[{host}]" if ":" in host else host, settings.listen)
    return tuple(dict.fromkeys((*named, *OF_THE_MACHINE, SERVICE)))


def reached_by_itself_only(settings: StackSettings) -> bool:
    """Whether `public_url` names what other machines open, and https is published on the machine's loopback alone."""
    return has_own_tls(settings) and _is_loopback(settings.listen) and not _is_loopback(site_host(settings))


def address_problems(settings: StackSettings) -> Iterator[tuple[str, str]]:
    """The settings that contradict each other, each with a sentence that follows the setting's name."""
    url, https = settings.public_url, (settings.public_url or "").startswith("https:")
    if settings.tls != "off" and url is None:
        yield "public_url", f"must be set with `tls: {settings.tls}`: the address that the certificate is for"
    elif settings.tls != "off" and not https:
        yield "public_url", f"must begin with https:// with `tls: {settings.tls}`"
    elif settings.tls == "off" and https:
        yield (
            "tls",
            "must be internal, files, acme or proxy with an https `public_url`: where its certificate comes from",
        )
    files = {"tls_certificate": settings.tls_certificate, "tls_key": settings.tls_key}
    if settings.tls == "files":
        for name, path in files.items():
            if path is None:
                yield name, "must be set with `tls: files`"
    if settings.tls == "acme" and https and https_port(settings) != HTTPS_PORT:
        yield "public_url", "must be at port 443 with `tls: acme`: the certificate authority asks there"
    if settings.tls == "acme" and https and (_is_address(site_host(settings)) or "." not in site_host(settings)):
        yield "public_url", "must be a name of the public DNS with `tls: acme`"
    if has_own_tls(settings) and https and https_port(settings) == settings.port:
        yield "public_url", "must have another port than `port`, which stays the machine's own way in"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
