"""The command line: at most twelve verbs, each a thin door to a function of the rivers."""


def main() -> None:
    """Run the command line; exit code 0 done, 1 fault of the run, 2 fault of the input."""
