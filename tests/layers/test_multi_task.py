"""Multi-task structures against NumPy of their papers' equations and cases computed by hand."""

import keras
import numpy as np
import pytest
from keras import ops
from support.fixed_weights import as_array, set_fixed_weights, wave
from support.gradients import gradients

import grouprank as gr
from grouprank.layers.multi_task import MULTI_TASK

LAYERS = gr.layers
X = wave(6, 4)


def built(layer, dim=4):
    layer.build((None, dim))
    set_fixed_weights(layer)
    return layer


def relu(x):
    return np.maximum(x, 0)


def softmax(x, axis=-1):
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def network(layer, index, x, last_linear=False):
    """One network of a ParallelMLP, layer after layer."""
    weights = [as_array(weight) for weight in layer.weights if "seed" not in weight.path]
    pairs = list(zip(weights[::2], weights[1::2], strict=True))
    for depth, (kernel, bias) in enumerate(pairs):
        x = x @ (kernel[:, index] if depth == 0 else kernel[index]) + bias[index]
        if depth < len(pairs) - 1 or not last_linear:
            x = relu(x)
    return x


def mlp_logits(layer, x):
    """An MLP with a linear last layer."""
    weights = [as_array(weight) for weight in layer.weights]
    pairs = list(zip(weights[::2], weights[1::2], strict=True))
    for depth, (kernel, bias) in enumerate(pairs):
        x = x @ kernel + bias
        if depth < len(pairs) - 1:
            x = relu(x)
    return x


