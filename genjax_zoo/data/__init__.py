"""Data: named protocols whose batches are a pure function of (seed, step)."""

from genjax_zoo.data.arrays import from_arrays as from_arrays
from genjax_zoo.data.builders import prepared as prepared
from genjax_zoo.data.named import PROTOCOLS as PROTOCOLS
from genjax_zoo.data.named import Protocol as Protocol
from genjax_zoo.data.named import load as load
from genjax_zoo.data.named import reloaded as reloaded
from genjax_zoo.data.places import folder as folder
from genjax_zoo.data.points import log_density as log_density
from genjax_zoo.data.points import mixture as mixture
from genjax_zoo.data.record import NOTHING as NOTHING
from genjax_zoo.data.record import Kept as Kept
from genjax_zoo.data.record import changes as changes
from genjax_zoo.data.record import described as described
from genjax_zoo.data.record import examples as examples
from genjax_zoo.data.record import looking as looking
from genjax_zoo.data.record import recorded as recorded
from genjax_zoo.data.resident import Origin as Origin
from genjax_zoo.data.resident import Resident as Resident
from genjax_zoo.data.resident import Streamed as Streamed
from genjax_zoo.data.store import Mapped as Mapped
from genjax_zoo.data.transforms import binarize as binarize
from genjax_zoo.data.transforms import dequantize as dequantize
from genjax_zoo.data.transforms import logit as logit
from genjax_zoo.data.transforms import scale as scale
from genjax_zoo.data.transforms import shifted as shifted
from genjax_zoo.data.transforms import uniform as uniform
