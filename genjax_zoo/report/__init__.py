"""Pictures and curves of a run."""

from genjax_zoo.report.curves import save_curves as save_curves
from genjax_zoo.report.maps import save_map as save_map
from genjax_zoo.report.pictures import Pictures as Pictures
from genjax_zoo.report.pictures import save_grid as save_grid
from genjax_zoo.report.pictures import save_samples as save_samples
