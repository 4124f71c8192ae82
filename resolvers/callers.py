"""The one shape of whoever sends a request or acts on its own: from the key ring to the audit log."""

from collections.abc import Sequence
from typing import NamedTuple

from storage.visibility import Viewer
from storage.vocabulary import PrincipalKind


class Caller(NamedTuple):
    """The principal that a key or token belongs to, or a job of the server.

    `visible` are the projects that it reaches (None: all, as an administrator of the instance), `only` the one project
    that its key is bound to. `principal_id` is None for jobs and commands, and for an address that is no principal yet.
    """

    actor: str
    visible: Sequence[str] | None
    request_id: str = ""
    principal_id: str | None = None
    kind: PrincipalKind = PrincipalKind.USER
    may_attest: bool = False
    only: str | None = None

    @property
    def administers(self) -> bool:
        return self.visible is None

    @property
    def viewer(self) -> Viewer:
        # Of a principal the database says itself what it may: this process may not know yet that it lost a right.
        return Viewer(self.principal_id, self.only, self.administers and not self.principal_id)
