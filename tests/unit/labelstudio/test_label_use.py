"""What a change of a labeling configuration would orphan, and which renames fit."""

from __future__ import annotations

import pytest

from core.errors import SettingsError
from labelstudio.inside.labels import _renamed, _renamed_counts
from labelstudio.label_use import (
    Rename,
    Use,
    check_renames,
    described,
    image_keys_in,
    may_orphan,
    orphans,
    same_configuration,
)


def config(*labels: str, brush: str = "Brush", more: str = "") -> str:
    inside = "".join(f'<Label value="{label}"/>' for label in labels)
    return (
        f'<View><Labels name="label" toName="image">{inside}</Labels><{brush} name="brush" toName="image"/>{more}'
        '<Image name="image" value="$image"/></View>'
    )


USES = [
    Use("annotations", "brush", "brush", None, 12),
    Use("annotations", "label", "labels", "Car", 9),
    Use("drafts", "label", "labels", "Car", 1),
    Use("predictions", "label", "labels", "Road", 3),
    Use("annotations", "old", "brushlabels", "Gone", 5),
]


def test_a_label_that_goes_orphans_its_uses_and_no_others() -> None:
    lost = orphans(USES, config("Car", "Road"), config("Road", "Sky"), [])
    assert described(lost) == "Car: 9 in annotations, 1 in drafts"


def test_what_has_no_home_now_is_not_the_changes_fault() -> None:
    assert orphans(USES, config("Car", "Road"), config("Car", "Road", "Sky"), []) == []


def test_a_rename_gives_its_uses_a_home() -> None:
    renames = [Rename("Car", "Vehicle")]
    assert orphans(USES, config("Car", "Road"), config("Vehicle", "Road"), renames) == []


ALIASED = (
    '<View><BrushLabels name="brush" toName="image"><Label value="Vehicle" alias="veh"/><Label value="Road"/>'
    '</BrushLabels><Image name="image" value="$image"/></View>'
)


def in_brush(label: str, count: int = 12) -> Use:
    return Use("annotations", "brush", "brushlabels", label, count)


def test_alias_that_goes_orphans_its_uses() -> None:
    """Results carry the alias of a label, so the guard must compare it, and not the value that the editor shows."""
    without = ALIASED.replace('<Label value="Vehicle" alias="veh"/>', "")
    renamed = ALIASED.replace('alias="veh"', 'alias="car"')
    for new in (without, renamed):
        assert may_orphan(ALIASED, new)
        assert described(orphans([in_brush("veh")], ALIASED, new, [])) == "veh: 12 in annotations"
    assert orphans([in_brush("veh")], ALIASED, renamed, [Rename("veh", "car")]) == []


def test_label_of_a_repeated_tag_orphans_its_uses() -> None:
    """Its results carry the number of the entry, which no tag of the text has."""
    old, new = (
        f'<View><Repeater on="$pages"><BrushLabels name="brush_{{{{idx}}}}" toName="page_{{{{idx}}}}">{labels}'
        "</BrushLabels></Repeater></View>"
        for labels in ('<Label value="Car"/><Label value="Road"/>', '<Label value="Road"/>')
    )
    uses = [Use("annotations", f"brush_{at}", "brushlabels", label, 1) for at in (0, 12) for label in ("Car", "Road")]
    assert orphans(uses, old, new, []) == [uses[0], uses[2]]
    assert orphans(uses, old, new, [Rename("Car", "Road")]) == []


def test_another_value_of_an_alias_orphans_nothing() -> None:
    """The value is what people see; results do not change with it."""
    shown = ALIASED.replace('value="Vehicle"', 'value="Vehículo"')
    assert orphans([in_brush("veh")], ALIASED, shown, []) == []


def test_a_label_that_gets_an_alias_is_renamed() -> None:
    plain = ALIASED.replace(' alias="veh"', "")
    assert described(orphans([in_brush("Vehicle")], plain, ALIASED, [])) == "Vehicle: 12 in annotations"
    check_renames([Rename("Vehicle", "veh")], ALIASED)
    assert orphans([in_brush("Vehicle")], plain, ALIASED, [Rename("Vehicle", "veh")]) == []


def test_a_value_in_place_of_an_alias_is_kept() -> None:
    """The editor finds a label by its value too: such a result has a home as long as the value is there."""
    more = ALIASED.replace('<Label value="Road"/>', '<Label value="Road"/><Label value="Sky"/>')
    assert orphans([in_brush("Vehicle")], ALIASED, more, []) == []
    without = ALIASED.replace('<Label value="Vehicle" alias="veh"/>', "")
    assert described(orphans([in_brush("Vehicle")], ALIASED, without, [])) == "Vehicle: 12 in annotations"


