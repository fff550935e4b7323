"""A model refuses batches whose ids or numbers were fitted on other rows than its own table's."""

import dataclasses

import keras
import numpy as np
import pytest

import grouprank as gr
from grouprank.datasets.batch_loader import BatchLoader

FITTED = {"user_id": "aa01", "history": "bb02", "ad_id": "bb02", "hour": "cc03"}


def schema_of(ads, vocabularies=FITTED, moments="dd04"):
    """The table's schema as fitted transforms give it."""

    def fitted(feature):
        if isinstance(feature, gr.Numeric):
            return dataclasses.replace(feature, moments=moments)
        if feature.name in vocabularies:
            return dataclasses.replace(feature, vocabulary=vocabularies[feature.name])
        return feature

    return gr.Schema([fitted(feature) for feature in ads.schema.features], ads.schema.tasks)


@pytest.fixture(scope="module")
def loaders(ads):
    """Batches of the model's own table, of one prepared again, and of one that knows nothing of its fit."""
    again = schema_of(ads, {**FITTED, "ad_id": "ee05", "history": "ee05"}, "ff06")
    x, y = ads.columns(), ads.labels()
    return {
        name: BatchLoader(x, y, 32, schema=schema)
        for name, schema in {"same": schema_of(ads), "again": again, "unknown": None}.items()
    }


@pytest.fixture(scope="module")
def ranking(ads):
    keras.utils.set_random_seed(0)
    model = ads.model(("user",), schema=schema_of(ads))
    model.compile(**ads.quick)
    return model


@pytest.fixture(scope="module")
def retrieval(ads):
    keras.utils.set_random_seed(0)
    sizes = {"embedding_dim": 4, "tower_units": (8,), "output_dim": 5}
    model = gr.models.TwoTowerModel(schema_of(ads), "ad_id", group_structure=ads.groups("user"), **sizes)
    model.compile(**ads.quick)
    return model


MESSAGE = (
    r"The model and the table of these batches were fitted on different rows: the ids of \['history', 'ad_id'\] stand "
    r"for other tokens and the numbers of \['age'\] are standardised otherwise.*table.transforms\(rows\)"
)
RANKING = {
    "fit": lambda model, own, other: model.fit(other, verbose=0),
    "validation": lambda model, own, other: model.fit(own, validation_data=other, verbose=0),
    "evaluate": lambda model, own, other: model.evaluate(other, verbose=0),
    "predict": lambda model, own, other: model.predict(other, verbose=0),
    "predict_proba": lambda model, own, other: model.predict_proba(other),
    "groups": lambda model, own, other: model.groups(other),
    "adapt": lambda model, own, other: model.adapt(other),
    "residual_norms": lambda model, own, other: model.residual_norms(other),
}
RETRIEVAL = {
    **{name: RANKING[name] for name in ("fit", "validation", "evaluate", "predict", "groups", "adapt")},
    "user_vectors": lambda model, own, other: model.user_vectors(other),
    "ad_vectors": lambda model, own, other: model.ad_vectors(other),
    "evaluate_recall": lambda model, own, other: model.evaluate_recall(
        other, candidates=model.distinct_ads(own[0][0]), k=3
    ),
}


@pytest.mark.parametrize("entry", RANKING)
def test_a_ranking_model_names_what_differs(ranking, loaders, entry):
    with pytest.raises(ValueError, match=MESSAGE):
        RANKING[entry](ranking, loaders["same"], loaders["again"])


@pytest.mark.parametrize("entry", RETRIEVAL)
def test_a_retrieval_model_names_what_differs(retrieval, loaders, entry):
    with pytest.raises(ValueError, match="were fitted on different rows: the ids of"):
        RETRIEVAL[entry](retrieval, loaders["same"], loaders["again"])


def test_its_own_table_and_what_says_nothing_pass(ads, ranking, loaders):
    expected = ranking.predict_proba(ads.columns())
    for name in ("same", "unknown"):
        np.testing.assert_allclose(ranking.predict_proba(loaders[name])["click"], expected["click"], atol=1e-6)
    ads.schema.check_loader(loaders["again"])  # written by hand


def test_a_file_keeps_what_the_model_was_fitted_on(ranking, loaders, tmp_path):
    ranking.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.schema == ranking.schema
    with pytest.raises(ValueError, match=MESSAGE):
        loaded.predict_proba(loaders["again"])


def test_a_teacher_of_another_table_is_refused(ads):
    teacher = ads.model(schema=schema_of(ads, {**FITTED, "hour": "ee05"}))
    with pytest.raises(ValueError, match=r"The model and its teacher were fitted.*\['hour'\]"):
        ads.model(schema=schema_of(ads), residual_learning=gr.models.ResidualLearning(teacher))
