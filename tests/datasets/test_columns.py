import pytest

from grouprank.datasets import CategoricalColumn, NumericColumn, SequenceColumn, VectorColumn
from grouprank.schema import Categorical, Numeric, Sequence, Vector


def test_raw_defaults_to_the_name():
    assert NumericColumn("bid", "ad").raw_name == "bid"
    assert NumericColumn("bid", "ad", raw="Bid $").raw_name == "Bid $"


def test_features_of_the_schema():
    assert NumericColumn("a", "user").feature(9) == Numeric("a", side="user")
    assert CategoricalColumn("a", "ad").feature(9) == Categorical("a", 9, side="ad")
    assert SequenceColumn("a", "context", length=3).feature(9) == Sequence("a", 9, 3, side="context")
    assert VectorColumn("a", "ad", dim=4).feature(9) == Vector("a", 4, side="ad")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NumericColumn("a", "advertiser"), "side"),
        (lambda: NumericColumn("a b", "ad"), "name"),
        (lambda: NumericColumn("a", "ad", raw=""), "raw"),
        (lambda: NumericColumn("a", "ad", function="sqrt"), "function"),
        (lambda: CategoricalColumn("a", "ad", dtype="int32"), "dtype"),
        (lambda: CategoricalColumn("a", "ad", min_count=0), "min_count"),
        (lambda: CategoricalColumn("a", "ad", max_size=True), "max_size"),
        (lambda: CategoricalColumn("a", "ad", modulo=24), 'dtype="int64"'),
        (lambda: CategoricalColumn("a", "ad", divisor=2), 'dtype="int64"'),
        (lambda: CategoricalColumn("a", "ad", dtype="int64", modulo=0), "modulo"),
        (lambda: SequenceColumn("a", "ad", length=0), "length"),
        (lambda: SequenceColumn("a", "ad", length=1, separator=""), "separator"),
        (lambda: VectorColumn("a", "ad", dim=0), "dim"),
    ],
)
def test_wrong_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()
