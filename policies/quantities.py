"""Numbers, dates, times and sums in a text, and whether two texts hold the same ones.

Which unit a number carries is told in units.py; here `$5`, `5 dollars` and `five` are all 5.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from policies.reading import remembered
from policies.text import fold, lexicon, words

if TYPE_CHECKING:
    from collections.abc import Callable

_SMALL = {
    word: value
    for value, word in enumerate(
        lexicon(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
            "fifteen sixteen seventeen eighteen nineteen"
        )
    )
} | {"dozen": 12}
_TENS = {
    word: value * 10
    for value, word in enumerate(
        lexicon("twenty thirty forty fifty sixty seventy eighty ninety"), start=2
    )
}
_ORDINALS = {
    word: value
    for value, word in enumerate(
        lexicon("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
"thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"),
        start=1,
    )
} | {
    "thirds": 3, "fourths": 4, "quarters": 4, "fifths": 5, "sixths": 6, "eighths": 8, "tenths": 10,
    "twentieth": 20, "thirtieth": 30, "hundredth": 100, "thousandth": 1000, "millionth": 10**6,
}  # fmt: skip
_TIMES = {
    "twice": 2, "thrice": 3, "double": 2, "doubled": 2, "triple": 3, "tripled": 3, "quadruple": 4,
    "decade": 10,
}  # fmt: skip
_SCALES = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "k": 1000, "dozen": 12, "mn": 10**6, "bn": 10**9, "lakh": 10**5, "lakhs": 10**5,
    "lac": 10**5, "crore": 10**7, "crores": 10**7, "millions": 10**6, "billions": 10**9,
}  # fmt: skip
_MONTHS = {
    form: number
    for number, forms in enumerate(
        lexicon(
            "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug"
            "|september sep sept|october oct|november nov|december dec",
            "|",
        ),
        start=1,
    )
    for form in forms.split()
}
_PLAIN_MONTHS = frozenset(
    lexicon("january february april june july august september october november december")
)
_BEFORE_MONTH = frozenset(lexicon("in of last next since until till by this during before after"))
_WEEKDAYS = frozenset(
    f"{day}day{s}"
    for day in ("mon", "tues", "wednes", "thurs", "fri", "satur", "sun")
    for s in ("", "s", "'s")
)
_RELATIVE_DAYS = frozenset(["today", "tomorrow", "yesterday", "tonight"])
_ROMAN = {"II": 2, "III": 3, "IV": 4, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "XI": 11, "XII": 12}
_OPERATORS = {
    "+": "+", "plus": "+", "minus": "-", "-": "-", "−": "-", "*": "*", "×": "*", "x": "*",  # noqa: RUF001
    "times": "*", "multiplied": "*", "/": "/", "÷": "/", "divided": "/", "^": "^", "**": "^",
}  # fmt: skip
# A digit inside these is part of the word, and people leave it out: covid and covid-19.
_LEXICAL = re.compile(r"(?i)\b(?:covid-?19|h2o|co2|mp[34]|utf-?8|b2[bc]|s3|ec2|web3|i18n|k8s)\b")
# The number of a question in a list, and a season: 2016/17 is 2016/2017.
_LISTED = re.compile(r"^\s*(?:q|question)?\s?\d{1,2}[.)](?=\s)", re.IGNORECASE)
_SEASON = re.compile(r"(?<![\d/-])((?:19|20)\d\d)[/\u2013-](\d\d)(?![\d/-])")
_ONE_PART = re.compile(r"(?i)\bone[- ](half|quarter|fourth)\b")
# "1 hour" is said "an hour" as well.
_LIKE_ARTICLE = frozenset(
    lexicon(
        "hour day week month year minute second mile kilometer kilometre km meter metre foot "
        "inch cup pound kg kilogram gram liter litre dollar euro person time way word"
    )
)
# Fractions with a name of their own: "half" is "1/2" and "a quarter" "1/4".
_PARTS = frozenset({"1/2", "1/4"})
_MONEY = frozenset("$£€₹¥")
_LONGEST_MONTH = 12
# More quantities or words make a problem, in which each counts each time.
_REPEATED = 3
_SHORT = 30
# "the top 10 films" are "the top films".
_RANKED = frozenset({"top", "best"})
_ROUND = frozenset({"3", "5", "10"})
# "these two words" are "these words".
_POINTING = frozenset({"the", "these", "those", "between", "other"})
_WEAK_FORMS = frozenset({
    "one", "first", "second", "double", "doubled", "triple", "tripled", "quadruple", "decade",
})  # fmt: skip

_SPOKEN = frozenset((
    *_SMALL, *_TENS, *_ORDINALS, *_TIMES, *_SCALES, *_MONTHS, *_WEEKDAYS, *_RELATIVE_DAYS,
    "half", "quarter", *map(str.lower, _ROMAN),
))  # fmt: skip
_NUMBER_WORDS = _SMALL.keys() | _TENS.keys() | _ORDINALS.keys() | _TIMES.keys() | {"hundred"}
_DIGIT = re.compile(r"\d|[½¼¾²³]")

_TOKEN = re.compile(
    r"(?P<iso>\b\d{4}-\d{1,2}-\d{1,2}\b)"
    r"|(?P<slash>\b\d{1,2}/\d{1,2}/\d{2,4}\b)"
    r"|(?P<time>\b\d{1,2}[:.]\d{2}(?::\d{2})?\s*[ap]\.?m\b\.?|\b\d{1,2}\s*[ap]\.?m\b\.?"
    r"|\b\d{1,2}:\d{2}\b)"
    r"|(?P<version>\b[vV]?\d+(?:\.\d+){2,})"
    r"|(?P<fraction>(?<![\d/.])\d+\s?[/\u2044]\s?\d+(?![\d/]))"
    r"|(?P<decade>\b(?:\d\d)?\d0'?s\b)"
    r"|(?P<number>(?<![^\W_])(?P<sign>(?:(?<=\s)|^)[-−](?=[$£€₹]?\d))?"  # noqa: RUF001
    r"(?:\d{1,3}(?:[,_]\d{2,3})+|\d+)(?:\.\d+)?|(?<![\w.])\.\d+)"
    r"(?P<ordinal>st\b|nd\b|rd\b|th\b)?(?P<factorial>!(?=\s|$))?"
    r"|(?P<inside>(?<=[A-Za-z])\d+(?:\.\d+)*)"
    r"|(?P<word>[A-Za-z]+(?:'[a-z]+)?)"
    r"|(?P<stop>[,;:?]|[.!](?=\s|$))"
    r"|(?P<operator>[%+*×÷/^−-])"  # noqa: RUF001
)


class Token(NamedTuple):
    """One reading of a piece of text: a value where it is a quantity, else the bare word.

    `weak` marks a quantity that paraphrases drop or add freely (`one`, `first`, `today`).
    """

    word: str
    value: str | None = None
    kind: str = "number"
    weak: bool = False


def difference(a: str, b: str) -> str | None:
    """`10 against 12` where the two texts do not hold the same quantities."""
    ours, theirs = _quantities(a), _quantities(b)
    if ours == theirs:
        return None
    for kind in ("number", "date", "sum"):
        left, right = _left(ours, theirs, kind), _left(theirs, ours, kind)
        if _brief(a, b) and _repeated(left + right, ours, theirs):
            continue
        both = bool(left) and bool(right)
        if both or any(not t.weak for t in left + right):
            return f"{_say(left)} against {_say(right)}"
    return None


def study(text: str) -> None:
    """Read a text ahead of its comparisons."""
    _quantities(text)


def _left(ours: tuple[Token, ...], theirs: tuple[Token, ...], kind: str) -> list[Token]:
    """Quantities of that kind that the other text does not hold, strong ones matched first."""
    rest = Counter(t.value for t in theirs if t.kind == kind)
    left = []
    for token in sorted((t for t in ours if t.kind == kind), key=lambda t: t.weak):
        if rest[token.value] > 0:
            rest[token.value] -= 1
        else:
            left.append(token)
    return left


def _brief(a: str, b: str) -> bool:
    return max(len(words(a)), len(words(b))) <= _SHORT


def _repeated(left: list[Token], ours: tuple[Token, ...], theirs: tuple[Token, ...]) -> bool:
    """True where both texts hold the same few values and one repeats some; in sums that counts."""
    if max(len(ours), len(theirs)) > _REPEATED:
        return False
    shared = {t.value for t in ours} & {t.value for t in theirs}
    return all(t.value in shared and t.kind == "number" for t in left) and not any(
        t.kind == "sum" for t in (*ours, *theirs)
    )


def _say(tokens: list[Token]) -> str:
    return " and ".join(t.word for t in tokens[:3]) or "none"


@remembered(1024)
def _quantities(text: str) -> tuple[Token, ...]:
    if not _DIGIT.search(text) and _SPOKEN.isdisjoint(words(text)):
        return ()
    return tuple(t for t in read(text) if t.value is not None)


@remembered(1024)
def read(text: str) -> tuple[Token, ...]:
    """The text as words and quantities, in reading order."""
    flat = fold(text)
    if _DIGIT.search(flat):
        flat = _SEASON.sub(_as_season, _LEXICAL.sub(" ", _LISTED.sub("", flat)))
    if "one" in flat or "One" in flat:
        flat = _ONE_PART.sub(_as_part, flat)
    tokens: list[Token] = []
    for match in _TOKEN.finditer(flat):
        if match.lastgroup == "word":
            tokens.append(_word(match[0]))
        else:
            tokens.extend(_tokens(match))
    return tuple(_settle(_grouped(tokens)))


def _as_season(match: re.Match[str]) -> str:
    """Both years in full, where the second is the first one's next."""
    after = int(match[1]) + 1
    return f"{match[1]} {after}" if after % 100 == int(match[2]) else match[0]


