"""`./inv prune`: show what can go, ask, remove it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.errors import LabelrigError
from core.results import HostResult, recap
from core.text import aligned, size_text
from infra.fleet.choice import Choice, Outcome
from infra.fleet.on_hosts import on_hosts, on_this_machine
from infra.fleet.parallel import exit_code_of
from infra.fleet.run import RunOptions
from infra.fleet.session import Session
from infra.pruning.leftovers import Leftover, build_cache, find_leftovers

FACT = "leftovers"


def run_prune(choice: Choice, options: RunOptions, *, confirm: Callable[[str], None] | None, dry_run: bool) -> Outcome:
    """Remove what labelrig left on each machine.

    Args:
        confirm: asks a person, and raises where the answer is no; None: no question. What is found between the
            question and the answer stays.
        dry_run: only show it.
    """
    shown: dict[str, list[tuple[str, str]]] = {}
    if confirm is not None or dry_run:
        looked = _on_each(choice, options, lambda one: _look(one, shown))
        text = "\n".join(_listed(result) for result in looked)
        exit_code = exit_code_of(looked)
        if dry_run or exit_code or not any(shown.values()):
            return Outcome(looked, text, exit_code, alone=not choice.names_hosts)
        assert confirm is not None  # noqa: S101 - see above
        confirm(f"{text}\nAll of this is removed. No project, annotation or account is among it.")
    done = _on_each(choice, options, lambda one: prune(one, shown if confirm is not None else None), changes=True)
    text = "\n".join(f"{one.host}: {one.report.facts.get('text', f'exit code {one.exit_code}')}" for one in done)
    return Outcome(done, f"{text}\n{recap(done)}", exit_code_of(done), alone=not choice.names_hosts)


def prune(one: Session, shown: dict[str, list[tuple[str, str]]] | None = None) -> None:
    """Remove what one stack and its machine need no more.

    Args:
        shown: by host, what a person has agreed to; None means all that is found.

    Raises:
        LabelrigError: something could not be removed; all else is.
    """
    found = find_leftovers(one)
    if shown is not None:
        found = [left for left in found if left.key in shown.get(one.host.name, [])]
    removed: list[Leftover] = []
    problems: list[str] = []
    with one.report.stage("prune"):
        for left in found:
            one.report.progress(f"removing {left.name}")
            try:
                left.remove()
            except LabelrigError as error:
                problems.append(str(error))
            else:
                removed.append(left)
        one.report.ok("nothing is left that nothing needs", [f"remove {left.kind} {left.name}" for left in removed])
    one.report.facts |= {
        "removed": [left.as_dict() for left in removed],
        "text": f"removed {len(removed)}, of together {_together(removed)}" if removed else "nothing to remove",
    }
    if problems:
        raise LabelrigError("; ".join(problems))


def _look(one: Session, shown: dict[str, list[tuple[str, str]]]) -> None:
    found = find_leftovers(one)
    shown[one.host.name] = [left.key for left in found]
    one.report.facts |= {
        FACT: [left.as_dict() for left in found],
        "build_cache_bytes": build_cache(one),
        "text": "\n".join(f"  {line}" for line in _rows(found)),
    }


def _rows(found: Sequence[Leftover]) -> list[str]:
    if not found:
        return ["nothing to remove"]
    return aligned([*(left.row() for left in found), ("together at most", _together(found))])


def _together(found: Sequence[Leftover]) -> str:
    """Images share layers, so what comes free may be less."""
    return size_text(sum(left.bytes or 0 for left in found))


def _listed(result: HostResult) -> str:
    lines = [f"{result.host}", str(result.report.facts.pop("text", f"  failed with exit code {result.exit_code}"))]
    cache = result.report.facts.get("build_cache_bytes")
    if isinstance(cache, int) and cache:
        lines.append(
            f"  not touched: {size_text(cache)} of build cache, which everybody on the engine shares "
            "(`docker builder prune`)"
        )
    return "\n".join(lines)


def _on_each(
    choice: Choice, options: RunOptions, work: Callable[[Session], None], *, changes: bool = False
) -> list[HostResult]:
    if choice.names_hosts:
        return on_hosts(choice, options, work, lock=changes, audit=changes)
    return [on_this_machine(options, work)]
