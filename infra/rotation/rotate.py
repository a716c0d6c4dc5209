"""One stack gets new secrets, and serves with them at the end.

The file of secrets is what is wanted (decision 15): the new values are written there at once, and then everything is
brought to it by the operations of `up` and `deploy`. So a rotation that is cut off leaves a stack that the next
rotation, `up` or `deploy` brings to the new values, and never one whose values nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

from pydantic import SecretStr

from core.errors import CommandFailed, LabelrigError, ProofFailed, SettingsError
from core.operation import Change, Operation, converge
from core.repository import REPOSITORY
from infra.config.dotenv import update_env_file
from infra.config.settings import Settings, missing_secrets, settings_secrets
from infra.fleet.session import Session
from infra.roles.docker.client import engine_client
from infra.roles.project.backend_logins import BackendLoginsKnown
from infra.roles.project.backend_token import ACCOUNT
from infra.roles.project.gate import pass_gate
from infra.roles.project.password import PasswordSet
from infra.roles.project.role import ProjectContext
from infra.roles.project.token import KEY
from infra.roles.stack.backend_secrets import KEY_FILE
from infra.roles.stack.render import RenderedFile, with_other_secrets
from infra.rotation.kinds import Kind, Pending, made_anew, of_stack
from infra.stack.down import DOWN_TIMEOUT
from infra.stack.running import refuse_stopped
from infra.stack.site import Site
from infra.stack.stages import project_context, reached, stack_operations, stack_running
from infra.stack.unfinished import refuse_unfinished
from labelstudio.access import Access
from labelstudio.asking import ask_inside
from labelstudio.config import load_project
from labelstudio.password_record import PasswordRecord
from labelstudio.session import token_works

ENV = "stack.env"


@dataclass(frozen=True)
class Once:
    """Something that is done once a run: that it was done does not show in any state."""

    name: str
    summary: str
    body: Callable[[], None]
    _done: list[bool] = field(default_factory=list)

    def plan(self) -> Sequence[Change]:
        """One change, before it was done."""
        return [] if self._done else [Change(self.summary, self._apply)]

    def _apply(self) -> None:
        self.body()
        self._done.append(True)


def rotate(one: Session, given: Sequence[Kind]) -> str:
    """Make secrets of one stack anew. On a host its lock is held.

    Returns:
        What was done, for people.

    Raises:
        SettingsError: before anything was changed.
        LabelrigError: a step failed; the new values are kept, and the same command goes on.
    """
    site, report = one.site, one.report
    pending = Pending(one.host, site.state)
    cut_off = pending.read()
    kinds = of_stack(tuple(dict.fromkeys((*given, *cut_off))), site.settings)
    with report.stage("check"):
        _refuse(one, kinds, running=not cut_off)
        if cut_off:
            report.notice(f"a rotation of {', '.join(cut_off)} was cut off: they are made anew with the others")
        spec, folder = one.resolved(load_project(REPOSITORY))
        report.ok(f"to be made anew: {', '.join(kinds)}", [])
    before = site.settings
    with report.stage("values"):
        settings = _write_values(one, kinds, pending)
    try:
        site = replace(site, settings=settings)
        with report.stage("stack"), closing(engine_client(one.host)) as engine:
            try:
                converge(stack_operations(site, lambda: engine, report), report)
            except CommandFailed as error:
                if not cut_off:
                    raise
                # Of the run that was killed compose may have gone on: the two are in each other's way.
                report.notice(f"the containers are made anew, which the run that was cut off left half made: {error}")
                site.compose.run("down", "--remove-orphans", timeout=DOWN_TIMEOUT, on_line=report.progress)
                converge(stack_operations(site, lambda: engine, report), report)
        with reached(site) as url, closing(Access.of(settings, url)) as access:
            context = project_context(site, folder, access, one.truth, report)
            with report.stage("accounts and tokens"):
                converge(_accounts(one, kinds, context), report)
                _refuse_old_token(kinds, before, access)
            with report.stage("gate"), closing(engine_client(one.host)) as engine:
                running = stack_running(site, lambda: engine, report)
                proof = pass_gate(spec, context, running, site.services, report, gpu=site.gpu)
    except LabelrigError as error:
        raise LabelrigError(
            f"{error}\nThe new values are in {site.env_file}, and not everything has taken them yet: once what is "
            "named above is mended, `./inv secrets.rotate` with any secret completes it"
        ) from error
    pending.remove()
    report.facts |= {"rotated": list(kinds), "proof_sentence": proof.sentence()}
    return f"{', '.join(kinds)} made anew, the values from before are void; {proof.sentence()}"


def _refuse(one: Session, kinds: Sequence[Kind], *, running: bool) -> None:
    """Everything that would stop the rotation halfway, before it begins."""
    site = one.site
    site.refuse_missing()
    refuse_unfinished(site)
    if missing := missing_secrets(site.settings):
        task = "up" if one.host.is_local else f"deploy --host {one.host.name}"
        raise SettingsError(f"{site.env_file} lacks {', '.join(missing)}; `./inv {task}` makes or recovers it first")
    if one.host.is_local:
        names = [name for name in (*made_anew(kinds, site.settings), KEY) if one.options.environment.get(name)]
        if names:
            raise SettingsError(
                f"{', '.join(names)} stands in the environment, which counts more than {site.env_file}; unset it, "
                "else the new value would never be read"
            )
    if running:
        for service in site.services:
            refuse_stopped(site, service)


def _write_values(one: Session, kinds: Sequence[Kind], pending: Pending) -> Settings:
    """The new values into the file of secrets, all at once, then into what compose reads. Returns the settings."""
    site, report = one.site, one.report
    username, old = site.settings.username, site.settings.password
    record = PasswordRecord.of(one.host, site.state)
    if "password" in kinds and old is not None and record.holds(username, old.get_secret_value()) is None:
        record.write(username, old.get_secret_value())  # so that the new one shows as another, also to the next run
    pending.write(kinds)
    made = made_anew(kinds, site.settings)
    if made:
        report.changing(f"make {', '.join(made)} and write them to {site.env_file}")
        update_env_file(one.host, site.env_file, made)
    settings = with_values(site.settings, made)
    changed = [f"write {name}" for name in made]
    for path in _replace_in_files(one, site, settings):
        changed.append(f"update {path}")
    report.ok("values made", changed)
    return settings


def with_values(settings: Settings, made: dict[str, str]) -> Settings:
    """The settings with other secrets, by their names in the file."""
    fields = {Settings.model_fields[name].alias or "": name for name in Settings.model_fields}
    unknown = [name for name in made if name not in settings_secrets()]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no secret")
    return settings.model_copy(update={fields[name]: SecretStr(value) for name, value in made.items()})


def _replace_in_files(one: Session, site: Site, settings: Settings) -> list[str]:
    """The secrets in every `stack.env`: also of releases from before, which may serve again. Returns their paths."""
    if one.current is None:
        content = one.host.read(site.files.env, as_root=not one.host.is_local) or b""
        new = with_other_secrets(content, settings)
        if new == content:
            return []
        one.host.write(site.files.env, new, 0o600, as_root=not one.host.is_local)
        return [site.files.env]
    changed = []
    for release in one.releases.read().releases:
        if ENV not in release.files:
            continue
        file = one.releases.read_file(release, ENV)
        new = with_other_secrets(file.content, settings)
        if new != file.content or release.damaged():
            one.releases.replace_file(release, RenderedFile(file.path, new, file.mode))
            changed.append(file.path)
    return changed


def _accounts(one: Session, kinds: Sequence[Kind], context: ProjectContext) -> list[Operation]:
    """What Label Studio holds itself: passwords, tokens, and the backend's password with each ML backend."""
    access, inside = context.access, context.exec_in_label_studio
    record = PasswordRecord.of(context.host, context.state)
    key = "secret-key" in kinds
    found: list[Operation] = []
    if "password" in kinds:
        found.append(PasswordSet(access, context.env_file, inside, record, context.report))
    if key:
        what = "take everybody's sessions and personal tokens off the lists, which the key from before had signed"
        found.append(Once("sessions and tokens ended", what, partial(_sign_out, one, context)))
    if key or "token" in kinds:
        what = f"make another personal token for {access.username}"
        found.append(Once(f"personal token of {access.username}", what, partial(_renew_token, context)))
    if key or "backend" in kinds:
        what = f"make another token for {ACCOUNT} and hand it over to the SAM2 backend"
        found.append(Once("token of the SAM2 backend's own account", what, partial(_renew_backend_token, context)))
    return [*found, BackendLoginsKnown(access, context.backend_url, context.backend_login)]