def _as_part(match: re.Match[str]) -> str:
    return "1/2" if match[1].lower() == "half" else "1/4"


def _tokens(match: re.Match[str]) -> list[Token]:
    """The tokens of one match; values are canonical strings."""
    reader = _READERS.get(match.lastgroup or "")
    if reader is not None:
        return reader(match.group())
    return _number(match) if match["number"] is not None else [_word(match.group())]


def _word(piece: str) -> Token:
    return Token(piece, str(_ROMAN[piece])) if piece in _ROMAN else Token(piece.lower())


def _fraction(piece: str) -> list[Token]:
    top, bottom = re.findall(r"\d+", piece)
    named = f"{top}/{bottom}"
    return [Token(piece, named)] if named in _PARTS else [_digits(top), _digits(bottom)]


def _decade(piece: str) -> list[Token]:
    full = piece.replace("'", "")
    century = "" if len(full) > len("90s") else "19"
    return [Token(piece, f"{century}{full}", "date")]


def _version(piece: str) -> list[Token]:
    return [Token(piece, piece.lstrip("vV").lstrip("0") or "0")]


def _number(match: re.Match[str]) -> list[Token]:
    piece = match["number"].replace("−", "-")  # noqa: RUF001
    if match.string[match.start("number") - 1 : match.start("number")] in _MONEY and "." in piece:
        piece = piece.rstrip("0")
    plain = _digits(piece)
    found = Token(plain.word + (match["ordinal"] or ""), plain.value)
    return [found, Token("!", "!", "sum")] if match["factorial"] else [found]


