"""What each detail page says of its object."""

from .access import *
from .billing import *
from .calendar import *
from .contract import *
from .hold import *
from .notice import *
from .plan import *
from .point import *
from .policy import *
from .restriction import *
from .run import *
from .settings import *
from .subscriber import *
