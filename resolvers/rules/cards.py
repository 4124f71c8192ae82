"""Model cards: which sections there are, and how complete a card is (product description, "Model Cards").

completeness = written sections / all sections. A section is written when it says something: text that is not empty, a
summary or a table with at least one entry.
"""

from collections.abc import Mapping
from typing import Any

# As the API names them, by the names that they are kept under.
SECTIONS = {
    "description": "description",
    "intended_use": "intendedUse",
    "limitations": "limitations",
    "ethical_considerations": "ethicalConsiderations",
    "training_data_summary": "trainingDataSummary",
    "performance_by_segment": "performanceBySegment",
}

Card = Mapping[str, Any]


def missing_sections(card: Card) -> list[str]:
    return [shown for name, shown in SECTIONS.items() if not card.get(name)]


def completeness(card: Card) -> float:
    """From 0 to 1."""
    return (len(SECTIONS) - len(missing_sections(card))) / len(SECTIONS)


def changed_sections(before: Card, after: Card) -> list[str]:
    return [shown for name, shown in SECTIONS.items() if before.get(name) != after.get(name)]
