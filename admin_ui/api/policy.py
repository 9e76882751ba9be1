"""The policy: in force, as written, checked, tried on past requests, applied, rolled back."""

from typing import Annotated, Any

from fastapi import Path, Query, Response
from pydantic import BaseModel, Field

from admin_ui.api.asking import Asked, Body, Who, missing, routes
from admin_ui.facts import Applied, Edition, Fault, Trial, Written

MOST = 2_000
LAST = (1 << 63) - 1
router = routes("policy")
Numbered = Annotated[int, Path(ge=1, le=LAST)]


class TextBody(Body):
    """A whole configuration; only `policy:` and `prices:` may differ from the one in force."""

    text: str = Field(max_length=1_000_000)


class TrialBody(TextBody):
    requests: int = Field(500, ge=1, le=MOST, description="How many of the last requests.")


class ApplyBody(TextBody):
    revision: str = Field(max_length=64, description="Of the text that was edited.")


class RevisionBody(Body):
    revision: str = Field(max_length=64, description="Of the text that is to be replaced.")


class Checked(BaseModel):
    """Everything that is wrong, in the order of lines, and what the text would change."""

    faults: list[Fault]
    diff: str


class Tried(BaseModel):
    """`trial` is None where the text is no policy: `faults` say why."""

    faults: list[Fault]
    trial: Trial | None


class EditionList(BaseModel):
    """Newest first: the first one is in force."""

    editions: list[Edition]


class EditionText(BaseModel):
    text: str
    diff: str = Field(description="What going back to it would change.")


@router.get("/policy", summary="The policy in force")
async def policy(console: Asked) -> dict[str, Any]:
    return await console.policy()


@router.get("/policy/text", summary="The configuration's text, as its file has it now")
async def written(console: Asked) -> Written:
    return await console.written()


@router.post("/policy/check", summary="What is wrong with a text, and what it would change")
async def check(console: Asked, body: TextBody) -> Checked:
    return Checked(faults=list(await console.check(body.text)), diff=await console.diff(body.text))


@router.post("/policy/trial", summary="What a text would have made of the last requests")
async def trial(console: Asked, body: TrialBody) -> Tried:
    told = await console.trial(body.text, body.requests)
    if isinstance(told, Trial):
        return Tried(faults=[], trial=told)
    return Tried(faults=list(told), trial=None)


@router.put("/policy/text", summary="Write a text, and put its policy in force")
async def apply(console: Asked, body: ApplyBody, who: Who, response: Response) -> Applied:
    """409 where somebody else edited meanwhile, 422 where the text is no policy."""
    return settled(await console.apply(body.text, body.revision, who), response)


@router.get("/policy/editions", summary="What was in force, by whose hand")
async def editions(console: Asked, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> EditionList:
    return EditionList(editions=list(await console.editions(limit)))


@router.get("/policy/editions/{edition}", summary="The text of one edition")
async def edition(console: Asked, edition: Numbered) -> EditionText:
    text = await console.edition(edition)
    if text is None:
        raise missing("edition", edition, "/api/policy/editions")
    return EditionText(text=text, diff=await console.diff(text))


@router.post("/policy/editions/{edition}/restore", summary="Put an edition in force again")
async def roll_back(
    console: Asked, edition: Numbered, body: RevisionBody, who: Who, response: Response
) -> Applied:
    told = await console.roll_back(edition, body.revision, who)
    if told is None:
        raise missing("edition", edition, "/api/policy/editions")
    return settled(told, response)


def settled(told: Applied, response: Response) -> Applied:
    """With the status that says the same: 409 for a conflict, 422 for faults."""
    if not told.applied:
        response.status_code = 409 if told.conflict else 422
    return told
