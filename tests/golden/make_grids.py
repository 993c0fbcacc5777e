"""Writes src/dtype/grids.c: the code books of the IQ formats, numbers of the GGUF format that its `gguf` package holds.

    python3 tests/golden/make_grids.py > src/dtype/grids.c       # needs the gguf package
"""
import gguf.quants as q

print("""/* The code books of the IQ formats: facts of the GGUF format, written by
 * tests/golden/make_grids.py from the values in the public gguf package. Each entry is a point of
 * the grid: 2 bits for each of 8 coordinates (IQ1, IQ2), 3 bits for each of 4 (IQ3), the first
 * lowest. */
#include "dtype/grids.h"
""")
for cls, name, bits in ((q.IQ2_XXS, "iq2_xxs", 2), (q.IQ2_XS, "iq2_xs", 2), (q.IQ2_S, "iq2_s", 2),
                        (q.IQ3_XXS, "iq3_xxs", 3), (q.IQ3_S, "iq3_s", 3), (q.IQ1_S, "iq1", 2)):
    cls.init_grid()
    grid = cls.grid.reshape(cls.grid_shape)
    index = {v: i for i, v in enumerate(cls.grid_map)}
    words = [sum(index[int(v)] << bits * i for i, v in enumerate(row)) for row in grid]
    print(f"const uint16_t hone_grid_{name}[{len(words)}] = {{")
    for i in range(0, len(words), 12):
        print("    " + ", ".join(f"0x{w:04x}" for w in words[i:i + 12]) + ",")
    print("};\n")
