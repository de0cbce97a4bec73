"""What a page says of run folders, read from their files alone: see `draw.page` for how it looks.

The page stays below 3 MB: each run has an even share, which its newest pictures fill first, then its sounds, then the
earlier pictures of sliders; what does not fit is named.
"""

import datetime
import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from genjax_zoo import draw
from genjax_zoo.compare.leaderboard import SCORES
from genjax_zoo.errors import PROG, UserError
from genjax_zoo.report import embed
from genjax_zoo.report.cards import card_of, flags_of, title_of
from genjax_zoo.report.page import Page, Panel, Picture, Run, Sound
from genjax_zoo.report.scoreboard import boards_of, protocol_of, scores_of
from genjax_zoo.runs import CONFIG, read_config
from genjax_zoo.runs.naming import names_of as names_of

MOST = 2_850_000  # bytes of a page's runs; its own style and script are small
MOST_FRAMES = 12  # of a slider
MOST_SOUNDS = 8
MOST_WARNINGS = 20
POINT = 32  # bytes of a point of a curve, as drawn and as data
KNOWN = {  # in the order of the page
    "samples": ("Samples", "What the model draws, from the same noise at every step."),
    "density": ("Density", "Where the model's probability is."),
    "reconstructions": ("Reconstructions", "Pairs: an example, and what the model makes of its code."),
    "bits_map": (
        "Likelihood map",
        "Pairs: an example, and the bits that each number takes; grey as many as even odds take, white twice as many.",
    ),
    "completions": ("Completions", "Each row: an example, the part that is given, and draws that go on from there."),
    "temperatures": ("Temperatures", "Each row is drawn at a temperature, from the same noise in each column."),
    "interpolation": ("Interpolation", "Each row goes from one latent to another."),
    "traversal": ("Traversal", "Each row changes one number of a latent."),
    "classes": ("Labels of draws", "A row is one latent, a column one label."),
    "labels": ("Labels of examples", "Each row: an example, and what it becomes under every label."),
    "map": (
        "Latent map",
        "The plane in which examples' latents vary most; colours are labels, where there are any.",
    ),
    "manifold": ("Manifold", "The decoded plane of latents."),
    "inversion": ("Inversion", "Pairs: an example, and the nearest that the decoder makes of a latent."),
}


