"""The caller of a request, or a job of the server, as every layer from the key ring to the audit log knows it."""

from collections.abc import Sequence
from typing import NamedTuple

from storage.visibility import Viewer
from storage.vocabulary import PrincipalKind


class Caller(NamedTuple):
    """The principal that a key or token belongs to, or a job of the server.

    `visible` are the projects that it can access (None: all, as an administrator of the instance). `only` is the
    project that its key is bound to. `principal_id` is None for jobs and commands, and for an address without a
    principal.
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
        # The database looks up a principal's rights itself: this process may not know yet that one was revoked.
        return Viewer(self.principal_id, self.only, self.administers and not self.principal_id)
