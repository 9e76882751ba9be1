"""The product on one page: may a remembered answer stand in for a new one?

`plan` before memory is asked, `choose` over what memory found, `admit` over a fresh answer.
Pure: everything a verdict depends on is an argument, and every verdict carries its evidence.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from policies import category as categories
from policies import context, freshness, groups, guards, text, thresholds
from policies.freshness import State, state
from policies.values import Candidate, Collapse, Reach, Share
from policies.verdicts import Admit, Bypass, Forward, Lookup, Reason, Refusal, Refuse, Serve

if TYPE_CHECKING:
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
MARKED = "marked bad, waiting for review"
# From this cosine on a neighbour's answer is worth comparing with a fresh one.
LABELLED = 0.3
# Neighbours with other answers that the guards read before the nearest counts as a rival.
RIVALS_READ = 3
VETOES = frozenset(reason for reason in Reason if reason.startswith("guard-"))


def plan(query: Query, rules: Rules) -> Bypass | Lookup:
    """Whether to look in memory, where, and whether by meaning."""
    asked = query.directives
    category = categories.declared(query, rules)
    name = (category or rules.defaults).name
    refusal = _kept_out(query, rules) or _excluded(query, category or rules.defaults)
    if refusal is not None:
        return Bypass(refusal, name)
    lookup = scope(query, category, rules)
    if query.refused or asked.no_cache:
        return Bypass(Reason.KEY_REFUSED if query.refused else Reason.WRITE_ONLY, name, lookup)
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
    return Lookup(entry, space, category, _exact_only(query, rule, rules))


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
    verdict = _weighed(query, found, _pick(query, found, category, cut, snap), snap)
    shadow = rules.shadow or query.directives.reach is Reach.SHADOW
    if not isinstance(verdict, Serve):
        return verdict
    if shadow:
        return _withheld(verdict, certain=True)
    audited = verdict.study is not None and snap.dice < verdict.study.propensity
    return _withheld(verdict) if audited and not query.directives.only_if_cached else verdict


def _withheld(verdict: Serve, *, certain: bool = False) -> Forward:
    """A hit that is forwarded all the same, to compare the answers."""
    study = verdict.study
    if study is not None and certain:
        study = replace(study, propensity=1.0)
    return Forward(
        Reason.AUDIT, verdict.category, verdict.cut, verdict.refused, would=verdict, study=study
    )


def _weighed(
    query: Query, found: Found, verdict: Serve | Forward, snap: Snapshot
) -> Serve | Forward:
    """Put the neighbour of a verdict before the threshold policy."""
    category, cut = verdict.category, verdict.cut
    hit = verdict if isinstance(verdict, Serve) else verdict.fallback
    if hit is not None and hit.match is Reason.EXACT:
        return verdict
    vetoed = False
    if hit is not None:
        chosen = hit.candidate
    else:
        told = _worth_a_label(query, verdict)
        if told is None:
            return verdict
        chosen, vetoed = told
    refused = hit.refused if hit is not None else verdict.refused
    near, passed = _neighbourhood(query, found, chosen, refused, category)
    study = thresholds.weigh(query, chosen, near, passed, category, cut, snap)
    if hit is None:
        return replace(verdict, study=replace(study, would=False, propensity=1.0, vetoed=vetoed))
    if study.would:
        return replace(verdict, study=study)
    refusal = Refusal(chosen, study.reason, study.seen)
    return Forward(study.reason, category, cut, (refusal, *hit.refused), study=study)


def _neighbourhood(
    query: Query,
    found: Found,
    chosen: Candidate,
    refused: tuple[Refusal, ...],
    category: CategoryRules,
) -> tuple[list[Candidate], int]:
    """The neighbours that say something about `chosen`, and how many nearer ones guards refused.

    Whom a guard tells apart from the question is no rival: what it holds was asked otherwise. Only
    the first few are looked at that closely.
    """
    vetoed = {id(r.candidate) for r in refused if r.reason in VETOES}
    near: list[Candidate] = []
    passed, left = 0, RIVALS_READ
    for candidate in found.near:
        if candidate is chosen:
            near.append(candidate)
        elif context.difference(query, candidate, category) is not None:
            continue
        elif id(candidate) in vetoed:
            passed += candidate.score > chosen.score
        elif left and groups.of(candidate.facts) != groups.of(chosen.facts):
            left -= 1
            if guards.veto(query.text, candidate.facts.text, category.guards) is None:
                near.append(candidate)
        else:
            near.append(candidate)
    return near, passed


def _worth_a_label(query: Query, verdict: Serve | Forward) -> tuple[Candidate, bool] | None:
    """The nearest neighbour that only its distance speaks against, else the nearest that a guard
    refused (True): its answer will tell whether that was right."""
    vetoed = None
    for refusal in verdict.refused:
        candidate, reason = refusal.candidate, refusal.reason
        if candidate.score < LABELLED:
            break
        if reason is Reason.BELOW_THRESHOLD:
            objection = _refusal(query, candidate, verdict.category, LABELLED)
            if objection is None:
                return candidate, False
            reason = objection.reason
        if vetoed is None and reason in VETOES:
            vetoed = candidate
    return None if vetoed is None else (vetoed, True)


def shares(query: Query, category: CategoryRules, rules: Rules) -> bool:
    """Whether others may wait for this request's fresh answer, as far as is known beforehand."""
    withheld = rules.shadow or query.directives.reach is Reach.SHADOW
    return not (
        rules.collapse is Collapse.OFF
        or withheld
        or query.directives.no_store
        or _excluded(query, category) is not None
    )


