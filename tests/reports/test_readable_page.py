"""What a reader sees of a page: its first sentence, whole figures on narrow screens, names as they are."""

import re

import numpy as np
import polars as pl
import pytest
from support.prediction_frame import prediction_frame, sigmoid

from grouprank.reports import PredictionSums, ReportPage, Segmentation, gain_table, segment_report
from grouprank.reports.page.labels import shortened_segment, text_width, wrapped

MODELS = ["old", "GSL(user), ResL", "GSL(user)", "random codes(user-ad)"]
LONG = "how_many_followers_the_author_of_the_video_has"
# Two places whose names begin and end alike, and one that holds commas.
PLACES = ["a street in the old town, north of the river bank", "a street in the new town, north of the river bank", "x"]


@pytest.fixture(scope="module")
def sums():
    """Four models under two seeds; `rare` has one class only, and no value of `user_part` has users enough."""
    rng = np.random.default_rng(0)
    base = prediction_frame(rng, rows=4000, users=400)
    place = rng.choice(np.array(PLACES), len(base))
    base = base.with_columns(
        pl.Series(LONG, place), rare=pl.lit(0.0), user_part=pl.col("user") % 50, other=pl.Series(place)
    )
    cuts = [Segmentation(LONG), Segmentation("user_part"), Segmentation(("other", "tab"))]
    sums = PredictionSums(["click", "rare"], MODELS, "user", cuts)
    for seed in range(2):
        columns = {}
        for number, model in enumerate(MODELS):
            noise = np.random.default_rng([seed, number]).normal(0.0, 0.02, len(base))
            logit = np.log(base["old:click"] / (1 - base["old:click"])).to_numpy()
            columns[f"{model}:click"] = sigmoid(logit * (1.0 + 0.3 * (number == 1)) + noise)
            columns[f"{model}:rare"] = np.full(len(base), 0.1 / (1 + number))
        sums.update(base.with_columns(**{name: pl.Series(values) for name, values in columns.items()}), seed)
    return sums


@pytest.fixture(scope="module")
def html(sums):
    page = ReportPage("Rows of a table", "Every candidate has GSL; one has ResL, too.")
    page.add_gains(gain_table(sums))
    for number in range(3):
        page.add_gains(gain_table(sums, MODELS[2:]), title=f"Others {number}")
    page.add_segments(segment_report(sums, MODELS[1]))
    return page.to_html()


@pytest.fixture(scope="module")
def path(html, tmp_path_factory):
    path = tmp_path_factory.mktemp("readable") / "page.html"
    path.write_text(html, encoding="utf-8")
    return path


def one_seed(frame, tasks=("click",), models=("old", "new")):
    sums = PredictionSums(tasks, models, "user")
    sums.update(frame)
    return gain_table(sums)


