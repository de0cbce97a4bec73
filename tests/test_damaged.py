"""A damaged file is named in one sentence, whatever is wrong with it, and MNIST's files go by any of their names."""

import gzip
import io

import numpy as np
import pytest
from made import SMALL, TONE, wav_bytes, write_idx

from genjax_zoo import cli, data
from genjax_zoo.data import mnist
from genjax_zoo.explore.drawing import prefix_of
from genjax_zoo.judges import inception


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


PAIRS = npz(train=np.zeros((3, 98), np.uint8), test=np.ones((2, 98), np.uint8))
DAMAGES = {  # of a sound file's bytes
    "empty": lambda content: b"",
    "short": lambda content: content[: len(content) // 2],
    "of one byte": lambda content: content[:1],
    "flipped header": lambda content: flipped(content, 8),
    "another": lambda content: b"GIF89a" + bytes(50),
    "noise": lambda content: np.random.default_rng(0).bytes(200),
    "of objects": lambda content: npy(np.array([{}, "x"], object)),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ("train.npy", "train_label.npy"))
def test_a_damaged_array_is_named(tmp_path, own_folders, damage, name):
    np.save(tmp_path / "train.npy", np.zeros((20, 4, 4), np.uint8))
    np.save(tmp_path / "train_label.npy", np.zeros(20, np.int64))
    (tmp_path / name).write_bytes(DAMAGES[damage]((tmp_path / name).read_bytes()))
    with pytest.raises(ValueError, match=f"{name} (is no sound|should hold|holds)") as error:
        data.load(tmp_path, "train", batch_size=2)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ("x.npy", "x.wav"))
def test_a_damaged_prefix_is_named(tmp_path, damage, name):
    sound = wav_bytes(TONE) if name == "x.wav" else npy(np.zeros((2, 9), np.float32))
    (tmp_path / name).write_bytes(DAMAGES[damage](sound))
    experiment = model = None
    with pytest.raises(ValueError, match=f"{name} (is no|holds)") as error:
        prefix_of(experiment, model, 2, tmp_path / name, None)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


ARCHIVES = {
    "middle": flipped(PAIRS, len(PAIRS) // 3),
    "end": flipped(PAIRS, len(PAIRS) - 20),
    **{name: damage(PAIRS) for name, damage in DAMAGES.items()},
}


@pytest.mark.parametrize("damage", ARCHIVES)
def test_a_damaged_archive_of_arrays_is_named(tmp_path, own_folders, damage):
    path = own_folders / "mnist_static/binarized_mnist_static.npz"
    path.parent.mkdir()
    path.write_bytes(ARCHIVES[damage])
    with pytest.raises(ValueError, match="binarized_mnist_static.npz is (truncated or corrupt|not Larochelle's)"):
        data.load("mnist-static", "test", batch_size=2)
    (tmp_path / "weights.npz").write_bytes(ARCHIVES[damage])
    with pytest.raises(ValueError, match="weights.npz (is damaged|was not converted)"):
        inception.read(tmp_path / "weights.npz")


NAMES = {  # how people have MNIST's files
    "unpacked": lambda name: name.removesuffix(".gz"),
    "with a dot": lambda name: name.replace("-idx", ".idx"),
    "unpacked, with a dot": lambda name: name.replace("-idx", ".idx").removesuffix(".gz"),
    "unpacked under its old name": lambda name: name,
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.usefixtures("small")
def test_mnists_files_go_by_any_of_their_names(own_folders, kind):
    folder = own_folders / "mnist"
    write_idx(folder)
    for name in mnist.FILES:
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        (folder / NAMES[kind](name)).write_bytes(gzip.decompress(content) if "unpacked" in kind else content)
    whole = mnist.read_mnist(valid=10)
    np.testing.assert_array_equal(whole["train"]["x"], SMALL["train"]["x"][:20])
    np.testing.assert_array_equal(whole["test"]["label"], SMALL["test"]["label"])


RARE = '''"""Labels of which one is rare."""

import numpy as np
import optax

from genjax_zoo import Experiment, Player, data, models


def experiment(batch_size: int = 8, seed: int = 0) -> Experiment:
    """Its rarest label is the last of 2,100 examples."""
    label = np.zeros(2_100, np.int64)
    label[-1] = 3
    bits = data.from_arrays(np.zeros((2_100, 2, 2, 1)), label=label, batch_size=batch_size)
    model = models.cvae(shape=(2, 2, 1), classes=10, latent=1, hidden=(2,))
    vae = Player(terms=model.nelbo, weights={"distortion": 1.0, "rate": 1.0}, tx=optax.adam(1e-3))
    return Experiment(model=model, players={"vae": vae}, data=bits, steps=1, seed=seed)
'''


def test_a_rare_class_can_be_asked_for(tmp_path, capsys):
    """And what no example has cannot, as before."""
    (tmp_path / "rare.py").write_text(RARE)
    run, out = str(tmp_path / "run"), str(tmp_path / "x.npy")
    assert status(["train", str(tmp_path / "rare.py"), "--workdir", run]) == 0
    assert status(["sample", run, "-n", "2", "--cond", "label=3", "--out", out]) == 0
    assert np.load(out).shape == (2, 2, 2, 1)
    capsys.readouterr()
    assert status(["sample", run, "-n", "2", "--cond", "label=4", "--out", out]) == 2
    assert "'label' is one of 0 ... 3, as in the run's data" in capsys.readouterr().err
    assert status(["train", str(tmp_path / "rare.py"), "--workdir", str(tmp_path / "other"), "--seed", "-1"]) == 2
    assert "--seed must be in 0 ... 4294967295, not -1" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def status(arguments):
    try:
        cli.console(arguments)
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0
