"""What all optimizers share: the checked step, the state by parameter name, saving it."""

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from fastrnn.devices import DeviceArguments, kernel, on_gpu, on_host, to_gpu

__all__ = ["Optimizer", "check_arrays", "check_float", "check_number", "check_same"]

Arrays = dict[str, np.ndarray]


class Optimizer:
    """What the optimizers share: checks, state by slot and parameter name, saving it."""

    _hyperparameters: ClassVar[tuple[str, ...]] = ()
    _slots: ClassVar[tuple[str, ...]] = ()
    _kernel: ClassVar[Callable[..., Any]]
    _below_one: ClassVar[tuple[str, ...]] = ("momentum", "decay", "beta1", "beta2")

    def __init__(self, **settings: float) -> None:
        for name, value in settings.items():
            setattr(self, name, value)
        self._settings()
        self._step_count = 0
        self._state: dict[str, Arrays] = {}

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._hyperparameters)
        return f"{type(self).__name__}({settings})"

    def step(
        self, parameters: Mapping[str, np.ndarray], gradients: Mapping[str, np.ndarray]
    ) -> None:
        """Update `parameters` in place, by one step along `gradients`.

        The state (momenta, running squares) is created by the first call. Everything is checked
        before anything is changed.

        Parameters
        ----------
        parameters : dict of str to ndarray
            Writeable arrays, float32 or float64, of any shape.
        gradients : dict of str to ndarray
            The same names, shapes and dtypes.

        Raises
        ------
        TypeError
            If a dtype is wrong, or a hyperparameter was set to something not a number.
        ValueError
            If names or shapes disagree (also with those of earlier steps), a parameter is
            read-only, or a hyperparameter was set to a value outside its range.
        """
        settings = self._settings()
        kept = 1.0 - settings["learning_rate"] * settings.pop("weight_decay")
        check_arrays("parameters", parameters)
        check_arrays("gradients", gradients, writeable=False)
        zeros_like: Callable[[Any], Any] = _zeros_like
        update, shrink = self._kernel, _shrink
        if any(map(on_gpu, (*parameters.values(), *gradients.values()))):
            args, parameters, gradients = gpu_views(parameters, gradients)
            zeros_like, update = args.zeros_like, kernel(f"optimizers.{update.__name__}")
            shrink = kernel("optimizers.shrink")
        check_same("parameters", parameters, "gradients", gradients)
        if self._state:
            self._follow(parameters)
            check_same("parameters", parameters, "state of earlier steps", self._any_slot())
        for slot in self._used_slots():
            if slot not in self._state:
                self._state[slot] = {name: zeros_like(w) for name, w in parameters.items()}
        self._step_count += 1
        for name, parameter in parameters.items():
            flat, gradient = _flat(parameter), _flat(gradients[name])
            state = self._slot_arrays(name)
            if kept != 1.0:
                shrink(flat, kept)
            update(flat, gradient, *state, *settings.values(), *self._last_arguments())
            if not on_gpu(parameter) and not parameter.flags.c_contiguous:
                parameter[...] = flat.reshape(parameter.shape)

    def _follow(self, parameters: Mapping[str, Any]) -> None:
        """Bring the state to where the parameters are: a model may have moved, or a state come."""
        to = to_gpu if any(map(on_gpu, parameters.values())) else on_host
        for slot, of_slot in self._state.items():
            self._state[slot] = {name: to(array) for name, array in of_slot.items()}

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return all that is needed to continue later: copies of the state, and the settings.

        Returns
        -------
        arrays : dict of str to ndarray
            The state by slot and parameter name, such as ``"first.U"``; empty before the first
            step.
        settings : dict
            The hyperparameters, ``"kind"`` (the name of the class) and ``"steps"`` (how many were
            taken); JSON can hold it.
        """
        arrays = {
            f"{slot}.{name}": np.array(on_host(array))
            for slot, of_slot in self._state.items()
            for name, array in of_slot.items()
        }
        kind = {"kind": type(self).__name__, "steps": self._step_count}
        return arrays, kind | self._settings()

    def restore(self, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> None:
        """Take over what `state` returned, hyperparameters included.

        Parameters
        ----------
        arrays : dict of str to ndarray
        settings : dict

        Raises
        ------
        TypeError
            If an argument is no dict.
        ValueError
            If the state is that of another kind of optimizer, or not one that `state` returns;
            nothing is changed then.
        """
        for name, value in (("arrays", arrays), ("settings", settings)):
            if not isinstance(value, Mapping):
                raise TypeError(f"{name}: expected a dict, got {type(value).__name__}")
        kind = settings.get("kind")
        if kind != type(self).__name__:
            raise ValueError(
                f"settings: expected those of an optimizer of kind {type(self).__name__}, "
                f"got kind {kind!r}"
            )
        expected = {"kind", "steps", *self._hyperparameters}
        if set(settings) != expected:
            raise ValueError(f"settings: expected {sorted(expected)}, got {sorted(settings)}")
        steps = settings["steps"]
        if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 0:
            raise ValueError(f"settings: expected steps to be an integer >= 0, got {steps!r}")
        try:
            fresh = type(self)(**{name: settings[name] for name in self._hyperparameters})
        except (TypeError, ValueError) as error:
            raise ValueError(f"settings: {error}") from None
        fresh._step_count = int(steps)
        fresh._state = self._by_slot(arrays)
        self.__dict__.update(fresh.__dict__)

    def _by_slot(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Arrays]:
        """Return copies of saved state arrays by slot and parameter name, after checking them."""
        state: dict[str, Arrays] = {}
        for key, array in arrays.items():
            slot, _, name = key.partition(".")
            if slot not in self._slots or not name:
                raise ValueError(
                    f"arrays: expected names that begin with {self._slots}, got {key!r}"
                )
            check_float(f"arrays[{key!r}]", array)
            state.setdefault(slot, {})[name] = np.array(array, order="C")
        if state and set(state) != set(self._slots):
            raise ValueError(f"arrays: expected state for {self._slots}, got {tuple(state)}")
        for slot, of_slot in state.items():
            check_same(self._slots[0], state[self._slots[0]], slot, of_slot)
        return state

    def _any_slot(self) -> Arrays:
        """Return the arrays of one slot: their names, shapes and dtypes are the parameters'."""
        return next(iter(self._state.values()))

    def _settings(self) -> dict[str, float]:
        """Return the hyperparameters as floats, after checking them."""
        settings = {name: check_number(name, getattr(self, name)) for name in self._hyperparameters}
        for name, value in settings.items():
            limit = 1.0 if name in self._below_one else math.inf
            if not 0.0 <= value < limit:
                wanted = "0 <= value < 1" if limit == 1.0 else "a finite number >= 0"
                raise ValueError(f"{name}: expected {wanted}, got {value!r}")
        return settings

    def _used_slots(self) -> tuple[str, ...]:
        """Return the slots that this step needs."""
        return self._slots

    def _slot_arrays(self, name: str) -> list[Any]:
        """Return one parameter's state as flat arrays, in the order of the slots."""
        return [self._state[slot][name].reshape((-1,)) for slot in self._slots]

    def _last_arguments(self) -> tuple[Any, ...]:
        """Return what the kernel takes after the hyperparameters."""
        return ()


