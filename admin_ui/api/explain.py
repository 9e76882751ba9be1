"""Why a prompt would hit or miss."""

from typing import Any

from fastapi import HTTPException
from pydantic import Field

from admin_ui.api.asking import Asked, Body, routes
from admin_ui.console import Console, Question

router = routes("explain")


class QuestionBody(Body):
    """A prompt, as a client would send it."""

    prompt: str = Field(min_length=1)
    model: str = "gpt-4o-mini"
    system: str | None = None
    history: tuple[tuple[str, str], ...] = Field((), description="Earlier turns: role, text.")
    credential: str | None = Field(None, description="The caller's key, to look where it may.")
    category: str | None = None
    user: str | None = None


@router.post("/explain", summary="Why a prompt would hit or miss; nothing is sent upstream")
async def explain(console: Asked, body: QuestionBody) -> dict[str, Any]:
    return await answered(console, Question(**body.model_dump()))


async def answered(console: Console, question: Question) -> dict[str, Any]:
    """The explanation; a question that cannot be asked is the asker's error."""
    try:
        return await console.explain(question)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