@pytest.mark.parametrize("gate_units", [(), (5,)])
def test_mmoe_against_numpy(gate_units):
    tasks = ["click", "like", "buy"]
    layer = built(LAYERS.MMoE(tasks, num_experts=4, units=(5, 3), gate_units=gate_units))
    experts = [network(layer.experts, index, X) for index in range(4)]
    out = layer(X)
    for index, task in enumerate(tasks):
        shares = softmax(network(layer.gates, index, X, last_linear=True))
        expected = sum(shares[:, [expert]] * experts[expert] for expert in range(4))
        np.testing.assert_allclose(as_array(out[task]), expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(as_array(out["click"]), as_array(out["like"]))


def test_mmoe_with_one_expert_is_a_shared_bottom():
    mixture = built(LAYERS.MMoE(["click", "like"], num_experts=1, units=(5, 3)))
    shared = built(LAYERS.SharedBottom(["click", "like"], units=(5, 3)))
    for ours, weight in zip(mixture.experts.weights, shared.mlp.weights, strict=True):
        weight.assign(as_array(ours).reshape(weight.shape))
    for task in ("click", "like"):
        np.testing.assert_allclose(as_array(mixture(X)[task]), as_array(shared(X)[task]), rtol=1e-5, atol=1e-6)


def test_mmoe_gates_start_without_a_bias():
    layer = LAYERS.MMoE(["click", "like"], num_experts=3, units=(2,))
    layer.build((None, 4))
    assert [not as_array(weight).any() for weight in layer.gates.weights] == [False, True]


def cgc_by_numpy(level, inputs):
    """Gates of tasks over their own and the shared experts; the shared gate over all."""
    *own, shared = [
        [network(experts, index, x) for index in range(experts.num_networks)]
        for experts, x in zip(level.experts, inputs, strict=True)
    ]
    seen = [[*experts, *shared] for experts in own]
    if level.shared_gate:
        seen.append([expert for experts in [*own, shared] for expert in experts])
    mixtures = []
    for gate, x, experts in zip(level.gates, inputs, seen, strict=False):
        shares = softmax(mlp_logits(gate, x))
        assert shares.shape == (len(x), len(experts))
        mixtures.append(sum(shares[:, [index]] * expert for index, expert in enumerate(experts)))
    return mixtures


@pytest.mark.parametrize("gate_units", [(), (5,)])
@pytest.mark.parametrize("num_levels", [1, 2, 3])
def test_ple_against_numpy(num_levels, gate_units):
    tasks = ["click", "like", "buy"]
    layer = built(
        LAYERS.PLE(tasks, num_levels, num_shared_experts=1, num_task_experts=2, units=(5, 3), gate_units=gate_units)
    )
    mixtures = [X] * 4
    for index, level in enumerate(layer.levels):
        assert level.shared_gate == (index < num_levels - 1)
        mixtures = cgc_by_numpy(level, mixtures)
    out = layer(X)
    assert list(out) == tasks
    for task, expected in zip(tasks, mixtures, strict=True):
        np.testing.assert_allclose(as_array(out[task]), expected, rtol=1e-5, atol=1e-6)


def test_ple_of_one_level_by_hand():
    """Two tasks, one expert each and one shared, all of width 1, on a row of 1 and 2."""
    layer = LAYERS.PLE(["click", "like"], num_levels=1, num_shared_experts=1, num_task_experts=1, units=(1,))
    layer.build((None, 2))
    level = layer.levels[0]
    # Experts: 1·1 + 1·2 = 3, 2·1 + 0·2 = 2, 0·1 + 2.5·2 = 5.
    for experts, kernel in zip(level.experts, ([1, 1], [2, 0], [0, 2.5]), strict=True):
        experts.set_weights([np.reshape(kernel, (2, 1, 1)), np.zeros((1, 1))])
    # Shares of 3 : 1 and of 1 : 1 between a task's own expert and the shared one.
    level.gates[0].set_weights([np.array([[np.log(3), 0], [0, 0]]), np.zeros(2)])
    level.gates[1].set_weights([np.zeros((2, 2)), np.zeros(2)])
    out = layer(np.array([[1.0, 2.0]], "float32"))
    np.testing.assert_allclose(as_array(out["click"]), [[0.75 * 3 + 0.25 * 5]], rtol=1e-6)
    np.testing.assert_allclose(as_array(out["like"]), [[0.5 * 2 + 0.5 * 5]], rtol=1e-6)


def test_a_task_of_ple_does_not_train_another_tasks_experts():
    layer = LAYERS.PLE(["click", "like"], num_levels=1, units=(3,), activation="tanh")
    built(layer)
    click, like, shared = layer.levels[0].experts
    kernels = [experts.weights[0] for experts in (click, like, shared)]
    _, _, found = gradients(lambda x: ops.sum(layer(x)["click"]), [X], kernels)
    assert [bool(np.any(gradient)) for gradient in found] == [True, False, True]


def fusion_by_numpy(level, inputs):
    """The mixture of all experts plus the sum of the native ones, which is a single one itself."""
    native = [
        [network(experts, index, x) for index in range(experts.num_networks)]
        for experts, x in zip(level.experts, inputs, strict=True)
    ]
    everyone = [expert for experts in native for expert in experts]
    weights = {weight.name: as_array(weight) for weight in level.weights}
    outputs = []
    for module, gate in enumerate(level.gates):
        shares = softmax(inputs[module] @ as_array(gate.kernel) + as_array(gate.bias))
        assert shares.shape[1] == len(everyone)
        mixture = sum(shares[:, [index]] * expert for index, expert in enumerate(everyone))
        own = native[module]
        factors = weights[f"native_{module}"] if len(own) > 1 else [1.0]
        outputs.append(mixture + sum(factor * expert for factor, expert in zip(factors, own, strict=True)))
    return outputs


@pytest.mark.parametrize(("num_task_experts", "num_shared_experts"), [(1, 0), (3, 0), (2, 1), (1, 2)])
@pytest.mark.parametrize("num_levels", [1, 3])
def test_adatt_against_numpy(num_levels, num_task_experts, num_shared_experts):
    tasks = ["click", "like", "buy"]
    layer = built(LAYERS.AdaTT(tasks, num_levels, num_task_experts, num_shared_experts, units=(5, 3)))
    representations = [X] * (len(tasks) + bool(num_shared_experts))
    for index, level in enumerate(layer.levels):
        assert level.shared_output == (num_shared_experts > 0 and index < num_levels - 1)
        representations = fusion_by_numpy(level, representations)
    out = layer(X)
    assert list(out) == tasks
    for task, expected in zip(tasks, representations, strict=True):
        np.testing.assert_allclose(as_array(out[task]), expected, rtol=1e-5, atol=1e-6)


def test_adatt_of_one_level_by_hand():
    """Two tasks, one with two experts each, all of width 1, on a row of 1 and 2."""
    layer = LAYERS.AdaTT(["click", "like"], num_levels=1, num_task_experts=2, units=(1,))
    layer.build((None, 2))
    level = layer.levels[0]
    # Experts of click: 1·1 + 1·2 = 3 and 2·1 + 0·2 = 2; of like: 0·1 + 2.5·2 = 5 and 1·1 + 0·2 = 1.
    for experts, kernel in zip(level.experts, ([[1, 2], [1, 0]], [[0, 1], [2.5, 0]]), strict=True):
        experts.set_weights([np.reshape(kernel, (2, 2, 1)), np.zeros((2, 1))])
    # Shares of 3 : 1 : 1 : 1 over both tasks' experts, and equal ones.
    level.gates[0].set_weights([np.array([[np.log(3), 0, 0, 0], [0, 0, 0, 0]]), np.zeros(4)])
    level.gates[1].set_weights([np.zeros((2, 4)), np.zeros(4)])
    for weight in level.weights:
        if weight.name.startswith("native"):
            weight.assign({"native_0": [10, -1], "native_1": [0, 2]}[weight.name])
    out = layer(np.array([[1.0, 2.0]], "float32"))
    np.testing.assert_allclose(as_array(out["click"]), [[(9 + 2 + 5 + 1) / 6 + 10 * 3 - 2]], rtol=1e-6)
    np.testing.assert_allclose(as_array(out["like"]), [[(3 + 2 + 5 + 1) / 4 + 2 * 1]], rtol=1e-6)


def test_a_task_of_adatt_trains_every_tasks_experts():
    layer = built(LAYERS.AdaTT(["click", "like"], num_levels=1, units=(3,), activation="tanh"))
    kernels = [experts.weights[0] for experts in layer.levels[0].experts]
    _, _, found = gradients(lambda x: ops.sum(layer(x)["click"]), [X], kernels)
    assert [bool(np.any(gradient)) for gradient in found] == [True, True]


def test_native_weights_of_adatt_start_within_the_authors_bounds():
    layer = LAYERS.AdaTT(["click", "like"], num_levels=1, num_task_experts=64, units=(1,))
    layer.build((None, 2))
    for weight in layer.levels[0].weights:
        if weight.name.startswith("native"):
            assert 0.1 < np.abs(as_array(weight)).max() <= 1 / 8


def expert_by_numpy(feature_gate, expert, x):
    """Swish(norm(x' W + b)) layer after layer, where x' is x times a gate of low rank."""
    down, down_bias, up, up_bias = (as_array(weight) for weight in feature_gate.weights)
    assert down.shape[1] == up.shape[0] == 2
    h = x * 2 / (1 + np.exp(-((x @ down + down_bias) @ up + up_bias)))
    weights = [as_array(weight) for weight in expert.weights if "seed" not in weight.path]
    for kernel, bias, gamma, beta in zip(*(weights[index::4] for index in range(4)), strict=True):
        h = h @ kernel + bias
        mean, variance = h.mean(-1, keepdims=True), h.var(-1, keepdims=True)
        h = (h - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        h = h / (1 + np.exp(-h))
    return h


def masked_by_numpy(level, inputs):
    """The mixture of the seen experts plus the group's own ones by its self gate."""
    number = level.num_experts
    groups = [
        [
            expert_by_numpy(level.feature_gates[group * number + index], level.experts[group * number + index], x)
            for index in range(number)
        ]
        for group, x in enumerate(inputs)
    ]
    outputs = []
    gates = iter(zip(level.gates, level.self_gates, strict=True))
    for group, seen in enumerate(level.sees):
        if seen:
            gate, self_gate = next(gates)
            shares, scores = (inputs[group] @ as_array(one.kernel) + as_array(one.bias) for one in (gate, self_gate))
            shares = softmax(shares)
            own = softmax(scores) if number > 1 else 1 / (1 + np.exp(-scores))
            experts = [expert for other in seen for expert in groups[other]]
            assert shares.shape[1] == len(experts)
            mixture = sum(shares[:, [index]] * expert for index, expert in enumerate(experts))
            outputs.append(mixture + sum(own[:, [index]] * expert for index, expert in enumerate(groups[group])))
    return outputs


HOME = {"units": (5, 3), "gate_rank": 2}


@pytest.mark.parametrize("num_experts", [1, 2])
def test_home_against_numpy(num_experts):
    tasks = ["click", "like", "long_view"]
    meta_tasks = {"watch": ["long_view", "click"], "act": ["like"]}
    layer = built(LAYERS.HoME(tasks, meta_tasks, num_experts, **HOME))
    # The masks, written down by hand: shared, watch and act; shared, watch, act and the tasks.
    assert layer.meta_level.sees == [[0, 1, 2], [0, 1], [0, 2]]
    assert layer.task_level.sees == [[], [], [], [0, 1, 3], [0, 2, 4], [0, 1, 5]]
    shared, watch, act = masked_by_numpy(layer.meta_level, [X] * 3)
    expected = masked_by_numpy(layer.task_level, [shared, watch, act, watch, act, watch])
    out = layer(X)
    assert list(out) == tasks
    for task, values in zip(tasks, expected, strict=True):
        np.testing.assert_allclose(as_array(out[task]), values, rtol=1e-5, atol=1e-5)


def test_home_has_one_category_if_none_is_given():
    layer = built(LAYERS.HoME(["click", "like"], **HOME))
    shared, everything = masked_by_numpy(layer.meta_level, [X] * 2)
    expected = masked_by_numpy(layer.task_level, [shared, everything, everything, everything])
    for task, values in zip(["click", "like"], expected, strict=True):
        np.testing.assert_allclose(as_array(layer(X)[task]), values, rtol=1e-5, atol=1e-5)
    assert layer.get_config()["meta_tasks"] is None


def test_a_task_of_home_does_not_train_what_is_masked():
    tasks, meta_tasks = ["click", "like", "buy"], {"watch": ["click", "like"], "act": ["buy"]}
    layer = built(LAYERS.HoME(tasks, meta_tasks, num_experts=1, **HOME))
    levels = (layer.meta_level, layer.task_level)
    kernels = [expert.weights[0] for level in levels for expert in level.experts]
    _, _, found = gradients(lambda x: ops.sum(layer(x)["click"] ** 2), [X], kernels)
    # The experts of another category are reached at the first level, through the shared output.
    shared, watch, act, *above = [bool(np.any(gradient)) for gradient in found]
    assert (shared, watch, act) == (True, True, True)
    assert above == [True, True, False, True, False, False]


def test_experts_of_home_have_one_size():
    """Whatever the size of their inputs, unlike experts without a normalization."""
    sizes = {}
    for normalization in ("layer", "batch", None):
        layer = LAYERS.MaskedExperts([[0], [0]], 1, units=(16,), normalization=normalization)
        layer.build([(None, 4)] * 2)
        # One expert has a kernel a hundred times as large as the other.
        kernel = wave(4, 16)
        for expert, factor in zip(layer.experts, (1.0, 100.0), strict=True):
            expert.first.kernel.assign(factor * kernel)
        small, large = (np.abs(as_array(layer._experts_of(index, X, training=True))).mean() for index in range(2))
        sizes[normalization] = large / small
    assert sizes["layer"] < 2
    assert sizes["batch"] < 2 < 50 < sizes[None]


@pytest.mark.parametrize(("arguments", "refused"), [({}, False), ({"normalization": "batch"}, True)])
def test_only_processes_that_take_statistics_of_the_batch_refuse_home(arguments, refused):
    layer = LAYERS.HoME(["click"], **HOME, **arguments)
    kinds = {type(inner) for inner in layer._flatten_layers()}
    assert (keras.layers.BatchNormalization in kinds) == refused
    assert (keras.layers.LayerNormalization in kinds) != refused


@pytest.mark.parametrize("gate_units", [(), (5,)])
@pytest.mark.parametrize(("num_shared_experts", "num_task_experts"), [(1, 1), (2, 3)])
def test_stem_against_numpy(num_shared_experts, num_task_experts, gate_units):
    tasks, x = ["click", "like", "buy"], wave(6, 12)
    layer = built(LAYERS.STEM(tasks, num_shared_experts, num_task_experts, (5, 3), gate_units=gate_units), 12)
    # Three columns for each task, and three shared ones.
    parts = [x[:, [part, 4 + part, 8 + part]] for part in range(4)]
    experts = [
        network(parallel, index, part)
        for parallel, part in zip(layer.experts, parts, strict=True)
        for index in range(parallel.num_networks)
    ]
    assert len(experts) == 3 * num_task_experts + num_shared_experts
    out = layer(x)
    assert list(out) == tasks
    for task, gate, part in zip(tasks, layer.gates, parts, strict=False):
        shares = softmax(mlp_logits(gate, part + parts[3]))
        expected = sum(shares[:, [index]] * expert for index, expert in enumerate(experts))
        np.testing.assert_allclose(as_array(out[task]), expected, rtol=1e-5, atol=1e-6)


def test_a_task_of_stem_reads_all_experts_and_trains_its_own():
    """All forward, task-specific backward: of experts and of the columns they read."""
    layer, x = built(LAYERS.STEM(["click", "like", "buy"], units=(3,), activation="tanh"), 8), wave(6, 8)
    kernels = [experts.weights[0] for experts in layer.experts]
    _, (of_inputs,), found = gradients(lambda x: ops.sum(layer(x)["like"] ** 2), [x], kernels)
    assert [bool(np.any(gradient)) for gradient in found] == [False, True, False, True]
    assert [bool(of_inputs[:, column].any()) for column in range(8)] == [False, True, False, True] * 2
    before = as_array(layer(x)["like"])
    for kernel in kernels:
        kept = as_array(kernel).copy()
        kernel.assign(2 * kept)
        assert np.abs(as_array(layer(x)["like"]) - before).max() > 1e-4
        kernel.assign(kept)


def aitm_by_numpy(layer, parents, x):
    """z = Σ softmax(<key, query> / √width) value over what the parent hands on and the task's own."""
    own = {task: network(layer.bottoms, index, x) for index, task in enumerate(layer.task_names)}
    transfers = dict(zip([task for task in layer._order if task in parents], layer.transfers, strict=True))

    def representation(task):
        if task not in parents:
            return own[task]
        transfer = transfers[task]
        kernel, bias = (as_array(weight) for weight in transfer.transfer.weights)
        handed_on = relu(representation(parents[task]) @ kernel + bias)
        values, scores = [], []
        for u in (handed_on, own[task]):
            value, key, query = (u @ as_array(h.kernel) for h in (transfer.value, transfer.key, transfer.query))
            values.append(value)
            scores.append((key * query).sum(-1) / np.sqrt(u.shape[1]))
        shares = softmax(np.stack(scores), axis=0)
        return shares[0][:, None] * values[0] + shares[1][:, None] * values[1]

    return {task: representation(task) for task in layer.task_names}


@pytest.mark.parametrize(
    ("parents", "known"),
    [
        (None, {"click": "view", "like": "click", "buy": "like"}),
        ({"click": "view", "like": "click", "buy": "click"}, None),
        ({"view": "buy", "buy": "like"}, None),
        ({}, None),
    ],
    ids=["chain", "tree", "children named first", "no parents"],
)
def test_aitm_against_numpy(parents, known):
    tasks = ["view", "click", "like", "buy"]
    layer = built(LAYERS.AITM(tasks, parents, units=(5, 3)))
    known = parents if known is None else known
    expected = aitm_by_numpy(layer, known, X)
    out = layer(X)
    assert set(out) == set(tasks)
    for task in tasks:
        np.testing.assert_allclose(as_array(out[task]), expected[task], rtol=1e-5, atol=1e-6)
    assert len(layer.transfers) == len(known)


def test_aitm_roots_keep_their_own_layers():
    layer = built(LAYERS.AITM(["click", "like"], units=(3,)))
    np.testing.assert_allclose(as_array(layer(X)["click"]), network(layer.bottoms, 0, X), rtol=1e-5, atol=1e-6)


def test_aitm_hands_on_and_not_back():
    layer = built(LAYERS.AITM(["click", "like"], units=(3,), activation="tanh"))
    kernel = layer.bottoms.weights[0]
    for task, trained in (("click", [True, False]), ("like", [True, True])):
        _, _, (found,) = gradients(lambda x, task=task: ops.sum(layer(x)[task]), [X], [kernel])
        assert [bool(found[:, index].any()) for index in range(2)] == trained


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ({"like": "like"}, r"\['like'\] form a cycle or follow one.*Received: parents=\{'like': 'like'\}"),
        ({"like": "buy", "buy": "like", "view": "buy"}, "'view', 'like', 'buy'.* form a cycle"),
        ({"like": "show"}, r"unknown tasks \['show'\]. Tasks: .*Received"),
        ({"show": "like"}, r"unknown tasks \['show'\]"),
    ],
)
def test_wrong_parents(parents, message):
    with pytest.raises(ValueError, match=message):
        LAYERS.AITM(["view", "click", "like", "buy"], parents)


