"""The benchmark of truncation: a row for each length, memory that does not grow with it."""

import shlex

from benchmarks.truncation.__main__ import main


def test_table(capsys):
    main(shlex.split("--steps 96 384 --truncation 16 32 --batch 8 --hidden 16 --repeats 1"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Elman") and "(16, 32)" in lines[1] and len(lines) == 4
    first, second = ([float(number) for number in line.split()] for line in lines[2:])
    assert (first[0], second[0]) == (96, 384) and first[1] > first[2]
    assert second[1] > 3 * first[1] and second[2] <= 1.5 * first[2] and second[3] > 0
