"""Who and what a text names: capitalised names, known ones, quoted words, pieces of code.

A name of one text must be found in the other, in any case and in a usual variant. Numbers inside
names are told apart in quantities.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from policies.gazetteer import NAMES, SAME
from policies.text import fold, lexicon, stem, words

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
        "which who whom when where why how president prime minister king queen lord lady god "
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
        "airport hotel hospital institute department ministry office"
    )
) - {"english"}
_COMMON_ENDINGS = ("tion", "tions", "sion", "ment", "ness", "ship", "ology", "ics")
_TITLE_SHARE = 0.6
_FEW = 3
_TITLE = 6
_STEMMED = 4
_FUZZY = 5
_LONGEST_ACRONYM = 5
_ACRONYM = re.compile(r"\b[A-Z]{3,5}\b")
# Said in several words, or with dots that look like a sentence's end.
_PHRASES = (
    (re.compile(r"\b(?:united states(?: of america)?|u\.s\.(?:a\.)?)", re.IGNORECASE), "USA"),
    (re.compile(r"\b(?:united kingdom|great britain|u\.k\.)", re.IGNORECASE), "UK"),
)


@dataclass(frozen=True, slots=True)
class _Names:
    """`people` are names of one or more words, `exact` code and quotes, the rest all that is said.

    `words` hold every word and its stem, `flat` the words in a row, `initials` their first letters.
    """

    people: tuple[tuple[str, ...], ...]
    exact: tuple[str, ...]
    words: frozenset[str]
    flat: str
    plain: str
    initials: str
    acronyms: tuple[str, ...]


def difference(a: str, b: str) -> str | None:
    """`Paris against London`, where a name, a quote or an identifier is missing on one side."""
    ours, theirs = _names(a), _names(b)
    left, right = _missing(ours, theirs), _missing(theirs, ours)
    if not left and not right:
        return None
    return f"{_say(left)} against {_say(right)}"


def _say(names: list[str]) -> str:
    return ", ".join(names[:3]) or "none"


def _missing(ours: _Names, theirs: _Names) -> list[str]:
    lost = [e for e in ours.exact if not _quoted(e, theirs)]
    spelt = _spelt(ours, theirs)
    for name in ours.people:
        absent = [w for w in name if w not in spelt and not _found(w, theirs)]
        surname_only = len(absent) < len(name) and not _rivals(ours, theirs, name)
        if absent and not surname_only:
            lost.append(" ".join(absent))
    return lost


def _spelt(ours: _Names, theirs: _Names) -> frozenset[str]:
    """Words of ours that an acronym of theirs stands for: World Health Organization and WHO."""
    said = ours.flat.split()
    places = ((ours.initials.find(a), len(a)) for a in theirs.acronyms)
    return frozenset(w for at, size in places if at >= 0 for w in said[at : at + size])


def _rivals(ours: _Names, theirs: _Names, name: tuple[str, ...]) -> bool:
    """True where the other text's name shares a word with this one and adds one of its own."""
    return any(
        set(name) & set(other) and any(not _found(w, ours) for w in other)
        for other in theirs.people
    )


def _found(word: str, text: _Names) -> bool:
    """The word itself, its variant, a longer or shorter form, an acronym, a slip of one letter."""
    if (
        word in text.words
        or stem(word) in text.words
        or any(s in text.words for s in SAME.get(word, ()))
    ):
        return True
    if len(word) <= _LONGEST_ACRONYM and word in text.initials:
        return True
    if len(word) < _STEMMED:
        return False
    head = word[: max(_STEMMED, len(word) - 3)]
    return any(w.startswith(head) and _close(word, w) for w in text.words) or (
        len(word) >= _FUZZY and any(_slip(word, w) for w in text.words)
    )


def _close(word: str, other: str) -> bool:
    """Forms of one name: India and Indian, Germany and German's."""
    return abs(len(word) - len(other)) <= _FEW or other.startswith(word)


def _slip(word: str, other: str) -> bool:
    """One letter more, less or other, or two swapped, first letters alike, neither a known name."""
    if word[0] != other[0] or abs(len(word) - len(other)) > 1 or len(other) < _FUZZY:
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


def _quoted(piece: str, text: _Names) -> bool:
    """True where the other text says the piece too; signs between its words do not count."""
    said = " ".join(words(piece))
    if any(s in text.words for s in SAME.get(said, ())):
        return True
    if not said or len(said) == 1:
        return piece.casefold() in text.plain or not said
    return f" {said} " in f" {text.flat} "


@lru_cache(maxsize=1024)
def _names(text: str) -> _Names:
    plain = fold(text)
    for pattern, name in _PHRASES:
        plain = pattern.sub(name, plain)
    exact = _code(plain)
    exact += [next(filter(None, g)) for g in _QUOTED.findall(plain)]
    said = words(plain)
    bare = frozenset(w.removesuffix("'s") for w in said) | {stem(w) for w in said}
    return _Names(
        people=tuple(dict.fromkeys(_people(plain))),
        exact=tuple(dict.fromkeys(exact)),
        words=bare,
        flat=" ".join(said),
        plain=plain.casefold(),
        initials="".join(w[0] for w in said),
        acronyms=()
        if text.isupper()
        else tuple(map(str.casefold, _ACRONYM.findall(plain.replace(".", "")))),
    )


def _code(text: str) -> list[str]:
    """Identifiers, paths, addresses, flags: whole pieces between spaces, and all in backticks."""
    found = _TICKED.findall(text)
    for piece in text.split():
        if piece.isalpha() and (piece.islower() or piece.istitle() or piece.isupper()):
            continue
        call = "()" if piece.rstrip(".,;:?!`").endswith("()") else ""
        bare = piece.strip(_WRAPPING) + call
        dotted = f".{bare}" if piece.startswith(".") else bare
        if len(bare) <= _LONGEST_CODE and (_CODE.fullmatch(bare) or _CODE.fullmatch(dotted)):
            found.append(dotted if dotted != bare and _CODE.fullmatch(dotted) else bare)
    return found


def _people(text: str) -> list[tuple[str, ...]]:
    """Runs of capitalised words, and known names in any case."""
    matches = list(_WORD.finditer(text))
    titled = _titled([m.group() for m in matches])
    runs: list[list[str]] = []
    end = -9
    for match in matches:
        word = match.group().casefold().removesuffix("'s")
        if not _is_name(text, match, word, titled=titled):
            continue
        if match.start() - end == 1 and runs and text[match.start() - 1] in " -":
            runs[-1].append(word)
        else:
            runs.append([word])
        end = match.end()
    return [tuple(run) for run in runs]


def _titled(said: list[str]) -> bool:
    """True For A Text Like This: there a capital tells nothing."""
    capitals = sum(w[0].isupper() for w in said)
    plain = any(w[0].islower() and len(w) >= _STEMMED for w in said)
    return len(said) >= _TITLE and capitals > _TITLE_SHARE * len(said) and not plain


def _is_name(text: str, match: re.Match[str], word: str, *, titled: bool) -> bool:
    if word in NAMES:
        return True
    if titled or not match.group()[0].isupper() or stem(word) in _PLAIN or len(word) == 1:
        return False
    if word in _ABBREVIATIONS or word.endswith(_COMMON_ENDINGS):
        return False
    if match.group().isupper():
        return True
    return not _SENTENCE.search(text[max(0, match.start() - 4) : match.start()])
