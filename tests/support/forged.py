"""Events as somebody with the credentials of the app's role can forge them."""

import secrets
from typing import Any

from storage.audit import canonical

APPEND = "SELECT audit_append($1, ARRAY[$2])"


def event(
    action: str, subject: str, project: str | None = None, after: Any = None, before: Any = None, **more: Any
) -> str:
    """An event as whoever holds the app's role can forge one, in somebody's name."""
    told: dict[str, Any] = {"id": f"evt_{secrets.token_hex(8)}", "action": action, "actor": "ana@example.com"}
    told |= {"subjectId": subject, "projectId": project, "notes": None, "requestId": "r"}
    told["details"] = {"before": before, "after": after}
    return canonical(told | more)
