import io
import tarfile

import keras
import polars as pl
import pytest

from grouprank.datasets import Avazu, CriteoDAC, CriteoTerabyte, KuaiRandPure, NumericColumn


def read(dataset, chunk_rows=100, max_bad_rows=0):
    frames = list(dataset.chunks(chunk_rows, max_bad_rows))
    assert all(0 < len(frame) <= chunk_rows for frame in frames)
    return pl.concat(frames)


def check_protocol(dataset, frame):
    dtypes = {"string": pl.String, "int64": pl.Int64, "float32": pl.Float32}
    for column in dataset.columns:
        assert frame.schema[column.raw_name] == dtypes[column.dtype], column.raw_name
        if column.dtype != "float32":
            assert frame[column.raw_name].null_count() == 0
    for task in dataset.tasks:
        assert frame.schema[task.name] == pl.Float32
    assert frame["split"].is_in(["train", "validation", "test"]).all()


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("inner", ["", "data", "KuaiRand-Pure/data"])
def test_kuairand_joins_and_splits_by_time(tmp_path, write_kuairand, kuairand_row, suffix, inner):
    rows = [
        kuairand_row(0, 1, 20220504, click=1, long_view=1, duration=49866),
        kuairand_row(1, 0, 20220505, hourmin=0, like=1),
        kuairand_row(1, 1, 20220506),
        kuairand_row(0, 0, 20220507, enter=1),
        kuairand_row(7, 9, 20220508, tab=4),
    ]
    write_kuairand(tmp_path / inner, rows, suffix)
    dataset = KuaiRandPure(tmp_path)
    frame = read(dataset, chunk_rows=2)
    check_protocol(dataset, frame)
    assert frame["split"].to_list() == ["train", "validation", "validation", "test", "test"]
    assert frame["user_id"].to_list() == [0, 1, 1, 0, 7]
    assert frame["is_click"].to_list() == [1, 0, 0, 0, 0]
    assert frame["long_view"].to_list() == [1, 0, 0, 0, 0]
    assert frame["is_like"].to_list() == [0, 1, 0, 0, 0]
    assert frame["is_profile_enter"].to_list() == [0, 0, 0, 1, 0]
    assert frame["tag"].to_list() == ["20,43", "39", "20,43", "39", ""]
    assert frame["follow_user_num_range"].to_list() == ["500+", "(250,500]", "(250,500]", "500+", ""]
    assert frame["onehot_feat4"].to_list() == ["1.0", "", "", "1.0", ""]
    assert frame["follow_user_num"].to_list() == [514, 457, 457, 514, None]
    assert frame["music_type"].to_list() == ["", "9.0", "", "9.0", ""]
    assert frame["duration_ms"][0] == 49866


def test_kuairand_takes_the_early_log_for_training(tmp_path, write_kuairand, kuairand_row):
    write_kuairand(tmp_path, [kuairand_row(0, 0, 20220508)], early=[kuairand_row(1, 1, 20220408)])
    frame = read(KuaiRandPure(tmp_path))
    assert frame.select("user_id", "split").rows() == [(1, "train"), (0, "test")]


def test_kuairand_has_no_feature_known_only_afterwards():
    leaky = {
        "play_time_ms",
        "profile_stay_time",
        "comment_stay_time",
        "is_follow",
        "is_comment",
        "is_forward",
        "is_hate",
    }
    labels = {task.name for task in KuaiRandPure.tasks}
    raw = {column.raw_name for column in KuaiRandPure.columns}
    assert not raw & (leaky | labels | {"date", "time_ms", "is_rand"})
    assert {column.side for column in KuaiRandPure.columns} == {"user", "ad", "context"}


def test_kuairand_bad_rows_name_their_file_and_line(tmp_path, write_kuairand, kuairand_row):
    good = kuairand_row(0, 0)
    folder = write_kuairand(tmp_path / "log", [good, good[: good.rindex(",")], kuairand_row(0, 0, click=3)])
    with pytest.raises(ValueError, match=r"log_standard_4_22_to_5_08_pure.csv, line 3: expected 19 .* Received: 18"):
        read(KuaiRandPure(folder))
    dataset = KuaiRandPure(folder)
    assert len(read(dataset, max_bad_rows=2)) == 1
    assert dataset.bad_rows == 2
    folder = write_kuairand(tmp_path / "users", [good])
    path = folder / "user_features_pure.csv"
    path.write_text(path.read_text().replace("\n1,full_active", "\nx,full_active"))
    with pytest.raises(ValueError, match=r"user_features_pure.csv, line 3: column 'user_id': expected an integer"):
        read(KuaiRandPure(folder))
    path.write_text(path.read_text().replace("\nx,full_active", "\n0,full_active"))
    with pytest.raises(ValueError, match="user_id=0 more than once"):
        read(KuaiRandPure(folder))


