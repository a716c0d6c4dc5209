"""Whether a bundle has what a machine lacks: its system, its processor, every service, the model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from core.errors import HostError
from core.report import Report
from hosts.base import Host
from infra.bundle.manifest import IMAGES, MODELS, PACKAGES
from infra.bundle.reading import Bundle
from infra.config.stack_settings import Gpu, Model
from infra.roles.docker.platform import read_distribution
from infra.roles.images.bundle_apt import BundleApt
from infra.roles.images.work_folder import FOLDER
from infra.roles.nvidia.choice import GpuState, judge
from infra.roles.nvidia.facts import read_gpu
from infra.roles.nvidia.toolkit import PACKAGE, ToolkitInstalled
from infra.roles.preflight.checks import DISK_TO_RUN

NAMED = ("tiny", "small", "base-plus", "large")


@dataclass(frozen=True)
class BundleUse:
    """A bundle, and what a stack wants of it.

    Attributes:
        services: those of the stack.
        own: service -> an image of the lab's own, which no bundle has.
        model: the setting.
        gpu: the setting.
        torch_cuda: see `infra.roles.nvidia.choice.judge`.
    """

    bundle: Bundle
    services: Sequence[str]
    model: Model
    gpu: Gpu = "auto"
    torch_cuda: str | None = None
    own: Mapping[str, str] = field(default_factory=dict)


def bundle_problems(host: Host, use: BundleUse, *, ready: bool, images: Collection[str]) -> list[str]:
    """Check that nothing but the bundle is needed.

    Args:
        ready: an engine with compose is there, so that no package is needed for it.
        images: what the engine has.
    """
    manifest = use.bundle.manifest
    problems = []
    machine = host.run("uname", "-m").stdout.strip()
    if machine != manifest.machine:
        problems.append(f"the bundle is for the processor {manifest.machine}, and this machine's is {machine}")
    found = read_distribution(host)
    fits = found.system == manifest.system
    if not fits and not ready:
        problems.append(
            f"the bundle's packages are for {manifest.system}, and this is {found.pretty}; "
            + (
                f"make one with `./inv bundle.create --for {found.system}`"
                if found.is_supported
                else "install Docker Engine with the compose plugin first"
            )
        )
    if lacking := [one for one in use.services if one not in manifest.images and one not in use.own]:
        problems.append(f"the bundle has no image for {', '.join(lacking)}; make it again")
    problems += [
        f"the image {image} (of the inventory) is not here, and no bundle holds a lab's own image; `docker load` it"
        for image in use.own.values()
        if image not in images
    ]
    if use.model in NAMED and use.model not in manifest.models:
        there = ", ".join(["demo", *manifest.models])
        problems.append(
            f"the model {use.model} is not in the bundle (there: {there}); make it again with "
            f"`./inv bundle.create --model {use.model}`, or choose another model"
        )
    return [*problems, *_toolkit_problems(host, use, fits=fits)]


def bundle_needs(use: BundleUse, root: str, *, has_images: bool, ready: bool) -> dict[str, tuple[str, int]]:
    """The space that a machine needs, see `disk_problems`: archives are as large as what is unpacked from them."""
    bundle = use.bundle
    images = 0 if has_images else bundle.size(IMAGES)
    needs = {"images and volumes": (root, DISK_TO_RUN + images + bundle.size(MODELS))}
    if not ready:  # the packages, and what is installed from them
        needs["packages"] = (FOLDER, 4 * bundle.size(PACKAGES))
    return needs


def _toolkit_problems(host: Host, use: BundleUse, *, fits: bool) -> list[str]:
    if use.gpu == "off" or "sam2" in use.own:
        return []
    state, _ = judge(read_gpu(host), use.torch_cuda)
    if state is not GpuState.READY:
        return []
    try:
        planned = ToolkitInstalled(host, Report(), apt=BundleApt(host, Report(), use.bundle, "preflight")).plan()
    except HostError as error:
        return [str(error).removeprefix(f"{host.name}: ")]
    if planned and not fits:
        return [f"{PACKAGE} is missing, and the bundle's packages are for {use.bundle.manifest.system}"]
    return []
