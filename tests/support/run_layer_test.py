"""What every layer of grouprank must do, in one call."""

import copy
import inspect
import json

import keras
import numpy as np
from keras import ops, tree
from support.fixed_weights import as_array, set_fixed_weights, wave


def run_layer_test(
    layer_class,
    init_kwargs,
    input_data,
    expected_output_shape,
    golden,
    *,
    still=(),
    run_fit=True,
    tmp_path,
):
    """Check a layer's whole contract.

    - all weights exist after `build`, `call` creates none;
    - symbolic output, `compute_output_shape` and the real output agree with `expected_output_shape`;
    - `get_config` holds every constructor argument, is JSON and comes back through `from_config`;
    - a model that holds it survives a `.keras` file, and gives the same rows then;
    - batches of any size give the same rows;
    - under mixed precision outputs are bfloat16, weights float32;
    - a compiled `fit` moves every trainable weight but those named in `still`;
    - with weights and inputs by formula the first row is `golden`, on every backend.

    Args:
        layer_class: the layer.
        init_kwargs: its constructor's arguments.
        input_data: an array, a list or a dict of arrays, at least 4 rows.
        expected_output_shape: shape with `None` rows, or a dict of shapes.
        golden: the first row of the output, nested as the output.
        still: names of trainable weights that have no gradient.
        run_fit: whether the layer has something to train.
        tmp_path: folder for the file.
    """
    layer = layer_class(**init_kwargs)
    # Each symbolic call traces the layer; one without training serves several checks.
    model = _check_build(layer, input_data)
    _check_config(layer)
    set_fixed_weights(layer)
    # Each call is compiled on JAX, so that the same outputs serve several checks.
    outputs = _call(layer, input_data)
    _check_shapes(layer, model.output, input_data, outputs, expected_output_shape)
    _check_golden(outputs, golden)
    loaded = _check_file(model, input_data, outputs, tmp_path / "layer.keras")
    _check_batches(loaded, input_data, outputs)
    _check_mixed_precision(layer_class, init_kwargs, input_data)
    if run_fit:
        _check_fit(layer_class, init_kwargs, input_data, still)


def _call(layer, input_data):
    """Outputs without training. JAX compiles the call as one: each operation by itself would take it far longer."""
    tensors = tree.map_structure(ops.convert_to_tensor, input_data)
    if keras.backend.backend() == "jax":
        import jax

        # A function of its own each time: weights are constants of what is compiled.
        return jax.jit(lambda values: layer(values))(tensors)
    return layer(tensors)


def _shapes(input_data):
    return tree.map_structure(lambda values: (None, *values.shape[1:]), input_data)


def _symbolic(input_data):
    if isinstance(input_data, dict):
        return {name: keras.Input(v.shape[1:], dtype=str(v.dtype), name=name) for name, v in input_data.items()}
    return tree.map_structure(lambda v: keras.Input(v.shape[1:], dtype=str(v.dtype)), input_data)


def _check_build(layer, input_data):
    """A model of the layer, which is built by itself."""
    layer.build(_shapes(input_data))
    assert layer.built
    before = [variable.path for variable in layer.variables]
    inputs = _symbolic(input_data)
    model = keras.Model(inputs, layer(inputs))
    if _takes_training(layer):
        layer(inputs, training=True)
    assert [variable.path for variable in layer.variables] == before, "`call` created variables"
    return model


def _takes_training(layer):
    return "training" in inspect.signature(layer.call).parameters


def _check_shapes(layer, symbolic, input_data, outputs, expected):
    rows = len(tree.flatten(input_data)[0])
    real = tree.map_structure(lambda output: tuple(output.shape), outputs)
    assert tree.map_structure(lambda output: output.shape, symbolic) == expected
    assert tree.map_structure(lambda output: output.dtype, symbolic) == tree.map_structure(
        lambda output: keras.backend.standardize_dtype(output.dtype), outputs
    )
    assert real == tree.map_shape_structure(lambda shape: (rows, *shape[1:]), expected)
    if not hasattr(layer.compute_output_shape, "_is_default"):
        assert layer.compute_output_shape(_shapes(input_data)) == expected


def _check_config(layer):
    config = layer.get_config()
    arguments = set(inspect.signature(type(layer).__init__).parameters) - {"self", "kwargs"}
    assert arguments <= set(config), f"missing from the config: {arguments - set(config)}"
    read = json.loads(json.dumps(config))
    twin = type(layer).from_config(copy.deepcopy(read))
    assert json.loads(json.dumps(twin.get_config())) == read
    # JSON makes lists of tuples; the constructor must take both.
    assert type(layer).from_config(copy.deepcopy(config)).get_config() == config


def _check_golden(outputs, golden):
    first = tree.map_structure(lambda output: as_array(output)[0], outputs)
    if isinstance(golden, dict):
        assert set(first) == set(golden)
        for name in golden:
            np.testing.assert_allclose(first[name], golden[name], rtol=1e-5, atol=1e-6, err_msg=name)
    else:
        np.testing.assert_allclose(first, golden, rtol=1e-5, atol=1e-6)


def _check_file(model, input_data, outputs, path):
    model.save(path)
    loaded = keras.models.load_model(path)
    # Keras-rs numbers its inner layers anew; Keras saves no dropout seeds: names and weights are what a file keeps.
    assert [weight.name for weight in loaded.weights] == [weight.name for weight in model.weights]
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(as_array(ours), as_array(theirs), err_msg=ours.path)
    # The rows are fed to both in one batch, so that nothing but the file can tell them apart. JAX compiles each call:
    # there, the loaded model is asked for the first row alone (`_check_batches`).
    if keras.backend.backend() != "jax":
        for ours, theirs in zip(tree.flatten(outputs), tree.flatten(_call(loaded, input_data)), strict=True):
            np.testing.assert_array_equal(as_array(ours), as_array(theirs))
    return loaded


def _check_batches(model, input_data, outputs):
    part = _call(model, tree.map_structure(lambda values: values[:1], input_data))
    for ours, theirs in zip(tree.flatten(outputs), tree.flatten(part), strict=True):
        np.testing.assert_allclose(as_array(ours)[:1], as_array(theirs), rtol=1e-5, atol=1e-6)


def _check_mixed_precision(layer_class, init_kwargs, input_data):
    layer = layer_class(**{**init_kwargs, "dtype": "mixed_bfloat16"})
    for output in tree.flatten(_call(layer, input_data)):
        assert keras.backend.standardize_dtype(output.dtype) in ("bfloat16", "int32")
        assert np.isfinite(as_array(output)).all()
    assert {weight.dtype for weight in layer.weights} <= {"float32", "int32"}


def _check_fit(layer_class, init_kwargs, input_data, still):
    layer = layer_class(**init_kwargs)
    inputs = _symbolic(input_data)
    outputs = [keras.layers.Flatten()(output) for output in tree.flatten(layer(inputs))]
    joined = keras.layers.Concatenate()(outputs) if len(outputs) > 1 else outputs[0]
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(joined))
    # torch's compiler needs a C++ toolchain; the other two compile with XLA.
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=keras.backend.backend() != "torch")
    set_fixed_weights(layer)
    before = {weight.path: as_array(weight).copy() for weight in layer.trainable_weights}
    rows = len(tree.flatten(input_data)[0])
    history = model.fit(input_data, wave(rows, 1, start=3.0), batch_size=rows, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    unmoved = {
        weight.name for weight in layer.trainable_weights if np.array_equal(before[weight.path], as_array(weight))
    }
    assert unmoved == set(still)
