"""Classifiers, which generate nothing: their features and classes judge samples."""

from genjax_zoo.classifiers.convolutional import cross_entropy as cross_entropy
from genjax_zoo.classifiers.convolutional import image_classifier as image_classifier
from genjax_zoo.classifiers.convolutional import sound_classifier as sound_classifier
from genjax_zoo.classifiers.trained import Trained as Trained
from genjax_zoo.classifiers.trained import mnist as mnist
from genjax_zoo.classifiers.trained import spoken_digit as spoken_digit
