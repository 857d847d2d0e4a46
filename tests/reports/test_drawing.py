"""The picture itself: places by closed form, labels that lie on nothing."""

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.draw.labels import Box, places
from reports.draw.style import Look, series
from reports.draw.svg import SHAPES, Axis, Plot, around, log_ticks, ticks

AREA = Box(50, 10, 500, 280)
SPOTS = st.tuples(st.floats(60, 490), st.floats(20, 270))


def test_values_stand_where_they_belong() -> None:
    plot = Plot(200, 100, Axis(1, 100, log=True), Axis(0, 1), left=20, right=30, top=10, bottom=10)
    assert [plot.px(v) for v in (1, 10, 100)] == pytest.approx([20, 95, 170])
    assert [plot.py(v) for v in (0, 0.5, 1)] == pytest.approx([90, 50, 10])


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_within(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert len(found) <= 7
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in found)


def test_log_ticks() -> None:
    assert log_ticks(900, 25_000) == [1000, 2000, 5000, 10_000, 20_000]


@given(st.lists(st.floats(-1e9, 1e9), max_size=8))
def test_an_axis_holds_its_values(values: list[float]) -> None:
    axis = around(values)
    assert axis.high > axis.low
    assert all(axis.low <= value <= axis.high for value in values)


@given(st.lists(SPOTS, min_size=1, max_size=25), st.lists(SPOTS, max_size=25))
def test_no_label_stands_on_a_marker_or_on_another_label(
    named: list[tuple[float, float]], others: list[tuple[float, float]]
) -> None:
    obstacles = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in (*named, *others)]
    boxes = [b for b in places([(spot, "95%") for spot in named], obstacles, AREA) if b is not None]
    for i, box in enumerate(boxes):
        assert not any(box.meets(other) for other in (*obstacles, *boxes[:i]))
        assert AREA.left <= box.left
        assert box.right <= AREA.right
        assert AREA.top <= box.top
        assert box.bottom <= AREA.bottom


def test_where_there_is_no_room_there_is_no_label() -> None:
    assert places([((100.0, 100.0), "x")], [AREA], AREA) == [None]


def test_marks_say_what_they_are_and_text_is_text() -> None:
    plot = Plot(100, 100, Axis(0, 1), Axis(0, 1))
    plot.mark(0.5, 0.5, series(0), "a<b & “c”", variants=[3])
    plot.text(1, 2, "</text><script>")
    root = ET.fromstring(plot.svg("an <alt>"))
    path, text = list(root)
    assert (path[0].text, path.attrib["data-v"]) == ("a<b & “c”", "3")
    assert text.text == "</text><script>"
    assert root.attrib["aria-label"] == "an <alt>"


@pytest.mark.parametrize("marker", [*SHAPES, "o"])
def test_a_marker_lies_around_its_point(marker: str) -> None:
    plot = Plot(100, 100, Axis(0, 1), Axis(0, 1), left=0, right=0, top=0, bottom=0)
    plot.mark(0.5, 0.5, Look("--ink", (), marker), size=10)
    start = plot.svg("").split('<path d="M')[1].split("l")[0].split("a")[0]
    assert math.dist([float(part) for part in start.split()], (50, 50)) <= 19
