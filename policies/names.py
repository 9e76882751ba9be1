"""Who and what a text names: capitalised names, known ones, quoted words, pieces of code.

A name of one text must be found in the other, in any case and in a usual variant. Numbers inside
names are told apart in quantities.py.
"""

from __future__ import annotations

import re
from itertools import islice, pairwise
from typing import NamedTuple

from policies.gazetteer import NAMES, PLACES, SAME
from policies.plain import PLAIN
from policies.reading import remembered
from policies.text import fold, lexicon, stem, stems, words

_TICKED = re.compile(r"`([^`\n]{1,80})`")
_CODE = re.compile(
    r"https?://.+|www\..+"
    r"|[\w.+-]+@[\w-]+\.[\w.]+"
    r"|[~.]?/[\w./-]+|[A-Za-z]:\\.+"
    r"|--?[A-Za-z][\w-]*"
    r"|[A-Za-z]\w*_\w+|[a-z]+[a-z0-9]*(?:[A-Z][a-z0-9]*)+|[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]+)+"
    r"|[A-Za-z_][\w.]*\(\)|[A-Za-z]\+\+|[CFcf]#|\#\w+|@\w+|\.[A-Z]\w+"
    r"|[a-z]\w+\.[a-z]\w+(?:\.\w+)*"
)
_LONGEST_CODE = 100
_WRAPPING = "\"'.,;:?!()[]{}<>`"
_QUOTED = re.compile(
    r'"(\S(?:[^"\n]{0,118}\S)?)"|(?<!\w)\'([^\'\n]{2,80})\'(?!\w)|«([^»\n]{1,120})»'
)
_SENTENCE = re.compile(r"(?:^|[.?!:\n]\s+|[\"'(\[*]\s*|^\W+)$")
_WORD = re.compile(r"(?<![^\W_])[^\W\d_]+(?:'[^\W\d_]+)*(?![^\W_])")
_ABBREVIATIONS = frozenset(lexicon("eg ie etc vs am pm ok no mr mrs ms dr prof sir st jr"))
_PLAIN = frozenset(
    stem(w)
    for w in lexicon(
        "i a an the and or not if in on at to of for with by from is are was be do does did "
        "has have can could will would should may my your his her its our their this that what "
        "which who whom when where why how vice president prime minister king queen lord lady god "
        "mr mrs ms dr doctor professor sir english university college school company city "
        "state country river lake mount street please help thanks thank hi hello hey dear "
        "regards monday tuesday wednesday thursday friday saturday sunday january february "
        "march april may june july august september october november december im ive id ill "
        "all any some it as so but q faq asap fyi diy pros cons pc ok rs inr usd eur gbp cgpa "
        "gpa phd mba tv cd dvd us government battle war world earth science computer "
        "psychology semester life republic party desert sea ocean island north south east west "
        "northern southern eastern western history law language engineering mathematics math "
        "physics chemistry biology bank book movie game team act section chapter part step "
        "question answer note example problem internet web android phone television market "
        "stock day year month week time people everyday also however meanwhile first last new "
        "old great big best top good milky galaxy moon sun god heaven bible constitution "
        "congress senate parliament court army navy police career beginner true hell border "
        "presidential election bike trojan application software wifi email online social media "
        "business digital program course degree job exam master street road avenue station "
        "airport hotel hospital institute department ministry office you he she we they me him "
        "us them who gen general hon rev lt col capt sen gov honourable honorable shri "
        "smt dob alot iam"
    )
) | frozenset(stem(word) for word in PLAIN)
_COMMON_ENDINGS = ("tion", "tions", "sion", "ment", "ness", "ship", "ology", "ics")
_TITLE_SHARE = 0.6
_FEW = 3
_TITLE = 6
_STEMMED = 4
_FUZZY = 5
_LONGEST_ACRONYM = 5
_ACRONYM = re.compile(r"\b[A-Z]{2,5}\b")
# Where English askers are taken to be unless they say another country: told or not, it is meant.
_HOME = frozenset(lexicon("usa us america american americans"))
_DOMAIN = re.compile(r"(?i)(?:https?://)?(?:www\.)?([\w-]+)\.(?:com|org|net|in|io|co)/?")
_ARTICLES = re.compile(r"^(?:the|an?) (?=.)", re.IGNORECASE)
# Said in several words, or with dots that look like a sentence's end.
_HINTS = ("nited ", "NITED ", "ritain", "RITAIN", "U.S", "u.s", "U.K", "u.k")
_UNITED = re.compile(r"\b(?:united states(?: of america)?|u\.s\.(?:a\.)?)", re.IGNORECASE)
_GREAT = re.compile(r"\b(?:united kingdom|great britain|u\.k\.)", re.IGNORECASE)


