"""What those who restrict by hand, or an ERP of theirs, call it: names by which another's block is known."""

# Compared without regard to case; a driver's parameters begin with them.
USUAL_NAMES = (
    'bloqueado', 'bloqueados', 'bloqueio', 'bloqueada', 'inadimplente', 'inadimplentes', 'inadimplencia', 'suspenso',
    'suspensos', 'suspendido', 'suspendidos', 'cortado', 'cortados', 'corte', 'reduzido', 'blocked', 'suspended',
)  # fmt: skip
