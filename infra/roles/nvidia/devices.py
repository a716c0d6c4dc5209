"""The state "GPU device nodes linked in /dev/char", without which containers lose their GPU.

Where systemd keeps the containers' cgroups, a `systemctl daemon-reload` (any package's upgrade does one) makes it write
their device rules again, from the links in /dev/char; NVIDIA's driver makes none. A container then says "Failed to
initialize NVML: Unknown Error" until it is started again (nvidia-container-toolkit, issue 48; NVIDIA's answer is this).
"""

from __future__ import annotations

from core.operation import Change, Operation
from hosts.base import Host
from infra.roles.docker.service import has_systemd

# The name under which NVIDIA's text has it, so that it is not there twice where that was followed.
RULE_FILE = "/etc/udev/rules.d/71-nvidia-dev-char.rules"
LINK = ("nvidia-ctk", "system", "create-dev-char-symlinks", "--create-all")
RULE = f'ACTION=="add", DEVPATH=="/bus/pci/drivers/nvidia", RUN+="/usr/bin/{" ".join(LINK)}"\n'
MISSING_SCRIPT = r"""
for node in /dev/nvidia[0-9]* /dev/nvidiactl /dev/nvidia-uvm /dev/nvidia-uvm-tools /dev/nvidia-modeset; do
    [ -c "$node" ] || continue
    numbers=$(stat -c '0x%t 0x%T' "$node")
    [ -e "/dev/char/$(printf '%d:%d' $numbers)" ] || echo "$node"
done
true
"""


class DeviceNodesLinked(Operation):
    """Every device node of the GPUs has its link, also after the next start of the machine."""

    name = "GPU device nodes linked in /dev/char"

    def __init__(self, host: Host) -> None:
        self._host = host

    def plan(self) -> list[Change]:
        if not has_systemd(self._host):
            return []
        changes = []
        if self._host.read(RULE_FILE) is None:
            changes.append(Change(f"write {RULE_FILE}", self._write_rule, diff=RULE))
        missing = self._host.run("sh", "-c", MISSING_SCRIPT).stdout.split()
        if missing:
            changes.append(Change(f"link {', '.join(missing)} in /dev/char", self._link))
        return changes

    def _write_rule(self) -> None:
        self._host.write(RULE_FILE, RULE.encode(), 0o644, as_root=True)

    def _link(self) -> None:
        self._host.run(*LINK, as_root=True)
