"""The links of the host: SSH, clock, engine and its settings, rendered files, release, secrets, disk, memory."""

from __future__ import annotations

import time

from core.errors import (
    HostError,
    HostKeyRefused,
    LabelrigError,
    LoginRefused,
    SettingsError,
    SudoRefused,
)
from hosts.looking import looks_as_root
from infra.doctor.diagnosis import Finding, broken, ok, warning
from infra.doctor.inspection import Inspection
from infra.releases.store import Releases
from infra.roles.docker.client import EngineState, engine_state
from infra.roles.docker.compose import find_compose
from infra.roles.docker.daemon_json import DAEMON_FILE, DaemonConfigured
from infra.roles.preflight.checks import DISK_TO_RUN, GIB, clock_problems, memory_bytes, read_disk

LOOK_TIMEOUT = 8.0
DISK_LOW = 5 * GIB
MEMORY_LOW = GIB // 2
# Prints the arguments that are no files.
MISSING = 'for file; do [ -f "$file" ] || printf "%s\\n" "$file"; done'
SECRET_MODE = 0o600


def check_ssh(look: Inspection) -> Finding:
    """Login, host key, root's rights, and what the server allows on a connection."""
    host = look.host
    if host.is_local:
        return ok("not needed: it is this machine")
    try:
        user = host.run("id", "-un", timeout=LOOK_TIMEOUT).stdout.strip()
        host.run("true", timeout=LOOK_TIMEOUT, as_root=True)
        host.check_ways(look.site.settings.port, look.site.settings.own_address)
    except LabelrigError as error:
        return broken_ssh(host.name, error)
    return ok(f"logged in as {user}{'' if user == 'root' else ', who may become root'}")


def broken_ssh(name: str, error: LabelrigError) -> Finding:
    """What an error on the way to a host means, and what to do."""
    if isinstance(error, HostKeyRefused):
        fix = "compare the fingerprint with the one its administrator names; a new host: add `--accept-new-host-key`"
    elif isinstance(error, LoginRefused):
        fix = "add your key to the user there (`ssh-copy-id`), or set `user` or `ssh_key` in infra/inventory.yaml"
    elif isinstance(error, SudoRefused):
        fix = "put LABELRIG_SUDO_PASSWORD into .env, or let an administrator allow sudo without a password"
    elif type(error) is HostError:
        fix = "let an administrator change /etc/ssh/sshd_config there, then `sudo systemctl reload ssh`"
    else:
        fix = f"see whether the machine is on; `ssh -v` shows how far it comes; `address` of {name} is in the inventory"
    return broken(str(error), fix)


def check_clock(look: Inspection) -> Finding:
    """The host's clock agrees with ours."""
    if look.host.is_local:
        return ok("not needed: it is this machine")
    there = float(look.host.run("date", "+%s", timeout=LOOK_TIMEOUT).stdout)
    here = time.time()
    if problems := clock_problems(there, here):
        return warning(problems[0], look.by_hand("sudo timedatectl set-ntp true"))
    return ok(f"{abs(there - here):.0f} s apart")


def check_engine(look: Inspection) -> Finding:
    """The Docker engine answers, and compose is there."""
    try:
        with look.asking_engine() as engine:
            version = str(engine.version().get("Version", "?"))
    except HostError as error:
        if look.host.is_local and engine_state(look.host) is EngineState.FORBIDDEN:
            return broken(str(error), "`sudo usermod -aG docker $USER`, then log in again")
        return broken(
            str(error), f"{look.by_hand('sudo systemctl start docker')}; where none is installed {look.again}"
        )
    program = find_compose(look.host)
    if program is None:
        return broken(f"Docker {version}, and no compose version 2", f"{look.again} installs it")
    compose = look.host.run(*program, "version", "--short", timeout=LOOK_TIMEOUT).stdout.strip()
    return ok(f"Docker {version}, compose {compose}")


