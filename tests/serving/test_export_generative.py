"""The SavedModel of a generative retrieval model finds what the Keras model's beam search finds."""

import json

import keras
import numpy as np
import pytest

import grouprank as gr
from grouprank.serving.c_session import CSession
from grouprank.serving.verify_generative_retrieval import verify_generative_retrieval

ITEMS = 40
K, BEAM = 5, 8


def make_model():
    codes = np.random.default_rng(0).integers(0, 4, (ITEMS, 3))
    codes[0] = codes[7] = -1
    sizes = {"history_length": 3, "width": 8, "num_heads": 2, "encoder_layers": 1, "decoder_layers": 1}
    keras.utils.set_random_seed(0)
    model = gr.models.GenerativeRetrievalModel(codes, **sizes, user_tokens=4)
    # Far from equal scores, so that histories have items of their own.
    table = model.transformer._codes.embeddings
    table.assign(4 * table)
    for weight in model.transformer.weights:
        if "/memory/" in weight.path:
            weight.assign(3 * weight)
    model.compile()
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model, path = make_model(), tmp_path_factory.mktemp("generative") / "tiny"
    return model, gr.serving.export_generative_retrieval(model, path, K, BEAM, provenance={"data": "by formula"})


def test_finds_what_keras_finds(exported):
    model, report = exported
    items, scores = model.retrieve(report.raw, K, BEAM)
    assert (report.rows, report.ids.shape, report.border_rows) == (256, (256, K), 0)
    # Scores closer than rounding may change places.
    assert (report.ids == items).mean() > 0.99
    np.testing.assert_allclose(report.scores, scores, atol=1e-4)
    assert (report.path.name, report.recall) == ("1", pytest.approx(1.0, abs=0.01))
    assert len(np.unique(items)) > 20, "few items would prove little"


def test_the_signature_takes_histories_and_users(exported):
    model, report = exported
    session = CSession(report.path)
    inputs = {"history": np.array([[0, 3, 9]], "int32"), "user_id": np.array([6], "int32")}
    answer = session.run("serving_default", inputs)
    session.close()
    items, scores = model.retrieve(inputs, K, BEAM)
    assert answer["items"].tolist() == items.tolist()
    np.testing.assert_allclose(answer["scores"], scores, atol=1e-4)


def test_provenance(exported):
    _, report = exported
    known = json.loads((report.path / "assets.extra" / "provenance.json").read_text())
    assert known["retrieval"] == {"k": K, "beam": BEAM, "items": ITEMS - 2, "recall": report.recall}
    assert known["data"] == "by formula"


def test_another_model_is_found_out(exported):
    """A difference in one weight is told, and so is a smaller beam."""
    model, report = exported
    other = make_model()
    other.transformer._users.embeddings.assign(model.transformer._users.embeddings + 1e-3)
    for keras_model, beam in ((other, BEAM), (model, ITEMS)):
        with pytest.raises(RuntimeError, match="disagrees with the Keras model"):
            verify_generative_retrieval(keras_model, report.path, report.raw, K, beam, 1e-5)


def test_errors(exported, tmp_path):
    model, report = exported
    with pytest.raises(FileExistsError):
        gr.serving.export_generative_retrieval(model, report.path, K, BEAM)
    with pytest.raises(ValueError, match="must be a GenerativeRetrievalModel. Received: Sequential"):
        gr.serving.export_generative_retrieval(keras.Sequential(), tmp_path / "m")
    with pytest.raises(ValueError, match="Received: k=39, beam=78"):
        gr.serving.export_generative_retrieval(model, tmp_path / "m", k=39)
    broken = make_model()
    broken.transformer._places.embeddings.assign(np.full((3, 8), np.nan))
    with pytest.raises(ValueError, match="1 weight of the model is NaN"):
        gr.serving.export_generative_retrieval(broken, tmp_path / "m", K)
    assert not list(tmp_path.iterdir())
