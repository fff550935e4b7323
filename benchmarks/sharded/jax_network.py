"""`CTRModel` on JAX over several devices, with our table or with one that the partitioner cuts up."""

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from ..dcn.ours import make_network
from ..dcn.timed_fit import TimedFit
from ..dcn.workload import Workload
from ..support.prepared import Prepared

ROW_WIDTH = 16
# An array in the text of a compiled program.
_ARRAY = re.compile(r"\b(pred|s8|u8|bf16|f16|s32|u32|f32|s64|f64)\[([\d,]*)\]")
_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "f64": 8}
_EXCHANGES = re.compile(r"= (.*?) (all-to-all|all-gather|all-reduce|reduce-scatter|collective-permute)(-start)?\(")


def prepare(work: dict[str, Any], devices: int, table: str) -> Prepared:
    """A DCNv2 whose batch is dealt over the devices.

    Args:
        work: arguments of `Workload`.
        devices: number of devices.
        table: `"ours"` for a fused table dealt by rows, `"gspmd"` for a table of `keras.layers` cut up by JAX.
    """
    data = Workload.of(work)
    if devices > 1:
        _set_distribution(devices, table)
    model = make_network(
        data,
        start_at_rate=False,
        embedding_optimizer="rowwise_adagrad" if table == "ours" else None,
        table_placement="rows" if table == "ours" else "device",
    )
    # Stock Keras' plain descent has no slots, the least that a table of `keras.layers` can cost.
    model.compile(optimizer=keras.optimizers.SGD(1e-3), metrics={})
    fit = TimedFit(model, data, task="click")
    return Prepared(fit, _facts(model, fit.batches[0], devices, table))


def _set_distribution(devices: int, table: str) -> None:
    names = keras.distribution.list_devices("cpu")[:devices]
    if table == "ours":
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=names))
        return
    mesh = keras.distribution.DeviceMesh((devices,), ("batch",), names)
    layouts = keras.distribution.LayoutMap(mesh)
    layouts["embedding/embeddings"] = ("batch", None)
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch", auto_shard_dataset=False)
    )


def _facts(model: keras.Model, batch: Any, devices: int, table: str) -> dict[str, Any]:
    """What the compiled step of one device holds, computes and sends."""
    columns, labels = batch
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)

    def loss_of(trainable: Any, others: Any, x: Any, y: Any) -> Any:
        outputs, others, losses = model.stateless_call(trainable, others, x, training=True, return_losses=True)
        loss = model.compute_loss(x, {"click": y}, outputs, training=False)
        return loss + sum(losses), others

    def step(state: Any, x: Any, y: Any) -> Any:
        trainable, others, slots = state
        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, others, x, y)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return loss, (trainable, others, slots)

    groups = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    state = tuple([variable.value for variable in group] for group in groups)
    shardings = jax.tree.map(lambda value: value.sharding, state)
    x, y = columns, labels["click"]
    if devices > 1:
        rows = keras.distribution.distribution().get_data_layout((len(y),)).backend_layout
        x, y = jax.device_put((x, y), rows)
    compiled = jax.jit(step, donate_argnums=0, out_shardings=(None, shardings)).lower(state, x, y).compile()
    memory: Any = compiled.memory_analysis()
    cost: Any = compiled.cost_analysis()
    ids = np.stack([columns[name] for name in columns], axis=1)
    distinct = np.mean([sum(len(np.unique(column)) for column in part.T) for part in np.split(ids, devices)])
    rounds = _rounds(model, columns) if table == "ours" and devices > 1 else 1
    in_rounds, once = _sent(compiled.as_text() or "")
    return {
        "state bytes": int(memory.argument_size_in_bytes),
        "temporary bytes": int(memory.temp_size_in_bytes),
        "flops": float(cost.get("flops", 0.0)),
        "distinct rows": float(distinct),
        # Numbers of rows there, rows back, gradients there.
        "needed bytes": float(distinct) * (4 + 2 * 4 * ROW_WIDTH),
        "row bytes": in_rounds * rounds,
        "other bytes": once,
        "rounds": rounds,
    }


def _sent(program: str) -> tuple[int, int]:
    """Bytes that a device gets from exchanges of all with all, which stand in rounds, and from the others."""
    sums = {True: 0, False: 0}
    for results, kind, _ in _EXCHANGES.findall(program):
        for dtype, shape in _ARRAY.findall(results):
            sums[kind == "all-to-all"] += _BYTES[dtype] * math.prod(int(size) for size in shape.split(",") if size)
    return sums[True], sums[False]


def _rounds(model: keras.Model, columns: dict[str, np.ndarray]) -> int:
    """Rounds that the lookup of a batch takes."""
    (stack,) = model.get_layer("embedding").stacks
    table = stack.layer._table
    rows = [stack.rows_of_ids([name], values[None])[0] for name, values in columns.items()]
    distinct, bounds, _ = table.plan(jnp.stack(rows, axis=1).reshape(-1))

    def count(distinct: Any, bounds: Any) -> Any:
        return table._in_rounds(lambda number, *_: number + 1, 0, distinct, bounds)[None]

    return int(table.store.on_devices(count, (True, True), True)(distinct, bounds)[0])
