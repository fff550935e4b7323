"""Layers of sequences that take their arguments as one dict, as `run_layer_test` gives them."""

import inspect

import keras

from grouprank.layers import HSTU, CausalTransformer, MeanPooling, TargetAttention, WeightedPooling


def _of_dict(encoder, first="sequence"):
    takes_training = "training" in inspect.signature(encoder.call).parameters

    def build(self, input_shape):
        encoder.build(self, input_shape[first])

    def call(self, inputs, training=None):
        return encoder.call(self, **inputs, **({"training": training} if takes_training else {}))

    def compute_output_shape(self, input_shape):
        return encoder.compute_output_shape(self, input_shape[first])

    members = {"build": build, "call": call, "compute_output_shape": compute_output_shape}
    register = keras.saving.register_keras_serializable(package="grouprank_tests")
    return register(type(encoder.__name__, (encoder,), {**members, "__module__": __name__}))


OF_DICT = {encoder.__name__: _of_dict(encoder) for encoder in (MeanPooling, TargetAttention, CausalTransformer, HSTU)}
OF_DICT["WeightedPooling"] = _of_dict(WeightedPooling, "vectors")
