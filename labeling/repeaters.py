"""`<Repeater on="$pages" indexFlag="{{idx}}">`: its tags once for each entry of a task's list, as in the editor.

After `tagIntoObject` of the editor's core/Tree.tsx: an attribute has the first flag in it replaced, that of a tag right
below the Repeater the second one too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labeling.images import value_of
from labeling.tags import MAX_CHARACTERS, MAX_TAGS, Tag, XmlProblem

FLAG = "{{idx}}"
# What a list may make of the tags: so many more characters than a configuration may have itself.
MAX_REPEATED_CHARACTERS = 5 * MAX_CHARACTERS


def repeated(root: Tag, data: Mapping[str, Any]) -> Tag:
    """The tags that the editor shows for a task with this data: each Repeater is a view with as many views in it.

    Raises:
        XmlProblem: more tags than any labeling configuration has.
    """
    return _Repeating(data).tag(root, {})


class _Repeating:
    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._made = self._characters = 0

    def tag(self, one: Tag, numbers: Mapping[str, str]) -> Tag:
        self._count(one)
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
            self._count(view)
            numbered = (self._numbered(child, flag, str(at)) for child in one.children)
            view.children = [self.tag(child, {**numbers, flag: str(at)}) for child in numbered]
            made.children.append(view)
        return made

    def _numbered(self, tag: Tag, flag: str, number: str) -> Tag:
        self._count(tag, made=0)
        attributes = {name: value.replace(flag, number, 1) for name, value in tag.attributes.items()}
        return Tag(tag.name, attributes, tag.line, [self._numbered(child, flag, number) for child in tag.children])

    def _count(self, tag: Tag, made: int = 1) -> None:
        """Before a copy of it is made, or several that replace each other.

        Raises:
            XmlProblem: too many.
        """
        self._made += made
        self._characters += len(tag.name) + sum(map(len, tag.attributes.values()))
        if self._made > MAX_TAGS:
            raise XmlProblem(tag.line, f"the task's data repeat these tags to more than {MAX_TAGS}")
        if self._characters > MAX_REPEATED_CHARACTERS:
            raise XmlProblem(
                tag.line, f"the task's data repeat these tags to more than {MAX_REPEATED_CHARACTERS} characters"
            )
