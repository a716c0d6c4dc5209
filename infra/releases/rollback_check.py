"""Whether a release can serve again. Everything is asked before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from core.errors import LabelrigError
from infra.database.state import DatabaseState
from infra.releases.manifest import Manifest, Release, newest_passed
from infra.releases.store import Found

Present = Callable[[Sequence[str]], Collection[str]]


def check_rollback(
    host_name: str,
    found: Found,
    wanted: str | None,
    *,
    images_present: Present,
    folders_present: Present,
    database_now: DatabaseState | None,
    database: bool = True,
) -> Release:
    """Return the release to go back to. Changes nothing.

    Args:
        found: the releases of the host.
        wanted: an id; None means the newest release before the current one that passed its gate.
        images_present: of these image ids, those that the host has.
        folders_present: of these image folders, those that are there.
        database_now: None where it could not be read.
        database: whether the host has one.

    Raises:
        LabelrigError: names everything that stands in the way.
    """
    target = _target(host_name, found, wanted)
    problems = [] if target.id != found.current_id else ["it is the one that serves now"]
    damaged = target.damaged()
    if damaged:
        problems.append(f"its files are not what they were: {', '.join(damaged)}")
    manifest = target.manifest
    if manifest is not None:
        if manifest.gate != "passed":
            problems.append(f"it never passed its gate ({manifest.gate}); deploy its commit instead")
        problems += _missing_images(manifest, images_present)
        missing = sorted(set(manifest.folders) - set(folders_present(manifest.folders)))
        problems += [f"its image folder {folder} is not there" for folder in missing]
        problems += _database_problems(manifest, database_now) if database else []
    if problems:
        lines = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, 1))
        raise LabelrigError(f"{host_name}: cannot go back to release {target.id}; nothing was changed:\n{lines}")
    return target


def _target(host_name: str, found: Found, wanted: str | None) -> Release:
    there = ", ".join(f"{one.id} ({one.gate})" for one in reversed(found.releases)) or "none"
    target = found.get(wanted) if wanted is not None else newest_passed(found.releases, found.current_id)
    if target is not None:
        return target
    what = f"no release {wanted}" if wanted is not None else "no release before the current one that passed its gate"
    raise LabelrigError(f"{host_name}: there is {what}; nothing was changed; there are: {there}")


def _missing_images(manifest: Manifest, present: Present) -> list[str]:
    wanted = dict(sorted(manifest.images.items()))
    there = set(present([image.id for image in wanted.values() if image.id]))
    return [
        f"its image of {service} is not on the host any more ({image.tag}, {image.id or 'id not recorded'}); "
        "deploy its commit instead, which builds or sends it again"
        for service, image in wanted.items()
        if image.id not in there
    ]


def _database_problems(manifest: Manifest, now: DatabaseState | None) -> list[str]:
    then = manifest.database_state
    if now is None:
        return ["the database cannot be read now, so whether it fits is unknown; start the stack first"]
    if now.kind != manifest.database:
        return [f"it ran on {manifest.database}, and the work is in {now.kind} now; `./inv database.move` goes back"]
    if then is None:
        return ["it did not record which tables it needs; deploy its commit instead"]
    if then.migrations_digest == now.migrations_digest:
        return []
    newer = now.migrations_count - then.migrations_count
    how = f"{newer} migrations newer than its own" if newer > 0 else "of another version of Label Studio"
    return [f"the tables of the database are {how}; restore a backup that was made before them"]
