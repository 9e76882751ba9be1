"""A client of a running proxy's admin port, for the commands that ask one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Group
from rich.table import Table
from rich.text import Text

from index.errors import SetupError
from proxy.token import token_file

if TYPE_CHECKING:
    from proxy.settings import Settings

# Labels that are asked for: enough for any bound, and soon sent.
LABELS = 10_000
_TIMEOUT = httpx.Timeout(30.0, connect=3.0)


class Admin:
    """Speaks the JSON API with the token; every failure is a `SetupError` with the next step."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token

    @classmethod
    def of(cls, settings: Settings, url: str | None) -> Admin:
        """The proxy that `url`, or else the settings, points at, with the token at hand."""
        server = settings.server
        given = settings.admin_token
        path = token_file(settings)
        if given is not None:
            token = given.reveal()
        elif os.access(path, os.R_OK):
            token = path.read_text().strip()
        else:
            said = f"no token: set LIKEWISE_ADMIN_TOKEN, or run where {path} can be read"
            raise SetupError(said)
        return cls(url or f"http://{server.admin_host}:{server.admin_port}", token)

    def explain(self, question: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = self._ask("POST", "/api/explain", question)
        return told

    def purge(self, selection: dict[str, Any], *, dry_run: bool) -> int:
        body = {"selection": selection, "dry_run": dry_run}
        answer = self._ask("POST", "/api/entries/purge", body)
        return int(answer["removed"])

    def labels(self) -> list[dict[str, Any]]:
        """What judges said of fresh answers, the newest of it."""
        told: list[dict[str, Any]] = self._ask("GET", f"/api/learned/labels?limit={LABELS}")[
            "labels"
        ]
        return told

    def forget(self, category: str) -> None:
        """Let the proxy forget what one category taught."""
        self._ask("POST", "/api/learned/forget", {"category": category})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            answer = httpx.request(
                method,
                self._url + path,
                json=body,
                headers={"authorization": f"Bearer {self._token}"},
                timeout=_TIMEOUT,
                trust_env=False,
                follow_redirects=False,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            said = f"no proxy answers at {self._url} ({fault}); start one, or give --admin URL"
            raise SetupError(said) from fault
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise SetupError(f"{self._url} refused the token; set LIKEWISE_ADMIN_TOKEN to its own")
        if answer.is_error:
            raise SetupError(f"{self._url}{path}: {_message(answer)}")
        return answer.json()


def explanation(told: dict[str, Any]) -> Group:
    """An explanation for a terminal."""
    good = told["outcome"] == "hit"
    head = Text(f"{told['outcome'].upper()}  {told['reason']}", "bold green" if good else "bold")
    steps = Table.grid(padding=(0, 2))
    for step in told["steps"]:
        steps.add_row(Text(step["name"], "dim"), Text(step["text"]))
    near = Table("similarity", "remembered prompt", "refused", "seen", box=None)
    for one in told["candidates"]:
        near.add_row(
            f"{one['score']:.3f}", Text(one["text"][:70]), one["reason"], Text(one["seen"])
        )
    return Group(head, steps, near)


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
