"""`gradcheck`: the relative error of analytic gradients against differences of the value itself."""

import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn.arrays import count, generator
from fastrnn.bodies import RecordingBody, start_name
from fastrnn.model import SequenceModel
from fastrnn.results import Loss

__all__ = ["gradcheck"]

# Differences are taken at these steps, in units of the argument's root mean square.
_STEPS = 0.05 / 4.0 ** np.arange(9)


def gradcheck(
    model_or_function: Any,
    *arguments: Any,
    directions: int = 4,
    rng: int | np.random.Generator | None = 0,
    **keywords: Any,
) -> list[dict[str, Any]]:
    """Compare analytic gradients with differences of the value, argument by argument.

    All is computed in float64, on copies: float32 arrays, layers and models are converted first, so
    that the table shows mistakes, not rounding.

    Parameters
    ----------
    model_or_function : SequenceModel, layer or function
        A model: its loss, in every parameter and in x. A layer (Elman, TDNN, Stack): a random
        linear functional of its frames, in every parameter, x and the initial state. A function
        with a gradient, such as `elman_forward` or `softmax_cross_entropy`: a random linear
        functional of what its backward function takes gradients of, or the loss, in every argument
        that has a gradient. The backward function is the one in the same module whose name has
        ``_backward`` for ``_forward``.
    *arguments, **keywords
        What `model.loss_and_grad`, `layer.forward` or the function is called with.
    directions : int
        How many random directions each argument is moved in.
    rng : int, numpy.random.Generator, optional
        Source of the directions and functionals.

    Returns
    -------
    list of dict
        A row for each argument, the worst first, ready for a DataFrame: ``argument``, ``shape``,
        ``dtype`` (as given), ``analytic_norm`` (of the gradient), ``difference`` (to the numeric
        one, in the same norm) and ``relative_error`` (difference over the larger of the gradients'
        norms; 0 where both are 0). A right gradient of a smooth function has about 1e-10.

    Raises
    ------
    TypeError
        If `model_or_function` is nothing that has a gradient, or the arguments are not its.
    ValueError
        If it gives different values for the same arguments, as what draws at random does.

    Notes
    -----
    For a gradient g and normal directions v_1 ... v_K, the derivatives D_k along v_k give the
    difference sqrt(mean_k (<g, v_k> - D_k)^2): its square is, in expectation, |g - g_numeric|^2. So
    a few evaluations test every element, and only a mistake orthogonal to all the v_k, which has
    probability zero, stays unseen. D_k comes from central differences at nine steps, each a
    quarter of the one before, extrapolated to step 0 (Richardson), where neighbours in that table
    agree best: relu units that switch within the larger steps do not spoil it.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> rng = np.random.default_rng(0)
    >>> x, U, W, b = (rng.standard_normal(shape) for shape in ((5, 2, 3), (4, 3), (4, 4), 4))
    >>> rows = fastrnn.gradcheck(fastrnn.elman_forward, x, U, 0.5 * W, b, lengths=[5, 2])
    >>> sorted(row["argument"] for row in rows), max(row["relative_error"] for row in rows) < 1e-8
    (['U', 'W', 'b', 'x'], True)
    """
    count("directions", directions)
    rng = generator("rng", rng)
    checked = _checked(model_or_function, arguments, keywords, rng)
    first, second = checked.value(), checked.value()
    if not (first == second or (np.isnan(first) and np.isnan(second))):
        raise ValueError(
            "model_or_function: expected equal values for the same arguments, "
            f"got {first} and {second}"
        )
    rows = [_row(checked, name, directions, rng) for name in checked.gradients]
    return sorted(rows, key=lambda row: -np.nan_to_num(row["relative_error"], nan=np.inf))


class _Checked(NamedTuple):
    """What is checked: a value, and the float64 arrays that it reads and that may be moved."""

    value: Callable[[], float]
    arrays: dict[str, NDArray[Any]]
    gradients: dict[str, NDArray[Any]]
    dtypes: dict[str, Any]


