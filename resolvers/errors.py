"""Refusals: a class for each kind, a sentence for people, `extensions` for programs. Any other error is a defect."""

from typing import Any


class Refusal(Exception):
    """An error that is shown to the caller. `code` is stable; `facts` are in the error's extensions next to it."""

    code = "INTERNAL"

    def __init__(self, sentence: str, **facts: Any):
        super().__init__(sentence)
        self.facts = facts

    @property
    def extensions(self) -> dict[str, Any]:
        return {"code": self.code} | self.facts


class BadUserInput(Refusal):
    """A value that is not accepted; `field` names it."""

    code = "BAD_USER_INPUT"

    def __init__(self, field: str, problem: str, **facts: Any):
        super().__init__(f"{field} {problem}", field=field, **facts)
        self.problem = problem


# Objects that a caller sees only with a role in their project, with the place where that role is needed.
GUARDED = {"project": "it", "principal": "", "member": "", "key": ""}
CHECK = "Check the id, or ask an ADMIN of the project for a role with setMember."


class NotFound(Refusal):
    """The object does not exist or the caller may not see it. The refusal is the same."""

    code = "NOT_FOUND"

    def __init__(self, noun: str, id_: str, field: str, where: str = "", *, remedy: str = CHECK, **facts: Any):
        guarded = "" if where else GUARDED.get(noun, "its project")
        advice = f", or your key has no role in {guarded}. {remedy}" if guarded else "."
        super().__init__(f"There is no {noun} {id_}{where and f' {where}'}{advice}", field=field, id=id_, **facts)


class AlreadyExists(Refusal):
    code = "ALREADY_EXISTS"


class Conflict(Refusal):
    """The state is not the one that the caller expected."""

    code = "CONFLICT"


class IllegalTransition(Refusal):
    code = "ILLEGAL_TRANSITION"


class ApprovalRequired(Refusal):
    """A step without enough approvals. `reason` is a stable word for the problem."""

    code = "APPROVAL_REQUIRED"


class GateFailed(Refusal):
    """A step that the project's policy or the facts do not allow; `gates` lists the failed gates and their reasons."""

    code = "GATE_FAILED"


class VersionMismatch(Refusal):
    """A version number that declares less than what changed, under a policy that enforces it."""

    code = "VERSION_MISMATCH"


class Forbidden(Refusal):
    code = "FORBIDDEN"


class QueryTooComplex(Refusal):
    code = "QUERY_TOO_COMPLEX"


class AnswerTooLarge(QueryTooComplex):
    """The response exceeds the limit in bytes. Detected while it is produced."""

    def __init__(self, most_bytes: int, advice: str = "Request fewer entries or fields", **facts: Any):
        super().__init__(
            f"The answer exceeds the limit of {most_bytes} bytes. {advice}, or split the operation.",
            what="bytes",
            limit=most_bytes,
            **facts,
        )
        self.most_bytes = most_bytes


class RateLimited(Refusal):
    """The caller has exceeded its share; it may try again after `retry_after` seconds."""

    code = "RATE_LIMITED"

    def __init__(self, sentence: str, retry_after: int, **facts: Any):
        super().__init__(sentence, retryAfter=retry_after, **facts)
        self.retry_after = retry_after


class Unavailable(Refusal):
    """Temporarily unavailable. The caller may try again after `retry_after` seconds. None if a blind retry could do
    harm."""

    code = "UNAVAILABLE"

    def __init__(self, sentence: str, retry_after: int | None = 1):
        super().__init__(sentence, **({} if retry_after is None else {"retryAfter": retry_after}))
        self.retry_after = retry_after
