"""The dashboard's facts as JSON under `/api`, and `/metrics`. Shapes only; no page, no log-in."""

from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from admin_ui.console import Console, Overview, Pair, Question, Selection, Taken, Warming

ENTRY_ID = "^[0-9a-f]{32}$"
_bearer = HTTPBearer(auto_error=False, description="The admin token.")
router = APIRouter(prefix="/api", dependencies=[Depends(_bearer)])
metrics_router = APIRouter(dependencies=[Depends(_bearer)])


def asked(request: Request) -> Console:
    console: Console = request.app.state.console
    return console


Asked = Annotated[Console, Depends(asked)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SelectionBody(_Body):
    """Which entries; every field given narrows it, none selects everything."""

    ids: list[str] = []
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


class PurgeBody(_Body):
    selection: SelectionBody
    dry_run: bool = Field(True, description="Count only; send false to remove.")
    limit: int | None = Field(None, ge=1, description="At most so many; ask again for the rest.")


class PairBody(_Body):
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    category: str | None = None
    model: str | None = None


class WarmingBody(_Body):
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


class QuestionBody(_Body):
    """A prompt, as a client would send it."""

    prompt: str = Field(min_length=1)
    model: str = "gpt-4o-mini"
    system: str | None = None
    history: tuple[tuple[str, str], ...] = Field((), description="Earlier turns: role, text.")
    credential: str | None = Field(None, description="The caller's key, to look where it may.")
    category: str | None = None
    user: str | None = None


class ReviewBody(_Body):
    """`good`: the entry is served by meaning again. `bad`: it is removed."""

    entry: str = Field(pattern=ENTRY_ID)
    verdict: Literal["good", "bad"]


class Reviewed(BaseModel):
    reviewed: bool


class VerdictList(BaseModel):
    """What callers said of answers, newest first. Ids are decimal strings."""

    verdicts: list[dict[str, Any]]


class Removed(BaseModel):
    removed: int
    dry_run: bool


class Purged(Removed):
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


class DecisionPage(BaseModel):
    """Newest first; pass `next` as `before` for older ones. Ids are decimal strings."""

    decisions: list[dict[str, Any]]
    next: str | None


class EntryList(BaseModel):
    entries: list[dict[str, Any]]


class ComparisonList(BaseModel):
    """Newest first. Ids are decimal strings."""

    labels: list[dict[str, Any]]


class CategoryBody(_Body):
    category: Annotated[str, Field(max_length=40)]


class Forgotten(BaseModel):
    forgotten: str


@router.get("/overview", summary="Counts, latencies and savings over a time window")
async def overview(
    console: Asked, seconds: Annotated[float, Query(ge=1, le=366 * 86400)] = 3600.0
) -> Overview:
    return await console.overview(seconds)


@router.get("/categories", summary="Each category's policy in force and usage")
async def categories(console: Asked) -> list[dict[str, Any]]:
    return await console.categories()


@router.get("/decisions", summary="Recent decisions with their evidence")
async def decisions(
    console: Asked,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(description="Only ids below this one.")] = None,
) -> DecisionPage:
    rows = await console.decisions(limit, before)
    # 64-bit ids would be rounded by a JavaScript reader.
    shown = [row._asdict() | {"id": str(row.id)} for row in rows]
    return DecisionPage(
        decisions=shown, next=str(rows[-1].id) if rows and len(rows) == limit else None
    )


@router.get("/entries", summary="Search what is remembered")
async def entries(console: Asked, search: Annotated[SearchQuery, Query()]) -> EntryList:
    return EntryList(entries=await console.entries(search.chosen(), search.limit))


@router.delete("/entries/{entry}", summary="Forget one entry")
async def forget(console: Asked, entry: Annotated[str, Path(pattern=ENTRY_ID)]) -> Removed:
    removed = await console.purge(Selection(ids=(entry,)), dry_run=False)
    if not removed:
        raise HTTPException(404, f"No entry {entry}. GET /api/entries lists what there is.")
    return Removed(removed=removed, dry_run=False)


@router.post(
    "/entries/purge",
    summary="Forget all entries of a selection",
    response_model_exclude_defaults=True,
)
async def purge(console: Asked, body: PurgeBody) -> Purged:
    chosen = body.selection.chosen()
    removed = await console.purge(chosen, dry_run=body.dry_run, limit=body.limit)
    return Purged(removed=removed, dry_run=body.dry_run, untold=list(console.untold(chosen)))


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


@router.get("/labels", summary="What callers said of answers")
async def labels(console: Asked, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> VerdictList:
    rows = await console.verdicts(limit)
    return VerdictList(verdicts=[row | {"id": str(row["id"])} for row in rows])


@router.post("/labels", summary="Review an entry that was marked bad")
async def review(console: Asked, body: ReviewBody) -> Reviewed:
    if not await console.review(body.entry, good=body.verdict == "good"):
        raise HTTPException(404, f"No entry {body.entry}. GET /api/entries lists what there is.")
    return Reviewed(reviewed=True)


@router.get("/learned", summary="What was learned, whole: model, bounds, how often it was wrong")
async def learned(console: Asked) -> dict[str, Any]:
    return await console.learned()


@router.get("/learned/labels", summary="What judges said of fresh answers")
async def comparisons(
    console: Asked, limit: Annotated[int, Query(ge=1, le=100_000)] = 1000
) -> ComparisonList:
    rows = await console.comparisons(limit)
    return ComparisonList(labels=[row._asdict() | {"id": str(row.id)} for row in rows])


@router.post("/learned/forget", summary="Forget what one category taught")
async def unlearn(console: Asked, body: CategoryBody) -> Forgotten:
    if not await console.unlearn(body.category):
        raise HTTPException(404, f"No category {body.category!r}. GET /api/categories lists them.")
    return Forgotten(forgotten=body.category)


@router.post("/explain", summary="Why a prompt would hit or miss; nothing is sent upstream")
async def explain(console: Asked, body: QuestionBody) -> dict[str, Any]:
    return await answered(console, Question(**body.model_dump()))


@router.get("/policy", summary="The policy in force")
async def policy(console: Asked) -> dict[str, Any]:
    return await console.policy()


@router.get("/health", summary="State of the embedder, the store and the index")
async def health(console: Asked) -> dict[str, Any]:
    return await console.health()


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> dict[str, Any]:
    schema: dict[str, Any] = request.app.openapi()
    return schema


@metrics_router.get(
    "/metrics", summary="Prometheus metrics, aggregates only", response_class=PlainTextResponse
)
async def metrics(console: Asked) -> PlainTextResponse:
    return PlainTextResponse(
        console.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


async def answered(console: Console, question: Question) -> dict[str, Any]:
    """The explanation; a question that cannot be asked is the asker's error."""
    try:
        return await console.explain(question)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