def check_files(look: Inspection) -> Finding:
    """What compose reads is there, and so are the secrets."""
    site, host = look.site, look.host
    wanted = (site.files.env, *site.files.compose, site.files.folders, site.env_file)
    as_root = not host.is_local
    missing = host.run("sh", "-c", MISSING, "sh", *wanted, timeout=LOOK_TIMEOUT, as_root=as_root).stdout.splitlines()
    if missing:
        return broken(f"{len(missing)} of {len(wanted)} files are missing: {', '.join(missing)}", look.again)
    return ok(f"{len(wanted)} files in {site.stack_folder}")


def check_release(look: Inspection) -> Finding:
    """The files are those that the release was made with."""
    if look.host.is_local:
        return ok("not needed: this machine has no releases")
    release = Releases(look.host, look.site.state).current()
    if release is None:
        return broken("current leads to no release", look.again)
    if changed := release.damaged():
        return broken(f"changed since release {release.id} was made: {', '.join(changed)}", look.again)
    return ok(f"release {release.id}, gate {release.gate}")


def check_secrets(look: Inspection) -> Finding:
    """The secrets can be read, by their owner only."""
    site, host = look.site, look.host
    try:
        look.load_settings()
    except (SettingsError, HostError) as error:
        return broken(str(error), f"repair {site.env_file} by hand")
    shown = host.run(
        "stat", "-L", "-c", "%a", "--", site.env_file, ok=(0, 1), timeout=LOOK_TIMEOUT, as_root=not host.is_local
    )
    if not shown.ok:
        return broken(f"{site.env_file} is not there", look.again)
    loose = shown.stdout.strip()
    if int(loose, 8) & ~SECRET_MODE:
        return warning(f"{site.env_file} is open to others (mode {loose})", look.by_hand(f"chmod 600 {site.env_file}"))
    return ok(f"{site.env_file}, mode {loose}")


def check_daemon(look: Inspection) -> Finding:
    """The engine's settings hold what the inventory wants."""
    if not look.daemon:
        return ok("not needed: its settings are not ours to keep")
    changes = DaemonConfigured(look.host, look.report, look.daemon, restart=_never).plan()
    if not changes:
        return ok(f"{DAEMON_FILE} holds {', '.join(look.daemon)}")
    differs = [line for line in changes[0].diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    seen = f"{DAEMON_FILE} does not hold what `docker_daemon` of the inventory says"
    if not differs:
        seen = "the engine was not restarted since its settings changed"
    return warning("\n".join([seen, *differs]), f"{look.again} (running containers stop for a moment)")


def check_disk(look: Inspection) -> Finding:
    """There is room where the engine keeps containers and volumes."""
    with look.asking_engine() as engine:
        root = str(engine.info()["DockerRootDir"])
    disk = read_disk(look.host, root, as_root=looks_as_root(look.host))
    seen = f"{disk.free / GIB:.1f} GiB free for Docker in {root}"
    fix = f"{look.by_hand('docker system df')} shows what takes it; `docker image prune` removes unused images"
    if disk.free < DISK_TO_RUN:
        return broken(seen, fix)
    return warning(seen, fix) if disk.free < DISK_LOW else ok(seen)


def check_memory(look: Inspection) -> Finding:
    """The kernel has memory to give before it must end a container."""
    meminfo = (look.host.read("/proc/meminfo") or b"").decode()
    available, total = (memory_bytes(meminfo, field) for field in ("MemAvailable", "MemTotal"))
    if available is None or total is None:
        return warning("/proc/meminfo does not say how much memory is available", look.by_hand("free -h"))
    seen = f"{available / GIB:.1f} of {total / GIB:.1f} GiB available"
    if available < MEMORY_LOW:
        fix = f"{look.by_hand('docker stats --no-stream')} shows which container takes it, `top` the other programs"
        return warning(f"{seen}: the kernel may kill SAM2", fix)
    return ok(seen)


def _never() -> None:
    raise AssertionError("a doctor restarts nothing")
