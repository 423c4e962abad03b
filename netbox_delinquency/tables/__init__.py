from .access import *
from .billing import *
from .contract import *
from .plan import *
from .point import *
from .policy import *
from .run import *
from .subscriber import *
