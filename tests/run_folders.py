"""Run folders as training leaves them, made by hand in milliseconds."""

import json

import numpy as np
from PIL import Image

from genjax_zoo import draw
from genjax_zoo.compare.leaderboard import COLUMNS

FLAGS = {"steps": 200, "seed": None, "backend": "shard_map", "precision": "float32", "beta": 1.0, "latent": 8}
EXPERIMENT = '"""A model on digits."""\n\ndef experiment(*, beta: float = 2.0, latent: int = 8):\n    ...\n'


def start(folder, *, title="A model on digits.", **flags):
    """A run before its first numbers."""
    folder.mkdir(parents=True)
    once = {"commit": "0123456789ab", "versions": {"jax": "0.10.2"}, "python": "3.11.7", "devices": "1 x cpu"}
    config = {"experiment": "model_digits.py", "flags": {**FLAGS, **flags}, "history": [once]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "experiment.py").write_text(EXPERIMENT.replace("A model on digits.", title))
    return folder


def log(folder, **row):
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def show(folder, name, step, pixels):
    (folder / "pictures").mkdir(exist_ok=True)
    for path in (folder / "pictures" / f"{name}-{step:07d}.png", folder / f"{name}.png"):
        Image.fromarray(pixels).save(path)


def trained(folder, *, title="A model on digits.", warning=None, **flags):
    """A finished run: two curves, a slider of three pictures, a still, a sound."""
    start(folder, title=title, **flags)
    for step in range(10, 210, 10):
        log(
            folder,
            step=step,
            **{"vae/loss": 100 / step, "vae/rate": step / 10, "vae/steep": 9.0 ** (1 - step / 10), "steps/s": 5.0},
        )
        if step % 50 == 0:
            log(folder, step=step, **{"eval/test/loss": 110 / step})
    if warning:
        log(folder, step=30, warning=warning)
    for step in (50, 100, 150):
        show(folder, "samples", step, np.full((64, 64), step, np.uint8))
    (folder / "latent").mkdir()
    colours = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(colours).save(folder / "latent/map.png")
    draw.save_sound(folder / "samples-0-0.wav", 0.5 + 0.2 * np.sin(np.arange(2_000) / 3)[:, None])
    return folder


def score(folder, *, model="vae", data="digits/test", step=200, cells=(), **values):
    """Writes scores.json: each metric's value, or its reason where it is text."""
    empty = {"value": None, "low": None, "high": None, "floor": None, "n": None, "kind": None, "reason": None}
    found: dict = {key: {**empty, "reason": "not measured here"} for key in COLUMNS}
    found |= {k: {**empty, ("reason" if isinstance(v, str) else "value"): v} for k, v in values.items()}
    found |= {key: {**empty, **cell} for key, cell in dict(cells).items()}
    found["nats"]["kind"] = found["nats"]["kind"] or "bound"
    row = {"run": folder.name, "model": model, "family": "VAE", "step": step, "data": data, "commit": "0123"}
    row |= {"protocol": {"n": 125, "k": 5, "features": "pixels", "seed": 0}, "cells": found}
    (folder / "scores.json").write_text(json.dumps(row))
