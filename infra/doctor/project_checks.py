"""The links of the work: token, project, storage, and one image in both containers."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from core.errors import LabelrigError
from hosts.looking import is_file, is_folder
from infra.doctor.diagnosis import Finding, broken, ok, warning
from infra.doctor.inside import FileSeen, digest, first_image
from infra.doctor.inspection import Inspection
from infra.roles.project.backend_token import ACCOUNT, held_token
from infra.roles.stack.image_folders import FILES_ROOT, ImageFolder
from labelstudio.image_files import path_in, split_url
from labelstudio.models import TaskRef
from labelstudio.session import token_owner, token_works
from labelstudio.wanted_tasks import is_our_filter

if TYPE_CHECKING:
    from docker.models.containers import Container

LOOK_TIMEOUT = 8.0
TASKS_TRIED = 20


def check_token(look: Inspection) -> Finding:
    """A token is kept and Label Studio takes it, and the backend has one of its own account."""
    access = look.access
    if access.api_key is None:
        return broken(f"{look.site.env_file} holds no LABEL_STUDIO_API_KEY", f"{look.again} makes one")
    if not token_works(access.base_url, access.api_key, access.transport):
        return broken("Label Studio does not accept the stored token", f"{look.again} makes another one")
    if not look.healthy(look.site.computes):
        seen = f"the backend's own was not looked at ({look.site.computes} does not run)"
        return ok(f"Label Studio accepts it; {seen}")
    held = held_token(look.exec_in_backend)
    if held is None:
        return broken("the backend has no readable token of its own", f"{look.again} makes one and hands it over")
    owner = token_owner(access.base_url, held, access.transport)
    if owner is None:
        return broken("Label Studio does not accept the backend's token", f"{look.again} makes another one")
    if owner != ACCOUNT:
        return broken(f"the backend has the token of {owner}", f"{look.again} gives it one of an account of its own")
    return ok(f"Label Studio accepts it, and the backend's own, of {ACCOUNT}")


def check_project(look: Inspection) -> Finding:
    """The project is there with its labeling configuration and tasks."""
    spec = look.spec
    try:
        project = look.project()
    except LabelrigError as error:
        return broken(str(error), f"{look.again} makes it")
    if not project.task_count:
        return broken(f"project {project.id} {spec.title!r} has no tasks", f"{look.again} syncs the image folder")
    shown = f"project {project.id} {spec.title!r}, {project.task_count} tasks"
    if project.label_config.strip() != spec.labeling.text.strip():
        return warning(
            f"{shown}: its labeling configuration is not {spec.config}/v{spec.version}",
            f"{look.again} puts it back; to keep what was changed in the browser, make it a new version in "
            "labeling_configs/",
        )
    if not project.show_collab_predictions:
        return warning(
            f"{shown}: it does not call the model when a task opens, so the first click of each image is slow",
            f"{look.again} switches it on",
        )
    return ok(f"{shown}, {spec.config}/v{spec.version}")


def check_storage(look: Inspection) -> Finding:
    """The folder is connected, mounted in every container that reads it, and readable to their user."""
    folder = look.folder()
    if (wrong := _not_connected(look, folder)) is not None:
        return wrong
    if not is_folder(look.host, folder.path, LOOK_TIMEOUT):
        return broken(
            f"{folder.path} is not there on {look.host.name}",
            f"mount it there ({look.by_hand('findmnt -T ' + folder.path)} shows what is), then {look.again}",
        )
    for service in look.site.files.readers:
        container = look.container(service)
        if container is None or not look.healthy(service):
            continue
        if not _is_mounted(container, folder):
            return broken(f"{folder.mount} is not mounted in {service}", f"{look.again} mounts it")
        seen = first_image(look.exec_in(service), folder.mount, look.spec.images_filter)
        if seen.error or seen.path is None:
            return _unreadable(look, folder, service, seen)
    return ok(f"{folder.path} is {folder.mount} in every container that reads it, and readable")


def check_image(look: Inspection) -> Finding:
    """One task's image comes out of Label Studio, decodes, and is the same file for the backend."""
    folder = look.folder()
    found = _task_with_image(look, folder)
    if found is None:
        return broken(
            f"none of the first {TASKS_TRIED} tasks has an image that is still in {folder.path}",
            f"put the files back, or {look.again} to sync the folder",
        )
    task, path = found
    parts = split_url(task.image)  # a host in it is what LABEL_STUDIO_HOST once was, and need not lead here
    content = look.client.download(f"{parts.path}?{parts.query}")
    if (problem := _undecodable(content)) is not None:
        return broken(f"the image of task {task.id} ({path}) is no readable image: {problem}", "replace the file")
    seen = digest(look.exec_in_backend, f"{folder.mount}/{path}")
    if seen.error:
        return _unreadable(look, folder, look.site.computes, seen)
    if seen.sha256 != hashlib.sha256(content).hexdigest():
        return broken(f"the two containers see different files as {path}", f"{look.again} mounts the folder anew")
    return ok(f"{path} of task {task.id}: served, decodes, and the backend reads the same {len(content)} bytes")


