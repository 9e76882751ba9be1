"""English words that exclude each other: a table, and its inflection into classes of forms.

Which of them two texts hold, and what follows, is told in polarity.py.
"""

from __future__ import annotations

# `a/b` are the sides of one class, `|` parts words that stand on the same side.
_VERBS = (
    "enable|activate/disable|deactivate increase|raise|boost/decrease|reduce|lower|lessen "
    "allow|permit/deny|forbid|prohibit|block|ban|disallow accept/reject|decline|refuse "
    "approve/reject|deny|disapprove agree/disagree add/remove|delete|subtract|drop "
    "insert/delete|remove create/delete|destroy open/close|shut "
    "start|begin|launch/stop|finish|end|quit upload/download import/export include/exclude "
    "encode/decode encrypt/decrypt compress/decompress|uncompress|extract zip/unzip "
    "pack/unpack lock/unlock mute/unmute install/uninstall load/unload subscribe/unsubscribe "
    "follow/unfollow block/unblock hide/show|unhide|display|reveal attach/detach "
    "connect/disconnect expand/collapse assemble/disassemble join/split|leave|separate "
    "merge/split|separate push/pull push/pop lend/borrow rent/buy hire/fire pass/fail "
    "succeed/fail gain/lose win/lose save/spend|waste arrive/depart enter/exit|leave "
    "freeze/melt|thaw heat/cool boil/freeze inhale/exhale ascend/descend attack/defend "
    "upgrade/downgrade inflate/deflate maximize|maximise/minimize|minimise "
    "accelerate/decelerate strengthen/weaken tighten/loosen appear/disappear "
    "like|love/dislike|hate send/receive read/write send/read grow/shrink improve/worsen "
    "multiply/divide add/multiply add/divide subtract/multiply deposit/withdraw "
    "serialize/deserialize mount/unmount dress/undress fold/unfold freeze/unfreeze tie/untie "
    "wrap/unwrap undo/redo marry/divorce praise/criticize|criticise trust/distrust "
    "understand/misunderstand obey/disobey qualify/disqualify archive/unarchive flatten/nest "
    "sow|plant/harvest simplify/complicate lengthen/shorten widen/narrow encourage/discourage "
    "prove/disprove cause/prevent appreciate/depreciate exaggerate/understate employ/dismiss "
    "build/demolish earn/spend remember/forget whiten/darken lighten/darken"
)
_IRREGULAR = (
    "buy buys bought buying|purchase purchases purchased purchasing"
    "/sell sells sold selling"
    ";give gives gave given giving/take takes took taken taking"
    ";win wins won winning winner winners/lose loses lost losing loser losers"
    ";rise rises rose risen rising/fall falls fell fallen falling"
    ";teach teaches taught teaching teacher teachers/learn learns learned learning"
    ";find finds found finding/lose loses lost losing"
    ";laugh laughs laughed laughing/cry cries cried crying"
    ";break breaks broke broken breaking/fix fixes fixed fixing repair repairs repaired repairing"
)
_WORDS = (
    "on/off before/after with/without up/down above/below over/under inside/outside "
    "loginin|login|signin|signing/logout|logoff|signout|signoff checkin/checkout optin/optout "
    "zoomin/zoomout clockin/clockout lockin/lockout plugin/plugout left/right right/wrong "
    "right|correct/incorrect|wrong north|northern/south|southern/east|eastern/west|western "
    "first/last next/previous|last newest|latest/oldest|earliest best/worst better/worse "
    "most/least atmost/atleast more/less|fewer many/few maximum|max/minimum|min "
    "highest/lowest high/low higher/lower biggest|largest/smallest "
    "bigger|larger|greater/smaller|less longest/shortest longer/shorter "
    "fastest|quickest/slowest faster|quicker/slower fast|quick|quickly/slow|slowly "
    "cheapest/costliest|priciest cheaper/pricier|costlier cheap|inexpensive/expensive|costly "
    "older/younger|newer old/new|young oldest/youngest ancient/modern early/late "
    "earlier/later big|large|huge/small|little|tiny long|tall/short thick/thin|slim "
    "wide/narrow deep/shallow heavy/light lightweight/heavyweight dark/light bright/dark "
    "hot/cold hotter|warmer/colder|cooler hottest|warmest/coldest wet/dry full/empty "
    "hard|difficult/easy harder/easier hard/soft hardest/easiest strong/weak stronger/weaker "
    "rich/poor good/bad|evil|poor safe/dangerous healthy/sick loud/quiet smooth/rough "
    "tight/loose clean/dirty alive|living/dead positive/negative true/false yes/no pros/cons "
    "pro/con pro/anti advantage|advantages/disadvantage|disadvantages "
    "benefit|benefits/risk|risks|drawback|drawbacks|downside|downsides|harm|harms "
    "strengths/weaknesses strength/weakness upside|upsides/downside|downsides "
    "similarity|similarities/difference|differences same/different "
    "cause|causes/symptom|symptoms/treatment|treatments|cure|cures/prevention "
    "cause|causes/effect|effects|consequence|consequences "
    "reason|reasons/effect|effects|consequences profit|profits/loss|losses "
    "asset|assets/liability|liabilities income/expense|expenses revenue/cost|costs "
    "credit/debit supply/demand import|imports/export|exports bull|bullish/bear|bearish "
    "input|inputs/output|outputs inbound/outbound incoming/outgoing encoder/decoder "
    "client/server frontend/backend front/back|rear top/bottom upper/lower internal/external "
    "interior/exterior indoor|indoors/outdoor|outdoors public/private local/remote "
    "online/offline sync/async synchronous/asynchronous static/dynamic mutable/immutable "
    "signed/unsigned ascending|asc/descending|desc "
    "horizontal|horizontally/vertical|vertically row|rows/column|columns uppercase/lowercase "
    "prefix/suffix parent|parents/child|children sunrise/sunset dawn/dusk "
    "morning/afternoon/evening/night day|daytime/night|nighttime midnight/noon "
    "spring/summer/autumn|fall/winter daily/weekly/monthly/yearly|annual|annually "
    "hourly/daily always/never everyone|everybody/nobody everything/nothing birth/death "
    "life/death born/died war/peace friend|friends/enemy|enemies hero/villain beginning/end "
    "majority/minority major/minor single/married single/multiple|several "
    "employer|employers/employee|employees buyer|buyers/seller|sellers landlord/tenant "
    "lender/borrower teacher|teachers/student|students doctor|doctors/patient|patients "
    "interviewer/interviewee sender/receiver|recipient host/guest plaintiff/defendant "
    "male|males/female|females man|men/woman|women boy|boys/girl|girls "
    "he|him|his|himself/she|her|hers|herself boyfriend/girlfriend husband/wife "
    "mother|mom|mum/father|dad brother|brothers/sister|sisters son|sons/daughter|daughters "
    "uncle/aunt nephew/niece king/queen prince/princess actor/actress "
    "grandmother|grandma/grandfather|grandpa bride/groom "
    "dog|dogs|puppy|puppies/cat|cats|kitten|kittens/rabbit|rabbits|bunny|bunnies/horse|horses|pony"
    "/bird|birds|parrot|parrots/fish|goldfish/cow|cows|cattle/pig|pigs/goat|goats/sheep|lamb|lambs"
    "/chicken|chickens|hen|hens/duck|ducks/rat|rats/mouse|mice/squirrel|squirrels/monkey|monkeys"
    "/hamster|hamsters/snake|snakes/lizard|lizards|gecko/turtle|turtles|tortoise/frog|frogs"
    "/spider|spiders/bear|bears/lion|lions/tiger|tigers/wolf|wolves/elephant|elephants/fox|foxes"
    "/deer/lobster|lobsters/ferret|ferrets "
    "head|skull/face/neck/shoulder|shoulders/arm|arms|forearm/elbow|elbows/wrist|wrists/hand|hands"
    "/finger|fingers/thumb|thumbs/chest/breast|breasts/back/spine/stomach|belly|abdomen/hip|hips"
    "/butt|buttocks/leg|legs/thigh|thighs/knee|knees/ankle|ankles/foot|feet/toe|toes/eye|eyes"
    "/ear|ears/nose/mouth/tooth|teeth/tongue/throat/skin/bone|bones/body/heart/lung|lungs"
    "/liver/kidney|kidneys/brain "
    "adult|adults/child|children|kid|kids|baby|babies|toddler|infant optimist/pessimist "
    "introvert|introverts/extrovert|extroverts theist/atheist "
    "liberal|liberals/conservative|conservatives democrat|democrats/republican|republicans "
    "capitalism/communism|socialism vegan/carnivore herbivore/carnivore acid/base "
    "username/password email/password cardiac/renal systolic/diastolic type1/type2 "
    "black/white/red/green/blue/yellow/orange/purple/pink/brown breakfast/lunch/dinner "
    "beginner|beginners/expert|experts|advanced undergraduate/postgraduate debt/equity "
    "long-term/short-term quantitative/qualitative deductive/inductive aerobic/anaerobic "
    "endothermic/exothermic clockwise/counterclockwise|anticlockwise conductor/insulator "
    "proton/electron/neutron vowel/consonant singular/plural noun/verb/adjective/adverb "
    "numerator/denominator odd/even prime/composite concave/convex parallel/perpendicular "
    "hardware/software analog|analogue/digital wired/wireless liquid/solid/gas urban/rural "
    "domestic/international ally/enemy victory/defeat success/failure praise/criticism "
    "hope/despair love/hatred heaven/hell god/devil truth/lie|lies former/latter "
    "past/future/present current|currently/former|formerly"
)

