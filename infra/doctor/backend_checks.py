"""The last links: the backend in Label Studio, its interactive flag, and one real click."""

from __future__ import annotations

import io

from core.errors import LabelrigError
from core.report import Report
from core.text import inline
from infra.config.backend_login import backend_login
from infra.doctor.diagnosis import Finding, broken, ok, warning
from infra.doctor.inspection import Inspection
from infra.roles.project.backend_logins import REFUSED
from infra.roles.project.group_hosts import read_hosts
from infra.roles.project.ml_backend import same_url
from infra.roles.project.role import BACKEND_URL, ProjectContext
from infra.roles.project.verify import verify
from infra.roles.stack.backend_secrets import secret_writer
from labeling.config import read_config
from labelstudio.answers import PRIVATE_ADDRESS
from labelstudio.labeling_checks import problems_in
from labelstudio.models import Backend


def check_backend(look: Inspection) -> Finding:
    """The backend is registered once, and Label Studio gets good answers from it."""
    ours, others = _backends(look)
    if not ours:
        there = ", ".join(inline(one.url) for one in others) or "none"
        return broken(f"no ML backend {BACKEND_URL} is registered (there are: {there})", f"{look.again} registers it")
    if not ours[0].connected:
        said = " ".join(ours[0].error.split()) or "it gives no reason"
        fix = f"{look.inv('logs')} shows what the backend answered"
        if PRIVATE_ADDRESS in said:
            fix = f"{look.again} makes the container anew, with the settings that open the backend's address"
        elif REFUSED in said:
            fix = f"{look.again} gives the backend and Label Studio the same password"
        return broken(f"Label Studio's state of {BACKEND_URL} is {ours[0].state}: {said}", fix)
    if len(ours) > 1:
        return warning(f"{BACKEND_URL} is registered {len(ours)} times", f"{look.again} keeps one")
    return ok(f"{BACKEND_URL} is connected, model {ours[0].model_version or 'unnamed'}")


def check_interactive(look: Inspection) -> Finding:
    """Clicks go to the backend, and the labeling configuration has a tool to click with and one for the mask."""
    ours, others = _backends(look)
    if not ours or not ours[0].is_interactive:
        return broken(
            "the ML backend is not interactive: the editor never asks it",
            f'{look.again}, or switch on "Interactive preannotations" in the project\'s settings (Model)',
        )
    text = look.project().label_config
    problems = [f"line {line}: {what}" for line, what in problems_in(text)]
    if problems:
        return broken(f"the project's labeling configuration: {problems[0]}", f"{look.again} puts ours back")
    labeling = read_config(text)
    first = next((one for one in others if one.is_interactive and one.id < ours[0].id), None)
    if first is not None:
        return warning(
            f"another interactive ML backend comes first, {first.shown}: the editor asks that one",
            "remove it in the project's settings (Model)",
        )
    tools = [control.tag for control in (labeling.point, labeling.box) if control is not None]
    return ok(
        f"interactive; smart tools: {', '.join(tools)}; masks go to {labeling.mask.tag if labeling.mask else '?'}"
    )


def check_click(look: Inspection) -> Finding:
    """One click as the editor sends it comes back as a mask."""
    scratch = Report(io.StringIO())
    try:
        context = ProjectContext(
            host=look.host,
            env_file=look.site.env_file,
            state=look.site.state,
            folder=look.folder(),
            access=look.access,
            exec_in_label_studio=look.exec_in("label-studio"),
            exec_in_backend=look.exec_in_backend,
            write_secret=secret_writer(look.site.compose),
            backend_login=backend_login(look.site.settings),
            report=scratch,
            truth=look.truth,
        )
        proof = verify(look.spec, context, scratch)
    except LabelrigError as error:
        return broken(str(error), f"{look.inv('logs')} shows what the backend did")
    if scratch.notices:
        return warning(f"{proof.sentence()}\n" + "\n".join(scratch.notices), "look at a few images in the browser")
    return ok(proof.sentence())


def check_replicas(look: Inspection) -> Finding:
    """Of hosts that serve together, each has a replica that answers; asked for on their head."""
    found = {one.host: one for one in read_hosts(look.exec_in_backend)}
    serving = look.site.serving
    missing = [name for name in (serving.workers if serving is not None else ()) if name not in found]
    silent = [f"{one.name} is {one.state}" for host in found.values() for one in host.replicas if not one.answers]
    silent += [f"{name} has no replica that answers" for name in missing]
    drained = [f"{name} is drained" for name, one in found.items() if one.drained]
    if silent:
        group = "" if serving is None else f" --group {serving.group}"
        return broken("; ".join([*silent, *drained]), f"`./inv doctor{group}` looks at each host; {look.again}")
    if drained:
        back = "python -m backend.ask DELETE /hosts/HOST/drain"
        return warning("; ".join(drained), look.by_hand(f"docker exec CONTAINER OF ray {back}"))
    return ok(", ".join(one.name for host in found.values() for one in host.replicas))


def _backends(look: Inspection) -> tuple[list[Backend], list[Backend]]:
    """Ours, and the others."""
    everything = look.client.backends(look.project().id)
    ours = [one for one in everything if same_url(one.url, BACKEND_URL)]
    return ours, [one for one in everything if one not in ours]
