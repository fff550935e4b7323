from grouprank.benchmarks.support import bar_figure, line_figure


def test_bars_have_labels_numbers_and_a_legend():
    figure = bar_figure({"ours": 2000.0, "theirs": 1000.0}, "rows per second", {"ours": "a", "theirs": "b"})
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ours", "theirs"]
    assert axes.get_xlabel() == "rows per second"
    assert [text.get_text() for text in axes.texts] == [" 2,000", " 1,000"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_bars_alone_need_no_legend():
    figure = bar_figure({"ours": 0.5}, "s", ranges={"ours": (0.4, 0.6)}, log=True, digits=2)
    assert figure.legends == []
    assert figure.axes[0].get_xscale() == "log"
    assert list(figure.axes[0].lines[0].get_xdata()) == [0.4, 0.6]


def test_lines_share_colours_between_panels():
    points = {1e4: 200.0, 1e7: 210.0}
    figure = line_figure({"JAX": {"fused": points}, "torch": {"stock": points, "fused": points}}, "rows", "ms")
    jax, torch = figure.axes
    assert (jax.get_title(), torch.get_title()) == ("JAX", "torch")
    assert jax.lines[0].get_color() == torch.lines[1].get_color() != torch.lines[0].get_color()
    assert list(jax.lines[0].get_xdata()) == [1e4, 1e7]
    assert (jax.get_ylabel(), jax.get_xlabel(), jax.get_xscale()) == ("ms", "rows", "log")
    assert sorted(text.get_text() for text in figure.legends[0].get_texts()) == ["fused", "stock"]