def joins(query: Query, forward: Forward, rules: Rules) -> bool:
    """Whether this request may take the answer of an equal one that is under way."""
    asked = query.directives
    fresh = asked.no_cache or forward.reason in (Reason.AUDIT, Reason.WRITE_ONLY)
    return shares(query, forward.category, rules) and not fresh and not asked.only_if_cached


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
        return _exact(query, found.exact, found.used, category, cut, snap)
    if found.fault is not None:
        return Forward(found.fault, category, cut)
    refused: list[Refusal] = []
    stale: list[Serve] = []
    learned = thresholds.learns(category, query.directives)
    least = thresholds.reach(category, cut, learned=learned)
    for candidate in found.near:
        refusal = _refusal(query, candidate, category, least)
        if refusal is None:
            aged = state(candidate.facts, category, query.directives, snap.now)
            if aged is State.FRESH:
                return _serve(candidate, Reason.SEMANTIC, category, cut, tuple(refused))
            if aged is not State.DEAD:
                reason = _AGED[aged]
                stale.append(_serve(candidate, reason, category, cut, tuple(refused)))
            refusal = Refusal(candidate, Reason.EXPIRED)
        refused.append(refusal)
    again = next((one for one in stale if one.refresh), None)
    if again is not None:
        return again
    reason = refused[0].reason if refused else Reason.EMPTY
    fallback = stale[0] if stale else None
    return Forward(reason, category, cut, tuple(refused), fallback=fallback)


def _serve(
    candidate: Candidate,
    reason: Reason,
    category: CategoryRules,
    cut: float,
    refused: tuple[Refusal, ...],
) -> Serve:
    return Serve(candidate, reason, category, cut, refused, match=Reason.SEMANTIC)


_AGED = {
    State.FRESH: Reason.EXACT,
    State.REVALIDATE: Reason.STALE_WHILE_REVALIDATE,
    State.ON_ERROR: Reason.STALE_IF_ERROR,
}


def _exact(
    query: Query, facts: Facts, used: float, category: CategoryRules, cut: float, snap: Snapshot
) -> Serve | Forward:
    aged = state(facts, category, query.directives, snap.now)
    if aged is State.DEAD:
        return Forward(Reason.EXPIRED, category, cut)
    if query.wants_usage and not facts.has_usage:
        return Forward(Reason.BODY_GONE, category, cut)
    serve = Serve(Candidate(facts, 1.0), _AGED[aged], category, cut)
    if aged is State.ON_ERROR:
        return Forward(Reason.EXPIRED, category, cut, fallback=serve)
    if 0 <= snap.now - used < snap.rules.regenerate and not query.directives.only_if_cached:
        return Forward(Reason.WRITE_ONLY, category, cut, fallback=serve)
    return serve


def _refusal(
    query: Query, candidate: Candidate, category: CategoryRules, cut: float
) -> Refusal | None:
    """The first objection to one neighbour but its age, cheapest first."""
    facts = candidate.facts
    if not candidate.score >= cut:  # so that what is no number is no hit
        seen = f"{candidate.score:.3f} < {cut:.3f}"
        return Refusal(candidate, Reason.BELOW_THRESHOLD, seen)
    before = context.difference(query, candidate, category)
    if before is not None:
        return Refusal(candidate, Reason.OTHER_CONTEXT, before)
    if facts.flagged:
        return Refusal(candidate, Reason.FLAGGED, MARKED)
    if query.wants_usage and not facts.has_usage:
        return Refusal(candidate, Reason.BODY_GONE, "kept without token counts")
    veto = guards.veto(query.text, facts.text, category.guards)
    return None if veto is None else Refusal(candidate, veto.reason, veto.seen)


def _kept_out(query: Query, rules: Rules) -> Reason | None:
    """What of the request itself forbids looking up and storing."""
    if query.bypass is not None:
        return query.bypass
    if query.stateful and not rules.stateful:
        return Reason.STATEFUL
    if query.directives.no_store:
        return Reason.NO_STORE
    return Reason.MODE_OFF if query.directives.reach is Reach.OFF else None


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


def _exact_only(query: Query, category: CategoryRules, rules: Rules) -> Reason | None:
    if query.exact_only is not None:
        return query.exact_only
    if query.directives.reach is Reach.EXACT:
        return Reason.MODE_OFF
    if category.share is Share.USER and query.owners.user is None:
        return Reason.CATEGORY_OFF
    return text.embeddable(query.text, rules.languages) or _personal_before(query, rules)


def _personal_before(query: Query, rules: Rules) -> Reason | None:
    """What a person told of themselves earlier on makes the conversation that person's own."""
    if query.directives.category is not None:
        return None
    told = (replace(query, text=turn.text) for turn in context.kept(query.before) if turn.text)
    of = (categories.declared(one, rules) for one in told)
    personal = any(category is not None and category.share is Share.USER for category in of)
    return Reason.CATEGORY_OFF if personal else None


def _digest(*parts: bytes | str) -> str:
    """128 bits of SHA-256 over length-prefixed parts, as 32 hex digits."""
    state = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        state.update(len(raw).to_bytes(8, "big"))
        state.update(raw)
    return state.hexdigest()[:32]
