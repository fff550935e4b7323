"""Histories of a log: against plain Python, with a planted future, through `prepare`, and what is refused."""

import math

import numpy as np
import polars as pl
import pytest

import grouprank as gr
from grouprank.datasets import (
    CategoricalColumn,
    GrowingColumn,
    HashedColumn,
    HistoryState,
    SequenceTransform,
    histories,
    prepare,
)
from grouprank.datasets.history.event_store import Events, EventStore

ACTIONS = ("buy", "click")
NAMES = ["history", "history_action", "history_age"]
MICROSECONDS = 1_000_000


def state(length=3, **options):
    return HistoryState("user", "item", "time", ACTIONS, length, **{"unit": "s", **options})


def random_log(seed, rows=120):
    """Few users, items and times: many ties, repeated rows, labels that are missing, rows without user or item."""
    rng = np.random.default_rng(seed)

    def label():
        return rng.choice([0.0, 1.0, 0.3, float("nan"), None], rows, p=[0.4, 0.3, 0.1, 0.1, 0.1])

    frame = pl.DataFrame(
        {
            "user": rng.choice(["a", "b", "größe", "", None], rows, p=[0.4, 0.3, 0.2, 0.05, 0.05]),
            "item": rng.choice(["7", "8", "x y", "", None], rows, p=[0.3, 0.3, 0.3, 0.05, 0.05]),
            "time": np.sort(rng.integers(0, 40, rows)),
            "buy": pl.Series(label().tolist(), dtype=pl.Float32),
            "click": pl.Series(label().tolist(), dtype=pl.Float32),
        }
    )
    repeated = pl.concat([frame, frame.sample(rows // 4, seed=seed)])
    # Users need no common order: each user's rows are in the order of time, in blocks.
    return repeated.sort("time", maintain_order=True).with_columns(
        block=pl.col("user").fill_null("").str.len_chars() % 2
    )


def plain_histories(rows, length):
    """What each row sees, one row and one event after the other."""
    found = []
    for row in rows:
        events = []
        for other in rows:
            kinds = [k for k, action in enumerate(ACTIONS) if other[action] is not None and other[action] > 0]
            mine = row["user"] and other["user"] == row["user"] and other["time"] < row["time"]
            if not mine or not kinds or not other["item"]:
                continue
            same = [e for e in events if e["item"] == other["item"] and e["time"] == other["time"]]
            if same:
                same[0]["kind"] = min(same[0]["kind"], kinds[0])
            else:
                events.append({"item": other["item"], "time": other["time"], "kind": kinds[0]})
        events = sorted(events, key=lambda event: event["time"])[-length:]  # sorted() is stable
        ages = [f"{int(math.log2(max(row['time'] - event['time'], 1))):02d}" for event in events]
        texts = [event["item"] for event in events], [ACTIONS[event["kind"]] for event in events], ages
        found.append(tuple(",".join(column) for column in texts))
    return found


@pytest.mark.parametrize("seed", range(7))
def test_histories_are_those_of_plain_python_wherever_chunks_end(seed):
    rng = np.random.default_rng(seed)
    log = random_log(seed)
    if seed % 2:
        log = log.sort("block", maintain_order=True)  # one group of users after the other
    length = int(rng.integers(1, 7))
    expected = plain_histories(log.to_dicts(), length)
    assert sum(len(row[0].split(",")) == length > 1 for row in expected) > 5 or length == 1
    everywhere = [range(1, len(log))] if seed < 2 else []
    for cuts in ([], sorted(rng.integers(0, len(log), 20).tolist()), *everywhere):
        chunks = [log[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(log)], strict=True)]
        running = state(length)
        found = pl.concat([running.update(chunk) for chunk in chunks])
        assert found.select(NAMES).rows() == expected
        assert found.drop(NAMES).equals(log)


@pytest.mark.parametrize("seed", range(2))
def test_a_state_is_handed_on_as_a_frame(seed, tmp_path):
    log = random_log(seed)
    expected = state().update(log)[NAMES]
    for cut in range(0, len(log), 23):
        first = state()
        first.update(log[:cut])
        first.events().write_parquet(tmp_path / "events.parquet")
        second = state(start=pl.read_parquet(tmp_path / "events.parquet"))
        assert second.events().equals(first.events())
        assert second.update(log[cut:])[NAMES].equals(expected[cut:])


def test_what_is_kept_of_a_user_is_bounded():
    running = state(length=3)
    for start in range(0, 500, 50):
        times = np.arange(start, start + 50)
        running.update(
            pl.DataFrame({"user": [1] * 50, "item": times, "time": times, "buy": [1] * 50, "click": [0] * 50})
        )
    assert running.events()["item"].to_list() == ["496", "497", "498", "499"]


@pytest.mark.parametrize("chunk_rows", [7, 1000])
def test_no_history_holds_the_future(chunk_rows):
    """Every item appears once, named by its time: whatever a row sees must have a name before its own time."""
    rng = np.random.default_rng(0)
    rows = 1000
    time = np.sort(rng.integers(0, 150, rows))
    log = pl.DataFrame(
        {
            "user": rng.integers(0, 8, rows),
            "item": [f"{t}:{number}" for number, t in enumerate(time)],
            "time": time,
            "buy": np.ones(rows),
            "click": np.ones(rows),
        }
    )
    running = state(length=50)
    found = pl.concat([running.update(chunk) for chunk in log.iter_slices(chunk_rows)])
    seen = (
        found.select("user", "time", item=pl.col("history").str.split(",")).explode("item").filter(pl.col("item") != "")
    )
    assert len(seen) > 20 * rows
    assert (seen["item"].str.split(":").list.first().cast(pl.Int64) < seen["time"]).all()
    owner = seen.join(log.select("item", owner="user"), on="item", how="left")
    assert (owner["owner"] == owner["user"]).all()


def test_times_kinds_and_ages():
    log = pl.DataFrame(
        {
            "user": [1] * 7,
            "item": [10, 10, 11, 10, 12, 13, 14],
            "time": [0, 0, 0, 1, 1, 2, 2**30],
            "buy": [0, 1, 0, 0, 0, 0, 0],
            "click": [1, 0, 1, 1, 0, 1, 0],
        }
    )
    found = state(length=9).update(log)
    assert found["history"].to_list() == ["", "", "", "10,11", "10,11", "10,11,10", "10,11,10,13"]
    assert found["history_action"][-1] == "buy,click,click,click"
    assert found["history_age"].to_list()[3:] == ["00,00", "00,00", "01,01,00", "30,30,29,29"]


@pytest.mark.parametrize("power", [0, 1, 5, 20, 31])
def test_ages_change_at_powers_of_two(power):
    times = [0, 2**power * MICROSECONDS - 1, 2**power * MICROSECONDS]
    log = pl.DataFrame({"user": [1] * 3, "item": [1] * 3, "time": times, "buy": [1, 0, 0], "click": [0] * 3})
    ages = state(unit="us").update(log)["history_age"].to_list()
    assert ages == ["", f"{max(power - 1, 0):02d}", f"{power:02d}"]


def test_what_lies_before_the_log_is_the_beginning():
    start = pl.DataFrame(
        {
            "user": [1, 1, 1, 2],
            "item": ["7", "7", "8", "9"],
            "time": [None, None, 100, 90],
            "action": ["view", "click", "buy", "click"],
        }
    )
    log = pl.DataFrame(
        {
            "user": [1, 2, 1, 3],
            "item": ["8", "5", "5", "5"],
            "time": [100, 100, 108, 108],
            "buy": [0.0, 0, 0, 0],
            "click": [1.0, 1, 1, 1],
        }
    )
    found = state(start=start).update(log)
    # The first row is the very event that ends the history: it is not seen by itself, and is one event for later rows.
    assert found["history"].to_list() == ["7,7", "9", "7,7,8", ""]
    assert found["history_action"].to_list() == ["view,click", "click", "view,click,buy", ""]
    assert found["history_age"].to_list() == ["--,--", "03", "--,--,03", ""]


@pytest.mark.parametrize("users", [[1, 2, 1], ["a", "b", "a"]])
def test_the_first_row_out_of_order_is_named(users):
    log = pl.DataFrame({"user": users, "item": [1, 2, 3], "time": [50, 60, 49], "buy": [0, 0, 0], "click": [1, 1, 1]})
    message = (
        r"Row 2 is earlier than .* 'user': 1970-01-01T00:00:49.000000 after 1970-01-01T00:00:50.000000.*sort the log"
    )
    running = state()
    with pytest.raises(ValueError, match=message):
        running.update(log)
    assert running.events().is_empty()
    running.update(log[:2].with_columns(click=0))  # what happened at these times was no event, and still has its place
    with pytest.raises(ValueError, match="Row 0 is earlier"):
        running.update(log[2:])
    start = pl.DataFrame({"user": users[:1], "item": [1], "time": [51], "action": ["buy"]})
    with pytest.raises(ValueError, match="Row 0 is earlier .*leave out of `start`"):
        state(start=start).update(log[:2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": ["1,2"]}, r"item '1,2' of 'item' contains the separator ','"),
        ({"item": [1.5]}, "items 'item' must hold integers or strings. Received: Float64"),
        ({"user": [1.5]}, "key 'user' must hold integers or strings. Received: Float64"),
        ({"time": [None]}, "Row 0 has no time: 'time' is None"),
        ({"click": ["1"]}, "label column 'click' must hold numbers. Received: String"),
        ({"history": ["7"]}, r"columns \['history'\] already. Pass another `name`"),
    ],
)
def test_wrong_columns_are_named(change, message):
    log = pl.DataFrame({"user": [1], "item": [1], "time": [1], "buy": [0], "click": [1]})
    running = state()
    with pytest.raises(ValueError, match=message):
        running.update(log.with_columns(pl.Series(name, values) for name, values in change.items()))
    with pytest.raises(ValueError, match=r"needs the columns \['buy'\]"):
        running.update(log.drop("buy"))
    assert running.events().is_empty()
    running.update(log)
    with pytest.raises(ValueError, match="'user' was Int64 in earlier rows. Received: String"):
        running.update(log.with_columns(user=pl.lit("1"), time=2))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="`length` must be a positive integer. Received: length=0"):
        state(length=0)
    with pytest.raises(ValueError, match="`actions` must be a list of different label columns"):
        HistoryState("user", "item", "time", "click", 3)
    with pytest.raises(ValueError, match="may not be 'action'"):
        HistoryState("user", "action", "time", ACTIONS, 3)
    start = pl.DataFrame({"user": [1, 1], "item": [1, 1], "time": [1, 1], "action": ["click", "view,click"]})
    with pytest.raises(ValueError, match="'action' must be text without the separator ','. Received: 'view,click'"):
        state(start=start)


def test_a_store_holds_what_was_put_last():
    rng = np.random.default_rng(0)
    store, expected = EventStore(), {}
    for _ in range(300):
        users = rng.choice(40, int(rng.integers(0, 12)), replace=False)
        counts = rng.integers(0, 30, len(users))
        items = rng.integers(0, 99, counts.sum()).astype("int32")
        store.put(users, counts, Events(items.astype("int64"), items, (items % 3).astype("int8")))
        parts = np.split(items, np.cumsum(counts)[:-1]) if len(users) else []
        expected |= {user: part.tolist() for user, part in zip(users.tolist(), parts, strict=True)}
    users = np.arange(40)
    counts, found = store.take(users)
    assert found.item.tolist() == [item for user in users.tolist() for item in expected.get(user, [])]
    assert found.kind.tolist() == (found.item % 3).tolist()
    assert len(store._events.time) < 8 * counts.sum()  # what was replaced is let go of


ITEMS = {
    "categorical": CategoricalColumn("item", "ad", min_count=2),
    "integers": CategoricalColumn("item", "ad", raw="ad number", dtype="int64", min_count=2),
    "growing": GrowingColumn("item", "ad", capacity=20),
    "hashed": HashedColumn("item", "ad", dtype="int64", buckets=90),
}


def dataset_of(frame_dataset, column, rows=300):
    """A log in which each user's items rise by one, so that a history can be computed by hand."""
    number = np.arange(rows)
    item = (number // 3) % 8
    frame = pl.DataFrame(
        {
            "user": number % 3,
            column.raw_name: item if column.dtype == "int64" else item.astype(str),
            "time": number // 3,
            "click": np.ones(rows, "float32"),
            "split": np.where(number < rows * 0.8, "train", np.where(number < rows * 0.9, "validation", "test")),
        }
    )
    dataset = frame_dataset(frame)
    dataset.columns, dataset.tasks = (CategoricalColumn("user", "user", dtype="int64"), column), (gr.Task("click"),)
    return dataset


@pytest.mark.parametrize("kind", ITEMS)
def test_a_prepared_table_has_histories_in_the_ids_of_its_items(tmp_path, frame_dataset, kind):
    dataset = histories(dataset_of(frame_dataset, ITEMS[kind]), items="item", actions=["click"], length=4)
    table = prepare(dataset, tmp_path / "out", chunk_rows=31)
    frame, dtypes = next(iter(dataset.chunks(31))), {"string": pl.String, "int64": pl.Int64}
    assert all(frame.schema[column.raw_name] == dtypes[column.dtype] for column in dataset.columns)
    feature = table.schema["history"]
    assert (feature.shares, feature.shape, feature.side) == ("item", (4,), "user")
    assert [table.schema[name].shape for name in NAMES[1:]] == [(4,), (4,)]
    assert [table.schema[name].field for name in NAMES] == ["history"] * 3
    assert feature.vocabulary_size == table.schema["item"].vocabulary_size
    item, history = (np.concatenate([table.column(s, n) for s in gr.datasets.SPLITS]) for n in ("item", "history"))
    for row in (0, 3, 9, 12, 100, 299):
        before = [int(item[other]) for other in range(row % 3, row, 3)][-4:]
        assert history[row].tolist() == before + [0] * (4 - len(before))
    # A request brings the raw columns, the history among them.
    items = {"item": ["3"]} if ITEMS[kind].dtype == "string" or kind == "integers" else {"item": [3]}
    raw = {table.transforms.columns["item"].raw: items["item"], "user": [1], "history": ["2,3,never"],
           "history_action": ["click,click,click"], "history_age": ["09,01,00"]}  # fmt: skip
    served = table.transforms(pl.DataFrame(raw))
    assert served["history"][0, 1] == served["item"][0]
    if isinstance(table.transforms.columns["history"], SequenceTransform):
        assert served["history"][0, 2:].tolist() == [1, 0]
    again = prepare(histories(dataset_of(frame_dataset, ITEMS[kind]), items="item", actions=["click"], length=4),
                    tmp_path / "out")  # fmt: skip
    assert again.rows("train") == 240
    for options in ({"length": 5}, {"start": pl.DataFrame({"user": [1], ITEMS[kind].raw_name: [1], "time": [0],
                                                           "action": ["click"]})}):  # fmt: skip
        other = histories(dataset_of(frame_dataset, ITEMS[kind]), items="item", actions=["click"],
                          **{"length": 4, **options})  # fmt: skip
        with pytest.raises(ValueError, match=r"they differ in \[.*'settings'"):
            prepare(other, tmp_path / "out")


def test_a_table_of_ones_own_has_histories(tmp_path):
    days = [f"2024-01-{1 + number // 4:02d}T0{number % 4}:00:00" for number in range(40)]
    rows = [f"u{number % 2},{number % 5},{day},1" for number, day in enumerate(days)]
    (tmp_path / "log.csv").write_text("\n".join(["user,ad,when,click", *rows]) + "\n")
    features = [{"name": "user", "kind": "categorical", "side": "user"}]
    features += [{"name": "ad", "kind": "growing", "side": "ad", "capacity": 9}]
    description = gr.datasets.TableDescription.from_dict({"features": features, "tasks": ["click"], "time": "when"})
    log = gr.datasets.Tabular(tmp_path / "log.csv", description)
    table = prepare(histories(log, items="ad", actions=["click"], length=3, time="when"), tmp_path / "out")
    frame = next(iter(histories(log, items="ad", actions=["click"], length=3, time="when").chunks(100)))
    assert frame["history"].to_list()[:7] == ["", "", "0", "1", "0,2", "1,3", "0,2,4"]
    assert frame["history_age"][4] == "16,16"
    assert np.asarray(table.column("train", "history"))[6].tolist() == table.transforms(frame)["history"][6].tolist()


def test_histories_name_what_is_wrong(frame_dataset):
    dataset = dataset_of(frame_dataset, ITEMS["categorical"])
    with pytest.raises(ValueError, match=r"`items` must name a feature. Received: 'ad'. Features: \['user', 'item'\]"):
        histories(dataset, items="ad", actions=["click"], length=4)
    with pytest.raises(ValueError, match=r"has columns \['user'\] already"):
        histories(dataset, items="item", actions=["click"], length=4, name="user")
    divided = dataset_of(frame_dataset, CategoricalColumn("item", "ad", dtype="int64", divisor=2))
    with pytest.raises(ValueError, match="without divisor and modulo"):
        histories(divided, items="item", actions=["click"], length=4)
    dataset.frame = dataset.frame.reverse()
    with pytest.raises(ValueError, match=r"frame, in the rows from 0 on: Row 3 is earlier"):
        list(histories(dataset, items="item", actions=["click"], length=4).chunks(100))
