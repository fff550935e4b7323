import concurrent.futures

import keras
import numpy as np
import pytest

from grouprank.datasets import BatchLoader


def loader(rows=1000, **arguments):
    index = np.arange(rows)
    features = {"id": index.astype("int32"), "pair": np.stack([index, -index], 1).astype("float32")}
    options = {"batch_size": 64, "block_rows": 16, "window_blocks": 4, **arguments}
    return BatchLoader(features, {"click": (index % 2).astype("float64")}, **options)


def ids(batches):
    return np.concatenate([x["id"] for x, *_ in batches])


def test_batches_in_order():
    batches = list(loader(rows=130))
    assert [len(x["id"]) for x, _ in batches] == [64, 64, 2]
    np.testing.assert_array_equal(ids(batches), np.arange(130))
    x, y = batches[2]
    assert x["pair"].tolist() == [[128, -128], [129, -129]]
    assert (x["id"].dtype, x["pair"].dtype, y["click"].dtype, y["click"].shape) == (
        np.int32,
        np.float32,
        np.float32,
        (2,),
    )
    assert x["id"].flags.owndata
    assert x["id"].flags.writeable


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 64, 65, 128, 1000, 1023, 1024, 1025])
@pytest.mark.parametrize("batch_size", [1, 7, 64, 5000])
def test_shuffling_covers_every_row_once_and_keeps_rows_together(rows, batch_size):
    data = loader(rows, shuffle=True, batch_size=batch_size)
    batches = list(data)
    assert len(batches) == len(data) == -(-rows // batch_size)
    np.testing.assert_array_equal(np.sort(ids(batches)), np.arange(rows))
    for x, y in batches:
        np.testing.assert_array_equal(x["pair"][:, 0], x["id"])
        np.testing.assert_array_equal(y["click"], x["id"] % 2)


def test_order_depends_on_seed_and_epoch_alone():
    first = loader(shuffle=True, seed=1)
    assert np.any(ids(first) != np.arange(1000))
    np.testing.assert_array_equal(ids(first), ids(loader(shuffle=True, seed=1)))
    assert np.any(ids(first) != ids(loader(shuffle=True, seed=2)))
    other = loader(shuffle=True, seed=1)
    other.epoch = 1
    assert np.any(ids(first) != ids(other))
    backwards = [first[i] for i in reversed(range(len(first)))][::-1]
    np.testing.assert_array_equal(ids(first), ids(backwards))


def test_threads_may_share_a_loader():
    data = loader(rows=20_000, shuffle=True, batch_size=32)
    expected = ids(data)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        np.testing.assert_array_equal(ids(pool.map(data.__getitem__, range(len(data)))), expected)


def test_a_batch_reads_from_one_window():
    data = loader(rows=4096, shuffle=True, batch_size=32, block_rows=16, window_blocks=8)
    rows_of_window = 16 * 8
    for start in range(0, 4096, rows_of_window):
        window = ids([data[i] for i in range(start // 32, (start + rows_of_window) // 32)])
        blocks = np.unique(window // 16)
        assert len(blocks) == 8  # whole blocks, so the disk reads runs of rows
        assert np.any(np.diff(blocks) > 1)  # from all over the table
        assert np.any(np.diff(window.reshape(-1)) != 1)


def test_a_file_is_read_in_runs_of_a_block():
    block, window_blocks, batch_size = 16_384, 32, 4096
    column = np.arange(100 * block, dtype="int32")
    data = BatchLoader({"id": column}, {"click": np.zeros(len(column))}, batch_size, shuffle=True)
    batches_of_window = window_blocks * block // batch_size
    runs = []
    for first in range(0, len(data), batches_of_window):
        rows = np.sort(ids([data[i] for i in range(first, min(first + batches_of_window, len(data)))]))
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        lengths = np.diff(np.append(starts, len(rows)))
        assert (lengths * column.itemsize % 65_536 == 0).all()
        assert len(starts) <= window_blocks
        runs.append(rows)
    # and each of them once an epoch
    np.testing.assert_array_equal(np.sort(np.concatenate(runs)), column)


@pytest.mark.parametrize("read_ahead", [0, 1, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_reading_ahead_changes_no_batch(read_ahead, shuffle):
    def epochs(data):
        for epoch in range(3):
            yield from (x["id"].tolist() for x, _ in data)
            data.on_epoch_end()
            assert data.epoch == epoch + 1

    expected = list(epochs(loader(shuffle=shuffle, read_ahead=0)))
    data = loader(shuffle=shuffle, read_ahead=read_ahead)
    assert list(epochs(data)) == expected
    data.epoch = 1
    order = np.random.default_rng(0).permutation(len(data))
    assert [data[i][0]["id"].tolist() for i in order] == [expected[len(data) + i] for i in order]


def test_reading_ahead_hands_a_batch_out_once():
    data = loader(rows=100, batch_size=10, read_ahead=2)
    for _ in range(2):
        for x, _ in data:
            assert (x["pair"][:, 1] <= 0).all()
            x["pair"][:] = 1  # would show in a batch handed out twice


def test_epoch_advances_only_after_whole_epochs():
    data = loader(shuffle=True)
    data[0]
    data.on_epoch_end()  # Keras builds a model on one batch, then ends that "epoch"
    assert data.epoch == 0
    list(data)
    data.on_epoch_end()
    assert data.epoch == 1
    data.on_epoch_end()
    assert data.epoch == 1


def test_weights_follow_their_rows():
    weight = np.arange(100) / 100
    for x, _, w in loader(rows=100, shuffle=True, sample_weight=weight):
        np.testing.assert_allclose(w, x["id"] / 100, rtol=1e-6)
        assert w.dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"block_rows": 1.5}, "block_rows"),
        ({"window_blocks": True}, "window_blocks"),
        ({"read_ahead": -1}, "read_ahead"),
        ({"sample_weight": np.ones(3)}, "same number of rows"),
        ({"rows": 0}, "at least 1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        loader(**arguments)


def test_index_and_epoch_out_of_range():
    with pytest.raises(IndexError, match="16 batches"):
        loader()[16]
    with pytest.raises(ValueError, match="epoch"):
        loader().epoch = -1


class Recorder(BatchLoader):
    """Remembers the epoch each batch was served in."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.requests = []

    def __getitem__(self, index):
        self.requests.append((self.epoch, index))
        return super().__getitem__(index)


def small_model():
    number, pair = keras.Input((), dtype="int32", name="id"), keras.Input((2,), name="pair")
    merged = keras.layers.Concatenate()([keras.layers.Embedding(1000, 2)(number), pair])
    outputs = {"click": keras.layers.Reshape(())(keras.layers.Dense(1, activation="sigmoid")(merged))}
    model = keras.Model({"id": number, "pair": pair}, outputs)
    model.compile("sgd", {"click": "binary_crossentropy"}, weighted_metrics=[])
    return model


def recorder(rows=300, **options):
    index = np.arange(rows)
    features = {"id": index.astype("int32"), "pair": np.stack([index, -index], 1).astype("float32") / rows}
    return Recorder(
        features, {"click": (index % 2)}, batch_size=64, block_rows=16, window_blocks=4, shuffle=True, **options
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_fit_evaluate_and_predict(weighted):
    weights = np.ones(300) if weighted else None
    data, model = recorder(sample_weight=weights), small_model()
    history = model.fit(data, epochs=3, shuffle=False, validation_data=recorder(), verbose=0)
    assert len(history.history["loss"]) == 3
    assert np.isfinite(history.history["val_loss"]).all()
    for epoch in range(3):
        assert {index for e, index in data.requests if e == epoch} == set(range(5))
    assert np.isfinite(model.evaluate(recorder(), verbose=0))
    assert model.predict(recorder(), verbose=0)["click"].shape == (300,)


def test_fit_may_shuffle_the_batches_itself():
    data = recorder()
    small_model().fit(data, epochs=2, verbose=0)
    for epoch in range(2):
        assert {index for e, index in data.requests if e == epoch} == set(range(5))


def test_follow_sets_the_epoch_of_a_resumed_run():
    data = recorder()
    small_model().fit(data, epochs=4, initial_epoch=2, shuffle=False, verbose=0, callbacks=[data.follow()])
    first, rest = data.requests[0][0], [epoch for epoch, _ in data.requests if epoch]
    assert first in (0, 2)  # Keras may look at a batch before the first epoch
    assert set(rest) == {2, 3}
    assert {index for epoch, index in data.requests if epoch == 3} == set(range(5))


def test_backup_and_restore_continues_with_the_epoch_it_stopped_in(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    def run(data, *callbacks):
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
        small_model().fit(data, epochs=3, shuffle=False, verbose=0, callbacks=[backup, data.follow(), *callbacks])

    with pytest.raises(KeyboardInterrupt):
        run(recorder(), Stop())
    data = recorder()
    run(data)
    assert {epoch for epoch, _ in data.requests if epoch} == {1, 2}


@pytest.mark.parametrize("arguments", [{}, {"shuffle": True}, {"shuffle": True, "negative_rate": 0.3}])
def test_processes_share_the_batches_of_one(arguments):
    one = loader(rows=64 * 12, seed=3, **arguments)
    several = [loader(rows=64 * 12, seed=3, rank=rank, world_size=3, **arguments) for rank in range(3)]
    for epoch in (0, 1):
        for data in (one, *several):
            data.epoch = epoch
        dealt = [batch for step in zip(*several, strict=True) for batch in step]
        for (x, y, *_), (other_x, other_y, *_) in zip(one, dealt, strict=False):
            if arguments.get("negative_rate") is None:
                np.testing.assert_array_equal(x["id"], other_x["id"])
                np.testing.assert_array_equal(y["click"], other_y["click"])
        labelled = [x["id"][~np.isnan(y["click"])] for x, y, *_ in dealt]
        expected = [x["id"][~np.isnan(y["click"])] for x, y, *_ in one]
        np.testing.assert_array_equal(np.concatenate(labelled), np.concatenate(expected))


@pytest.mark.parametrize("rows", [1, 5, 64, 65, 130, 191, 192, 193, 400])
def test_a_last_round_is_padded_or_dropped(rows):
    padded = [loader(rows, rank=rank, world_size=3) for rank in range(3)]
    batches = [list(data) for data in padded]
    assert len({len(x["id"]) for own in batches for x, _ in own}) == 1
    labelled = [x["id"][~np.isnan(y["click"])] for own in batches for x, y in own]
    np.testing.assert_array_equal(np.sort(np.concatenate(labelled)), np.arange(rows))
    for data, own in zip(padded, batches, strict=True):
        assert (data.rows, data.rows - data.padding) == (
            ids(own).size,
            sum(np.sum(~np.isnan(y["click"])) for _, y in own),
        )
    if rows < 192:
        with pytest.raises(ValueError, match="fewer than a batch of 64 for each of 3"):
            loader(rows, rank=0, world_size=3, shuffle=True)
        return
    dropped = [loader(rows, rank=rank, world_size=3, remainder="drop") for rank in range(3)]
    np.testing.assert_array_equal(
        np.sort(np.concatenate([ids(data) for data in dropped])), np.arange(rows // 192 * 192)
    )


def test_bad_dealing():
    for arguments in ({"rank": 2, "world_size": 2}, {"rank": -1}, {"world_size": 0}, {"remainder": "cut"}):
        with pytest.raises(ValueError, match="must be"):
            loader(**arguments)
