"""Names that people type without capitals, and names that say the same thing.

A table only: large countries, cities, peoples, companies, products, languages of people and of
machines. How a text's names are read is told in names.py.
"""

from __future__ import annotations

_NAMES = """
afghanistan albania algeria argentina australia austria bangladesh belgium bolivia brazil bulgaria
cambodia cameroon canada chile china colombia croatia cuba cyprus denmark ecuador egypt england
estonia ethiopia europe finland france germany ghana greece guatemala hungary iceland india
indonesia iran iraq ireland israel italy jamaica japan jordan kazakhstan kenya korea kuwait latvia
lebanon libya lithuania luxembourg malaysia mexico mongolia morocco myanmar nepal netherlands
nicaragua nigeria norway oman pakistan palestine panama paraguay peru philippines poland portugal
qatar romania russia rwanda scotland senegal serbia singapore slovakia slovenia somalia spain
sudan sweden switzerland syria taiwan tanzania thailand tunisia turkey uganda ukraine uruguay
uzbekistan venezuela vietnam wales yemen zambia zimbabwe africa asia antarctica american british
canadian chinese dutch english french german greek hindi indian irish italian japanese korean
latin mexican persian portuguese russian spanish swedish swiss thai turkish ukrainian urdu
vietnamese arabic bengali mandarin cantonese tamil telugu punjabi hebrew muslim muslims christian
christians jewish jews hindu hindus buddhist buddhists islam christianity judaism hinduism
buddhism sikh sikhs amsterdam athens atlanta auckland austin baghdad baltimore bangalore bangkok
barcelona beijing berlin bogota boston brussels budapest burbank cairo calgary charlotte chennai
chicago cincinnati cleveland columbus copenhagen dallas delhi denver detroit dubai dublin
edinburgh edmonton frankfurt geneva glasgow hamburg hanoi helsinki honolulu houston hyderabad
indianapolis islamabad istanbul jakarta jerusalem johannesburg karachi kiev kyiv kolkata lagos
lahore lima lisbon liverpool london madrid manchester manila marseille melbourne memphis miami
milan milwaukee minneapolis montreal moscow mumbai munich nairobi naples nashville newark oakland
orlando osaka oslo ottawa paris philadelphia phoenix pittsburgh prague pune riyadh rome sacramento
santiago seattle seoul shanghai shenzhen stockholm sydney tacoma tampa tehran tokyo toronto
vancouver venice vienna vegas warsaw zurich york francisco antonio diego angeles louis petersburg
ontario alabama alaska arizona arkansas california colorado connecticut florida georgia hawaii
idaho illinois indiana iowa kansas kentucky louisiana maryland massachusetts michigan minnesota
mississippi missouri montana nebraska nevada ohio oklahoma oregon pennsylvania tennessee texas
utah vermont virginia wisconsin wyoming python java javascript typescript kotlin scala haskell
erlang elixir clojure perl php ruby golang fortran cobol matlab julia html css sql mysql postgres
postgresql sqlite mongodb redis cassandra json xml yaml csv toml markdown pdf docx numpy pandas
pytorch tensorflow keras django flask fastapi laravel rails react angular vue svelte nextjs nodejs
jquery bootstrap tailwind docker kubernetes terraform ansible jenkins github gitlab bitbucket git
svn linux ubuntu debian fedora centos windows macos android ios aws azure gcp heroku vercel
netlify microsoft google facebook instagram whatsapp twitter tiktok snapchat youtube netflix
spotify reddit quora linkedin pinterest telegram discord slack skype amazon ebay walmart alibaba
paypal stripe venmo tesla toyota honda nissan bmw audi mercedes volkswagen ford hyundai samsung
iphone ipad macbook nokia sony huawei xiaomi intel nvidia amd oracle ibm sap adobe photoshop excel
powerpoint outlook gmail yahoo bing chrome firefox safari openai chatgpt gpt claude gemini llama
mistral anthropic uber lyft airbnb starbucks mcdonalds nike adidas lufthansa ryanair bitcoin
ethereum dogecoin litecoin mercury venus mars jupiter saturn uranus neptune pluto ibuprofen
paracetamol acetaminophen aspirin amoxicillin metformin insulin
"""
NAMES = frozenset(_NAMES.split())
# What is said behind a town to tell where that is: `San Diego, CA`.
_PLACES = """
usa us uk ca ny tx fl wa nj pa il ga nc mi oh az co ma md mn mo nv or tn ut va wi
india china thailand france germany italy spain england scotland canada australia japan brazil
mexico russia pakistan bangladesh indonesia malaysia singapore philippines vietnam turkey egypt
nigeria kenya ireland netherlands belgium switzerland austria poland portugal greece sweden
norway denmark finland alabama alaska arizona arkansas california colorado connecticut florida
georgia hawaii idaho illinois indiana iowa kansas kentucky louisiana maryland massachusetts
michigan minnesota mississippi missouri montana nebraska nevada ohio oklahoma oregon
pennsylvania tennessee texas utah vermont virginia wisconsin wyoming ontario quebec alberta
manitoba bavaria saxony tuscany catalonia andalusia queensland victoria tasmania assam bihar goa
gujarat haryana karnataka kerala maharashtra odisha punjab rajasthan telangana uttarakhand
"""
PLACES = frozenset(_PLACES.split())

_SAME = """
usa us america american americans states u.s. u.s.a.|uk britain british england english u.k.
france french|spain spanish|netherlands dutch holland|greece greek|switzerland swiss
turkey turkish|poland polish|ireland irish|wales welsh|sweden swedish|denmark danish
finland finnish|thailand thai|nyc york|la angeles|sf francisco|dc washington|vegas lv
js javascript|ts typescript|py python|golang go|postgres postgresql|k8s kubernetes|node nodejs
nextjs next|vue vuejs|react reactjs|mac macos osx os x|aws amazon|fb facebook|insta instagram ig
yt youtube|btc bitcoin|eth ethereum|tylenol acetaminophen paracetamol|vw volkswagen|gpt chatgpt
covid coronavirus corona covid19 sars|ai artificial|ml machine|tv television
muslim muslims islam islamic|christian christians christianity|jew jews jewish judaism
hindu hindus hinduism|buddhist buddhists buddhism|kiev kyiv|bombay mumbai|bangalore bengaluru
madras chennai|calcutta kolkata|burma myanmar|mcdonalds mcdonald|mercedes benz
norway norwegian norwegians|scotland scottish scots scot|japan japanese|china chinese|italy italian
italians|germany german germans|russia russian russians|brazil brazilian|mexico mexican mexicans
portugal portuguese|israel israeli israelis|korea korean koreans|pakistan pakistani pakistanis
iran iranian iranians persian|vietnam vietnamese|indonesia indonesian|philippines filipino filipinos
belgium belgian|austria austrian|hungary hungarian|czech czechia|ukraine ukrainian|peru peruvian
trump donald|hillary hilary clinton|modi narendra|obama barack|putin vladimir|musk elon
apple iphone|apple ipad|apple macbook|apple mac|mac macbook|google gmail|microsoft windows
microsoft excel
microsoft msft|iphone ios|ipad ios|europe eu european|hongkong hk|st saint|mt mount|ft fort
"""


def _groups() -> dict[str, frozenset[str]]:
    """Each name with all that may stand for it; `|` and line ends part the groups."""
    found: dict[str, frozenset[str]] = {}
    for group in _SAME.replace("\n", "|").split("|"):
        forms = frozenset(group.split())
        for form in forms:
            found[form] = found.get(form, frozenset()) | forms
    return found


SAME = _groups()
