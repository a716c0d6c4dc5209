"""One stack on one host, from preflight to the gate: what `deploy` does, and `plan` shows without a write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from core.errors import CannotKnow, LabelrigError
from core.operation import Operation, Runner
from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Host
from hosts.local import LocalHost
from infra.bundle.reading import Bundle
from infra.config.host_settings import HostSettings
from infra.config.settings import UID
from infra.database.state import database_state
from infra.deploy.host_check import HostCheck
from infra.deploy.on_engine import announce_stand_in, image_id, label_studio_runs, stand_in_stage
from infra.deploy.undecided import UNDECIDED, undecided_images
from infra.fleet.commit import Commit
from infra.fleet.session import Session
from infra.fleet.target import (
    LOCAL_DEMO,
    base_folder,
    demo_folder,
    how_to_open,
    own_images,
    refuse_alone,
    settings_of,
    site_of,
)
from infra.releases.manifest import ImageRef, Release, ReleaseFacts
from infra.releases.store import ReleaseActive, Releases
from infra.roles.backup.files import FOLDERS_BROUGHT
from infra.roles.docker.apt import Apt
from infra.roles.docker.client import EngineState, engine_client, engine_state
from infra.roles.docker.compose import find_compose
from infra.roles.docker.group import EngineGroup
from infra.roles.docker.role import docker_role
from infra.roles.docker.shares import DockerAfterShares
from infra.roles.images.build import ImageSet
from infra.roles.images.bundle_apt import BundleApt
from infra.roles.images.bundled import bundled_images, bundled_images_role
from infra.roles.images.role import ImageOrigin, resolve_images, shipped_images_role
from infra.roles.notes.role import notes_role
from infra.roles.project.gate import pass_gate
from infra.roles.project.replicas import click_replicas, until_click_answered, until_one_serves
from infra.roles.project.role import project_role
from infra.roles.stack.container_user import ContainerUserChosen
from infra.roles.stack.folders_on_host import FolderSent, FolderThere
from infra.roles.stack.image_folders import DEMO, ImageFolder, read_folders, with_folder, with_folders
from infra.roles.stack.model import expected_model
from infra.roles.stack.ray import Place
from infra.roles.stack.secrets import SecretsMade
from infra.stack.database_choice import database_of, refuse_other_database
from infra.stack.kept_secrets import kept_secrets, notice_of_another_key
from infra.stack.maintenance import MaintenancePass, access_of
from infra.stack.site import Site, rendered, with_secrets
from infra.stack.stages import (
    Made,
    Summary,
    backup_operations,
    project_context,
    project_folder,
    reached,
    resolve_gpu,
    resolve_model,
    root_certificate,
    stack_operations,
    stack_project,
    stack_running,
    stand_in,
)
from infra.stack.stand_in import StandInGone
from infra.stack.unfinished import refuse_unfinished
from labelstudio.config import ProjectSpec

BASE_MODE, OPEN_MODE = 0o750, 0o755
STAGES = 10  # a plan has one less where Label Studio does not run yet


@dataclass
class Deployment:
    """One run on one host. `run` goes through the stages; the attributes tell how far it came.

    Attributes:
        host: the machine.
        host_settings: what the inventory and the command line want of it.
        commit: what is deployed.
        who: who deploys, for the release's manifest.
        here: this machine.
        still_ours: raises where the host's lock was taken away from this run.
        bundle: everything that the host lacks comes from there; None: from the network.
        passing: of an upgrade, which this run is a part of.
        place: how the host takes part in a group that serves; None: it serves by itself.
        before_gate: called when all but the gate is done: other hosts of the group join.
        first_replica: to be called when a replica of the group may answer: a stand-in makes way for it.
        before: the release that was current when the run came to this host.
        release: the release that is current after the stage "release".
        made: what the others of the group need to know, after the stage "release".
        summary: what a person needs, after the gate.
    """

    host: Host
    host_settings: HostSettings
    commit: Commit
    who: str
    here: LocalHost = field(default_factory=LocalHost)
    still_ours: Callable[[], None] = lambda: None
    bundle: Bundle | None = None
    passing: MaintenancePass | None = None
    place: Place | None = None
    before_gate: Callable[[], None] = lambda: None
    first_replica: Callable[[], None] = lambda: None
    before: Release | None = None
    release: Release | None = None
    made: Made | None = None
    summary: Summary | None = None

    @classmethod
    def of(cls, session: Session) -> Deployment:
        """The run of a session on its host."""
        options = session.options
        return cls(session.host, session.host_settings, options.commit, session.owner.who, bundle=options.bundle)

    @property
    def base(self) -> str:
        """The folder on the host with everything of this stack that is not in a volume."""
        return base_folder(self.host_settings)

    @property
    def release_id(self) -> str | None:
        """The id of the current release, once there is one."""
        return str(self.release.id) if self.release is not None else None

    @property
    def releases(self) -> Releases:
        """The releases on the host."""
        return Releases(self.host, self.base)

    def run(self, run: Runner) -> None:
        """Go through all stages.

        Raises:
            PreflightError, Unfinished: before anything was changed.
            LabelrigError: a stage failed. What was done stays; see `infra.deploy.recovery` for the release.
        """
        spec = stack_project(settings_of(self.host_settings))
        if self.place is None:
            refuse_alone(self.host_settings)
        self.check(run, spec)
        self.make(run, spec)

    def make(self, run: Runner, spec: ProjectSpec) -> None:
        """The stages after preflight; see `run`."""
        site = site_of(self.host, self.host_settings)
        self.before = self.releases.current()
        refuse_unfinished(site, upgrading=self.passing is not None)
        refuse_other_database(database_of(site), site.settings.database, self.host.name)
        folder = project_folder(spec, *self._folders(site))
        self.bring_docker(run)
        origin = self._images(run, site)
        site = replace(site, gpu=self._gpu(run, origin))
        site = self._storage(run, site)
        model = self._model(run, site, origin, self.before)
        self.still_ours()
        self._release(run, site, origin, model)
        self.made = Made(site, model, self._folders(site)[0])
        self._serve(run, site, spec, folder, model)

    def check(self, run: Runner, spec: ProjectSpec) -> None:
        """The stage "preflight": see `infra.deploy.host_check`."""
        HostCheck(self.host, self.host_settings, self.here, self.bundle, self.base).run(run, spec)

    def container_user(self) -> int:
        """The number that the host's containers run as, or will."""
        site = site_of(self.host, self.host_settings)
        return ContainerUserChosen(self.host, site.env_file, site.settings, site.files.env).number()

    def _apt(self, report: Report) -> Apt | None:
        """apt that installs from the bundle; None: as the host is set up."""
        if self.bundle is None:
            return None
        return BundleApt(self.host, report, self.bundle, self.host_settings.project)

    def bring_docker(self, run: Runner) -> None:
        with run.stage("docker"):
            if self.host_settings.manage_docker:
                users, data = self.host_settings.docker_users, self.host_settings.data
                serving = self.host_settings.serving
                shared = Path(serving.shared_cache) if serving is not None and serving.shared_cache else None
                role = docker_role(self.host, run.report, self._apt(run.report))
                run.run([*role, EngineGroup(self.host, users), DockerAfterShares(self.host, data, shared)])
                return
            run.report.skipped("docker", "`manage_docker: false`")
            if engine_state(self.host) is not EngineState.ANSWERS:
                raise LabelrigError(
                    f"{self.host.name}: no Docker engine answers, and `manage_docker: false` says to leave it alone; "
                    "start it, or let labelrig do it"
                )

    def _images(self, run: Runner, site: Site) -> ImageOrigin | None:
        with run.stage("images"):
            if self.bundle is not None:
                own = own_images(self.host_settings)
                origin = bundled_images(self.bundle, REPOSITORY, site.settings, site.image_services, own)
                run.run(bundled_images_role(self.host, origin, self.bundle, run.report))
                return origin
            try:
                origin = resolve_images(
                    self.here,
                    self.host,
                    REPOSITORY,
                    site.settings,
                    run.report,
                    way=self.host_settings.images,
                    services=site.image_services,
                    own=own_images(self.host_settings),
                )
            except CannotKnow as error:
                run.unknown("images", str(error))
                return None
            run.run(shipped_images_role(self.here, self.host, origin, run.report))
            return origin

    def _gpu(self, run: Runner, origin: ImageOrigin | None) -> bool:
        with run.stage("gpu"):
            image = origin.images.sam2 if origin is not None else None
            used = resolve_gpu(
                run,
                self.host,
                self.host_settings.gpu,
                image,
                self.host_settings.docker_daemon,
                manage=self.host_settings.manage_docker,
                apt=self._apt(run.report),
            )
        if self.place is not None and used != self.wants_gpu:
            raise LabelrigError(f"{self.host.name}: preflight and the image differ in whether its GPU can be used")
        return used

    @property
    def wants_gpu(self) -> bool:
        """Whether replicas of this host, in a group that serves, have a GPU each."""
        return self.place is not None and self.place.gpus and self.place.own > 0

    def _storage(self, run: Runner, site: Site) -> Site:
        with run.stage("secrets and data"):
            secrets = SecretsMade(
                self.host, Path(site.env_file), site.settings, kept_secrets(site), cluster=site.part == "head"
            )
            user = ContainerUserChosen(self.host, site.env_file, site.settings, site.files.env)
            notice_of_another_key(site, run.report)
            operations: list[Operation] = [
                FolderThere(self.host, self.host_settings.root, OPEN_MODE),
                FolderThere(self.host, self.base, BASE_MODE),
                secrets,
                user,
                *notes_role(self.host, self.base, site.settings.project),
            ]
            if site.settings.data is None:
                target = demo_folder(self.host_settings)
                operations.append(FolderSent(self.host, LOCAL_DEMO / "images", target))
            run.run(operations)
            if run.applies:
                return replace(site, settings=site.reload())
            # Only to render what is shown, masked; a plan keeps nothing.
            return replace(site, settings=with_secrets(site.settings, {**secrets.values(), UID: str(user.number())}))

    def _model(self, run: Runner, site: Site, origin: ImageOrigin | None, before: Release | None) -> str:
        with run.stage("model"):
            if run.applies and origin is not None:
                return resolve_model(site, origin.images.sam2, run.report, self.bundle).name
            used = before.manifest.model if before is not None and before.manifest is not None else None
            expected = expected_model(site.settings, used)
            if expected == "demo" or (expected is not None and expected == used):
                run.report.ok(f"model {expected}", [])
            else:
                run.unknown("model", "whether its checkpoint must be downloaded is known when the engine is asked")
            return expected or UNDECIDED

    def _folders(self, site: Site) -> tuple[list[ImageFolder], ImageFolder]:
        """All folders that are connected, and the one that this run was given."""
        folders = self.connected_folders(site)
        if site.settings.data is None:
            return with_folder(folders, Path(demo_folder(self.host_settings)), DEMO)
        return with_folder(folders, site.settings.data)

    def _release(self, run: Runner, site: Site, origin: ImageOrigin | None, model: str) -> None:
        with run.stage("release"):
            (folders, folder), images = self._folders(site), origin.images if origin else undecided_images(site)
            planned = [] if run.applies else [folder]
            files = rendered(site, images, model, folders, run.report, planned=planned, place=self.place)
            run.run([ReleaseActive(self.releases, files, self.facts(site, images, model, folders))])
            self._backup(run, site, origin, folders)
            if run.applies:
                self.release = self.releases.current()

    def connected_folders(self, site: Site) -> list[ImageFolder]:
        """The image folders of the current release, and those that a restore has brought since."""
        brought = read_folders(self.host, self._brought)
        return with_folders(read_folders(self.host, site.files.folders), brought)

    def forget_brought(self) -> None:
        """The release that passed has them; one that failed its gate makes way for one that has not."""
        self.host.run("rm", "-f", self._brought, as_root=not self.host.is_local)

    @property
    def _brought(self) -> str:
        return f"{self.base}/{FOLDERS_BROUGHT}"

    def _backup(self, run: Runner, site: Site, origin: ImageOrigin | None, folders: Sequence[ImageFolder]) -> None:
        if origin is None or find_compose(self.host) is None:
            if site.settings.backup_repository:
                run.unknown("backup", "its files name the images and the compose program")
            return
        run.run(backup_operations(site, origin.images.tags, folders, run.report))

    def facts(self, site: Site, images: ImageSet, model: str, folders: Sequence[ImageFolder]) -> ReleaseFacts:
        """What a release of this run says of itself."""
        return ReleaseFacts(
            commit=self.commit.digest,
            dirty=self.commit.dirty,
            by=self.who,
            images={service: ImageRef(tag=tag, id=image_id(self.host, tag)) for service, tag in images.tags.items()},
            model=model,
            database=site.settings.database,
            folders=tuple(one.path for one in folders),
        )

    def _serve(self, run: Runner, site: Site, spec: ProjectSpec, folder: ImageFolder, model: str) -> None:
        """From files to a proven click."""
        first_login = site.settings.api_key is None
        if run.pending:
            with run.stage("stack"):
                run.unknown("containers", "which of them start anew is known when the changes above were made")
                if self.place is not None:
                    announce_stand_in(run, site)
        if not run.applies and not label_studio_runs(site):
            with run.stage("project"):
                run.unknown("project", "Label Studio does not run there yet")
            return
        with closing(engine_client(self.host)) as engine:
            running, root = stack_running(site, lambda: engine, run.report), root_certificate(site)
            meanwhile = stand_in(site, lambda: engine, run.report) if self.place is not None else None
            if not run.pending:
                with run.stage("stack"):
                    upgrading = self.passing is not None
                    operations = stack_operations(
                        site, lambda: engine, run.report, applies=run.applies, upgrading=upgrading
                    )
                    run.run(operations)
                    if run.applies and root is not None:
                        run.run([root])
            with reached(site) as url:
                truth = LOCAL_DEMO / "truth" if site.settings.data is None else None
                context = project_context(site, folder, access_of(site.settings, self.passing, url), truth, run.report)
                try:
                    with run.stage("project"):
                        run.run(project_role(spec, context))
                    if meanwhile is not None:
                        answered = partial(until_click_answered, spec, context, run.report)
                        self.first_replica = partial(stand_in_stage, run, StandInGone(meanwhile, answered), meanwhile)
                        if self.place is not None and self.place.own:  # else the first one is a worker's
                            self.first_replica()
                    if run.applies:
                        self.before_gate()
                    with run.stage("gate"):
                        if not run.applies:
                            run.report.skipped("gate", "a plan makes no click")
                            return
                        if self.place is not None:
                            until_one_serves(context.exec_in_backend, run.report)
                        proof = pass_gate(
                            spec, context, running, site.services, run.report, gpu=site.gpu, computes=site.computes
                        )
                        if self.place is not None:
                            click_replicas(spec, context, proof, self.place.replicas, run.report)
                        self.passed(site, proof.model_version)
                        self.forget_brought()
                finally:
                    context.access.close()
        how = how_to_open(self.host_settings)
        self.summary = Summary(site, folder, model, proof, first_login, how, root)
        run.report.facts |= self.summary.facts() | {"release": self.release_id}

    def passed(self, site: Site, model_version: str | None = None) -> None:
        """Record that the release passed its gate, and the state of the database that it passed it on."""
        if self.release is None or self.release.gate == "passed":
            return
        service = "db" if site.settings.database == "postgres" else "label-studio"
        state = database_state(site.settings.database, site.exec_in(service))
        self.releases.mark(self.release.id, "passed", model_version=model_version, database_state=state)
