"""Settings as the floors below need them."""

from resolvers.terms import Terms
from server.settings import Settings
from storage.sealing import Sealing, key_file


def sealing_of(settings: Settings) -> Sealing:
    return Sealing(settings.secrets_key, key_file(settings.data_dir))


def terms_of(settings: Settings) -> Terms:
    return Terms(
        sealing=sealing_of(settings),
        webhooks_per_project=settings.webhooks_per_project,
        private_webhooks=settings.webhook_private,
        keep_answer_hours=settings.keep_answer_hours,
    )
