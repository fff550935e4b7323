"""Ids that grow from period to period, against the rules written out token by token in plain Python."""

import collections
import pickle

import numpy as np
import polars as pl
import pytest

from grouprank import Task
from grouprank.datasets import CategoricalColumn, GrowingColumn, NumericColumn, SequenceColumn, TableTransforms, prepare
from grouprank.datasets.transforms.token_counts import TokenCounts
from grouprank.datasets.transforms.transform_fitter import TransformFitter


class PlainMap:
    """The rules of `GrowingColumn` for admission by count, one token at a time."""

    def __init__(self, capacity, min_count=1, eviction=None, ttl=None, half_life=None):
        self.capacity, self.min_count, self.eviction, self.ttl, self.half_life = (
            capacity, min_count, eviction, ttl, half_life
        )  # fmt: skip
        self.period, self.ids, self.use, self.seen, self.count = 0, {}, {}, {}, {}

    def extend(self, rows):
        self.period += 1
        for token in self.use:
            if self.half_life is not None:
                self.use[token] *= 0.5 ** (1 / self.half_life)
        for token, sightings in collections.Counter(rows).items():
            self.use[token] = self.use.get(token, 0.0) + sightings
            self.count[token] = self.count.get(token, 0) + sightings
            self.seen[token] = self.period
        found = {"new": [], "handed_on": [], "refused": 0}
        admitted = [t for t in set(rows) if t not in self.ids and self.count[t] >= self.min_count]
        for token in sorted(admitted, key=lambda token: (-self.use[token], token)):
            if len(self.ids) < self.capacity:
                self.ids[token] = len(self.ids) + 1
                found["new"].append(self.ids[token])
                continue
            victim = self.victim(token)
            if victim is None:
                found["refused"] += 1
                continue
            self.ids[token] = self.ids.pop(victim)
            found["handed_on"].append(self.ids[token])
            for memory in (self.use, self.seen, self.count):
                del memory[victim]
        self.forget()
        found["handed_on"].sort()
        found["waiting"] = sum(t not in self.ids and n < self.min_count for t, n in self.count.items())
        return found

    def victim(self, token):
        if self.eviction == "lfu":
            least = min(self.ids, key=lambda other: (self.use[other], self.seen[other], self.ids[other]))
            return least if self.use[least] < self.use[token] else None
        if self.eviction == "ttl":
            unseen = [other for other in self.ids if self.period - self.seen[other] >= self.ttl]
            return min(unseen, key=lambda o: (self.seen[o], self.use[o], self.ids[o]), default=None)
        return None

    def forget(self):
        outside = [token for token in self.use if token not in self.ids]
        outside.sort(key=lambda token: (-self.count[token], -self.seen[token], token))
        for token in outside[self.capacity :]:
            for memory in (self.use, self.seen, self.count):
                del memory[token]


def column(**options):
    return GrowingColumn("ad", "ad", **{"capacity": 20} | options)


def fitted(rows, *more, **options):
    """Transforms whose first period is some tokens."""
    fitter = TransformFitter([column(**options), *more], [Task("click")])
    fitter.update(pl.DataFrame({"ad": rows}) if not isinstance(rows, pl.DataFrame) else rows)
    return fitter.finish()


def ids_of(transforms, name="ad"):
    """Token to id."""
    transform = transforms.columns[name]
    return {token: place + 1 + transform.unknown_id for place, token in enumerate(transform.tokens.tolist())}


def period(number, rng, most=90):
    """Tokens that come and go: some of each period are of the last one, a few of any."""
    size = int(rng.integers(1, most))
    tokens = 7 * number + rng.geometric(0.07, size)
    tokens[rng.random(size) < 0.1] = rng.integers(0, 200)
    return tokens


RULES = {
    "no eviction": {},
    "no eviction, 3 sightings": {"min_count": 3},
    "lfu": {"eviction": "lfu"},
    "lfu, 2 sightings": {"eviction": "lfu", "min_count": 2},
    "lfu that fades": {"eviction": "lfu", "half_life": 1.5},
    "lfu that fades, 3 sightings": {"eviction": "lfu", "half_life": 3, "min_count": 3},
    "ttl": {"eviction": "ttl", "ttl": 2},
    "ttl, 2 sightings": {"eviction": "ttl", "ttl": 1, "min_count": 2},
}


