"""The HTML page: its structure, what it claims, and how it behaves in a browser."""

import itertools
import re
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from support.prediction_frame import prediction_frame, sigmoid

from grouprank.reports import (
    Estimate,
    Gain,
    GainTable,
    PredictionSums,
    ReportPage,
    Segment,
    Segmentation,
    SegmentReport,
    discover_slices,
    drift,
    gain_table,
    group_report,
    segment_report,
)
from grouprank.reports.page import segments_section
from grouprank.reports.page.gains_section import conclusions
from grouprank.reports.page.theme import COLORS

SCRIPT = "<script>document.title = 'broken'</script>"
# Segments of both tasks: 3 tabs, 4 quarters of the bids and 160 parts, which have too few users.
LACKING = 2 * 160
SEGMENTS = 2 * (3 + 4) + LACKING
VOID = {"meta", "link", "br", "wbr", "input", "hr", "img"}


def frames(seeds=3):
    """Two models of one seed each, better but for one tab, whose name is a script."""
    rng = np.random.default_rng(0)
    frame = prediction_frame(rng, rows=12_000, users=800, skill=(0.5, 0.8))
    tab = pl.col("tab").replace("search", f"{SCRIPT} & $x$ \x00 \u202e")
    frame = frame.with_columns(tab=tab, part=pl.col("user") % 160)
    for seed in range(seeds):
        noise = np.random.default_rng(seed).normal(0.0, 0.05, len(frame))
        new = np.log(frame["new:click"] / (1 - frame["new:click"])).to_numpy() + noise
        new = np.where(frame["tab"].str.starts_with("<"), new + 1.0, new)
        columns = {"new:click": sigmoid(new), "same:click": frame["old:click"], "same:like": frame["old:like"]}
        yield frame.with_columns(**{name: pl.Series(values) for name, values in columns.items()})


def add_everything(page):
    cuts = [Segmentation("tab"), Segmentation.quantiles(next(frames()), "bid", 4), Segmentation("part")]
    sums = PredictionSums(["click", "like"], ["old", "new", "same"], "user", cuts)
    for seed, frame in enumerate(frames()):
        sums.update(frame, seed)
    page.add_gains(gain_table(sums))
    page.add_calibration(sums)
    page.add_segments(segment_report(sums, "new"))
    codes = np.stack([frame["user"] % 5, frame["user"] % 3], axis=1)
    labels = {task: frame[task].to_numpy() for task in ("click", "like")}
    groups = group_report("user", codes, 8, frame.select("tab", "bid"), labels)
    page.add_groups(groups)
    page.add_groups(groups, {code: (np.cos(code), np.sin(code)) for code in range(5)}, title="Groups in the plane")
    curves = {"loss": [0.7, 0.6, 0.55], "val_loss": [0.71, 0.66, 0.67], "lr": ["1e-3"] * 3}
    curves |= {"click_normalized_entropy": [0.9, 0.85, 0.8], "val_click_normalized_entropy": [0.91, 0.88, 0.89]}
    shorter = {key: values[:2] for key, values in curves.items()}
    page.add_training(
        {"old": [curves, shorter], "_new": [shorter, {**curves, "val_loss": [0.7, float("nan"), 0.6]}]}, "old"
    )
    page.add_training({"old": [{"val_click_normalized_entropy": [0.9, 0.8]}]}, title="Validation alone")
    found = discover_slices(list(frames()), ["click"], ["old", "new"], "user", ["tab"], ["regression"], min_positives=5)
    assert [one.verdict for one in found.slices] == ["confirmed"]
    page.add_slices(found)
    late = next(frames()).filter(pl.col("bid") > 0.5)
    page.add_drift(drift(next(frames()), late, scores={task: f"new:{task}" for task in ("click", "like")}))
    page.add_text("What follows", f"Try a **wider** codebook.\n\n- `a < b`\n- {SCRIPT}")
    return page


def make_page():
    return add_everything(
        ReportPage(
            f"Run of {SCRIPT}",
            "Does *new* beat `old`?",
            command=f"python -m grouprank.recipes.demo --name '{SCRIPT}'",
            configuration={"backend": "jax", "model": {"levels": 3, "sizes": [8, 8], SCRIPT: SCRIPT}, "none": None},
            date="2026-08-20",
            seeds=[0, 1, 2],
            rows={"train": 9000, "test": 12_000},
        )
    )


@pytest.fixture(scope="module")
def html():
    return make_page().to_html()


