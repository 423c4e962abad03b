from django.utils.translation import gettext_lazy as _
from netbox.ui.panels import JSONPanel
from utilities.query import count_related
from utilities.views import register_model_view

from ..models import Contract, DelinquencyPolicy, GraceRule, PolicyStage
from ..ui import panels
from ..ui.base import page, table_of
from .base import DetailView, register_crud
from .ladder_pages import PreviewedDeleteView, PreviewedEditView

PREVIEWED = {'Edit': PreviewedEditView, 'Delete': PreviewedDeleteView}


@register_model_view(DelinquencyPolicy)
class DelinquencyPolicyView(DetailView):
    queryset = DelinquencyPolicy.objects.all()
    layout = page(
        panels.PolicyPanel(),
        panels.PolicyLawPanel(),
        right=(panels.PolicyCalendarPanel(), JSONPanel('articles', title=_('Articles'))),
        bottom=(
            table_of('policystage', 'policy_id', add='policy', exclude=('policy',)),
            table_of('gracerule', 'policy_id', add='policy', exclude=('policy',)),
            table_of('contract', 'policy_id', add='policy', exclude=('policy',)),
        ),
    )


@register_model_view(GraceRule)
class GraceRuleView(DetailView):
    queryset = GraceRule.objects.all()
    layout = page(panels.GraceRulePanel(), comments=False)


@register_model_view(PolicyStage)
class PolicyStageView(DetailView):
    queryset = PolicyStage.objects.all()
    layout = page(
        panels.StagePanel(),
        under=('policy',),
        bottom=(table_of('contract', 'stage_id', exclude=('stage',)),),
        comments=False,
    )


__all__ = (
    'DelinquencyPolicyView',
    'GraceRuleView',
    'PolicyStageView',
    *register_crud(
        __name__,
        DelinquencyPolicy,
        DelinquencyPolicy.objects.annotate(
            stage_count=count_related(PolicyStage, 'policy'), contract_count=count_related(Contract, 'policy')
        ),
        bases={'Edit': PreviewedEditView},
    ),
    *register_crud(__name__, PolicyStage, bases=PREVIEWED),
    *register_crud(__name__, GraceRule, bases=PREVIEWED),
)
