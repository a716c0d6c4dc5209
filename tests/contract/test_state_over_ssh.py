"""Lock, audit log and releases over a real SSH connection: the same bodies as on this machine."""

# ruff: noqa: F403

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hosts.ssh import SshHost
from tests.sshd import Sshd
from tests.unit.infra.releases.test_audit import *
from tests.unit.infra.releases.test_lock import *
from tests.unit.infra.releases.test_lock_dead import *
from tests.unit.infra.releases.test_store import *


@pytest.fixture(scope="module")  # type: ignore[no-redef]
def host(sshd: Sshd) -> Iterator[SshHost]:
    """One connection for all of them."""
    host = SshHost(sshd.target(), run_id="state-over-ssh", notice=lambda _text: None)
    yield host
    host.close()
