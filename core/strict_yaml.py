"""Reading YAML as people mean it: every key once, and `off`, `no` or 022 are no surprises.

PyYAML reads YAML 1.1, where `gpu: off` is False, `022` is 18 and the second of two equal keys silently wins.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from core.errors import SettingsError

TEXT_KEY = "tag:yaml.org,2002:str"
MERGE_KEY = "tag:yaml.org,2002:merge"


PLAIN = (
    ("null", r"^(?:~|null|Null|NULL|)$", ("~", "n", "N", "")),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$", "-+0123456789."),
    ("merge", r"^<<$", "<"),
)


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    by_first: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for kind, pattern, firsts in PLAIN:
        for first in firsts:
            by_first.setdefault(first, []).append((f"tag:yaml.org,2002:{kind}", re.compile(pattern)))
    return by_first


class _PlainLoader(yaml.SafeLoader):
    """Knows null, true and false, decimal numbers, merge keys, and text."""

    yaml_implicit_resolvers = _resolvers()


class _TextLoader(yaml.SafeLoader):
    """Knows text and merge keys only: `1.10`, `true` and `null` stay as they are written."""

    yaml_implicit_resolvers = {"<": _resolvers()["<"]}  # noqa: RUF012 - as PyYAML declares it


def parse_yaml(text: str, origin: str, *, all_text: bool = False) -> object:
    """Return what a YAML text holds.

    Args:
        text: one document.
        origin: the file's path, for messages.
        all_text: every key and value is text, as it is written.

    Raises:
        SettingsError: it is not YAML, or names every key that is given twice or is not text, with its line.
    """
    return _parsed(text, origin, (TEXT_KEY, MERGE_KEY), _TextLoader if all_text else _PlainLoader)


def parse_nodes(text: str, origin: str) -> Node | None:
    """Return the tree of a YAML text, whose nodes know where in the text they stand.

    Raises:
        SettingsError: see `parse_yaml`.
    """
    _parsed(text, origin, (TEXT_KEY, MERGE_KEY))
    return _PlainLoader(text).get_single_node()  # anew: what was merged stands in the nodes of a tree that was read


def one_line(value: object) -> str:
    """Return a value as it can stand behind `key: `."""
    text: str = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, width=sys.maxsize, sort_keys=False)
    return text.removesuffix("...\n").rstrip("\n")


def _parsed(text: str, origin: str, keys: Sequence[str], loader_class: type[yaml.SafeLoader] = _PlainLoader) -> object:
    try:
        loader = loader_class(text)
        node = loader.get_single_node()
        problems = list(_wrong_keys(node, keys, (), set()))
        content = None if node is None or problems else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f"line {mark.line + 1}: "
        raise SettingsError(f"{origin}: {where}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{origin}: is not YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise SettingsError(f"{origin}: is nested too deeply") from None
    except (ValueError, LookupError, AttributeError):  # PyYAML's own, for `!!int x`, `!!bool x`, `!!timestamp x`
        raise SettingsError(f"{origin}: a value does not fit its tag (`!!...`) or is too long a number") from None
    if problems:
        raise SettingsError(f"{origin}: " + "; ".join(problems))
    return content


def _wrong_keys(node: Node | None, keys: Sequence[str], above: tuple[Node, ...], seen: set[int]) -> Iterator[str]:
    """Walk a tree that anchors may have made a graph; each node is visited once."""
    if any(node is one for one in above):
        yield f"line {_line(above[-1])}: an anchor holds itself"
        return
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    below: list[Node] = []
    if isinstance(node, ScalarNode) and not _is_text(node.value):
        yield f"line {_line(node)}: half a character (a lone surrogate, \\ud800 to \\udfff) is not text"
    if isinstance(node, SequenceNode):
        below = list(node.value)
    elif isinstance(node, MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            below += [key, value] if isinstance(key, ScalarNode) else [value]
            if not isinstance(key, ScalarNode) or key.tag not in keys:
                yield f"line {_line(key)}: a key must be text; put it in quotes"
            elif key.style is None and key.value != key.value.strip():
                strange = ", ".join(sorted({f"U+{ord(one):04X}" for one in key.value if one.isspace() and one != " "}))
                yield f"line {_line(key)}: white space that is none of YAML ({strange}); type the spaces again"
            elif key.value in lines:
                yield f"line {_line(key)}: {key.value} is given twice (also on line {lines[key.value]})"
            else:
                lines[key.value] = _line(key)
    for one in below:
        yield from _wrong_keys(one, keys, (*above, node), seen)


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
