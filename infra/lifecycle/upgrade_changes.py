"""What an upgrade changes: read from what serves and from what would serve. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from core.errors import LabelrigError, SettingsError
from core.report import Report
from core.text import size_text
from infra.database.containers import Containers
from infra.database.sides import DATA_OF_SERVER, PostgresSide, SqliteSide
from infra.database.state import applied_migrations
from infra.lifecycle.database_server import separate_server
from infra.lifecycle.label_studio_image import LabelStudioImage, label_studio_of
from infra.lifecycle.old_data import DatabaseCopy, DataFolder, OldData, SqliteCopy
from infra.roles.images.build import ImageSet
from infra.roles.images.tags import LABEL_STUDIO, POSTGRES_MAJOR
from infra.roles.stack.render import images_of, parse_stack_env
from infra.stack.database_choice import database_of
from infra.stack.site import Site

SPARE_BYTES = 512 << 20
SHOWN = 3


@dataclass(frozen=True)
class Changes:
    """What is different afterwards.

    Attributes:
        images: service -> the image now and then, of those that change.
        label_studio: its version now and then.
        pending: migrations that are applied.
        final: those among them that cannot be undone.
        postgres: the major version of the server's data now; empty where it stays or there is none.
    """

    images: Mapping[str, tuple[str, str]]
    label_studio: tuple[str, str]
    pending: Sequence[str]
    final: Sequence[str]
    postgres: str

    @property
    def any(self) -> bool:
        """Whether there is something to do."""
        return bool(self.images or self.pending or self.postgres)

    def lines(self) -> list[str]:
        """For people."""
        before, after = self.label_studio
        lines = [f"Label Studio {before} -> {after}" if before != after else f"Label Studio {after}, as now"]
        if self.pending:
            lines.append(f"{len(self.pending)} migrations ({_some(self.pending)}), {self._final_text()}")
        if self.postgres:
            lines.append(
                f"PostgreSQL {self.postgres} -> {POSTGRES_MAJOR}: dumped, loaded anew, compared table by table"
            )
        if self.images:
            lines.append(f"other images of {', '.join(self.images)}")
        return lines

    def _final_text(self) -> str:
        if not self.final:
            return "each of which Label Studio could undo"
        return f"{len(self.final)} of which cannot be undone ({_some(self.final)})"

    def facts(self) -> dict[str, object]:
        """For JSON."""
        return {
            "label_studio": list(self.label_studio),
            "migrations": list(self.pending),
            "not_undone": list(self.final),
            "postgres": [self.postgres, POSTGRES_MAJOR] if self.postgres else None,
            "images": {service: list(pair) for service, pair in self.images.items()},
        }


def changes_of(site: Site, images: ImageSet, report: Report) -> Changes:
    """Compare what serves with what would serve.

    Args:
        site: the stack as it serves.
        images: of what would serve.

    Raises:
        SettingsError: there is no stack of a kind that can be upgraded.
        LabelrigError: the database is of a later Label Studio; or something cannot be asked.
    """
    host, uid = site.host, site.settings.uid
    values = parse_stack_env(host.read(site.files.env, as_root=not host.is_local) or b"")
    now = images_of(values)
    if LABEL_STUDIO not in now or uid is None:
        raise SettingsError(f"{host.name}: what serves was made by a version before 0.2; `./inv {_task(site)}` first")
    containers = Containers(host, site.compose, site.settings.project)
    postgres = ""
    if database_of(site) == "postgres":
        containers.start_db(report)
        major = containers.in_db("cat", f"{DATA_OF_SERVER}/main/PG_VERSION").stdout.strip()
        postgres = major if major != POSTGRES_MAJOR else ""
        applied = applied_migrations("postgres", containers.in_db)
    else:
        applied = applied_migrations("sqlite", containers.in_label_studio)
    report.progress("asking the new Label Studio which migrations it has")
    after = label_studio_of(host, images.tags[LABEL_STUDIO], uid)
    if unknown := after.unknown(applied):
        raise LabelrigError(
            f"{host.name}: the database has {len(unknown)} migrations that Label Studio {after.version} does not know "
            f"({_some(unknown)}): it is of a later one. Use the version of labelrig that it was upgraded with, or a "
            "later one; nothing was changed"
        )
    same = now[LABEL_STUDIO] == images.tags[LABEL_STUDIO]
    before = after if same else label_studio_of(host, now[LABEL_STUDIO], uid)
    return _changes(now, images, (before, after), applied, postgres)


def _changes(
    now: Mapping[str, str],
    images: ImageSet,
    versions: tuple[LabelStudioImage, LabelStudioImage],
    applied: Sequence[str],
    postgres: str,
) -> Changes:
    before, after = versions
    pending = after.pending(applied)
    others = {
        service: (now[service], tag) for service, tag in images.tags.items() if service in now and now[service] != tag
    }
    final = [name for name in pending if name in after.final]
    return Changes(others, (before.version, after.version), pending, final, postgres)


def old_data_of(site: Site, stamp: str, postgres: str, report: Report, images: ImageSet | None = None) -> OldData:
    """How the data of before are kept.

    Args:
        images: of what would serve; needed to keep data, and not to put them back.
        stamp: the moment, in their names.
        postgres: the major version of the server's data before, where it becomes another one.
    """
    containers = Containers(site.host, site.compose, site.settings.project)
    if database_of(site) != "postgres":
        return SqliteCopy(SqliteSide(containers), stamp)
    side = PostgresSide(containers)
    if postgres:
        return DataFolder(side, partial(_server, site, images, report), postgres, stamp, report)
    return DatabaseCopy(side, stamp, report)


def _server(site: Site, images: ImageSet | None, report: Report) -> Containers:
    assert images is not None  # noqa: S101 - see old_data_of
    return separate_server(site, images, report)


def refuse_without_room(old: OldData, name: str) -> None:
    """Make sure that the old data can be kept beside the new.

    Raises:
        LabelrigError: there is no room. Nothing was changed.
    """
    taken, free = old.needs()
    if free < taken + SPARE_BYTES:
        raise LabelrigError(
            f"{name}: the data of before are kept until the new version has served: that needs "
            f"{size_text(taken + SPARE_BYTES)} and {size_text(free)} are free; `./inv prune` may make room; "
            "nothing was changed"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if names[SHOWN:] else ""
    return ", ".join(names[:SHOWN]) + more


def _task(site: Site) -> str:
    return "up" if site.host.is_local else f"deploy --host {site.host.name}"
