from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q
from django.http import QueryDict

from netbox_delinquency.errors import RunRefusedError
from netbox_delinquency.filtersets import AccessLineFilterSet
from netbox_delinquency.models import AccessLine, EnforcementPoint
from netbox_delinquency.runs.reconcile import Report, points_to_read, reconcile_point
from netbox_delinquency.workflow import start_restores


class Command(BaseCommand):
    help = 'Read lines back and say where they are not as intended; what has less than it should is restored.'

    def add_arguments(self, parser):
        parser.add_argument('--point', action='append', metavar='NAME', help='only at this point; may be repeated')
        parser.add_argument(
            '--filter', action='append', default=[], metavar='NAME=VALUE', help='only lines that this filter finds'
        )
        parser.add_argument('--percent', type=int, help='only so many percent of each point, longest unseen first')

    def handle(self, *args, **options):
        if options['percent'] is not None and not 1 <= options['percent'] <= 100:
            raise CommandError('--percent is 1 to 100')
        points, lines = self.points(options['point']), self.lines(options['filter'])
        if lines is not None:
            at_either = Q(bras_lines__in=lines) | Q(acs_lines__in=lines)
            points = points.filter(pk__in=EnforcementPoint.objects.filter(at_either).values('pk'))
        total = Report()
        for point in points.order_by('name'):
            try:
                report = reconcile_point(point, percent=options['percent'], lines=lines)
            except RunRefusedError as error:
                self.stderr.write(str(error))
                continue
            self.stdout.write(f'{point}: {report}')
            for line, problem in report.errors:
                self.stderr.write(f'  {line}: {problem}')
            total += report
        self.stdout.write(f'all: {total}')
        for run in start_restores(total):
            self.stdout.write(f'restoring: {run}')

    def points(self, names):
        if names is None:
            return points_to_read()
        points = EnforcementPoint.objects.filter(name__in=names)
        if unknown := set(names) - set(points.values_list('name', flat=True)):
            raise CommandError(f'there is no enforcement point {", ".join(sorted(unknown))}')
        return points

    def lines(self, filters):
        """Primary keys of the lines that the filters find; `None` without any."""
        if not filters:
            return None
        data = QueryDict(mutable=True)
        for text in filters:
            name, separator, value = text.partition('=')
            if not separator or name not in AccessLineFilterSet.get_filters():
                raise CommandError(f'"{text}" is no NAME=VALUE with the name of a filter of access lines')
            data.appendlist(name, value)
        found = AccessLineFilterSet(data, AccessLine.objects.all())
        if not found.is_valid():
            raise CommandError(f'filters: {dict(found.errors)}')
        return list(found.qs.order_by().values_list('pk', flat=True))
