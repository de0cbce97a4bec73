"""Draws samples.png, a row of test images and a row of samples of each run: python docs/samples.py RUN RUN ...

The picture that is committed is of `genjax-zoo train NAME` with vae_digits, dcgan_digits, gated_pixel_cnn_digits, and
glow --steps 1200. A model of labels draws the digits in turn; the flow's prior is tempered, as in its paper.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from genjax_zoo import data, restore, wrap

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

A_ROW, TEMPERATURE = 20, 0.8
NAMES = {"vae": "VAE", "gan": "GAN", "autoregressive": "PixelCNN", "flow": f"flow, at {TEMPERATURE}"}


def samples(run: str) -> tuple[str, np.ndarray]:
    """The model's family, and what it draws, [A_ROW, H, W]."""
    restored = restore(run)
    model = restored.experiment.model
    family = model.card.family
    if family == "flow":
        model = wrap.tempered(model, TEMPERATURE)
    cond = {"label": jnp.arange(A_ROW) % 10} if "label" in model.spec else {}
    x = model.sample(restored.variables, jax.random.key(0), A_ROW, cond)
    return NAMES[family], np.asarray(x)[..., 0]


def main(runs: list[str]) -> None:
    """Writes the picture beside this file."""
    test = data.load("digits", "test", batch_size=A_ROW)
    rows = [("test images", np.asarray(test.at(0)["x"])[..., 0]), *map(samples, runs)]
    figure, places = plt.subplots(len(rows), 1, figsize=(10, 0.5 * len(rows)))
    for place, (name, x) in zip(places, rows):
        place.imshow(np.concatenate(np.pad(x, ((0, 0), (1, 1), (1, 1))), axis=1), cmap="gray", vmin=0, vmax=1)
        place.set_ylabel(name, rotation=0, ha="right", va="center")
        place.set(xticks=[], yticks=[], frame_on=False)
    figure.subplots_adjust(left=0.1, right=0.995, top=0.99, bottom=0.01, hspace=0.04)
    figure.savefig(Path(__file__).parent / "samples.png", dpi=100)


if __name__ == "__main__":
    main(sys.argv[1:])
