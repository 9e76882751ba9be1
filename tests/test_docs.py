"""The pages say what the program does: every reason, every command, every target they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import click
import pytest

from policies.verdicts import Reason
from proxy.cli import cli as main

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")], key=lambda page: page.as_posix()
)
# What a reader is asked to type; a new word here is a new thing that a reader must have.
TOOLS = frozenset(
    "cd curl docker export git likewise make openssl pip pipx python python3 uv".split()  # noqa: SIM905 a line of shell words
)
SHELLS = frozenset({"", "sh", "bash", "shell", "console"})


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def fenced(text: str) -> Iterator[tuple[str, str]]:
    """(language, content) of each fenced block."""
    for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield match[1], match[2]


def shell_lines(text: str) -> Iterator[str]:
    """The command lines of a page's shell blocks: no comments, continuations joined."""
    for language, block in fenced(text):
        if language in SHELLS - {""}:
            joined = block.replace("\\\n", " ")
            yield from (s for line in joined.splitlines() if (s := line.strip().removeprefix("$ ")))


def first_word(line: str) -> str:
    """The command of a line, assignments before it and a path to it left out."""
    words = line.split()
    while words and re.match(r"\w+=", words[0]):
        words.pop(0)
    return words[0].rpartition("/")[2] if words else ""


def unknown_tools(text: str) -> list[str]:
    return [
        line
        for line in outside_quotes(shell_lines(text))
        if not line.startswith("#") and first_word(line) not in TOOLS
    ]


def outside_quotes(lines: Iterator[str]) -> Iterator[str]:
    """Leave out the lines that continue a quoted argument, like a JSON body for curl."""
    inside = False
    for line in lines:
        if not inside:
            yield line
        if line.count("'") % 2:
            inside = not inside


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):(?!=)", read("Makefile"), re.MULTILINE))


def named_targets(text: str) -> set[str]:
    """`make x` in code, inline or fenced; not the verb in a sentence."""
    code = [block for _, block in fenced(text)]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    code += re.findall(r"`([^`\n]+)`", prose)
    return {t for c in code for t in re.findall(r"(?:^|[\s;&])make ([a-z]+)", c, re.MULTILINE)}


def commands(group: click.Group, prefix: str = "likewise") -> Iterator[str]:
    for name, command in group.commands.items():
        yield f"{prefix} {name}"
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead to no file, or to no heading of it."""
    found = []
    for link in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", text):
        name, _, anchor = unquote(link).partition("#")
        target = (page.parent / name).resolve() if name else page
        if name and not target.exists():
            found.append(f"{page.name}: {link}")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target, page, text):
            found.append(f"{page.name}: {link} (no such heading)")
    return found


def anchors(target: Path, page: Path, text: str) -> set[str]:
    """A page's headings as forges link to them."""
    body = text if target == page else target.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", body, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


def wrong_places(text: str, modules: set[str]) -> list[str]:
    """Modules named in backticks that are gone, then modules that the text does not name."""
    named = {n for n in re.findall(r"`([\w/]+\.py)`", text) if not n.startswith("tests/")}
    known = modules | {m.rpartition("/")[2] for m in modules}
    ends = {m.partition("/")[2] for m in modules}
    gone = sorted(named - known - ends)
    absent = [m for m in modules if not {m, m.partition("/")[2]} & named]
    return gone + sorted(m for m in absent if m.rpartition("/")[2] not in named)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_in_the_reference(reason: Reason) -> None:
    """Whoever sees a word in a header finds it explained."""
    assert f"`{reason}`" in read("docs/reference.md")


@pytest.mark.parametrize("command", sorted(commands(main)))
def test_every_command_is_documented(command: str) -> None:
    """In the README or the reference."""
    assert re.search(rf"\b{command}\b", read("README.md") + read("docs/reference.md"))


@pytest.mark.parametrize("command", sorted({"likewise", *commands(main)}))
def test_every_command_explains_itself(command: str) -> None:
    """`--help` says what the command does."""
    found: click.Command = main
    for word in command.split()[1:]:
        assert isinstance(found, click.Group)
        found = found.commands[word]
    assert found.help
    assert found.help.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_target_that_a_page_names_exists(page: Path) -> None:
    """No page sends its reader to a target that make does not know."""
    assert named_targets(page.read_text(encoding="utf-8")) <= targets()


def test_the_readme_asks_for_known_tools_only() -> None:
    """Its shell blocks can be typed as they stand."""
    text = read("README.md")
    assert list(shell_lines(text)), "the README shows no command"
    assert unknown_tools(text) == []


def test_the_readme_names_how_to_test() -> None:
    """One command, and it is the one that CI runs."""
    assert "test" in named_targets(read("README.md"))
    assert re.search(r"^make test$", read(".ci/run"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_hold(page: Path) -> None:
    """A relative link leads to a file, and to a heading in it."""
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_the_house_is_drawn_as_it_stands() -> None:
    """The architecture page names every module, and none that is gone."""
    rooms = ("policies", "index", "admin_ui", "proxy")
    modules = {
        f.relative_to(ROOT).as_posix()
        for room in rooms
        for f in (ROOT / room).rglob("*.py")
        if f.name != "__init__.py"
    }
    wrong = wrong_places(read("docs/architecture.md"), modules)
    assert not wrong, "gone, or not named: " + ", ".join(wrong)


def test_wrong_pages_are_found_out(tmp_path: Path) -> None:
    """Each reading of a page sees a planted fault, and lets the honest line beside it pass."""
    text = (
        "Make sure that `make mistake` fails.\n```sh\nFOO=1 .venv/bin/likewise serve\nfrob x\n```\n"
    )
    assert named_targets(text) == {"mistake"}
    assert unknown_tools(text) == ["frob x"]
    assert unknown_tools("```sh\ncurl x -d '{\n  \"a\": 1\n}'\nmake test\n```\n") == []
    (tmp_path / "other.md").write_text("# One thing\n", encoding="utf-8")
    page = tmp_path / "page.md"
    honest = "[a](other.md#one-thing) [b](#top) [c](https://x.y/z)\n# Top\n"
    assert broken_links(page, honest) == []
    assert broken_links(page, "[a](gone.md) [b](other.md#two) [c](#bottom)\n# Top\n") == [
        "page.md: gone.md",
        "page.md: other.md#two (no such heading)",
        "page.md: #bottom (no such heading)",
    ]
    assert wrong_places("`a.py` `gone.py`", {"index/a.py", "index/b.py"}) == [
        "gone.py",
        "index/b.py",
    ]
