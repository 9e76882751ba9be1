"""The policy: in force, as written, checked, tried on past requests, applied, rolled back."""

from typing import Any

from admin_ui.api.asking import Asked, routes

router = routes("policy")


@router.get("/policy", summary="The policy in force")
async def policy(console: Asked) -> dict[str, Any]:
    return await console.policy()
