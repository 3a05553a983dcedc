"""The register tile: the inner loop of every matrix product.

A processor begins two fused multiply-adds per cycle; each takes four cycles, and each needs its
numbers in registers. So a product is cut into tiles of, say, 6 rows by 2 vectors: the tile's 12
sums stay in registers while k runs over the whole depth, and each k costs 2 loads of vectors and 6
of single numbers for 12 multiply-adds:

    for k:  sums[i, v] = fma(a[row i, k] in every lane, b[k, vector v], sums[i, v])

The sums begin at zero, and what the result starts from (a bias, or what it held) is added at the
end. So each element of a product is one chain of fused multiply-adds, k ascending, whatever the
tile's shape and place.

For vectors of consecutive k to lie side by side, the right factor b (K, N) is packed first
(`packing.py`): cut into panels as wide as a vector, panel j holding columns j * lanes and on, row
by row, the last one filled up with zeros. Tiles of any shape read such panels.

A sum of several products (the offsets of a TDNN) is one such chain as well: the tile then runs over
one matrix after the other before it stores anything. They are its segments: for each, the list of
the rows that it takes from a, and the place of its panels.

A tile at the lower edge repeats its last row, one at the right edge its last panel; what it
computed twice it stores once. Masked loads and stores, which are slow, serve edges only.
"""

from typing import Any

from fastrnn.jit import inlined, part
from fastrnn.simd import (
    REGISTERS,
    broadcast,
    fma,
    get,
    item,
    lanes,
    load,
    load_part,
    maximum,
    put,
    registers,
    store,
    store_part,
)

__all__ = [
    "MANY_ROWS",
    "SOME_ROWS",
    "add_vector",
    "tile_many",
    "tile_row",
    "tile_row_end",
    "tile_some",
]


def _make_tile(rows: int, vectors: int) -> Any:
    count = rows * vectors

    @inlined
    def tile(
        a, a_rows, depth, panels, begins, start, start_rows, c, c_rows, floor,
        first, end, panel, end_panel,
    ):  # fmt: skip
        """Set c to start + sum of products in rows c_rows[first:end], columns from `panel` on.

        a (., >= depth), start and c (., N) C-contiguous. Segment j takes the rows listed in
        a_rows[j * c_rows.size:], and its flat panels begin at begins[j]. Only as many rows as the
        tile has, and only panels before `end_panel`. What is below `floor`, a number or None,
        becomes that.
        """
        step, width = lanes(c), c.shape[1]
        last, last_panel = end - 1, end_panel - 1
        a_starts = registers(0, rows)
        b_starts = registers(0, vectors)
        zero = broadcast(c.dtype.type(0))
        b = registers(zero, vectors)
        sums = registers(zero, count)
        for j in range(len(begins)):
            for i in range(rows):
                row = a_rows[j * c_rows.size + min(first + i, last)]
                put(a_starts, i, row * a.shape[1])
            for v in range(vectors):
                put(b_starts, v, begins[j] + min(panel + v, last_panel) * depth * step)
            for k in range(depth):
                for v in range(vectors):
                    put(b, v, load(panels, get(b_starts, v) + k * step))
                for i in range(rows):
                    x = broadcast(item(a, get(a_starts, i) + k))
                    for v in range(vectors):
                        s = i * vectors + v
                        put(sums, s, fma(x, get(b, v), get(sums, s)))
        column = panel * step
        if first + rows <= end and column + vectors * step <= min(width, end_panel * step):
            for i in range(rows):
                source = start_rows[first + i] * width + column
                target = c_rows[first + i] * width + column
                for v in range(vectors):
                    total = load(start, source + v * step) + get(sums, i * vectors + v)
                    if floor is not None:
                        total = maximum(total, broadcast(floor))
                    store(c, target + v * step, total)
            return
        for i in range(rows):
            if first + i <= last:
                source, target = start_rows[first + i] * width, c_rows[first + i] * width
                for v in range(vectors):
                    if panel + v <= last_panel:
                        j = column + v * step
                        total = load_part(start, source + j, width - j) + get(sums, i * vectors + v)
                        if floor is not None:
                            total = maximum(total, broadcast(floor))
                        store_part(c, target + j, total, width - j)

    return tile


@part
def add_vector(c, index, vec, count):
    """Add a vector, or its first `count` lanes, to consecutive numbers."""
    if count >= lanes(c):
        store(c, index, load(c, index) + vec)
    else:
        store_part(c, index, load_part(c, index, count) + vec, count)


# Shapes (rows, vectors): at least 8 sums, because two multiply-adds begin per cycle and each takes
# four, and no more than leave registers for the factors. One row alone takes many panels at once;
# what then remains of it takes two.
MANY_ROWS = 8 if REGISTERS == 32 else 6
SOME_ROWS = 4
tile_many = _make_tile(MANY_ROWS, 2)
tile_some = _make_tile(SOME_ROWS, 2)
tile_row = _make_tile(1, 8)
tile_row_end = _make_tile(1, 2)
