"""`./inv tunnel`: Label Studio of another machine at a port of this one, without publishing it to a network."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import httpx

from core.errors import ConnectionLost, HostError, HostKeyRefused, LabelrigError, LoginRefused
from core.report import Report
from infra.stack.site import Site
from labelstudio.session import http_client

HEALTH_TIMEOUT = 5.0
LOOK_TIMEOUT = 10.0


@runtime_checkable
class ForwardsPorts(Protocol):
    """A host whose ports can be brought to this machine (`hosts.ssh.SshHost`)."""

    def forwarded_from(self, local_port: int, port: int, address: str = ...) -> AbstractContextManager[int]:
        """See `hosts.ssh.SshHost.forwarded_from`."""


@dataclass(frozen=True)
class Pace:
    """How often the tunnel is looked at, and how long a lost connection is tried again. All in seconds."""

    look: float = 5.0
    deadline: float = 300.0
    monotonic: Callable[[], float] = field(default=time.monotonic)


def tunnel(
    site: Site,
    local_port: int | None,
    report: Report,
    stop: threading.Event | None = None,
    pace: Pace | None = None,
) -> None:
    """Keep Label Studio reachable here until Ctrl-C, or until `stop` is set. A lost connection is opened again.

    Args:
        local_port: the port here. None: the port that it has there, or a free one where that is taken.
        report: gets the URL, and each time that the connection is lost or back.

    Raises:
        HostError: the port that was asked for is taken; or no connection, or none any more for `pace.deadline`.
    """
    host, port = site.host, site.settings.port
    if host.is_local:
        report.info(f"Label Studio of this machine needs no tunnel: open {site.settings.address_for_people}")
        return
    if not isinstance(host, ForwardsPorts):
        raise LabelrigError(f"{host.name}: its ports cannot be brought to this machine")
    wanted = port if local_port is None else local_port
    if local_port is None and not _is_free(wanted):
        report.notice(f"port {wanted} of this machine is taken, so Label Studio gets another one here")
        wanted = 0
    try:
        with host.forwarded_from(wanted, port, site.settings.own_address) as number:
            report.info(f"Label Studio of {host.name}: http://127.0.0.1:{number} (Ctrl-C closes the tunnel)")
            _Watch(site, number, report, stop or threading.Event(), pace or Pace()).run()
    except KeyboardInterrupt:
        pass
    report.info("tunnel closed")


class _Watch:
    """Looks whether Label Studio answers through the tunnel, and brings a lost connection back."""

    def __init__(self, site: Site, number: int, report: Report, stop: threading.Event, pace: Pace) -> None:
        self._site = site
        self._url = f"http://127.0.0.1:{number}"
        self._report = report
        self._stop = stop
        self._pace = pace
        self._lost_at: float | None = None
        self._silent = False  # connected, and Label Studio does not answer

    def run(self) -> None:
        """Until it is stopped.

        Raises:
            HostError: the connection did not come back in time, or never will.
        """
        self._look()
        while not self._stop.wait(self._pace.look):
            self._look()

    def _look(self) -> None:
        if self._answers():
            if self._lost_at is not None:
                self._report.info("the connection is back")
            elif self._silent:
                self._report.info("Label Studio answers")
            self._lost_at, self._silent = None, False
            return
        try:
            self._reach_host()
        except (HostKeyRefused, LoginRefused):
            raise
        except HostError as error:
            self._lost(error)
            return
        if self._lost_at is not None:
            self._report.info("the connection is back")
            self._lost_at = None
        if not self._silent:
            name = self._site.host.name
            self._report.notice(
                f"{name} is connected, and Label Studio does not answer at its port {self._site.settings.port}; "
                f"`./inv status --host {name}` says how it is"
            )
            self._silent = True

    def _answers(self) -> bool:
        try:
            with http_client(self._url) as http:
                return http.get("/health", timeout=HEALTH_TIMEOUT).is_success
        except httpx.HTTPError:
            return False

    def _reach_host(self) -> None:
        host = self._site.host
        if self._lost_at is not None:
            host.reconnect()
        host.run("true", timeout=LOOK_TIMEOUT)

    def _lost(self, error: HostError) -> None:
        now, first = self._pace.monotonic(), str(error).splitlines()[0]
        if self._lost_at is None:
            self._lost_at = now
            self._report.info(f"the connection is lost, trying again for {self._pace.deadline:.0f} s: {first}")
        lost_for = now - self._lost_at
        if lost_for >= self._pace.deadline:
            raise ConnectionLost(
                f"{self._site.host.name}: the connection did not come back in {self._pace.deadline:.0f} s: {first}"
            ) from None
        self._report.progress(f"trying again ({lost_for:.0f} of {self._pace.deadline:.0f} s): {first}")


def _is_free(port: int) -> bool:
    """Whether the port is free; any other trouble with the port is for who opens it to report."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True
