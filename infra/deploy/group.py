"""Hosts that serve together: planned and deployed as one, in the order of docs/decisions/0049-deploy-of-a-group.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from core.errors import LabelrigError, PreflightError, RolledBack, SudoRefused
from core.operation import Applier, Previewer, Runner
from core.report import Report
from infra.config.host_settings import HostSettings
from infra.config.serving import Serving
from infra.deploy.deployment import STAGES, Deployment
from infra.deploy.group_recovery import restore_group
from infra.deploy.hooking import run_own_hook
from infra.deploy.prune import prune
from infra.deploy.recovery import end_stand_in_last
from infra.deploy.units import on_member
from infra.deploy.worker import STAGES as WORKER_STAGES
from infra.deploy.worker import WorkerDeployment
from infra.fleet.parallel import attempt
from infra.fleet.run import RunOptions
from infra.fleet.session import Session, causes_named, session
from infra.fleet.target import settings_of
from infra.roles.nvidia.choice import choose
from infra.roles.nvidia.facts import read_gpu
from infra.roles.preflight.members import member_problems
from infra.roles.preflight.shared_cache import shared_cache_problems
from infra.roles.project.group_hosts import Drain
from infra.roles.project.replicas import ReplicasMissing
from infra.roles.stack.ray import Place
from infra.stack.stages import newest_torch_cuda, stack_project
from labelstudio.config import ProjectSpec


@dataclass
class GroupRun:
    """One run on all hosts of a group.

    Attributes:
        serving: the group.
        sessions: host -> its session, the head first.
        head: the run on the host with Label Studio.
        workers: the runs on the others.
        ended: worker -> the error with which it ended.
    """

    serving: Serving
    sessions: Mapping[str, Session]
    head: Deployment
    workers: Sequence[WorkerDeployment]
    ended: dict[str, LabelrigError] = field(default_factory=dict)

    @property
    def all(self) -> tuple[Deployment, ...]:
        """The head's run, then the workers'."""
        return (self.head, *self.workers)

    def check(self, runs: Mapping[str, Runner]) -> ProjectSpec:
        """Every host by itself, then all of them together. Nothing is changed.

        Raises:
            PreflightError: lists every problem of all hosts.
        """
        spec = stack_project(settings_of(self.head.host_settings))
        problems: dict[str, list[str]] = {}
        for one in self.all:
            try:
                one.check(runs[one.host.name], spec)
            except PreflightError as error:
                problems[one.host.name] = list(error.problems)
        if not problems:
            report = self.sessions[self.head.host.name].report
            with report.stage("group"):
                hosts = {one.host.name: one.host for one in self.all}
                data = self.head.host_settings.data
                folder = None if data is None else str(data)
                problems = member_problems(hosts, self.serving, folder, report.progress)
                if not problems and self.serving.shared_cache is not None:
                    users = {one.host.name: one.container_user() for one in self.all}
                    problems = shared_cache_problems(hosts, self.serving, users, report.progress)
                if not problems:
                    self._choose_places(problems)
                if not problems:
                    report.ok(f"{len(hosts)} hosts reach each other, with the same clock and images", [])
        if problems:
            for name, found in problems.items():
                if name != self.head.host.name:
                    self.ended[name] = PreflightError(found)
            raise PreflightError([f"{name}: {text}" for name, found in problems.items() for text in found])
        return spec

    def _choose_places(self, problems: dict[str, list[str]]) -> None:
        """A replica for each GPU; where no host has one, a replica on each host."""
        gpus: dict[str, int] = {}
        for one in self.all:
            choice = choose(read_gpu(one.host), one.host_settings.gpu, newest_torch_cuda())
            gpus[one.host.name] = len(choice.gpus) if choice.use else 0
        some = any(gpus.values())
        for name in self.serving.workers if some else ():
            if not gpus[name]:
                problems[name] = ["has no GPU that can be used, and others of the group have: it would answer nothing"]
        replicas = gpus if some else dict.fromkeys(self.serving.members, 1)
        for one in self.all:
            one.place = Place(one.host.name, self.serving, replicas, some)

    def plan(self, runs: Mapping[str, Runner]) -> None:
        """Show what `deploy` would change on each host."""
        spec = self.check(runs)
        for worker in self.workers:
            with on_member(worker.host, self.ended):
                worker.prepare(runs[worker.host.name])
        self.head.make(runs[self.head.host.name], spec)
        for worker in self.workers:
            with on_member(worker.host, self.ended):
                self._join(worker, runs[worker.host.name])

    def deploy(self, runs: Mapping[str, Runner]) -> None:
        """Bring all hosts there: workers' images first, then the head, then the workers one after the other, the gate.

        Raises:
            LabelrigError: something failed, on whichever host.
        """
        spec = self.check(runs)
        for worker in self.workers:
            with on_member(worker.host, self.ended):
                worker.prepare(runs[worker.host.name])

        def join_all() -> None:
            for worker in self.workers:
                with on_member(worker.host, self.ended):
                    self._join(worker, runs[worker.host.name])
                self.head.first_replica()

        self.head.before_gate = join_all
        try:
            self.head.make(runs[self.head.host.name], spec)
        except ReplicasMissing as error:
            raise self._with_logs(error) from None
        version = self.head.summary.proof.model_version if self.head.summary is not None else None
        attempts = [attempt(partial(self._prove, worker, version)) for worker in self.workers]
        if failed := [error for error in attempts if error is not None]:
            raise failed[0]

    def _prove(self, worker: WorkerDeployment, version: str | None) -> None:
        with on_member(worker.host, self.ended):
            worker.proven(version)

    def _join(self, worker: WorkerDeployment, run: Runner) -> None:
        made = self.head.made
        assert made is not None and worker.place is not None  # noqa: S101, PT018 - the head's release is there
        worker.drain = Drain(made.site.exec_in_backend, worker.host, worker.base, run.report)
        worker.join(run, made)

    def _with_logs(self, error: ReplicasMissing) -> LabelrigError:
        """The same with the last lines of the workers whose replicas are missing."""
        guilty = [one for one in self.workers if one.host.name in error.hosts]
        text = "".join(one.tail() for one in guilty)
        for one in guilty:
            self.ended[one.host.name] = LabelrigError(f"{one.host.name}: its replicas do not answer clicks")
        return type(error)(f"{error}{text}", error.hosts)


def plan_group(
    options: RunOptions, members: Sequence[HostSettings], reports: Mapping[str, Report],
    ended: dict[str, LabelrigError], *, deploys_next: bool = False,
) -> None:  # fmt: skip
    """Show what a deploy of the group would change. Changes nothing.

    Args:
        ended: gets the errors of workers.
        deploys_next: see `infra.deploy.run.plan_host`.

    Raises:
        LabelrigError: a deploy would fail too, or a host cannot be read.
    """
    with _group(options, members, reports, ended, lock=False) as group:
        for one in group.sessions.values() if deploys_next else ():
            with suppress(SudoRefused):  # one of the problems that preflight lists
                one.lock.refuse_held(options.lock_wait)
        with _steps(group):
            group.plan({name: Previewer(one.report) for name, one in group.sessions.items()})


def deploy_group(
    options: RunOptions, members: Sequence[HostSettings], reports: Mapping[str, Report], ended: dict[str, LabelrigError]
) -> None:
    """Deploy to all hosts of a group.

    Args:
        ended: gets the errors of workers.

    Raises:
        LockHeld: another run holds a host; nothing was changed.
        RolledBack: the group failed its gate, and the releases before serve again.
        LabelrigError: something failed; the same command goes on from there.
    """
    with _group(options, members, reports, ended, lock=True) as group:
        _first_hooks(group)
        try:
            with causes_named(group.head.host), _steps(group):
                group.deploy({name: Applier(one.report) for name, one in group.sessions.items()})
        except LabelrigError as error:
            raise _put_back(group, error) from None
        for one in group.all:
            prune(one, one.host_settings.keep_releases, group.sessions[one.host.name].report)
        for one in group.all:
            _record(group, one, None)
            run_own_hook(group.sessions[one.host.name], one, "post-deploy")


@contextmanager
def _group(
    options: RunOptions, members: Sequence[HostSettings], reports: Mapping[str, Report],
    ended: dict[str, LabelrigError], *, lock: bool,
) -> Iterator[GroupRun]:  # fmt: skip
    """Sessions on all hosts, the head's first, so that two runs never wait for each other."""
    by_name = {one.name: one for one in members}
    serving = members[0].serving
    assert serving is not None  # noqa: S101 - whoever calls has hosts of one group
    with ExitStack() as stack:
        sessions: dict[str, Session] = {}
        for name in serving.members:
            sessions[name] = stack.enter_context(session(options, by_name[name], reports[name], lock=lock))
        head = Deployment.of(sessions[serving.head])
        workers = [WorkerDeployment.of(sessions[name]) for name in serving.workers]
        group = GroupRun(serving, sessions, head, [one for one in workers if isinstance(one, WorkerDeployment)], ended)
        for one in group.all if lock else ():
            one.still_ours = sessions[one.host.name].lock.ensure
        yield group


