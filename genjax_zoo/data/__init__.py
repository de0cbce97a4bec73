"""Data: named protocols whose batches are a pure function of (seed, step)."""

from genjax_zoo.data.named import PROTOCOLS as PROTOCOLS
from genjax_zoo.data.named import images as images
from genjax_zoo.data.resident import Resident as Resident