def _digits(piece: str) -> Token:
    """`007` is 7 and `5.00` is 5; `3.10` stays apart from `3.1`, for versions' sake."""
    whole, _, part = piece.replace(",", "").replace("_", "").partition(".")
    sign = "-" if whole.startswith("-") else ""
    whole = whole.lstrip("-0") or "0"
    value = f"{sign}{whole}.{part}" if part.strip("0") else f"{sign}{whole}"
    return Token(piece, value)


def _date(piece: str) -> list[Token]:
    """Day, month and year apart, so that every way of writing a date meets."""
    parts = [int(p) for p in re.split("[-/]", piece)]
    if "-" in piece:
        year, month, day = parts
    elif parts[1] > _LONGEST_MONTH:
        month, day, year = parts
    elif parts[0] > _LONGEST_MONTH:
        day, month, year = parts
    else:  # 3/4/2024 is March or April: only the same writing is the same day
        return [Token(piece, "/".join(map(str, parts)), "date")]
    return [
        Token(piece, str(year)), Token(piece, str(day)), Token(piece, f"month {month}", "date")
    ]  # fmt: skip


def _clock(piece: str) -> list[Token]:
    """24-hour `17:30` for `5:30 pm`."""
    hour, minute = ([int(d) for d in re.findall(r"\d+", piece)] + [0])[:2]
    late, early = "p" in piece.lower(), "a" in piece.lower()
    hour = hour % 12 + 12 * late if late or early else hour
    return [Token(piece, f"{hour}:{minute:02d}", "date")]


_READERS: dict[str, Callable[[str], list[Token]]] = {
    "iso": _date,
    "slash": _date,
    "time": _clock,
    "fraction": _fraction,
    "decade": _decade,
    "version": _version,
    "inside": _version,
}


def _grouped(tokens: list[Token]) -> list[Token]:
    """Number words folded into one value: `two hundred and five`, `3 million`, `1.5 k`."""
    out: list[Token] = []
    at = 0
    while at < len(tokens):
        value, end = _spelt(tokens, at) if _spoken(tokens[at]) else (None, at)
        if value is None:
            out.append(tokens[at])
            at += 1
            continue
        word = " ".join(t.word for t in tokens[at:end])
        out.append(Token(word, _plain(value), weak=word in _WEAK_FORMS))
        at = end
    return out


