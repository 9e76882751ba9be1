"""Each category's policy, what would-be hits looked like, and another threshold."""

from typing import Any

from admin_ui.api.asking import Asked, routes

router = routes("categories")


@router.get("/categories", summary="Each category's policy in force and usage")
async def categories(console: Asked) -> list[dict[str, Any]]:
    return await console.categories()
