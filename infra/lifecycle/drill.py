"""`./inv restore --drill`: the newest backup into a throw-away stack beside the one that serves, and a click on it.

The drill has a project, port, network and volumes of its own; of the serving stack it shares the images, the checkpoint
and the image folders, all of them read only. It is taken down whatever comes of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import yaml

from core.errors import LabelrigError
from core.operation import converge
from core.report import Report
from core.strict_yaml import parse_yaml
from core.text import shortened
from hosts.base import Host, read_text
from infra.config.settings import Settings
from infra.config.stack_settings import Database
from infra.database.command import model_of
from infra.lifecycle.restore import RestoreRequest, restore
from infra.lifecycle.script import BackupScript
from infra.roles.backup.files import FOLDER
from infra.roles.backup.result import encode_run
from infra.roles.docker.client import engine_client
from infra.roles.docker.compose import run_docker
from infra.roles.images.build import ImageSet
from infra.roles.images.tags import BACKUP
from infra.roles.preflight import checks
from infra.roles.preflight.role import LABEL_PROJECT
from infra.roles.project.verify import verify
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.image_folders import DEMO, ImageFolder, read_folders
from infra.roles.stack.render import RenderedFile
from infra.stack.site import Site, read_secrets, rendered, with_secrets
from infra.stack.stages import project_context, reached, stack_operations, stack_project
from labelstudio.access import Access
from labelstudio.proof import SmokeTest

SUFFIX = "-drill"
STATE = "drill"  # below the serving stack's state
FIRST_PORT, LAST_PORT = 18080, 18180
SUBNETS = tuple(f"172.{second}.{third}.0/24" for second in (30, 29, 28) for third in (240, 241, 242, 243))
DOWN_TIMEOUT = 240.0

ImagesThere = Callable[[Sequence[str]], ImageSet]


@dataclass
class Drill:
    """The throw-away stack; see `infra.lifecycle.restore.Machine`.

    Attributes:
        serving: the stack whose backup is restored. Nothing of it is written to.
        bring_images: brings images of some services to the machine.
        truth: the folder here with the truth of the demo images; None for a person's own.
        report: gets what happens.
    """

    serving: Site
    bring_images: ImagesThere
    truth: Path | None
    report: Report
    proof: SmokeTest | None = None
    _database: Database | None = None
    _username: str = ""
    _images: ImageSet | None = None
    _port: int = 0
    _subnet: str = ""
    _plain: Settings = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._port, self._subnet = free_port(self.serving.host), free_subnet(self.serving.host)
        serving = self.serving.settings
        self._plain = serving.model_copy(
            update={
                **dict.fromkeys(("password", "secret_key", "api_key", "postgres_password", "backend_password")),
                "project": serving.project + SUFFIX,
                "port": self._port,
                "subnet": self._subnet,
                "listen": "127.0.0.1",
                "tls": "off",
                "public_url": None,
            }
        )

    @property
    def host(self) -> Host:
        """The machine."""
        return self.serving.host

    @property
    def state(self) -> str:
        """The folder of the drill."""
        return f"{self.serving.state}/{STATE}"

    @property
    def site(self) -> Site:
        """The throw-away stack."""
        plain = self._plain
        if self._database is not None:
            plain = plain.model_copy(update={"database": self._database, "username": self._username})
        secrets = f"{self.state}/secrets.env"

        def reload() -> Settings:
            return with_secrets(plain, read_secrets(self.host, secrets))

        return Site(self.host, reload(), self.state, self.state, secrets, reload, self.serving.gpu)

    @property
    def snapshots_of(self) -> str:
        """The name of the stack in snapshots."""
        return self.serving.settings.project

    @property
    def throw_away(self) -> bool:
        """It is taken down."""
        return True

    @property
    def keeps_choices(self) -> bool:
        """They last as long as it."""
        return False

    def still_ours(self) -> None:
        """It touches nothing that others work on."""

    def prepare(self) -> None:
        """Remove what a drill that was killed left."""
        self.take_down()

    def images(self, services: Sequence[str]) -> ImageSet:
        """Those of the serving stack, and what it lacks."""
        self._images = self.bring_images(services)
        return self._images

    def choose(self, choices: Mapping[str, str]) -> None:
        """The kind of database and the user that the backup has."""
        self._database = "postgres" if choices.get("LABELRIG_DATABASE") == "postgres" else "sqlite"
        self._username = choices["LABEL_STUDIO_USERNAME"]

    def bring_up(self) -> None:
        """Start it on the restored data, and click on a restored task as the editor would."""
        site, report = self.site, self.report
        assert self._images is not None  # noqa: S101 - brought before
        folders = read_folders(self.host, self.serving.files.folders)
        with report.stage("stack"):
            images = self._images.only([name for name in self._images.tags if name != BACKUP])
            files = rendered(site, images, model_of(self.serving), folders, report)
            files = [self._with_checkpoint(file) for file in files]
            with closing(engine_client(self.host)) as engine:
                written = FilesWritten(self.host, files)
                converge([written, *stack_operations(site, lambda: engine, report)], report)
        spec = stack_project(self.serving.settings)
        with reached(site) as url:
            context = project_context(site, self._folder(folders), Access.of(site.settings, url), self.truth, report)
            try:
                with report.stage("click"):
                    self.proof = verify(spec, context, report)
                    report.ok(self.proof.sentence(), [])
            finally:
                context.access.close()

    def take_down(self) -> None:
        """Remove every container, network and volume of the drill, and its folder."""
        ours = f"label={LABEL_PROJECT}={self._plain.project}"
        for kind, remove in (
            ("container", ("rm", "--force", "--volumes")),
            ("network", ("rm",)),
            ("volume", ("rm", "--force")),
        ):
            all_ = ("--all",) if kind == "container" else ()
            listed = run_docker(self.host, "docker", kind, "ls", *all_, "--quiet", "--filter", ours)
            if names := listed.stdout.split():
                run_docker(self.host, "docker", kind, *remove, *names, timeout=DOWN_TIMEOUT)
        self.host.run("rm", "-rf", self.state, as_root=not self.host.is_local)

    def _folder(self, folders: Sequence[ImageFolder]) -> ImageFolder:
        data = self.serving.settings.data
        for one in folders:
            if one.name == DEMO if data is None else one.path == str(data):
                return one
        raise LabelrigError(f"{self.host.name}: the stack's image folder is not connected; `doctor` says more")

    def _with_checkpoint(self, file: RenderedFile) -> RenderedFile:
        """The file of the machine's own, with the volume of checkpoints that the serving stack has."""
        if not file.path.endswith("/machine.yaml"):
            return file
        document = cast(dict[str, Any], parse_yaml(file.content.decode(), "machine.yaml"))
        models = {"external": True, "name": f"{self.serving.settings.project}_models"}
        document["volumes"] = {**(document.get("volumes") or {}), "models": models}
        return replace(file, content=yaml.safe_dump(document, sort_keys=True).encode())