def test_missing_files_are_named(tmp_path, write_kuairand, kuairand_row):
    with pytest.raises(FileNotFoundError, match=r"user_features_pure.csv.*does not exist.*--download.*zenodo"):
        KuaiRandPure(tmp_path / "nowhere")
    write_kuairand(tmp_path, [kuairand_row()])
    (tmp_path / "video_features_basic_pure.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"video_features_basic_pure\.csv"):
        KuaiRandPure(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"train.txt.*--download.*criteo"):
        CriteoDAC(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"'train\[.gz\]', 'train.csv\[.gz\]'.*kaggle"):
        Avazu(tmp_path)


@pytest.mark.parametrize("name", ["train.txt", "train.txt.gz"])
def test_criteo_splits_in_file_order(tmp_path, write_lines, criteo_row, name):
    rows = [criteo_row(i % 2, numbers=[str(i), "", "-3", *["7"] * 10], tokens=["", *["ab"] * 25]) for i in range(20)]
    write_lines(tmp_path / name, rows)
    dataset = CriteoDAC(tmp_path)
    frame = read(dataset, chunk_rows=3)
    check_protocol(dataset, frame)
    assert frame["split"].to_list() == ["train"] * 16 + ["validation"] * 2 + ["test"] * 2
    assert frame["I1"].to_list() == list(range(20))
    assert frame["I2"].null_count() == 20
    assert frame["I3"].to_list() == [-3] * 20
    assert frame["C1"].to_list() == [""] * 20
    assert frame["click"].to_list() == [0, 1] * 10


def test_criteo_bad_rows_do_not_move_the_splits(tmp_path, write_lines, criteo_row):
    rows = [criteo_row()] * 10
    rows[2] = rows[2].rsplit("\t", 1)[0]
    rows[5] = criteo_row(numbers=["1.x"] * 13)
    write_lines(tmp_path / "train.txt", rows)
    with pytest.raises(ValueError, match=r"train.txt, line 3: expected 40 tab-separated fields. Received: 39"):
        read(CriteoDAC(tmp_path))
    with pytest.raises(
        ValueError, match=r"train.txt, line 6: column 'I1': expected a number or nothing. Received: '1.x'"
    ):
        read(CriteoDAC(tmp_path), max_bad_rows=1)
    dataset = CriteoDAC(tmp_path)
    assert read(dataset, max_bad_rows=2)["split"].to_list() == ["train"] * 6 + ["validation", "test"]
    assert dataset.bad_rows == 2
    (tmp_path / "train.txt").write_text("")
    with pytest.raises(ValueError, match="no rows"):
        read(CriteoDAC(tmp_path))


def test_criteos_day_files_split_by_day(tmp_path, write_lines, criteo_row):
    for day, name in ((2, "day_2"), (0, "day_0.gz"), (11, "day_11"), (5, "day_5.gz")):
        row = criteo_row(day % 2, numbers=[str(day), "", "-3", *["7"] * 10], tokens=["", *["ab"] * 25])
        write_lines(tmp_path / name, [row] * 3)
    dataset = CriteoTerabyte(tmp_path)
    frame = read(dataset, chunk_rows=2)
    check_protocol(dataset, frame)
    assert frame["day"].to_list() == [day for day in (0, 2, 5, 11) for _ in range(3)]
    assert frame["split"].to_list() == ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
    assert frame["I1"].to_list() == frame["day"].to_list()
    assert (frame["I2"].null_count(), frame["I3"].sum(), frame["C1"].unique().to_list()) == (12, -36, [""])
    assert frame["click"].to_list() == [0.0] * 6 + [1.0] * 6
    sides = {column.name: column.side for column in CriteoTerabyte(tmp_path, sides={"C1": "user"}).columns}
    assert (sides["I1"], sides["C1"], sides["C2"], len(sides)) == ("user", "user", "ad", 39)
    assert CriteoTerabyte.download(tmp_path) == tmp_path


def test_criteos_day_files_say_what_is_wrong(tmp_path, write_lines, criteo_row):
    with pytest.raises(FileNotFoundError, match=r"no file of a day, day_0\[.gz\] … day_23\[.gz\], in .*ailab.criteo"):
        CriteoTerabyte(tmp_path)
    with pytest.raises(PermissionError, match="ailab.criteo.com"):
        CriteoTerabyte.download(tmp_path)
    write_lines(tmp_path / "day_3", [criteo_row(), criteo_row(numbers=["x"] * 13)])
    with pytest.raises(ValueError, match=r"day_3, line 2: column 'I1': expected a number or nothing. Received: 'x'"):
        read(CriteoTerabyte(tmp_path))
    assert read(CriteoTerabyte(tmp_path), max_bad_rows=1)["split"].to_list() == ["test"]
    with pytest.raises(ValueError, match=r"\['C27'\]. Expected: I1..I13, C1..C26"):
        CriteoTerabyte(tmp_path, sides={"C27": "ad"})


def test_criteo_sides_can_be_chosen(tmp_path, write_lines, criteo_row):
    write_lines(tmp_path / "train.txt", [criteo_row()])
    sides = {column.name: column.side for column in CriteoDAC(tmp_path).columns}
    assert len(sides) == 39
    assert (sides["I1"], sides["C3"], sides["C15"], sides["C1"]) == ("user", "user", "ad", "context")
    chosen = {column.name: column.side for column in CriteoDAC(tmp_path, sides={"C1": "user"}).columns}
    assert chosen == {**sides, "C1": "user"}
    assert isinstance(CriteoDAC(tmp_path).columns[0], NumericColumn)
    with pytest.raises(ValueError, match=r"\['C27'\]"):
        CriteoDAC(tmp_path, sides={"C27": "user"})
    with pytest.raises(ValueError, match="side"):
        CriteoDAC(tmp_path, sides={"C2": "publisher"})


@pytest.mark.parametrize("name", ["train", "train.csv", "train.gz", "train.csv.gz"])
def test_avazu(tmp_path, write_lines, avazu_header, avazu_row, name):
    write_lines(tmp_path / name, [avazu_header, *(avazu_row(i, i % 2, 14102100 + i) for i in range(10))])
    dataset = Avazu(tmp_path)
    frame = read(dataset, chunk_rows=4)
    check_protocol(dataset, frame)
    assert frame["split"].to_list() == ["train"] * 8 + ["validation", "test"]
    assert frame["hour"].to_list() == list(range(14102100, 14102110))
    assert frame["C20"].to_list() == [-1] * 10
    assert "id" not in frame.columns


def test_avazu_bad_row_counts_the_header(tmp_path, write_lines, avazu_header, avazu_row):
    write_lines(tmp_path / "train", [avazu_header, avazu_row(), avazu_row(c20="x")])
    with pytest.raises(ValueError, match=r"train, line 3: column 'C20': expected an integer. Received: 'x'"):
        read(Avazu(tmp_path))


def archive(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))


