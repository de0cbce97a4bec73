"""genjax-zoo explain: prints what each player minimises."""

from genjax_zoo.cli.flags import File, Words, everything_of, load, parse_experiment


def explain(file: File, flags: Words = ()) -> None:
    """Print what each player minimises, as formulas with their weights; takes the flags of `train`.

    Args:
        file: a Python file with a function `experiment`, or the name of one that `genjax-zoo list` shows.
        flags: its function's arguments.
    """
    from genjax_zoo import runs
    from genjax_zoo.runs.objective import explain as explained

    make = load(file, flags)
    asked = everything_of(*parse_experiment(make, file, flags, "explain"))
    experiment = runs.build(make, asked)
    runs.check_heard(make, asked, experiment)
    print(explained(experiment))
