"""The types everything is written in: Model and its capabilities, Player, TrainState, Experiment.

A Model is a bundle of pure functions. A Player weighs named per-example terms and writes only the networks it owns.
One train step lets the players take turns. An Experiment is a model, its players and their data.

Frozen dataclasses hold behaviour, NamedTuples hold arrays; the two never mix. Whatever reads variables has one
signature, (variables, ..., *, train=False) -> (value, variables): so all that is public can be trained through, and
what changes variables alone (a scope, a frozen model, a precision) is one fold over everything; see `compose`.
"""

from genjax_zoo.core.compiled import compiled as compiled
from genjax_zoo.core.experiments import Alarm as Alarm
from genjax_zoo.core.experiments import Data as Data
from genjax_zoo.core.experiments import Eval as Eval
from genjax_zoo.core.experiments import Experiment as Experiment
from genjax_zoo.core.experiments import Player as Player
from genjax_zoo.core.experiments import TrainState as TrainState
from genjax_zoo.core.models import CAPABILITIES as CAPABILITIES
from genjax_zoo.core.models import Conditionals as Conditionals
from genjax_zoo.core.models import Critic as Critic
from genjax_zoo.core.models import Density as Density
from genjax_zoo.core.models import Judge as Judge
from genjax_zoo.core.models import Latent as Latent
from genjax_zoo.core.models import Model as Model
from genjax_zoo.core.models import Sampler as Sampler
from genjax_zoo.core.models import factory as factory
from genjax_zoo.core.models import if_there as if_there
from genjax_zoo.core.models import levels_of as levels_of
from genjax_zoo.core.models import log_prob as log_prob
from genjax_zoo.core.models import part as part
from genjax_zoo.core.models import require as require
from genjax_zoo.core.models import stated_support as stated_support
from genjax_zoo.core.types import CONTEXT as CONTEXT
from genjax_zoo.core.types import DROPOUT as DROPOUT
from genjax_zoo.core.types import FROZEN as FROZEN
from genjax_zoo.core.types import MEMORY as MEMORY
from genjax_zoo.core.types import MORE as MORE
from genjax_zoo.core.types import NETWORK as NETWORK
from genjax_zoo.core.types import NO_CONDITION as NO_CONDITION
from genjax_zoo.core.types import OBSERVATION as OBSERVATION
from genjax_zoo.core.types import PRIOR as PRIOR
from genjax_zoo.core.types import SCORE as SCORE
from genjax_zoo.core.types import SOURCE as SOURCE
from genjax_zoo.core.types import TURNS as TURNS
from genjax_zoo.core.types import Array as Array
from genjax_zoo.core.types import Batch as Batch
from genjax_zoo.core.types import Card as Card
from genjax_zoo.core.types import Explained as Explained
from genjax_zoo.core.types import FromBatch as FromBatch
from genjax_zoo.core.types import Key as Key
from genjax_zoo.core.types import Levels as Levels
from genjax_zoo.core.types import Of as Of
from genjax_zoo.core.types import PyTree as PyTree
from genjax_zoo.core.types import Spec as Spec
from genjax_zoo.core.types import TermFn as TermFn
from genjax_zoo.core.types import Terms as Terms
from genjax_zoo.core.types import Unit as Unit
from genjax_zoo.core.types import Variables as Variables
from genjax_zoo.core.types import aside as aside
from genjax_zoo.core.types import behaviour as behaviour
from genjax_zoo.core.types import conditions as conditions
from genjax_zoo.core.types import dimensions as dimensions
from genjax_zoo.core.types import formulas as formulas
from genjax_zoo.core.types import likelihood as likelihood
from genjax_zoo.core.types import likelihood_names as likelihood_names
from genjax_zoo.core.types import networks as networks
from genjax_zoo.core.types import total as total
from genjax_zoo.core.types import unit_of as unit_of
