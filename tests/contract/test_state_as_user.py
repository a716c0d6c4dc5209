"""What a stack keeps on its host, where the login is a user with sudo: root's alone from birth, and readable to us."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import FileAccessError, SudoRefused
from core.operation import Operation, converge
from hosts.looking import is_file, is_folder
from hosts.ssh import SshHost
from infra.config.host_settings import HostSettings
from infra.fleet.target import site_of
from infra.releases.store import ReleaseActive, Releases
from infra.roles.preflight.data_folder import FolderCheck, check_folder, group_of
from infra.roles.stack.folders_on_host import FolderSent, FolderThere
from infra.roles.stack.secrets import SecretsMade
from tests.contract.conftest import PASSWORD, User
from tests.recorder import RecordingHost, changes_in
from tests.sshd import Sshd
from tests.unit.infra.deploy_bench import quiet
from tests.unit.infra.releases.lock_bench import lock
from tests.unit.infra.releases.release_bench import FACTS, files

Connected = Callable[..., SshHost]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes users: needs root")


@pytest.fixture
def host(sshd: Sshd, connected: Connected, user: User) -> SshHost:
    user.may("USER ALL=(ALL) NOPASSWD: ALL")
    return connected(sshd, user=user.name)


def test_a_stack_s_state_is_root_s_and_the_next_run_finds_it(host: SshHost, open_folder: Path) -> None:
    host_settings = HostSettings(name="lab", root=f"{open_folder}/srv", hooks=Path("/none"))
    base = Path(f"{host_settings.root}/{host_settings.project}")
    site = site_of(host, host_settings)
    source = open_folder / "images"
    source.mkdir()
    (source / "a.png").write_bytes(b"\x89PNG")
    releases = Releases(host, str(base))
    operations: list[Operation] = [
        FolderThere(host, host_settings.root, 0o755),
        FolderThere(host, str(base), 0o750),
        SecretsMade(host, Path(site.env_file), site.settings),
        FolderSent(host, source, f"{host_settings.root}/labelrig-demo/images"),
        ReleaseActive(releases, files(), FACTS),
    ]
    assert converge(operations, quiet()) == 6
    with lock(host, str(base)).held():
        assert sorted(path.name for path in base.iterdir()) == ["current", "lock", "releases", "secrets.env"]
    secrets = base / "secrets.env"
    for path, mode in ((base, 0o750), (secrets, 0o600), (base / "current" / "stack.env", 0o600)):
        seen = path.stat()
        assert (seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)) == (0, 0, mode)
    with pytest.raises(FileAccessError, match="Permission denied"):
        host.read(str(secrets))
    # The images are for the containers' user too.
    assert host.run("cat", f"{host_settings.root}/labelrig-demo/images/a.png").ok

    recorder = RecordingHost(host)
    again = site.reload()
    assert again.password is not None
    assert again.secret_key is not None
    looking: list[Operation] = [
        FolderThere(recorder, host_settings.root, 0o755),
        FolderThere(recorder, str(base), 0o750),
        SecretsMade(recorder, Path(site.env_file), again),
        FolderSent(recorder, source, f"{host_settings.root}/labelrig-demo/images"),
        ReleaseActive(Releases(recorder, str(base)), files(), FACTS),
    ]
    assert [change.summary for operation in looking for change in operation.plan()] == []
    assert changes_in(recorder) == []
    shown = host.run("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '", as_root=True).stdout
    assert again.password.get_secret_value() not in shown


def private_home(folder: Path) -> Path:
    """An image folder that all may read, in a home that nobody but its owner may enter."""
    images = folder / "home" / "RGB_T_SAR"
    images.mkdir(parents=True)
    images.chmod(0o755)
    (images / "a.png").write_bytes(b"\x89PNG")
    (images / "a.png").chmod(0o644)
    images.parent.chmod(0o700)
    return images


def test_a_folder_below_a_private_home_is_the_engine_s(host: SshHost, open_folder: Path) -> None:
    """The engine mounts it as root, so it is looked at as root: whoever logs in may not enter the home."""
    images = private_home(open_folder)
    assert not host.run("test", "-e", str(images), ok=(0, 1)).ok
    assert check_folder(host, images, r".*\.png") == FolderCheck(())
    assert group_of(host, images) is None
    assert is_folder(host, str(images))
    assert is_file(host, f"{images}/a.png")
    assert check_folder(host, images / "none", r".*\.png").problems == (
        f"data folder {images}/none: no such file or directory",
    )


def test_a_folder_that_this_user_may_not_see_is_not_absent(host: SshHost, open_folder: Path) -> None:
    """As on the machine of `./inv up`, where no one becomes root for a look."""
    images = private_home(open_folder)
    host.is_local = True
    assert check_folder(host, images, r".*\.png").problems == (
        f"data folder {images}: this user may not enter {images.parent}; `sudo ./inv up` may, or give others x there "
        "(`chmod o+x`)",
    )


def test_a_user_without_sudo_is_refused_and_nothing_is_made(
    sshd: Sshd, connected: Connected, user: User, open_folder: Path
) -> None:
    """A user without sudo may not even ask and nothing is made."""
    host: SshHost = connected(sshd, user=user.name)
    with pytest.raises(SudoRefused) as caught:
        converge([FolderThere(host, f"{open_folder}/srv", 0o755)], quiet())
    assert PASSWORD not in str(caught.value)
    assert list(open_folder.iterdir()) == []
