"""Folders on a host over a real SSH connection: the same bodies as on this machine."""

# ruff: noqa: F403

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hosts.ssh import SshHost
from tests.sshd import Sshd
from tests.unit.infra.roles.preflight.test_data_folder import *
from tests.unit.infra.roles.stack.test_folders_on_host import *
from tests.unit.infra.roles.stack.test_folders_on_host import pytestmark as pytestmark


@pytest.fixture(scope="module")  # type: ignore[no-redef]
def host(sshd: Sshd) -> Iterator[SshHost]:
    """One connection for all of them."""
    host = SshHost(sshd.target(), run_id="folders-over-ssh", notice=lambda _text: None)
    yield host
    host.close()