class TestRules:
    @pytest.mark.parametrize("dtype", ["string", "int64"])
    @pytest.mark.parametrize("name", RULES)
    def test_are_those_of_plain_python_in_any_order_of_rows(self, name, dtype):
        """Also: ids keep their tokens, are used without gaps and within the capacity."""
        rng = np.random.default_rng(list(RULES).index(name))
        plain = PlainMap(20, **RULES[name])
        transform = column(dtype=dtype, integers=False, **RULES[name])._without_tokens()
        changes = 0
        for number in range(15):
            tokens = period(number, rng)
            tokens = tokens if dtype == "int64" else np.array([f"t{token}" for token in tokens], dtype=object)
            chunks = np.array_split(rng.permutation(tokens), rng.integers(1, 4))
            summary = TokenCounts()
            for chunk in chunks:
                summary.add(transform.summarize(chunk))
            before = dict(enumerate(transform.tokens.tolist()))
            transform, growth = transform.extended(summary)
            expected = plain.extend(tokens.tolist())
            after = dict(enumerate(transform.tokens.tolist()))

            assert {token: place + 1 for place, token in after.items()} == plain.ids
            assert growth.new.tolist() == expected["new"]
            assert growth.handed_on.tolist() == expected["handed_on"]
            assert (growth.refused, growth.waiting) == (expected["refused"], expected["waiting"])
            assert (growth.used, growth.capacity) == (len(plain.ids), 20)
            handed_on = set((growth.handed_on - 1).tolist())
            assert {place for place in before if before[place] != after[place]} == handed_on
            assert len(transform.tokens) <= 20
            assert transform.vocabulary_size == 21
            changes += len(handed_on) + growth.refused
        assert changes > 10

    def test_new_tokens_are_numbered_by_count_and_then_by_token(self):
        transforms = fitted(["b", "c", "c", "a"])
        assert ids_of(transforms) == {"c": 1, "a": 2, "b": 3}
        grown, growth = transforms.extended({"ad": ["z", "d", "a", "z", "", None]})
        assert ids_of(grown) == {"c": 1, "a": 2, "b": 3, "": 4, "z": 5, "d": 6}
        assert growth["ad"].new.tolist() == [4, 5, 6]
        assert growth["ad"].new.dtype == growth["ad"].handed_on.dtype == np.int32
        assert growth["ad"].unknown_share == pytest.approx(5 / 6)

    def test_the_least_used_token_gives_way_to_one_that_is_seen_more_often(self):
        transforms = fitted(["a"] * 3 + ["b"] * 2, capacity=2, eviction="lfu")
        same, growth = transforms.extended({"ad": ["c", "c", "d"]})
        assert ids_of(same) == {"a": 1, "b": 2}
        assert (growth["ad"].refused, growth["ad"].waiting) == (2, 0)
        grown, growth = same.extended({"ad": ["c", "d"]})  # c has been seen three times by now
        assert ids_of(grown) == {"a": 1, "c": 2}
        assert growth.handed_on["ad"].tolist() == [2]
        again, growth = grown.extended({"ad": ["b", "b"]})  # what was known of b is forgotten
        assert ids_of(again) == {"a": 1, "c": 2}

    def test_sightings_fade_by_half(self):
        transforms = fitted(["a"] * 8 + ["b"] * 9, capacity=2, eviction="lfu", half_life=1)
        for _ in range(2):
            transforms, _ = transforms.extended({"ad": ["b"]})
        assert transforms.columns["ad"].used["use"].to_list() == [9 / 4 + 1 / 2 + 1, 8 / 4]
        transforms, growth = transforms.extended({"ad": ["c"]})  # 1 is not more than 8 / 8
        assert growth["ad"].refused == 1
        transforms, growth = transforms.extended({"ad": ["c"]})
        assert ids_of(transforms) == {"b": 1, "c": 2}

    def test_only_what_is_unseen_for_long_gives_way(self):
        transforms = fitted(["a", "b", "c"], capacity=3, eviction="ttl", ttl=2)
        transforms, growth = transforms.extended({"ad": ["a", "b", "d"]})
        assert growth["ad"].refused == 1
        transforms, growth = transforms.extended({"ad": ["b", "d", "e"]})
        assert ids_of(transforms) == {"a": 1, "b": 2, "d": 3}
        transforms, growth = transforms.extended({"ad": ["e", "f", "f"]})
        assert ids_of(transforms) == {"e": 1, "b": 2, "d": 3}  # e was seen twice as well, and comes before f
        assert (growth["ad"].handed_on.tolist(), growth["ad"].refused) == ([1], 1)

    def test_what_waits_is_forgotten_beyond_the_capacity(self):
        transforms = fitted(["a", "a", "a", "b", "c", "c"], capacity=2, min_count=3)
        assert transforms.columns["ad"].waiting.sort("token")["token"].to_list() == ["b", "c"]
        transforms, growth = transforms.extended({"ad": ["d"]})
        assert transforms.columns["ad"].waiting.sort("token")["token"].to_list() == ["c", "d"]
        assert growth["ad"].waiting == 2


