"""OpenAI's older completions: request to Query, stored answer to JSON body or event stream. Pure.

There is no conversation: the prompt is all that is asked, so every other field is keyed and the
chain is empty unless a session stands for what came before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from policies.values import AnswerFacts, Query
from policies.verdicts import Reason
from proxy.dialects import chunks, fields
from proxy.dialects.canonical import digest, encode
from proxy.dialects.chunks import Chunked, Shape
from proxy.dialects.reading import before, chain, is_json, named_user, pieces, said, worded

if TYPE_CHECKING:
    from proxy.dialects.ports import Form, Frame


class Completions(Chunked):
    """`POST /v1/completions`."""

    name = "completions"
    paths = ("/v1/completions", "/completions")

    def end_user(self, body: dict[str, Any]) -> str | None:
        return named_user(body, "user")

    def read(self, body: dict[str, Any], around: Frame) -> Query:
        model = body.get("model")
        form = self.form(body)
        kept, text, odd = _split(body)
        strange = None if odd or text is not None else Reason.UNSUPPORTED
        temperature = body.get("temperature")
        return Query(
            dialect=self.name,
            upstream=around.upstream,
            model=around.deployment or (model if isinstance(model, str) else ""),
            owners=around.owners,
            fingerprint=digest(
                around.headers,
                around.deployment.encode(),
                encode(fields.keyed(body, fields.COMPLETIONS), floats=around.floats),
                encode(kept, floats=around.floats),
            ),
            chain=chain([], around),
            before=before([], around),
            text=text or "",
            stream=form.stream,
            wants_usage=form.usage,
            temperature=temperature if isinstance(temperature, int | float) else None,
            bypass=fields.bypass(body, fields.COMPLETIONS) or chunks.mistyped(body) or strange,
            exact_only=fields.exact_only(body, fields.COMPLETIONS) or odd,
            directives=around.directives,
        )

    def judge(self, answer: bytes, *, streamed: bool, query: Query, strict: bool) -> AnswerFacts:  # noqa: ARG002 - the port's shape
        return chunks.judge(answer, streamed, SHAPE, lambda one: _fault(one, strict))

    def render(self, answer: bytes, *, streamed: bool, form: Form) -> bytes:
        return chunks.render(answer, streamed, form, SHAPE)

    def said(self, answer: bytes, *, streamed: bool) -> str | None:
        choice = chunks.only(answer, streamed, SHAPE)
        return worded(choice["text"]) if choice else None


def _split(body: dict[str, Any]) -> tuple[Any, str | None, Reason | None]:
    """The prompt as (what of it is keyed, its text, why it may not be matched by meaning).

    Neither text nor reason where its shape is not known.
    """
    prompt = body.get("prompt")
    kept = {"prompt": prompt} if "prompt" in body else {}
    match prompt:
        case str():
            return {"prompt": None, "shape": "text"}, prompt, None
        case [str(only)]:
            return {"prompt": [None], "shape": "list"}, only, None
        case None:
            return kept, None, Reason.UNSUPPORTED
        case [_, *_] if all(isinstance(one, str) for one in prompt):
            return kept, None, Reason.N
        case [_, *_] if _are_tokens(prompt) or all(_are_tokens(one) for one in prompt):
            return kept, None, Reason.UNSUPPORTED
    return kept, None, None


def _are_tokens(prompt: Any) -> bool:
    """Whether this is one prompt that the caller has cut into the model's tokens."""
    return isinstance(prompt, list) and bool(prompt) and all(type(one) is int for one in prompt)


def _fault(choice: dict[str, Any], strict: bool) -> Reason | None:
    """Why an answer with this choice must not be kept."""
    text = choice.get("text")
    if text is None:
        return Reason.INCOMPLETE
    if not isinstance(text, str):
        return Reason.INVALID_JSON
    if choice.get("finish_reason") != "stop":
        return Reason.FINISH_REASON
    if not text:
        return Reason.INCOMPLETE
    return Reason.INVALID_JSON if strict and not is_json(text) else None


def _fold_choice(choices: dict[int, dict[str, Any]], choice: dict[str, Any]) -> None:
    """Adds a chunk's choice: its text and logprobs append, the rest replaces.

    Raises TypeError where a text is none.
    """
    index = choice.get("index", 0)
    into = choices.setdefault(
        index, {"text": "", "index": index, "logprobs": None, "finish_reason": None}
    )
    for key, value in choice.items():
        if key == "text":
            into["text"] += value or ""
        elif key == "logprobs":
            into["logprobs"] = _longer(into["logprobs"], value)
        elif value is not None or key not in into:
            into[key] = value


def _longer(so_far: dict[str, Any] | None, logprobs: Any) -> dict[str, Any] | None:
    """Logprobs with a chunk's lists behind those that came before."""
    if not isinstance(logprobs, dict):
        return so_far
    if so_far is None:
        return logprobs
    for key, value in logprobs.items():
        if isinstance(value, list) and isinstance(so_far.get(key), list):
            so_far[key].extend(value)
        elif value is not None or key not in so_far:
            so_far[key] = value
    return so_far


def _spread(choice: dict[str, Any], position: int) -> list[dict[str, Any]]:
    """One choice as chunks: its text in pieces, everything else whole with the finish."""
    index = choice.get("index", position)
    bare = {"index": index, "logprobs": None, "finish_reason": None}
    made = [{"text": piece} | bare for piece in pieces(choice.get("text") or "")]
    return [*made, {"text": ""} | bare | {k: v for k, v in choice.items() if k != "text"}]


SHAPE = Shape(
    "text_completion", "text_completion", _fold_choice, _spread, lambda choice: said(choice["text"])
)
