"""From an inventory's host to a connection and a site on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from core.errors import SettingsError
from core.repository import REPOSITORY
from hosts.base import Host
from infra.config.address import has_own_tls
from infra.config.host_settings import HostSettings
from infra.config.settings import LoginSecrets, Settings
from infra.config.stack_settings import StackSettings
from infra.releases.manifest import Release
from infra.roles.images.tags import CLUSTER as CLUSTER_IMAGE
from infra.roles.stack.ray import Part
from infra.roles.stack.render import CLUSTER, GPU, POSTGRES, PROXY, RAY, RAY_GPU, TLS
from infra.stack.site import SECRETS_FILE, Site, read_secrets, with_secrets

if TYPE_CHECKING:
    from hosts.ssh import SshHost

LOCAL_DEMO = REPOSITORY / ".labelrig" / "deploy-demo"


def base_folder(host_settings: HostSettings) -> str:
    """The folder on the host with everything of this stack that is not in a volume."""
    return f"{host_settings.root}/{host_settings.project}"


def demo_folder(host_settings: HostSettings) -> str:
    """The folder on the host with the demo images. Beside the base folder, which is root's alone."""
    return f"{host_settings.root}/{host_settings.project}-demo/images"


def own_images(host_settings: HostSettings) -> dict[str, str]:
    """Service -> the image of the lab's own that stands for ours."""
    sam2 = "sam2" if host_settings.serving is None else CLUSTER_IMAGE
    given = {"label-studio": host_settings.label_studio_image, sam2: host_settings.sam2_image}
    if host_settings.is_worker:
        del given["label-studio"]
    return {service: image for service, image in given.items() if image is not None}


def part_of(host_settings: HostSettings) -> Part:
    """What the inventory makes of a host among hosts that serve together."""
    if host_settings.serving is None:
        return "alone"
    return "worker" if host_settings.is_worker else "head"


def refuse_alone(host_settings: HostSettings) -> None:
    """Make sure that a command which changes one host by itself may.

    Raises:
        SettingsError: the host serves together with others.
    """
    if (serving := host_settings.serving) is not None:
        others = ", ".join(one for one in serving.members if one != host_settings.name)
        raise SettingsError(
            f"{host_settings.name} serves together with {others}: `./inv deploy --group {serving.group}` changes all "
            "of them, and this command cannot yet"
        )


def connect_to(
    host_settings: HostSettings,
    secrets: LoginSecrets,
    run_id: str,
    notice: Callable[[str], None],
    *,
    accept_new_host_key: bool = False,
) -> SshHost:
    """Return the host; it connects with its first command.

    Args:
        secrets: the passwords of SSH and sudo, from `.env`.
        run_id: the mark by which this run's commands can be found on the host.
        notice: gets what a person must not miss, a new host key.
    """
    # paramiko and fabric: a machine that is not behind SSH does without.
    from hosts.ssh import SshHost
    from hosts.ssh_connect import SshTarget

    target = SshTarget(
        name=host_settings.name,
        address=host_settings.address,
        user=host_settings.user,
        port=host_settings.ssh_port,
        key=host_settings.ssh_key,
        jump=host_settings.jump,
        known_hosts=host_settings.known_hosts,
        connect_timeout=host_settings.connect_timeout,
        accept_new_host_key=accept_new_host_key,
        ssh_password=secrets.ssh_password,
        key_passphrase=secrets.ssh_passphrase,
        sudo_password=secrets.sudo_password,
    )
    return SshHost(target, run_id=run_id, notice=notice)


def how_to_open(host_settings: HostSettings) -> str:
    """Where people open the stack of a host, or the command that leads there."""
    if host_settings.public_url is not None:
        return host_settings.public_url
    if host_settings.listen != "127.0.0.1":
        return f"http://{host_settings.address}:{host_settings.port}"
    return f"`./inv tunnel --host {host_settings.name}`"


def settings_of(host_settings: HostSettings) -> Settings:
    """The settings of the host's stack without its secrets; they were checked with the inventory."""
    return Settings.model_construct(**{name: getattr(host_settings, name) for name in StackSettings.model_fields})


def site_of(host: Host, host_settings: HostSettings, *, secrets: bool = True) -> Site:
    """The stack on a host.

    Args:
        secrets: read those that it has so far; without them there is no log-in, and the rest can be looked at.
    """
    base = base_folder(host_settings)
    secrets_file = f"{base}/{SECRETS_FILE}"
    plain = settings_of(host_settings)

    def reload() -> Settings:
        return with_secrets(plain, read_secrets(host, secrets_file))

    settings, part = reload() if secrets else plain, part_of(host_settings)
    serving = host_settings.serving
    return Site(host, settings, base, f"{base}/current", secrets_file, reload, part=part, serving=serving)


def site_of_release(host: Host, host_settings: HostSettings, release: Release | None, *, secrets: bool = True) -> Site:
    """The stack as a release has it: its own database, GPU and proxy, whatever the inventory says today.

    Without a release it is the stack as the inventory wants it. `secrets`: see `site_of`.
    """
    site = site_of(host, host_settings, secrets=secrets)
    if release is None:
        return site
    database = "postgres" if POSTGRES in release.files else "sqlite"
    update: dict[str, object] = {"database": database}
    if has_own_tls(site.settings) and TLS not in release.files:
        update["tls"] = "off"
    settings = site.settings.model_copy(update=update)
    part: Part = "head" if CLUSTER in release.files else "worker" if RAY in release.files else "alone"
    gpu = GPU in release.files or RAY_GPU in release.files
    return replace(site, settings=settings, gpu=gpu, proxy=PROXY in release.files, part=part)
