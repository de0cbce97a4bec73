"""Samples per second of autoregressive models, place after place by the cached view, against the whole network.

    python benchmarks/sampling.py [--torch] [--json FILE] [--repeats N] [wavenet ...]

All times are minima of runs that take turns, so that ratios hold on a machine that others use, too. "naive_s" is the
time of one evaluation of the whole network times the number of evaluations that the naive sampler makes; nobody waits
for all of them. The roofline is the time to read all weights once for every sample from the cache, at the rate
`--bandwidth`; several streams share one reading. `--torch` adds PyTorch on the same network and the same cached
algorithm (its own rings, one batched product for all that is past), without gradients, by one thread or by all,
whichever is faster; `--torch-threads 1` leaves out all, which wait for each other where other processes run.
"""

import argparse
import json
import math
import os
import platform
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from timing import best

from genjax_zoo import Model, models
from genjax_zoo.conformance import randomise
from genjax_zoo.core import Conditionals, conditions, require
from genjax_zoo.inference.sampling import cached, draw_levels
from genjax_zoo.linen import network
from genjax_zoo.math import level_of
from genjax_zoo.models.autoregressive.pixel_cnn_pp import PixelCNNPPNetwork

RATE = 8_000  # samples per second of sound
KEY = jax.random.key(0)


def examples(model: Model, n: int):
    """A batch that fits: level 0, and class 0 of every condition."""
    return {name: jnp.zeros((n, *one.shape), one.dtype) for name, one in model.spec.items()}


def variables_of(model: Model):
    """Random weights: speed does not depend on them."""
    return randomise(model.init(KEY, examples(model, 1)), scale=0.05)


def cached_run(model: Model, variables, n: int) -> Callable[[], object]:
    """All numbers of n examples."""
    cond, views = conditions(examples(model, n)), require(model, Conditionals)
    draw = jax.jit(lambda variables, cond: cached(views, variables, n, draw_levels(KEY), cond))
    return lambda: jax.block_until_ready(draw(variables, cond))


def naive_run(model: Model, variables, n: int) -> Callable[[], object]:
    """One number of n examples, as the naive sampler chooses it; the logits of all others are computed for nothing."""
    views, batch = require(model, Conditionals), examples(model, n)

    @jax.jit
    def one(variables, batch, index):
        logits, _ = views.logits(variables, batch)
        return draw_levels(KEY)(index, logits[:, *jnp.unravel_index(index, views.grid)])

    last = jnp.asarray(math.prod(views.grid) - 1)
    return lambda: jax.block_until_ready(one(variables, batch, last))


def row(model: Model, variables, name: str, n: int, repeats: int, **others: Callable[[], object]) -> dict:
    """Seconds of the cached and the naive sampler and their ratio; `others` take turns and are timed as they are."""
    count = math.prod(require(model, Conditionals).grid)
    runs = {"cached": cached_run(model, variables, n), "naive": naive_run(model, variables, n)} | others
    least = best(runs, repeats)
    naive = least["naive"] * count
    found = {"name": name, "n": n, "numbers": count, "cached_s": least["cached"], "naive_s": naive}
    found |= {"naive_is": f"one of {count:,} evaluations, times {count:,}", "ratio": naive / least["cached"]}
    found |= {
        "samples_per_s": n * count / least["cached"],
        **{f"{other}_s": least[other] for other in others if other != "naive"},
    }
    return found


def wavenet(flags: argparse.Namespace) -> list[dict]:
    """Sound in 1 and 16 streams, of two widths of the skip connections; and 1,000 to 100,000 samples."""
    rows = []
    for skip in (256, 128):
        model = models.wavenet(length=flags.samples, skip=skip)
        variables = variables_of(model)
        network = variables["params"]["network"]
        weights = sum(leaf.size for leaf in jax.tree.leaves(network))
        weights -= network["embed"]["embedding"].size  # of which a step reads one row
        floor = 4 * weights / (flags.bandwidth * 1e9)
        for n in (1, 16):
            threads = flags.torch_threads if flags.torch else ()
            others = {f"torch_{t}_threads": torch_wavenet(network, n, flags.torch_samples, t) for t in threads}
            name = f"wavenet 64/{skip}/256, {n} streams"
            found = row(model, variables, name, n, flags.repeats, **others)
            rate = found["samples_per_s"]
            found |= {
                "times_real_time": rate / n / RATE,
                "roofline_samples_per_s": n / floor,
                "roofline": rate * floor / n,
            }
            if flags.torch:
                found["torch_is"] = f"{flags.torch_samples:,} samples, times {flags.samples / flags.torch_samples:g}"
                found["torch_s"] = min(found[f"{name}_s"] for name in others) * flags.samples / flags.torch_samples
                found["torch_ratio"] = found["torch_s"] / found["cached_s"]
            rows.append(found)
    return [*rows, streams(flags), flatness(flags)]


def streams(flags: argparse.Namespace) -> dict:
    """How many more samples 16 streams give than one, in one run."""
    model = models.wavenet(length=500)
    variables = variables_of(model)
    least = best({str(n): cached_run(model, variables, n) for n in (1, 16)}, 3 * flags.repeats)
    return {"name": "wavenet, 16 streams against one", "ratio": 16 * least["1"] / least["16"]}