class TestPoissonInclusion:
    def test_each_sighting_admits_with_the_same_probability(self):
        rows = pl.Series([f"t{i}" for i in range(20_000)] * 3)
        transform = column(capacity=20_000, admission_probability=0.2)._without_tokens()
        once, _ = transform.extended(transform.summarize(rows[:20_000]))
        thrice, growth = transform.extended(transform.summarize(rows))
        for found, share in ((once, 0.2), (thrice, 1 - 0.8**3)):
            deviation = (share * (1 - share) / 20_000) ** 0.5
            assert abs(len(found.tokens) / 20_000 - share) < 4 * deviation
        assert growth.waiting == 20_000 - len(thrice.tokens)
        assert not len(thrice.waiting)
        _, growth = once.extended(once.summarize(rows[:20_000]))  # drawn anew
        share = growth.used / 20_000
        assert abs(share - (1 - 0.8**2)) < 4 * (0.36 * 0.64 / 20_000) ** 0.5

    @pytest.mark.parametrize("dtype", ["string", "int64"])
    def test_the_same_rows_admit_the_same_tokens(self, dtype):
        rows = np.arange(1000).astype("str" if dtype == "string" else "int64")
        transform = column(capacity=1000, dtype=dtype, admission_probability=0.3)._without_tokens()
        summary = TokenCounts()
        for chunk in np.array_split(rows[::-1], 7):
            summary.add(pickle.loads(pickle.dumps(transform.summarize(chunk))))
        found = transform.extended(summary)[0].tokens.tolist()
        assert found == transform.extended(transform.summarize(rows))[0].tokens.tolist()
        assert 200 < len(found) < 400


