"""`project.plan`, `project.apply` and `project.sync`: Label Studio's projects as `projects.yaml` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.operation import Applier, Operation, Previewer, Runner
from core.repository import REPOSITORY
from infra.fleet.session import Session
from infra.roles.project.labeling import Migration
from infra.roles.project.role import project_role
from infra.roles.project.storage import ImagesSynced, StorageConnected, look_in
from labelstudio.config import ProjectSpec, load_projects
from labelstudio.label_use import Rename, labels_in
from labelstudio.versions import FOLDER, LOCK, check_published, publish


def plan_projects(session: Session, names: Sequence[str], migration: Migration) -> str:
    """Show what `apply_projects` would change, with diffs.

    Args:
        names: keys or titles of `projects.yaml`; none means all.

    Raises:
        LabelrigError: it would fail too.
    """
    runner = Previewer(session.report)
    for spec, own in _shares(load_projects(REPOSITORY, names), migration):
        runner.pending = False  # the projects do not depend on each other
        _run(session, runner, spec, own)
    return session.report.recap()


def apply_projects(session: Session, names: Sequence[str], migration: Migration) -> str:
    """Make the projects what `projects.yaml` says; see `plan_projects`.

    Raises:
        SettingsError: labels in use would be orphaned; that project was not changed.
        LabelrigError: it failed; the same command goes on from there.
    """
    folder = REPOSITORY / FOLDER
    for spec, own in _shares(load_projects(REPOSITORY, names), migration):
        check_published(folder, spec.config, spec.version)
        _run(session, Applier(session.report), spec, own)
        if publish(folder, spec.config, spec.version):
            session.report.notice(f"{spec.config}/v{spec.version} stands in {FOLDER}/{LOCK} now: commit it")
    return session.report.recap()


def sync_projects(session: Session, names: Sequence[str]) -> str:
    """Take in new files and report which ones have vanished; nothing else of the projects is read.

    Raises:
        LabelrigError: it failed; the same command goes on from there.
    """
    for spec in load_projects(REPOSITORY, names):
        resolved, folder = session.resolved(spec)
        ctx = session.context(folder)
        storage = StorageConnected(ctx.access, resolved, ctx.host, folder.path, ctx.files_root, folder.name)
        operations: list[Operation] = [
            storage,
            ImagesSynced(
                ctx.access, resolved, ctx.host, folder.path, storage, ctx.exec_in_label_studio, session.report
            ),
        ]
        with session.report.stage(resolved.title):
            Applier(session.report).run(operations)
    return session.report.recap()


def _shares(specs: Sequence[ProjectSpec], migration: Migration) -> list[tuple[ProjectSpec, Migration]]:
    """The renames of each project: of several projects, those that have the old label in a version and the new one now.

    A rename that suits none of them goes to all: each reports what does not fit.
    """

    def suits(rename: Rename, spec: ProjectSpec) -> bool:
        before = frozenset[str]().union(*map(labels_in, spec.versions.values()))
        return rename.new in labels_in(spec.labeling.text) and rename.old in before

    known = [rename for rename in migration.renames if any(suits(rename, spec) for spec in specs)]
    own = [[one for one in migration.renames if one not in known or suits(one, spec)] for spec in specs]
    return [(spec, replace(migration, renames=renames)) for spec, renames in zip(specs, own, strict=True)]


def _run(session: Session, runner: Runner, spec: ProjectSpec, migration: Migration) -> None:
    spec, folder = session.resolved(spec)
    context = session.context(folder)  # first: its error says that the stack was never started
    with runner.stage(spec.title):
        look_in(session.host, folder.path, spec)  # before a project is made that has no images
        runner.run(project_role(spec, context, migration))
