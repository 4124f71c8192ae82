"""Phrases that a reader must never meet, each with what to write instead. They are looked for in descriptions of the
schema, and can be looked for in refusals, in help, in documents and in comments as well."""

import re
from typing import NamedTuple


class Banned(NamedTuple):
    """A phrase as a regular expression, what to write instead, and a sentence that it stands in."""

    phrase: str
    instead: str
    example: str


class Breach(NamedTuple):
    found: str
    instead: str


BANNED = [
    Banned(r"\babsent: ", "Generated if omitted. Default: true.", "Its id; absent: one is made."),
    Banned(
        r"\bshall (have|be|stop|reach|change|no longer|administer|look)\b", "will, is, to assign", "It shall have it."
    ),
    Banned(r"\bis to be\b", "will be, must be", "The version that is to be deployed."),
    Banned(r"\b(is|are|was|were) answered\b|\bthat is answered\b", "returned", "The list is answered in that order."),
    Banned(r"\banswers? (the|a|with|by|to|for|in|null)\b", "returns", "A route that answers the card."),
    Banned(r"\bfor ever\b", "permanently; cannot be undone", "It has gone back, for ever."),
    Banned(r"\bby commas\b", "comma-separated", "The tags, parted by commas."),
    Banned(
        r"\b(for|by|as|of|with|from|to|only|not|and|or) who (is|are|has|have|may|registered|administers|asks|made)\b",
        "the person who, a caller who",
        "FORBIDDEN for who is no reviewer.",
    ),
    Banned(
        r"^Who (asks|decided|did|made|approved|wrote|reported|registered)\b", "the person's address", "Who made it."
    ),
    Banned(r"\bm(ake|akes|ade) (it |them |[\w' ]{0,20})?known\b", "register", "Make a data set known."),
    Banned(r"\b(to|is|was) made? known\b", "register", "A data set that is made known."),
    Banned(
        r"\b(time|grace|key|request|session|deadline) is over\b", "has expired, is closed", "When its time is over."
    ),
    Banned(r"\b(is|are|be) taken (as|beside)\b|\btaken beside\b", "accepted alongside", "It is taken beside the key."),
    Banned(r"\bstands? by\b", "applies to, is combined with", "It does not stand by createApiKey."),
    Banned(
        r"\b(goes|go|going|gone) on( by itself)?\b", "advances, continues, resumes", "How a canary goes on by itself."
    ),
    Banned(r"\bby itself\b", "automatically", "When it stops by itself."),
    Banned(r"\bolder picture\b", "stale view", "The caller has an older picture of it."),
    Banned(
        r", or no longer\b|\bor no longer\.", "grant or revoke", "Let somebody administer the instance, or no longer."
    ),
    Banned(r"\bsay how \w+ \w+ does\b|\bhow (a|the|this) \w+ does\b", "health", "Say how a deployment does."),
    Banned(r"\bnobody looks\b", "not checked", "Nobody looks."),
    Banned(r"\bdoes not like\b", "violates", "What becomes of what a rule does not like."),
    Banned(r"\bwhat (became|becomes) of\b", "status, result", "What became of a request."),
    Banned(r"^(What (by|for|asks)|Which way|What to write)\.", "sort key, role, kind, direction, input", "What by."),
    Banned(r"\bspoil(s|t|ed)?\b", "invalidates", "A change of the card spoils an approval."),
    Banned(r"\bkeeps? house\b", "runs background jobs", "The process that keeps house."),
    Banned(r"\bwhere (it|there) (is|are) (none|nobody|no such)\b", "if there is none", "Null where there is none."),
    Banned(r"\bis no longer so\b", "does not match", "CONFLICT where `expectedRevision` is no longer so."),
    Banned(r"\b(is|are) against it\b", "prevents it", "GATE_FAILED where the facts are against it."),
    Banned(r"\bholds? together\b", "match all", "All given conditions hold together."),
    Banned(r"\bthe (weightiest|least) first\b", "most significant first", "Why, the weightiest first."),
    Banned(r"\bsomebody('s)?\b", "a person, a principal", "Give somebody a role."),
    Banned(r"\banew\b", "again", "Its stage begins anew."),
    Banned(r"\bbeside (it|the|a|an|each|this|that|`)", "alongside, in addition to", "Not beside `first`."),
    Banned(r"\bwhen it comes to it\b", "if it happens", "Kept in the history when it comes to it."),
    Banned(r"\bmay (what|as)\b", "has the rights of", "Each role may what those before it may."),
    Banned(r"\bthat there (is|are) not\b", "that does not exist", "Null for each that there is not."),
    Banned(r"\bone's own\b", "the caller's own", "A request back: one's own, or any."),
    Banned(r"\bput in line\b", "queued", "What `replayDelivery` put in line."),
    Banned(r"\bdeserves a look\b", "warning", "What was accepted but deserves a look."),
    Banned(
        r"\bas given\b|\bwhere (it was|they were|one was) (given|stated)\b", "if registered", "The settings, as given."
    ),
    Banned(
        r"(?-i:<[a-z_.]+ object at|\bNone\b|(?<!^)(?<!\. )\b(True|False)\b)",
        "null, true, false",
        "The version is None.",
    ),
]


def breaches(text: str) -> list[Breach]:
    """The banned phrases in a text, each with what to write instead."""
    searched = ((re.search(each.phrase, text, re.IGNORECASE), each) for each in BANNED)
    return [Breach(match[0], each.instead) for match, each in searched if match]