@contextmanager
def _steps(group: GroupRun) -> Iterator[None]:
    with ExitStack() as stack:
        for name, one in group.sessions.items():
            stack.enter_context(one.report.steps(STAGES + 1 if name == group.serving.head else WORKER_STAGES))
        yield


def _first_hooks(group: GroupRun) -> None:
    for one in group.all:
        try:
            run_own_hook(group.sessions[one.host.name], one, "pre-deploy")
        except LabelrigError as error:
            for other in group.sessions.values():
                other.record("refused", error)
            raise


def _put_back(group: GroupRun, cause: LabelrigError) -> LabelrigError:
    """Let the releases before serve again, the head's first; returns the error to end with."""
    reports = {name: one.report for name, one in group.sessions.items()}
    result = restore_group(group.head, group.workers, cause, group.ended, reports)
    if group.head.place is not None:
        with suppress(LabelrigError):  # it stays, and the next run removes it
            end_stand_in_last(group.head, reports[group.head.host.name])
    for one in group.all:
        error = result if one is group.head else group.ended[one.host.name]
        _record(group, one, error)
        run_own_hook(group.sessions[one.host.name], one, "on-failure", error)
    return result


def _record(group: GroupRun, one: Deployment, error: LabelrigError | None) -> None:
    host = group.sessions[one.host.name]
    host.release_id = one.release_id
    host.record("ok" if error is None else "rolled-back" if isinstance(error, RolledBack) else "failed", error)
