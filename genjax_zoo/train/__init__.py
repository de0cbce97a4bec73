"""Training: one step body, three ways to shard it, one loop, one checkpoint."""

from genjax_zoo.train.health import collapsed as collapsed
from genjax_zoo.train.health import critic_wins as critic_wins
from genjax_zoo.train.health import steep as steep
from genjax_zoo.train.parallel import parallelize as parallelize
from genjax_zoo.train.parallel import place as place
from genjax_zoo.train.step import create_state as create_state
from genjax_zoo.train.step import eval_variables as eval_variables
from genjax_zoo.train.step import make_step as make_step
from genjax_zoo.train.step import make_steps as make_steps
