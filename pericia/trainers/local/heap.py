"""How much memory the allocator will hold for the tensors of a training, which on a CPU is more than what is alive.

glibc keeps freed blocks below its moving threshold (32 MB at most), and tensors of other lengths leave gaps between them
that fit nothing. No formula tells how much that is: it depends on sizes and order, and on what else lies in the heap. So
the blocks of a dry run are taken from the allocator of this very process, in their order, and given back, without
anything being written to them: unwritten pages take no memory. The pages that the training will write are counted.
"""

import ctypes
import os
import platform

_ALIGNMENT = 64  # torch's (c10/core/alignment.h)
_PAGE_BITS = 12
_REGION_BITS = 18  # pages of a region, as a power of two: 1 GiB
_IS_MAPPED = (
    2  # flag in the size field before a block: it has pages of its own (malloc.c, IS_MMAPPED)
)


class Heap:
    """Blocks of the allocator that nobody writes to. `peak_bytes` is the most that writing to them all would take."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._libc.posix_memalign.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
        self._libc.free.argtypes = [ctypes.c_void_p]
        self._libc.sbrk.argtypes = [ctypes.c_ssize_t]
        self._libc.sbrk.restype = ctypes.c_void_p
        self._regions: dict[int, bytearray] = {}  # a byte a page: 1 once a block has lain there
        self._end = self._page_of_end()
        self._num_pages = 0
        self._mapped_bytes = 0
        self.peak_bytes = 0

    def take(self, num_bytes: int) -> int:
        """Return the address of a new block; 0 if there is no room for it, and then it counts all the same."""
        pointer = ctypes.c_void_p()
        failed = self._libc.posix_memalign(ctypes.byref(pointer), _ALIGNMENT, num_bytes)
        address = 0 if failed else pointer.value or 0
        if self._is_mapped(address):
            self._mapped_bytes += num_bytes
        else:
            first, last = address >> _PAGE_BITS, (address + num_bytes - 1) >> _PAGE_BITS
            self._end = max(self._end, self._page_of_end())
            self._mark(first, last + 1, 1)
        held = (self._num_pages << _PAGE_BITS) + self._mapped_bytes
        self.peak_bytes = max(self.peak_bytes, held)
        return address

    def give_back(self, address: int, num_bytes: int) -> None:
        """Free a block that `take` returned."""
        if self._is_mapped(address):
            self._mapped_bytes -= num_bytes
        self._libc.free(address)
        end = self._page_of_end()
        if end < self._end:  # the top of the heap went back to the system
            self._mark(end, self._end, 0)
            self._end = end

    def _mark(self, start: int, end: int, value: int) -> None:
        while start < end:
            number, place = divmod(start, 1 << _REGION_BITS)
            length = min(end - start, (1 << _REGION_BITS) - place)
            region = self._regions.setdefault(number, bytearray(1 << _REGION_BITS))
            part = slice(place, place + length)
            changed = region.count(1 - value, part.start, part.stop)
            if changed:
                region[part] = bytes([value]) * length
                self._num_pages += changed if value else -changed
            start += length

    def _page_of_end(self) -> int:
        return int(self._libc.sbrk(0)) >> _PAGE_BITS

    @staticmethod
    def _is_mapped(address: int) -> bool:
        field = address - ctypes.sizeof(ctypes.c_size_t)
        return not address or bool(ctypes.c_size_t.from_address(field).value & _IS_MAPPED)


def is_glibc() -> bool:
    """Return whether this process takes its memory from glibc, whose heap is known here."""
    return platform.libc_ver()[0] == "glibc" and "alloc" not in os.environ.get("LD_PRELOAD", "")
