"""Times as RFC 3339 writes them, and what people write instead."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.errors import BadUserInput
from schema.scalars import parse_moment

NINE = datetime(2026, 11, 25, 9, tzinfo=UTC)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-25T09:00:00Z", NINE),
        ("2026-11-25t09:00:00z", NINE),
        ("2026-11-25 09:00:00Z", NINE),
        ("2026-11-25T09:00Z", NINE),
        ("2026-11-25T10:00:00+01:00", NINE),
        ("2026-11-25T09:00:00.123456789Z", NINE.replace(microsecond=123456)),
        ("2026-11-25T09:00:00.5-00:00", NINE.replace(microsecond=500_000)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("1990-12-31T15:59:60-08:00", datetime(1991, 1, 1, tzinfo=UTC)),
        ("2026-11-25", datetime(2026, 11, 25, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_it_is_written(text: str, moment: datetime) -> None:
    assert parse_moment(text) == moment


# Away from the ends of the calendar, which an offset could cross.
FIRST, LAST = (datetime.fromisoformat(day) for day in ("0001-01-03", "9999-12-29"))


@given(st.datetimes(FIRST, LAST, timezones=ZONES))
def test_every_moment_is_read_back(moment: datetime) -> None:
    assert parse_moment(moment.isoformat()) == moment


@pytest.mark.parametrize("text", ["2026-11-25T09:00:00", "2026-11-25 09:00", "2026-11-25T09:00:00.5"])
def test_a_local_time_is_refused_with_the_remedy(text: str) -> None:
    problem = f'is "{text}", which has no time zone; add Z for UTC, or an offset such as +01:00.'
    with pytest.raises(BadUserInput, match=re.escape(problem)):
        parse_moment(text)


@pytest.mark.parametrize(
    "text",
    [
        *("25/11/2026", "2026-W48-3", "2026W483", "2026-330", "20261125", "2026-11-25T09", "2026-11-25T09Z", "09:00"),
        *("2026-11-25T0900Z", "2026-11-25T09:00:00+0100", "2026-11-25T09:00:00+01", "2026-11-25T24:00:00Z", "now"),
        *("2026-02-30", "2026-11-25T09:00:61Z", "2026-11-25T09:00:00,5Z", "٢٠٢٦-11-25", "", " 2026-11-25", 20261125),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:60Z", "9" * 1_000),
    ],
)
def test_what_is_no_time_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(BadUserInput, match=r"use RFC 3339, such as 2026-11-25 or 2026-11-25T09:00:00Z\."):
        parse_moment(text)
