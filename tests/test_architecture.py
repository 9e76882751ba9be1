"""The house rules of docs/architecture.md, read from the source text itself.

Each rule is a function from source to faults, so each is also shown to catch a planted fault.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).resolve().parent.parent

ARROWS: Mapping[str, frozenset[str]] = {
    "policies": frozenset(),
    "index": frozenset({"policies"}),
    "admin_ui": frozenset({"policies"}),
    "proxy": frozenset({"policies", "index", "admin_ui"}),
}
OUTSIDE = frozenset({"tests", "bench"})
WEB = frozenset({"fastapi", "starlette", "uvicorn"})

# The core's world: no clock, dice, I/O, log, concurrency, storage, network or framework.
IMPURE = WEB | {
    *("time", "random", "secrets", "uuid", "sys", "importlib", "logging", "signal"),
    *("os", "io", "pathlib", "shutil", "tempfile", "glob", "fileinput", "pickle"),
    *("asyncio", "threading", "concurrent", "multiprocessing", "subprocess", "anyio"),
    *("socket", "select", "ssl", "http", "urllib", "httpx", "aiohttp", "requests"),
    *("sqlite3", "dbm", "shelve", "redis", "hiredis", "faiss", "onnx", "onnxruntime"),
    *("tokenizers", "torch", "sentence_transformers", "prometheus_client", "click", "rich"),
}
IMPURE_CALLS = frozenset({"open", "print", "input", "exec", "eval", "compile", "__import__"})
CLOCK_READS = frozenset({"now", "utcnow", "today"})
# The files that speak pydantic, and the one that reads the policy shipped inside the package, once.
ONLY_IN = {
    "pydantic": {"policies/checked.py", "policies/config.py"},
    "importlib": {"policies/config.py"},
}

# Beyond the core: who else must not know what.
UNKNOWN_TO: Mapping[str, frozenset[str]] = {
    "index/": WEB,
    "admin_ui/": frozenset(
        {"faiss", "onnxruntime", "sqlite3", "redis", "hiredis", "httpx", "aiohttp"}
    ),
    "proxy/engine.py": WEB | {"aiohttp", "httptools", "click"},
}

MODULE_LINES = 600
MODULE_MEDIAN = 250
FUNCTION_LINES = 60
FUNCTION_P95 = 45
FUNCTION_MEDIAN = 10

EMPTY_NAMES = frozenset(
    {"util", "utils", "helper", "helpers", "manager", "managers", "base", "core", "common", "misc"}
)
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X])\b|NotImplemented[E]rror")

# Two pages of one vocabulary name each other in annotations; nothing is imported at run time.
TYPE_ONLY_CIRCLES = [{"policies.values", "policies.verdicts"}]

# Modules whose tests live elsewhere, and where. An entry that is no longer needed fails.
COVERED_BY: Mapping[str, str] = {
    # Declarations only: types, protocols, exceptions. What uses them tests them.
    "policies/values.py": "tests/policies/test_decide.py",
    "policies/record.py": "tests/index/test_journal.py",
    "policies/errors.py": "tests/policies/test_config.py",
    "index/errors.py": "tests/contract/test_bodies.py",
    "index/ports.py": "tests/contract/test_bodies.py",
    "proxy/dialects/ports.py": "tests/proxy/dialects/test_chat.py",
    "proxy/judges/ports.py": "tests/proxy/test_judging.py",
    # The pages are its only users, and read what it makes.
    "admin_ui/render.py": "tests/admin_ui/pages/test_listing.py",
    "admin_ui/console.py": "tests/admin_ui/pages/test_listing.py",
    "admin_ui/facts.py": "tests/proxy/test_counting.py",
}


class Import:
    """One imported dotted name with its line; `typing` where only the type checker sees it."""

    def __init__(self, name: str, line: int, *, typing: bool) -> None:
        self.name = name
        self.line = line
        self.typing = typing

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]


def product() -> dict[str, str]:
    """Every product module's path, relative to the root, with its text."""
    files = chain.from_iterable((ROOT / room).rglob("*.py") for room in ARROWS)
    return {f.relative_to(ROOT).as_posix(): f.read_text(encoding="utf-8") for f in sorted(files)}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(tree: ast.AST, *, typing: bool = False) -> Iterator[Import]:
    """All imports at any depth; `from a import b` yields `a.b`, a relative one leads with a dot."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(a.name, node.lineno, typing=typing) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            stem = "." * node.level + (node.module or "")
            yield from (Import(f"{stem}.{a.name}", node.lineno, typing=typing) for a in node.names)
        elif is_type_checking(node):
            assert isinstance(node, ast.If)
            for part in node.body:
                yield from imports(ast.Module([part], []), typing=True)
            for part in node.orelse:
                yield from imports(ast.Module([part], []), typing=typing)
        else:
            yield from imports(node, typing=typing)


def wrong_arrows(path: str, source: str) -> list[str]:
    room = path.partition("/")[0]
    allowed = ARROWS[room] | {room}
    return [
        f"{path}:{i.line} imports {i.name}: {room} may import {sorted(ARROWS[room]) or 'no room'}"
        for i in imports(ast.parse(source))
        if i.name.startswith(".") or (i.top in (ARROWS.keys() | OUTSIDE) and i.top not in allowed)
    ]


def impurities(path: str, source: str) -> list[str]:
    """What a module of the core imports or calls that it must be handed instead."""
    tree = ast.parse(source)
    found = [
        f"{path}:{i.line} imports {i.name}: the core is pure"
        for i in imports(tree)
        if (i.top in IMPURE and i.top not in ONLY_IN) or path not in ONLY_IN.get(i.top, {path})
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in IMPURE_CALLS or name.rpartition(".")[2] in CLOCK_READS:
                found.append(f"{path}:{node.lineno} calls {name}(): the core is pure")
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("np.random", "numpy.random"):
            found.append(f"{path}:{node.lineno} uses {ast.unparse(node)}: the core is pure")
    return found


def forbidden_knowledge(path: str, source: str) -> list[str]:
    banned = frozenset(chain.from_iterable(b for p, b in UNKNOWN_TO.items() if path.startswith(p)))
    return [
        f"{path}:{i.line} imports {i.name}, which is not its business"
        for i in imports(ast.parse(source))
        if i.top in banned
    ]


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def graph(sources: Mapping[str, str], *, typing: bool) -> dict[str, set[str]]:
    """Module to modules it imports, function-level imports included."""
    names = {module_name(path) for path in sources}
    edges: dict[str, set[str]] = {name: set() for name in names}
    for path, source in sources.items():
        me = module_name(path)
        for i in imports(ast.parse(source)):
            target = next((n for n in (i.name, i.name.rpartition(".")[0]) if n in names), None)
            if target and target != me and (typing or not i.typing):
                edges[me].add(target)
    return edges


def reach(edges: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = [*edges[start]]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += edges[name]
    return seen


def circles(edges: Mapping[str, set[str]]) -> list[set[str]]:
    """The groups of modules that reach themselves through each other."""
    reached = {name: reach(edges, name) for name in edges}
    groups: list[set[str]] = []
    for name, others in reached.items():
        if name in others and not any(name in g for g in groups):
            groups.append({name} | {o for o in others if name in reached[o]})
    return groups


def function_sizes(source: str) -> list[tuple[str, int, int]]:
    """(name, first line, lines) of every function and method, decorators left out."""
    return [
        (n.name, n.lineno, (n.end_lineno or n.lineno) - n.lineno + 1)
        for n in ast.walk(ast.parse(source))
        if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def oversized(path: str, source: str) -> list[str]:
    lines = source.count("\n")
    found = [f"{path}: {lines} lines, at most {MODULE_LINES}"] if lines > MODULE_LINES else []
    return found + [
        f"{path}:{line} {name}: {size} lines, at most {FUNCTION_LINES}"
        for name, line, size in function_sizes(source)
        if size > FUNCTION_LINES
    ]


def empty_names(path: str, _source: str) -> list[str]:
    words = re.split(r"[/_.]", path.removesuffix(".py"))
    return [f"{path}: '{w}' says nothing; name what it does" for w in words if w in EMPTY_NAMES]


def unfinished(path: str, source: str) -> list[str]:
    return [
        f"{path}:{n} {line.strip()}"
        for n, line in enumerate(source.splitlines(), 1)
        if UNFINISHED.search(line)
    ]


def headless(path: str, source: str) -> list[str]:
    """Modules that do not open with their law, and packages that hold more than it."""
    tree = ast.parse(source)
    if ast.get_docstring(tree) is None:
        return [f"{path}: no head; say what lives here and what must not"]
    if path.endswith("__init__.py") and len(tree.body) > 1:
        return [f"{path}: holds more than its docstring; import from the defining module"]
    return []


def untested(paths: Sequence[str], covered_by: Mapping[str, str], tests: set[str]) -> list[str]:
    """Modules without a mirrored test file, and entries of `covered_by` that do not hold."""
    found: list[str] = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        mirror = f"tests/{folder}/test_{name}"
        if name == "__init__.py":
            continue
        if path in covered_by:
            if covered_by[path] not in tests:
                found.append(f"{path}: COVERED_BY names {covered_by[path]}, which is not there")
            if mirror in tests:
                found.append(f"{path}: {mirror} exists; take it out of COVERED_BY")
        elif mirror not in tests:
            found.append(f"{path}: no {mirror}")
    return found + [
        f"{path}: in COVERED_BY, but is no module" for path in covered_by if path not in paths
    ]


Rule = Callable[[str, str], list[str]]


def everywhere(rule: Rule, room: str = "") -> list[str]:
    return [
        f for path, text in product().items() if path.startswith(room) for f in rule(path, text)
    ]


def report(faults: Sequence[str]) -> str:
    return "\n" + "\n".join(faults)


def test_rooms_import_only_along_the_arrows() -> None:
    """proxy -> index, admin_ui, policies; index -> policies; admin_ui -> policies."""
    faults = everywhere(wrong_arrows)
    assert not faults, report(faults)


def test_the_core_is_pure() -> None:
    """policies/ imports and calls nothing that reads or changes the world."""
    faults = everywhere(impurities, "policies/")
    assert not faults, report(faults)


def test_rooms_do_not_know_each_others_tools() -> None:
    """Memory and the engine know no web framework; the face knows no storage."""
    faults = everywhere(forbidden_knowledge)
    assert not faults, report(faults)


def test_no_circle_of_imports() -> None:
    """Nothing imports itself by way of others, inside functions included."""
    assert circles(graph(product(), typing=False)) == []


def test_no_new_circle_of_types() -> None:
    """Annotations may close a circle only where it is written down."""
    found = circles(graph(product(), typing=True))
    assert [c for c in found if c not in TYPE_ONLY_CIRCLES] == []


def test_modules_and_functions_fit_the_eye() -> None:
    """A module has at most 600 lines and a function fits a screen."""
    faults = everywhere(oversized)
    assert not faults, report(faults)


def test_most_modules_and_functions_are_small() -> None:
    """The caps are for exceptions; the usual size is far below."""
    sources = product()
    sizes = [size for text in sources.values() for _, _, size in function_sizes(text)]
    assert median(text.count("\n") for text in sources.values()) <= MODULE_MEDIAN
    assert median(sizes) <= FUNCTION_MEDIAN
    assert quantiles(sizes, n=20)[-1] <= FUNCTION_P95


def test_no_name_says_nothing() -> None:
    """A module is named after what it does."""
    faults = everywhere(empty_names)
    assert not faults, report(faults)


def test_nothing_is_left_unfinished() -> None:
    """No note to self and no stub ships."""
    faults = everywhere(unfinished)
    assert not faults, report(faults)


def test_modules_open_with_their_law() -> None:
    """Every module says what lives in it; a package file says nothing else."""
    faults = everywhere(headless)
    assert not faults, report(faults)


def test_every_module_has_its_test_file() -> None:
    """tests/ mirrors the rooms: one module, one test file."""
    tests = {f.relative_to(ROOT).as_posix() for f in (ROOT / "tests").rglob("test_*.py")}
    faults = untested(list(product()), COVERED_BY, tests)
    assert not faults, report(faults)


LONG_FUNCTION = "def f():\n" + "    x = 1\n" * FUNCTION_LINES


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        pytest.param(wrong_arrows, "index/x.py", "import proxy.engine", id="up"),
        pytest.param(wrong_arrows, "index/x.py", "from admin_ui import pages", id="across"),
        pytest.param(wrong_arrows, "policies/x.py", "from index.ports import Record", id="core-up"),
        pytest.param(
            wrong_arrows, "admin_ui/x.py", "def f():\n    from index import space", id="in-function"
        ),
        pytest.param(
            wrong_arrows,
            "policies/x.py",
            "if typing.TYPE_CHECKING:\n    from index.ports import Record",
            id="in-type-checking",
        ),
        pytest.param(wrong_arrows, "proxy/x.py", "from tests import conftest", id="tests"),
        pytest.param(wrong_arrows, "index/x.py", "from .. import proxy", id="relative"),
        pytest.param(impurities, "policies/x.py", "import time", id="clock"),
        pytest.param(impurities, "policies/x.py", "from os import environ", id="from-os"),
        pytest.param(impurities, "policies/x.py", "def f():\n    import random", id="late-dice"),
        pytest.param(impurities, "policies/x.py", "import pydantic", id="pydantic-elsewhere"),
        pytest.param(impurities, "policies/x.py", "def f(p): return open(p)", id="open"),
        pytest.param(impurities, "policies/x.py", "print('x')", id="print"),
        pytest.param(impurities, "policies/x.py", "t = datetime.now(UTC)", id="datetime-now"),
        pytest.param(impurities, "policies/x.py", "r = np.random.default_rng()", id="numpy-dice"),
        pytest.param(forbidden_knowledge, "index/x.py", "import fastapi", id="web-in-memory"),
        pytest.param(forbidden_knowledge, "admin_ui/x.py", "import redis", id="store-in-face"),
        pytest.param(
            forbidden_knowledge, "proxy/engine.py", "from starlette.types import Send", id="engine"
        ),
        pytest.param(oversized, "index/x.py", "x = 1\n" * (MODULE_LINES + 1), id="long-module"),
        pytest.param(oversized, "index/x.py", LONG_FUNCTION, id="long-function"),
        pytest.param(oversized, "index/x.py", f"async {LONG_FUNCTION}", id="long-coroutine"),
        pytest.param(empty_names, "proxy/utils.py", "", id="utils"),
        pytest.param(empty_names, "index/store_manager.py", "", id="manager"),
        pytest.param(empty_names, "index/common/x.py", "", id="folder"),
        pytest.param(unfinished, "index/x.py", "x = 1  # todo: later".upper(), id="note"),
        pytest.param(unfinished, "index/x.py", "raise " + NotImplementedError.__name__, id="stub"),
        pytest.param(headless, "index/x.py", "x = 1", id="no-head"),
        pytest.param(headless, "index/__init__.py", '"""Law."""\nimport os', id="busy-package"),
    ],
)
def test_each_rule_catches_a_planted_fault(rule: Rule, path: str, source: str) -> None:
    """A rule that cannot fail proves nothing."""
    assert rule(path, source)


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        pytest.param(wrong_arrows, "index/x.py", "from policies import values", id="down"),
        pytest.param(wrong_arrows, "proxy/x.py", "import httpx, index.memory", id="shell"),
        pytest.param(impurities, "policies/config.py", "import pydantic", id="pydantic-at-home"),
        pytest.param(impurities, "policies/x.py", "x = snapshot.now\nimport re, math", id="handed"),
        pytest.param(oversized, "index/x.py", "def f():\n    return 1\n", id="small"),
        pytest.param(empty_names, "policies/values.py", "", id="named"),
        pytest.param(unfinished, "index/x.py", "mastodon = 1", id="word"),
        pytest.param(headless, "index/__init__.py", '"""Law."""', id="law"),
    ],
)
def test_each_rule_lets_good_code_through(rule: Rule, path: str, source: str) -> None:
    """A rule that always fails would be switched off."""
    assert rule(path, source) == []


def test_circles_are_found_however_they_are_closed() -> None:
    """Through three modules, a late import, or (when asked) types alone."""
    late = {"index/a.py": "import index.b", "index/b.py": "from index import c"}
    assert circles(graph(late | {"index/c.py": "def f():\n    import index.a"}, typing=False)) == [
        {"index.a", "index.b", "index.c"}
    ]
    types = "if TYPE_CHECKING:\n    from index.a import X"
    pair = {"index/a.py": "from index.b import Y", "index/b.py": types}
    assert circles(graph(pair, typing=False)) == []
    assert circles(graph(pair, typing=True)) == [{"index.a", "index.b"}]


def test_missing_tests_and_stale_exceptions_are_found() -> None:
    """A module without a test, an exception for a tested one, and one for nothing."""
    tests = {"tests/index/test_a.py"}
    assert untested(["index/a.py", "index/__init__.py"], {}, tests) == []
    assert untested(["index/b.py"], {}, tests) == ["index/b.py: no tests/index/test_b.py"]
    assert untested(["index/b.py"], {"index/b.py": "tests/index/test_a.py"}, tests) == []
    assert untested(["index/a.py"], {"index/a.py": "tests/index/test_a.py"}, tests)
    assert untested(["index/b.py"], {"index/b.py": "tests/index/test_z.py"}, tests)
    assert untested([], {"index/gone.py": "tests/index/test_a.py"}, tests)