def test_keys_that_images_are_shown_by() -> None:
    shown = ALIASED.replace('value="$image"', 'value="/data/local-files/?d=$folder/$file"')
    assert image_keys_in(shown) == {"folder", "file"}
    assert image_keys_in(ALIASED.replace("$image", "$pages[0].url")) == {"pages"}
    assert image_keys_in("not XML") == frozenset()


def test_renames_are_checked_by_alias() -> None:
    check_renames([Rename("lorry", "veh")], ALIASED)
    with pytest.raises(SettingsError, match=r"has no label 'Vehicle' \(there are: Road, veh\)"):
        check_renames([Rename("lorry", "Vehicle")], ALIASED)
    with pytest.raises(SettingsError, match="still has the label 'veh'"):
        check_renames([Rename("veh", "Road")], ALIASED)


def test_labels_of_the_task_have_a_home_while_they_are_dynamic() -> None:
    dynamic = ALIASED.replace("<BrushLabels ", '<BrushLabels value="$names" ')
    assert orphans([in_brush("Any")], dynamic, dynamic, []) == []
    assert may_orphan(dynamic, ALIASED)
    assert described(orphans([in_brush("Any")], dynamic, ALIASED, [])) == "Any: 12 in annotations"


def test_a_tool_of_another_type_orphans_what_it_made() -> None:
    lost = orphans(USES, config("Car", "Road"), config("Car", "Road", brush="Bitmask"), [])
    assert described(lost) == "(tool brush): 12 in annotations"


@pytest.mark.parametrize(
    ("new", "answer"),
    [
        (config("Car", "Road", "Sky"), False),
        (config("Road", "Car"), False),
        (config("Car"), True),
        (config("Car", "Road", brush="Bitmask"), True),
    ],
)
def test_only_a_change_that_takes_something_away_is_counted(new: str, answer: bool) -> None:
    assert may_orphan(config("Car", "Road"), new) is answer


def test_white_space_and_comments_make_no_other_configuration() -> None:
    one = config("Car")
    assert same_configuration(one, one.replace("><", ">\n  <!-- a comment -->\n  <") + "\n")
    assert not same_configuration(one, config("Cars"))
    assert same_configuration("no XML", "no XML ")
    assert not same_configuration(one, "<View>\ud800</View>")


@pytest.mark.parametrize(
    ("renames", "message"),
    [
        (["Car=Lorry"], "has no label 'Lorry' (there are: Road, Vehicle)"),
        (["Road=Vehicle"], "still has the label 'Road'"),
        (["Car=Vehicle", "Car=Road"], "one label was given two new names"),
    ],
)
def test_a_rename_that_does_not_fit_is_refused(renames: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_renames([Rename.parse(one) for one in renames], config("Vehicle", "Road"))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["Car", "=New", "Old=", "Car=Car", " = "])
def test_a_rename_must_be_two_labels(text: str) -> None:
    with pytest.raises(SettingsError, match="must be OLD=NEW"):
        Rename.parse(text)


def test_labels_are_renamed_wherever_a_result_has_them() -> None:
    results = [
        {"id": "a", "type": "labels", "value": {"labels": ["Car", "Road"], "rle": [1]}},
        {"id": "b", "type": "brushlabels", "value": {"brushlabels": ["Car"], "text": "Car"}},
        {"type": "relation", "labels": ["Car"], "from_id": "a"},
        "no result",
    ]
    assert _renamed(results, {"Car": "Vehicle"}) == [
        {"id": "a", "type": "labels", "value": {"labels": ["Vehicle", "Road"], "rle": [1]}},
        {"id": "b", "type": "brushlabels", "value": {"brushlabels": ["Vehicle"], "text": "Car"}},
        {"type": "relation", "labels": ["Car"], "from_id": "a"},
        "no result",
    ]
    assert _renamed(results, {"Sky": "Heaven"}) is None
    assert _renamed(None, {"Car": "Vehicle"}) is None


def test_two_labels_that_become_one() -> None:
    """The label is there once, and the counts are added."""
    result = [{"type": "labels", "value": {"labels": ["Car", "Lorry"]}}]
    names = {"Car": "Vehicle", "Lorry": "Vehicle"}
    assert _renamed(result, names) == [{"type": "labels", "value": {"labels": ["Vehicle"]}}]
    assert _renamed_counts({"label": {"Car": 2, "Lorry": 3, "Sky": 1}}, names) == {"label": {"Vehicle": 5, "Sky": 1}}
