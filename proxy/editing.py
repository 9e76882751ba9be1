"""One value changed in a YAML text, everything else byte for byte as it was: comments, order,
quotes. What is not there yet is added in the style of what is around it. Pure.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP = "  "


def diff(old: str, new: str, file: str) -> str:
    """The change as `diff -u` shows it; `patch` takes it."""
    before, after = (text.splitlines(keepends=True) for text in (old, new))
    lines = difflib.unified_diff(before, after, file if old else "/dev/null", file)
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def changed(text: str, path: Sequence[str], value: str) -> str:
    """The text with `value`, YAML on one line, under the keys of `path`.

    The text must be YAML without anchors, whose mappings have plain keys.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return _joined(text, len(text), "\n".join(_nested(path, value, 0)))
    key, node, rest = root, root, list(path)
    while rest and isinstance(node, yaml.MappingNode):
        found = next((pair for pair in node.value if pair[0].value == rest[0]), None)
        if found is None:
            return _added(text, node, rest, value)
        (key, node), rest = found, rest[1:]
    start, end = node.start_mark.index, _end(text, node)
    if start == end or (isinstance(node, yaml.CollectionNode) and not node.flow_style):
        # Nothing stands on the key's own line.
        colon = text.index(":", key.end_mark.index)
        return f"{text[: colon + 1]} {_flow(rest, value)}{text[max(end, colon + 1) :]}"
    return text[:start] + _flow(rest, value) + text[end:]


def _added(text: str, node: yaml.MappingNode, path: Sequence[str], value: str) -> str:
    """The text with a key more in a mapping, behind its last one."""
    if node.flow_style:
        inside = f"{path[0]}: {_flow(path[1:], value)}"
        if not node.value:
            at = node.start_mark.index + 1
            return text[:at] + inside + text[at:]
        at = _end(text, node.value[-1][1])
        return f"{text[:at]}, {inside}{text[at:]}"
    last = _end(text, node.value[-1][1])
    line = text.find("\n", last)
    lines = _nested(path, value, node.value[-1][0].start_mark.column)
    return _joined(text, len(text) if line < 0 else line + 1, "\n".join(lines))


def _joined(text: str, at: int, lines: str) -> str:
    """Whole lines put in at the beginning of a line."""
    ending = "\r\n" if "\r\n" in text else "\n"
    before = text[:at]
    if before and not before.endswith("\n"):
        before += ending
    return before + lines.replace("\n", ending) + ending + text[at:]


def _nested(path: Sequence[str], value: str, column: int) -> list[str]:
    """The keys of a path as a block, each on a line of its own."""
    lines = [f"{' ' * column}{STEP * depth}{key}:" for depth, key in enumerate(path)]
    lines[-1] += f" {value}"
    return lines


def _flow(path: Sequence[str], value: str) -> str:
    for key in reversed(path):
        value = f"{{{key}: {value}}}"
    return value


def _end(text: str, node: yaml.Node) -> int:
    """Where a node's own text ends; the parser counts comments and blank lines after a block."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    start, end = node.start_mark.index, node.end_mark.index
    return start + len(text[start:end].rstrip())