class _Names(NamedTuple):
    """`people` are names of one or more words, `phrases` all runs of capitalised words; `abroad`
    tells of known names besides the home's."""

    people: tuple[tuple[str, ...], ...]
    phrases: tuple[tuple[str, ...], ...]
    abroad: bool


class _Signs(NamedTuple):
    """What is typed in a form of its own: code and quotations."""

    code: tuple[str, ...]
    quotes: tuple[str, ...]


class _Said(NamedTuple):
    """All that a text says: `words` hold every word and its stem, `row` and `stems` those in
    order, `initials` their first letters."""

    words: frozenset[str]
    row: tuple[str, ...]
    stems: tuple[str, ...]
    plain: str
    initials: str
    acronyms: tuple[str, ...]


def difference(a: str, b: str) -> str | None:
    """`Paris against London`, where a name, a quote or an identifier is missing on one side."""
    left, right = _missing(a, b), _missing(b, a)
    if not left and not right:
        return None
    return f"{_say(left)} against {_say(right)}"


def study(text: str) -> None:
    """Read a text ahead of its comparisons."""
    _likely(text)
    _names(text)
    _signs(text)
    _said(text)


def _say(names: list[str]) -> str:
    return ", ".join(names[:3]) or "none"


def _missing(a: str, b: str) -> list[str]:
    """What `a` names and `b` does not: all code and quotations, and the first name."""
    lost = _unwritten(a, b)
    told = _words(b)
    if told.issuperset(_likely(a)):
        return lost
    ours, theirs = _names(a), _names(b)
    strange = (name for name in ours.people if not told.issuperset(name))
    absent = (_absent(name, _said(a), _said(b), theirs) for name in strange)
    return lost + [" ".join(first) for first in islice(filter(None, absent), 1)]


def _unwritten(a: str, b: str) -> list[str]:
    """The code and the quotations of `a` that `b` does not say."""
    ours = _signs(a)
    if not (ours.code or ours.quotes):
        return []
    said = _said(b)
    quotes = ours.quotes if _signs(b).quotes else (q for q in ours.quotes if not _stressed(q))
    code = [piece for piece in ours.code if not _written(piece, said)]
    return code + [quote for quote in quotes if not _quoted(quote, said)]


def _absent(name: tuple[str, ...], said: _Said, other: _Said, theirs: _Names) -> list[str]:
    """The words of a name that the other text says in no form, and that it would have to say."""
    absent = [w for w in name if w not in other.words and not _found(w, other)]
    if not absent or (_HOME.issuperset(absent) and not theirs.abroad):
        return []
    spelt = _spelt(said, name, other)
    absent = [w for w in absent if w not in spelt]
    return absent if absent and not _shortened(name, absent, said, theirs) else []


def _spelt(said: _Said, name: tuple[str, ...], other: _Said) -> frozenset[str]:
    """Words that the other text says in another form: an acronym of them, or two in one."""
    row = said.row
    long = (a for a in other.acronyms if len(a) >= _FEW)
    places = ((said.initials.find(a), len(a)) for a in long)
    found = {w for at, size in places if at >= 0 for w in row[at : at + size]}
    if "".join([w[0] for w in name]) in other.acronyms:
        found.update(name)
    for pair in pairwise(row):
        if "".join(pair) in other.words:
            found.update(pair)
    return frozenset(found)


def _shortened(name: tuple[str, ...], absent: list[str], said: _Said, theirs: _Names) -> bool:
    """True where the other text says the name in short, and no other name of that kind.

    That is one which shares a word with it and adds one of its own; and `Lyon, France` is not
    said by `France`.
    """
    if len(absent) == len(name) or (name[0] in absent and name[-1] in PLACES):
        return False
    rivals = (other for other in theirs.phrases if set(name) & set(other))
    return all(_found(w, said) for other in rivals for w in other)


