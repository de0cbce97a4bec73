"""`python -m genjax_zoo`: the command line."""

from genjax_zoo.cli import command

if __name__ == "__main__":
    command()
