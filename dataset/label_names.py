"""What the labels of an input file are called in a project."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from core.text import inline


def quoted(label: str) -> str:
    """A label for a message; white space at its ends, which is invisible, is told in words."""
    where = [name for name, stripped in (("beginning", label.lstrip()), ("end", label.rstrip())) if stripped != label]
    return f'"{inline(label)}"' + (f" (with white space at its {' and its '.join(where)})" if where else "")


def label_names(theirs: Iterable[str], ours: Collection[str], given: Mapping[str, str]) -> dict[str, str]:
    """The labels that have another name here: those of `--label`, and those that differ in white space only.

    Args:
        theirs: the labels of the file.
        ours: those of the project.
        given: theirs to ours, from the command line.
    """
    by_text: dict[str, list[str]] = {}
    for label in ours:
        by_text.setdefault(label.strip(), []).append(label)
    found = {}
    for label in theirs:
        if label in given or (label not in ours and label.strip() in given):
            found[label] = given.get(label) or given[label.strip()]
        elif label not in ours and len(same := by_text.get(label.strip(), [])) == 1:
            found[label] = same[0]
    return found


def respelled(names: Mapping[str, str]) -> str:
    """The notice about labels that were taken as one of ours without being told to; empty where there are none."""
    pairs = [f"{quoted(theirs)} as {quoted(ours)}" for theirs, ours in names.items() if theirs.strip() == ours.strip()]
    return f"labels of the file that differ in white space only are taken as the project's: {', '.join(pairs)}" * bool(
        pairs
    )
