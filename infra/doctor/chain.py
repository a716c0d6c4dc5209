"""`./inv doctor`: the whole chain from SSH to a click, link by link, and the first one that is broken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from core.errors import UNREACHABLE, ConnectionLost, LabelrigError
from core.report import Report
from infra.doctor.backend_checks import check_backend, check_click, check_interactive, check_replicas
from infra.doctor.backup_checks import check_backup
from infra.doctor.diagnosis import Check, Diagnosis, Finding, Verdict, broken, skipped
from infra.doctor.gpu_checks import check_gpu
from infra.doctor.host_checks import (
    broken_ssh,
    check_clock,
    check_daemon,
    check_disk,
    check_engine,
    check_files,
    check_memory,
    check_release,
    check_secrets,
    check_ssh,
)
from infra.doctor.inspection import Inspection
from infra.doctor.project_checks import check_image, check_project, check_storage, check_token
from infra.doctor.proxy_checks import check_certificate, check_proxy
from infra.doctor.stack_checks import (
    check_containers,
    check_images,
    check_ls_to_sam2,
    check_no_localhost,
    check_sam2_to_ls,
)
from infra.doctor.update_checks import check_updates
from infra.roles.stack.ray import Part
from infra.stack.site import Site
from labelstudio.config import ProjectSpec

LIMIT = 10.0
SSH_LIMIT = 30.0  # several logins, where a server allows few sessions on each
UPDATES_LIMIT = 150.0  # once a day the package lists are fetched
CLICK_LIMIT = 100.0  # the first click of an image encodes it: on a CPU with a large model that takes a minute
LS, SAM2 = "label-studio", "sam2"


@dataclass(frozen=True)
class Link:
    """One link of the chain.

    Attributes:
        id: stable.
        title: the link in words.
        look: looks at it; a LabelrigError means that it is broken.
        needs: the links without which it cannot be looked at.
        inside: the services that must be healthy for it.
        limit: seconds that it may take.
    """

    id: str
    title: str
    look: Callable[[Inspection], Finding]
    needs: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    limit: float = LIMIT


CHAIN = (
    Link("ssh", "SSH login works", check_ssh, limit=SSH_LIMIT),
    Link("clock", "its clock is right", check_clock, ("ssh",)),
    Link("engine", "its Docker engine answers", check_engine, ("ssh",)),
    Link("daemon", "its engine has the settings it should have", check_daemon, ("ssh",)),
    Link("gpu", "the GPU matches its setting", check_gpu, ("ssh",)),
    Link("files", "the rendered files are there", check_files, ("ssh",)),
    Link("release", "they are those of the release", check_release, ("ssh",)),
    Link("secrets", "the secrets can be read, by their owner only", check_secrets, ("ssh",)),
    Link("images", "the images are there", check_images, ("engine",)),
    Link("updates", "the images have Debian's fixes", check_updates, ("images",), limit=UPDATES_LIMIT),
    Link("containers", "the containers are healthy", check_containers, ("engine",)),
    Link("disk", "there is room on the disk", check_disk, ("engine",)),
    Link("backup", "there is a backup", check_backup, ("ssh",)),
    Link("memory", "there is memory left", check_memory, ("ssh",)),
    Link("ls-to-sam2", "Label Studio reaches the backend", check_ls_to_sam2, ("engine",), (LS, SAM2)),
    Link("sam2-to-ls", "the backend reaches Label Studio", check_sam2_to_ls, ("engine",), (SAM2, LS)),
    Link("proxy", "the proxy lets people in", check_proxy, ("secrets",), (LS,)),
    Link("certificate", "its certificate is good", check_certificate, ("engine",)),
    Link("no-localhost", "nothing points to localhost", check_no_localhost, ("engine",), (LS,)),
    Link("token", "the token is accepted", check_token, ("secrets", "proxy"), (LS,)),
    Link("project", "the project is there", check_project, ("token",), (LS,)),
    Link("storage", "the image folder is connected", check_storage, ("project",), (LS,)),
    Link("image", "an image reaches both containers", check_image, ("storage",), (LS, SAM2)),
    Link("backend", "the backend is registered", check_backend, ("project", "ls-to-sam2"), (LS, SAM2)),
    Link("interactive", "clicks go to the backend", check_interactive, ("backend",), (LS, SAM2)),
    Link("click", "a click comes back as a mask", check_click, ("image", "interactive"), (LS, SAM2), CLICK_LIMIT),
)


# Of a host that only answers clicks: Label Studio and all that hangs on it are on another host of its group.
_AFTER_MEMORY = [link.id for link in CHAIN].index("memory") + 1
WORKER_CHAIN = tuple(link for link in CHAIN[:_AFTER_MEMORY] if link.id != "backup")
HEAD_CHAIN = (
    *CHAIN[:_AFTER_MEMORY],
    Link("replicas", "every host of its group answers", check_replicas, ("engine",), (SAM2,)),
    *CHAIN[_AFTER_MEMORY:],
)
CHAINS: Mapping[Part, tuple[Link, ...]] = {"alone": CHAIN, "head": HEAD_CHAIN, "worker": WORKER_CHAIN}


def doctor(
    site: Site,
    spec: ProjectSpec,
    report: Report,
    *,
    truth: Path | None = None,
    daemon: Mapping[str, object] | None = None,
) -> Diagnosis:
    """Look at every link. Changes nothing.

    Args:
        site: the stack.
        spec: the project that people work in; for the demo images `labelstudio.config.demo_spec`.
        report: shows what is being looked at.
        truth: the folder here with the truth of the demo images, None for a person's own.
        daemon: what the engine's daemon.json must hold.
    """
    look = Inspection(site, spec, report, truth, daemon)
    try:
        return walk(CHAINS[site.part], look, report)
    finally:
        look.close()


def doctor_unreachable(name: str, error: LabelrigError) -> Diagnosis:
    """The diagnosis of a host to which no connection can be made, or where root's rights cannot be had."""
    first, *others = CHAIN
    finding = broken_ssh(name, error)
    checks = [Check(first.id, first.title, finding.result, finding.seen, finding.fix, 0.0)]
    for link in others:
        checks.append(_checked(link, skipped(f"{first.id} is broken"), 0.0))
    return Diagnosis(name, tuple(checks), error.exit_code)


