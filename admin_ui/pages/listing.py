"""The list of pages; a new one is a module and a line here."""

from typing import Final

from admin_ui.pages import (
    categories,
    decisions,
    entries,
    explain,
    health,
    overview,
    policy,
    reference,
    review,
    session,
)

ROUTERS: Final = (
    overview.router,
    categories.router,
    decisions.router,
    entries.router,
    explain.router,
    health.router,
    policy.router,
    review.router,
    reference.router,
    session.router,
)