def text_of(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


class TestFirstSentence:
    def test_says_what_was_compared_and_what_came_out(self, html):
        lead = text_of(re.search(r"</h1>\s*<p[^>]*>(.*?)</p>", html, re.DOTALL).group(1))
        assert lead == (
            "On 2 tasks, 3 candidates were compared with old under 2 paired seeds: among the 6 comparisons there is "
            "a gain in 1, a loss in none, no visible difference in 2 and too little data in 3."
        )

    def test_one_seed_makes_no_claim(self):
        page = ReportPage("One seed")
        page.add_gains(one_seed(prediction_frame(np.random.default_rng(0), rows=2000)))
        lead = text_of(re.search(r"</h1>\s*<p[^>]*>(.*?)</p>", page.to_html(), re.DOTALL).group(1))
        assert re.fullmatch(
            r"On click, new was compared with old under one seed: its NE gain is [+−]\d\.\d{3} %, which one seed "
            "cannot tell from chance.",
            lead,
        )

    def test_abbreviations_are_explained_once_and_only_where_they_are_used(self, html):
        assert re.findall(r"<dt>(.*?)</dt>", html) == ["NE", "GSL", "ResL"]
        assert "<dt>" not in ReportPage("Nothing").to_html()
        for meaning in ("normalized entropy", "group structure learning", "residual learning"):
            assert text_of(html).count(meaning) == 1


def test_five_conclusions_at_most_stand_before_the_contents(html):
    before, after = html.split('<nav aria-label="Contents">')
    assert len(re.findall('<li class="card', before)) == 5
    assert len(re.findall('<li class="card', after)) == 3
    assert '<a href="#more">' in after


def test_names_with_commas_are_not_joined_by_commas(html):
    card = text_of(re.search(r'<li class="card.*?</li>', html, re.DOTALL).group())
    assert "“GSL(user), ResL” (+" in card or "GSL(user), ResL (+" in card
    assert "no difference from old is seen for GSL(user) and random codes(user-ad)" in card
    second = text_of(re.findall(r'<li class="card.*?</li>', html, re.DOTALL)[1])
    assert "say anything of “GSL(user), ResL”; “GSL(user)”; and “random codes(user-ad)”." in second


def test_a_value_with_a_comma_does_not_read_as_the_next_column():
    frame = pl.DataFrame({"a": ["1, b=2", "1", None], "b": ["3", "2, b=3", '4"']})
    assert Segmentation(("a", "b")).labels(frame).to_list() == [
        'a="1, b=2", b=3',
        'a=1, b="2, b=3"',
        'a=(missing), b="4"""',
    ]
    assert Segmentation("a").labels(frame).to_list()[0] == "a=1, b=2"


def test_nothing_is_drawn_without_data(html):
    titles = re.findall(r"<figcaption><strong[^>]*>(.*?)</strong>", html)
    # Gains of four tables, and segments of two of three segmentations, never of the task with one class.
    assert titles == ["click"] * 6
    drawn = " ".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert "insufficient data" not in re.sub('aria-label="[^"]*"', "", drawn)


def test_training_without_finite_losses_draws_no_empty_axes():
    page = ReportPage("Diverged")
    nan = float("nan")
    page.add_training({"ours": [{"loss": [nan, nan], "val_loss": [0.7, 0.6]}]})
    assert re.findall(r"<figcaption><strong[^>]*>(.*?)</strong>", page.to_html()) == ["validation loss"]


class TestLabels:
    def test_a_segment_keeps_its_value(self, html):
        pictures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
        texts = [" ".join(re.findall(r"<text[^>]*>(.*?)</text>", picture, re.DOTALL)) for picture in pictures]
        for place in PLACES:
            assert any(place in text.replace("= ", "=") for text in texts), place

    def test_the_name_is_shortened_before_the_value(self):
        found = shortened_segment(f"{LONG}=from 1,000 to 9,999", 40)
        assert found.endswith("…_video_has=from 1,000 to 9,999"[-21:])
        assert text_width(found) <= 40

    def test_wide_letters_count_twice(self):
        lines = wrapped("城市=" + "北京市朝阳区" * 8, 40)
        assert max(map(text_width, lines)) <= 40
        assert "".join(lines) == "城市=" + "北京市朝阳区" * 8


# Of every table with such a column: how far its cells reach beyond the right edge of what is seen of the table.
BEYOND = """
[...document.querySelectorAll('.scroll')].flatMap(region => {
  const head = [...region.querySelectorAll('thead th')].find(cell => cell.textContent.includes('%s'));
  if (!head) return [];
  const edge = region.getBoundingClientRect().right;
  return [...region.querySelectorAll('tr')].map(row => {
    const cell = row.cells[head.cellIndex], range = document.createRange();
    range.selectNodeContents(cell);
    return Math.max(cell.getBoundingClientRect().right, range.getBoundingClientRect().right) - edge;
  });
})
"""


class TestNarrowScreens:
    @pytest.mark.parametrize(("width", "column"), [(1280, "verdict"), (1280, "NE gain, %"), (390, "NE gain, %")])
    def test_verdicts_and_gains_are_seen_without_scrolling(self, browser, path, width, column):
        browser.open(path, width=width)
        beyond = browser.evaluate(BEYOND % column)
        assert len(beyond) > 100
        assert max(beyond) <= 0.5

    @pytest.mark.parametrize("width", [390, 1280])
    def test_no_text_of_a_picture_leaves_it(self, browser, path, width):
        browser.open(path, width=width)
        beyond = browser.evaluate(
            "[...document.querySelectorAll('figure svg text')].map(text => { const box = text.getBoundingClientRect(),"
            " around = text.closest('figure').getBoundingClientRect();"
            " return Math.max(box.right - around.right, around.left - box.left); })"
        )
        assert max(beyond) <= 0.5


NAMES = {
    "commas": "a, b",
    "pipe": "a|b",
    "element": "<b>x</b> &amp; \"y\" 'z'",
    "markdown": "`a` **b** _c_ {d} [e](f)",
    "chinese": "点击率",
    "right to left": "\u05e9\u05dc\u05d5\u05dd",
    "override": "a\u202eb\u2066",
    "control": "a\x1b[31m\x00\nb",
}


TASKS = (NAMES["pipe"], NAMES["right to left"], NAMES["control"])


@pytest.fixture(scope="module")
def table():
    frame = prediction_frame(np.random.default_rng(0), rows=600)
    columns = {f"{model}:{task}": frame["old:click"] for task in TASKS for model in ("old", *NAMES.values())}
    frame = frame.with_columns(**columns, **dict.fromkeys(TASKS, frame["click"]))
    return one_seed(frame, TASKS, ["old", *NAMES.values()])


class TestOddNames:
    def test_a_page_shows_them_and_obeys_none(self, table, browser, tmp_path):
        page = ReportPage("Odd names")
        page.add_gains(table)
        path = page.write(tmp_path / "odd.html")
        browser.open(path, width=390)
        assert browser.errors == []
        assert browser.evaluate("document.documentElement.scrollWidth") == 390
        assert browser.evaluate("document.querySelectorAll('td b, th b, h3 b, p b, p strong, p a').length") == 0
        shown = browser.evaluate("[...document.querySelectorAll('tbody th')].map(cell => cell.textContent)")
        wanted = {**NAMES, "override": "a�b\u2066", "control": "a�[31m�\nb"}
        assert set(shown) == {"old", *wanted.values()}
        # What follows a name from right to left still reads from left to right.
        assert f"\u2068{NAMES['right to left']}\u2069" in browser.evaluate(
            "document.querySelector('.card p').textContent"
        )
        assert not set("\x00\x1b\u202e") & set(path.read_text(encoding="utf-8"))

    def test_markdown_keeps_its_cells_and_holds_no_markup(self, table):
        lines = table.to_markdown().splitlines()
        assert len(lines) == 2 + len(TASKS) * (len(NAMES) + 1)
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {10}
        text = "\n".join(lines)
        for raw in ("<b>", "&amp;", "`a`", "**b**", "_c_", "[e](f)", "\x1b", "\u202e"):
            assert not re.search(r"(?<!\\)" + re.escape(raw), text), raw
        assert "| 点击率 |" in text

    def test_braces_and_backticks_of_a_name_are_no_template(self):
        frame = prediction_frame(np.random.default_rng(0), rows=600).rename({"old:click": "{x}`**y**:click"})
        page = ReportPage("Names")
        page.add_gains(one_seed(frame, models=("{x}`**y**", "new")))
        assert "<code>{x}`**y**</code>" in page.to_html()


def test_a_page_is_replaced_as_a_whole(tmp_path, monkeypatch):
    path = ReportPage("First").write(tmp_path / "report.html")

    def full(self, *_, **__):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_text", full)
        with pytest.raises(OSError, match="no space left"):
            ReportPage("Second").write(path)
    assert "First" in path.read_text(encoding="utf-8")
    ReportPage("Second").write(path)
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]


def test_a_table_of_ones_own():
    page = ReportPage("Own")
    page.add_table("Presets", ["preset", "NE"], [["lr", "0.9"]], "Sorted **by name**.")
    html = page.to_html()
    assert "<strong>by name</strong>" in html
    assert '<th scope="row" dir="auto" class="text wide">lr</th>' in html
    with pytest.raises(ValueError, match="Row 0 must have a cell for each of the 2 columns. Received: 1 cells"):
        page.add_table("Presets", ["preset", "NE"], [["lr"]])
