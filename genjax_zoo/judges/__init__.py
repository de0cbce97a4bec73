"""Classifiers, which generate nothing: their features and classes judge samples."""

from genjax_zoo.judges.convolutional import cross_entropy as cross_entropy
from genjax_zoo.judges.convolutional import image_classifier as image_classifier
from genjax_zoo.judges.convolutional import sound_classifier as sound_classifier
from genjax_zoo.judges.trained import Trained as Trained
from genjax_zoo.judges.trained import mnist as mnist
from genjax_zoo.judges.trained import spoken_digit as spoken_digit
