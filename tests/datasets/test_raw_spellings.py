"""Spellings: what means missing, integers with decimals, ids given as integers, and columns that changed theirs."""

import json
import warnings

import numpy as np
import polars as pl
import pytest

from grouprank import Task
from grouprank.datasets import (
    CategoricalColumn,
    NumericColumn,
    PreparedTable,
    SequenceColumn,
    TableDescription,
    TableTransforms,
    Tabular,
    VocabularyTransform,
    prepare,
)
from grouprank.datasets.transforms.raw_values import as_bytes
from grouprank.datasets.transforms.transform_fitter import TransformFitter

FEATURE = {"name": "os", "kind": "categorical", "side": "user"}


def described(**more):
    return TableDescription.from_dict({"features": [FEATURE], "tasks": ["click"], **more})


def with_feature(**more):
    return described(features=[{**FEATURE, **more}])


class TestMissing:
    def test_one_spelling_needs_no_list(self):
        assert described(missing="NA").missing == described(missing=["NA"]).missing == ("NA",)
        assert described(missing=-1).missing == ("-1",)
        assert described(missing=None).missing == ()
        assert with_feature(missing="NA").columns[0].missing == ("NA",)

    @pytest.mark.parametrize("wrong", [[None], [False], True, {"NA": 1}, [["NA"]]])
    def test_what_yaml_makes_of_words_is_refused(self, wrong):
        with pytest.raises(ValueError, match=r'`missing` must be a spelling or a list.*in quotes: "NULL", "no"'):
            described(missing=wrong)
        with pytest.raises(ValueError, match="Feature 'os': `missing` must be a spelling"):
            with_feature(missing=wrong)

    def test_columns_check_theirs(self):
        for make in (NumericColumn, CategoricalColumn, lambda *args, **more: SequenceColumn(*args, length=2, **more)):
            with pytest.raises(ValueError, match=r"'os': `missing` must be a tuple of strings.*Received: missing='NA'"):
                make("os", "user", missing="NA")

    def test_a_vocabulary_holds_no_other_spelling(self):
        for more, token in [({"missing": ("NA",)}, "NA"), ({"integers": True}, "84.0")]:
            with pytest.raises(ValueError, match=f"its vocabulary holds '{token}'"):
                VocabularyTransform("os", "string", np.array([token], dtype=object), **more)

    def test_numbers_are_known_by_their_value(self, tmp_path):
        rows = "\n".join(f"{price},{i % 5},1" for i, price in enumerate(["-1", "2", "-1.0", "NA", "", "4"] * 5))
        (tmp_path / "t.csv").write_text(f"price,slot,click\n{rows}\n")
        features = [
            {"name": "price", "kind": "numeric", "side": "ad", "function": "identity"},
            {"name": "slot", "kind": "categorical", "side": "ad", "dtype": "int64"},
        ]
        config = {"features": features, "tasks": ["click"], "missing": ["NA", -1, 3]}
        dataset = Tabular(tmp_path / "t.csv", TableDescription.from_dict(config))
        table = prepare(dataset, tmp_path / "out")
        assert table.transforms.columns["price"].mean == 3.0
        assert table.transforms.columns["slot"].tokens.tolist() == [0, 1, 2, 4]
        assert table.column("train", "price")[:6].tolist() == [0.0, -1.0, 0.0, 0.0, 0.0, 1.0]
        assert table.column("train", "slot")[:5].tolist()[3] == 0
        assert pl.concat(dataset.chunks(9))["price"][:6].to_list() == [-1, 2, -1, None, None, 4]


