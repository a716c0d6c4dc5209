"""Changing single values of a YAML file that people wrote: every other character stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

from yaml.nodes import MappingNode, Node

from core.errors import SettingsError
from core.strict_yaml import one_line, parse_nodes

PLACED_AFTER = "version"


def with_value(text: str, origin: str, path: Sequence[str], key: str, value: str | int) -> str:
    """The text with `key` of the mapping at `path` set to a value; a key that is missing is written below `version`.

    Raises:
        SettingsError: the text of the file `origin` is not YAML, or there is no such mapping.
    """
    mapping = _mapping(parse_nodes(text, origin), path)
    scalar = one_line(value)
    for name, node in mapping.value:
        if name.value == key:
            return text[: node.start_mark.index] + scalar + _rest(text, node)
    for name, node in mapping.value:
        if name.value == PLACED_AFTER:
            end = node.end_mark.index
            return f"{text[:end]}\n{' ' * name.start_mark.column}{key}: {scalar}{text[end:]}"
    raise SettingsError(f"{'.'.join(path)}: has no `{PLACED_AFTER}` below which `{key}` could be written")


def _mapping(node: Node | None, path: Sequence[str]) -> MappingNode:
    for part in path:
        node = next((value for name, value in _items(node) if name.value == part), None)
    if not isinstance(node, MappingNode) or node.flow_style:
        raise SettingsError(f"{'.'.join(path)}: is not written as a block of `key: value` lines; change it by hand")
    return node


def _items(node: Node | None) -> Sequence[tuple[Node, Node]]:
    return node.value if isinstance(node, MappingNode) else []


def _rest(text: str, node: Node) -> str:
    """What follows a value. A block scalar's end is the begin of what comes next."""
    end = node.end_mark.index
    return (
        text[end:]
        if text[node.start_mark.index : end].rstrip() == text[node.start_mark.index : end]
        else f"\n{text[end:]}"
    )
