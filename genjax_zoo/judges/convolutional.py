"""A small convolutional classifier, whose features judge samples where no Inception network is at hand."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import optax

from genjax_zoo.core import Array, Batch, Explained, Judge, Key, Model, Terms, Variables, factory, require
from genjax_zoo.errors import UserError
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.math import mu_law_inverse, spectrogram
from genjax_zoo.nn import Conv, batch_norm

View = Callable[[Array], Array]  # x [B, ...] -> images [B, H, W, C], about [0, 1]


class Convolutions(nn.Module):
    """Convolutions of 3x3 with batch norm, the features, and the logits of the classes."""

    widths: tuple[int, ...]
    strides: tuple[int, ...]
    features: int
    classes: int
    dropout: float

    @nn.compact
    def __call__(self, x: Array, key: Key | None = None, train: bool = False) -> tuple[Array, Array]:
        """[B, H, W, C] -> features [B, F] and logits [B, classes]; the key is of the dropout, in training."""
        for index, (width, stride) in enumerate(zip(self.widths, self.strides, strict=True)):
            x = nn.relu(batch_norm(partial(Conv, width, stride=stride, name=f"conv_{index}"), x, train))
        drop = nn.Dropout(self.dropout, deterministic=not train, name="drop")
        features = nn.relu(nn.Dense(self.features, name="features")(drop(x.reshape(len(x), -1), rng=key)))
        return features, nn.Dense(self.classes, name="logits")(features)


class Classifier(nn.Module):
    """Network "classifier"; it generates nothing."""

    view: View
    classifier: Convolutions

    def __call__(self, batch: Batch, key: Key, train: bool = False) -> Array:
        return self.classify(batch["x"], key, train)

    def classify(self, x: Array, key: Key | None = None, train: bool = False) -> Array:
        """Logits [B, classes]; the key is of the dropout, in training."""
        return self.classifier(self.view(x), key, train)[1]

    def features(self, x: Array, key: Key | None = None, train: bool = False) -> Array:
        """The layer below the logits, [B, F]."""
        return self.classifier(self.view(x), key, train)[0]


@factory("")
def image_classifier(
    *,
    shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    widths: tuple[int, ...] = (16, 32, 64),
    strides: tuple[int, ...] = (1, 2, 2),
    features: int = 64,
    dropout: float = 0.0,
) -> Model:
    """A classifier of images in [0, 1], which has a `judge` with features.

    Args:
        shape: an image's [H, W, C].
        classes: how many.
        widths: channels of the convolutions.
        strides: of each.
        features: numbers in the layer below the logits.
        dropout: the share of what that layer sees which is left out in training.
    """
    network = Convolutions(widths, strides, features, classes, dropout)
    module, spec = Classifier(_as_it_is, network), image_spec(shape, labelled=True)
    return from_linen(module, spec, classes={"label": classes}, bounded=True)


@factory("")
def sound_classifier(
    *,
    length: int = 4_096,
    classes: int = 10,
    widths: tuple[int, ...] = (16, 32, 64, 64),
    strides: tuple[int, ...] = (2, 2, 2, 2),
    features: int = 64,
    dropout: float = 0.5,
) -> Model:
    """The same of sounds x [B, length, 1], code / 255 of 256 mu-law codes, seen as spectrograms."""
    network = Convolutions(widths, strides, features, classes, dropout)
    module, spec = Classifier(_loudness, network), image_spec((length, 1), labelled=True)
    return from_linen(module, spec, classes={"label": classes}, bounded=True)


def cross_entropy(model: Model) -> Explained:
    """The term "cross_entropy" of a classifier, -log p(label | x) [B]; the batch needs its "label".

    Raises:
        UserError: the model has no judge; when run, if the batch has no label.
    """
    judge = require(model, Judge)

    def terms(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Terms, Variables]:
        if "label" not in batch:
            raise UserError("A classifier learns from labels; load the data with conditions=('label',).")
        logits, variables = judge.classify(variables, batch["x"], key=key, train=train)
        return {"cross_entropy": optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])}, variables

    return Explained(terms=terms, formulas={"cross_entropy": "-log p(label | x)"}, units={"cross_entropy": "loss"})


def _as_it_is(x: Array) -> Array:
    return x


def _loudness(x: Array) -> Array:
    """Decibels above the floor of -80, over 80: [B, T, 1] -> [B, frequencies, windows, 1]."""
    return spectrogram(mu_law_inverse(jnp.round(255 * x[..., 0])))[..., None] / 80 + 1