class TestIntegers:
    @pytest.mark.parametrize(
        ("tokens", "integers"),
        [
            (["84.0", "84", "7", ""], True),
            (["1.00", "-3", "0.0"], True),
            (["12345678901234567890.0"], True),
            (["84.0", "x"], False),
            (["84", "084"], False),
            (["84", "+84"], False),
            (["84", "8.5"], False),
            (["-0.0"], False),
            (["", ""], False),
        ],
    )
    def test_a_column_is_one_of_integers_if_all_its_tokens_are(self, tokens, integers):
        fitter = TransformFitter([CategoricalColumn("code", "user")], [Task("click")])
        fitter.update(pl.DataFrame({"code": tokens}))
        transform = fitter.finish().columns["code"]
        assert transform.integers is integers
        spelled = [token.removesuffix(".00").removesuffix(".0") if integers else token for token in tokens]
        assert set(transform.tokens) == set(spelled)
        assert (transform(tokens) > 0).all()
        assert (transform(spelled) > 0).all()

    def test_spellings_of_a_token_are_counted_together(self):
        fitter = TransformFitter([CategoricalColumn("code", "user", min_count=3)], [Task("click")])
        for chunk in (["84.0", "7"], ["84", "84.00"], ["7"]):
            fitter.update(pl.DataFrame({"code": chunk}))
        assert fitter.finish().columns["code"].tokens.tolist() == ["84"]

    def test_integers_stand_for_their_text(self):
        transform = VocabularyTransform("code", "string", np.array(["7", "84"], dtype=object))
        for values in (
            [84, 7, 9],
            np.array([84, 7, 9]),
            np.array([84, 7, 9], "uint8"),
            pl.Series([84, 7, 9], dtype=pl.UInt16),
            np.array([84, "7", b"9"], dtype=object),
            [np.int64(84), "7", 9],
            np.array([[84], [7], [9]]),
        ):
            assert transform(values).tolist() == [2, 1, 0]
            assert as_bytes("code", values).reshape(-1).tolist() == [b"84", b"7", b"9"]
        assert transform(pl.Series([84, None])).tolist() == [2, 0]
        for wrong in ([True], [7.0], pl.Series([7.0]), np.array([False])):
            with pytest.raises(ValueError, match="'code': expected strings"):
                transform(wrong)
            with pytest.raises(ValueError, match="'code': expected strings"):
                as_bytes("code", wrong)


class TestUnknown:
    columns = (
        CategoricalColumn("code", "user"),
        SequenceColumn("tags", "ad", length=3),
        CategoricalColumn("slot", "context", dtype="int64"),
    )

    @pytest.fixture
    def transforms(self):
        fitter = TransformFitter(self.columns, [Task("click")])
        fitter.update(pl.DataFrame(self.rows()))
        fitted = fitter.finish()
        return TableTransforms(fitted.schema, fitted.columns, {"code": 0.25, "tags": 0.0, "slot": 0.0})

    @staticmethod
    def rows(prefix="u", slot=0, rows=60):
        return {
            "code": [f"{prefix}{i % 9}" for i in range(rows)],
            "tags": [f"t{i % 4},t{i % 3}" for i in range(rows)],
            "slot": np.arange(rows) % 6 + slot,
        }

    def test_a_changed_spelling_is_told_once(self, transforms):
        message = (
            r"Raw column 'code': 100.0 % of 60 tokens are out of the vocabulary of 'code'; in training it was 25.0 %. "
            r"One unknown token is 'U0'. Send the column as it stood in the training file"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            transforms(self.rows())
        with pytest.warns(UserWarning, match=message):
            transforms(self.rows("U"))
        with pytest.warns(UserWarning, match="'slot'.*One unknown token is 100") as told:
            transforms(self.rows("U", slot=100))
        assert len(told) == 1
        assert [found.feature for found in transforms.unknown_tokens(self.rows("U"))] == ["code"]

    def test_small_requests_are_added_up(self, transforms):
        rows = self.rows("U")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for i in range(30):
                transforms({name: values[i : i + 1] for name, values in rows.items()})
        assert [str(warning.message).split(":")[0] for warning in told] == ["Raw column 'code'"]
        assert "of 20 tokens" in str(told[0].message)

    def test_one_new_user_and_some_rare_tokens_are_no_change(self, transforms):
        rows = self.rows()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            transforms({**rows, "code": ["somebody new"] * 60})
            transforms({**rows, "code": [f"new{i}" if i % 2 else code for i, code in enumerate(rows["code"])]})
            transforms.encode(self.rows("U"))

    def test_nothing_is_told_where_training_is_not_known(self, transforms):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            TableTransforms(transforms.schema, transforms.columns)(self.rows("U"))

    def test_the_shares_are_prepared_and_saved(self, tmp_path):
        lines = [f"u{i % 9 if i < 79 else i},{i % 2}" for i in range(100)]
        (tmp_path / "t.csv").write_text("\n".join(["os,click", *lines]) + "\n")
        table = prepare(Tabular(tmp_path / "t.csv", with_feature(min_count=2)), tmp_path / "out")
        assert dict(table.transforms.oov_share) == {"os": table.report["oov_share"]["os"]["train"]} == {"os": 1 / 80}
        saved = tmp_path / "out" / "transforms" / "transforms.json"
        config = json.loads(saved.read_text())
        assert config["columns"]["os"].pop("oov_share") == 1 / 80
        saved.write_text(json.dumps(config))  # as earlier versions wrote it
        assert dict(PreparedTable(tmp_path / "out").transforms.oov_share) == {"os": 1 / 80}
