"""The study of what histories are worth, from the official files to its page, on a few of their rows."""

import json

import pytest

import grouprank as gr
from grouprank.recipes import history_worth


class FewRows(gr.datasets.KuaiRandPure):
    def chunks(self, chunk_rows, max_bad_rows=0, workers=1):
        for frame in super().chunks(chunk_rows, max_bad_rows, workers):
            yield frame.gather_every(100)


@pytest.mark.any_backend
def test_readers_are_compared_with_a_model_without_histories(real_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(history_worth, "KuaiRandPure", FewRows)
    output = tmp_path / "histories.md"

    def study(budget=1):
        data = real_data("kuairand-pure")
        history_worth.main(data, None, 5, tmp_path / "run", "target_attention", 2, budget, 1, output)
        return capsys.readouterr().out

    # One trial and two seeds of each.
    assert study().count(" s\n") == 6
    text = output.read_text(encoding="utf-8")
    assert "| is_click | no history |" in text
    assert "| is_click | target_attention |" in text
    assert "causal_transformer" not in text
    assert "the last 5 videos" in text
    assert "| no history | 2 epochs, L2 0.001, dropout 0.3 | 1 |" in text
    described = {
        name: json.loads((tmp_path / "run" / "predictions" / name / "model.json").read_text())
        for name in ("no history", "target_attention")
    }
    sequences = ["history", "history_action", "history_age"]
    assert described["no history"]["variant"]["left_out"] == sequences
    assert described["target_attention"]["variant"]["left_out"] == []
    assert described["no history"]["embeddings"] < described["target_attention"]["embeddings"]
    # What was trained is not trained again, and the page is the same.
    assert study().startswith("written")
    assert output.read_text(encoding="utf-8") == text
    # Two trials might choose other settings than those whose predictions are there.
    with pytest.raises(ValueError, match="holds a run with other settings .budget: 1 there, 2 now"):
        study(budget=2)


@pytest.mark.any_backend
def test_unknown_readers_are_named():
    assert history_worth.readers_of(" hstu, mean") == ["no history", "mean", "hstu"]
    assert history_worth.readers_of("") == list(history_worth.READERS)
    with pytest.raises(ValueError, match=r"`--readers` names \['din'\]. Readers: \['no history', 'mean'"):
        history_worth.readers_of("mean,din")
