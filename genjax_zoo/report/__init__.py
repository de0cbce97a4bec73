"""Pictures, curves and sounds of a run, and the page that shows them."""

from genjax_zoo.report.curves import read_curves as read_curves
from genjax_zoo.report.curves import save_curves as save_curves
from genjax_zoo.report.curves import thinned as thinned
from genjax_zoo.report.maps import save_map as save_map
from genjax_zoo.report.pictures import Pictures as Pictures
from genjax_zoo.report.pictures import save_grid as save_grid
from genjax_zoo.report.pictures import save_samples as save_samples
from genjax_zoo.report.sound import RATE as RATE
from genjax_zoo.report.sound import is_sound as is_sound
from genjax_zoo.report.sound import read_sound as read_sound
from genjax_zoo.report.sound import save_sound as save_sound
from genjax_zoo.report.sound import save_spectrograms as save_spectrograms
from genjax_zoo.report.sound import waveform as waveform
