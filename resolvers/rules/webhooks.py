"""The status of a delivery after an attempt.

2xx means that it was delivered, 410 (Gone) that it has failed. After any other result it is tried again, after 5 and 30
seconds, 2, 10 and 30 minutes, 2, 6 and 12 hours. It has failed with the ninth attempt, some 20 hours after the event.
"""

from typing import NamedTuple

from storage.vocabulary import DeliveryStatus

WAITS = (5.0, 30.0, 120.0, 600.0, 1_800.0, 7_200.0, 21_600.0, 43_200.0)
GONE = 410


class AttemptResult(NamedTuple):
    """`wait` is how long until the next attempt, in seconds."""

    status: DeliveryStatus
    response_status: int | None
    error: str | None
    wait: float

    @property
    def is_success(self) -> bool:
        return self.status is DeliveryStatus.DELIVERED


def result_of(status: int | None, error: str | None, attempts: int) -> AttemptResult:
    if status is not None and 200 <= status < 300:
        return AttemptResult(DeliveryStatus.DELIVERED, status, None, 0)
    sentence = error or _sentence(status)
    if status == GONE or attempts > len(WAITS):
        return AttemptResult(DeliveryStatus.FAILED, status, sentence, 0)
    return AttemptResult(DeliveryStatus.PENDING, status, sentence, WAITS[attempts - 1])


def _sentence(status: int | None) -> str:
    if status is not None and 300 <= status < 400:
        return f"Answered {status}; redirects are not followed."
    return f"Answered {status}."