def flatness(flags: argparse.Namespace) -> dict:
    """Whether a sample costs the same in 100,000 as in 1,000: a hundred short sounds against a long one."""
    variables = variables_of(models.wavenet(length=1))
    short, long = (cached_run(models.wavenet(length=length), variables, 1) for length in (1_000, 100_000))
    least = best({"short": lambda: [short() for _ in range(100)], "long": long}, max(2, flags.repeats // 5))
    each = {f"us_per_sample_{name}": 10 * seconds for name, seconds in least.items()}
    return {"name": "wavenet, 100,000 samples against 1,000", **each, "ratio": least["long"] / least["short"]}


def torch_wavenet(parameters, n: int, samples: int, threads: int) -> Callable[[], object]:
    """The same network and algorithm in PyTorch."""
    import torch  # type: ignore
    from torch.nn import functional as F  # type: ignore

    given = jax.tree.map(lambda leaf: torch.from_numpy(np.array(leaf)), parameters)
    layers, _, features, gates = given["kernels"].shape
    dilations = torch.tensor([2 ** (layer % 10) for layer in range(layers)])
    starts = torch.cumsum(dilations, 0) - dilations
    past, now = (given["kernels"][:, i].contiguous() for i in range(2))
    biases = given["biases"] + given["condition"][[0, 10]].sum(0)  # of digit 0 and speaker 0
    biases = biases[:, None].expand(-1, n, -1).contiguous()
    table, residual, residual_biases = given["embed"]["embedding"], given["residual"], given["residual_biases"]
    dense = [(given[name]["kernel"].T.contiguous(), given[name]["bias"]) for name in ("skips", "hidden", "logits")]

    @torch.inference_mode()
    def run():
        torch.set_num_threads(threads)
        rings = torch.zeros(int(dilations.sum()), n, features)
        code, codes = torch.full((n,), 256), []
        for index in range(samples):
            places = starts + index % dilations
            gated_past = torch.baddbmm(biases, rings[places], past)
            h, inputs, seen = table[code], [], []
            for layer in range(layers):
                inputs.append(h)
                a, b = torch.addmm(gated_past[layer], h, now[layer]).chunk(2, -1)
                seen.append(a.tanh() * b.sigmoid())
                if layer < layers - 1:
                    h = h + torch.addmm(residual_biases[layer], seen[-1], residual[layer])
            rings[places] = torch.stack(inputs)
            h = torch.cat(seen, -1)
            for kernel, bias in dense[:-1]:
                h = F.linear(h, kernel, bias).relu()
            code = torch.multinomial(F.linear(h, *dense[-1]).softmax(-1), 1)[:, 0]
            codes.append(code)
        return torch.stack(codes)

    return run


def images(flags: argparse.Namespace) -> list[dict]:
    """16 images of a gated PixelCNN (8 layers of 64), of a transformer (8 blocks of 64) and of PixelCNN++ (2 of 64)."""
    rows, mixtures = [], network("network", PixelCNNPPNetwork(256, 3, 64, 2, 3, 10, 0.5), PixelCNNPPNetwork.parameters)
    for name, model in {
        "gated_pixel_cnn 28x28, 8 x 64": models.gated_pixel_cnn(shape=(28, 28, 1)),
        "image_gpt 28x28, 8 x 64": models.image_gpt(shape=(28, 28, 1)),
        "pixel_cnn_pp 32x32x3, 2 x 64": models.pixel_cnn_pp(shape=(32, 32, 3), features=64, blocks=2),
    }.items():
        variables, others = variables_of(model), {}
        if name.startswith("pixel_cnn_pp"):  # in the naive one's favour: without the logits of 256 levels everywhere
            whole = jax.jit(lambda v, batch: mixtures(v, level_of(batch["x"], 256), None)[0])
            others["naive"] = lambda v=variables, m=model, whole=whole: jax.block_until_ready(whole(v, examples(m, 16)))
        if flags.torch and name.startswith("gated"):
            from torch_networks import GatedPixelCNN, evaluation

            others["torch"] = evaluation(GatedPixelCNN(), np.zeros((16, 1, 28, 28), np.int64))
        found = row(model, variables, name, 16, max(2, flags.repeats // 5), **others)
        if "torch_s" in found:
            found["torch_s"] *= found["numbers"]  # naive, as nothing caches a PixelCNN there
            found["torch_ratio"] = found["torch_s"] / found["cached_s"]
        rows.append(found)
    return rows


ROWS: dict[str, Callable[[argparse.Namespace], list[dict]]] = {"wavenet": wavenet, "images": images}


def main():
    """Prints one line per row, and writes them as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(ROWS)}; all of them by default")
    parser.add_argument("--torch", action="store_true", help="measure PyTorch, too")
    parser.add_argument("--samples", type=int, default=RATE, help="of a sound; the naive sampler takes their square")
    parser.add_argument("--torch-samples", type=int, default=500, help="PyTorch is timed on so many")
    parser.add_argument("--torch-threads", type=int, nargs="+", default=sorted({1, os.cpu_count() or 1}))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--bandwidth", type=float, default=93.0, help="GB/s of one core reading weights from its cache")
    parser.add_argument("--json", type=Path, help="a file for the rows")
    flags = parser.parse_args()
    unknown = sorted(set(flags.names) - set(ROWS))
    if unknown:
        parser.error(f"there is no '{unknown[0]}'; there are {', '.join(ROWS)}.")
    print(f"{platform.machine()}, jax {jax.__version__}, {jax.devices()[0]}", flush=True)
    rows = []
    for name in flags.names or ROWS:
        for found in ROWS[name](flags):
            rows.append(found)
            numbers = (f"{key} {value:,.4g}" for key, value in found.items() if not isinstance(value, str))
            print(f"{found['name']}: {'  '.join(numbers)}", flush=True)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
