"""Pictures of lines on a page: gaps, intervals, axes, and how they look in a browser."""

import re

import numpy as np
import pytest

from grouprank.reports import LineChart, ReportPage
from grouprank.reports.page.theme import COLORS

DAYS = [f"2024-01-{day:02d}" for day in range(1, 25)]
VARIANTS = ["aged", "frozen", "growing", "hashed", "retrained"]


def chart(lines, x=("a", "b", "c"), **arguments):
    return LineChart("click", "day", "NE", list(x), lines, **arguments)


def make_page():
    """Everything that a chart may hold: gaps, a line without a value, intervals, long names, large numbers."""
    rng = np.random.default_rng(0)
    entropies = {name: list(rng.normal(0.9, 0.01, len(DAYS))) for name in VARIANTS}
    entropies["aged"][5:7] = [None, float("nan")]
    gains = rng.normal(1.0, 0.3, len(DAYS)).tolist()
    around = [None, *((gain - 0.4, gain + 0.4) for gain in gains[1:])]
    used = {"used": np.arange(24) * 90_000.0, "capacity": [1_900_000.0] * 24, "none": [None] * 24}
    page = ReportPage("Lines")
    page.add_lines(
        "By day",
        [
            LineChart("click", "day", "NE", DAYS, entropies, baseline="retrained"),
            LineChart(
                "gain", "days", "NE gain, %", list(range(24)), {"growing": gains}, {"growing": around}, levels=[0.0]
            ),
            LineChart("ids", "day", "tokens", DAYS, used, baseline="capacity", digits=0),
            LineChart(
                "<b>names</b>", "period", "rows", [f"a very long period {n}" for n in range(3)], {"x": [1, 2, 3]}
            ),
            LineChart("nothing", "day", "NE", DAYS, {"aged": [None] * 24}),
        ],
        "Days **without** labels are gaps.",
    )
    return page


@pytest.fixture(scope="module")
def html():
    return make_page().to_html()


@pytest.fixture(scope="module")
def pictures(html):
    return re.findall(r"<svg.*?</svg>", html, re.DOTALL)


def texts(picture):
    return [re.sub("<[^>]*>", "", text) for text in re.findall(r"<text[^>]*>(.*?)</text>", picture, re.DOTALL)]


def test_a_section_has_a_picture_and_a_table_of_each_chart(html, pictures):
    assert len(pictures) == 4  # nothing is drawn of the chart without a value
    captions = re.findall(r"<details><summary>(.*?)</summary>", html)
    assert captions == [
        "click: NE by day",
        "gain: NE gain, % by days",
        "ids: tokens by day",
        "&lt;b&gt;names&lt;/b&gt;: rows by period",
        "nothing: NE by day",
    ]
    assert "<strong>without</strong>" in html
    assert make_page().to_html() == html


def test_axes_have_labels_with_units_and_a_legend(pictures):
    assert {"NE", "day", *VARIANTS} <= set(texts(pictures[0]))
    assert {"NE gain, %", "days"} <= set(texts(pictures[1]))
    assert "growing" not in texts(pictures[1])  # one line needs no legend
    assert {"500k", "1M", "1.5M", "capacity"} <= set(texts(pictures[2]))
    assert "none" not in texts(pictures[2])


def ticks(drawn):
    return [text for text in texts(drawn) if re.fullmatch(r"[−0-9.k]+", text)]


def test_counts_begin_at_zero_and_have_whole_ticks():
    assert ticks(chart({"x": [0, 0, 0]}, digits=0).draw("f")) == ["0", "1"]
    assert ticks(chart({"x": [1400, 1600, 1500]}, digits=0).draw("f"))[0] == "0"
    assert "0" not in ticks(chart({"x": [1400, 1600, 1500]}).draw("f"))


def test_a_logarithmic_axis_shows_figures_of_different_sizes():
    assert ticks(chart({"x": [0.002, 0.0, 15.0]}, logarithmic=True).draw("f")) == [
        *("0.003", "0.01", "0.03", "0.1", "0.3", "1", "3", "10")
    ]


