"""Units of measure and directions: which unit, on which number, and from what to what.

`10 miles to km` and `10 km to miles` hold the same words and numbers; here they differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product

from policies.quantities import Token, read
from policies.reading import remembered
from policies.text import fold, lexicon, stem, words

# dimension: unit=forms. Forms after `;` are signs that count only right behind a number.
_TABLE = """
length: mile=mile miles;mi | kilometre=kilometer kilometers kilometre kilometres km kms |
 metre=meter meters metre metres;m mtr | centimetre=centimeter centimeters centimetre cm cms |
 millimetre=millimeter millimeters mm | inch=inch inches;in | foot=foot feet;ft | yard=yard
 yards;yd | lightyear=lightyear lightyears | nautical=nautical
mass: pound=pound pounds lb lbs | kilogram=kilogram kilograms kilo kilos kg kgs | gram=gram
 grams gm gms;g | milligram=milligram milligrams mg | microgram=microgram micrograms mcg μg |
 ounce=ounce ounces oz | ton=ton tons tonne tonnes | stone=;stone stones
volume: litre=liter liters litre litres;l | millilitre=milliliter milliliters ml | gallon=gallon
 gallons gal | pint=pint pints | quart=quart quarts | cup=cup cups | teaspoon=teaspoon teaspoons
 tsp | tablespoon=tablespoon tablespoons tbsp
temperature: celsius=celsius centigrade °c;c | fahrenheit=fahrenheit °f;f | kelvin=kelvin;k
time: second=seconds;second sec secs s | minute=minute minutes;min mins | hour=hour hours
 hourly;hr hrs h | day=day days daily | week=week weeks weekly | month=month months monthly |
 year=year years yearly annual annually;yr yrs | decade=decade decades | century=century
 centuries | millisecond=millisecond milliseconds ms | nanosecond=nanosecond nanoseconds;ns
money: dollar=dollar dollars usd bucks $ | euro=euro euros eur € | sterling=gbp quid £ sterling
 | rupee=rupee rupees inr ₹;rs | yen=yen jpy | yuan=yuan rmb cny renminbi | franc=franc francs
 chf | bitcoin=bitcoin bitcoins btc | ether=ethereum eth | peso=peso pesos | cent=cents;cent |
 won=krw
data: bit=bit bits | byte=byte bytes | kilobyte=kilobyte kilobytes kb | megabyte=megabyte
 megabytes mb | gigabyte=gigabyte gigabytes gb | terabyte=terabyte terabytes tb | megabit=mbps |
 gigabit=gbps
speed: mph=mph | kmh=kmh kph kmph | knot=knot knots
area: acre=acre acres | hectare=hectare hectares | square=sqft
energy: calorie=calorie calories | kilocalorie=kcal | joule=joule joules | watt=watt watts |
 kilowatt=kilowatt kilowatts kw | volt=volt volts | ampere=amp amps ampere amperes
