"""Which labels and tools a labeling configuration declares, and what a change of it would leave without a home.

A result in an annotation names a tag (`from_name`), a type and labels, each by its alias if it has one. When the
configuration no longer has them, the editor drops the region or shows it without a label, and exports lose it: it is
orphaned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import ParseError, canonicalize

from core.errors import SettingsError
from core.text import inline
from labeling.config import ControlTag, LabelingConfig, read_config
from labeling.repeaters import FLAG
from labeling.tags import XmlProblem

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


def labels_in(text: str) -> frozenset[str]:
    """Every label of a labeling configuration, as results name it; none of a text that is not XML."""
    try:
        return frozenset(read_config(text).labels)
    except XmlProblem:
        return frozenset()


def image_keys_in(text: str) -> frozenset[str]:
    """The keys of a task's data that images are shown by; none of a text that is not XML."""
    try:
        return frozenset(key for image in read_config(text).images for key in image.fields)
    except XmlProblem:
        return frozenset()


def same_configuration(one: str, other: str) -> bool:
    """Whether two XML texts say the same: white space between tags and comments do not count."""
    try:
        return canonicalize(one.strip(), strip_text=True) == canonicalize(other.strip(), strip_text=True)
    except (ParseError, UnicodeEncodeError):
        return one.strip() == other.strip()


def may_orphan(old: str, new: str) -> bool:
    """Whether anything that the old configuration has is missing in the new one.

    Raises:
        XmlProblem: one of them is not XML.
    """
    after = _by_name(read_config(new))
    return any(
        _is_lost(tag, after.get(name), label, label) or (tag.is_dynamic and not after[name].is_dynamic)
        for name, tag in _by_name(read_config(old)).items()
        for label in (tag.names | tag.values or (None,))
    )


def orphans(uses: Iterable[Use], old: str, new: str, renames: Sequence[Rename]) -> list[Use]:
    """The uses that have a home in the old configuration and none in the new one, even after renaming."""
    before, after = read_config(old), read_config(new)
    names = {one.old: one.new for one in renames}
    return [
        use
        for use in uses
        if (tag := _meant(before, use.from_name)) is not None
        and tag.kind == use.type
        and _is_lost(
            tag, _meant(after, use.from_name), use.label, names.get(use.label, use.label) if use.label else None
        )
    ]


def check_renames(renames: Sequence[Rename], new: str) -> None:
    """Check that the new configuration fits the renames.

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
    return "; ".join(f"{inline(label)}: {_counted(counts)}" for label, counts in sorted(by_label.items()))


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} in {kind}" for kind, count in counts.items() if count)


def _by_name(config: LabelingConfig) -> dict[str, ControlTag]:
    return {tag.name: tag for tag in (*config.controls, *config.others) if tag.name}


def _meant(config: LabelingConfig, from_name: str) -> ControlTag | None:
    """The tag that results of this name come from: `brush_3` is `brush_{{idx}}` of a `<Repeater>`."""
    tags = _by_name(config)
    flags = [re.escape(one.index_flag or FLAG) for one in config.repeaters]
    for name, tag in tags.items():
        if any(re.fullmatch(re.escape(name).replace(flag, r"\d+"), from_name) for flag in flags):
            return tags.get(from_name, tag)
    return tags.get(from_name)


def _is_lost(old: ControlTag, new: ControlTag | None, label: str | None, new_label: str | None) -> bool:
    """Whether results of a tag with this label lose their home, when the label gets its new name."""
    if new is None or new.kind != old.kind:
        return True
    if label is None or new_label is None:
        return False
    # A result may carry a label's value instead of its alias: then it stays as well found as it was.
    return (old.offers(label) and not new.offers(new_label)) or (old.finds(label) and not new.finds(new_label))
