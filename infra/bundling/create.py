"""`./inv bundle.create`: collect the parts in a folder beside the file, then write the file from them.

The folder stays when a run breaks off, and the next run goes on from there; it is removed when the file is whole.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.errors import FileAccessError, HostError, SettingsError
from core.operation import converge
from core.report import Report
from core.repository import own_version
from hosts.base import Host
from infra.bundle.manifest import IMAGES, MODELS, PACKAGES, WHEELS, BundledImage, Manifest
from infra.bundle.reading import open_bundle
from infra.bundle.writing import WRITTEN, write_bundle
from infra.bundling.collecting import apt_folder, collecting, parts_folder
from infra.bundling.images import image_sizes, save_images
from infra.bundling.packages import Package, PackageSet
from infra.bundling.systems import TargetSystem
from infra.bundling.weights import fetch_weights, weight_sizes
from infra.bundling.wheels import fetch_wheels
from infra.config.settings import Settings
from infra.config.stack_settings import Model
from infra.fleet.commit import Commit
from infra.roles.docker.client import EngineState, engine_state
from infra.roles.images.build import ImageSet
from infra.roles.images.role import images_role, plan_images
from infra.roles.images.tags import FOLDERS, TOGETHER
from infra.roles.nvidia.toolkit import ToolkitSource

STAGES = 6
GIB, MIB = 1024**3, 1024**2
WHEELS_OF_A_PYTHON = 120 * MIB  # as measured


@dataclass(frozen=True)
class Wanted:
    """What a bundle is to hold.

    Attributes:
        system: whose Debian packages.
        models: whose weights; the demo model is in an image.
        nvidia: NVIDIA's container toolkit too.
        out: the file.
        serve: the image for hosts that serve together too.
    """

    system: TargetSystem
    models: tuple[Model, ...]
    nvidia: bool
    out: Path
    serve: bool = False

    @property
    def folder(self) -> Path:
        """Where the parts are collected."""
        return parts_folder(self.out)

    @property
    def pythons(self) -> tuple[str, ...]:
        """The versions of Python whose wheels are taken: the system's, and the one that runs here."""
        here = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return tuple(dict.fromkeys((self.system.python, here)))


def create_bundle(
    wanted: Wanted, settings: Settings, here: Host, repository: Path, commit: Commit, report: Report
) -> str:
    """Make a bundle of this tree.

    Args:
        settings: of `.env`: whose project name images are labelled with, where weights are downloaded from.

    Returns:
        What a person needs to know of the file.

    Raises:
        SettingsError: the file's name is that of a folder.
        HostError: no engine runs here, or something cannot be fetched.
        LockHeld: another run makes the same file.
        FileAccessError: there is no room.
    """
    machine = platform.machine()
    if wanted.out.is_dir():
        example = wanted.out / f"labelrig-{wanted.system.distribution.system}.tar"
        raise SettingsError(f"--out {wanted.out} is a folder; name a file, such as {example}; nothing was done")
    if engine_state(here) is not EngineState.ANSWERS:
        raise HostError("no Docker engine answers here, and the images come from it; `./inv up` installs one")
    apt = apt_folder(wanted.out, os.environ)
    with collecting(wanted.folder, apt, report) as folder:
        work = folder / "work"
        work.mkdir(exist_ok=True)
        with report.stage("images"):
            services = tuple(one for one in FOLDERS if one not in TOGETHER or wanted.serve)
            images = plan_images(here, repository, settings, report, services=services)
            converge(images_role(here, images, report), report)
        with report.stage("packages"):
            source = ToolkitSource() if wanted.nvidia else None
            packages = PackageSet(here, wanted.system, machine, folder, apt, report, source)
            found = packages.find()
            expected = _sizes_before(wanted, image_sizes(here, images), found, weight_sizes(repository, wanted.models))
            report.info("\n".join([f"  {wanted.out.name} will be about this large:", *_table(expected)]))
            _refuse_full_disk(wanted, sum(expected.values()))
            packages.fetch(found)
            report.ok(f"{len(found)} packages for {wanted.system.distribution.pretty}", [])
        with report.stage("wheels"):
            fetch_wheels(here, repository, folder / WHEELS, work, wanted.pythons, machine, report)
            report.ok(f"wheels for Python {' and '.join(wanted.pythons)}", [])
        with report.stage("model"):
            models = fetch_weights(here, repository, settings, images.sam2, folder, work, wanted.models, report)
            report.ok(f"weights of {', '.join(['demo', *models])}", [])
        with report.stage("archives"):
            archives = save_images(here, images, folder, report)
            report.ok(f"{len(archives)} images saved", [])
        with report.stage("bundle"):
            manifest = _manifest(wanted, machine, images, commit, archives, found, models, repository)
            write_bundle(wanted.out, folder, manifest, report.progress)
            report.ok("written", [f"wrote {wanted.out}"])
    return _summary(wanted, report)


