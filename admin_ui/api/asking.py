"""What every part of the API shares: who is asked, and how bodies and ids are checked."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict

from admin_ui.console import Console

REPLICA_ID = "^([0-9a-f]{16})?$"
ENTRY_ID = "^[0-9a-f]{32}$"
NAME = 40
_bearer = HTTPBearer(auto_error=False, description="The admin token.")


def routes(tag: str, prefix: str = "/api") -> APIRouter:
    """A router of the API; `tag` heads its requests in the description."""
    return APIRouter(prefix=prefix, tags=[tag], dependencies=[Depends(_bearer)])


def asked(request: Request) -> Console:
    console: Console = request.app.state.console
    return console


Asked = Annotated[Console, Depends(asked)]


def named(request: Request) -> str:
    """Who asks, as the audit log names them."""
    who: str = request.state.who
    return who


Who = Annotated[str, Depends(named)]


Whose = Annotated[
    str,
    Query(
        alias="replica",
        pattern=REPLICA_ID,
        description="One replica by its `id`, of those that `fleet` of GET /api/health lists.",
    ),
]


class Body(BaseModel):
    """A request's body or query; a misspelt field is refused, not left out."""

    model_config = ConfigDict(extra="forbid")


def missing(what: str, name: object, where: str) -> HTTPException:
    """404, with where to look."""
    return HTTPException(404, f"No {what} {name}. GET {where} lists what there is.")
