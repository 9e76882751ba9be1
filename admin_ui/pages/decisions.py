"""The log of decisions: filtered, followed as it grows, and opened to the whole evidence."""

from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

from admin_ui.api.asking import ENTRY_ID, Asked
from admin_ui.api.decisions import LAST_ID, Numbered
from admin_ui.console import Console
from admin_ui.pages.entries import take_out
from admin_ui.render import page
from policies.record import Filter
from policies.verdicts import Outcome, Reason

_ROWS: Final = 50
EFFECTS: Final = {
    "flagged": "Marked bad: the entry is not served by meaning any more until it is reviewed.",
    "removed": "Marked bad: the entry is removed.",
    "restored": "Marked good: the entry is served by meaning again.",
    "none": "Noted.",
    "stands": "Somebody was quicker: the first verdict stands.",
}
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


class Sought(BaseModel):
    """The log's filter, as it stands in the address."""

    category: str = ""
    outcome: str = ""
    reason: str = ""
    owner: str = ""
    model: str = ""
    text: str = ""
    entry: str = ""
    least: str = Field("", pattern=r"^[01]?(\.[0-9]{0,6})?$")
    most: str = Field("", pattern=r"^[01]?(\.[0-9]{0,6})?$")
    before: int | None = Field(None, ge=0, le=LAST_ID)

    @property
    def address(self) -> str:
        """The query string of the filter alone: what a stream or an older page adds to."""
        fields = self.model_dump(exclude={"before"})
        return urlencode({name: value for name, value in fields.items() if value.strip()})

    @property
    def chosen(self) -> Filter | None:
        """The filter; None where nothing narrows it."""
        if not self.address:
            return None
        return Filter(
            category=self.category.strip() or None,
            outcome=self.outcome or None,
            reason=self.reason or None,
            owner=self.owner.strip() or None,
            model=self.model.strip() or None,
            text=self.text.strip() or None,
            entry=self.entry.strip() or None,
            least=_number(self.least),
            most=_number(self.most),
        )


def _number(text: str) -> float | None:
    return float(text) if text.strip(".") else None


@router.get("/decisions")
async def decisions(
    request: Request, console: Asked, sought: Annotated[Sought, Query()]
) -> Response:
    found = await console.decisions(_ROWS, sought.before, sought.chosen)
    names = [one["name"] for one in await console.categories()]
    return page(
        request,
        "decisions.html",
        found=found,
        replicas=await console.replicas(),
        sought=sought,
        categories=names,
        outcomes=[outcome.value for outcome in Outcome],
        reasons=[reason.value for reason in Reason],
    )


@router.get("/decisions/{decision}")
async def decision(request: Request, console: Asked, decision: Numbered) -> Response:
    return await _evidence(request, console, decision)


@router.post("/decisions/{decision}/judge")
async def judge(
    request: Request,
    console: Asked,
    decision: Numbered,
    verdict: Annotated[Literal["good", "bad"], Form()],
) -> Response:
    effect = await console.judge(decision, good=verdict == "good")
    return await _evidence(request, console, decision, said=EFFECTS.get(effect or "", ""))


@router.post("/decisions/{decision}/purge")
async def purge(
    console: Asked,
    request: Request,
    decision: Numbered,
    entry: Annotated[str, Form(pattern=ENTRY_ID)],
) -> Response:
    aside = await take_out(console, entry)
    if aside is None:
        return await _evidence(request, console, decision, said="The entry is gone.")
    if not aside.entries:
        return await _evidence(request, console, decision, said="The entry was gone already.")
    said = "The entry is gone. It can be had back for a minute."
    return await _evidence(request, console, decision, said=said, aside=aside.id)


@router.post("/decisions/{decision}/undo")
async def undo(
    request: Request,
    console: Asked,
    decision: Numbered,
    aside: Annotated[str, Form(pattern="^[0-9a-f]{16}$")],
) -> Response:
    said = "The entry is back." if await console.undo(aside) else "That minute is over."
    return await _evidence(request, console, decision, said=said)


async def _evidence(
    request: Request, console: Console, number: int, *, said: str = "", aside: str = ""
) -> Response:
    known = await console.evidence(number)
    if known is None:
        raise HTTPException(404, f"No decision {number}. The log keeps a bounded history.")
    row, evidence = known
    return page(request, "decision.html", d=row, evidence=evidence, said=said, aside=aside)
