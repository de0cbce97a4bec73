"""Model -> Model: what changes a model's data, its conditions or its samplers, without touching its networks.

Each capability says here how it changes. What a wrapper does not know it leaves out, and whoever asks for that reads
the wrapper's name.
"""

from genjax_zoo.wrap.conditions import conditioned as conditioned
from genjax_zoo.wrap.conditions import renamed as renamed
from genjax_zoo.wrap.data import logit_space as logit_space
from genjax_zoo.wrap.data import over_data as over_data
from genjax_zoo.wrap.data import scaled as scaled
from genjax_zoo.wrap.levels import dequantized as dequantized
from genjax_zoo.wrap.state import tempered as tempered
from genjax_zoo.wrap.state import with_memory as with_memory