def _sign_out(one: Session, context: ProjectContext) -> None:
    (told,) = ask_inside(context.exec_in_label_studio, "sign_out", {}, doing="end sessions and tokens")
    ours = (ACCOUNT, one.site.settings.username.lower())
    if people := [email for email in told["owners"] if email.lower() not in ours]:
        one.report.notice(
            f"{', '.join(people)} had a personal token, which is void: they make another one in Label Studio, under "
            "Account & Settings"
        )


def _renew_token(context: ProjectContext) -> None:
    asked = {"email": context.access.username}
    (told,) = ask_inside(context.exec_in_label_studio, "personal_token", asked, doing="make a personal token")
    # To the file first: a token that was not kept cannot be read again.
    update_env_file(context.host, context.env_file, {KEY: str(told["token"])})
    context.access.use(str(told["token"]))


def _renew_backend_token(context: ProjectContext) -> None:
    asked = {"email": ACCOUNT}
    (told,) = ask_inside(context.exec_in_label_studio, "service_account", asked, doing="make the backend's token")
    context.write_secret(KEY_FILE, str(told["token"]).encode())


def _refuse_old_token(kinds: Sequence[Kind], before: Settings, access: Access) -> None:
    """What was promised, seen: the personal token from before opens nothing.

    Raises:
        ProofFailed: Label Studio still takes it.
    """
    if before.api_key is None or not {"token", "secret-key"}.intersection(kinds):
        return
    if token_works(access.base_url, before.api_key.get_secret_value(), access.transport):
        raise ProofFailed("Label Studio still accepts the personal token from before")
