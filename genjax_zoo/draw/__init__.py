"""Arrays as pictures, curves, maps and sounds; knows no models."""

from genjax_zoo.draw.curves import read_curves as read_curves
from genjax_zoo.draw.curves import save_curves as save_curves
from genjax_zoo.draw.curves import thinned as thinned
from genjax_zoo.draw.maps import save_map as save_map
from genjax_zoo.draw.pictures import Pictures as Pictures
from genjax_zoo.draw.pictures import save_grid as save_grid
from genjax_zoo.draw.pictures import save_samples as save_samples
from genjax_zoo.draw.sound import RATE as RATE
from genjax_zoo.draw.sound import is_sound as is_sound
from genjax_zoo.draw.sound import read_sound as read_sound
from genjax_zoo.draw.sound import save_sound as save_sound
from genjax_zoo.draw.sound import save_spectrograms as save_spectrograms
from genjax_zoo.draw.sound import waveform as waveform
