"""Root's rights on another machine: found out once, then put in front of commands.

sudo says every refusal with exit code 1 and a text in some language. What can be counted in any language is how often
it asks: not at all, once (the password was right, the user may not), or again (the password was wrong).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr

from core.errors import SudoRefused
from hosts.ssh_channel import Ended

IS_ROOT, NO_SUDO, NO_PASSWORD_NEEDED, ASKS = 10, 11, 12, 13
# `env` is what every command of ours begins with, so sudo's rules are asked about exactly that.
FIND_OUT = f"""
test "$(id -u)" = 0 && exit {IS_ROOT}
command -v sudo >/dev/null || exit {NO_SUDO}
sudo -k -n -- env true >/dev/null 2>&1 && exit {NO_PASSWORD_NEEDED}
exit {ASKS}
"""
PROMPT = "labelrig-asks:"
LEFT_OVER = 99
# A password that sudo did not take from its standard input would become the command's.
TAKEN = f"if read -r line; then exit {LEFT_OVER}; fi"

RunRaw = Callable[[tuple[str, ...], bytes], Ended]


@dataclass(frozen=True)
class Elevation:
    """What stands in front of a command, and in front of its standard input. The latter is never shown."""

    prefix: tuple[str, ...] = ()
    first_line: SecretStr | None = None

    @property
    def first_bytes(self) -> bytes:
        """The line that sudo reads before the command reads the rest."""
        return self.first_line.get_secret_value().encode() if self.first_line is not None else b""


AS_USER = Elevation()


def find_elevation(host_name: str, user: str, run: RunRaw, password: SecretStr | None) -> Elevation:
    """Find out how the user becomes root.

    Args:
        run: runs a command as the user, with bytes for its standard input.

    Raises:
        SudoRefused: it cannot be; the text says why, and what to do.
    """
    found = run(("sh", "-c", FIND_OUT), b"").exit_code
    if found == IS_ROOT:
        return AS_USER
    if found == NO_PASSWORD_NEEDED:
        return Elevation(("sudo", "-n", "--"))
    if found == NO_SUDO:
        raise SudoRefused(
            f"{host_name}: {user} is not root and there is no sudo; log in as root, or install sudo and let "
            f"{user} use it"
        )
    if found != ASKS:
        raise SudoRefused(
            f"{host_name}: whether {user} may become root could not be found out (exit code {found}); "
            "try `sudo -k -n true` there by hand"
        )
    return _with_password(host_name, user, run, password)


def _with_password(host_name: str, user: str, run: RunRaw, password: SecretStr | None) -> Elevation:
    secret = password.get_secret_value() if password is not None else ""
    if "\n" in secret:
        raise SudoRefused(f"{host_name}: LABELRIG_SUDO_PASSWORD in .env has more than one line, no password has")
    line = f"{secret}\n" if password is not None else ""
    ended = run(("sudo", "-k", "-S", "-p", PROMPT, "--", "env", "sh", "-c", TAKEN), line.encode())
    times = ended.stderr.count(PROMPT.encode())
    if ended.exit_code == 0 and times:
        return Elevation(("sudo", "-k", "-S", "-p", "", "--"), SecretStr(line))
    if ended.exit_code in (0, LEFT_OVER):
        return Elevation(("sudo", "-k", "-S", "-p", "", "--"))
    if not times:
        problem = "sudo refuses without asking for a password (`Defaults requiretty`, perhaps)"
        advice = f"let an administrator add `Defaults:{user} !requiretty` with visudo"
    elif password is None:
        problem = f"sudo wants {user}'s password and none is given"
        advice = "put LABELRIG_SUDO_PASSWORD into .env"
    elif times > 1:
        problem = f"sudo does not take the password that is given for {user}"
        advice = "correct LABELRIG_SUDO_PASSWORD in .env"
    else:
        problem = f"sudo takes the password of {user} and still does not let {user} become root"
        advice = f"let an administrator type `usermod -aG sudo {user}`, or log in as another user"
    raise SudoRefused(f"{host_name}: {problem}; {advice}; {_own_words(ended)}")


def _own_words(ended: Ended) -> str:
    lines = ended.stderr.decode("utf-8", "replace").replace(PROMPT, "").strip().splitlines()
    return f"sudo's own words: {lines[-1].strip()}" if lines else "sudo says nothing more"
