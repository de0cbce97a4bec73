"""How loud each frequency of a sound is over time."""

import jax
import jax.numpy as jnp

Array = jax.Array


def spectrogram(sound: Array, *, window: int = 256, hop: int = 64, floor: float = -80.0) -> Array:
    """The power of Hann windows of a sound at each frequency, in decibels of a sine wave in [-1, 1].

    Args:
        sound: [n, T]; one shorter than a window is followed by silence.
        window: samples in each window, even.
        hop: samples from one window to the next.
        floor: decibels of silence; nothing is below.

    Returns:
        [n, window / 2 + 1, windows], from frequency 0 to half the sampling rate.
    """
    sound = jnp.pad(sound, ((0, 0), (0, max(0, window - sound.shape[1]))))
    starts = jnp.arange(0, sound.shape[1] - window + 1, hop)
    hann = 0.5 - 0.5 * jnp.cos(2 * jnp.pi * jnp.arange(window) / window)
    spectrum = jnp.fft.rfft(sound[:, starts[:, None] + jnp.arange(window)] * hann)
    power = jnp.abs(2 * spectrum / jnp.sum(hann)) ** 2
    return 10 * jnp.log10(jnp.maximum(power, 10 ** (floor / 10))).swapaxes(1, 2)
