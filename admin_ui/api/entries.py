"""What is remembered: searched, moved, and removed."""

from typing import Annotated, Any, Literal, Self

from fastapi import HTTPException, Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from admin_ui.api.asking import ENTRY_ID, Asked, Body, missing, routes
from admin_ui.console import Console, Pair, Selection, Taken, Warming
from admin_ui.facts import Aside, Undo

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
    pinned: bool | None = Field(None, description="Kept from eviction, or not.")
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
            pinned=self.pinned,
        )


class SearchQuery(SelectionBody):
    """`meaning` looks for the nearest prompts, and then sorts by how near they are."""

    limit: int = Field(100, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=100_000)
    sort: Literal["stored", "age", "hits", "saved", "size"] = "stored"
    meaning: str | None = Field(None, max_length=4000)


class ExportQuery(SelectionBody):
    vectors: bool = Field(False, description="With each entry's vector, in base64.")


class PurgeBody(Body):
    selection: SelectionBody
    dry_run: bool = Field(True, description="Count only; send false to remove.")
    limit: int | None = Field(None, ge=1, description="At most so many; ask again for the rest.")
    undo: bool = Field(False, description="Hold what is removed aside, for a minute.")


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
    aside: Aside | None = Field(None, description="By which `undo` brings the entries back.")


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


class EntryRow(BaseModel):
    """`stored`, `expires`, `gone` (stale windows included) and `used` in Unix seconds. `hits` and
    what they saved are those of this process. `similarity` is to the `meaning` that was asked for.
    """

    entry: str
    text: str
    category: str
    model: str
    owner: str
    dialect: str
    stored: float
    expires: float
    gone: float
    used: float
    size: int
    flagged: bool
    pinned: bool
    tags: list[str]
    hits: int
    tokens_saved: int
    dollars_saved: float
    similarity: float | None = None


class EntryList(BaseModel):
    entries: list[EntryRow]


class EntryLabel(BaseModel):
    """How similar a prompt was, and whether its fresh answer was the same."""

    similarity: float
    same: bool


class EntryWhole(EntryRow):
    """`answer` is None where it is no text; `twins` are entries whose answers are the same."""

    answer: str | None
    cut_short: bool
    labels: list[EntryLabel]
    twins: list[str]


class AmendBody(Body):
    ttl: float | None = Field(None, gt=0, le=366 * 86400, description="Seconds from now.")
    pinned: bool | None = Field(None, description="Kept from eviction; it still expires.")


class AsideList(BaseModel):
    """Purged entries that can still be had back, newest first."""

    asides: list[Aside]


class LetGo(BaseModel):
    let_go: bool


EntryId = Annotated[str, Path(pattern=ENTRY_ID)]
AsideId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]


@router.get("/entries", summary="Search what is remembered")
async def entries(console: Asked, search: Annotated[SearchQuery, Query()]) -> EntryList:
    rows = await console.entries(
        search.chosen(),
        search.limit,
        sort=search.sort,
        offset=search.offset,
        meaning=search.meaning,
    )
    return EntryList(entries=[EntryRow(**row) for row in rows])


@router.delete("/entries/{entry}", summary="Forget one entry")
async def forget(console: Asked, entry: EntryId) -> Removed:
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
    if body.undo and not body.dry_run:
        return await _set_aside(console, chosen, body.limit)
    decisions = await console.traces(chosen)
    removed = await console.purge(chosen, dry_run=body.dry_run, limit=body.limit)
    return Purged(
        removed=removed,
        dry_run=body.dry_run,
        decisions=decisions,
        untold=list(console.untold(chosen)),
    )


async def _set_aside(console: Console, chosen: Selection, limit: int | None) -> Purged:
    """For a person's whole traces there is no undo: what is erased must be gone."""
    if chosen.user is not None:
        raise HTTPException(422, "What is purged by end user is gone at once; send undo: false.")
    try:
        aside = await console.set_aside(chosen, limit)
    except ValueError as error:
        raise HTTPException(409, str(error)) from error
    return Purged(removed=aside.entries, dry_run=False, aside=aside)


@router.get("/entries/asides", summary="Purged entries that can still be had back")
async def asides(console: Asked) -> AsideList:
    return AsideList(asides=list(await console.asides()))


@router.post("/entries/asides/{aside}/undo", summary="Bring purged entries back")
async def undo(console: Asked, aside: AsideId) -> Undo:
    """What was answered anew meanwhile stays as it is now."""
    told = await console.undo(aside)
    if told is None:
        raise missing("aside", aside, "/api/entries/asides")
    return told


@router.delete("/entries/asides/{aside}", summary="Forget purged entries now")
async def let_go(console: Asked, aside: AsideId) -> LetGo:
    if not await console.let_go(aside):
        raise missing("aside", aside, "/api/entries/asides")
    return LetGo(let_go=True)


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


@router.get("/entries/{entry}", summary="One entry with its answer")
async def entry(console: Asked, entry: EntryId) -> EntryWhole:
    return await whole(console, entry)


async def whole(console: Console, entry: str) -> EntryWhole:
    found = await console.entry(entry)
    if found is None:
        raise missing("entry", entry, "/api/entries")
    return EntryWhole(**found)


@router.patch("/entries/{entry}", summary="Change how long an entry lives, or pin it")
async def amend(console: Asked, entry: EntryId, body: AmendBody) -> EntryWhole:
    if not await console.amend(entry, ttl=body.ttl, pinned=body.pinned):
        raise missing("entry", entry, "/api/entries")
    return await whole(console, entry)
