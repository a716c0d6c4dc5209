"""From an inventory's host to a connection and a site on it."""

from __future__ import annotations

from collections.abc import Callable

from hosts.ssh import SshHost
from hosts.ssh_connect import SshTarget
from infra.config.host_settings import HostSettings
from infra.config.settings import Settings
from infra.stack.site import SECRETS_FILE, Site, read_secrets, with_secrets

BACKEND_PREFIX = "BACKEND_"


def base_folder(wish: HostSettings) -> str:
    """The folder on the host with everything of this stack that is not in a volume."""
    return f"{wish.root}/{wish.project}"


def demo_folder(wish: HostSettings) -> str:
    """The folder on the host with the demo images. Beside the base folder, which is root's alone."""
    return f"{wish.root}/{wish.project}-demo/images"


def own_images(wish: HostSettings) -> dict[str, str]:
    """Service -> the image of the lab's own that stands for ours."""
    given = {"label-studio": wish.label_studio_image, "sam2": wish.sam2_image}
    return {service: image for service, image in given.items() if image is not None}


def connect_to(
    wish: HostSettings,
    settings: Settings,
    run_id: str,
    notice: Callable[[str], None],
    *,
    accept_new_host_key: bool = False,
) -> SshHost:
    """Return the host; it connects when it is first asked for something.

    Args:
        settings: of `.env`: the passwords of SSH and sudo are taken from there, and nothing else.
        run_id: the mark by which this run's commands can be found on the host.
        notice: gets what a person must not miss, a new host key.
    """
    target = SshTarget(
        name=wish.name,
        address=wish.address,
        user=wish.user,
        port=wish.ssh_port,
        key=wish.ssh_key,
        jump=wish.jump,
        known_hosts=wish.known_hosts,
        connect_timeout=wish.connect_timeout,
        accept_new_host_key=accept_new_host_key,
        ssh_password=settings.ssh_password,
        key_passphrase=settings.ssh_passphrase,
        sudo_password=settings.sudo_password,
    )
    return SshHost(target, run_id=run_id, notice=notice)


def settings_of(wish: HostSettings) -> Settings:
    """The settings of the host's stack without its secrets."""
    values: dict[str, object] = {
        "LABELRIG_PROJECT": wish.project,
        "LABELRIG_DATA": wish.data,
        "LABELRIG_MODEL": wish.model,
        "LABELRIG_DATABASE": wish.database,
        "LABELRIG_GPU": wish.gpu,
        "LABELRIG_COMPANION": wish.companion,
        "LABELRIG_SUBNET": wish.subnet,
        "LABELRIG_LISTEN": wish.listen,
        "LABEL_STUDIO_PORT": wish.port,
        "LABEL_STUDIO_USERNAME": wish.username,
        "LABELRIG_CHECKPOINT_URL": wish.checkpoint_url,
        "backend": {BACKEND_PREFIX + name: str(value) for name, value in wish.backend.items()},
    }
    return Settings.model_validate({name: value for name, value in values.items() if value is not None})


def site_of(host: SshHost, wish: HostSettings) -> Site:
    """The stack on a host, with the secrets that it has so far."""
    base = base_folder(wish)
    secrets_file = f"{base}/{SECRETS_FILE}"
    plain = settings_of(wish)

    def reload() -> Settings:
        return with_secrets(plain, read_secrets(host, secrets_file))

    return Site(host, reload(), base, f"{base}/current", secrets_file, reload)
