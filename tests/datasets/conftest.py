"""Tiny files in the official layouts."""

import gzip

import numpy as np
import polars as pl
import pytest

from grouprank.datasets import CategoricalColumn, NumericColumn, SequenceColumn, VectorColumn
from grouprank.schema import Task

KUAIRAND_LOG = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,"
    "play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab"
)
KUAIRAND_USERS = (
    "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,follow_user_num,"
    "follow_user_num_range,fans_user_num,fans_user_num_range,friend_user_num,friend_user_num_range,register_days,"
    "register_days_range," + ",".join(f"onehot_feat{i}" for i in range(18))
)
KUAIRAND_VIDEOS = (
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,server_width,"
    "server_height,music_id,music_type,tag"
)
AVAZU_HEADER = (
    "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,app_category,device_id,"
    "device_ip,device_model,device_type,device_conn_type,C14,C15,C16,C17,C18,C19,C20,C21"
)


def write(path, lines, end="\n"):
    text = "".join(line + end for line in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        with gzip.open(path, "wb") as file:
            file.write(text)
    else:
        path.write_bytes(text)
    return path


@pytest.fixture
def write_lines():
    return write


@pytest.fixture
def kuairand_row():
    def row(user=0, video=0, date=20220425, hourmin=1400, click=0, like=0, long_view=0, enter=0, tab=1, duration=1000):
        seen = f"{user},{video},{date},{hourmin},1650812741436,{click},{like},0,0,0,0,{long_view},61802"
        return f"{seen},{duration},0,0,{enter},0,{tab}"

    return row


@pytest.fixture
def write_kuairand(kuairand_row):
    """Write a folder in the official layout; returns the folder."""

    def build(folder, rows, suffix="", early=None):
        write(folder / f"log_standard_4_22_to_5_08_pure.csv{suffix}", [KUAIRAND_LOG, *rows])
        if early is not None:
            write(folder / f"log_standard_4_08_to_4_21_pure.csv{suffix}", [KUAIRAND_LOG, *early])
        tail = "1,1,29,949,1.0,0,0,14,135,6,3,0,0.0,1.0,0.0,0.0,0.0,0.0"
        without = tail.replace("1.0,0,0,14", ",0,0,14")
        users = [
            f'0,full_active,0,1,1,514,500+,150,"[100,1k)",34,"[30,60)",799,730+,{tail}',
            f'1,full_active,0,-124,1,457,"(250,500]",20,"[10,100)",3,"[1,5)",1474,730+,{without}',
        ]
        write(folder / f"user_features_pure.csv{suffix}", [KUAIRAND_USERS, *users])
        videos = [
            "0,7349781,NORMAL,2022-04-10,LongImport,0.0,87433.0,720.0,1280.0,9155697141,9.0,39",
            '1,2103883,AD,2022-04-10,Kmovie,0.0,,720.0,1280.0,6355810746,,"20,43"',
        ]
        write(folder / f"video_features_basic_pure.csv{suffix}", [KUAIRAND_VIDEOS, *videos])
        return folder

    return build


@pytest.fixture
def criteo_row():
    def row(label=0, numbers=("1",) * 13, tokens=("68fd1e64",) * 26):
        return "\t".join([str(label), *numbers, *tokens])

    return row


@pytest.fixture
def avazu_header():
    return AVAZU_HEADER


@pytest.fixture
def avazu_row():
    def row(number=1, label=0, hour=14102103, c20=-1):
        return (
            f"{number},{label},{hour},1005,0,1fbe01fe,f3845767,28905ebd,ecad2386,7801e8d9,07d7df22,a99f214a,ddd2926e,"
            f"44956a24,1,2,15706,320,50,1722,0,35,{c20},79"
        )

    return row


class FrameDataset:
    """A dataset over a frame in memory, for tests of what comes after the readers."""

    name = "frame"
    columns = (
        NumericColumn("price", "ad", function="identity"),
        CategoricalColumn("city", "user", min_count=2),
        CategoricalColumn("hour", "context", raw="time", dtype="int64", divisor=100, modulo=24),
        SequenceColumn("tags", "ad", separator="|", length=2),
        VectorColumn("image", "ad", dim=2),
    )
    tasks = (Task("click"), Task("buy", given="click"))

    def __init__(self, frame, extras=None, settings=None):
        self.frame = frame
        self.extras = extras or {}
        self.settings = settings or {"version": 1}
        self.chunk_sizes = []

    def chunks(self, chunk_rows, max_bad_rows=0):
        for start in range(0, len(self.frame), chunk_rows):
            chunk = self.frame.slice(start, chunk_rows)
            self.chunk_sizes.append(len(chunk))
            yield chunk

    @classmethod
    def download(cls, folder):
        return folder


@pytest.fixture
def frame_dataset():
    return FrameDataset


@pytest.fixture
def small_frame():
    """Six training rows, two validation rows, two test rows."""
    return pl.DataFrame(
        {
            "price": pl.Series(
                [1.0, 3.0, 1.0, 3.0, None, float("nan"), 100.0, float("inf"), 5.0, 2.0], dtype=pl.Float32
            ),
            "city": ["a", "a", "b", "", "", None, "zz", "a", "b", ""],
            "time": [0, 99, 100, 2400, 2500, 200, 2300, 0, 100, 500],
            "tags": ["x|y|z", "", "|y|", "y", None, "y|x", "q|x", "x", "", "y|y|y"],
            "image": pl.Series([[1.0, 2.0]] * 9 + [[float("nan"), 4.0]], dtype=pl.Array(pl.Float32, 2)),
            "click": pl.Series([1, 0, 0, 1, 0, 0, 1, 0, 0, 1], dtype=pl.Float32),
            "buy": pl.Series([1, None, None, 0, None, None, 1, None, None, 0], dtype=pl.Float32),
            "teacher": np.linspace(0, 1, 10).astype("float32"),
            "group": np.arange(10, dtype="int64"),
            "split": ["train"] * 6 + ["validation"] * 2 + ["test"] * 2,
        }
    )


@pytest.fixture
def criteo(tmp_path, write_lines, criteo_row):
    """A folder with 700 rows, four of them malformed."""
    random = np.random.default_rng(0)
    lines = [
        criteo_row(
            int(random.integers(2)),
            ["" if n < 0 else str(n) for n in random.integers(-1, 50, 13)],
            [f"{n:x}" if n else "" for n in random.integers(0, 9, 26)],
        )
        for _ in range(700)
    ]
    for line in (9, 350, 351, 640):
        lines[line] = lines[line].replace("\t", "", 1)
    write_lines(tmp_path / "train.txt", lines)
    return tmp_path
