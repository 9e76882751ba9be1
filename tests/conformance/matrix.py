"""The result as tables: one for each API, a row for each client."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.table import Table

from tests.conformance.allowed import allowed
from tests.conformance.course import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.course import Check

MOST_SHOWN = 60


@dataclass(slots=True)
class Cell:
    equal: int = 0
    total: int = 0
    passed: int = 0

    def __str__(self) -> str:
        if self.total:
            return f"{self.equal}/{self.total}"
        return "passed through" if self.passed else "-"


@dataclass(slots=True)
class Matrix:
    """Counts by API, client and column, and every difference in words."""

    cells: dict[tuple[str, str, str], Cell] = field(default_factory=lambda: defaultdict(Cell))
    found: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, client: str, api: str, check: Check) -> None:
        cell = self.cells[api, client, check.column]
        head = f"{client} · {check.column} · {check.case}: "
        reasons = [allowed(head + one) for one in check.differences]
        found = [head + one for one, why in zip(check.differences, reasons, strict=True) if not why]
        self.reasons.update(filter(None, reasons))
        self.found += found
        cell.passed += check.passed
        cell.total += not check.passed
        cell.equal += not (check.passed or found)

    def tables(self) -> Iterator[Table]:
        for api in dict.fromkeys(api for api, _, _ in self.cells):
            table = Table(title=f"{api}: equal / compared", title_justify="left")
            table.add_column("client")
            seen = {column for a, _, column in self.cells if a == api}
            columns = [column for column in COLUMNS if column in seen]
            for column in columns:
                table.add_column(column, justify="right")
            for client in dict.fromkeys(c for a, c, _ in self.cells if a == api):
                cells = (self.cells.get((api, client, column), Cell()) for column in columns)
                table.add_row(client, *map(str, cells))
            yield table

    def report(self) -> Iterator[str]:
        """The differences that are allowed, and the others, the first of them in full."""
        for reason, count in self.reasons.items():
            yield f"allowed, {count} times: {reason}"
        yield from self.found[:MOST_SHOWN]
        if len(self.found) > MOST_SHOWN:
            yield f"… and {len(self.found) - MOST_SHOWN} more"
