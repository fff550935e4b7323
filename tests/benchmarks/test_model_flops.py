"""Operations of a preset against a count by hand."""

import json

import keras
import pytest

from grouprank.benchmarks import model_flops

ON_JAX = keras.backend.backend() == "jax"


@pytest.mark.skipif(not ON_JAX, reason="JAX's compiler counts")
def test_a_network_has_the_operations_of_its_products(tmp_path, capsys):
    model_flops.main(fields=3, history=1, ads=50, embedding_dim=2, only="mlp", output=tmp_path)
    counted = json.loads((tmp_path / "model_flops.json").read_text())["flops"]["mlp"]
    # Four fields of width 2; layers of 256 and 128; for each of two tasks a tower of 64 and its logit.
    products = 2 * (8 * 256 + 256 * 128 + 2 * (128 * 64 + 64))
    # The rest are biases and activations.
    assert products < counted["row"] < 1.03 * products
    # The user's and the context's part of the first layer is done once for all ads.
    assert 0.9 * products < counted["ranked ad"] < counted["row"]
    assert "| mlp | 0.10" in (tmp_path / "model_flops.md").read_text()


def test_what_cannot_be_counted_is_named(tmp_path):
    message = "--only names .'mpl'.. Presets: " if ON_JAX else "Set KERAS_BACKEND=jax. Received: "
    with pytest.raises(ValueError, match=message):
        model_flops.main(3, 1, 50, 2, "mpl", tmp_path)
    assert not list(tmp_path.iterdir())