def _spoken(token: Token) -> bool:
    """Whether a spelt number may start there."""
    return token.value is not None or token.word in _NUMBER_WORDS


def _spelt(tokens: list[Token], at: int) -> tuple[Decimal | None, int]:
    """The value that starts at `at` and where it ends; None where no spelt number starts."""
    total, current, end = Decimal(0), Decimal(0), at
    size = len(tokens)
    seen = False
    room = Decimal(10**15)
    while end < size:
        token = tokens[end]
        part = _part(token, first=not seen)
        if part is not None and part < room:
            current, seen = current + part, True
            room = Decimal(10) if token.word in _TENS else Decimal(0)
        elif seen and token.word in _SCALES:
            current *= _SCALES[token.word]
            if token.word != "hundred":
                total, current = total + current, Decimal(0)
            room = Decimal(_SCALES[token.word])
        elif token.word == "hundred" and end and tokens[end - 1].word == "a" and not seen:
            current, seen, room = Decimal(100), True, Decimal(100)
        elif not (_joins(tokens, end, room) and seen):
            break
        end += 1
    spelt = seen and (end - at > 1 or tokens[at].value is None)
    return (total + current, end) if spelt else (None, at)


def _joins(tokens: list[Token], at: int, room: Decimal) -> bool:
    """True for `and` inside `two hundred and five` and the hyphen of `twenty-one`."""
    if at + 1 >= len(tokens) or tokens[at].word not in {"and", "-"} or room <= 0:
        return False
    if tokens[at].word == "and" and room < 100:  # noqa: PLR2004 - "and" follows hundreds only
        return False
    part = _part(tokens[at + 1], first=False)
    return part is not None and part < room


def _part(token: Token, *, first: bool) -> Decimal | None:
    """What a token adds to a spelt number; digits may only start one (`3 million`)."""
    if token.value is not None:
        digits = token.kind == "number" and token.value.replace(".", "", 1).isdigit()
        return Decimal(token.value) if first and digits else None
    word = token.word
    value = _SMALL.get(word, _TENS.get(word, _ORDINALS.get(word, _TIMES.get(word))))
    return None if value is None else Decimal(value)


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _settle(tokens: list[Token]) -> list[Token]:
    """Meaning that needs the neighbours: percent, months, weekdays, sums, the article-like 1."""
    out: list[Token] = []
    for at, token in enumerate(tokens):
        before = tokens[at - 1] if at else Token("")
        hyphen = tokens[at + 1 : at + 2] == [Token("-")]
        after = tokens[at + 1 + hyphen] if at + 1 + hyphen < len(tokens) else Token("")
        out.append(_settled(token, before, after))
    return out


def _settled(token: Token, before: Token, after: Token) -> Token:
    if token.value is not None:
        return _settled_value(token, before, after)
    word = token.word
    if word in _OPERATORS and _summed(before, after):
        return Token(word, _OPERATORS[word], "sum", weak=True)
    if word in {"half", "quarter"}:
        return Token(word, "1/2" if word == "half" else "1/4", weak=True)
    return _as_date(word, before, after) or token


def _settled_value(token: Token, before: Token, after: Token) -> Token:
    if after.word in {"%", "percent", "pct"}:
        return Token(f"{token.word}%", f"{token.value}%")
    article = token.value == "1" and after.word in _LIKE_ARTICLE
    listed = before.word in _RANKED and token.value in _ROUND
    if article or listed or (token.word == "two" and before.word in _POINTING):
        return Token(token.word, token.value, weak=True)
    return token


def _as_date(word: str, before: Token, after: Token) -> Token | None:
    if word in _WEEKDAYS:
        return Token(word, word.removesuffix("s").removesuffix("'"), "date")
    if word in _RELATIVE_DAYS:
        return Token(word, "today" if word == "tonight" else word, "date", weak=True)
    if word in _MONTHS and (word in _PLAIN_MONTHS or _dated(word, before, after)):
        return Token(word, f"month {_MONTHS[word]}", "date")
    return None


def _dated(word: str, before: Token, after: Token) -> bool:
    """`may` and `mar` are months beside a number, `may` and `march` also after `in`."""
    beside = before.value is not None or after.value is not None
    return beside or (word in {"may", "march"} and before.word in _BEFORE_MONTH)


def _summed(before: Token, after: Token) -> bool:
    return before.value is not None and (after.value is not None or after.word in {"by", "with"})
