"""The playground: what would become of a prompt, with nothing sent upstream.

What is shown by name: outcome, reason, category, similarity, cut, entry, steps (name, text) and
candidates (entry, text, score, reason, seen); whatever else comes is listed below them.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel

from admin_ui.api.asking import Asked
from admin_ui.api.explain import answered
from admin_ui.console import Console, Question
from admin_ui.render import page

MODEL: Final = Question(prompt="").model
_TURN: Final = re.compile(r"^(system|user|assistant|tool):\s?", re.IGNORECASE)
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


class Asking(BaseModel):
    """The form's fields as they stand in it."""

    prompt: str = ""
    model: str = MODEL
    system: str = ""
    history: str = ""
    credential: str = ""
    user: str = ""
    category: str = ""

    @property
    def question(self) -> Question:
        return Question(
            prompt=self.prompt,
            model=self.model.strip() or MODEL,
            system=self.system or None,
            history=tuple(turns(self.history)),
            credential=self.credential or None,
            category=self.category or None,
            user=self.user or None,
        )


def turns(text: str) -> Iterator[tuple[str, str]]:
    """Earlier turns out of lines: one that begins with a role begins a turn, others go on."""
    role, said = "user", list[str]()
    for line in text.splitlines():
        if begins := _TURN.match(line):
            if said:
                yield role, "\n".join(said)
            role, said = begins[1].lower(), [line[begins.end() :]]
        elif said or line.strip():
            said.append(line)
    if said:
        yield role, "\n".join(said)


@router.get("/explain")
async def ask(
    request: Request,
    console: Asked,
    prompt: Annotated[str, Query(max_length=4000)] = "",
    model: Annotated[str, Query(max_length=200)] = MODEL,
) -> Response:
    """The empty form, or one that a decision's page filled in."""
    return await _shown(request, console, Asking(prompt=prompt, model=model))


@router.post("/explain")
async def explain(request: Request, console: Asked, asking: Annotated[Asking, Form()]) -> Response:
    if not asking.prompt.strip():
        return await _shown(request, console, asking, problem="Write the prompt to explain.")
    try:
        result = await answered(console, asking.question)
    except HTTPException as error:
        return await _shown(request, console, asking, problem=str(error.detail))
    return await _shown(request, console, asking, result=result)


async def _shown(
    request: Request,
    console: Console,
    asking: Asking,
    *,
    result: dict[str, Any] | None = None,
    problem: str = "",
) -> Response:
    names = [one["name"] for one in await console.categories()]
    status = 400 if problem else 200
    facts = {"asked": asking, "result": result, "problem": problem, "categories": names}
    return page(request, "explain.html", status, **facts)
