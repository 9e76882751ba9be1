"""What load on upstream loosens: thresholds drop and lifetimes stretch, within the policy's floors.

A level from 0 (at `low` of the signal) to 1 (at `high`) rises at once and falls slowly, so that
what drives it does not swing with what it does. The rules that it moves are rules like any other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policies.values import CategoryRules, LoadRules, Rules, Threshold

# From all to nothing in a minute.
FALL = 1 / 60
# Rules change in so many steps: each change makes the shell plan its known requests anew.
STEPS = 10


def risen(before: float, measured: float | None, load: LoadRules, seconds: float) -> float:
    """The level after `seconds` with this measure of the signal; None: nothing to measure."""
    share = 0.0 if measured is None else (measured - load.low) / (load.high - load.low)
    wanted = min(max(share, 0.0), 1.0)
    return max(wanted, before - seconds * FALL)


def eased(rules: Rules, level: float) -> Rules:
    """The written rules as they are in force at a level, in whole steps."""
    step = int(level * STEPS + 1e-9) / STEPS
    load = rules.load
    if load is None or step == 0:
        return rules
    return replace(
        rules,
        defaults=_eased(rules.defaults, rules, load, step),
        categories=tuple(_eased(c, rules, load, step) for c in rules.categories),
        level=step,
    )


def _eased(category: CategoryRules, rules: Rules, load: LoadRules, level: float) -> CategoryRules:
    if category.strict:
        return category
    longest = rules.overrides.ttl[1]
    stretched = min(category.ttl * (1 + level * (load.max_ttl_factor - 1)), longest)
    return replace(
        category,
        threshold=_lowered(
            category.threshold, level * load.max_threshold_drop, rules.overrides.threshold[0]
        ),
        ttl=max(category.ttl, stretched),
    )


def _lowered(threshold: Threshold, drop: float, floor: float) -> Threshold:
    """A fixed cut, lower. Where labels say how low it may go, load has no say."""
    if threshold.max_false_hits is not None or threshold.delta is not None:
        return threshold
    least = floor if threshold.floor is None else threshold.floor
    return replace(threshold, start=min(threshold.start, max(least, threshold.start - drop)))
