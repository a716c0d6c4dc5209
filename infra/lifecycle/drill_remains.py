"""What a drill of a stack has in the engine and on the disk: all of it can go, and nothing else of that name may."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from core.errors import LabelrigError
from hosts.looking import is_folder
from infra.roles.docker.compose import run_docker
from infra.roles.preflight.role import LABEL_PROJECT
from infra.stack.site import Site

SUFFIX = "-drill"
STATE = "drill"  # below the serving stack's state
REMOVE_TIMEOUT = 240.0
# In the order in which they can be removed; how their names are listed, and how they are removed.
KINDS = (
    ("container", ("--all", "--format", "{{.Names}}"), ("rm", "--force", "--volumes")),
    ("network", ("--format", "{{.Name}}"), ("rm",)),
    ("volume", ("--format", "{{.Name}}"), ("rm", "--force")),
)


@dataclass(frozen=True)
class DrillRemains:
    """The drill of one stack.

    Attributes:
        serving: the stack whose backup a drill restores.
    """

    serving: Site

    @property
    def project(self) -> str:
        """The compose project of the drill."""
        return self.serving.settings.project + SUFFIX

    @property
    def state(self) -> str:
        """The folder of the drill. It is made before anything else of the drill, and removed after all of it."""
        return f"{self.serving.state}/{STATE}"

    def are_there(self) -> bool:
        """Whether a drill goes on, or one that was cut off left something."""
        return is_folder(self.serving.host, self.state) and self._other_stack() is None

    def refuse_others(self) -> None:
        """Make sure that what bears the drill's name is a drill's.

        Raises:
            LabelrigError: another stack or compose project has this name. Nothing was changed.
        """
        name = self.serving.host.name
        if other := self._other_stack():
            raise LabelrigError(
                f"{name}: a drill is a stack called {self.project}, and there is one of that name already ({other}); "
                "restore the backup on another machine instead; nothing was changed"
            )
        if is_folder(self.serving.host, self.state):
            return
        if found := [f"{kind} {one}" for kind, listed, _ in KINDS for one in self._listed(kind, listed)]:
            raise LabelrigError(
                f"{name}: the engine has {', '.join(found[:3])}{' and others' if found[3:] else ''} of a compose "
                f"project {self.project}, which no drill of this stack made; remove them by hand where nothing needs "
                "them; nothing was changed"
            )

    def remove(self) -> None:
        """Remove every container, network and volume of the drill, and its folder."""
        for kind, listed, removal in KINDS:
            if found := self._listed(kind, listed):
                run_docker(self.serving.host, "docker", kind, *removal, *found, timeout=REMOVE_TIMEOUT)
        self.serving.host.run("rm", "-rf", self.state, as_root=not self.serving.host.is_local)

    def _other_stack(self) -> str | None:
        """The folder of a stack that has the drill's name as its own; stacks of a machine lie side by side."""
        folder = str(PurePosixPath(self.serving.state).with_name(self.project))
        return folder if is_folder(self.serving.host, folder) else None

    def _listed(self, kind: str, flags: tuple[str, ...]) -> list[str]:
        label = f"label={LABEL_PROJECT}={self.project}"
        return run_docker(self.serving.host, "docker", kind, "ls", *flags, "--filter", label).stdout.split()
