"""A value changed in YAML leaves everything else byte for byte, and can be read back."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from proxy.editing import changed, diff

if TYPE_CHECKING:
    from pathlib import Path

PATH = ("policy", "categories", "code", "threshold")
FILE = """\
# my proxy
policy:
  defaults:
    threshold: {max_false_hits: 2%, start: 0.95}   # careful
  categories:
    # programming
    code:
      keywords: [python]   # few
      threshold: 0.93  # was 0.9

    # money
    bank:
      patterns:
        - '\\bmoney\\b'
        # more of them
    # nothing follows
# the end
prices: {}
"""

LONG = """\
policy:
  categories:
    code:
      examples: [
        a,
      ]
    b: {}
"""

# The path, the value, the lines that go, the lines that come.
CHANGES = [
    (PATH, "0.91", ["      threshold: 0.93  # was 0.9"], ["      threshold: 0.91  # was 0.9"]),
    (
        ("policy", "defaults", "threshold", "start"),
        "0.9",
        ["    threshold: {max_false_hits: 2%, start: 0.95}   # careful"],
        ["    threshold: {max_false_hits: 2%, start: 0.9}   # careful"],
    ),
    (
        ("policy", "defaults", "threshold", "floor"),
        "0.8",
        ["    threshold: {max_false_hits: 2%, start: 0.95}   # careful"],
        ["    threshold: {max_false_hits: 2%, start: 0.95, floor: 0.8}   # careful"],
    ),
    (("policy", "categories", "bank", "threshold"), "0.9", [], ["      threshold: 0.9"]),
    (
        ("policy", "categories", "new", "threshold"),
        "{start: 0.9}",
        [],
        ["    new:", "      threshold: {start: 0.9}"],
    ),
    (("prices", "m", "input"), "1", ["prices: {}"], ["prices: {m: {input: 1}}"]),
    (("store", "url"), "x", [], ["store:", "  url: x"]),
]


@pytest.mark.parametrize(("path", "value", "gone", "come"), CHANGES)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_only_the_lines_in_question_change(
    path: tuple[str, ...], value: str, gone: list[str], come: list[str], ending: str
) -> None:
    """Comments, blank lines and line endings stay."""
    old = FILE.replace("\n", ending)
    new = changed(old, path, value)
    before, after = old.split(ending), new.split(ending)
    assert "\r" not in "".join(after)
    assert [line for line in before if line not in after] == gone
    assert [line for line in after if line not in before] == come
    assert [line for line in after if line in before] == [b for b in before if b not in gone]
    assert at(new, path) == yaml.safe_load(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "policy:\n  categories:\n    code:\n      threshold: 0.9\n"),
        ("# nothing\n", "# nothing\npolicy:\n  categories:\n    code:\n      threshold: 0.9\n"),
        ("a: 1", "a: 1\npolicy:\n  categories:\n    code:\n      threshold: 0.9\n"),
        ("policy:\n", "policy: {categories: {code: {threshold: 0.9}}}\n"),
        ("policy:   # mine\n", "policy: {categories: {code: {threshold: 0.9}}}   # mine\n"),
        ("policy: null\n", "policy: {categories: {code: {threshold: 0.9}}}\n"),
        ("policy: {}\n", "policy: {categories: {code: {threshold: 0.9}}}\n"),
        (
            "{policy: {mode: serve}}",
            "{policy: {mode: serve, categories: {code: {threshold: 0.9}}}}",
        ),
        (
            "policy:\n  categories:\n    code:\n      threshold:\n        start: 0.95\n",
            "policy:\n  categories:\n    code:\n      threshold: 0.9\n",
        ),
        (
            'policy:\n  categories:\n    "code": {threshold: 0.8}\n',
            'policy:\n  categories:\n    "code": {threshold: 0.9}\n',
        ),
        (LONG, LONG.replace("    b: {}", "      threshold: 0.9\n    b: {}")),
    ],
)
def test_every_style_is_kept(text: str, expected: str) -> None:
    """Blocks, flows, empty values and empty files."""
    assert changed(text, PATH, "0.9") == expected
    assert at(expected, PATH) == 0.9


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
@pytest.mark.parametrize("old", [FILE, FILE.removesuffix("\n"), ""])
def test_patch_takes_the_diff(tmp_path: Path, old: str) -> None:
    """Also of a file without a line ending at its end, and of one that is not there yet."""
    new = changed(old, ("store", "url"), "x")
    target = tmp_path / "likewise.yaml"
    if old:
        target.write_text(old)
    shown = diff(old, new, "likewise.yaml")
    subprocess.run(["patch", "-p0"], input=shown, cwd=tmp_path, text=True, check=True)
    assert target.read_text() == new


def at(text: str, path: tuple[str, ...]) -> object:
    value = yaml.safe_load(text)
    for key in path:
        value = value[key]
    return value
