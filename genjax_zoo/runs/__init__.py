"""A run folder: what made it, how to go on, and how to read it back.

config.json      experiment, flags, every start's versions and commit: written before the first step
experiment.py    a copy of the experiment's file, so that the run outlives changes to it; modules/ of those beside it
checkpoints/     the latest two, and the best
metrics.jsonl    curves.png   samples.png   reconstructions.png   pictures/
report.html      the page about it, which `genjax-zoo report` writes; page/ holds what was drawn for it
"""

from genjax_zoo.runs.building import Make as Make
from genjax_zoo.runs.building import at_pace as at_pace
from genjax_zoo.runs.building import build as build
from genjax_zoo.runs.building import check as check
from genjax_zoo.runs.building import check_heard as check_heard
from genjax_zoo.runs.building import flags_at_default as flags_at_default
from genjax_zoo.runs.building import in_precision as in_precision
from genjax_zoo.runs.building import load_experiment as load_experiment
from genjax_zoo.runs.building import parameters as parameters
from genjax_zoo.runs.fitting import Result as Result
from genjax_zoo.runs.fitting import at_home as at_home
from genjax_zoo.runs.fitting import fit as fit
from genjax_zoo.runs.fitting import rebuild_last as rebuild_last
from genjax_zoo.runs.fitting import rehearse as rehearse
from genjax_zoo.runs.fitting import run_and_checkpoint as run_and_checkpoint
from genjax_zoo.runs.folder import CONFIG as CONFIG
from genjax_zoo.runs.folder import check_run as check_run
from genjax_zoo.runs.folder import clear_run as clear_run
from genjax_zoo.runs.folder import only_trainer as only_trainer
from genjax_zoo.runs.folder import open_run as open_run
from genjax_zoo.runs.folder import provenance as provenance
from genjax_zoo.runs.folder import read_config as read_config
from genjax_zoo.runs.folder import write_run as write_run
from genjax_zoo.runs.made import create_state_of as create_state_of
from genjax_zoo.runs.naming import name_of as name_of
from genjax_zoo.runs.restored import Restored as Restored
from genjax_zoo.runs.restored import describe_data as describe_data
from genjax_zoo.runs.restored import experiment_of as experiment_of
from genjax_zoo.runs.restored import restore as restore
from genjax_zoo.runs.trust import check_trusted as check_trusted
