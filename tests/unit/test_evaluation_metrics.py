from __future__ import annotations

import numpy as np
import pytest

from dafusion_core.domain.errors import UserError
from dafusion_core.evaluation.metrics import (
    ClassAccuracy,
    calibration_error,
    class_accuracy,
    confusion_matrix,
)


def test_confusion_counts_true_by_predicted() -> None:
    found = confusion_matrix([0, 0, 1, 2, 2, 2], [0, 1, 1, 0, 2, 2], 4)
    assert found.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]


def test_every_class_counts_the_same() -> None:
    # 90 of 90 and 0 of 10: accuracy 0.9, mean per-class accuracy 0.5.
    found = class_accuracy(confusion_matrix([0] * 90 + [1] * 10, [0] * 100, 2))
    assert found == ClassAccuracy(mean=0.5, per_class=(1.0, 0.0))


def test_absent_classes_are_left_out_not_zero() -> None:
    found = class_accuracy(confusion_matrix([0, 0, 2], [0, 1, 2], 4))
    assert found.mean == 0.75
    assert found.per_class == (0.5, None, 1.0, None)
    assert found.absent == (1, 3)
    assert ClassAccuracy.from_dict(found.to_dict()) == found


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(UserError, match="no test images"):
        class_accuracy(confusion_matrix([], [], 3))
    with pytest.raises(UserError, match="no test images"):
        calibration_error([], np.zeros((0, 3)))
    with pytest.raises(UserError, match="2 labels but 1"):
        confusion_matrix([0, 1], [0], 2)
    with pytest.raises(UserError, match="outside 0–1"):
        confusion_matrix([0, 2], [0, 1], 2)
    with pytest.raises(UserError, match="outside 0–1"):
        confusion_matrix([0, 1], [0, -1], 2)


def test_calibration() -> None:
    sure = np.array([[1.0, 0.0]] * 10)
    assert calibration_error([0] * 10, sure) == 0
    assert calibration_error([1] * 10, sure) == 1
    # Says 80 %, is right in 6 of 10; says 60 %, is right in 6 of 10.
    probabilities = np.array([[0.8, 0.2]] * 10 + [[0.4, 0.6]] * 10)
    truth = [0] * 6 + [1] * 4 + [1] * 6 + [0] * 4
    assert calibration_error(truth, probabilities) == pytest.approx(0.1)


def test_honest_probabilities_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], 20_000)
    truth = (rng.random(20_000)[:, None] > probabilities.cumsum(axis=1)).sum(axis=1)
    assert calibration_error(truth, probabilities) < 0.02
    assert calibration_error((truth + 1) % 3, probabilities) > 0.3