def run_drill(drill: Drill, snapshot: str, report: Report, *, now: Callable[[], float] = time.time) -> str:
    """Do the drill and write down how it went, where `status` and `doctor` look. Returns the text for people.

    Raises:
        LabelrigError: the backup cannot be restored, or what was restored does not work. The drill is gone.
    """
    began = now()
    answer: dict[str, Any] = {"problem": "it was stopped"}
    try:
        restore(drill, RestoreRequest(snapshot, None, keeps_present=False), report)
        facts = cast(Mapping[str, Any], report.facts["restored"])
        manifest = facts["manifest"]
        answer = {
            "snapshot": facts["snapshot"],
            "rows": sum(int(one["rows"]) for one in manifest["database"]["tables"].values()),
            "files": manifest["media"]["files"],
            "click": drill.proof.sentence() if drill.proof is not None else "",
        }
    except LabelrigError as error:
        answer = {"problem": shortened(" ".join(str(error).split()))}
        raise
    finally:
        with report.stage("take down"):
            drill.take_down()
            report.ok("the drill is gone", [])
        path = f"{drill.serving.state}/{FOLDER}"
        content = encode_run(began, now(), answer)
        for name in ("last", *(("good",) if "problem" not in answer else ())):
            drill.host.write(f"{path}/{name}-drill.json", content, as_root=not drill.host.is_local)
        with suppress(LabelrigError):  # figures for who has a Prometheus: the drill is what counts
            BackupScript(drill.host, drill.serving.state, report).run("publish")
    return (
        f"drill passed: backup {answer['snapshot']} was restored beside the stack, {answer['rows']} rows and "
        f"{answer['files']} files are the same, and {answer['click']}"
    )


def free_port(host: Host) -> int:
    """A port that nothing listens on.

    Raises:
        LabelrigError: all of them are taken.
    """
    tcp, tcp6 = (read_text(host, path) or "" for path in ("/proc/net/tcp", "/proc/net/tcp6"))
    taken = checks.listening_ports(tcp, tcp6, "127.0.0.1")
    for port in range(FIRST_PORT, LAST_PORT + 1):
        if port not in taken:
            return port
    raise LabelrigError(f"{host.name}: every port from {FIRST_PORT} to {LAST_PORT} is taken")


def free_subnet(host: Host) -> str:
    """A network that overlaps none that the machine has a route to.

    Raises:
        LabelrigError: there is none among those that are tried.
    """
    routes = read_text(host, "/proc/net/route") or ""
    for subnet in SUBNETS:
        if not checks.subnet_problems(subnet, routes, False):
            return subnet
    raise LabelrigError(f"{host.name}: no private network is free for a drill ({SUBNETS[0]} and others were tried)")
