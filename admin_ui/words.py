"""One plain sentence for each reason, as the pages show it. No markup, no numbers."""

from __future__ import annotations

from typing import Final

from policies.verdicts import NOT_STORED, Reason, outcome

REASONS: Final[dict[Reason, str]] = {
    Reason.EXACT: "The same request was answered before, to the letter.",
    Reason.SEMANTIC: "A remembered question means the same and passed every check.",
    Reason.STALE_WHILE_REVALIDATE: "Just past its lifetime: served at once, refreshed behind.",
    Reason.STALE_IF_ERROR: "The upstream failed, so an expired answer was served instead.",
    Reason.EMPTY: "Nothing comparable is remembered yet.",
    Reason.BELOW_THRESHOLD: "The nearest remembered question is not similar enough.",
    Reason.OTHER_CONTEXT: "A like question was asked in a different conversation.",
    Reason.GUARD_NUMBERS: "The nearest question names other numbers.",
    Reason.GUARD_NEGATION: "One of the two questions is negated, the other is not.",
    Reason.GUARD_ENTITIES: "The nearest question is about another name, place or product.",
    Reason.GUARD_UNITS: "The nearest question uses another unit or currency.",
    Reason.GUARD_ORDER: "The same words in another order: who does what to whom differs.",
    Reason.EXPIRED: "The remembered answer is past its lifetime.",
    Reason.AUDIT: "A would-be hit, asked upstream on purpose to check the remembered answer.",
    Reason.UNVERIFIED: "Similar, but not yet proven safe enough for the wanted false-hit rate.",
    Reason.FLAGGED: "The remembered answer was marked bad and waits for review.",
    Reason.TRUNCATED: "Longer than the embedding model reads, so only exact matches count.",
    Reason.LANGUAGE: "The embedding model does not know this language: exact matches only.",
    Reason.BODY_GONE: "The entry was known, but its stored answer could not be read.",
    Reason.EMBED_TIMEOUT: "Embedding took too long, so the request went straight upstream.",
    Reason.STORE_DOWN: "The store did not answer, so the request went straight upstream.",
    Reason.TOOLS: "Tools are involved; such requests match exactly or not at all.",
    Reason.MULTIMODAL: "Images, audio or files are involved, which are not compared by meaning.",
    Reason.SAMPLING: "The temperature asks for variety, so a repeat would be wrong.",
    Reason.N: "Several answers were asked for at once.",
    Reason.LOGPROBS: "Token probabilities were asked for.",
    Reason.STATEFUL: "The request leans on state that the upstream keeps.",
    Reason.CATEGORY_OFF: "The policy turns caching off for this category.",
    Reason.NO_STORE: "The caller asked with no-store.",
    Reason.MODE_OFF: "The caller or the policy turned the cache off for this request.",
    Reason.TOO_LONG: "The request is longer than the cache looks at.",
    Reason.UNSUPPORTED: "A form of request that the cache does not know; passed on untouched.",
    Reason.WRITE_ONLY: "The caller asked for a fresh answer with no-cache; it was stored anew.",
    Reason.KEY_REFUSED: "The upstream refused this key when last asked, so it is asked again.",
    Reason.STATUS: "Not kept: the upstream answered with an error.",
    Reason.INCOMPLETE: "Not kept: the answer broke off before its end.",
    Reason.FINISH_REASON: "Not kept: the model stopped early, by length or by filter.",
    Reason.TOO_LARGE: "Not kept: the answer is larger than the limit.",
    Reason.INVALID_JSON: "Not kept: the answer was not valid JSON.",
    Reason.QUOTA: "Not kept: the category's quota is used up by more valuable answers.",
}


def sentence(reason: str) -> str:
    """One plain sentence; empty for a word that is not a `Reason`."""
    try:
        return REASONS[Reason(reason)]
    except ValueError:
        return ""


def kind(reason: str) -> str:
    """The badge of a reason: its outcome, or `unkept` where it tells why nothing was stored."""
    try:
        known = Reason(reason)
    except ValueError:
        return "miss"
    return "unkept" if known in NOT_STORED else outcome(known).value