def _row(checked: _Checked, name: str, directions: int, rng: np.random.Generator) -> dict[str, Any]:
    array, gradient = checked.arrays[name], checked.gradients[name]
    numeric, analytic = np.empty(directions), np.empty(directions)
    for k in range(directions):
        direction = rng.standard_normal(array.shape)
        numeric[k] = _derivative(checked.value, array, direction)
        analytic[k] = np.sum(gradient * direction)
    norm = float(np.linalg.norm(gradient))
    difference = _root_mean_square(analytic - numeric)
    scale = max(norm, _root_mean_square(numeric))
    return {
        "argument": name,
        "shape": array.shape,
        "dtype": str(checked.dtypes[name]),
        "analytic_norm": norm,
        "difference": difference,
        "relative_error": difference / scale if scale else 0.0,
    }


def _root_mean_square(numbers: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(numbers)))) if numbers.size else 0.0


def _derivative(value: Callable[[], float], array: NDArray[Any], direction: NDArray[Any]) -> float:
    """Return the derivative of the value along a direction, by Richardson's extrapolation."""
    original = array.copy()
    scale = _root_mean_square(original[np.isfinite(original)]) or 1.0
    slopes = []
    for step in scale * _STEPS:
        array[...] = original + step * direction
        above = value()
        array[...] = original - step * direction
        slopes.append((above - value()) / (2 * step))
    array[...] = original
    best, least = slopes[-1], np.inf
    column = slopes
    for order in range(1, len(slopes)):  # the error of a column falls with step ** (2 * order)
        factor = 16.0**order
        finer = [
            (factor * b - a) / (factor - 1) for a, b in zip(column[:-1], column[1:], strict=True)
        ]
        for place, extrapolated in enumerate(finer):
            doubt = max(abs(extrapolated - column[place]), abs(extrapolated - column[place + 1]))
            if doubt < least:
                best, least = extrapolated, doubt
        column = finer
    return best


def _checked(
    what: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], rng: np.random.Generator
) -> _Checked:
    if isinstance(what, SequenceModel):
        return _of_model(what, _bound(what.loss_and_grad, arguments, keywords))
    if not isinstance(what, type) and all(hasattr(what, name) for name in ("forward", "backward")):
        return _of_layer(what, _bound(what.forward, arguments, keywords), rng)
    if inspect.isfunction(what):
        if inspect.signature(what).return_annotation is Loss:
            return _of_loss(what, _bound(what, arguments, keywords))
        backward = _backward_of(what)
        if backward is not None:
            return _of_pair(what, backward, _bound(what, arguments, keywords), rng)
    raise TypeError(
        "model_or_function: expected a SequenceModel, a layer, or a function such as "
        f"elman_forward or softmax_cross_entropy, got {what!r}"
    )


