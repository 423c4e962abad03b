from django.core.management.base import BaseCommand, CommandError

from nornir_tasks.cpes import list_cpes
from nornir_tasks.errors import EnforcementError

from ...cpe.matching import match_cpes
from ...models import EnforcementPoint


class Command(BaseCommand):
    help = "Match an ACS's devices to access lines by serial number, and fill in their CWMP IDs. Run it on a worker."

    def add_arguments(self, parser):
        parser.add_argument('point', help='Name of the enforcement point of the ACS')

    def handle(self, *args, **options):
        point = EnforcementPoint.objects.filter(name=options['point']).first()
        if point is None:
            raise CommandError(f'there is no enforcement point "{options["point"]}"')
        try:
            report = match_cpes(point, list_cpes(point.as_point()))
        except EnforcementError as error:
            raise CommandError(str(error)) from error
        for match in report.filled:
            self.stdout.write(f'filled {match.name}: {match.device}')
        for kind in ('ambiguous', 'unmatched'):
            for match in getattr(report, kind):
                self.stdout.write(f'{kind} {match.name or match.device} ({match.serial}): {match.reason}')
        counts = f'{len(report.filled)} filled, {report.known} known, {len(report.ambiguous)} ambiguous'
        self.stdout.write(f'{report.devices} devices at the ACS: {counts}, {len(report.unmatched)} unmatched')
