"""The heap against the memory that the system really gives to blocks that are written to, and against what is alive."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia.trainers.local.heap import Heap, is_glibc

pytestmark = pytest.mark.skipif(not is_glibc(), reason="another allocator")

_WRITTEN = """
import ctypes, json, os
from pathlib import Path
from pericia.trainers.local.heap import Heap


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


MB = 1_000_000


def play(take, give_back):
    # Rounds of larger and larger blocks, of which every other stays: what is freed between them fits no later one.
    give_back(take(31 * MB), 31 * MB)  # from now on glibc keeps blocks below this size
    blocks, alive, most = [], 0, 0
    for size in (3 * MB, 5 * MB, 8 * MB, 12 * MB):
        new = [(take(size), size) for _ in range(8)]
        alive += 8 * size
        most = max(most, alive)
        for block in new[::2]:
            give_back(*block)
            alive -= size
        blocks += new[1::2]
    for block in blocks:
        give_back(*block)
    return most


heap = Heap()
alive = play(heap.take, heap.give_back)
before, peak = resident(), 0


def write(size):
    global peak
    address = heap.take(size)
    ctypes.memset(address, 1, size)
    peak = max(peak, resident() - before)
    return address


foreseen = heap.peak_bytes
play(write, heap.give_back)
print(json.dumps({"foreseen": foreseen, "measured": peak, "alive": alive}))
"""


def test_what_is_foreseen_is_what_written_blocks_take() -> None:
    """In a process of its own, whose heap nothing else uses meanwhile."""
    done = subprocess.run([sys.executable, "-c", _WRITTEN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["foreseen"] == pytest.approx(found["measured"], rel=0.12)
    assert found["foreseen"] > 1.2 * found["alive"]  # what counting the blocks alone would miss


@given(st.lists(st.integers(1, 50_000_000), max_size=30))
def test_it_holds_at_least_what_is_alive(sizes: list[int]) -> None:
    heap = Heap()
    blocks = [(heap.take(size), size) for size in sizes]
    assert heap.peak_bytes >= sum(sizes)
    assert len({address for address, _ in blocks}) == len(blocks)
    for address, size in blocks:
        heap.give_back(address, size)


def test_a_block_for_which_there_is_no_room_counts() -> None:
    heap = Heap()
    address = heap.take(2**60)
    assert address == 0
    assert heap.peak_bytes == 2**60
    heap.give_back(address, 2**60)
