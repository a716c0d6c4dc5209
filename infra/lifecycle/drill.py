"""`./inv restore --drill`: the newest backup into a throw-away stack beside the one that serves, and a click on it.

The drill has a project, port, network and volumes of its own; of the serving stack it shares the images, the checkpoint
and the image folders, all of them read only. It is taken down whatever comes of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import yaml

from core.errors import LabelrigError
from core.operation import converge
from core.report import Report
from core.strict_yaml import parse_yaml
from core.text import shortened
from hosts.base import Host
from infra.config.settings import Settings
from infra.config.stack_settings import Database
from infra.database.command import model_of
from infra.lifecycle.drill_network import free_port, free_subnet
from infra.lifecycle.drill_remains import DrillRemains
from infra.lifecycle.restore import RestoreRequest, restore
from infra.lifecycle.script import BackupScript
from infra.roles.backup.files import FOLDER
from infra.roles.backup.result import BEGUN, GOES_ON, encode_run
from infra.roles.docker.client import engine_client
from infra.roles.images.build import ImageSet
from infra.roles.images.tags import BACKUP
from infra.roles.project.verify import verify
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.image_folders import DEMO, ImageFolder, read_folders
from infra.roles.stack.render import RenderedFile
from infra.stack.site import Site, read_secrets, rendered, with_secrets
from infra.stack.stages import project_context, reached, stack_operations, stack_project
from labelstudio.access import Access
from labelstudio.proof import SmokeTest

Answer = Mapping[str, Any]
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
                "project": self.remains.project,
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
    def remains(self) -> DrillRemains:
        """What there is of it."""
        return DrillRemains(self.serving)

    @property
    def state(self) -> str:
        """The folder of the drill."""
        return self.remains.state

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
        self.remains.remove()

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
        LabelrigError: the backup cannot be restored, what was restored does not work, or the drill cannot be taken
            down; says which.
    """
    record = partial(_record, drill, now(), now)
    try:
        drill.remains.refuse_others()  # from here on what bears its name is its own, and is removed
    except LabelrigError as error:
        record(_failed(error))
        raise
    record({"problem": BEGUN, GOES_ON: True})  # stays where this run is killed, or loses its host
    try:
        answer = _restored(drill, snapshot, report)
    except BaseException as error:
        _end(drill, _failed(error), report, record)
        raise
    _end(drill, answer, report, record)
    return (
        f"drill passed: backup {answer['snapshot']} was restored beside the stack, {answer['rows']} rows and "
        f"{answer['files']} files are the same, and {answer['click']}"
    )


def _restored(drill: Drill, snapshot: str, report: Report) -> Answer:
    restore(drill, RestoreRequest(snapshot, None, keeps_present=False), report)
    facts = cast(Mapping[str, Any], report.facts["restored"])
    manifest = facts["manifest"]
    return {
        "snapshot": facts["snapshot"],
        "rows": sum(int(one["rows"]) for one in manifest["database"]["tables"].values()),
        "files": manifest["media"]["files"],
        "click": drill.proof.sentence() if drill.proof is not None else "",
    }


def _failed(error: BaseException) -> Answer:
    known = isinstance(error, LabelrigError)
    return {"problem": shortened(" ".join(str(error).split())) if known else "it was stopped"}


def _end(drill: Drill, answer: Answer, report: Report, record: Callable[[Answer], None]) -> None:
    """Take the drill down, and write down how it went, also where that fails."""
    failed = str(answer.get("problem", ""))
    try:
        with report.stage("take down"):
            drill.remains.remove()
            report.ok("the drill is gone", [])
    except LabelrigError as error:
        left = (
            f"the drill could not be taken down: {error}; the next one removes it first, and so does "
            f"`./inv prune{drill.serving.host_option}`"
        )
        text = f"{failed}; {left}" if failed else left
        with suppress(LabelrigError):
            record(_failed(LabelrigError(text)))
        raise LabelrigError(text) from error
    record(answer)
    with suppress(LabelrigError):  # figures for who has a Prometheus: the drill is what counts
        BackupScript(drill.host, drill.serving.state, report).run("publish")


def _record(drill: Drill, began: float, now: Callable[[], float], answer: Answer) -> None:
    content = encode_run(began, now(), answer)
    for name in ("last", *(("good",) if "problem" not in answer else ())):
        path = f"{drill.serving.state}/{FOLDER}/{name}-drill.json"
        drill.host.write(path, content, as_root=not drill.host.is_local)