def _not_connected(look: Inspection, folder: ImageFolder) -> Finding | None:
    container = look.container("label-studio")
    root = _variable(container, "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT") if container is not None else FILES_ROOT
    if PurePosixPath(root) not in PurePosixPath(folder.mount).parents:
        return broken(f"{folder.mount} is no folder below Label Studio's document root {root or '(none)'}", look.again)
    storages = look.client.storages(look.project().id)
    ours = [one for one in storages if one.path.rstrip("/") == folder.mount]
    if not ours:
        others = ", ".join(one.path for one in storages) or "none"
        return broken(f"no storage of the project is {folder.mount} (there are: {others})", f"{look.again} connects it")
    if len(ours) > 1:
        return warning(f"{folder.mount} is connected {len(ours)} times", f"{look.again} keeps one")
    if not is_our_filter(look.spec, ours[0].regex_filter) or not ours[0].use_blob_urls:
        return warning(f"the storage {folder.mount} has another filter or import method", f"{look.again} corrects it")
    return None


def _variable(container: Container, name: str) -> str:
    for entry in container.attrs["Config"].get("Env") or []:
        key, _, value = str(entry).partition("=")
        if key == name:
            return value
    return ""


def _is_mounted(container: Container, folder: ImageFolder) -> bool:
    inside = PurePosixPath(folder.mount)
    mounts = [PurePosixPath(str(one.get("Destination"))) for one in container.attrs.get("Mounts") or []]
    return any(one in (inside, *inside.parents) for one in mounts)


def _unreadable(look: Inspection, folder: ImageFolder, service: str, seen: FileSeen) -> Finding:
    if not seen.error:
        return broken(
            f"{service} sees no image in {folder.mount} that matches {look.spec.images_filter!r}",
            f"{look.by_hand('ls ' + folder.path)}; where it is a share that was mounted after the containers "
            f"started, {look.by_hand('docker restart ' + _container_name(look, service))}",
        )
    there = _on_host(folder, seen.path or folder.mount)
    if seen.error == "PermissionError":
        return broken(
            f"the user of {service} (uid {seen.uid}) may not read {there}",
            look.by_hand(f"chmod -R o+rX {folder.path}"),
        )
    return broken(
        f"{service} cannot read {there}: {seen.said}",
        f"{look.by_hand('ls ' + folder.path)}; is the share still mounted there? Then "
        f"{look.by_hand('docker restart ' + _container_name(look, service))}",
    )


def _on_host(folder: ImageFolder, path: str) -> str:
    inside = os.path.relpath(path, folder.mount)
    return folder.path if inside == "." else f"{folder.path}/{inside}"


def _container_name(look: Inspection, service: str) -> str:
    container = look.container(service)
    return str(container.name) if container is not None else service


def _task_with_image(look: Inspection, folder: ImageFolder) -> tuple[TaskRef, str] | None:
    """A task and the path of its image below the folder; one whose file was deleted says nothing about the chain."""
    for number, task in enumerate(look.client.tasks(look.project().id, look.spec.labeling.images[0])):
        if number == TASKS_TRIED:
            return None
        path = path_in(folder.name, task.image)
        if path is not None and is_file(look.host, f"{folder.path}/{path}"):
            return task, path
    return None


def _undecodable(content: bytes) -> str | None:
    from masks.pictures import PictureError, opened

    try:
        with opened(io.BytesIO(content)) as picture:
            picture.load()
    except PictureError as error:
        return " ".join(str(error).split())
    return None
