"""Learning-rate schedules against PyTorch's, stepped after each epoch."""

import numpy as np
import pytest

from fastrnn import CosineSchedule, PlateauSchedule, StepSchedule

torch = pytest.importorskip("torch")
schedulers = torch.optim.lr_scheduler

pytestmark = pytest.mark.peers

EPOCHS = 40
LOSSES = np.abs(np.random.default_rng(0).standard_normal(EPOCHS)).tolist()
PAIRS = [
    (StepSchedule(7, by=0.3), lambda o: schedulers.StepLR(o, 7, 0.3)),
    (StepSchedule([3, 4, 20], by=0.3), lambda o: schedulers.MultiStepLR(o, [3, 4, 20], 0.3)),
    (CosineSchedule(EPOCHS, 0.1), lambda o: schedulers.CosineAnnealingLR(o, EPOCHS, 0.05)),
    (
        PlateauSchedule(2, by=0.7, threshold=0.01, least=0.05),
        lambda o: schedulers.ReduceLROnPlateau(
            o, factor=0.7, patience=2, threshold=0.01, min_lr=0.025
        ),
    ),
]


@pytest.mark.parametrize(("schedule", "make"), PAIRS, ids=[repr(pair[0]) for pair in PAIRS])
def test_learning_rates_as_torch(schedule, make):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    scheduler = make(optimizer)
    rows, seen = [], []
    for epoch, loss in enumerate(LOSSES, start=1):
        theirs = optimizer.param_groups[0]["lr"]
        seen.append(theirs)
        assert 0.5 * schedule.factor(epoch, rows) == pytest.approx(theirs, rel=1e-12), epoch
        optimizer.step()
        given = (loss,) if isinstance(schedule, PlateauSchedule) else ()
        scheduler.step(*given)
        rows.append({"validation": loss})
    assert len(set(seen)) > 3