class TestTable:
    COLUMNS = (SequenceColumn("seen", "user", length=3, shares="ad"), CategoricalColumn("os", "user"),
               NumericColumn("bid", "ad"))  # fmt: skip
    FIRST = pl.DataFrame({"ad": ["a", "b", "a"], "seen": ["b", "", "a,q"], "os": ["x", "y", "x"], "bid": [1.0, 2, 4]})
    SECOND = pl.DataFrame({"ad": ["c", "a"], "seen": ["c,b", "q"], "os": ["z", "x"], "bid": [100.0, 7]})

    def fit(self, **options):
        return fitted(self.FIRST, *self.COLUMNS, **options)

    def test_a_sequence_takes_the_ids_of_its_owner(self):
        first = self.fit()
        assert first.vocabulary_sizes["ad"] == first.vocabulary_sizes["seen"] == 22
        second, growth = first.extended(self.SECOND)
        assert second(self.SECOND)["ad"].tolist() == [4, 2]
        assert second(self.SECOND)["seen"].tolist() == [[4, 3, 0], [1, 0, 0]]
        assert list(growth.features) == ["ad"]
        assert (growth.new["ad"].tolist(), growth["ad"].used) == ([4], 3)
        assert second.schema["seen"].vocabulary == second.schema["ad"].vocabulary != first.schema["ad"].vocabulary
        assert second.oov_share == {"ad": 0.5, "seen": 2 / 3}
        assert first(self.SECOND)["seen"].tolist() == [[1, 3, 0], [1, 0, 0]]  # the first stays as it was

    def test_an_id_is_handed_on_in_the_sequence_too(self):
        first = self.fit(capacity=2, eviction="lfu")
        second, growth = first.extended(pl.concat([self.SECOND] * 2))
        assert growth.handed_on["ad"].tolist() == [3]
        assert second(self.SECOND)["seen"].tolist() == [[3, 1, 0], [1, 0, 0]]

    def test_a_prepared_table_goes_on(self, frame_dataset, small_frame, tmp_path):
        dataset = frame_dataset(small_frame)
        dataset.columns = (GrowingColumn("city", "user", capacity=4, min_count=2),)
        table = prepare(dataset, tmp_path / "table")
        assert table.transforms.schema["city"].vocabulary_size == 5
        assert table.column("train", "city").tolist() == [2, 2, 0, 1, 1, 1]
        assert table.transforms.oov_share == {"city": 1 / 6}
        later, growth = table.transforms.extended(small_frame.filter(pl.col("split") != "train"))
        assert later.columns["city"].tokens.tolist() == ["", "a", "b"]  # once in training, once later
        assert growth["city"].unknown_share == later.oov_share["city"] == 0.5

    def test_all_else_stays_as_it_was_fitted(self):
        first = self.fit()
        second, _ = first.extended(self.SECOND)
        for name in ("os", "bid"):
            assert second.columns[name] is first.columns[name]
            assert second.schema[name] == first.schema[name]
        with pytest.raises(ValueError, match="'ad'"):
            first.schema.check_fitted(second.schema)

    def test_chunks_are_one_period(self):
        first = self.fit(min_count=2, eviction="ttl", ttl=1)
        whole, growth = first.extended(self.SECOND)
        parts, other = first.extended(self.SECOND[i : i + 1] for i in range(2))
        assert whole.columns["ad"].periods == parts.columns["ad"].periods == 2
        assert ids_of(whole) == ids_of(parts)
        assert whole.oov_share == parts.oov_share
        assert growth["ad"].to_dict() == other["ad"].to_dict()

    @pytest.mark.parametrize("options", [{"min_count": 2, "eviction": "lfu", "half_life": 2.5}, {"dtype": "int64"},
                                         {"admission_probability": 0.5, "eviction": "ttl", "ttl": 3}])  # fmt: skip
    def test_what_was_saved_goes_on_alike(self, options, tmp_path):
        rng = np.random.default_rng(0)
        kind = pl.Int64 if options.get("dtype") == "int64" else pl.String
        tokens = [pl.Series(period(number, rng)).cast(kind) for number in range(4)]
        transforms = fitted(tokens[0], **options)
        transforms.save(tmp_path / "0")
        loaded = TableTransforms.load(tmp_path / "0")
        for number, rows in enumerate(tokens[1:], 1):
            transforms, growth = transforms.extended({"ad": rows})
            loaded, other = loaded.extended({"ad": rows})
            loaded.save(tmp_path / str(number))
            loaded = TableTransforms.load(tmp_path / str(number))
            assert growth.to_dict() == other.to_dict()
        ours, theirs = transforms.columns["ad"], loaded.columns["ad"]
        assert ours.tokens.tolist() == theirs.tokens.tolist()
        assert ours.tokens.dtype == theirs.tokens.dtype
        assert ours.fingerprint == theirs.fingerprint
        assert ours.used.equals(theirs.used)
        assert ours.waiting.sort("token").equals(theirs.waiting.sort("token"))
        assert ours.to_entry() == theirs.to_entry()

    def test_room_is_given_by_name(self):
        first = self.fit(capacity=2)
        full, growth = first.extended(self.SECOND)
        assert growth["ad"].refused == 1
        larger = full.with_capacity({"ad": 5})
        assert (larger.schema["ad"].vocabulary_size, larger.schema["seen"].vocabulary_size) == (7, 7)
        larger.schema.check_fitted(full.schema)
        _, growth = larger.extended(self.SECOND)
        assert (growth.new["ad"].tolist(), growth["ad"].capacity) == ([4], 5)
        assert full.schema["ad"].vocabulary_size == 4
        for capacities, message in (
            ({"os": 5}, r"Received: \['os'\]. Features that do: \['ad'\]"),
            ({"seen": 5}, r"Received: \['seen'\]"),
            ({"ad": 1}, "can be given more room, not less.*capacity=1; it has 2"),
            ({"ad": 2.5}, "`capacity` must be an integer"),
        ):
            with pytest.raises(ValueError, match=message):
                full.with_capacity(capacities)

    def test_what_cannot_be_read_changes_nothing(self):
        first = self.fit()
        before = first(self.SECOND)["ad"].tolist()
        with pytest.raises(ValueError, match=r"Raw columns are missing: \['ad'\]. Expected: \['ad', 'seen'\]"):
            first.extended([self.SECOND, self.SECOND.drop("ad")])
        with pytest.raises(ValueError, match="Raw column 'ad': expected strings"):
            first.extended({"ad": [1.5], "seen": ["a"]})
        with pytest.raises(ValueError, match="no chunk of rows"):
            first.extended(iter(()))
        assert first(self.SECOND)["ad"].tolist() == before
        assert first.columns["ad"].periods == 1

    def test_a_period_without_rows_is_a_period(self):
        second, growth = self.fit().extended(self.SECOND.clear())
        assert second.columns["ad"].periods == 2
        assert growth.to_dict()["ad"] == {"new": 0, "handed_on": 0, "waiting": 0, "refused": 0, "used": 2,
                                          "capacity": 20, "unknown_share": None}  # fmt: skip

    def test_a_table_without_growing_ids_stays_the_same(self):
        fitter = TransformFitter([CategoricalColumn("os", "user")], [Task("click")])
        fitter.update(self.FIRST)
        transforms = fitter.finish()
        same, growth = transforms.extended(self.SECOND)
        assert same is transforms
        assert growth.to_dict() == {}
        with pytest.raises(NotImplementedError, match="A categorical feature does not grow"):
            transforms.columns["os"].extended(None)

    def test_damaged_files_are_named(self, tmp_path):
        self.fit().save(tmp_path)
        used = tmp_path / "frames" / "ad.used.parquet"
        pl.read_parquet(used).head(1).write_parquet(used)
        with pytest.raises(ValueError, match="'ad': growing ids need a row of `used` for each token.*2 tokens, 1 rows"):
            TableTransforms.load(tmp_path)
        used.write_bytes(b"PAR1")
        with pytest.raises(ValueError, match=r"ad.used.parquet is damaged"):
            TableTransforms.load(tmp_path)
        used.unlink()
        with pytest.raises(ValueError, match=r"ad.used.parquet is missing"):
            TableTransforms.load(tmp_path)


