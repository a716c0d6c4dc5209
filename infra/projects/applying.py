"""`project.plan`, `project.apply` and `project.sync`: Label Studio's projects as `projects.yaml` says."""

from __future__ import annotations

from collections.abc import Sequence

from core.operation import Applier, Operation, Previewer, Runner
from core.repository import REPOSITORY
from infra.fleet.session import Session
from infra.roles.project.labeling import Migration
from infra.roles.project.role import project_role
from infra.roles.project.storage import ImagesSynced, StorageConnected, look_in
from labelstudio.config import load_projects
from labelstudio.versions import FOLDER, LOCK, check_published, publish


def plan_projects(session: Session, names: Sequence[str], migration: Migration) -> str:
    """Show what `apply_projects` would change, with diffs.

    Args:
        names: keys of `projects.yaml`; none means all.

    Raises:
        LabelrigError: it would fail too.
    """
    runner = Previewer(session.report)
    for name in names or [spec.name for spec in load_projects(REPOSITORY)]:
        runner.pending = False  # one project says nothing of another
        _run(session, runner, name, migration)
    return session.report.recap()


def apply_projects(session: Session, names: Sequence[str], migration: Migration) -> str:
    """Make the projects what `projects.yaml` says; see `plan_projects`.

    Raises:
        SettingsError: labels in use would be orphaned; that project was not changed.
        LabelrigError: it failed; the same command goes on from there.
    """
    folder = REPOSITORY / FOLDER
    for spec in load_projects(REPOSITORY, names):
        check_published(folder, spec.config, spec.version)
        _run(session, Applier(session.report), spec.name, migration)
        if publish(folder, spec.config, spec.version):
            session.report.notice(f"{spec.config}/v{spec.version} stands in {FOLDER}/{LOCK} now: commit it")
    return session.report.recap()


def sync_projects(session: Session, names: Sequence[str]) -> str:
    """Take in new files, and say which ones have vanished; nothing else of the projects is looked at.

    Raises:
        LabelrigError: it failed; the same command goes on from there.
    """
    for spec in load_projects(REPOSITORY, names):
        settled, folder = session.resolved(spec)
        ctx = session.context(folder)
        storage = StorageConnected(ctx.access, settled, ctx.files_root, folder.name)
        operations: list[Operation] = [
            storage,
            ImagesSynced(ctx.access, settled, ctx.host, folder.path, storage, ctx.exec_in_label_studio, session.report),
        ]
        with session.report.stage(settled.title):
            Applier(session.report).run(operations)
    return session.report.recap()


def _run(session: Session, runner: Runner, name: str, migration: Migration) -> None:
    spec, folder = session.resolved(load_projects(REPOSITORY, [name])[0])
    with runner.stage(spec.title):
        look_in(session.host, folder.path, spec)  # before a project is made that has no images
        runner.run(project_role(spec, session.context(folder), migration))