def gather(
    folders: Sequence[Path], *, notes: Mapping[Path, Sequence[str]] | None = None, watched: str | None = None
) -> Page:
    """Reads all that a page shows of some runs.

    Args:
        folders: the run folders.
        notes: sentences about what could not be had, of each.
        watched: names the state of a run that is watched (see `state_of`).

    Raises:
        FileNotFoundError: a folder holds no run.
    """
    names = names_of(folders)
    scores, lacking = _read_scores(folders)
    runs = [
        _run(folder, name, MOST // len(folders), scores.get(folder), [*lacking[folder], *(notes or {}).get(folder, ())])
        for folder, name in zip(folders, names)
    ]
    boards, board_notes = boards_of([{**scores[f], "run": name} for f, name in zip(folders, names) if f in scores])
    if len(folders) > 1 and not boards and not board_notes:
        board_notes = ["There is no leaderboard yet: run 'genjax-zoo compare' with these runs."]
    if watched is not None and not runs[0].panels and not runs[0].pictures:
        board_notes = ["Waiting for the first numbers: this page fills as training goes on."]
    title = " and ".join(names) if len(names) < 3 else f"{len(names)} runs side by side"
    now = datetime.datetime.now().astimezone()
    made = f"Made {now:%Y-%m-%d %H:%M %Z} by genjax-zoo {'watch' if watched else 'report'}."
    return Page(title, made, runs, boards, board_notes, watched)


def is_empty(folder: Path) -> bool:
    """Whether a run has neither numbers nor pictures yet."""
    panels, _ = draw.read_curves(folder / "metrics.jsonl")
    return not panels and not any(_groups(folder).values())


def state_of(folder: Path) -> str:
    """Names the files that a page reads, as they are now: another state, another name."""
    digest = hashlib.sha256()
    for path in sorted(_sources(folder)):
        try:
            found = path.stat()
        except FileNotFoundError:  # replaced between listing and looking
            continue
        digest.update(f"{path}\0{found.st_mtime_ns}\0{found.st_size}\n".encode())
    return digest.hexdigest()[:16]


def _sources(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in (CONFIG, "metrics.jsonl", SCORES))
    for pattern in ("*.png", "*.wav", "pictures/*.png", "latent/*.png", "page/*.png", "page/*.wav"):
        yield from folder.glob(pattern)


def _read_scores(folders: Sequence[Path]) -> tuple[dict[Path, dict], dict[Path, list[str]]]:
    """The scores of the runs that have some, and a sentence about each of the others."""
    scores, lacking = {}, {}
    for folder in folders:
        lacking[folder] = []
        try:
            found = json.loads((folder / SCORES).read_text())
            for read in (scores_of, protocol_of, lambda row: boards_of([row, row])):
                read(found)  # all that the page will ask of it
            scores[folder] = found
        except FileNotFoundError:
            lacking[folder] = [f"No scores yet: run '{PROG} compare {shlex.quote(str(folder))}'."]
        except (ValueError, KeyError, TypeError, AttributeError):
            lacking[folder] = [f"{SCORES} cannot be read: run '{PROG} compare {shlex.quote(str(folder))}' again."]
    return scores, lacking


def _run(folder: Path, name: str, room: int, scores: Mapping | None, notes: Sequence[str]) -> Run:
    config = read_config(folder)
    panels, warnings = draw.read_curves(folder / "metrics.jsonl")
    lines = sum(map(len, panels.values()))
    most = max(10, min(400, room // 3 // POINT // max(lines, 1)))
    drawn = {term: {source: draw.thinned(points, most) for source, points in of.items()} for term, of in panels.items()}
    drawn = {t: {s: points for s, points in of.items() if points} for t, of in drawn.items()}
    step = max((step for of in panels.values() for points in of.values() for step, _ in points), default=0)
    room -= POINT * sum(len(points) for of in drawn.values() for points in of.values())
    pictures, sounds, left_out = _media(folder, room)
    left_out += [f"The numbers of '{term}' are not finite." for term, of in drawn.items() if not of]
    if len(warnings) > MOST_WARNINGS:
        left_out.append(f"{len(warnings) - MOST_WARNINGS:,} earlier warnings are in metrics.jsonl.")
    thumbnails = [path for group in ("samples", "density") for _, path in _groups(folder).get(group, [])[-1:]]
    steps = config["flags"].get("steps")
    further = f" of {steps:,}" if isinstance(steps, int) and steps > step else ""
    reached = f"step {step:,}{further}" if step else ""
    return Run(
        name=name,
        lead=" · ".join(filter(None, (title_of(folder), reached))),
        card=card_of(config, folder),
        flags=flags_of(config),
        thumbnail=_thumbnail(thumbnails),
        pictures=pictures,
        sounds=sounds,
        panels=[Panel(term or "metric", of) for term, of in drawn.items() if of],
        scores=scores_of(scores) if scores else (),
        protocol=protocol_of(scores) if scores else "",
        warnings=warnings[-MOST_WARNINGS:],
        notes=[*notes, *left_out],
    )


def _thumbnail(paths: Sequence[Path]) -> embed.Embedded | None:
    try:
        return embed.embed_thumbnail(paths[0]) if paths else None
    except UserError:
        return None  # the picture itself says what is wrong


def _groups(folder: Path) -> dict[str, list[tuple[int | None, Path]]]:
    """Picture files by what they show, the known first, each with its steps in order."""
    groups: dict[str, list[tuple[int | None, Path]]] = {}
    for path in sorted([*folder.glob("pictures/*.png"), *folder.glob("page/*.png")], key=lambda path: path.name):
        if found := re.fullmatch(r"(.+)-(\d+)", path.stem):
            groups.setdefault(found[1], []).append((int(found[2]), path))
    for path in sorted(folder.glob("latent/*.png")):
        if path.stem not in groups or path.stat().st_mtime > groups[path.stem][-1][1].stat().st_mtime:
            groups[path.stem] = [(None, path)]
    for path in sorted(folder.glob("*.png")):
        if path.stem != "curves":
            groups.setdefault(path.stem, [(None, path)])
    order = {name: index for index, name in enumerate(KNOWN)}
    for frames in groups.values():
        frames.sort(key=lambda frame: frame[0] or 0)
    return dict(sorted(groups.items(), key=lambda group: (order.get(group[0], len(order)), group[0])))


def _media(folder: Path, room: int) -> tuple[list[Picture], list[Sound], list[str]]:
    """As many pictures and sounds as there is room for, in bytes, and sentences about the others."""
    shown: dict[str, list] = {}
    sounds, left_out, groups = [], [], _groups(folder)
    for name, frames in groups.items():
        step, path = frames[-1]
        try:
            one = embed.embed_picture(path)
        except (UserError, FileNotFoundError) as error:
            left_out.append(str(error))
            continue
        if len(one.uri) > room:
            left_out.append(f"{path.relative_to(folder)} was left out: the page would be above 3 MB.")
            continue
        room -= len(one.uri)
        shown[name] = [(step, one)]
    files = sorted([*folder.glob("*.wav"), *folder.glob("page/*.wav")], key=lambda path: _natural(path.name))
    for path in files[:MOST_SOUNDS]:
        try:
            sound, spectrogram = embed.embed_sound(path)
        except (UserError, FileNotFoundError) as error:
            left_out.append(str(error))
            continue
        if len(sound.uri) + len(spectrogram.uri) > room:
            left_out.append(f"{path.name} was left out: the page would be above 3 MB.")
            continue
        room -= len(sound.uri) + len(spectrogram.uri)
        sounds.append(Sound(path.stem, embed.seconds(sound), sound, spectrogram))
    if len(files) > MOST_SOUNDS:
        left_out.append(f"{len(files) - MOST_SOUNDS} more sounds are in the run folder.")
    for name in shown:
        earlier, used = _earlier(groups[name][:-1], room)
        room -= used
        shown[name] = [*earlier, *shown[name]]
        if len(shown[name]) < len(groups[name]):
            count = f"{len(shown[name])} of the {len(groups[name])}"
            left_out.append(f"The page has {count} pictures '{name}'; all are in the run folder.")
    pictures = [Picture(*KNOWN.get(name, (name, "")), frames) for name, frames in shown.items()]
    return pictures, sounds, left_out


def _earlier(frames: Sequence[tuple[int | None, Path]], room: int) -> tuple[list, int]:
    """Evenly many of the earlier frames of a slider: as many as there is room for; and the bytes they take."""
    for count in range(min(len(frames), MOST_FRAMES - 1), 0, -1):
        chosen = [frames[i * len(frames) // count] for i in range(count)]
        found = []
        for step, path in chosen:
            try:
                found.append((step, embed.embed_picture(path)))
            except (UserError, FileNotFoundError):
                continue
        if (used := sum(len(one.uri) for _, one in found)) <= room:
            return found, used
    return [], 0


def _natural(name: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
