"""The playground: what would become of a prompt, with nothing sent upstream.

What is shown by name: outcome, reason, category, similarity, cut, entry, steps (name, text) and
candidates (entry, text, score, reason, seen); whatever else comes is listed below them.
"""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from admin_ui.api.asking import Asked
from admin_ui.api.explain import answered
from admin_ui.console import Question
from admin_ui.render import page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/explain")
async def ask(request: Request) -> Response:
    return page(request, "explain.html", asked=Question(prompt=""), result=None, problem="")


@router.post("/explain")
async def explain(
    request: Request,
    console: Asked,
    prompt: Annotated[str, Form()] = "",
    model: Annotated[str, Form()] = "",
    system: Annotated[str, Form()] = "",
) -> Response:
    question = Question(prompt=prompt, system=system or None)
    if model.strip():
        question = replace(question, model=model.strip())
    result: dict[str, Any] | None = None
    problem = ""
    if not prompt.strip():
        problem = "Write the prompt to explain."
    else:
        try:
            result = await answered(console, question)
        except HTTPException as error:
            problem = str(error.detail)
    status = 400 if problem else 200
    return page(request, "explain.html", status, asked=question, result=result, problem=problem)
