"""The health of the parts: what each is doing, what failed last; and who changed what."""

from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from admin_ui.api.asking import Asked, Whose, missing
from admin_ui.render import page

_ACTS: Final = 30
_FULL: Final = 0.05
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that somebody should look at; `bad` where service suffers from it."""

    bad: bool
    said: str


@router.get("/health")
async def health(request: Request, console: Asked, replica: Whose = "") -> Response:
    facts = await console.health(replica)
    if facts is None:
        raise missing("replica", replica, "/health")
    return page(
        request,
        "health.html",
        h=facts,
        concerns=[*concerns(facts), *others(facts["fleet"], replica, facts["policy"])],
        replica=replica,
        lags={one["name"]: one["lag"] for one in facts["replicas"]},
        acts=[act for _, act in await console.acts(_ACTS)],
    )


def others(fleet: list[dict[str, Any]], shown: str, policy: str) -> list[Concern]:
    """Which of the replicas that are not shown is not ready, or runs another policy. One that is
    gone is no concern: it may have been stopped on purpose."""
    hidden = [one for one in fleet if one["id"] != shown and (shown or not one["here"])]
    live = [one for one in hidden if one["live"]]
    ill = [one for one in live if not one["ready"]]
    differ = [one["name"] for one in live if one["policy"] not in ("", policy)]
    found = [Concern(True, f"Replica {one['name']} is not ready: {one['state']}.") for one in ill]
    if differ:
        said = f"Another policy is in force on {', '.join(differ)}: roll one file out to all."
        found.append(Concern(bad=False, said=said))
    return found


def concerns(facts: dict[str, Any]) -> list[Concern]:
    """What is not as it should be, the worst first. A count that is past alone is no concern."""
    disk = facts["disk"]
    failing = facts["upstreams_failing"]
    found = [
        (not facts["ready"], True, f"Not ready: {facts['state']}."),
        (bool(failing), True, f"Requests to {', '.join(failing)} fail and are held back."),
        (facts["embedder_stalled"], True, "The embedder hangs: only exact matches are served."),
        (facts["journal"]["dropped"] > 0, False, "Decisions were lost before they were written."),
        (
            disk is not None and disk["free"] < _FULL * disk["total"],
            False,
            "The disk is nearly full: soon nothing new can be remembered.",
        ),
    ]
    return [Concern(bad, said) for there, bad, said in found if there]
