"""The product on one page: may a remembered answer stand in for a new one?

`plan` before memory is asked, `choose` over what memory found, `admit` over a fresh answer.
Pure: everything a verdict depends on is an argument, and every verdict carries its evidence.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from policies import category as categories
from policies import freshness, guards, text, thresholds
from policies.context import compatible
from policies.values import Candidate, Reach, Share
from policies.verdicts import Admit, Bypass, Forward, Lookup, Reason, Refusal, Refuse, Serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.values import (
        AnswerFacts,
        CategoryRules,
        Facts,
        Found,
        Query,
        Rules,
        Snapshot,
    )

# A request without a temperature runs at the provider's default, which is 1 everywhere.
DEFAULT_TEMPERATURE = 1.0


def plan(query: Query, rules: Rules) -> Bypass | Lookup:
    """Whether to look in memory, where, and whether by meaning."""
    asked = query.directives
    category = categories.declared(query, rules)
    name = (category or rules.defaults).name
    if query.bypass is not None:
        return Bypass(query.bypass, name)
    if asked.no_store:
        return Bypass(Reason.NO_STORE, name)
    if asked.reach is Reach.OFF:
        return Bypass(Reason.MODE_OFF, name)
    refusal = _excluded(query, category or rules.defaults)
    if refusal is not None:
        return Bypass(refusal, name)
    lookup = scope(query, category, rules)
    if asked.no_cache:
        return Bypass(Reason.WRITE_ONLY, name, lookup)
    return lookup


def scope(query: Query, category: CategoryRules | None, rules: Rules) -> Lookup:
    """Names the entry and the space to search, under the category's rule of who may share.

    Called a second time when the category became known only by embedding.
    """
    rule = category or rules.defaults
    owner = owner_of(query, rule.share)
    walls = (owner, query.upstream, query.dialect, query.directives.namespace or "")
    space = _digest(b"space", *walls, query.fingerprint)
    entry = _digest(b"entry", *walls, query.fingerprint, query.chain, query.text)
    return Lookup(entry, space, category, _exact_only(query, rule))


def owner_of(query: Query, share: Share) -> str:
    """The partition: a digest of whoever may share under `share`."""
    owners = query.owners
    if share is Share.EVERYONE:
        return "everyone"
    if share is Share.TENANT and owners.tenant is not None:
        return owners.tenant
    if share is Share.USER and owners.user is not None:
        return f"{owners.key}:{owners.user}"
    return owners.key


def category_of(found: Found, rules: Rules) -> CategoryRules:
    """The category in force: told beforehand or by meaning, else the exact entry's own."""
    if found.category is not None:
        return found.category
    if found.exact is not None:
        return rules.named(found.exact.category) or rules.defaults
    return rules.defaults


def choose(query: Query, found: Found, snap: Snapshot) -> Serve | Forward:
    """Which of what memory found may be served, or why none."""
    rules = snap.rules
    category = category_of(found, rules)
    cut = thresholds.cut(category, query.directives, rules.overrides)
    verdict = _pick(query, found, category, cut, snap)
    shadow = rules.shadow or query.directives.reach is Reach.SHADOW
    if isinstance(verdict, Serve) and shadow:
        return Forward(Reason.AUDIT, category, cut, verdict.refused, would=verdict)
    return verdict


def admit(query: Query, found: Found, answer: AnswerFacts, rules: Rules) -> Admit | Refuse:
    """Whether a finished answer may be kept, and for how long."""
    category = category_of(found, rules)
    if answer.refusal is not None:
        return Refuse(answer.refusal)
    if answer.no_store or query.directives.no_store:
        return Refuse(Reason.NO_STORE)
    refusal = _excluded(query, category) or _unsorted(found, rules)
    if refusal is not None:
        return Refuse(refusal)
    if category.quota is not None and category.quota <= 0:
        return Refuse(Reason.QUOTA)
    ttl = freshness.lifetime(category, query.directives, rules.overrides)
    if ttl <= 0:
        return Refuse(Reason.CATEGORY_OFF)
    return Admit(ttl, ttl + max(category.stale_while_revalidate, category.stale_if_error))


