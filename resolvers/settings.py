"""The settings that mutations need."""

from dataclasses import dataclass, field
from pathlib import Path

from storage.sealing import Sealing


@dataclass(frozen=True)
class MutationSettings:
    sealing: Sealing = field(default_factory=lambda: Sealing("", Path("secrets-key")))
    webhooks_per_project: int = 20
    private_webhooks: bool = False
    keep_answer_hours: int = 24
