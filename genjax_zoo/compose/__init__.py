"""Models made of models."""

from genjax_zoo.compose.flows import pushed as pushed
from genjax_zoo.compose.latents import parts_of as parts_of
from genjax_zoo.compose.latents import variational as variational
from genjax_zoo.compose.parts import critic_of as critic_of
from genjax_zoo.compose.parts import distribution as distribution
from genjax_zoo.compose.parts import gaussian as gaussian
from genjax_zoo.compose.parts import observed as observed
from genjax_zoo.compose.parts import read_off as read_off
from genjax_zoo.compose.parts import shared as shared
from genjax_zoo.compose.trees import Merged as Merged
from genjax_zoo.compose.trees import frozen as frozen
from genjax_zoo.compose.trees import merge as merge
from genjax_zoo.compose.trees import only as only
from genjax_zoo.compose.trees import over_variables as over_variables
from genjax_zoo.compose.trees import scope as scope
from genjax_zoo.compose.trees import union as union
from genjax_zoo.compose.trees import with_network as with_network