def _pick(
    query: Query, found: Found, category: CategoryRules, cut: float, snap: Snapshot
) -> Serve | Forward:
    excluded = _excluded(query, category)
    if excluded is not None:
        return Forward(excluded, category, cut)
    if found.exact is not None:
        return _exact(query, found.exact, category, cut, snap)
    if found.fault is not None:
        return Forward(found.fault, category, cut)
    refused: list[Refusal] = []
    for candidate, refusal in _weighed(query, found, category, cut, snap):
        if refusal is None:
            return Serve(candidate, Reason.SEMANTIC, category, cut, tuple(refused))
        refused.append(refusal)
    reason = refused[0].reason if refused else Reason.EMPTY
    return Forward(reason, category, cut, tuple(refused))


def _exact(
    query: Query, facts: Facts, category: CategoryRules, cut: float, snap: Snapshot
) -> Serve | Forward:
    if not freshness.fresh(facts, query.directives, snap.now):
        return Forward(Reason.EXPIRED, category, cut)
    if query.wants_usage and not facts.has_usage:
        return Forward(Reason.BODY_GONE, category, cut)
    return Serve(Candidate(facts, 1.0), Reason.EXACT, category, cut)


def _weighed(
    query: Query, found: Found, category: CategoryRules, cut: float, snap: Snapshot
) -> Iterator[tuple[Candidate, Refusal | None]]:
    for candidate in found.near:
        yield candidate, _refusal(query, candidate, category, cut, snap)


def _refusal(
    query: Query, candidate: Candidate, category: CategoryRules, cut: float, snap: Snapshot
) -> Refusal | None:
    """The first objection to one neighbour, cheapest first."""
    facts = candidate.facts
    if not candidate.score >= cut:  # so that what is no number is no hit
        seen = f"{candidate.score:.3f} < {cut:.3f}"
        return Refusal(candidate, Reason.BELOW_THRESHOLD, seen)
    if not compatible(query.chain, facts.chain, category.context):
        return Refusal(candidate, Reason.OTHER_CONTEXT, "another conversation came before")
    if facts.flagged:
        return Refusal(candidate, Reason.FLAGGED, "marked bad, waiting for review")
    if not freshness.fresh(facts, query.directives, snap.now):
        return Refusal(candidate, Reason.EXPIRED)
    if query.wants_usage and not facts.has_usage:
        return Refusal(candidate, Reason.BODY_GONE, "kept without token counts")
    veto = guards.veto(query.text, facts.text, category.guards)
    return None if veto is None else Refusal(candidate, veto.reason, veto.seen)


def _excluded(query: Query, category: CategoryRules) -> Reason | None:
    if not category.cache:
        return Reason.CATEGORY_OFF
    temperature = DEFAULT_TEMPERATURE if query.temperature is None else query.temperature
    return Reason.SAMPLING if temperature > category.max_temperature else None


def _unsorted(found: Found, rules: Rules) -> Reason | None:
    """What memory could not tell, or could not keep.

    A text that was not embedded may belong to a category known by examples alone: whose answer may
    be shared with whom is then unknown.
    """
    if found.fault is Reason.STORE_DOWN:
        return found.fault
    if found.fault is not Reason.EMBED_TIMEOUT or found.category is not None:
        return None
    return found.fault if any(c.examples for c in rules.categories) else None


def _exact_only(query: Query, category: CategoryRules) -> Reason | None:
    if query.exact_only is not None:
        return query.exact_only
    if query.directives.reach is Reach.EXACT:
        return Reason.MODE_OFF
    if category.share is Share.USER and query.owners.user is None:
        return Reason.CATEGORY_OFF
    return text.embeddable(query.text)


def _digest(*parts: bytes | str) -> str:
    """128 bits of SHA-256 over length-prefixed parts, as 32 hex digits."""
    state = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        state.update(len(raw).to_bytes(8, "big"))
        state.update(raw)
    return state.hexdigest()[:32]
