"""Work on the projects of one Label Studio, on this machine or on a host: `./inv export` and `./inv import`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import closing

from core.errors import SettingsError
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.config.settings import env_file
from infra.fleet.choice import Choice
from infra.fleet.parallel import reports_for
from infra.fleet.run import RunOptions
from infra.fleet.target import site_of
from infra.roles.project.role import DEFAULT_PROJECT
from infra.stack.site import Site, local_site
from infra.stack.stages import demo_spec, reached
from labelstudio.access import Access
from labelstudio.config import load_project


@contextlib.contextmanager
def site_at(choice: Choice, options: RunOptions, report: Report) -> Iterator[Site]:
    """The stack of this machine, or of the one host that was named.

    Raises:
        SettingsError: several hosts were named.
    """
    if not choice.names_hosts:
        settings = options.settings
        yield local_site(LocalHost(), settings, env_file(os.environ), lambda: settings)
        return
    hosts = choice.select()
    if len(hosts) != 1:
        raise SettingsError("this works on the projects of one host; give one --host")
    with closing(options.connect(hosts[0], options.owner().id, report)) as host:
        yield site_of(host, hosts[0])


@contextlib.contextmanager
def label_studio_at(choice: Choice, options: RunOptions, report: Report | None = None) -> Iterator[tuple[Access, str]]:
    """Reach a Label Studio; yields the way in and the title of the project that `up` or `deploy` made."""
    told = report or (reports_for(choice.select()).popitem()[1] if choice.names_hosts else Report())
    with site_at(choice, options, told) as site, reached(site) as url:
        access = Access.of(site.settings, url)
        try:
            yield access, default_title(site)
        finally:
            access.close()


def default_title(site: Site) -> str:
    """The title of the project that `up` or `deploy` makes on a stack."""
    spec = load_project(REPOSITORY, DEFAULT_PROJECT)
    return (demo_spec(spec) if site.settings.data is None else spec).title
