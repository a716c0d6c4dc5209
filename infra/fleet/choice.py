"""Which hosts a command line means, and what a command on several hosts ends with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import SettingsError
from core.junit import as_junit
from core.repository import REPOSITORY
from core.results import HostResult, as_json
from infra.config.host_settings import HostSettings
from infra.config.inventory import load_inventory
from infra.config.overrides import read_overrides

INVENTORY = REPOSITORY / "infra" / "inventory.yaml"


@dataclass(frozen=True)
class Choice:
    """Which hosts a command line means, and how they are gone through."""

    hosts: Sequence[str] = ()
    groups: Sequence[str] = ()
    limit: str | None = None
    inventory: Path = INVENTORY
    overrides: tuple[tuple[str, object], ...] = ()
    parallel: int = 4
    fail_fast: bool = False

    @property
    def names_hosts(self) -> bool:
        """Whether the command line names any; some commands look at this machine where it does not."""
        return bool(self.hosts or self.groups or self.limit)

    def select(self) -> list[HostSettings]:
        """The hosts with everything that is set for them.

        Raises:
            SettingsError: see `Inventory.select` and `read_overrides`.
        """
        if self.parallel < 1:
            raise SettingsError("--parallel: must be 1 or more")
        overrides = read_overrides(self.overrides)
        return load_inventory(self.inventory).select(self.hosts, self.groups, self.limit, overrides)


@dataclass(frozen=True)
class Outcome:
    """What a command ends with: its text for stdout and its exit code. `alone`: its JSON is that of one report."""

    results: Sequence[HostResult]
    text: str
    exit_code: int
    alone: bool = False

    def shown(self, *, json: bool, junit: str | None) -> str:
        """The text for stdout; the JUnit file is written first.

        Raises:
            SettingsError: the file cannot be written.
        """
        if junit is not None:
            try:
                Path(junit).write_text(as_junit(self.results), encoding="utf-8")
            except OSError as error:
                raise SettingsError(f"--junit {junit}: cannot be written: {error.strerror}") from None
        if not json:
            return self.text
        return self.results[0].report.as_json() if self.alone else as_json(self.results)


def fact_lines(results: Sequence[HostResult], fact: str) -> list[str]:
    """One line a host: a fact of its report, or that it failed."""
    return [failed_line(one) if one.error else f"{one.host}: {one.report.facts[fact]}" for one in results]


def failed_line(result: HostResult) -> str:
    """One line for a host that failed. Its error was shown on stderr when it happened, and is in the JSON."""
    return f"{result.host}: failed with exit code {result.exit_code}"
