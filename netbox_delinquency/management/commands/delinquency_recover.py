from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from redis.exceptions import RedisError

from ...jobs.recovery import recover


class Command(BaseCommand):
    help = (
        'Recover whatever was left behind: lost periodic jobs, runs whose workers died, events that wait. '
        'For cron or a systemd timer, once a minute: it needs no worker to be called.'
    )

    def handle(self, *args, **options):
        try:
            for sentence in recover(timezone.now()):
                self.stdout.write(sentence)
        except RedisError as error:
            raise CommandError(f'there is no Redis, so nothing can be queued: {error}') from error
