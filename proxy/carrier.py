"""A client of a running proxy's admin port that carries much: entries out and in, by pieces."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import httpx

from index.errors import SetupError
from proxy.remote import Admin
from proxy.terminal import policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Report = Callable[[str, float], None]

# Entries that one request removes: some seconds of work for a slow disk.
CLEARED = 20_000
# A chunk of entries without vectors is embedded before its answer comes.
_TIMEOUT = httpx.Timeout(300.0, connect=3.0)


class Cleared(NamedTuple):
    """How many entries were removed and requests taken out of the log, and what may be left that
    no selection reaches."""

    removed: int
    decisions: int
    untold: list[str]


class Carrier(Admin):
    """Speaks the JSON API like `Admin`, in many requests or in one that streams."""

    def count(self, selection: dict[str, Any]) -> Cleared:
        """How many entries a selection means."""
        return self._purged({"selection": selection, "dry_run": True})

    def clear(self, selection: dict[str, Any], total: int, report: Report) -> Cleared:
        """Remove what a selection means, some thousand at a time."""
        body = {"selection": selection, "dry_run": False, "limit": CLEARED}
        told = self._purged(body)
        removed, decisions = told.removed, told.decisions
        while told.removed == CLEARED:
            report("removing entries", min(0.99, removed / max(1, total)))
            told = self._purged(body)
            removed, decisions = removed + told.removed, decisions + told.decisions
        report("removing entries", 1.0)
        return Cleared(removed, decisions, told.untold)

    @contextmanager
    def export(
        self, selection: dict[str, Any], *, vectors: bool
    ) -> Iterator[tuple[int, Iterator[bytes]]]:
        """How many entries a selection means, and the lines of the export as they come.

        A connection that breaks ends them early: `transfer.whole` sees it.
        """
        params = selection | {"vectors": vectors}
        with self._stream("GET", "/api/entries/export", params=params) as answer:
            count = int(answer.headers.get("x-likewise-entries", "0"))
            yield count, _lines(answer)

    def take(self, lines: bytes, **options: Any) -> dict[str, Any]:
        """Hand in exported lines, 1 MB of them at most."""
        params = {key: value for key, value in options.items() if value is not None}
        headers = {"content-type": "application/x-ndjson"}
        with self._stream(
            "POST", "/api/entries/import", params=params, content=lines, headers=headers
        ) as answer:
            return _read(answer)

    def warm(self, body: dict[str, Any]) -> dict[str, Any]:
        """Hand in questions with their answers."""
        with self._stream("POST", "/api/entries/warm", json=body) as answer:
            return _read(answer)

    def _purged(self, body: dict[str, Any]) -> Cleared:
        with self._stream("POST", "/api/entries/purge", json=body) as answer:
            told = _read(answer)
        return Cleared(
            int(told["removed"]), int(told.get("decisions", 0)), list(told.get("untold", ()))
        )

    @contextmanager
    def _stream(
        self, method: str, path: str, headers: dict[str, str] | None = None, **sent: Any
    ) -> Iterator[httpx.Response]:
        """A sound answer, its body still to be read. Raises `SetupError` with the next step."""
        authorised = {"authorization": f"Bearer {self._token}"} | (headers or {})
        try:
            with (
                httpx.Client(trust_env=False, timeout=_TIMEOUT) as client,
                client.stream(method, self._url + path, headers=authorised, **sent) as answer,
            ):
                self._check(answer, path)
                yield answer
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            said = f"no proxy answers at {self._url} ({fault}); start one, or give --admin URL"
            raise SetupError(said) from fault

    def _check(self, answer: httpx.Response, path: str) -> None:
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise SetupError(f"{self._url} refused the token; set LIKEWISE_ADMIN_TOKEN to its own")
        if answer.status_code != httpx.codes.OK:
            answer.read()
            try:
                said = str(answer.json()["error"]["message"])
            except (ValueError, KeyError, TypeError):
                said = f"status {answer.status_code}"
            raise SetupError(f"{self._url}{path}: {said}")


def carrier(config: str | None, admin: str | None) -> Carrier:
    """A client of the running proxy that the configuration, or `--admin`, points at."""
    return cast("Carrier", Carrier.of(policy_of(config), admin))


def _read(answer: httpx.Response) -> dict[str, Any]:
    answer.read()
    told: dict[str, Any] = answer.json()
    return told


def _lines(answer: httpx.Response) -> Iterator[bytes]:
    """Lines with their ends; what a broken connection leaves is the last one."""
    parts: list[bytes] = []
    try:
        for chunk in answer.iter_bytes():
            *ended, rest = chunk.split(b"\n")
            for end in ended:
                yield b"".join((*parts, end, b"\n"))
                parts = []
            parts.append(rest)
    except httpx.HTTPError:
        pass
    if left := b"".join(parts):
        yield left