angle: degree=;degree degrees | radian=radian radians
zone: utc=utc gmt | eastern=est edt | central=cst cdt | pacific=pst pdt | ist=ist | cet=cet cest
base: binary=binary | decimal=decimal | hexadecimal=hexadecimal hex | octal=octal | roman=roman
"""


def _table() -> tuple[dict[str, tuple[str, str]], dict[str, tuple[str, str]]]:
    words: dict[str, tuple[str, str]] = {}
    signs: dict[str, tuple[str, str]] = {}
    for line in _TABLE.replace("\n ", " ").strip().splitlines():
        dimension, _, units = line.partition(":")
        for unit in units.split("|"):
            name, _, forms = unit.strip().partition("=")
            free, _, bound = forms.partition(";")
            words |= dict.fromkeys(free.split(), (dimension, name))
            signs |= dict.fromkeys(bound.split(), (dimension, name))
    return words, signs


_UNITS, _SIGNS = _table()
_ARTICLES = frozenset({"a", "an", "one", "per", "each", "every", "single"})
_CURRENCY = re.compile(r"([$£€₹])\s?\d|\d\s?([$£€₹])")
_DEGREES = re.compile(r"°\s?([cf])\b|\bdegrees? ([cf])\b", re.IGNORECASE)
_HINT = re.compile(r"[\d$£€₹°]")
_LEADING = re.compile(r"\b(usd|eur|gbp|inr|rs)\b\.?\s?\d", re.IGNORECASE)
_GLUED = re.compile(
    r"(?i)(?<![\w.,])(\d[\d,.]{0,24})(?=(?:[kcm]?m|mi|ft|[km]?g|lbs?|oz|m?l|[kmgt]b"
    r"|mph|kmh|kph|hrs?|min|secs?|[mhcf]|yrs?)\b)"
)

_TARGETING = frozenset({"in", "to", "into"})
_TURN = re.compile(r"->|→|⇒|\b(?:to|into)\b", re.IGNORECASE)
_PIECE = re.compile(r"->|→|⇒|[^\W_]+(?:[+#]+)?(?:'[a-z]+)?|[.;?!,]")
_TURNS = frozenset({"to", "into", "->", "→", "⇒"})
_ENDS = frozenset(lexicon(". ; ? ! , and with on at for by in how what when via using from"))
_REACH = 3
_MINOR = frozenset(lexicon("the a an my your his her its our their this that of i"))


@dataclass(frozen=True, slots=True)
class _Measures:
    """`bound` holds units on a number, `free` units without one, `targets` those asked for."""

    bound: frozenset[tuple[str, str, str]]
    free: frozenset[tuple[str, str]]
    targets: frozenset[tuple[str, str]]

    @property
    def dimensions(self) -> frozenset[str]:
        return frozenset(d for d, *_ in (*self.bound, *self.free))


def difference(a: str, b: str) -> str | None:
    """`10 mile against 10 kilometre`, or `miles to km against km to miles`."""
    return _measured(_measures(a), _measures(b)) or _turned(_turns(a), _turns(b))


def study(text: str) -> None:
    """Read a text ahead of its comparisons."""
    _measures(text)
    _turns(text)


def _measured(ours: _Measures, theirs: _Measures) -> str | None:
    for dimension in ours.dimensions & theirs.dimensions:
        left = _say(ours, theirs, dimension)
        right = _say(theirs, ours, dimension)
        if left and right:
            return f"{left} against {right}"
    for one, other in ((ours, theirs), (theirs, ours)):
        for dimension, unit in one.targets:
            if dimension not in other.dimensions and other.bound == one.bound:
                return f"in {unit} against no such unit"
    return None


def _say(ours: _Measures, theirs: _Measures, dimension: str) -> str:
    """What `ours` measures in that dimension and `theirs` does not; empty where all is shared.

    Times are told loosely (`three days`, `some weeks`): there the same number must carry both.
    """
    loose = dimension == "time"
    taken = {number for d, number, _ in theirs.bound if d == dimension}
    other = {u for d, _, u in theirs.bound if d == dimension}
    other |= {u for d, u in theirs.free if d == dimension}
    bound = [
        f"{number} {unit}"
        for d, number, unit in ours.bound
        if d == dimension
        and (number in taken or not loose)
        and (unit not in other or (number in taken and (d, number, unit) not in theirs.bound))
    ]
    free = [u for d, u in ours.free if d == dimension and u not in other and not (loose and taken)]
    return " and ".join([*bound, *free])


@remembered(1024)
def _measures(text: str) -> _Measures:
    flat = fold(text)
    if not _HINT.search(flat) and _UNITS.keys().isdisjoint(words(text)):
        return _Measures(frozenset(), frozenset(), frozenset())
    tokens = [t for t in read(_GLUED.sub(r"\1 ", flat)) if t.word not in {"-", "%"}]
    bound: set[tuple[str, str, str]] = set()
    free: set[tuple[str, str]] = set()
    targets: set[tuple[str, str]] = set()
    for at, token in enumerate(tokens):
        before = tokens[at - 1] if at else Token("")
        unit = _unit(token, before)
        if unit is None:
            continue
        number = _amount(before)
        if number is None:
            free.add(unit)
        else:
            bound.add((unit[0], number, unit[1]))
        after = tokens[at + 1] if at + 1 < len(tokens) else Token("")
        if before.word in _TARGETING and unit[0] not in {"time", "base"} and after.value is None:
            targets.add(unit)
    free |= _marked(flat)
    return _Measures(frozenset(bound), frozenset(free), frozenset(targets))


def _unit(token: Token, before: Token) -> tuple[str, str] | None:
    if token.value is not None:
        return None
    found = _UNITS.get(token.word)
    if found is None and before.value is not None:
        found = _SIGNS.get(token.word)
    return found


def _amount(before: Token) -> str | None:
    if before.value is not None and before.kind == "number":
        return before.value
    return "1" if before.word in _ARTICLES else None


def _marked(flat: str) -> set[tuple[str, str]]:
    """Units told by a sign in front or a letter behind: `$5`, `EUR 5`, `20°C`."""
    found = {_UNITS[s] for pair in _CURRENCY.findall(flat) for s in pair if s}
    if "°" in flat or "egree" in flat:
        found |= {_SIGNS[s.lower()] for pair in _DEGREES.findall(flat) for s in pair if s}
    codes = (c.lower() for c in _LEADING.findall(flat))
    return found | {_UNITS.get(c) or _SIGNS[c] for c in codes}


@dataclass(frozen=True, slots=True)
class _Turn:
    """One `from X to Y`: the words on either side of the turn."""

    source: frozenset[str]
    target: frozenset[str]
    say: str


def _turned(ours: tuple[_Turn, ...], theirs: tuple[_Turn, ...]) -> str | None:
    """A turn that the other text takes the other way round."""
    if not ours or not theirs:
        return None
    shared = {(t.source, t.target) for t in ours} & {(t.source, t.target) for t in theirs}
    left, right = (
        [t for t in turns if (t.source, t.target) not in shared] for turns in (ours, theirs)
    )
    for one, other in product(left, right):
        crossed = one.source & other.target and one.target & other.source
        if crossed and not (one.source & other.source or one.target & other.target):
            return f"{one.say} against {other.say}"
    return None


@remembered(1024)
def _turns(text: str) -> tuple[_Turn, ...]:
    flat = fold(text).casefold()
    if _TURN.search(flat) is None:
        return ()
    pieces = _PIECE.findall(flat)
    found = []
    for at, piece in enumerate(pieces):
        if piece in _TURNS:
            turn = _turn(pieces, at)
            if turn is not None:
                found.append(turn)
    return tuple(found)


def _turn(pieces: list[str], at: int) -> _Turn | None:
    target = _run(pieces, at + 1)
    after = at + 1 + len(target)
    if after < len(pieces) and pieces[after] == "from":
        source = _run(pieces, after + 1)
    else:
        source = pieces[max(0, at - 1) : at]
        if source and source[0] in _ENDS:
            return None
    heads = [frozenset(stem(w) for w in side if w not in _MINOR) for side in (source, target)]
    say = f"{' '.join(source)} to {' '.join(target)}"
    return _Turn(heads[0], heads[1], say) if all(heads) else None


def _run(pieces: list[str], at: int) -> list[str]:
    """The few words that follow, up to the end of the phrase."""
    run: list[str] = []
    for piece in pieces[at : at + _REACH]:
        if piece in _ENDS or piece in _TURNS:
            break
        run.append(piece)
    return run
