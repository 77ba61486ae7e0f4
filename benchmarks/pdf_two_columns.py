"""Reads a two-column manual of 30 headings, 120 paragraphs and 30 ruled tables of 5 rows, and counts what is right.

Run: python -m benchmarks.pdf_two_columns
"""

import tempfile
import time
from pathlib import Path

from pericia.documents import read_here
from pericia.draft import Limits
from tests.documents import two_columns

NUM_SECTIONS = 30

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "manual.pdf")
        two_columns.make(path, NUM_SECTIONS, sentences=9)
        begin = time.perf_counter()
        document = read_here(path, path.name, "", Limits())
        seconds = time.perf_counter() - begin
    pages = max(block.place.page or 0 for block in document.blocks)
    headings = sum(block.kind == "heading" for block in document.blocks)
    print(f"pages {pages}, headings {headings} of {NUM_SECTIONS}")
    print(
        f"paragraphs in order {two_columns.in_order(document, NUM_SECTIONS)} of {4 * NUM_SECTIONS}"
    )
    print(f"table rows {two_columns.rows_kept(document, NUM_SECTIONS)} of {5 * NUM_SECTIONS}")
    print(f"seconds {seconds:.2f}")
