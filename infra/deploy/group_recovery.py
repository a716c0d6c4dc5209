"""Going back on hosts that serve together: the head comes first, and workers follow it, as all have one version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from core.errors import LabelrigError, PreflightError, RolledBack
from core.operation import converge
from core.report import Report
from infra.deploy.deployment import Deployment
from infra.deploy.recovery import restore_previous
from infra.deploy.worker import WorkerDeployment
from infra.fleet.parallel import attempt
from infra.roles.project.group_hosts import HostBack


def restore_group(
    head: Deployment, workers: Sequence[WorkerDeployment], cause: LabelrigError, ended: dict[str, LabelrigError],
    reports: Mapping[str, Report],
) -> LabelrigError:  # fmt: skip
    """After a failure: let the releases before serve again, on workers only where the head serves its own of before.

    Args:
        ended: worker -> the error with which it ended; gets one for each.
        reports: host -> its report.

    Returns:
        The error to end with: RolledBack, or `cause` where the head was not put back, with the workers that stay.
    """
    result = restore_previous(head, cause, reports[head.host.name])
    stay = []
    for worker in workers:
        name = worker.host.name
        reason = ended.get(name, LabelrigError(str(cause).splitlines()[0]))
        if isinstance(cause, PreflightError) or worker.made is None:
            ended.setdefault(name, LabelrigError(f"nothing was changed: {reason}"))
        elif isinstance(result, RolledBack) or (_serves_as_before(head) and _was_proven(worker)):
            ended[name] = restore_previous(worker, reason, reports[name])
        else:
            ended[name] = reason
            stay.append(name)
        if worker.drain is not None:  # its ingress may not have answered when the run failed
            error = attempt(partial(converge, [HostBack(worker.drain)], reports[name]))
            if error is not None:
                reports[name].notice(str(error))
    if not stay:
        return result
    return type(result)(
        f"{result}\nThe releases of {', '.join(stay)} stay, as that of {head.host.name} does: all have one version. "
        "The next `deploy` of the group proves them."
    )


def _serves_as_before(head: Deployment) -> bool:
    """Whether this run left the head's release, which had passed: what workers had before fits it."""
    return _was_proven(head) and head.before is not None and head.release_id == str(head.before.id)


def _was_proven(one: Deployment) -> bool:
    return one.before is not None and one.before.gate == "passed"