def _backward_of(forward: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the function that computes a function's gradients, by the names of both."""
    stem, found, rest = forward.__name__.rpartition("_forward")
    name = stem + "_backward" if found and not rest else ""
    return getattr(sys.modules.get(forward.__module__), name, None)


def _bound(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> dict[str, Any]:
    """Return a call's arguments by their names, as they were given."""
    return inspect.signature(function).bind(*arguments, **keywords).arguments


def _widened(value: Any) -> Any:
    """Return floats as a new float64 array, anything else as it is."""
    if isinstance(value, list | tuple) and any(
        item is None or isinstance(item, list | tuple) or np.ndim(item) for item in value
    ):
        try:
            array = np.asarray(value)
        except ValueError:  # of different shapes: an entry for each body of a stack
            return type(value)(map(_widened, value))
        return array.astype(np.float64) if array.dtype.kind == "f" else value
    if value is None or np.ndim(value) == 0:
        return value
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype in (np.float32, np.float64) else value


def _of_model(model: SequenceModel, call: dict[str, Any]) -> _Checked:
    """Check a model's loss; a body that is fed targets is fed them as in `SequenceModel.loss`."""
    wide, moved = model.astype(np.float64), {name: _widened(value) for name, value in call.items()}
    if getattr(model.body, "gives_outputs", False) and moved.get("forced") is None:
        moved["forced"] = model.body.teacher_forcing > 0
    recorder: Any = RecordingBody(wide.body)
    wide.body = recorder
    _, gradients = wide.loss_and_grad(**moved)
    return _Checked(
        lambda: wide.loss(**moved),
        {**wide.parameters(), "x": moved["x"]},
        _without_none({**gradients, "x": recorder.gradients.dx}),
        _dtypes({**model.parameters(), "x": call["x"]}),
    )


def _of_layer(layer: Any, call: dict[str, Any], rng: np.random.Generator) -> _Checked:
    """Check a random functional of a layer's frames, or of its outputs."""
    wide = type(layer).from_config({**layer.config(), "dtype": "float64"})
    for name, array in wide.parameters().items():
        array[...] = layer.parameters()[name]
    moved = {name: _widened(value) for name, value in call.items()}
    result = "o" if getattr(layer, "gives_outputs", False) else "h"
    state = wide.forward(**moved)
    functional = rng.standard_normal(getattr(state, result).shape)
    found = wide.backward(functional, state)
    arrays = {**wide.parameters(), "x": moved["x"]}
    gradients = {**found, "x": found.dx}
    given = {**layer.parameters(), "x": call["x"]}
    start = start_name(layer)
    if start in moved:
        for name, array, gradient, value in _starts(
            start, moved[start], getattr(found, f"d{start}"), call[start]
        ):
            arrays[name], gradients[name], given[name] = array, gradient, value
    return _Checked(
        lambda: float(np.sum(functional * getattr(wide.forward(**moved), result))),
        arrays,
        _without_none(gradients),
        _dtypes(given),
    )


def _starts(
    name: Any, moved: Any, gradient: Any, given: Any
) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield the initial states one by one: a stack has a list of them."""
    if not isinstance(moved, list | tuple):
        yield name, moved, None if moved is None else gradient, given
        return
    for place, inner in enumerate(zip(moved, gradient, given, strict=True)):
        yield from _starts(f"{name}[{place}]", *inner)


def _of_loss(function: Callable[..., Loss], call: dict[str, Any]) -> _Checked:
    """Check a loss, whose gradient in o comes with its value."""
    moved = {name: _widened(value) for name, value in call.items()}
    gradients = {"o": function(**moved).do}
    return _Checked(lambda: function(**moved).value, moved, gradients, _dtypes(call))


def _of_pair(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    call: dict[str, Any],
    rng: np.random.Generator,
) -> _Checked:
    """Check a random functional of all results whose gradients `backward` takes."""
    moved = {name: _widened(value) for name, value in call.items()}
    state = forward(**moved)._asdict()
    taken, known = inspect.signature(backward).parameters, inspect.signature(forward).parameters
    functionals = {
        name: rng.standard_normal(result.shape)
        for name, result in state.items()
        if f"d{name}" in taken
    }
    arguments = {name: value for name, value in moved.items() if name in taken}
    arguments |= {name: state[name] for name in taken if name in state and name not in known}
    arguments |= {f"d{name}": functional for name, functional in functionals.items()}
    found = {name[1:]: gradient for name, gradient in backward(**arguments)._asdict().items()}

    def value() -> float:
        results = forward(**moved)
        return float(sum(np.sum(r * getattr(results, name)) for name, r in functionals.items()))

    given = {name: gradient for name, gradient in found.items() if moved.get(name) is not None}
    return _Checked(value, moved, _without_none(given), _dtypes(call))


def _without_none(gradients: dict[str, Any]) -> dict[str, NDArray[Any]]:
    return {name: gradient for name, gradient in gradients.items() if gradient is not None}


def _dtypes(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "dtype", "float64") for name, value in arrays.items()}
