"""The list of pages; a new one is a module and a line here."""

from typing import Final

from admin_ui.pages import (
    categories,
    decisions,
    entries,
    explain,
    overview,
    plain,
    policy,
    review,
    session,
)

ROUTERS: Final = (
    overview.router,
    categories.router,
    decisions.router,
    entries.router,
    explain.router,
    policy.router,
    review.router,
    plain.router,
    session.router,
)