class TestTokens:
    def test_spellings_are_one_token(self):
        transforms = fitted(["84", "84.0", "NA", "x"], missing=("NA",), min_count=2)
        assert ids_of(transforms) == {"84": 1}
        transforms, _ = transforms.extended({"ad": ["", "x\n", "x\n", b"\xff", b"\xff"]})
        assert ids_of(transforms) == {"84": 1, "": 2}
        assert transforms({"ad": ["84.0", "NA", "x", "x\n"]})["ad"].tolist() == [1, 2, 0, 0]
        exact = fitted(["84", "84.0"], integers=False)
        assert ids_of(exact) == {"84": 1, "84.0": 2}

    def test_missing_integers_are_unknown(self):
        transforms = fitted([7, -1, -1], dtype="int64", missing=("-1",))
        transforms, growth = transforms.extended({"ad": [-1, 8]})
        assert ids_of(transforms) == {7: 1, 8: 2}
        assert (growth["ad"].waiting, growth["ad"].unknown_share) == (0, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capacity": 0}, "`capacity` must be an integer of at least 1. Received: capacity=0"),
        ({"capacity": 2**31}, "`capacity` must be at most 2,147,483,645"),
        ({"dtype": "float32"}, "`dtype` must be one of"),
        ({"missing": ["NA"]}, "`missing` must be a tuple"),
        ({"min_count": 0}, "`min_count` must be an integer"),
        ({"admission_probability": 1.0}, "`admission_probability` must be a number between 0 and 1"),
        ({"admission_probability": True}, "`admission_probability` must be a number between 0 and 1"),
        (
            {"admission_probability": 0.5, "min_count": 2},
            ".*two ways to admit tokens. Pass one of them",
        ),
        ({"eviction": "lru"}, "`eviction` must be one of"),
        ({"eviction": "ttl"}, '`ttl` and eviction="ttl" go together'),
        ({"ttl": 3}, '`ttl` and eviction="ttl" go together'),
        ({"eviction": "ttl", "ttl": 0}, "`ttl` must be an integer of at least 1"),
        ({"eviction": "lfu", "half_life": 0}, "`half_life` must be a positive number"),
        ({"half_life": 2}, '`half_life` says how sightings fade for eviction="lfu"'),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match="Column 'ad': " + message):
        column(**options)


def test_a_sequence_needs_an_owner_of_strings():
    columns = [column(dtype="int64"), SequenceColumn("seen", "user", length=3, shares="ad")]
    with pytest.raises(ValueError, match='a GrowingColumn with dtype="string"'):
        TransformFitter(columns, [Task("click")])
