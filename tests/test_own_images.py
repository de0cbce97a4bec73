"""A battery of small files as strangers have them: each is read as it is meant, or named in a sentence."""

import io
import zipfile

import numpy as np
import pytest
from made import COLOUR, TONE, png, save, wav_bytes
from PIL import Image

from genjax_zoo import data
from genjax_zoo.data import store
from genjax_zoo.data.wav import read_wav

pytestmark = pytest.mark.usefixtures("own_folders")

GREY = np.arange(30, dtype=np.uint8).reshape(6, 5) * 8


def loaded(path, split="train", conditions=()):
    return data.load(path, split, batch_size=1, conditions=conditions)


def pixels(path, split="train"):
    return np.asarray(loaded(path, split).arrays["x"])


def labels(path, split="train"):
    return np.asarray(loaded(path, split, ("label",)).arrays["label"]).tolist()


def colour_of(index):
    """An image that is told from others by its first number."""
    return np.full((4, 4, 3), index, np.uint8)


def archive(path, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)


def written(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


LAYOUTS = {  # files by their numbers -> numbers of train, of test
    "folders": (("train/1", "test/2"), (1,), (2,)),
    "capitals": (("Train/cat/1", "TEST/cat/2"), (1,), (2,)),
    "participles": (("training/cat/1", "testing/cat/2"), (1,), (2,)),
    "words beside": (("train_images/1", "test-images/2"), (1,), (2,)),
    "camels": (("TrainSet/1", "TestSet/2"), (1,), (2,)),
    "years": (("train2017/1", "val2017/3", "test2017/2"), (1,), (2,)),
    "a name in common": (("cats_train/1", "cats_test/2"), (1,), (2,)),
    "in one folder": (("pets/train/cat/1", "pets/test/cat/2"), (1,), (2,)),
    "below the classes": (("cat/train/1", "dog/train/3", "cat/test/2"), (1, 3), (2,)),
    "train is the rest": (("1", "3", "test/2"), (1, 3), (2,)),
    "a picture beside": (("train/cat/1", "test/cat/2", "9"), (1,), (2,)),
}


@pytest.mark.parametrize("packed", ("folder", "zip", "windows zip"))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_test_images_are_never_trained_on(tmp_path, layout, packed):
    files, train, test = LAYOUTS[layout]
    contents = {f"{name}.png": png(colour_of(int(name.rpartition("/")[2]))) for name in files}
    path = tmp_path / ("mine" if packed == "folder" else "mine.zip")
    if packed == "folder":
        for name, content in contents.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    else:
        archive(path, {n.replace("/", "\\" if packed == "windows zip" else "/"): c for n, c in contents.items()})
    assert pixels(path)[:, 0, 0, 0].tolist() == list(train)
    assert pixels(path, "test")[:, 0, 0, 0].tolist() == list(test)


@pytest.mark.parametrize("names", (("train", "test"), ("Train", "TEST"), ("train_images", "test1")))
@pytest.mark.parametrize("inside", ("", "pets/", "{}/"))
def test_each_zip_is_its_split(tmp_path, names, inside):
    for index, name in enumerate(names):
        at = inside.format(name)
        archive(
            tmp_path / f"mine/{name}.zip",
            {f"{at}dog/{index}.png": png(colour_of(index)), f"{at}cat/{index}.png": png(colour_of(index))},
        )
    assert pixels(tmp_path / "mine")[:, 0, 0, 0].tolist() == [0, 0]
    assert pixels(tmp_path / "mine", "test")[:, 0, 0, 0].tolist() == [1, 1]
    assert labels(tmp_path / "mine") == labels(tmp_path / "mine", "test") == [0, 1]


def test_a_zip_beside_a_folder_is_a_split_too(tmp_path):
    save(tmp_path / "mine/train/1.png", colour_of(1))
    archive(tmp_path / "mine/test.zip", {"2.png": png(colour_of(2))})
    assert pixels(tmp_path / "mine", "test")[:, 0, 0, 0].tolist() == [2]
    archive(tmp_path / "two/cats.zip", {"2.png": png(colour_of(2))})
    assert len(pixels(tmp_path / "two")) == 1
    archive(tmp_path / "two/dogs.zip", {"2.png": png(colour_of(2))})
    with pytest.raises(ValueError, match="holds 2 .zip files, cats.zip and dogs.zip among them, and no images"):
        pixels(tmp_path / "two")


CLASSES = {  # files -> the label of each, in their order by file name
    "by name": (("dog/1", "cat/2"), [1, 0]),
    "numbers": (("10/1", "2/2", "1/3"), [2, 1, 0]),
    "numbers and a name": (("10/1", "2/2", "b/3"), [0, 1, 2]),
    "the first level": (("cat/2019/1", "dog/2019/2", "cat/2020/3"), [0, 1, 0]),
    "a folder in common": (("pets/images/dog/1", "pets/images/cat/2"), [1, 0]),
    "underscores": (("_dog/1", "_cat/_2"), [1, 0]),
    "a picture beside": (("dog/1", "cat/2", "0"), [1, 0]),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_classes_are_the_first_folders_in_their_order(tmp_path, kind):
    files, expected = CLASSES[kind]
    for name in files:
        save(tmp_path / f"mine/{name}.png", COLOUR[0])
    assert labels(tmp_path / "mine") == expected


def test_an_unlabelled_split_leaves_the_classes_their_numbers(tmp_path):
    for folder, names in (
        ("one", ("train/cat/1", "train/dog/2", "test/3")),
        ("two", ("train/train/cat/1", "train/train/dog/2", "test/test/3")),
    ):
        for name in names:
            save(tmp_path / folder / f"{name}.png", COLOUR[0])
        assert labels(tmp_path / folder) == [0, 1]
        with pytest.raises(ValueError, match="Unknown condition"):
            labels(tmp_path / folder, "test")


def test_links_are_followed_once(tmp_path):
    save(tmp_path / "elsewhere/1.png", colour_of(1))
    save(tmp_path / "mine/dog/2.png", colour_of(2))
    (tmp_path / "mine/cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "mine/dog/again").symlink_to(tmp_path / "mine")
    (tmp_path / "mine/dog/3.png").symlink_to(tmp_path / "nowhere.png")
    assert pixels(tmp_path / "mine")[:, 0, 0, 0].tolist() == [1, 2]
    assert labels(tmp_path / "mine") == [0, 1]


def test_what_computers_add_is_no_data(tmp_path):
    contents = {"cat/1.png": png(COLOUR[0]), "cat/._1.png": b"mac", "__MACOSX/cat/1.png": b"mac", ".DS_Store": b"mac"}
    archive(tmp_path / "mine.zip", contents)
    assert len(pixels(tmp_path / "mine.zip")) == 1
    for name, content in contents.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_bytes(content)
    assert len(pixels(tmp_path / "mine")) == 1


def transparent():
    image = Image.fromarray(COLOUR[0]).convert("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    return image


def with_white(x):
    x = np.array(x)
    x[0, 0] = 255
    return x


def palette():
    image = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8), "L").convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    return image


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


IMAGES = {  # name -> (content, pixels)
    "grey.png": (png(GREY), GREY[..., None]),
    "16.png": (written(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"), GREY[..., None]),
    "16.tif": (written(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"), GREY[..., None]),
    "float.tif": (written(Image.fromarray((GREY / 255).astype(np.float32)), "TIFF"), GREY[..., None]),
    "bits.png": (written(Image.fromarray(GREY > 99), "PNG"), (GREY > 99)[..., None] * np.uint8(255)),
    "palette.png": (written(palette(), "PNG"), np.array([[10, 40], [40, 70]])[..., None] + np.array([0, 10, 20])),
    "cmyk.tif": (written(Image.fromarray(COLOUR[0]).convert("CMYK"), "TIFF"), COLOUR[0]),
    "clear.png": (written(transparent(), "PNG"), with_white(COLOUR[0])),
    "clear.webp": (written(transparent(), "WEBP", lossless=True), with_white(COLOUR[0])),
    "clear grey.png": (written(transparent().convert("LA"), "PNG"), None),
    "turned.png": (written(Image.fromarray(COLOUR[0]), "PNG", exif=turned(6)), np.rot90(COLOUR[0], -1)),
    "upside down.tif": (written(Image.fromarray(COLOUR[0]), "TIFF", exif=turned(3)), COLOUR[0, ::-1, ::-1]),
    "frames.gif": (
        written(Image.fromarray(GREY), "GIF", save_all=True, append_images=[Image.fromarray(255 - GREY)]),
        None,
    ),
    "pages.tif": (
        written(Image.fromarray(GREY), "TIFF", save_all=True, append_images=[Image.fromarray(255 - GREY)]),
        GREY[..., None],
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_read_as_it_is_seen(tmp_path, name):
    content, expected = IMAGES[name]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_bytes(content)
    x = pixels(tmp_path / "mine")[0]
    if expected is None:
        expected = with_white(transparent().convert("L"))[..., None] if "clear" in name else GREY[..., None]
    np.testing.assert_array_equal(x if x.shape == expected.shape else x[..., :1], expected)


def large():
    return png(np.zeros((40, 40), np.uint8))


def many_bits():
    return written(Image.fromarray(GREY.astype(np.int32) * 1_000), "TIFF")


def wide_floats():
    return written(Image.fromarray(GREY.astype(np.float32)), "TIFF")


def not_numbers():
    return written(Image.fromarray(np.where(GREY > 99, np.nan, 0).astype(np.float32)), "TIFF")


@pytest.mark.parametrize(
    "name, make, message",
    [
        ("b.png", large, "b.png has more than 500 pixels; save it smaller"),
        ("b.png", lambda: png(np.zeros((25, 25), np.uint8)), "b.png has more than 500 pixels; save it smaller"),
        ("b.tif", many_bits, "b.tif holds numbers from 0 to 2.32e\\+05, whose white is not known"),
        ("b.tif", wide_floats, "b.tif holds numbers from 0 to 232, whose white is not known"),
        ("b.tif", not_numbers, "b.tif holds numbers from nan to nan, whose white is not known"),
        ("b.gif", lambda: b"GIF89a" + bytes(3), "b.gif is "),
        ("b.jpg", lambda: written(Image.fromarray(COLOUR[0]), "JPEG")[:-20], "b.jpg is truncated or corrupt"),
        ("b.webp", lambda: written(Image.fromarray(COLOUR[0]), "WEBP")[:40], "b.webp is "),
    ],
)
def test_an_image_that_cannot_be_seen_is_named(monkeypatch, tmp_path, name, make, message):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    save(tmp_path / "mine/a.png", GREY)
    (tmp_path / "mine" / name).write_bytes(make())
    with pytest.raises(ValueError, match=message):
        pixels(tmp_path / "mine")


def encrypted(content):
    """A .zip whose one member says that it needs a password."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("1.png", content)
    raw = bytearray(stream.getvalue())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    return bytes(raw)


def test_an_encrypted_zip_is_named(tmp_path):
    (tmp_path / "mine.zip").write_bytes(encrypted(png(GREY)))
    with pytest.raises(ValueError, match="mine.zip is encrypted: unzip it with its password"):
        pixels(tmp_path / "mine.zip")


def test_a_name_that_a_zip_stores_twice_is_read_once(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as file:
        file.writestr("a/1.png", png(colour_of(1)))
        file.writestr("a\\1.png", png(colour_of(2)))
    assert pixels(tmp_path / "mine.zip")[:, 0, 0, 0].tolist() == [2]
    assert "stored twice, the last is read (a/1.png)" in capsys.readouterr().err


def test_what_was_read_is_said_once(tmp_path, capsys):
    for name in ("train/10/1.png", "train/9/2.png", "val/9/3.png", "cover.png", "train/9/.4.png"):
        save(tmp_path / "mine" / name, GREY)
    (tmp_path / "mine/train/9/5.gif").write_bytes(IMAGES["frames.gif"][0])
    (tmp_path / "mine/readme.txt").write_text("mine")
    for _ in range(2):
        for split in ("train", "valid"):
            loaded(tmp_path / "mine", split)
    said = capsys.readouterr().err
    for line in (
        f"{tmp_path / 'mine'}: train 3 images, valid 1 image",
        "classes: 0 9, 1 10",
        "skipped: 1 that are no images (readme.txt)",
        "skipped: 1 hidden (train/9/.4.png)",
        "skipped: 1 outside of the split folders (cover.png)",
        "skipped: 1 with several frames, of which the first is read (train/9/5.gif)",
    ):
        assert said.count(line) == 1, said


DAMAGES = (
    *(("meta.json", damage) for damage in (b"[]", b'{"crc32": 3}', b"{}", b"{", b'{"crc32": {"train_x": 3}}')),
    *(("train_x.npy", damage) for damage in (b"", b"\x93NUMPY", bytes(99), None)),
)


@pytest.mark.parametrize("file, damage", DAMAGES)
def test_a_damaged_cache_is_made_again(tmp_path, capsys, file, damage):
    save(tmp_path / "mine/1.png", COLOUR[0])
    for _ in range(2):
        np.testing.assert_array_equal(pixels(tmp_path / "mine"), COLOUR[:1])
    assert "Warning" not in capsys.readouterr().err
    (path,) = store.cache_folder().glob(f"*/{file}")
    path.write_bytes(path.read_bytes()[:-1] + b"?" if damage is None else damage)
    np.testing.assert_array_equal(pixels(tmp_path / "mine"), COLOUR[:1])
    assert capsys.readouterr().err.count("Warning: the decoded set in") == 1


@pytest.mark.parametrize("at", range(4, 44))
@pytest.mark.parametrize("value", (0, 255))
def test_recordings_with_wrong_sizes_are_named_or_read(at, value):
    """Whatever byte of the header is wrong."""
    content = bytearray(wav_bytes(TONE))
    content[at] = value
    try:
        samples = read_wav(bytes(content), "3_theo_7.wav")
    except ValueError as error:
        assert "3_theo_7.wav" in str(error)
    else:
        np.testing.assert_array_equal(samples[: len(TONE)], TONE[: len(samples)])
