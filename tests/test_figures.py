"""The figures: what they show comes from the graphs, and the files are sound."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

import fastrnn
from fastrnn import figures
from fastrnn.__main__ import main
from fastrnn.figures import FIGURES, draw
from fastrnn.graph import arrows_between, fold, symbol_and_time, unfold

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture, layer=2):
    """Return what is written in the circles (layer 2), or on the arrows (layer 1)."""
    group = ET.fromstring(picture).findall(f"{SVG}g")[layer]
    return ["".join(text.itertext()) for text in group.iter(f"{SVG}text")]


def circles(picture):
    return ET.fromstring(picture).findall(f"{SVG}g/{SVG}circle")


@pytest.mark.parametrize("steps", [1, 2, 3, 6, 12])
@pytest.mark.parametrize("name", FIGURES)
def test_files_are_sound_and_stand_alone(name, steps):
    picture = draw(name, steps)
    root = ET.fromstring(picture)
    assert root.tag == SVG + "svg" and root.find(f"{SVG}title").text
    assert re.findall(r"https?://[^\"]*", picture) == ["http://www.w3.org/2000/svg"]
    assert set(re.findall(r"url\((.*?)\)", picture)) <= {"#head", "#strong-head"}
    assert not re.search(r"<(script|image|style|foreignObject)", picture)
    _, _, width, height = (float(a) for a in root.get("viewBox").split())
    places = [tuple(float(c.get(a)) for a in ("cx", "cy", "r")) for c in circles(picture)]
    assert all(r < x < width - r and r < y < height - r for x, y, r in places)
    for i, (x, y, r) in enumerate(places):  # circles keep apart
        assert all((x - u) ** 2 + (y - v) ** 2 > (3 * r) ** 2 for u, v, _ in places[:i])


@pytest.mark.parametrize("steps", [1, 2, 3, 12])
def test_what_the_unfolded_networks_show(steps):
    times = range(1, steps + 1)
    frames = {f"{symbol}({t})" for symbol in "xhoLy" for t in times}
    for name, first in (("hidden-to-hidden", "h(0)"), ("output-to-hidden", "z(0)")):
        picture = draw(name, steps)
        assert sorted(texts(picture)) == sorted(frames | {first})
        assert sorted(texts(picture, 1)) == sorted(["U", "V", "W"] * steps)
    assert sorted(texts(draw("folded", steps))) == sorted("xhoLy")
    assert sorted(texts(draw("folded", steps), 1)) == ["U", "V", "W"]


def arrows_of(body, steps, **arguments):
    model = fastrnn.SequenceModel(body, None if isinstance(body, fastrnn.Jordan) else 2)
    targets = [[0]] * steps
    net = unfold(model, steps, targets=targets, **arguments)
    shown = [node for name, node in net.graph.names.items() if name.endswith(")")]
    return arrows_between(shown)


def named(arrows):
    return {(a.source.name, a.target.name, a.weights) for a in arrows}


def test_arrows_of_the_hidden_to_hidden_network():
    want = set()
    for t in (1, 2):
        want |= {
            (f"x({t})", f"h({t})", ("U",)), (f"h({t - 1})", f"h({t})", ("W",)),
            (f"h({t})", f"o({t})", ("V",)), (f"o({t})", f"L({t})", ()), (f"y({t})", f"L({t})", ()),
        }  # fmt: skip
    arrows = arrows_of(fastrnn.Elman(2, 3), 2)
    assert named(arrows) == want and len(arrows) == len(want)
    folded = {("x", "h", 0, ("U",)), ("h", "h", 1, ("W",)), ("h", "o", 0, ("V",))}
    assert set(fold(arrows)) == folded | {("o", "L", 0, ()), ("y", "L", 0, ())}


def test_arrows_of_the_output_to_hidden_network():
    body = fastrnn.Jordan(2, 3, 2)
    free = named(arrows_of(body, 2))
    assert ("o(1)", "h(2)", ("W",)) in free and ("z(0)", "h(1)", ("W",)) in free
    assert not any(source.startswith("h") and target[0] == "h" for source, target, _ in free)


def test_arrows_under_teacher_forcing():
    body, targets = fastrnn.Jordan(2, 3, 2), [[0], [1]]
    net = unfold(fastrnn.SequenceModel(body), 2, targets=targets, y=targets)
    arrows = named(arrows_between([*net.h, *net.o, net.graph["y(1)"], net.graph["y(2)"]]))
    assert ("y(1)", "h(2)", ("W",)) in arrows
    assert not any(source == "o(1)" for source, _, _ in arrows)


def test_a_window_of_the_tdnn():
    picture = draw("tdnn", 7)
    on_arrows = ["V", "W0,0", "W0,1", "W0,2", "W1,0", "W1,1", "W1,2"]
    assert sorted(texts(picture, 1)) == on_arrows
    strong = [
        path
        for path in ET.fromstring(picture).iter(f"{SVG}path")
        if path.get("marker-end") == "url(#strong-head)"
    ]
    assert len(strong) == 1 + 3 + 9


def test_a_frame_has_a_time_in_its_name():
    net = unfold(fastrnn.Elman(2, 3), 2)
    assert symbol_and_time(net.h[1]) == ("h", 2)
    with pytest.raises(ValueError, match="^node: expected a frame with a name such as"):
        symbol_and_time(net.parameters["W"])


@pytest.mark.parametrize(("name", "number"), [(name, f.number) for name, f in FIGURES.items()])
def test_command(capsys, tmp_path, name, number):
    assert main(["draw", name, "--steps", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed == draw(name, 2)
    path = tmp_path / "figure.svg"
    path.write_text("old")
    assert main(["draw", number, "--steps", "2", "-o", str(path)]) == 0
    assert path.read_text() == printed and [*tmp_path.iterdir()] == [path]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["9"], "argument FIGURE: invalid choice: '9'"),
        ([], "the following arguments are required: FIGURE"),
        (["1", "--steps", "0"], "steps: expected an integer >= 1, got 0"),
        (["1", "--steps", "many"], "argument --steps: invalid int value: 'many'"),
        (["1", "--step", "3"], "unrecognized arguments: --step 3"),
        (["1", "-o", "missing/figure.svg"], "argument -o: cannot write 'missing/figure.svg': "),
    ],
)
def test_command_errors_are_one_line_with_a_hint(capsys, tmp_path, monkeypatch, arguments, start):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["draw", *arguments])
    assert end.value.code == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and not [*tmp_path.iterdir()]
    assert f"error: {start}" in told.err and told.err.endswith("(--help lists the options)\n")


def test_without_the_tdnn(monkeypatch, capsys):
    monkeypatch.setattr(figures.importlib.metadata, "entry_points", lambda **_: ())
    with pytest.raises(SystemExit) as end:
        main(["draw", "tdnn"])
    assert (
        end.value.code == 2 and "a body of kind 'tdnn' to be installed" in capsys.readouterr().err
    )


def test_the_command_as_a_process(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "fastrnn", "draw", "3", "-o", "a.svg"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout == run.stderr == ""
    assert (tmp_path / "a.svg").read_text() == draw("hidden-to-hidden")
