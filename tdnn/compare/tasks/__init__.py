"""The tasks of the comparison, by name."""

from tdnn.compare.tasks.adding import AddingTask
from tdnn.compare.tasks.base import Batch, Evaluation, Reference, Task, mean_loss
from tdnn.compare.tasks.char import CharTask
from tdnn.compare.tasks.copying import CopyTask
from tdnn.compare.tasks.echo import DelayedEchoTask
from tdnn.compare.tasks.music import MusicTask
from tdnn.compare.tasks.parity import ParityTask
from tdnn.compare.tasks.speech import SpeechDigitsTask
from tdnn.compare.tasks.ts import TsTask

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (
        CharTask,
        AddingTask,
        CopyTask,
        MusicTask,
        SpeechDigitsTask,
        TsTask,
        ParityTask,
        DelayedEchoTask,
    )
}

__all__ = [
    "TASKS",
    "AddingTask",
    "Batch",
    "CharTask",
    "CopyTask",
    "DelayedEchoTask",
    "Evaluation",
    "MusicTask",
    "ParityTask",
    "Reference",
    "SpeechDigitsTask",
    "Task",
    "TsTask",
    "mean_loss",
]