def _sizes_before(
    wanted: Wanted, images: Mapping[str, int], packages: Sequence[Package], weights: Mapping[str, int]
) -> dict[str, int]:
    return {
        IMAGES: sum(images.values()),
        PACKAGES: sum(one.size for one in packages),
        MODELS: sum(weights.values()),
        WHEELS: len(wanted.pythons) * WHEELS_OF_A_PYTHON,
    }


def _table(sizes: Mapping[str, int]) -> list[str]:
    rows = {name: size for name, size in sizes.items() if size}
    return [f"    {name:<9} {size / MIB:8.0f} MiB" for name, size in {**rows, "together": sum(rows.values())}.items()]


def _refuse_full_disk(wanted: Wanted, expected: int) -> None:
    """The parts and the file lie side by side for a while; what was collected already counts."""
    collected = [*wanted.folder.rglob("*"), wanted.out.with_name(wanted.out.name + WRITTEN)]
    there = sum(path.stat().st_size for path in collected if path.is_file())
    free, needed = shutil.disk_usage(wanted.folder).free, 2 * expected - there
    if free < needed:
        raise FileAccessError(
            f"{free / GIB:.1f} GiB free on the disk of {wanted.out.parent}, {needed / GIB:.1f} GiB needed (the parts, "
            "and the file made of them); free some space, or name another place with --out"
        )


def _manifest(
    wanted: Wanted,
    machine: str,
    images: ImageSet,
    commit: Commit,
    archives: Mapping[str, BundledImage],
    packages: Sequence[Package],
    models: Mapping[str, str],
    repository: Path,
) -> Manifest:
    return Manifest(
        labelrig=own_version(repository),
        commit=commit.digest,
        dirty=commit.dirty,
        made=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        system=wanted.system.distribution.system,
        machine=machine,
        base=images.base.choice,
        images=dict(archives),
        packages={one.name: one.version for one in packages},
        models=dict(models),
        pythons=wanted.pythons,
    )


def describe(path: Path) -> tuple[dict[str, object], str]:
    """What a bundle holds, for `--json` and for people.

    Raises:
        SettingsError: see `open_bundle`.
    """
    bundle = open_bundle(path)
    manifest = bundle.manifest
    sizes = {part: bundle.size(part) for part in (IMAGES, PACKAGES, MODELS, WHEELS)}
    facts: dict[str, object] = {
        "bundle": str(path),
        "bytes": path.stat().st_size,
        "bytes_of": sizes,
        **manifest.model_dump(mode="json"),
    }
    changed = ", with changes" if manifest.dirty else ""
    lines = [
        f"{path}: {path.stat().st_size / MIB:.0f} MiB",
        f"  labelrig {manifest.labelrig}, commit {manifest.commit[:7]}{changed}, made {manifest.made}",
        f"  for {manifest.system} on {manifest.machine}; Python {', '.join(manifest.pythons)}",
        f"  models {', '.join(['demo', *manifest.models])}; images {', '.join(manifest.images)}",
        *_table(sizes),
    ]
    return facts, "\n".join(lines)


def _summary(wanted: Wanted, report: Report) -> str:
    facts, text = describe(wanted.out)
    report.facts |= facts
    name = wanted.out.name
    return f"{text}\n\n  ./inv deploy --bundle {name} --host HOST    # docs/offline.md\n\n{report.recap()}"