def walk(chain: Sequence[Link], look: Inspection, report: Report) -> Diagnosis:
    """Look at the links in order; what depends on a broken one is skipped."""
    checks: list[Check] = []
    causes: dict[str, str] = {}  # link -> why it, and what needs it, cannot be looked at
    gone: str | None = None
    for number, link in enumerate(chain, 1):
        report.progress(f"{number} of {len(chain)}: {link.title}")
        began = time.monotonic()
        broken_before = (causes[needed] for needed in link.needs if needed in causes)
        cause = gone or next(broken_before, None) or _not_running(link, look)
        finding = skipped(cause) if cause is not None else _within(link, look)
        if finding.result is Verdict.BROKEN and (why := look.host.lost()) is not None:
            gone = "the connection is gone"
            finding = broken_ssh(look.host.name, ConnectionLost(f"{look.host.name}: {gone} ({why})"))
        if finding.result is Verdict.BROKEN:
            causes[link.id] = f"{link.id} is broken"
        elif cause is not None:
            causes[link.id] = cause
        checks.append(_checked(link, finding, time.monotonic() - began))
    return Diagnosis(look.host.name, tuple(checks), UNREACHABLE if gone is not None else 1)


def _checked(link: Link, finding: Finding, seconds: float) -> Check:
    return Check(link.id, link.title, finding.result, finding.seen, finding.fix, seconds)


def _not_running(link: Link, look: Inspection) -> str | None:
    try:
        # Of several hosts `sam2` stands in front of the backend.
        inside = dict.fromkeys((*link.inside, *([look.site.computes] if SAM2 in link.inside else [])))
        stopped = [service for service in inside if not look.healthy(service)]
    except LabelrigError:
        return "engine is broken"
    return f"containers: {stopped[0]} is not healthy" if stopped else None


def _within(link: Link, look: Inspection) -> Finding:
    """Look at a link in a thread of its own: what hangs (a dead network share, say) must not hide the other links."""
    future: Future[Finding] = Future()

    def work() -> None:
        try:
            future.set_result(link.look(look))
        except BaseException as raised:  # noqa: BLE001 - it is raised again where the result is taken
            future.set_exception(raised)

    threading.Thread(target=work, daemon=True, name=f"doctor {link.id}").start()
    try:
        return future.result(link.limit)
    except LabelrigError as error:
        return broken(str(error), f"{look.again}; {look.inv('logs')} shows more")
    except TimeoutError:
        if future.done():
            raise
        return broken(
            f"no answer within {link.limit:.0f} s",
            f"{look.inv('logs')}; where the image folder is a network share: {look.by_hand('ls')} in it",
        )
