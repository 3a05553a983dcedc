"""Runs the kernels of `fastrnn.cuda` on the CPU, as they stand, thread by thread.

    with emulated_device("desc", watch=True):
        state = fastrnn.cuda.elman.elman_forward(copy_to_device(x), ...)
        h = copy_to_host(state.h)

Every CUDA thread is a greenlet that runs until it must wait: at a barrier, in a shuffle, or before
it reads what another block may write. Who goes first is the `order`: "asc" by block and thread,
"desc" the reverse, an integer seeds a shuffle that changes at every turn. Blocks of a cooperative
launch all live at once; those of any other launch run one after another, so that none can wait for
another. Shared and private memory begin as NaN, threads that wait for ever are a `Deadlock`.

With ``watch=True`` every access is written down, and two threads that use the same number, one of
them to write, with no barrier between them are a `Race`; so is an index out of its array. With
``without=("name", k)`` the k-th `syncthreads` in the source of that kernel does nothing: a test
that every barrier is needed, and that a missing one is caught.

The stand-ins below are those of `fastrnn.cuda.intrinsics` and of the parts of `numba.cuda` that the
kernels use; a kernel that needs more finds out by an AttributeError.
"""

import contextlib
import contextvars
import ctypes
import dataclasses
import functools
import inspect
import math
import random
import sys
import types
import weakref

import numpy as np
from greenlet import getcurrent, greenlet

from fastrnn.cuda import intrinsics, launching

# Turns in which threads only read what other blocks may write, and nothing else happens.
_PATIENCE = 300
_POISON = {"f": np.nan, "i": -0x5A5A5A5B, "u": 0xA5, "b": True}


class Deadlock(RuntimeError):
    """No thread can go on."""


class Race(RuntimeError):
    """Two threads use the same memory, and nothing says which one comes first."""


@contextlib.contextmanager
def emulated_device(order="asc", *, multiprocessors=4, watch=False, without=None):
    """Let the host's memory and this file stand for a GPU; see the module."""
    real, stand_in = launching.device, _Device(order, multiprocessors, watch, without)
    launching.device = stand_in
    try:
        yield stand_in
    finally:
        launching.device = real


