"""Which labels and tools a labeling configuration declares, and what a change of it would leave without a home.

A result in an annotation names a tag (`from_name`), a type and labels. When the configuration no longer has them, the
editor drops the region or shows it without a label, and exports lose it: it is orphaned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import ParseError, canonicalize

from core.errors import SettingsError
from labelstudio.labeling_xml import LABELS_TAGS, XmlProblem, parse_xml

KINDS = ("annotations", "drafts", "predictions")


@dataclass(frozen=True)
class Rename:
    """A label that gets another name."""

    old: str
    new: str

    @classmethod
    def parse(cls, text: str, option: str = "--rename") -> Rename:
        """Read `Old=New`.

        Raises:
            SettingsError: it is not that.
        """
        old, separator, new = (part.strip() for part in text.partition("="))
        if not (separator and old and new) or old == new:
            raise SettingsError(f"{option} {text}: must be OLD=NEW, two different labels")
        return cls(old, new)


@dataclass(frozen=True)
class Use:
    """How often a label of a tool is used. `kind` is one of `KINDS`; a result of a tool without labels has none."""

    kind: str
    from_name: str
    type: str
    label: str | None
    count: int


@dataclass(frozen=True)
class Tool:
    """A tag that results belong to; `labels` is None where the tag has none of its own."""

    type: str
    labels: frozenset[str] | None


def tools_in(text: str) -> dict[str, Tool]:
    """The tools of a labeling configuration, by their names.

    Raises:
        XmlProblem: it is no XML.
    """
    return {
        tag.attributes["name"]: Tool(
            tag.name.lower(),
            frozenset(child.attributes.get("value", "") for child in tag.children if child.name == "Label")
            if tag.name in LABELS_TAGS
            else None,
        )
        for tag in parse_xml(text).walk()
        if tag.attributes.get("name") and tag.attributes.get("toName")
    }


def labels_in(text: str) -> frozenset[str]:
    """Every label of a labeling configuration; none of a text that is no XML."""
    try:
        return frozenset(label for tool in tools_in(text).values() for label in tool.labels or ())
    except XmlProblem:
        return frozenset()


def image_keys_in(text: str) -> frozenset[str]:
    """The keys of a task's data that images are shown by; none of a text that is no XML."""
    try:
        images = [tag.attributes for tag in parse_xml(text).walk() if tag.name == "Image"]
    except XmlProblem:
        return frozenset()
    variables = [one.get("valueList") or one.get("value", "") for one in images]
    return frozenset(one[1:].split(".")[0].split("[")[0] for one in variables if one.startswith("$"))


def same_configuration(one: str, other: str) -> bool:
    """Whether two XML texts say the same: white space between tags and comments do not count."""
    try:
        return canonicalize(one.strip(), strip_text=True) == canonicalize(other.strip(), strip_text=True)
    except ParseError:
        return one.strip() == other.strip()


def may_orphan(old: str, new: str) -> bool:
    """Whether anything that the old configuration has is missing in the new one."""
    before, after = tools_in(old), tools_in(new)
    return any(
        not _has(after, name, tool.type, label) for name, tool in before.items() for label in (tool.labels or (None,))
    )


def orphans(uses: Iterable[Use], old: str, new: str, renames: Sequence[Rename]) -> list[Use]:
    """The uses that the old configuration has a home for, and the new one has not, even after renaming."""
    before, after = tools_in(old), tools_in(new)
    names = {one.old: one.new for one in renames}
    return [
        use
        for use in uses
        if _has(before, use.from_name, use.type, use.label)
        and not _has(after, use.from_name, use.type, names.get(use.label, use.label) if use.label else None)
    ]


def check_renames(renames: Sequence[Rename], new: str) -> None:
    """Look whether the new configuration fits the renames.

    Raises:
        SettingsError: a new name is not in it, or an old one still is, or two renames contradict.
    """
    labels = labels_in(new)
    for rename in renames:
        if rename.new not in labels:
            raise SettingsError(
                f"--rename {rename.old}={rename.new}: the new labeling configuration has no label {rename.new!r} "
                f"(there are: {', '.join(sorted(labels))})"
            )
        if rename.old in labels:
            raise SettingsError(
                f"--rename {rename.old}={rename.new}: the new labeling configuration still has the label "
                f"{rename.old!r}; only a label that is gone can be renamed"
            )
    if len({one.old for one in renames}) != len(renames):
        raise SettingsError("--rename: one label was given two new names")


def described(uses: Iterable[Use]) -> str:
    """Counts for people: `Debris: 12 in annotations, 1 in drafts; Road: 3 in predictions`."""
    by_label: dict[str, dict[str, int]] = {}
    for use in uses:
        counts = by_label.setdefault(use.label or f"(tool {use.from_name})", dict.fromkeys(KINDS, 0))
        counts[use.kind] += use.count
    return "; ".join(f"{label}: {_counted(counts)}" for label, counts in sorted(by_label.items()))


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} in {kind}" for kind, count in counts.items() if count)


def _has(tools: Mapping[str, Tool], name: str, kind: str, label: str | None) -> bool:
    tool = tools.get(name)
    if tool is None or tool.type != kind:
        return False
    return label is None or tool.labels is None or label in tool.labels
