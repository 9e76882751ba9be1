"""The list of pages; a new one is a module and a line here."""

from typing import Final

from admin_ui.pages import decisions, entries, explain, overview, plain, session

ROUTERS: Final = (
    overview.router,
    decisions.router,
    entries.router,
    explain.router,
    plain.router,
    session.router,
)
