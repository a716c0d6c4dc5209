"""`./inv secrets.rotate`: say what ends, ask, and give each stack new secrets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from infra.fleet.choice import Choice, Outcome, fact_lines
from infra.fleet.on_hosts import on_hosts, on_this_machine
from infra.fleet.parallel import exit_code_of
from infra.fleet.run import RunOptions
from infra.fleet.session import Session
from infra.rotation.kinds import ENDS, Kind
from infra.rotation.rotate import rotate


def run_rotate(
    choice: Choice, options: RunOptions, kinds: Sequence[Kind], *, confirm: Callable[[str], None] | None
) -> Outcome:
    """Make secrets anew, on one host after the other; after a failure on the first no other is begun.

    Args:
        confirm: asks a person, and raises where the answer is no; None: no question.
    """
    if confirm is not None:
        names = [host.name for host in choice.select()] if choice.names_hosts else ["this machine"]
        listed = "\n".join(f"  {ENDS[kind]}" for kind in kinds)
        confirm(f"This makes anew, on {', '.join(names)}, while people work:\n{listed}")

    def work(one: Session) -> None:
        one.report.facts["text"] = rotate(one, kinds)

    if not choice.names_hosts:
        done = on_this_machine(options, work)
        text = f"{done.report.facts.pop('text')}\n\n{done.report.recap()}"
        return Outcome([done], text, 0, alone=True)
    results = on_hosts(choice, options, work, lock=True, audit=True, parallel=1, first_alone=True)
    return Outcome(results, "\n".join(fact_lines(results, "text")), exit_code_of(results))
