from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from ...models import Calendar, DelinquencyPolicy
from ...policy.apply_preset import create_policy, differences
from ...policy.presets import PresetError, load_preset, load_presets


class Command(BaseCommand):
    help = 'List the presets, make a policy from one, or show where policies differ from the preset they came from.'

    def add_arguments(self, parser):
        parser.add_argument('preset', nargs='?', help='Make a policy from this preset')
        parser.add_argument('--name', default='', help="The policy's name (the preset's)")
        parser.add_argument('--calendar', help='Name of the calendar of its contracts')
        parser.add_argument('--diff', action='store_true', help='Only compare; exit with 1 where something differs')

    def handle(self, *args, **options):
        if options['diff']:
            return self.compare()
        if not options['preset']:
            for preset in load_presets():
                self.stdout.write(f'{preset.slug} {preset.version}: {preset.title}')
            return None
        calendar = None
        if options['calendar']:
            calendar = Calendar.objects.filter(name=options['calendar']).first()
            if calendar is None:
                raise CommandError(f'there is no calendar "{options["calendar"]}": create it first')
        try:
            policy = create_policy(load_preset(options['preset']), calendar, options['name'])
        except PresetError as error:
            raise CommandError(str(error)) from error
        except ValidationError as error:
            raise CommandError(' '.join(error.messages)) from error
        self.stdout.write(f'policy "{policy}" was made with {policy.stages.count()} stages')
        return None

    def compare(self):
        differ = False
        for policy in DelinquencyPolicy.objects.exclude(preset=''):
            for found in differences(policy, load_preset(policy.preset)):
                differ = True
                self.stdout.write(f'{policy}: {found.field}: {found.policy} -> {found.preset}')
        if differ:
            raise CommandError('policies differ from their presets; nothing was changed', returncode=1)
