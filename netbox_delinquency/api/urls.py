from django.urls import path
from netbox.api.routers import NetBoxRouter

from . import views
from .webhooks import WebhookView

app_name = 'netbox_delinquency-api'

router = NetBoxRouter()
router.APIRootView = views.DelinquencyRootView
router.register('subscribers', views.SubscriberViewSet)
router.register('plans', views.ServicePlanViewSet)
router.register('contracts', views.ContractViewSet)
router.register('access-lines', views.AccessLineViewSet)
router.register('enforcement-points', views.EnforcementPointViewSet)
router.register('policies', views.DelinquencyPolicyViewSet)
router.register('policy-stages', views.PolicyStageViewSet)
router.register('runs', views.EnforcementRunViewSet)
router.register('changes', views.EnforcementChangeViewSet)
router.register('restrictions', views.RestrictionViewSet)
router.register('billing-sources', views.BillingSourceViewSet)
router.register('billing-events', views.BillingEventViewSet)
router.register('calendars', views.CalendarViewSet)
router.register('calendar-dates', views.CalendarDateViewSet)
router.register('notices', views.NoticeViewSet)
router.register('holds', views.HoldViewSet)
router.register('grace-rules', views.GraceRuleViewSet)
router.register('plan-change-orders', views.PlanChangeOrderViewSet)

# There is one row: it has no list, and is neither added nor deleted.
settings = views.EnforcementSettingsViewSet.as_view({'get': 'retrieve', 'patch': 'partial_update'})

urlpatterns = [
    path('settings/', settings, {'pk': 1}, name='enforcementsettings-list'),
    path('settings/<int:pk>/', settings, name='enforcementsettings-detail'),
    path('webhooks/<slug:slug>/', WebhookView.as_view(), name='webhook'),
    *router.urls,
]
