"""A draft for whoever made an annotation: Label Studio's API makes drafts for the caller only, and shows each person
their own."""

from __future__ import annotations

from typing import Any

from labelstudio.inside.django_side import Refused, get, in_transaction, say, serve


def main(asked: str) -> None:
    """Make one draft: `task`, `source` (the annotation whose maker gets it), `on` (the annotation of the task that it
    changes, or null for a new one) and `result`. Tells what was `found`: `nothing` (it is made), `ours` (a draft with
    these regions), `theirs` (a draft of their own), `no account` (the annotation has no maker)."""
    serve(_work, asked)


def _work(asked: dict[str, Any]) -> None:
    say(**in_transaction(lambda: _make(asked)))


def _make(asked: dict[str, Any]) -> dict[str, Any]:
    tasks = get("tasks.models", "Task").objects.filter(pk=asked["task"])
    if not tasks.update(overlap=get("django.db.models", "F")("overlap")):  # a write first, which changes nothing
        raise Refused(f"there is no task {asked['task']} any more")
    source = get("tasks.models", "Annotation").objects.filter(pk=asked["source"]).first()
    person = None if source is None else source.completed_by
    if person is None:
        return {"found": "no account", "person": None}
    drafts = get("tasks.models", "AnnotationDraft").objects
    wanted = _regions(asked["result"])
    there = [
        _regions(one) for one in drafts.filter(task_id=asked["task"], user=person).values_list("result", flat=True)
    ]
    if there:
        return {"found": "ours" if any(wanted <= one for one in there) else "theirs", "person": person.email}
    drafts.create(task_id=asked["task"], annotation_id=asked["on"], user=person, result=asked["result"])
    return {"found": "nothing", "person": person.email}


def _regions(result: Any) -> set[str]:
    """The ids of the regions that were carried over."""
    found = result if isinstance(result, list) else []
    return {str(one.get("id")) for one in found if isinstance(one, dict) and _is_carried(one)}


def _is_carried(one: dict[str, Any]) -> bool:
    texts = (one.get("meta") or {}).get("text") if isinstance(one.get("meta"), dict) else None
    return isinstance(texts, list) and any(str(text).startswith("from ") for text in texts)
