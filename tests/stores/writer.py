"""A process that replaces documents and says after each commit what is now in the store; run by the contract test."""

import sys
from pathlib import Path

from pericia import stores
from tests.stores.entries import DIMENSIONS, document, document_id


def main(store_name: str, folder: str, prefix: str, rounds: int) -> None:
    store = stores.load(store_name, Path(folder), "fake", DIMENSIONS)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for i in range(rounds):
        name = f"{prefix}{i % 4}"
        store.replace({document_id(name): document(name, f"gen{i}")})
        sys.stdout.write(f"{name} gen{i}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
