"""What Keras' optimizers keep for each row of a table."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array

from grouprank.models.row_slots import row_slots

# By optimizer, the initial values of a row's slots: what Keras says of each, and `None` for what follows the row.
optimizers = keras.optimizers
CASES = {
    "adam": (lambda: optimizers.Adam(), [0.0, 0.0]),
    "amsgrad": (lambda: optimizers.Adam(amsgrad=True), [0.0, 0.0, 0.0]),
    "adagrad": (lambda: optimizers.Adagrad(initial_accumulator_value=0.3), [0.3]),
    "sgd": (lambda: optimizers.SGD(), []),
    "momentum": (lambda: optimizers.SGD(momentum=0.9), [0.0]),
    "ftrl": (lambda: optimizers.Ftrl(initial_accumulator_value=0.2), [0.2, 0.0]),
    # Its sums over rows belong to no row.
    "adafactor": (lambda: optimizers.Adafactor(), [0.0, 0.0]),
    "muon": (lambda: optimizers.Muon(exclude_layers=["tables"]), [0.0, 0.0]),
    "muon of tables": (lambda: optimizers.Muon(), [0.0]),
    "loss scale": (lambda: optimizers.LossScaleOptimizer(optimizers.Adagrad()), [0.1]),
    "average": (lambda: optimizers.Adagrad(use_ema=True), [None, 0.1]),
    "accumulation": (lambda: optimizers.SGD(gradient_accumulation_steps=2), [0.0]),
    "schedule": (lambda: optimizers.Adagrad(optimizers.schedules.ExponentialDecay(0.1, 5, 0.9)), [0.1]),
}


def weights():
    """Two tables of one shape, which is also that of a kernel between them."""
    with keras.name_scope("tables"):
        shapes = ((6, 4), (6, 4), (6, 4), (4,))
        return [keras.Variable(np.ones(shape, "float32"), name="part") for shape in shapes]


@pytest.mark.parametrize("name", CASES)
def test_slots_begin_anew(name):
    make, initial = CASES[name]
    optimizer, trained = make(), weights()
    optimizer.build(trained)
    slots = row_slots(optimizer, trained, [trained[0], trained[2]])
    for of_table in slots:
        found = [None if slot.initial is None else round(float(slot.initial.max()), 6) for slot in of_table]
        assert found == initial
    assert not {id(slot.variable) for slot in slots[0]} & {id(slot.variable) for slot in slots[1]}
    before = [np.array(as_array(variable)) for variable in optimizer.variables]
    for slot in slots[0]:
        slot.variable.assign(np.full(slot.variable.shape, 5.0))
        slot.reset(np.array([1, 4]), np.full((2, 4), 7.0, "float32"))
        expected = np.full(slot.variable.shape, 5.0, "float32")
        expected[[1, 4]] = 7.0 if slot.initial is None else slot.initial
        np.testing.assert_array_equal(as_array(slot.variable), expected)
    mine = {id(slot.variable) for slot in slots[0]}
    for variable, old in zip(optimizer.variables, before, strict=True):
        if id(variable) not in mine:
            np.testing.assert_array_equal(as_array(variable), old)


def test_slots_belong_to_their_table():
    """A step whose gradient concerns the second table moves its slots, and no other's."""
    optimizer, trained = optimizers.Adam(0.1), weights()
    optimizer.build(trained)
    slots = row_slots(optimizer, trained, [trained[0], trained[2]])
    gradients = [np.full(weight.shape, float(number == 2), "float32") for number, weight in enumerate(trained)]
    optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients])
    moved = [[bool(as_array(slot.variable).any()) for slot in of_table] for of_table in slots]
    assert moved == [[False, False], [True, True]]


def test_an_optimizer_of_other_weights():
    optimizer, trained = optimizers.Adam(), weights()
    optimizer.build(trained)
    with pytest.raises(ValueError, match="was built for other weights than the model trains.*Compile the model again"):
        row_slots(optimizer, trained[:2], trained[:1])