def _found(word: str, text: _Said) -> bool:
    """The word itself, its variant, a longer or shorter form, an acronym, a slip of one letter."""
    if (
        word in text.words
        or stem(word) in text.words
        or any(s in text.words for s in SAME.get(word, ()))
    ):
        return True
    if len(word) <= _LONGEST_ACRONYM and word in text.initials:
        return True
    if any(one + other == word for one, other in pairwise(text.row)):
        return True
    if len(word) < _STEMMED:
        return False
    head = word[: max(_STEMMED, len(word) - 3)]
    near = [w for w in text.words if w[0] == word[0]]
    return any(w.startswith(head) and _close(word, w) for w in near) or (
        len(word) >= _FUZZY and any(_slip(word, w) for w in near)
    )


def _close(word: str, other: str) -> bool:
    """Forms of one name: India and Indian, Germany and German's."""
    return abs(len(word) - len(other)) <= _FEW or other.startswith(word)


def _slip(word: str, other: str) -> bool:
    """One letter more, less or other, or two swapped, first letters alike, neither a known name."""
    if abs(len(word) - len(other)) > 1 or len(other) < _FUZZY:
        return False
    if word in NAMES and other in NAMES:
        return False
    if max(len(word), len(other)) == _FUZZY and not (word in NAMES or other in NAMES):
        return False
    start = next((i for i, (x, y) in enumerate(zip(word, other, strict=False)) if x != y), -1)
    if start < 0:
        return True
    tails = {word[start + 1 :], word[start:]}
    swapped = word[start + 1 : start + 2] + word[start] + word[start + 2 :]
    return other[start:] == swapped or other[start + 1 :] in tails or other[start:] in tails


def _written(piece: str, text: _Said) -> bool:
    """True where the other text has that code too; signs between its words do not count.

    The name of a site does for its address.
    """
    said = " ".join(words(piece))
    if any(s in text.words for s in SAME.get(said, ())):
        return True
    if not said or len(said) == 1:
        return piece.casefold() in text.plain or not said
    site = _DOMAIN.fullmatch(piece)
    if site is not None and site[1].casefold() in text.words:
        return True
    return f" {said} " in f" {' '.join(text.row)} " or (
        f" {_stems(said)} " in f" {' '.join(text.stems)} "
    )


def _quoted(piece: str, text: _Said) -> bool:
    """True where the other text says all words of a quotation, in whatever order or form."""
    piece = _ARTICLES.sub("", piece)
    said = words(piece)
    whole = len(said) >= _FEW or (len(said) == 1 and len(said[0]) > _LONGEST_ACRONYM)
    return _written(piece, text) or (whole and all(_found(w, text) for w in said))


def _stressed(piece: str) -> bool:
    """True for a common word in quotes, which stress it or doubt it."""
    said = words(piece)
    return len(said) == 1 and stem(said[0]) in _PLAIN


def _stems(said: str) -> str:
    return " ".join(map(stem, said.split()))


@remembered(1024)
def _names(text: str) -> _Names:
    phrases, named = _runs(_plain(text))
    people = tuple(dict.fromkeys(tuple(run) for run in named if run))
    abroad = any(_known(w) and w not in _HOME for name in people for w in name)
    return _Names(people, tuple(map(tuple, phrases)), abroad)


@remembered(1024)
def _signs(text: str) -> _Signs:
    plain = _plain(text)
    quotes = _QUOTED.findall(plain) if "'" in plain or '"' in plain or "«" in plain else ()
    return _Signs(
        tuple(dict.fromkeys(_code(plain))),
        tuple(dict.fromkeys(next(filter(None, groups)) for groups in quotes)),
    )


@remembered(1024)
def _said(text: str) -> _Said:
    plain = _plain(text)
    row = words(plain)
    initials = "".join([w[0] for w in row])
    every = _words(text).union(stems(plain))
    return _Said(every, row, stems(plain), plain.casefold(), initials, _acronyms(plain))


@remembered(1024)
def _words(text: str) -> frozenset[str]:
    """Every word, without a possessive."""
    plain = _plain(text)
    said = words(plain)
    return frozenset([w.removesuffix("'s") for w in said] if "'" in plain else said)


