"""The SAM2 backend in Label Studio: registered once, interactive, and connected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from core.errors import LabelStudioError, WaitTimeout
from core.operation import Change, Operation
from core.report import Report
from core.waiting import wait_for
from infra.roles.project.project import find_project, get_project
from labelstudio.access import Access
from labelstudio.answers import PRIVATE_ADDRESS
from labelstudio.config import ProjectSpec
from labelstudio.models import Backend, BasicAuth

if TYPE_CHECKING:
    from labelstudio.client import Client

CONNECT_TIMEOUT = 60.0


@dataclass(frozen=True)
class BackendRegistered(Operation):
    """The project has our backend exactly once, interactive, and Label Studio gets good answers from it.

    Nothing is unique in Label Studio's list, and a refused registration can leave its row behind, so that rows with
    our URL are counted and all but the first removed. `login` opens the backend; None where it is open. `patience` is
    how long a backend may need to get connected, in seconds.
    """

    access: Access
    spec: ProjectSpec
    url: str
    report: Report
    login: BasicAuth | None = None
    patience: float = CONNECT_TIMEOUT

    @property
    def name(self) -> str:
        return f"ML backend {self.url} connected"

    def plan(self) -> Sequence[Change]:
        """See `Operation.plan`.

        Raises:
            LabelStudioError: it is registered and Label Studio cannot reach it.
        """
        client = self.access.client()
        project = find_project(client, self.spec.title)
        everything = client.backends(project.id) if project else []
        # The oldest stays: over PostgreSQL the list's order changes with every update of a row.
        ours = sorted((one for one in everything if same_url(one.url, self.url)), key=lambda one: one.id)
        if not ours or project is None:
            return [Change(f"connect the ML backend {self.url} to {self.spec.title}", self._add)]
        kept, *others = ours
        changes = [
            Change(f"remove ML backend {one.id}, a second one at {one.url}", partial(client.delete_backend, one.id))
            for one in others
        ]
        if kept.is_interactive != self.spec.interactive or kept.title != self.spec.backend_title:
            update = partial(self._update, client, project.id, kept)
            kind = "interactive" if self.spec.interactive else "not interactive"
            changes.append(
                Change(f"make the ML backend {self.url} {kind} and call it {self.spec.backend_title}", update)
            )
        elif self.spec.backend_options and kept.options != dict(self.spec.backend_options):
            # Without options in projects.yaml, what was chosen in the browser is left alone.
            shown = ", ".join(f"{name}={value}" for name, value in self.spec.backend_options.items())
            update = partial(self._update, client, project.id, kept)
            changes.append(Change(f"set the options of the ML backend {self.url}: {shown}", update))
        self._mention_rivals(everything, kept)
        if not kept.connected:
            self._wait_connected(client, project.id, kept)
        return changes

    def _add(self) -> None:
        client = self.access.client()
        project_id = get_project(client, self.spec.title).id
        before = {one.id for one in client.backends(project_id)}
        try:
            client.add_backend(
                project_id,
                self.url,
                self.spec.backend_title,
                self.spec.backend_options,
                interactive=self.spec.interactive,
                login=self.login,
            )
        except LabelStudioError:
            # Label Studio keeps the row of some registrations that it refuses.
            for one in client.backends(project_id):
                if one.id not in before and same_url(one.url, self.url):
                    client.delete_backend(one.id)
            raise

    def _update(self, client: Client, project_id: int, kept: Backend) -> None:
        client.update_backend(
            project_id,
            kept.id,
            kept.url,
            self.spec.backend_title,
            self.spec.backend_options,
            interactive=self.spec.interactive,
            login=self.login,
        )

    def _wait_connected(self, client: Client, project_id: int, kept: Backend) -> None:
        last = kept

        def connected() -> bool | None:
            nonlocal last
            last = next((one for one in client.backends(project_id) if one.id == kept.id), last)
            return True if last.connected else None

        try:
            wait_for(
                f"Label Studio to reach {self.url}",
                connected,
                timeout=self.patience,
                pause=2.0,
                show=self.report.progress,
            )
        except WaitTimeout as error:
            raise LabelStudioError(f"{error}: {_cause(last)}") from None

    def _mention_rivals(self, everything: Sequence[Backend], kept: Backend) -> None:
        first = next((one for one in everything if one.is_interactive), kept)
        if not self.spec.interactive:
            return
        if first.id != kept.id:
            self.report.notice(
                f"the project has another interactive ML backend before ours, {first.shown}: "
                "the editor asks that one; remove it in the project's settings (Model) to use SAM2"
            )


def same_url(one: str, other: str) -> bool:
    """Whether two backend URLs mean the same place."""
    return one.rstrip("/").lower() == other.rstrip("/").lower()


def _cause(backend: Backend) -> str:
    said = " ".join(backend.error.split()) or "Label Studio gave no reason"
    if PRIVATE_ADDRESS in said:
        step = (
            "Label Studio's container was not started with the settings that open the backend's address; "
            "run `./inv up` to make it anew"
        )
    elif "resolve" in said:
        step = "the two containers are not on one network; run `./inv up` to start both anew"
    else:
        step = "see the log of the sam2 container (`docker logs`)"
    return f"its state is {backend.state}: {said}; {step}"
