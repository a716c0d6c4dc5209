"""The SAM2 backend's password in Label Studio: with every ML backend that is ours, of whichever project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from core.operation import Change, Operation
from infra.roles.project.ml_backend import same_url
from labelstudio.access import Access
from labelstudio.models import Backend, BasicAuth

REFUSED = "401"  # in what Label Studio keeps of the backend's last answer


@dataclass(frozen=True)
class BackendLoginsKnown(Operation):
    """Label Studio has the present password with each of its ML backends that is our backend.

    The password belongs to the backend and not to a project: with a new one all projects must get it, also those that
    this run is not about, else their clicks are refused.
    """

    access: Access
    url: str
    login: BasicAuth

    @property
    def name(self) -> str:
        return f"password of {self.url} known to Label Studio"

    def plan(self) -> Sequence[Change]:
        client = self.access.client()
        return [
            Change(
                f"give Label Studio the password of the ML backend {self.url} for {title}",
                partial(self._update, project_id, one),
            )
            for project_id, title in client.titles().items()
            for one in client.backends(project_id)
            if same_url(one.url, self.url) and not self._holds(one)
        ]

    def _holds(self, row: Backend) -> bool:
        """By the name, see `BasicAuth`; a password that was typed over it in the browser shows by what it leads to."""
        return row.user == self.login.user and (row.connected or REFUSED not in row.error)

    def _update(self, project_id: int, row: Backend) -> None:
        self.access.client().update_backend(
            project_id, row.id, row.url, row.title, interactive=row.is_interactive, login=self.login
        )
