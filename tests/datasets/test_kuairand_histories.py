"""KuaiRand-Pure with histories, on tiny files and, where they are at hand, on the official ones."""

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import KuaiRandFunnel, KuaiRandPure, kuairand_histories, prepare

FIRST = 1650812741436
NAMES = ["user_id", "video_id", "history", "history_action", "history_age"]


def write_sequences(folder, **columns):
    folder.mkdir(exist_ok=True)
    lists = ("watch_seq", "like_seq", "long_watch_seq")
    frame = pl.DataFrame(columns, schema_overrides=dict.fromkeys(lists, pl.List(pl.Int64)))
    frame.write_parquet(folder / "user_sequences.parquet")
    return folder


@pytest.fixture
def folder(tmp_path, write_kuairand, kuairand_row):
    """Six rows of two users, not in the order of time."""

    def row(seconds, *arguments, **more):
        return kuairand_row(*arguments, **more).replace(str(FIRST), str(FIRST + 1000 * seconds))

    rows = [
        row(0, 0, 1, 20220425, click=1),
        row(64, 0, 0, 20220425, click=1, long_view=1, like=1),
        row(64, 0, 7, 20220425, click=1),
        row(200, 0, 1, 20220505, click=1),
        row(201, 1, 1, 20220505),
        row(205, 1, 0, 20220507, click=1, long_view=1),
    ]
    return write_kuairand(tmp_path / "log", [rows[3], rows[5], *rows[:3], rows[4]])


@pytest.fixture
def earlier(tmp_path):
    return write_sequences(
        tmp_path / "earlier",
        user_id=[2, 1, 0],
        last_time_ms=[FIRST + 9, FIRST, FIRST],
        watch_seq=[[4], [], [5, 6, 5, 1]],
        like_seq=[[], [], [6]],
        long_watch_seq=[[], [], [6, 1]],
    )


def test_histories_come_from_the_log_in_the_order_of_time(folder):
    dataset = kuairand_histories(KuaiRandPure(folder, by_time=True), 2)
    for chunk_rows in (1, 2, 100):
        frame = pl.concat(list(dataset.chunks(chunk_rows)))
        assert frame.select(NAMES).rows() == [
            (0, "1", "", "", ""),
            (0, "0", "1", "is_click", "06"),
            (0, "7", "1", "is_click", "06"),
            (0, "1", "0,7", "is_like,is_click", "07,07"),
            (1, "1", "", "", ""),
            (1, "0", "", "", ""),
        ]
    assert frame["tag"].to_list() == ["20,43", "39", "", "20,43", "20,43", "39"]


def test_what_lies_before_the_log_is_joined(folder, earlier):
    dataset = kuairand_histories(KuaiRandPure(folder, by_time=True), 9, earlier)
    frame = pl.concat(list(dataset.chunks(100)))
    # The last video of the list is the first row of the log, which therefore does not see it.
    assert frame["history"].to_list()[:4] == ["5,6,5", "5,6,5,1", "5,6,5,1", "5,6,5,1,0,7"]
    assert frame["history_action"][1] == "watch,is_like,watch,long_view"
    assert frame["history_age"][3] == "--,--,--,07,07,07"
    assert frame["history"].to_list()[4:] == ["", ""]


def test_a_funnel_has_histories_of_its_own_tasks(folder, earlier):
    dataset = kuairand_histories(KuaiRandFunnel(folder, by_time=True), 9, earlier)
    frame = pl.concat(list(dataset.chunks(100)))
    assert frame["history_action"][3] == "watch,is_like,watch,long_view,long_view,is_click"


def test_errors_say_what_to_pass(folder, tmp_path):
    with pytest.raises(ValueError, match=r"pass KuaiRandPure\(folder, by_time=True\)"):
        kuairand_histories(KuaiRandPure(folder), 9)
    with pytest.raises(FileNotFoundError, match="user_sequences.parquet.*or none to take histories from the log"):
        kuairand_histories(KuaiRandPure(folder, by_time=True), 9, tmp_path)


def test_rows_by_time_are_those_of_the_files(folder):
    plain, sorted_rows = (pl.concat(list(d.chunks(2))) for d in (KuaiRandPure(folder), KuaiRandPure(folder, True)))
    assert sorted_rows["time_ms"].is_sorted()
    key = ["user_id", "video_id", "date"]
    assert plain.sort(key).equals(sorted_rows.drop("time_ms").sort(key))
    assert KuaiRandPure(folder, True).parts(1, map)[0].files == KuaiRandPure(folder).files


def test_official_files_have_no_future_in_their_histories(real_data, tmp_path):
    """Whatever a row's history gained over the beginning was acted on in the log before the row, says plain Python."""
    log, earlier = real_data("kuairand-pure"), real_data("kuairand-history")
    dataset = kuairand_histories(KuaiRandPure(log, by_time=True), 50, earlier)
    frame = pl.concat(list(dataset.chunks(50_000)))
    assert len(frame) == 222_444
    assert 0.97 < (frame["history"] != "").mean() < 1
    lists = pl.read_parquet(earlier / "user_sequences.parquet").select("user_id", "watch_seq").rows()
    beginning = {user: [str(video) for video in videos] for user, videos in lists}
    seen: dict[int, list[tuple[int, str]]] = {}
    columns = ("user_id", "video_id", "time_ms", "is_click", "long_view", "is_like", "history")
    for user, video, time, *labels, history in frame.select(columns).head(60_000).rows():
        before = [item for when, item in seen.get(user, []) if when < time]
        expected = ([*beginning.get(user, []), *before])[-50:]
        if user not in (3834, 7454, 7771):  # their beginning ends in the log
            assert history == ",".join(expected)
        if any(labels):
            seen.setdefault(user, []).append((time, video))


def test_a_prepared_table_shares_the_videos_ids(folder, earlier, tmp_path):
    table = prepare(kuairand_histories(KuaiRandPure(folder, by_time=True), 4, earlier), tmp_path / "out")
    assert table.schema["history"].shares == "video_id"
    ids = {token: i + 2 for i, token in enumerate(table.transforms.columns["video_id"].tokens)}
    found = np.asarray(table.column("validation", "history"))[0]
    assert found.tolist() == [ids.get(video, 1) for video in ("5", "1", "0", "7")]