@dataclasses.dataclass
class _Device:
    """Does what `launching.Gpu` does; `launches` lists the kernels' names."""

    order: object
    processors: int
    watch: bool
    without: object
    launches: list = dataclasses.field(default_factory=list)

    def why_not(self):
        return ""

    def multiprocessors(self):
        return self.processors

    def capability(self):
        return 9, 0

    def fits_together(self, kernel, blocks, block, shared):
        return blocks <= self.processors

    def allocate(self, nbytes, stream):
        owner = np.full(nbytes + 16, 0xA5, np.uint8)
        return -(-owner.ctypes.data // 16) * 16, owner

    def repeat(self, pointer, bits, width, count, stream):
        _memory(pointer, {1: np.uint8, 4: np.uint32}[width], count)[:] = bits

    def upload(self, pointer, host, stream):
        _memory(pointer, np.uint8, host.nbytes)[:] = host.reshape(-1).view(np.uint8)

    def download(self, host, pointer, stream):
        host.reshape(-1).view(np.uint8)[:] = _memory(pointer, np.uint8, host.nbytes)

    def wait(self, stream, other):
        """Do nothing: all work is done at once."""

    def synchronize(self):
        """Do nothing either."""

    def launch(self, kernel, grid, block, arguments, stream, shared, cooperative):
        self.launches.append(kernel.name)
        _Launch(self, kernel, grid, block, shared).run(arguments, cooperative)


def _memory(pointer, dtype, size):
    """Return the numbers at an address."""
    if size == 0:
        return np.empty(0, dtype)
    raw = (ctypes.c_char * (size * np.dtype(dtype).itemsize)).from_address(pointer)
    return np.frombuffer(raw, dtype)


@dataclasses.dataclass(slots=True)
class _Triple:
    x: int
    y: int
    z: int


class _Thread:
    __slots__ = (
        "answer", "barriers", "block", "index", "lane", "place", "run", "wait", "warp", "warp_syncs"
    )  # fmt: skip

    def __init__(self, block, number, threads, place):
        x, y, _ = threads
        self.block, self.lane, self.place = block, number % 32, place
        self.warp = block.warps.setdefault(number // 32, _Warp())
        self.index = _Triple(number % x, number // x % y, number // (x * y))
        self.wait = self.answer = None
        self.barriers = self.warp_syncs = 0

    def __repr__(self):
        return f"thread {self.index.x} of block {self.block.index.x}"


def _place(item):
    """Return a number that orders the blocks of a grid, or threads."""
    return item.place if isinstance(item, _Thread) else (item.z, item.y, item.x)


class _Warp:
    def __init__(self):
        self.live, self.waiting = 0, {}  # bits of lanes; threads by their lane


class _Block:
    def __init__(self, index, launch):
        self.index, self.launch, self.arrays, self.warps = index, launch, {}, {}
        self.live, self.waiting = 0, []
        self.dynamic = np.full(launch.shared + 16, 0xFF, np.uint8)


now = None  # the thread that runs


class _Launch:
    """One launch of a kernel: its blocks, its threads, and what they wait for."""

    def __init__(self, device, kernel, grid, block, shared):
        self.device, self.kernel, self.grid, self.block = device, kernel, grid, block
        self.shared, self.accesses, self.moves = shared, {} if device.watch else None, 0
        self.random = random.Random(device.order if isinstance(device.order, int) else 0)
        self.function = _emulated(kernel.function)
        self.skipped, self.blocks, self.ready = None, [], []
        if device.without is not None and device.without[0] == kernel.name:
            self.skipped = barrier_lines(kernel)[device.without[1]]

    def run(self, arguments, cooperative):
        values = [
            self._argument(*pair) for pair in zip(self.kernel.signature, arguments, strict=True)
        ]
        x, y, z = self.grid
        indices = [_Triple(i % x, i // x % y, i // (x * y)) for i in range(x * y * z)]
        groups = [indices] if cooperative else [[index] for index in self._ordered(indices)]
        context = contextvars.copy_context()
        context.run(np.seterr, all="ignore")
        for group in groups:
            self._run_blocks([_Block(index, self) for index in group], values, context)

    def _argument(self, name, value):
        if name.endswith("*"):
            dtype = np.dtype(name[:-1])
            if value is None:
                return np.empty(0, dtype)
            return self.watched(_memory(value.pointer, dtype, value.size))
        return int(value) if name.startswith("int") else np.dtype(name).type(value)

    def watched(self, array):
        return array if self.accesses is None else _Watched(array, self)

    def _ordered(self, items):
        if isinstance(self.device.order, int):
            self.random.shuffle(items)
            return items
        return sorted(items, key=_place, reverse=self.device.order == "desc")

    def _run_blocks(self, blocks, values, context):
        global now
        self.blocks += blocks  # their addresses are not used again within this launch
        hub, call = getcurrent(), functools.partial(self.function, *values)
        for block in blocks:
            block.live = math.prod(self.block)
            for number in range(block.live):
                thread = _Thread(block, number, self.block, len(self.ready))
                thread.run = greenlet(call, hub)
                thread.run.gr_context = context
                thread.warp.live |= 1 << thread.lane
                self.ready.append(thread)
        idle = 0
        while self.ready:
            turn, self.ready, before = self._ordered(self.ready), [], self.moves
            for now in turn:
                now.wait, polled = None, now.wait is not None
                now.run.switch()
                self._sort(now, polled)
            idle = 0 if self.moves > before else idle + 1
            if idle > _PATIENCE:
                self._hopeless(self.ready)
        for block in blocks:
            if block.live:
                stuck = [
                    thread for warp in block.warps.values() for thread in warp.waiting.values()
                ]
                self._hopeless(block.waiting + stuck)

    def _hopeless(self, threads):
        waits = sorted({f"{thread.wait[0]} at line {thread.wait[1]}" for thread in threads})
        raise Deadlock(f"{self.kernel.name}: threads wait for ever: {', '.join(waits)}")

    def _sort(self, thread, polled):
        """Put a thread that has stopped where it belongs; let those go on that waited for it."""
        block, warp = thread.block, thread.warp
        kind = "end" if thread.run.dead else thread.wait[0]
        self.moves += not (polled and kind == "poll")
        if kind == "poll":
            self.ready.append(thread)
        elif kind == "barrier":
            block.waiting.append(thread)
        elif kind == "warp":
            warp.waiting[thread.lane] = thread
        else:
            block.live -= 1
            warp.live &= ~(1 << thread.lane)
        if kind in ("barrier", "end") and block.live and len(block.waiting) == block.live:
            self._release_block(block)
        if kind in ("warp", "end") and warp.waiting:
            self._release_warp(warp)

    def _release_block(self, block):
        """Let the threads of a block go on, which have all come to its barrier."""
        threads, block.waiting = block.waiting, []
        if len({thread.wait[1] for thread in threads}) > 1:
            raise Deadlock(f"{self.kernel.name}: threads of a block wait at different barriers")
        verdict = functools.reduce(threads[0].wait[2], [thread.wait[3] for thread in threads])
        for thread in threads:
            thread.wait, thread.answer = None, verdict
            thread.barriers += 1
        self.ready += threads

    def _release_warp(self, warp):
        """Let the lanes of a warp go on that have all come to the same exchange."""
        for wait in {thread.wait[:3]: thread.wait for thread in warp.waiting.values()}.values():
            group = [
                (lane, thread) for lane, thread in warp.waiting.items()
                if thread.wait[:3] == wait[:3]
            ]  # fmt: skip
            if sum(1 << lane for lane, _ in group) != wait[2] & warp.live:
                continue
            sent = {lane: thread.wait[4] for lane, thread in group}
            for lane, thread in group:
                thread.answer = wait[3](lane, thread.wait[5], sent)
                thread.wait = None
                thread.warp_syncs += wait[6]
                del warp.waiting[lane]
                self.ready.append(thread)


def _stop(*wait):
    """Let the others run until what the thread waits for has come; return what that gave."""
    thread = now
    thread.wait = wait
    thread.run.parent.switch()
    return thread.answer


def _line():
    return sys._getframe(2).f_lineno


def barrier_lines(kernel):
    """Return the lines of a kernel's source that hold a barrier of its block."""
    lines, first = inspect.getsourcelines(kernel.function)
    return [first + i for i, line in enumerate(lines) if "cuda.syncthreads" in line]


class _Watched:
    """An array that writes down who uses it; for shared and global memory."""

    __slots__ = ("array", "dtype", "launch", "origin", "size")

    def __init__(self, array, launch):
        self.array, self.launch, self.size, self.dtype = array, launch, array.size, array.dtype
        self.origin = array.ctypes.data

    def __getitem__(self, i):
        self.note(i, write=False)
        return self.array[i]

    def __setitem__(self, i, value):
        self.note(i, write=True)
        self.array[i] = value

    def note(self, i, write, strong=False):
        if not 0 <= i < self.size:
            raise IndexError(f"{self.launch.kernel.name}: index {i} of {self.size}, {now!r}")
        place = self.origin + int(i) * self.dtype.itemsize
        writer, readers = self.launch.accesses.get(place, (None, {}))
        stamp = (now, now.barriers, now.warp_syncs, strong)
        earlier = [writer] if writer else []
        if write:
            earlier += readers.values()
        for other in earlier:
            if not (strong and other[3]) and not _comes_before(other):
                what = "written" if write else "read"
                raise Race(
                    f"{self.launch.kernel.name}: number {i} is {what} by {now!r} in line "
                    f"{sys._getframe(2).f_lineno} and used by {other[0]!r}, no barrier between"
                )
        if write:
            self.launch.accesses[place] = (stamp, {})
        else:
            readers[id(now)] = stamp
            self.launch.accesses[place] = (writer, readers)


def _comes_before(stamp):
    """Return whether an access is over, by a barrier, before the running thread's next one."""
    other, barriers, warp_syncs, _ = stamp
    if other is now:
        return True
    if other.block is not now.block:
        return False
    if barriers < now.barriers:
        return True
    return other.warp == now.warp and warp_syncs < now.warp_syncs


def _plain(array):
    return array.array if isinstance(array, _Watched) else array


def _noted(array, i, count, write, strong=False):
    if isinstance(array, _Watched):
        for k in range(count):
            array.note(i + k, write, strong)


class _SharedMemory:
    def array(self, shape, dtype, alignment=16):
        block, dtype = now.block, np.dtype(dtype)
        if shape == 0:
            start = -block.dynamic.ctypes.data % 16
            whole = (block.dynamic.size - 16) // dtype.itemsize * dtype.itemsize
            return block.launch.watched(block.dynamic[start : start + whole].view(dtype))
        frame = sys._getframe(1)
        key = (frame.f_code, frame.f_lasti)
        if key not in block.arrays:
            block.arrays[key] = block.launch.watched(_poisoned(shape, dtype))
        return block.arrays[key]


class _LocalMemory:
    def array(self, shape, dtype, alignment=16):
        return _poisoned(shape, np.dtype(dtype))


def _poisoned(shape, dtype):
    raw = np.empty(math.prod(np.atleast_1d(shape)) * dtype.itemsize + 16, np.uint8)
    start = -raw.ctypes.data % 16
    array = raw[start : start + raw.size - 16].view(dtype)
    array.fill(_POISON[dtype.kind])
    return array


def _shuffled(source):
    """Return the warp's exchange in which each lane takes the value of lane source(lane, by)."""

    def take(lane, by, sent):
        origin = source(lane, int(by))
        if origin not in sent:
            raise RuntimeError(f"a shuffle takes the value of lane {origin}, which does not run")
        return sent[origin]

    return take


_EXCHANGES = {
    "shfl_sync": _shuffled(lambda lane, by: by % 32),
    "shfl_xor_sync": _shuffled(lambda lane, by: lane ^ by),
    "shfl_up_sync": _shuffled(lambda lane, by: lane - by if lane >= by else lane),
    "shfl_down_sync": _shuffled(lambda lane, by: lane + by if lane + by < 32 else lane),
    "any_sync": lambda lane, _, sent: any(sent.values()),
    "all_sync": lambda lane, _, sent: all(sent.values()),
    "ballot_sync": lambda lane, _, sent: sum(1 << k for k, value in sent.items() if value),
    "syncwarp": lambda lane, _, sent: None,
}


def _exchange(name):
    def call(self, mask=0xFFFFFFFF, value=None, by=0):
        wait = ("warp", _line(), int(mask) & 0xFFFFFFFF, _EXCHANGES[name], value, by)
        return _stop(*wait, int(name == "syncwarp"))

    return call


class _Cuda:
    """Stands for the module `numba.cuda` in a kernel."""

    warpsize = 32
    shared, local = _SharedMemory(), _LocalMemory()
    threadIdx = property(lambda self: now.index)
    blockIdx = property(lambda self: now.block.index)
    blockDim = property(lambda self: _Triple(*now.block.launch.block))
    gridDim = property(lambda self: _Triple(*now.block.launch.grid))
    laneid = property(lambda self: now.lane)

    def syncthreads(self):
        if _line() != now.block.launch.skipped:
            _stop("barrier", _line(), lambda a, b: None, None)

    def popc(self, bits):
        return int(bits & 0xFFFFFFFFFFFFFFFF).bit_count()

    def syncthreads_or(self, condition):
        return _stop("barrier", _line(), lambda a, b: a or b, bool(condition))

    def syncthreads_and(self, condition):
        return _stop("barrier", _line(), lambda a, b: a and b, bool(condition))

    def syncthreads_count(self, condition):
        return _stop("barrier", _line(), lambda a, b: a + b, int(bool(condition)))


for _name in _EXCHANGES:
    setattr(_Cuda, _name, _exchange(_name))


def _copy16(target, at, source, index):
    count = 16 // target.dtype.itemsize
    for array, i in (target, at), (source, index):
        if (_plain(array).ctypes.data + i * array.dtype.itemsize) % 16:
            raise RuntimeError(f"{now!r}: an address of copy16 is not aligned to 16 bytes")
        if not 0 <= i <= array.size - count:
            raise IndexError(f"{now!r}: copy16 of elements {i} on, of {array.size}")
    _noted(source, index, count, write=False)
    _noted(target, at, count, write=True)
    _plain(target)[at : at + count] = _plain(source)[index : index + count]


def _load16_words(words, at, source, index):
    _stop("poll", _line())
    count = 16 // source.dtype.itemsize
    if not 0 <= index <= source.size - count:
        raise IndexError(f"{now!r}: load16_words of elements {index} on, of {source.size}")
    _noted(source, index, count, write=False, strong=True)
    words[at : at + 4] = _plain(source)[index : index + count].view(np.int32)


def _store16_words(target, at, words, index):
    count = 16 // target.dtype.itemsize
    if not 0 <= at <= target.size - count:
        raise IndexError(f"{now!r}: store16_words of elements {at} on, of {target.size}")
    _noted(target, at, count, write=True)
    _plain(target)[at : at + count] = words[index : index + 4].view(target.dtype)


def _store_strong(target, at, value):
    if not 0 <= at < target.size:
        raise IndexError(f"{now!r}: store_strong of element {at}, of {target.size}")
    _noted(target, at, 1, write=True, strong=True)
    now.block.launch.moves += 1
    _plain(target)[at] = value


class _Math:
    """Stands for the module `math` in a kernel: of the argument's type, with no exceptions."""

    def __getattr__(self, name):
        return getattr(np if callable(getattr(math, name)) else math, name)


_STAND_INS = {
    id(intrinsics.cuda): _Cuda(),
    id(math): _Math(),
    id(intrinsics.copy16): _copy16,
    id(intrinsics.load16_words): _load16_words,
    id(intrinsics.store_strong): _store_strong,
    id(intrinsics.store16_words): _store16_words,
}
_made = weakref.WeakKeyDictionary()


def _emulated(function):
    """Return a function whose `cuda`, `math`, intrinsics and device functions are stand-ins."""
    if function not in _made:
        names = dict(function.__globals__)
        cells = tuple(types.CellType() for _ in function.__closure__ or ())
        made = types.FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, cells or None
        )
        _made[function] = made
        used = set(function.__code__.co_names)
        names.update({name: _stand_in(names[name]) for name in used & set(names)})
        for cell, old in zip(cells, function.__closure__ or (), strict=True):
            cell.cell_contents = _stand_in(old.cell_contents)
    return _made[function]


def _stand_in(value):
    if id(value) in _STAND_INS:
        return _STAND_INS[id(value)]
    inner = getattr(value, "py_func", value)  # a device function of numba-cuda
    if isinstance(inner, types.FunctionType) and inner.__module__.startswith(
        ("fastrnn", "tdnn", "test_")
    ):
        return _emulated(inner)
    return value
