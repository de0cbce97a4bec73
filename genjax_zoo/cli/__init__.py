"""The command line: one command, one file, its help beside its body.

Nothing here imports jax or numpy before a command runs, so that --help answers at once.
"""

from genjax_zoo.cli.entry import command as command
from genjax_zoo.cli.entry import console as console
from genjax_zoo.cli.entry import main as main