@pytest.mark.parametrize("structure", ["mmoe", "ple", "aitm", "adatt", "home", "stem"])
@pytest.mark.parametrize("names", [[], ["click", "click"], "click", [1]])
def test_wrong_task_names(structure, names):
    with pytest.raises(ValueError, match="`task_names` must be a sequence of different strings.*Received"):
        MULTI_TASK[structure](names)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LAYERS.MMoE(["click"], num_experts=0), "`num_experts` must be a positive integer. Received: .*=0"),
        (lambda: LAYERS.MMoE(["click"], units=()), "`units` and `output_units` must be positive integers"),
        (lambda: LAYERS.PLE(["click"], num_levels=0), "`num_levels` must be a positive integer"),
        (lambda: LAYERS.PLE(["click"], num_shared_experts=0), "`num_shared_experts` must be a positive"),
        (lambda: LAYERS.PLE(["click"], num_task_experts=1.5), "`num_task_experts` must be a positive integer.*1.5"),
        (lambda: LAYERS.AITM(["click"], dropout=1.0), "`dropout` must lie in"),
        (lambda: LAYERS.AdaTT(["click"], num_levels=0), "`num_levels` must be a positive integer"),
        (lambda: LAYERS.AdaTT(["click"], num_task_experts=0), "`num_task_experts` must be a positive integer"),
        (lambda: LAYERS.AdaTT(["click"], num_shared_experts=-1), "`num_shared_experts` must be a positive.*=-1"),
        (lambda: LAYERS.STEM(["click"], num_shared_experts=0), "`num_shared_experts` must be a positive integer"),
        (lambda: LAYERS.STEM(["click"], num_task_experts=0), "`num_task_experts` must be a positive integer"),
        (
            lambda: LAYERS.STEM(["click", "like"]).build((None, 16)),
            r"into 3 parts of one width.* a multiple of 3.*Received: input_shape=\(None, 16\)",
        ),
        (lambda: LAYERS.HoME(["click"], num_experts=0), "`num_experts` must be a positive integer"),
        (lambda: LAYERS.HoME(["click"], gate_rank=0), "`gate_rank` must be a positive integer"),
        (lambda: LAYERS.HoME(["click"], units=()), "`units` must hold at least one width"),
        (lambda: LAYERS.HoME(["click"], normalization="group"), "`normalization` must be one of .*'group'"),
        (lambda: LAYERS.HoME(["a", "b"], {"all": ["a"]}), r"must name every task of \['a', 'b'\] once.*Received: meta"),
        (lambda: LAYERS.HoME(["a"], {"one": ["a"], "two": ["a"]}), "must name every task of .* once"),
        (lambda: LAYERS.HoME(["a"], {"all": ["a", "c"]}), "must name every task of .* once"),
        (lambda: LAYERS.HoME(["a"], {"all": ["a"], "none": []}), "Every category of `meta_tasks` must have a task"),
        (lambda: LAYERS.MaskedExperts([[0, 2], [1]]), "for each of the 2 groups, numbers of groups.*Received: sees"),
        (lambda: LAYERS.MaskedExperts([[], []]), "at least one number in all"),
        (
            lambda: LAYERS.MaskedExperts([[0], [1]]).build([(None, 3)]),
            "must be a list of 2 tensors, one for each group. Received: 1 shapes",
        ),
        (
            lambda: LAYERS.TaskToTaskFusion(2, 1, shared_output=True),
            "`shared_output` is the output of shared experts. Give `num_shared_experts`.*Received: num_shared_exp",
        ),
    ],
)
def test_wrong_sizes(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("structure", MULTI_TASK)
def test_one_task(structure):
    layer = built(MULTI_TASK[structure](["click"], units=(3,)), 6)
    assert as_array(layer(wave(6, 6))["click"]).shape == (6, 3)


@pytest.mark.parametrize("structure", MULTI_TASK)
def test_dropout_acts_in_training_only(structure):
    layer = built(MULTI_TASK[structure](["click", "like"], units=(16,), dropout=0.5), 6)
    x = wave(6, 6)
    still, moved = (as_array(layer(x, training=training)["like"]) for training in (False, True))
    np.testing.assert_array_equal(still, as_array(layer(x)["like"]))
    assert not np.allclose(still, moved)
