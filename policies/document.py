"""YAML text to plain values, with the line of every key, so that each complaint can name its place.

Only what a configuration needs: mappings with unique text keys, lists, text, numbers, true, false,
null. `off`, `on`, `yes`, `no` are words, as in YAML 1.2. No file is opened here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from policies.errors import PolicyError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

Path: TypeAlias = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Document:
    """`lines` holds the 1-based line of each key or list item, by its path; the root is `()`."""

    file: str
    text: str = field(default="", repr=False)
    value: Any = None
    lines: Mapping[Path, int] = field(default_factory=dict, repr=False)

    def line(self, path: Path) -> int:
        """The line of that path, or of the nearest thing around it that is written down."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def at(self, path: Path) -> Any:
        """The value written there, None where nothing is."""
        here = self.value
        for step in path:
            try:
                here = here[step]
            except (KeyError, IndexError, TypeError):
                return None
        return here

    def problem(self, path: Path, message: str) -> Problem:
        return Problem(self.file, self.line(path), dotted(path), message)

    def section(self, key: str) -> str:
        """The text from that top-level key to the next one; empty where it is absent."""
        starts = sorted(self.lines[path] for path in self.lines if len(path) == 1)
        start = self.lines.get((key,))
        if start is None:
            return ""
        end = next((line for line in starts if line > start), None)
        return "\n".join(self.text.splitlines()[start - 1 : None if end is None else end - 1])


def dotted(path: Path) -> str:
    """`("upstreams", 0, "name")` as `upstreams[0].name`."""
    out = ""
    for step in path:
        if isinstance(step, int):
            out += f"[{step}]"
        else:
            name = step if step.isprintable() and step else repr(step)
            out += f".{name}" if out else name
    return out


def read(text: str, file: str) -> Document:
    """Parse; raises `PolicyError` with every place that is not plain, unique and unaliased."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise PolicyError([Problem(file, 0, "", "larger than 1 MB; a policy must be smaller")])
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        builder = _Builder(loader, file)
        value = None if node is None else builder.build(node, ())
    except yaml.YAMLError as error:
        raise PolicyError([_syntax(error, text, file)]) from None
    if builder.problems:
        raise PolicyError(sorted(builder.problems, key=lambda p: p.line))
    return Document(file, text, value, builder.lines)


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that is not accepted here; `problem` is already in our words."""


class _Loader(yaml.SafeLoader):
    """Composes nodes only; stops at the first alias, anchor, tag or at too deep a nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        said = ""
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            said = "anchors (&) and aliases (*) are not allowed; write the value out at each place"
        elif getattr(event, "tag", None) not in (None, "!"):
            said = f"the tag {_short(event.tag)} is not allowed; write the plain value"
        elif self.depth >= MAX_DEPTH:
            said = f"nested deeper than {MAX_DEPTH} levels; no setting needs that"
        if said:
            raise _Refused(problem=said, problem_mark=event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


# YAML 1.2's core schema: PyYAML's own is 1.1, where `off` is false and `12:30` is 750.
_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("tag:yaml.org,2002:float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
     list("-+.0123456789")),
):  # fmt: skip
    _Loader.add_implicit_resolver(_kind, re.compile(f"(?:{_pattern})$"), _first)


class _Builder:
    """Nodes to values; keeps lines and complaints as it goes."""

    def __init__(self, loader: _Loader, file: str) -> None:
        self.loader = loader
        self.file = file
        self.lines: dict[Path, int] = {(): 1}
        self.problems: list[Problem] = []

    def build(self, node: yaml.Node, path: Path) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(child, (*path, i)) for i, child in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, child in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._complain(line, path, "a key must be a plain word")
                continue
            # The raw text: `on:` and `404:` are names here, not a boolean and a number.
            name = key.value
            here = (*path, name)
            if name in out:
                first = self.lines[here]
                self._complain(line, here, f"written twice (first in line {first}); keep one")
                continue
            self.lines[here] = line
            out[name] = self.build(child, here)
        return out

    def _item(self, node: yaml.Node, path: Path) -> Any:
        self.lines[path] = node.start_mark.line + 1
        return self.build(node, path)

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        text = node.value
        if node.tag.endswith((":int", ":float")) and len(text) > 40:  # noqa: PLR2004 - see message
            self._complain(node.start_mark.line + 1, path, "a number of more than 40 characters")
            return None
        if node.tag.endswith(":null"):
            return None
        if node.tag.endswith(":bool"):
            return text.lower() == "true"
        if node.tag.endswith(":int"):
            return int(text)
        if node.tag.endswith(":float"):
            return float(text)
        return text

    def _complain(self, line: int, path: Path, message: str) -> None:
        self.problems.append(Problem(self.file, line, dotted(path), message))


def _syntax(error: yaml.YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        said = error.problem or error.context or "cannot be read"
        message = said if isinstance(error, _Refused) else f"not valid YAML: {_plain(said)}"
        return Problem(file, mark.line + 1 if mark else 0, "", message)
    position = getattr(error, "position", None)
    if isinstance(position, int):
        line = text.count("\n", 0, position) + 1
        character = getattr(error, "character", 0)
        code = ord(character) if isinstance(character, str) else character
        return Problem(file, line, "", f"the character U+{code:04X} is not allowed in YAML")
    return Problem(file, 0, "", "not valid YAML")


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _plain(said: str) -> str:
    """PyYAML's words, where they need a hint."""
    if "cannot start any token" in said and "\\t" in said:
        return "a tab cannot be used for indentation; use spaces"
    if said == "but found another document":
        return "more than one document; keep one, without `---` in between"
    return said