def test_kuairand_download_unpacks_and_is_found(tmp_path, write_kuairand, kuairand_row, monkeypatch):
    source = write_kuairand(tmp_path / "source", [kuairand_row()])
    asked = []

    def get_file(origin, cache_dir, cache_subdir, file_hash):
        asked.append((origin, file_hash))
        path = f"{cache_dir}/KuaiRand-Pure.tar.gz"
        archive(path, {f"KuaiRand-Pure/data/{f.name}": f.read_bytes() for f in source.iterdir()} | {"../evil": b""})
        return path

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    folder = KuaiRandPure.download(tmp_path / "new" / "folder")
    assert len(read(KuaiRandPure(folder))) == 1
    assert KuaiRandPure.download(folder) == folder
    assert asked == [
        ("https://zenodo.org/records/10439422/files/KuaiRand-Pure.tar.gz", "0820331067a3784d9691136f772b35a7")
    ]
    assert not (tmp_path / "new" / "evil").exists()


def test_criteo_download(tmp_path, criteo_row, monkeypatch):
    def get_file(origin, cache_dir, cache_subdir, file_hash):
        assert file_hash is None
        archive(f"{cache_dir}/dac.tar.gz", {"train.txt": criteo_row().encode(), "test.txt": b"x"})
        return f"{cache_dir}/dac.tar.gz"

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    assert len(read(CriteoDAC(CriteoDAC.download(tmp_path)))) == 1
    assert not (tmp_path / "test.txt").exists()


def test_download_faults_say_what_to_do(tmp_path, monkeypatch):
    def broken(**arguments):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", broken)
    with pytest.raises(ConnectionError, match=r"URL fetch failure.*Get the file from https://zenodo.org"):
        KuaiRandPure.download(tmp_path)
    (tmp_path / "half.tar.gz").write_bytes(b"no archive")
    monkeypatch.setattr(keras.utils, "get_file", lambda **arguments: str(tmp_path / "half.tar.gz"))
    with pytest.raises(ValueError, match="not a whole tar archive"):
        CriteoDAC.download(tmp_path)
    with pytest.raises(PermissionError, match=r"without an account.*kaggle competitions download"):
        Avazu.download(tmp_path)
    (tmp_path / "train.gz").write_bytes(b"")
    assert Avazu.download(tmp_path) == tmp_path
