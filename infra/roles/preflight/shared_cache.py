"""The folder in which hosts share embeddings: there on each, open to the containers' user, and one folder everywhere.

Tried for real, also in a plan: each host writes a small file as the containers' user, the others read it, and it is
removed.
"""

from __future__ import annotations

import secrets
import stat
from collections.abc import Callable, Mapping

from core.errors import CommandTimedOut
from hosts.base import Host, Result
from hosts.looking import looks_as_root
from infra.config.serving import Serving

TIMEOUT = 30.0
PREFIX = "labelrig-probe"
NO_FOLDER, NOT_WRITTEN, NO_PROGRAM = 44, 45, 127
# Root enters, as the engine mounts the folder whatever those above it are; then the containers' user has it as ".".
ENTER = f'cd -- "$1" 2>/dev/null || exit {NO_FOLDER}; shift; exec "$@"'
# And removes what killed runs left.
WRITE = f"""find . -maxdepth 1 -type f -name '{PREFIX}-*' -mmin +60 -delete 2>/dev/null
printf '%s\\n' "$1" >"$1" || exit {NOT_WRITTEN}"""
# Prints the names that are there; a share may take a moment to show them.
READ = """tries=0
for name in "$@"; do
    while [ ! -e "$name" ] && [ "$tries" -lt 5 ]; do tries=$((tries + 1)); sleep 1; done
    cat -- "$name" 2>/dev/null
done
true"""
REMOVE = 'rm -f -- "$1"'


def shared_cache_problems(
    hosts: Mapping[str, Host], serving: Serving, users: Mapping[str, int], show: Callable[[str], None]
) -> dict[str, list[str]]:
    """Host -> what is wrong with the folder there; nothing where the group has none.

    Args:
        hosts: all members by name.
        users: member -> the number that its containers run as.
        show: gets what is being looked at.
    """
    if serving.shared_cache is None:
        return {}
    show("trying the shared cache")
    probes = {name: f"{PREFIX}-{secrets.token_hex(8)}" for name in serving.members}
    found: dict[str, list[str]] = {}
    written = []
    try:
        for name in serving.members:
            ended = _tried(hosts[name], serving.shared_cache, users[name], WRITE, probes[name])
            if ended is not None and ended.ok:
                written.append(name)
            else:
                found[name] = [_why(ended, hosts[name], serving.shared_cache, users[name])]
        for name in written if not found else ():
            others = [other for other in written if other != name]
            ended = _tried(hosts[name], serving.shared_cache, users[name], READ, *(probes[one] for one in others))
            seen = set() if ended is None else set(ended.stdout.split())
            unseen = [other for other in others if probes[other] not in seen]
            if unseen:
                found[name] = [
                    f"`shared_cache` {serving.shared_cache}: what {', '.join(unseen)} wrote there is not seen here; "
                    "mount the same folder on all hosts of the group"
                ]
    finally:
        for name in written:
            _tried(hosts[name], serving.shared_cache, users[name], REMOVE, probes[name])
    return found


def writers_group(host: Host, path: str) -> int | None:
    """The group that the containers' user must join to write to a folder; None where it need not."""
    shown = host.run(
        *("stat", "--dereference", "--format", "%f %g", "--", path), timeout=TIMEOUT, as_root=looks_as_root(host)
    ).stdout.split()
    mode, group = stat.S_IMODE(int(shown[0], 16)), int(shown[1])
    return group if mode & 0o003 != 0o003 and mode & 0o030 == 0o030 and group != 0 else None


def _tried(host: Host, path: str, user: int, script: str, *arguments: str) -> Result | None:
    """A script as the containers' user in the folder; None where it does not come back."""
    try:
        there = host.run("test", "-d", path, ok=(0, 1), timeout=TIMEOUT, as_root=looks_as_root(host)).ok
        group = writers_group(host, path) if there else None
        groups = "--clear-groups" if group is None else f"--groups={group}"
        program = ("setpriv", "--no-new-privs", f"--reuid={user}", f"--regid={user}", groups)
        return host.run(
            *("sh", "-c", ENTER, "sh", path, *program, "sh", "-c", script, "sh", *arguments),
            ok=range(256),
            timeout=TIMEOUT,
            as_root=looks_as_root(host),
        )
    except CommandTimedOut:
        return None


def _why(ended: Result | None, host: Host, path: str, user: int) -> str:
    where = f"`shared_cache` {path}"
    if ended is None:
        return f"{where}: did not answer in {TIMEOUT:.0f} s; is its server gone?"
    if ended.exit_code == NO_FOLDER:
        return f"{where}: is not a folder that root of {host.name} may enter; mount it on every host of the group"
    if ended.exit_code == NO_PROGRAM:
        return f"{where}: cannot be tried: there is no `setpriv` (util-linux); install it"
    if ended.exit_code == NOT_WRITTEN:
        return (
            f"{where}: the containers' user (number {user}) cannot write to it: {ended.stderr.strip()[-200:]}; "
            f"`chown {user}` it, or give a group or all users rwx there"
        )
    return f"{where}: cannot be tried (exit code {ended.exit_code}): {ended.stderr.strip()[-200:]}"