class Elements(HTMLParser):
    """Elements of a page, that are checked to be closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.found = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute twice: {tag} {attrs}"
        element = {"tag": tag, "text": [], "within": tuple(above["tag"] for above in self.open), **dict(attrs)}
        self.found.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        closed = self.open.pop()
        assert closed["tag"] == tag
        closed["text"] = "".join(closed["text"])

    def handle_data(self, data):
        for element in self.open:
            element["text"].append(data)

    def all(self, tag):
        return [element for element in self.found if element["tag"] == tag]


@pytest.fixture(scope="module")
def elements(html):
    return Elements(html)


class TestStructure:
    def test_headings_are_in_order_and_the_language_is_named(self, elements):
        assert elements.all("html")[0]["lang"] == "en"
        levels = [int(e["tag"][1]) for e in elements.found if re.fullmatch("h[1-6]", e["tag"])]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        titles = [e["text"] for e in elements.all("h2")]
        assert titles[:4] == ["Conclusions", "How it was run", "Gains", "Calibration"]
        assert titles[4:7] == ["Segments: new", "Groups: user", "Groups in the plane"]
        assert titles[7:] == ["Training", "Validation alone", "The worst slices", "Drift", "What follows"]

    def test_ids_are_unique_and_references_lead_somewhere(self, html, elements):
        ids = [e["id"] for e in elements.found if "id" in e]
        assert len(set(ids)) == len(ids)
        wanted = {e["href"][1:] for e in elements.found if e.get("href", "").startswith("#")}
        wanted |= set(re.findall(r"url\(#([^)]*)\)", html))
        wanted |= {name for e in elements.found for name in e.get("aria-labelledby", "").split()}
        assert wanted <= set(ids)
        assert len(wanted) > 20

    def test_every_figure_says_in_words_what_it_shows(self, elements):
        figures, pictures = elements.all("figure"), elements.all("svg")
        # Not of the 160 parts, which have too few users.
        assert len(figures) == len(pictures) == 2 + 2 + 4 + 2 + 2 + 3 + 1 + 4
        for picture in pictures:
            assert picture["within"][-1] == "figure"
            assert picture["role"] == "img"
            assert len(picture["aria-label"]) > 40
        assert len(elements.all("figcaption")) == len(figures)
        labels = [picture["aria-label"] for picture in pictures]
        assert re.search(r"on click in percent.*: new better, \+\d.*; same no difference seen, ", labels[0])
        assert "Predicted over observed as a whole: old " in labels[2]
        assert "worse in 1, most in tab=<script>" in labels[4]
        assert "_new 0.7050 at epoch 1 of 2" in " ".join(labels)

    def test_pictures_take_their_colours_from_the_page(self, html):
        pictures = " ".join(re.findall("<svg.*?</svg>", html, flags=re.DOTALL))
        assert "var(--worse)" in pictures
        assert not re.findall('#[0-9a-f]{3,6}[;"]', pictures)

    def test_tables_have_captions_and_scoped_heads(self, elements):
        assert len(elements.all("caption")) == len(elements.all("table")) >= 8
        assert {e["scope"] for e in elements.all("th")} == {"col", "row"}
        assert all(e["aria-label"] for e in elements.found if e.get("class", "").startswith("scroll"))

    def test_nothing_is_loaded(self, html, elements):
        assert not [e for e in elements.found if "src" in e or "srcset" in e]
        assert [e["href"] for e in elements.all("link")] == ["data:,"]
        assert not re.search(r"https?:|//cdn|@import|url\((?!#)", html)

    def test_names_are_shown_and_not_interpreted(self, elements):
        assert len(elements.all("script")) == 1
        assert SCRIPT in elements.all("title")[0]["text"]
        assert sum(SCRIPT in e["text"] for e in elements.all("th")) > 2
        assert any("$x$ �" in e["text"] for e in elements.all("th"))
        assert any("<script>" in e["text"] for e in elements.all("text"))
        assert [e["text"] for e in elements.all("strong") if e["within"][-1] == "p"] == [
            "regression",
            "excess",
            "wider",
        ]
        assert any(e["text"] == f"model.{SCRIPT}" for e in elements.all("th"))

    def test_segments_say_what_they_lack(self, elements):
        cells = [e["text"] for e in elements.all("td")]
        assert sum("insufficient data" in cell for cell in cells) == LACKING
        heads = " ".join(e["text"] for e in elements.all("th") if e["scope"] == "col")
        assert "NE by own rate, candidate" in heads
        assert "NE by all rows' rate, candidate" in heads

    def test_the_same_content_gives_the_same_file(self, html, tmp_path):
        path = make_page().write(tmp_path / "deep" / "page.html")
        assert path.read_text(encoding="utf-8") == html

    def test_sections_are_optional(self):
        elements = Elements(ReportPage("Nothing yet").to_html())
        assert [e["text"] for e in elements.all("h1")] == ["Nothing yet"]
        assert not elements.all("h2")


def estimate(value, error=0.001, seeds=True):
    return Estimate(value, 0.0, error, error if seeds else None, 1e6)


def table_of(*gains):
    entries = tuple(Gain("click", f"m{number}", 0.8, gain, None) for number, gain in enumerate(gains))
    return GainTable(
        "base", 5, {"click": 9000}, {"click": Gain("click", "base", 0.81, None, None)}, entries, {"click": 90}
    )


class TestConclusions:
    @pytest.mark.parametrize(
        ("gains", "verdict", "sentence"),
        [
            ((estimate(0.01),), "better", "m0 (+1.000 ± 0.277 %) is better than base."),
            ((estimate(-0.01),), "worse", "m0 (−1.000 ± 0.277 %) is worse than base."),
            (
                (estimate(0.01), estimate(0.02), estimate(-0.01)),
                "better",
                "m0 (+1.000 ± 0.277 %) and m1 (+2.000 ± 0.277 %) are better than base; "
                "m2 (−1.000 ± 0.277 %) is worse than base.",
            ),
            (
                # An estimate of ten percent that is all noise is no win.
                (estimate(0.1, 0.2),),
                "no difference seen",
                "no difference from base is seen for m0, where a difference of 79.241 % would have been found four "
                "times in five.",
            ),
            (
                (estimate(0.1, seeds=False),),
                "one seed: no claim",
                "one seed allows no claim about m0 (+10.000 ± 0.196 %) against base.",
            ),
            ((None,), "insufficient data", "too few users, positives or negatives to say anything of m0."),
            ((), "baseline", "There is no candidate."),
        ],
    )
    def test_sentences_claim_what_the_verdicts_allow(self, gains, verdict, sentence):
        (found,) = conclusions(table_of(*gains))
        assert (found.verdict, found.sentence) == (verdict, sentence)
        page = ReportPage("Run")
        page.add_gains(table_of(*gains))
        cards = [e for e in Elements(page.to_html()).all("li") if "card" in e.get("class", "")]
        assert sentence in cards[0]["text"]
        assert "Gains" not in cards[0]["text"]

    def test_conclusions_of_several_comparisons_name_theirs(self):
        page = ReportPage("Run")
        for title in ("All rows", "Rows of new ads"):
            page.add_gains(table_of(estimate(0.1)), title)
        cards = [e["text"] for e in Elements(page.to_html()).all("li") if "card" in e.get("class", "")]
        assert ["All rows" in cards[0], "Rows of new ads" in cards[1]] == [True, True]
        assert "Rows of new ads" not in cards[0]

    def test_a_win_names_the_segments_that_lose(self, elements):
        cards = [e["text"] for e in elements.all("li") if "card" in e.get("class", "")]
        assert re.search(r"new \(\+.* ± .* %\) is better than old; no difference from old is seen for same", cards[0])
        assert "1 worse (tab=<script>" in cards[0]


def many_segments(segments):
    """4 tasks with so many segments each in 5 segmentations, the last of each task the worst of all."""
    rng = np.random.default_rng(0)
    found = []
    for task in ("click", "long_view", "like", "profile_enter"):
        for number in range(segments):
            last = number == segments - 1
            gain, calibration = estimate(-0.1 if last else rng.normal(0, 0.01)), Estimate(1.02, 1.0, 0.01, 0.01, 50.0)
            pair = (0.81234, 0.80123)
            found.append(
                Segment(
                    segmentation=f"cut {5 * number // segments}",
                    segment=f"tab=recommended, age={number}",
                    task=task,
                    rows=123_456,
                    positives=1234.0,
                    share=1 / (60 + number),
                    rate=0.01,
                    entropies=pair,
                    global_entropies=pair,
                    recalibrated_entropies=pair,
                    gain=gain,
                    contribution=1 / 60,
                    calibrations=(calibration, calibration),
                    calibration_errors=(0.01, 0.01),
                    q_value=gain.p_value if last else 1.0,
                )
            )
    page = ReportPage("Many segments")
    page.add_segments(SegmentReport("old", "new", 5, tuple(found)))
    return page.to_html()


def test_weight_of_many_segments():
    """4 tasks of 300 segments stay well below 2 MB."""
    assert len(many_segments(300).encode()) < 1.5e6


def test_too_many_segments_leave_out_small_ones_without_a_verdict(monkeypatch):
    monkeypatch.setattr(segments_section, "MOST_ROWS", 100)
    elements = Elements(many_segments(60))
    caption = elements.all("caption")[0]["text"]
    shown, left = (
        int(n.replace(",", "")) for n in re.search(r": ([\d,]+) segments.*; ([\d,]+) smaller", caption).groups()
    )
    assert shown + left == 4 * 60
    assert len(elements.all("tr")) == 1 + shown
    heads = [e["text"] for e in elements.all("th")]
    assert heads.count("tab=recommended, age=59") == 4
    assert heads.count("tab=recommended, age=58") == 0


def luminance(color):
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("dark", [0, 1])
def test_contrast(dark):
    """4.5 for text and 3 for lines (WCAG 2.1, 1.4.3 and 1.4.11), in light and dark."""
    for ground in ("paper", "card"):
        for name in ("ink", "muted", "link", "better", "worse", *(n for n in COLORS if n.startswith("series"))):
            pair = sorted(luminance(COLORS[color][dark]) for color in (name, ground))
            ratio = (pair[1] + 0.05) / (pair[0] + 0.05)
            assert ratio > (3.0 if name.startswith("series") else 4.5), (name, ground, ratio)
    assert len({light for light, _ in COLORS.values()}) == len(COLORS)


class TestErrors:
    def test_unknown_model(self):
        sums = PredictionSums(["click"], ["old", "new"], "user")
        sums.update(prediction_frame(np.random.default_rng(0), rows=100))
        with pytest.raises(ValueError, match=r"must name some of \['old', 'new'\]. Received: models=\['x'\]"):
            ReportPage("Run").add_calibration(sums, ["x"])

    def test_groups_without_a_place(self):
        groups = group_report("user", np.array([[0], [1]]), 4)
        with pytest.raises(ValueError, match=r"a point for each group. Codes without one: \[1\]"):
            ReportPage("Run").add_groups(groups, {0: (0.0, 0.0)})

    def test_no_epochs(self):
        with pytest.raises(ValueError, match="must hold epochs"):
            ReportPage("Run").add_training({"old": [{}]})


def test_what_has_no_figures_is_drawn_without_them():
    sums = PredictionSums(["click", "none"], ["old", "new"], "user", [Segmentation("tab")])
    frame = prediction_frame(np.random.default_rng(0), rows=300).with_columns(none=pl.lit(0.0))
    frame = frame.with_columns(pl.lit(0.0).alias("old:none"), pl.lit(0.5).alias("new:none"))
    sums.update(frame)
    page = ReportPage("One seed, one class")
    page.add_gains(gain_table(sums))
    page.add_calibration(sums)
    page.add_segments(segment_report(sums, "new"))
    page.add_groups(group_report("user", np.zeros((300, 1), int), 4))
    elements = Elements(page.to_html())
    assert "one seed allows no claim" in elements.all("li")[0]["text"]
    assert "nothing is called better or worse" in elements.all("main")[0]["text"]
    # Gains, calibration and segments of the task that has two classes.
    assert len(elements.all("svg")) == 1 + 1 + 1


@pytest.fixture(scope="module")
def path(html, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(html, encoding="utf-8")
    return path


# The table of all segments, the values of one of its columns and the head of a column.
TABLE = "document.querySelector('.scroll.long table')"
SHOWN = f"[...{TABLE}.tBodies[0].rows].filter(row => !row.hidden)"


def head(name):
    return f"[...{TABLE}.tHead.rows[0].cells].find(cell => cell.textContent.trim() === '{name}')"


def values(browser, name):
    return browser.evaluate(f"{SHOWN}.map(row => row.cells[{head(name)}.cellIndex].textContent.trim())")


class TestBrowser:
    @pytest.mark.parametrize("width", [390, 1280])
    @pytest.mark.parametrize("dark", [False, True])
    def test_loads_alone_without_complaints_and_fits(self, browser, path, width, dark):
        browser.open(path, width=width, dark=dark)
        assert browser.errors == []
        assert browser.requests == [path.as_uri()]
        assert browser.evaluate("document.title").startswith("Run of <script>")
        assert browser.evaluate("document.documentElement.scrollWidth") == width
        assert browser.evaluate("document.querySelectorAll('figure svg').length") == 20
        sizes = browser.evaluate("[...document.querySelectorAll('figure svg')].map(svg => svg.clientWidth)")
        assert min(sizes) > 330
        colors = browser.evaluate(
            "[document.body, document.querySelector('figure text')].map(e => [getComputedStyle(e).backgroundColor,"
            " getComputedStyle(e).fill])"
        )
        paper, muted = (COLORS[name][dark] for name in ("paper", "muted"))
        assert (colors[0][0], colors[1][1]) == (rgb(paper), rgb(muted))

    def test_the_conclusion_is_on_the_first_screen_of_a_phone(self, browser, path):
        browser.open(path, width=390, height=844)
        bottom = browser.evaluate("document.querySelector('.card p').getBoundingClientRect().bottom")
        assert bottom < 844

    def test_a_click_sorts_and_a_key_turns_the_order(self, browser, path):
        browser.open(path)
        before = values(browser, "rows")
        assert len(before) == SEGMENTS
        browser.click(f"{head('rows')}.querySelector('button')")
        numbers = [int(value.replace(",", "")) for value in values(browser, "rows")]
        assert numbers == sorted(numbers, reverse=True)
        assert values(browser, "rows") != before
        assert browser.evaluate(f"{head('rows')}.getAttribute('aria-sort')") == "descending"
        browser.press("Enter", 13, "\r")
        assert browser.evaluate(f"{head('rows')}.getAttribute('aria-sort')") == "ascending"
        numbers = [int(value.replace(",", "")) for value in values(browser, "rows")]
        assert numbers == sorted(numbers)

    def test_missing_figures_come_last_either_way(self, browser, path):
        browser.open(path)
        for _ in range(2):
            browser.click(f"{head('NE gain, % (95 % interval)')}.querySelector('button')")
            found = values(browser, "NE gain, % (95 % interval)")
            assert found[-LACKING:] == ["–"] * LACKING
            numbers = [float(value.split(" ")[0].replace("−", "-")) for value in found[:-LACKING]]
            assert numbers == sorted(numbers, reverse=numbers[0] > numbers[-1])
            assert min(numbers) < 0 < max(numbers)

    def test_rows_can_be_chosen(self, browser, path):
        browser.open(path)
        tools = f"{TABLE}.closest('.table').querySelector('.tools')"
        browser.evaluate(
            f"(select => {{ select.value = 'click'; select.dispatchEvent(new Event('change')); }})"
            f"({tools}.querySelectorAll('select')[0])"
        )
        assert set(values(browser, "task")) == {"click"}
        browser.click(f"{tools}.querySelector('input')")
        for letter in "Bid":
            browser.press(letter, ord(letter.upper()), letter)
        assert len(values(browser, "task")) == 4
        assert browser.evaluate(f"{tools}.querySelector('output').textContent") == f"4 of {SEGMENTS} rows"

    def test_paper_shows_what_is_folded_and_no_tools(self, browser, path, tmp_path):
        browser.open(path, paper=True)
        assert browser.evaluate("getComputedStyle(document.querySelector('.tools')).display") == "none"
        assert browser.evaluate("getComputedStyle(document.querySelector('.scroll.long')).maxHeight") == "none"
        printed = browser.evaluate(f"{SHOWN}.filter(row => row.getClientRects().length).length")
        assert printed == 2 * (3 + 4 + 10)
        browser.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert browser.evaluate("document.querySelectorAll('details:not([open])').length") == 0
        browser.pdf(tmp_path / "page.pdf")
        assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")

    def test_all_is_there_without_scripts(self, browser, html, tmp_path):
        plain = tmp_path / "plain.html"
        plain.write_text(re.sub(r"<script>.*?</script>\n</body>", "</body>", html, flags=re.DOTALL), encoding="utf-8")
        browser.open(plain)
        assert browser.errors == []
        assert browser.evaluate("document.querySelectorAll('button, input, select, script').length") == 0
        assert len(values(browser, "rows")) == SEGMENTS


def rgb(color):
    return f"rgb({', '.join(str(int(color[place : place + 2], 16)) for place in (1, 3, 5))})"