_VOWELS = "aeiou"


def inflect(verb: str) -> tuple[str, ...]:
    """Regular forms of a verb: `stop`, `stops`, `stopped`, `stopping`."""
    if verb.endswith("e"):
        return verb, f"{verb}s", f"{verb}d", f"{verb[:-1]}ing"
    if verb.endswith("y") and verb[-2] not in _VOWELS:
        return verb, f"{verb[:-1]}ies", f"{verb[:-1]}ied", f"{verb}ing"
    tail = verb + verb[-1] if _doubles(verb) else verb
    plural = f"{verb}es" if verb.endswith(("s", "x", "z", "ch", "sh", "ss")) else f"{verb}s"
    return verb, plural, f"{tail}ed", f"{tail}ing"


def _doubles(verb: str) -> bool:
    """True for one short closed syllable (`stop`, `ban`) and the listed stressed endings."""
    if verb in {"permit", "forbid", "unzip", "unwrap"}:
        return True
    vowels = sum(c in _VOWELS for c in verb)
    closed = verb[-1] not in "aeiouwxy" and verb[-2] in _VOWELS and verb[-3:-2] not in _VOWELS
    return vowels == 1 and closed


def _sides(entry: str, *, verbs: bool) -> tuple[frozenset[str], ...]:
    return tuple(
        frozenset(
            form for word in side.split("|") for form in (inflect(word) if verbs else (word,))
        )
        for side in entry.split("/")
    )


CLASSES: tuple[tuple[frozenset[str], ...], ...] = (
    *(_sides(entry, verbs=True) for entry in _VERBS.split()),
    *(
        tuple(frozenset(side.replace("|", " ").split()) for side in entry.split("/"))
        for entry in _IRREGULAR.split(";")
    ),
    *(_sides(entry, verbs=False) for entry in _WORDS.split()),
)
"""Each class is its sides, each side the forms that say it."""
