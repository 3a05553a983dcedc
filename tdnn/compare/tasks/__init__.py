"""The tasks of the comparison, by name."""

from tdnn.compare.tasks.adding import AddingTask
from tdnn.compare.tasks.base import Batch, Evaluation, Reference, Task, mean_loss
from tdnn.compare.tasks.char import CharTask

TASKS: dict[str, type[Task]] = {task.name: task for task in (CharTask, AddingTask)}

__all__ = [
    "TASKS",
    "AddingTask",
    "Batch",
    "CharTask",
    "Evaluation",
    "Reference",
    "Task",
    "mean_loss",
]