def _zeros_like(array: np.ndarray) -> np.ndarray:
    return np.zeros(array.shape, array.dtype)  # in C order, whatever the parameter's


def _shrink(parameter: np.ndarray, factor: float) -> None:
    parameter *= parameter.dtype.type(factor)


def _flat(array: Any) -> Any:
    """Return an array with one axis; a copy where it is not in C order."""
    flat = array.reshape((-1,))
    return flat if on_gpu(flat) else np.ascontiguousarray(flat)


def gpu_views(
    parameters: Mapping[str, Any], gradients: Mapping[str, Any]
) -> tuple[DeviceArguments, dict[str, Any], dict[str, Any]]:
    """Return views of arrays on a GPU, all on the stream of the gradients; and the call's checks.

    Raises
    ------
    TypeError
        If one of them is not on a GPU, or not of float32 or float64.
    """
    args = DeviceArguments("gradients", next(iter((gradients or parameters).values())))

    def views(argument: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for name, array in arrays.items():
            called = f"{argument}[{name!r}]"
            found[name] = args.view(called, array)
            check_dtype(called, found[name])
        return found

    targets = views("parameters", parameters)
    for array in parameters.values():
        args.will_write(array)
    return args, targets, views("gradients", gradients)


def check_number(name: str, value: Any) -> float:
    """Return a hyperparameter as a float."""
    if isinstance(value, bool | np.bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    return float(value)


def check_arrays(argument: str, arrays: Any, writeable: bool = True) -> None:
    """Refuse what is not a dict of name to array of float32 or float64."""
    if not isinstance(arrays, Mapping):
        raise TypeError(
            f"{argument}: expected a dict of name to array, got {type(arrays).__name__}"
        )
    for name, array in arrays.items():
        if on_gpu(array):
            continue
        check_float(f"{argument}[{name!r}]", array)
        if writeable and not array.flags.writeable:
            raise ValueError(
                f"{argument}[{name!r}]: expected a writeable array, got a read-only one"
            )


def check_float(argument: str, array: Any) -> None:
    """Refuse what is not an array of float32 or float64."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{argument}: expected a NumPy array, got {type(array).__name__}")
    check_dtype(argument, array)


def check_dtype(argument: str, array: Any) -> None:
    """Refuse another dtype than float32 and float64."""
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{argument}: expected dtype float32 or float64, got {array.dtype}")


def check_same(
    name_a: str, a: Mapping[str, np.ndarray], name_b: str, b: Mapping[str, np.ndarray]
) -> None:
    """Refuse two sets of arrays that differ in names, shapes or dtypes.

    Parameters
    ----------
    name_a, name_b : str
        What the message calls them.
    a, b : dict of str to ndarray

    Raises
    ------
    ValueError
        If they differ.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.optimizer_base import check_same
    >>> check_same("a", {"U": np.zeros(3)}, "b", {"U": np.ones(3)})
    """
    both = f"{name_a}, {name_b}"
    if set(a) != set(b):
        raise ValueError(f"{both}: expected the same names, got {sorted(a)} and {sorted(b)}")
    for name, array in a.items():
        for what in ("shape", "dtype"):
            ours, theirs = getattr(array, what), getattr(b[name], what)
            if ours != theirs:
                raise ValueError(
                    f"{both}: expected the same {what} for {name!r}, got {ours} and {theirs}"
                )