@remembered(1024)
def _likely(text: str) -> frozenset[str]:
    """The words that could be names: known ones, and those typed large that are no common ones."""
    plain = _plain(text)
    return frozenset(
        word
        for word in _words(text)
        if word in NAMES
        or (
            stem(word) not in _PLAIN
            and (word not in plain or word.capitalize() in plain or word.upper() in plain)
        )
    )


@remembered(1024)
def _plain(text: str) -> str:
    """The text folded, with one form for countries that are said in several words."""
    plain = fold(text)
    for hint in _HINTS:
        if hint in plain:
            return _GREAT.sub("UK", _UNITED.sub("USA", plain))
    return plain


def _acronyms(plain: str) -> tuple[str, ...]:
    if plain.isupper():
        return ()
    return tuple(map(str.casefold, _ACRONYM.findall(plain.replace(".", ""))))


def _known(word: str) -> bool:
    return word in NAMES or stem(word) in NAMES


def _code(text: str) -> list[str]:
    """Identifiers, paths, addresses, flags: whole pieces between spaces, and all in backticks."""
    found = _TICKED.findall(text) if "`" in text else []
    for piece in text.split():
        if piece.isalpha() and (piece.islower() or piece.istitle() or piece.isupper()):
            continue
        bare = piece.strip(_WRAPPING)
        if bare.islower() and bare.isalpha() and piece[0] != "." and piece[-1] != ")":
            continue
        call = "()" if piece.rstrip(".,;:?!`").endswith("()") else ""
        bare += call
        dotted = f".{bare}" if piece.startswith(".") else bare
        if bare.casefold() in _PLAIN:
            continue
        if len(bare) <= _LONGEST_CODE and (_CODE.fullmatch(bare) or _CODE.fullmatch(dotted)):
            found.append(dotted if dotted != bare and _CODE.fullmatch(dotted) else bare)
    return found


def _runs(text: str) -> tuple[list[list[str]], list[list[str]]]:
    """Capitalised words and known names that stand together, and of each run the names alone."""
    if text[1:].islower() and NAMES.isdisjoint(_words(text)) and not text[:2].isupper():
        return [], []
    matches = list(_WORD.finditer(text))
    likely = [m for m in matches if not m[0].islower() or m[0].removesuffix("'s") in NAMES]
    titled = len(likely) >= _FEW and _titled([m[0] for m in matches])
    runs: list[list[str]] = []
    named: list[list[str]] = []
    end = 0
    for match in likely:
        word = match[0].casefold().removesuffix("'s")
        opens = titled or _opens(text, match.start())
        name = _is_name(match[0], word, titled=titled, opens=opens)
        capital = match[0][0].isupper() and len(match[0]) > 1
        if not name and (opens or not capital):
            continue
        joined = text[end : match.start()] if runs else ""
        if not (joined in {" ", "-"} or (joined == ", " and word in PLACES)):
            runs.append([])
            named.append([])
        runs[-1].append(word)
        named[-1] += [word] * name
        end = match.end()
    return runs, named


def _opens(text: str, at: int) -> bool:
    """Whether a sentence may begin there, so that a capital tells nothing."""
    if text[at - 2 : at - 1].isalnum() and text[at - 1] == " ":
        return False
    return _SENTENCE.search(text[max(0, at - 4) : at]) is not None


def _titled(said: list[str]) -> bool:
    """True For A Text Like This: there a capital tells nothing."""
    capitals = sum(w[0].isupper() for w in said)
    plain = any(w[0].islower() and len(w) >= _STEMMED for w in said)
    return len(said) >= _TITLE and capitals > _TITLE_SHARE * len(said) and not plain


def _is_name(typed: str, word: str, *, titled: bool, opens: bool) -> bool:
    if word in NAMES:
        return True
    if titled or not typed[0].isupper() or len(word) == 1:
        return False
    if stem(word) in _PLAIN or word.partition("'")[0] in _PLAIN:
        return False
    upper = typed.isupper()
    camel = not upper and not typed[1:].islower()
    if word in _ABBREVIATIONS or (word.endswith(_COMMON_ENDINGS) and not camel):
        return False
    if upper:
        return len(word) <= _LONGEST_ACRONYM or not word.endswith("ly")
    return not opens