def test_labels_of_days_stand_apart_and_name_the_month(pictures):
    days = [text for text in texts(pictures[0]) if text.endswith("Jan")]
    assert days[0] == "1 Jan"
    assert 4 <= len(days) <= 8


def test_the_text_alternative_says_where_lines_begin_and_end():
    drawn = chart({"old": [None, 0.9, 0.8], "new, too": [0.9, 0.7, 0.6]}).draw("f")
    assert 'aria-label="click: NE by day. First and last values: “old” from 0.900 to 0.800; and “new, too” ' in drawn


def line_of(picture):
    """The commands of the longest line, as matplotlib writes them: M begins a line, L goes on with it."""
    paths = re.findall(r'<path d="([^"]*)"[^>]*clip-path', picture)
    return re.findall("[ML]", max(paths, key=len))


@pytest.mark.parametrize("gap", [None, float("nan")])
def test_a_gap_parts_a_line(gap):
    whole, parted = (chart({"x": [1, 2, value, 3, 4]}, "abcde").draw("f") for value in (2.5, gap))
    assert line_of(whole) == list("MLLLL")
    assert line_of(parted) == list("MLML")


def test_cells_hold_figures_and_intervals():
    found = chart(
        {"growing": [1.234, None, -0.5], "rows": [12_345, 2, float("nan")]},
        intervals={"growing": [(1.0, 1.5), None, None]},
        signs=True,
        digits=1,
    ).cells()
    assert found == [("a", "+1.2 (+1.0 to +1.5)", "+12345.0"), ("b", "–", "+2.0"), ("c", "−0.5", "–")]
    assert chart({"rows": [12_345, 2, -3]}, (1, 2.5, 3), digits=0).cells()[:2] == [("1", "12,345"), ("2.5", "2")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lines": {"x": [1, 2]}}, r"for each of its 3 places .*with another number of values: {'x': 2}"),
        ({"lines": {}}, "at least one line"),
        ({"lines": {}, "x": []}, "at least one line"),
        ({"lines": {"x": [1, 2, 3]}, "intervals": {"y": [None] * 3}}, r"intervals without a line: \['y'\]"),
        ({"lines": {str(n): [1, 2, 3] for n in range(8)}}, "at most 7 lines and a baseline"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        chart(**arguments)


@pytest.fixture(scope="module")
def path(html, tmp_path_factory):
    path = tmp_path_factory.mktemp("lines") / "page.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1280, True)])
def test_pictures_fit_the_screen_and_take_its_colours(browser, path, width, dark):
    browser.open(path, width=width, dark=dark)
    assert browser.errors == []
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    beyond = browser.evaluate(
        "[...document.querySelectorAll('figure svg text')].map(text => { const box = text.getBoundingClientRect(),"
        " around = text.closest('figure').getBoundingClientRect();"
        " return Math.max(box.right - around.right, around.left - box.left); })"
    )
    assert max(beyond) <= 0.5
    color = browser.evaluate(
        "getComputedStyle([...document.querySelectorAll('figure svg path')]"
        ".find(p => p.getAttribute('style')?.includes('--series-2'))).stroke"
    )
    wanted = COLORS["series-2"][dark]
    assert color == f"rgb({', '.join(str(int(wanted[place : place + 2], 16)) for place in (1, 3, 5))})"


def test_labels_on_an_axis_do_not_overlap(browser, path):
    browser.open(path, width=390)
    overlaps = browser.evaluate(
        "[...document.querySelectorAll('figure svg')].flatMap(svg => { const boxes = [...svg.querySelectorAll('text')]"
        ".map(text => text.getBoundingClientRect()); return boxes.flatMap((a, i) => boxes.slice(i + 1).map(b =>"
        " Math.min(Math.min(a.right, b.right) - Math.max(a.left, b.left),"
        " Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)))); })"
    )
    assert max(overlaps) < 1.0
