"""A host that only answers clicks, in a group with the host that has Label Studio: its stages until it has joined."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace

from core.operation import Runner
from core.report import Report
from infra.config.settings import CLUSTER_TOKEN, UID
from infra.deploy.deployment import BASE_MODE, OPEN_MODE, Deployment
from infra.deploy.undecided import UNDECIDED
from infra.fleet.target import LOCAL_DEMO, demo_folder, site_of
from infra.roles.docker.client import EngineState, engine_client, engine_state
from infra.roles.images.role import ImageOrigin
from infra.roles.notes.role import notes_role
from infra.roles.project.gate import tail_of
from infra.roles.project.group_hosts import Drain, HostBack
from infra.roles.stack.container_user import ContainerUserChosen
from infra.roles.stack.folders_on_host import FolderSent, FolderThere
from infra.roles.stack.image_folders import DEMO, ImageFolder
from infra.roles.stack.render import RAY_SERVICE
from infra.roles.stack.secrets import SecretGiven
from infra.stack.site import Site, with_secrets
from infra.stack.stages import Made, stack_running, volumes_ready

STAGES = 8


@dataclass
class WorkerDeployment(Deployment):
    """One run on one worker, in three parts: `check`, `prepare` before the head is touched, `join` after it.

    Attributes:
        origin: its image, after `prepare`.
        head_folders: the image folders of the head, which it mounts under the same names.
        drain: keeps clicks from it while its container is replaced; None: nothing does.
    """

    origin: ImageOrigin | None = None
    head_folders: Sequence[ImageFolder] = ()
    drain: Drain | None = None

    def prepare(self, run: Runner) -> None:
        """Docker, the image and the GPU: what takes long, and disturbs no one."""
        self.bring_docker(run)
        self.origin = self._images(run, site_of(self.host, self.host_settings))
        self._gpu(run, self.origin)

    def join(self, run: Runner, head: Made) -> None:
        """The rest, with the token, the model and the image folders of the head.

        Raises:
            LabelrigError: a stage failed, or the node does not join.
        """
        self.head_folders = head.folders
        self.before = self.releases.current()
        site = self._with_token(run, replace(site_of(self.host, self.host_settings), gpu=self.wants_gpu), head)
        site = replace(site, settings=site.settings.model_copy(update={"model": head.model}))
        known = head.model != UNDECIDED
        model = self._model(run, site, self.origin, self.before) if known else UNDECIDED
        self.still_ours()
        self._release(run, site, self.origin, model)
        self.made = Made(site, model, head.folders)
        if run.pending:
            with run.stage("stack"):
                run.unknown("containers", "which of them start anew is known when the changes above were made")
            return
        with closing(engine_client(self.host)) as engine, run.stage("stack"):
            there = volumes_ready(site, lambda: engine, run.report, applies=run.applies)
            running = stack_running(site, lambda: engine, run.report)
            changes = run.applies and (there.plan() or running.plan())
            drain, place = self.drain, self.place
            aside = drain.aside(place.own) if changes and drain is not None and place is not None else nullcontext()
            with aside:
                run.run([there, running])
            if drain is not None:
                run.run([HostBack(drain)])

    def proven(self, model_version: str | None) -> None:
        """Record that the release passed the gate of its group."""
        if self.release is not None and self.release.gate != "passed":
            self.releases.mark(self.release.id, "passed", model_version=model_version)

    def tail(self) -> str:
        """The last lines of its container, to be put behind a message; empty where there are none."""
        if self.made is None or engine_state(self.host) is not EngineState.ANSWERS:
            return ""
        site = self.made.site
        with closing(engine_client(self.host)) as engine:
            return tail_of(stack_running(site, lambda: engine, Report()).container(RAY_SERVICE))

    def connected_folders(self, site: Site) -> list[ImageFolder]:
        """Those of the head, at the same paths; the demo images lie where they were sent to."""
        demo = ImageFolder(DEMO, demo_folder(self.host_settings))
        return [demo if one.name == DEMO else one for one in self.head_folders]

    def _with_token(self, run: Runner, site: Site, head: Made) -> Site:
        token = head.site.settings.cluster_token
        assert token is not None  # noqa: S101 - made in a stage before, on the head
        with run.stage("secrets and data"):
            user = ContainerUserChosen(self.host, site.env_file, site.settings, site.files.env)
            run.run(
                [
                    FolderThere(self.host, self.host_settings.root, OPEN_MODE),
                    FolderThere(self.host, self.base, BASE_MODE),
                    SecretGiven(self.host, site.env_file, CLUSTER_TOKEN, token.get_secret_value()),
                    user,
                    *notes_role(self.host, self.base, site.settings.project),
                ]
            )
            if site.settings.data is None:
                run.run([FolderSent(self.host, LOCAL_DEMO / "images", demo_folder(self.host_settings))])
            if run.applies:
                return replace(site, settings=site.reload())
            kept = {CLUSTER_TOKEN: token.get_secret_value(), UID: str(user.number())}
            return replace(site, settings=with_secrets(site.settings, kept))

    def _backup(self, run: Runner, site: Site, origin: ImageOrigin | None, folders: Sequence[ImageFolder]) -> None:
        """Nothing: all of it can be made again."""
