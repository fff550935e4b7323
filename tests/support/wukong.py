"""`WukongLayer` in NumPy, for the backbones that are made of it."""

import numpy as np
from support.fixed_weights import as_array


def normalized(x, layer, epsilon=1e-5):
    """Layer normalization with the weights of a layer."""
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * as_array(layer.gamma) + as_array(layer.beta)


def wukong_by_numpy(layer, x):
    """The layer's embeddings, with one dense layer above the products."""
    rows, embeddings, dim = x.shape
    products = np.stack([row @ row.T @ as_array(layer.projection) for row in x]).reshape(rows, -1)
    hidden = normalized(products, layer._products_norm)
    kernel, bias = (as_array(w) for w in layer.mlp.weights)
    hidden = np.maximum(hidden @ kernel + bias, 0)
    made = (hidden @ as_array(layer._products.kernel) + as_array(layer._products.bias)).reshape(rows, -1, dim)
    linear = np.stack([as_array(layer.linear.kernel).T @ row for row in x])
    shortcut = x
    if embeddings != made.shape[1] + linear.shape[1]:
        shortcut = np.stack([as_array(layer._shortcut.kernel).T @ row for row in x])
    return normalized(np.concatenate([made, linear], axis=1) + shortcut, layer._output_norm)
