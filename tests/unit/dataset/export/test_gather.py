"""One image of many tasks is put together in one pass."""

from __future__ import annotations

from dataset.export.gather import Gatherer
from labeling.images import TaskImage
from labelstudio.bulk import TaskRow, WholeTask
from tests.unit.labelstudio.annotated import url

COUNT = 50


class CountedId(int):
    """Counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedId.compared += 1
        return int(self) == other

    __hash__ = int.__hash__


def test_a_task_is_not_compared_with_all_before_it() -> None:
    ids = [CountedId(number) for number in range(COUNT)]
    twice = [TaskImage("image", url("a.png"), 0), TaskImage("image", url("a.png"), 1)]
    gatherer = Gatherer(lambda _: twice, [TaskRow(one, {}, 0) for one in ids])
    for one in ids:
        gatherer.add(WholeTask(one, {}, ()), [], [])
    (held,) = gatherer.rest()
    assert held.tasks == list(range(COUNT))
    assert CountedId.compared < 10 * COUNT
