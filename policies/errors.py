"""What can be wrong with a policy: a `PolicyError` that lists each `Problem` with its place."""

from __future__ import annotations

from dataclasses import dataclass


class PolicyError(Exception):
    """A policy that cannot be used; `problems` lists each place."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a document: `file:line: key.path: what is wrong; what is allowed`."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"
