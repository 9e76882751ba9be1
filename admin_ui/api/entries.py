"""What is remembered: searched, moved, and removed."""

from typing import Annotated, Any, Self

from fastapi import Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from admin_ui.api.asking import ENTRY_ID, Asked, Body, missing, routes
from admin_ui.console import Pair, Selection, Taken, Warming

router = routes("entries")


class SelectionBody(Body):
    """Which entries; every field given narrows it, none selects everything."""

    ids: list[str] = Field([])
    tag: str | None = None
    category: str | None = None
    tenant: str | None = None
    model: str | None = None
    older_than: float | None = Field(None, ge=0, description="Age in seconds.")
    text: str | None = Field(None, description="Part of the remembered prompt.")
    flagged: bool | None = Field(None, description="Marked bad and waiting for review, or not.")
    user: str | None = Field(None, description="An end user; finds what is shared per user.")

    def chosen(self) -> Selection:
        return Selection(
            ids=tuple(self.ids),
            tag=self.tag,
            category=self.category,
            tenant=self.tenant,
            model=self.model,
            older_than=self.older_than,
            text=self.text,
            flagged=self.flagged,
            user=self.user,
        )


class SearchQuery(SelectionBody):
    limit: int = Field(100, ge=1, le=1000)


class ExportQuery(SelectionBody):
    vectors: bool = Field(False, description="With each entry's vector, in base64.")


class PurgeBody(Body):
    selection: SelectionBody
    dry_run: bool = Field(True, description="Count only; send false to remove.")
    limit: int | None = Field(None, ge=1, description="At most so many; ask again for the rest.")


class PairBody(Body):
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    category: str | None = None
    model: str | None = None


class WarmingBody(Body):
    """Questions with their answers, and how an application will ask them."""

    pairs: list[PairBody] = Field(min_length=1, max_length=1000)
    model: str = Field(min_length=1)
    system: str | None = None
    credential: str | None = Field(None, description="The key that will ask.")
    tenant: str | None = Field(None, description="The tenant whose keys will ask.")
    body: dict[str, Any] = Field({}, description="More fields of the requests.")
    overwrite: bool = False
    dry_run: bool = Field(True, description="Judge only; send false to remember.")

    def asked(self) -> Warming:
        pairs = tuple(Pair(p.question, p.answer, p.category, p.model) for p in self.pairs)
        return Warming(pairs, self.model, self.system, self.credential, self.tenant, self.body)


class Removed(BaseModel):
    removed: int
    dry_run: bool


class Purged(Removed):
    decisions: int = Field(0, description="Requests of the end user taken out of the log.")
    untold: list[str] = Field([], description="What cannot be told apart, and so may be left.")


class RefusedLine(BaseModel):
    line: int
    why: str


class Skipped(BaseModel):
    existing: int
    expired: int


class Arrived(BaseModel):
    """What was taken. With a refused line nothing is; lines count from 1."""

    taken: int
    skipped: Skipped
    refused: list[RefusedLine]
    foreign: bool = Field(description="Written by a house with another secret.")
    dry_run: bool

    @classmethod
    def of(cls, told: Taken, *, dry_run: bool) -> Self:
        return cls(
            taken=told.taken,
            skipped=Skipped(existing=told.existing, expired=told.expired),
            refused=[RefusedLine(line=line, why=why) for line, why in told.refused],
            foreign=told.foreign,
            dry_run=dry_run,
        )


class EntryList(BaseModel):
    entries: list[dict[str, Any]]


@router.get("/entries", summary="Search what is remembered")
async def entries(console: Asked, search: Annotated[SearchQuery, Query()]) -> EntryList:
    return EntryList(entries=await console.entries(search.chosen(), search.limit))


@router.delete("/entries/{entry}", summary="Forget one entry")
async def forget(console: Asked, entry: Annotated[str, Path(pattern=ENTRY_ID)]) -> Removed:
    removed = await console.purge(Selection(ids=(entry,)), dry_run=False)
    if not removed:
        raise missing("entry", entry, "/api/entries")
    return Removed(removed=removed, dry_run=False)


@router.post(
    "/entries/purge",
    summary="Forget all entries of a selection",
    response_model_exclude_defaults=True,
)
async def purge(console: Asked, body: PurgeBody) -> Purged:
    chosen = body.selection.chosen()
    decisions = await console.traces(chosen)
    removed = await console.purge(chosen, dry_run=body.dry_run, limit=body.limit)
    return Purged(
        removed=removed,
        dry_run=body.dry_run,
        decisions=decisions,
        untold=list(console.untold(chosen)),
    )


@router.get(
    "/entries/export",
    summary="Entries with their answers, one JSON object a line; the last line tells of all",
    response_class=StreamingResponse,
)
async def export(console: Asked, search: Annotated[ExportQuery, Query()]) -> StreamingResponse:
    count, lines = await console.export(search.chosen(), vectors=search.vectors)
    headers = {"x-likewise-entries": str(count)}
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


@router.post("/entries/import", summary="Remember exported entries: their lines, up to 1 MB")
async def take(
    console: Asked,
    request: Request,
    overwrite: bool = False,
    dry_run: bool = False,
    secret: Annotated[str | None, Query(description="As the file's last line has it.")] = None,
) -> Arrived:
    lines = await request.body()
    told = await console.take(lines, overwrite=overwrite, dry_run=dry_run, secret=secret)
    return Arrived.of(told, dry_run=dry_run)


@router.post("/entries/warm", summary="Remember questions with answers that somebody wrote")
async def warm(console: Asked, body: WarmingBody) -> Arrived:
    told = await console.warm(body.asked(), overwrite=body.overwrite, dry_run=body.dry_run)
    return Arrived.of(told, dry_run=body.dry_run)
