"""`<Repeater on="$pages" indexFlag="{{idx}}">`: its tags once for each entry of a task's list, as in the editor.

After `tagIntoObject` of the editor's core/Tree.tsx: an attribute has the first flag in it replaced, that of a tag right
below the Repeater the second one too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labeling.images import value_of
from labeling.tags import MAX_TAGS, Tag, XmlProblem

FLAG = "{{idx}}"


def repeated(root: Tag, data: Mapping[str, Any]) -> Tag:
    """The tags that the editor shows for a task with this data: each Repeater is a view with as many views in it.

    Raises:
        XmlProblem: more tags than any labeling configuration has.
    """
    return _Repeating(data).tag(root, {})


class _Repeating:
    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._made = 0

    def tag(self, one: Tag, numbers: Mapping[str, str]) -> Tag:
        self._made += 1
        if self._made > MAX_TAGS:
            raise XmlProblem(one.line, f"the task's data repeat these tags to more than {MAX_TAGS}")
        attributes = dict(one.attributes)
        for flag, number in numbers.items():
            attributes = {name: value.replace(flag, number, 1) for name, value in attributes.items()}
        made = Tag(one.name, attributes, one.line)
        if made.kind != "repeater":
            made.children = [self.tag(child, {}) for child in one.children]
            return made
        flag, entries = made.get("indexFlag") or FLAG, value_of(self._data, made.get("on"))
        made.name = "View"
        for at in range(len(entries) if isinstance(entries, list) else 0):
            view = Tag("View", {}, one.line)
            numbered = (_numbered(child, flag, str(at)) for child in one.children)
            view.children = [self.tag(child, {**numbers, flag: str(at)}) for child in numbered]
            made.children.append(view)
        return made


def _numbered(tag: Tag, flag: str, number: str) -> Tag:
    attributes = {name: value.replace(flag, number, 1) for name, value in tag.attributes.items()}
    return Tag(tag.name, attributes, tag.line, [_numbered(child, flag, number) for child in tag.children])
