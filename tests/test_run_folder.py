"""What a start does to the folder of a run: nothing, where it does not go on with that very run."""

import json

import pytest

from genjax_zoo.runs.folder import check_run, clear_run, only_trainer, open_run, read_config

CODE = """# a comment
def experiment(*, width: int = 4):
    return width * 2
"""
FLAGS = {"width": 4, "widths": (1, 2), "steps": 10}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def run(tmp_path, file):
    open_run(tmp_path / "run", file, FLAGS)
    return tmp_path / "run"


def bytes_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(run, source, flags, sentence, **more):
    before = bytes_of(run)
    with pytest.raises(ValueError, match=sentence):
        check_run(run, source, flags, **more)
    assert bytes_of(run) == before


def test_the_same_start_goes_on(run, file):
    """Tuples are what JSON makes lists of; a comment is no change, and neither is a later step."""
    file.write_text(CODE.replace("# a comment", "# another one") + "\n")
    open_run(run, file, {**FLAGS, "steps": 20})
    assert len(read_config(run)["history"]) == 2 and read_config(run)["flags"]["steps"] == 20
    open_run(run, run / "experiment.py", FLAGS)  # its own copy
    assert read_config(run)["experiment"] == "mine.py"


def test_a_changed_line_is_shown_and_asked_about(run, file):
    file.write_text(CODE.replace("width * 2", "width * 3"))
    refused(run, file, FLAGS, r"it had `return width \* 2` and it has `return width \* 3`\. Take --accept-changes")
    check_run(run, file, FLAGS, accept_changes=True)


def test_another_experiment_is_refused(run, tmp_path):
    other = tmp_path / "other.py"
    other.write_text(CODE)
    refused(run, other, FLAGS, "was made by mine.py, not by other.py")


def test_other_flags_are_refused(run, file):
    refused(run, file, {**FLAGS, "widths": (1, 3)}, r"widths was \[1, 2\] and is \[1, 3\]")


def test_fresh_removes_what_a_run_makes_and_nothing_else(run, file):
    for name in ("samples.png", "samples-7-0.wav", "metrics.jsonl", "pictures/digits-0000010.png", "digits.png"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("ours")
    for name in ("thesis.tex", "photo.png"):
        (run / name).write_text("years of work")
    check_run(run, file, {"width": 5}, fresh=True)
    clear_run(run, file)
    assert {path.name for path in run.iterdir()} == {"thesis.tex", "photo.png", "train.lock"}


def test_fresh_spares_the_file_it_was_given(run):
    clear_run(run, run / "experiment.py")
    assert (run / "experiment.py").read_text() == CODE and not (run / "config.json").exists()


@pytest.mark.parametrize(
    "text, sentence", [('{"model_type": 1}', "its config.json is of something else"), ("{", "cannot be read")]
)
def test_a_config_of_something_else_is_no_run(tmp_path, file, text, sentence):
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "config.json").write_text(text)
    (folder / "thesis.tex").write_text("years of work")
    for fresh in (False, True):
        refused(folder, file, FLAGS, sentence, fresh=fresh)


def test_a_start_that_ended_before_its_first_word_is_no_stranger(tmp_path, file):
    """A kill at any moment leaves a folder that the next start finishes."""
    folder = tmp_path / "half"
    with only_trainer(folder):
        (folder / "checkpoints").mkdir()
    (folder / "config.tmp.json").write_text("{")
    check_run(folder, file, FLAGS)
    open_run(folder, file, FLAGS)
    (folder / "experiment.py").unlink()  # config.json comes first
    open_run(folder, file, FLAGS)
    assert (folder / "experiment.py").read_text() == CODE
    (tmp_path / "full/checkpoints/3").mkdir(parents=True)
    refused(tmp_path / "full", file, FLAGS, "is not empty and holds no run")
    assert json.loads((folder / "config.json").read_text())["experiment"] == "mine.py"


def test_one_process_trains(run, file):
    with only_trainer(run), pytest.raises(ValueError, match="Another process trains in"):
        check_run(run, file, FLAGS, fresh=True)
    with only_trainer(run):
        pass  # whoever held it has let it go


def test_fresh_removes_all_or_nothing(run, file, monkeypatch):
    for name in ("metrics.jsonl", "samples-3.png", "samples_thesis.tex"):
        (run / name).write_text("x")
    (run / "checkpoints").mkdir()
    before, rename = bytes_of(run), type(run).rename

    def failing(self, target):
        if self.name == "metrics.jsonl":
            raise PermissionError("immutable")
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(PermissionError):
        patch.setattr(type(run), "rename", failing)
        clear_run(run, file)
    assert bytes_of(run) == before
    check_run(run, file, {"width": 5}, fresh=True)
    assert bytes_of(run) == before  # which removes nothing
    clear_run(run, file)
    assert {path.name for path in run.iterdir()} == {"samples_thesis.tex", "train.lock"}
