"""The state "users in the group docker": whoever is in it may use the engine, and can become root."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import HostError
from core.operation import Change
from hosts.base import Host

GROUP = "docker"


class EngineGroup:
    """People may use the engine of another machine without sudo.

    A group counts from the next login on. Where the user that we are is added, the connection is made anew.
    """

    name = "users in the group docker"

    def __init__(self, host: Host, users: Sequence[str]) -> None:
        self._host = host
        self._users = tuple(users)

    def plan(self) -> Sequence[Change]:
        """See `core.operation.Operation.plan`.

        Raises:
            HostError: there is no such user.
        """
        login = self._host.run("id", "-un").stdout.strip()
        wanted = dict.fromkeys(user for user in (*self._users, login) if user != "root")
        return [self._join(user, login) for user in wanted if not self._is_member(user)]

    def _is_member(self, user: str) -> bool:
        groups = self._host.run("id", "-nG", "--", user, ok=(0, 1))
        if not groups.ok:
            raise HostError(f"{self._host.name} has no user {user}; correct `docker_users` in the inventory")
        return GROUP in groups.stdout.split()

    def _join(self, user: str, login: str) -> Change:
        def join() -> None:
            self._host.run("usermod", "-aG", GROUP, user, as_root=True)
            if user == login:
                self._host.reconnect()

        return Change(f"add {user} to the group {GROUP} (its members can become root)", join)
