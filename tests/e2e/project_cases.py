"""What the project stage must do on a real Label Studio: stay still when all is well, and heal what is not.

The cases take a `stage` fixture, so that they run on the containers of the end-to-end suite and, while developing, on
any Label Studio (tests/integration/labelstudio). Each case works in a project of its own.
"""

from __future__ import annotations

import dataclasses
import io
import shutil
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from core.errors import ProofFailed
from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from infra.config.dotenv import read_env_file, update_env_file
from infra.config.settings import Settings
from infra.roles.project.project import get_project
from infra.roles.project.role import ProjectContext, project_role
from infra.roles.project.token import ApiKeyPresent
from infra.roles.project.verify import verify
from labeling.image_names import file_pattern
from labelstudio.access import Access
from labelstudio.client import Client
from labelstudio.config import ProjectSpec, load_labeling
from labelstudio.image_files import path_in
from labelstudio.models import Storage
from labelstudio.password_record import PasswordRecord
from labelstudio.session import SignInRefused, reset_password, sign_in, token_works


@dataclass(frozen=True)
class Stage:
    """The project stage of one stack."""

    settings: Settings
    spec: ProjectSpec
    ctx: ProjectContext

    @property
    def client(self) -> Client:
        return self.ctx.access.client()

    @property
    def storage_path(self) -> str:
        return f"{self.ctx.files_root}/{self.ctx.folder.name}"

    def apply(self, spec: ProjectSpec | None = None) -> list[str]:
        """Run the stage; return what it changed."""
        report = Report(io.StringIO())
        with report.stage("project"):
            converge(project_role(spec or self.spec, self.ctx), report)
        return report.stages[0].changed

    def images(self) -> list[str]:
        """The images of all tasks, as paths below the folder."""
        tasks = self.client.tasks(self.project_id, self.spec.labeling.images[0])
        return sorted(path_in(self.ctx.folder.name, task.image) or task.image for task in tasks)

    @property
    def project_id(self) -> int:
        return get_project(self.client, self.spec.title).id


@pytest.fixture
def own(stage: Stage) -> Iterator[Stage]:
    """The stage with a project that nobody else uses, applied once and removed afterwards."""
    title = f"Test {uuid.uuid4().hex[:12]}"
    one = dataclasses.replace(stage, spec=dataclasses.replace(stage.spec, title=title))
    one.apply()
    yield one
    for project in one.client.projects(title):
        one.client.sdk.projects.delete(project.id)


@pytest.fixture
def new_image(stage: Stage) -> Iterator[str]:
    """A file that appears in the image folder, with a name that needs encoding."""
    name = f"nueva señal {uuid.uuid4().hex[:6]} #1 50%.png"
    path = Path(stage.ctx.folder.path) / name
    Image.new("RGB", (32, 24), (200, 40, 40)).save(path)
    path.chmod(0o644)
    yield name
    path.unlink()


@pytest.fixture
def many_images(stage: Stage) -> Iterator[list[str]]:
    """A folder of tiny images that appears in the image folder."""
    folder = Path(stage.ctx.folder.path) / f"vuelo Ñ {uuid.uuid4().hex[:6]}"
    folder.mkdir()
    folder.chmod(0o755)
    for number in range(400):
        path = folder / f"{number:04} á.png"
        Image.new("RGB", (8, 8), (number % 256, 0, 0)).save(path)
        path.chmod(0o644)
    yield [f"{folder.name}/{path.name}" for path in folder.iterdir()]
    shutil.rmtree(folder)


@pytest.fixture
def server_files(own: Stage) -> Iterator[list[str]]:
    """A folder that appears after the first run, with files as servers and systems leave them; what images are."""
    folder = Path(own.ctx.folder.path) / f"NAS {uuid.uuid4().hex[:6]}"
    folder.mkdir()
    folder.chmod(0o755)
    images, others = ["a.png", "B.PNG"], ["._a.png", ".b.png", "a.png.txt", "a.png~", "d.png.part", "~$a.png"]
    for name in (*images, *others, "SYNOFILE_THUMB_M.png"):
        Image.new("RGB", (8, 8)).save(folder / name, "PNG")
        (folder / name).chmod(0o644)
    yield [f"{folder.name}/{name}" for name in images]
    shutil.rmtree(folder)


def test_a_second_run_changes_nothing(own: Stage) -> None:
    assert own.apply() == []
    assert own.images() == sorted(path.name for path in Path(own.ctx.folder.path).glob("*.png"))


def test_a_new_image_becomes_one_task(own: Stage, new_image: str) -> None:
    before = own.images()
    assert own.apply() == [f"sync 1 new images ({new_image})"]
    assert own.images() == sorted([*before, new_image])
    assert own.apply() == []


def test_a_press_on_sync_in_the_browser_adds_nothing(own: Stage, new_image: str) -> None:
    own.apply()
    before = own.images()
    storage = own.client.storages(own.project_id)[0]

    assert own.client.sdk.import_storage.local.sync(storage.id).status == "completed"

    assert own.images() == before
    row = own.client.sdk.import_storage.local.get(storage.id)
    assert row.last_sync_count == 0
    assert row.meta is not None
    assert row.meta["tasks_existed"] == len(before)
    assert new_image in before


def test_sync_in_the_browser_takes_what_we_take(own: Stage, server_files: list[str]) -> None:
    """Label Studio's own matching of names against ours; what it cannot leave out, it never sees."""
    before = own.images()
    (storage,) = own.client.storages(own.project_id)
    assert own.client.sdk.import_storage.local.sync(storage.id).status == "completed"
    assert own.images() == sorted([*before, *server_files])
    assert own.apply() == []

    folder = Path(own.ctx.folder.path, Path(server_files[0]).parent)
    for path in ("@eaDir/SYNOFILE_THUMB_M.png", "#recycle/c.png", ".Trash-1000/files/c.png", "__MACOSX/d.png"):
        (folder / path).parent.mkdir(parents=True)
        shutil.copyfile(folder / "a.png", folder / path)
    assert own.apply() == [f"correct the storage {own.storage_path}"]
    assert own.client.sdk.import_storage.local.sync(storage.id).status == "completed"
    assert own.images() == sorted([*before, *server_files])


def test_a_storage_that_was_made_by_hand_gets_to_know_the_tasks(own: Stage) -> None:
    before = own.images()
    storage = own.client.storages(own.project_id)[0]
    own.client.delete_storage(storage.id)
    own.client.create_storage(own.project_id, storage)

    assert len(own.apply()) == 1

    own.client.sdk.import_storage.local.sync(own.client.storages(own.project_id)[0].id)
    assert own.images() == before


def test_images_are_taken_in_while_people_save_annotations(own: Stage, many_images: list[str]) -> None:
    """On SQLite Label Studio's own sync fails as soon as somebody saves."""
    task = next(own.client.tasks(own.project_id, own.spec.labeling.images[0]))
    stop = threading.Event()
    with ThreadPoolExecutor(1) as people:
        saving = people.submit(_save_until, own, task.id, stop)
        try:
            assert own.apply()[0].startswith(f"sync {len(many_images)} new images")
        finally:
            stop.set()
        saved = saving.result(60)
    assert saved >= 3
    assert set(many_images) <= set(own.images())
    assert own.apply() == []


def _save_until(stage: Stage, task_id: int, stop: threading.Event) -> int:
    ours = stage.ctx.access
    access = Access(ours.base_url, ours.username, ours.password, ours.api_key)
    count = 0
    try:
        while not stop.is_set():
            access.client().sdk.annotations.create(task_id, result=[])
            count += 1
    finally:
        access.close()
    return count


def test_a_remade_storage_does_not_double_the_tasks(own: Stage, new_image: str) -> None:
    before = own.images()
    storage = own.client.storages(own.project_id)[0]
    task = next(own.client.tasks(own.project_id, own.spec.labeling.images[0]))
    annotation = own.client.sdk.annotations.create(task.id, result=[])
    own.client.delete_storage(storage.id)

    assert own.apply() == [
        f"connect the folder {own.storage_path} to {own.spec.title}",
        f"sync 1 new images ({new_image})",
    ]

    assert own.images() == sorted([*before, new_image])
    assert annotation.id is not None
    assert own.client.sdk.annotations.get(annotation.id).task == task.id
    assert own.apply() == []


def test_second_storages_and_changed_filters_are_corrected(own: Stage) -> None:
    first = own.client.storages(own.project_id)[0]
    wrong = Storage(0, "by hand", own.storage_path, ".*jpg", use_blob_urls=True, recursive_scan=False)
    second = own.client.create_storage(own.project_id, wrong)
    own.client.update_storage(own.project_id, first.id, dataclasses.replace(first, regex_filter=".*tif"))

    assert own.apply() == [
        f"correct the storage {own.storage_path}",
        f"disconnect storage {second}, a second one on {own.storage_path} (its tasks stay)",
    ]

    left = own.client.storages(own.project_id)
    expected = (first.id, file_pattern(".*png"), True)
    assert [(one.id, one.regex_filter, one.recursive_scan) for one in left] == [expected]


def test_a_doubled_backend_is_removed_the_other_interactive(own: Stage) -> None:
    """A doubled backend is removed and the other made interactive."""
    url = own.ctx.backend_url
    kept = own.client.backends(own.project_id)[0]
    login = own.ctx.backend_login
    second = own.client.add_backend(own.project_id, f"{url}/", "by hand", login=login)
    own.client.update_backend(own.project_id, kept.id, url, "renamed", interactive=False, login=login)

    assert own.apply() == [
        f"remove ML backend {second}, a second one at {url}/",
        f"make the ML backend {url} interactive and call it {own.spec.backend_title}",
    ]

    left = own.client.backends(own.project_id)
    assert [(one.id, one.title, one.is_interactive, one.state) for one in left] == [
        (kept.id, own.spec.backend_title, True, "CO")
    ]


def test_settings_changed_in_the_browser_come_back(own: Stage) -> None:
    other = own.spec.labeling.text.replace("Debris", "Rubble")
    own.client.update_project(own.project_id, description="by hand", label_config=other, show_collab_predictions=False)

    assert own.apply() == [
        f"replace the labeling configuration of {own.spec.title} by {own.spec.config}/v{own.spec.version}",
        f"set the description of {own.spec.title}",
        f"let {own.spec.title} call the model when a task opens (show_collab_predictions), to warm it up",
    ]

    assert own.client.project(own.project_id).label_config == own.spec.labeling.text.strip()


def test_going_to_version_1_and_back_answers_clicks(own: Stage) -> None:
    shown = "labeling_configs/rgbt-sar/v1.xml"
    first = dataclasses.replace(own.spec, version=1, labeling=load_labeling(REPOSITORY / shown, shown))

    assert len(own.apply(first)) == 1
    assert _answers(own, first)
    assert len(own.apply()) == 1
    assert _answers(own, own.spec)


def test_a_lost_token_is_replaced_and_a_lost_password_set_again(stage: Stage, tmp_path: Path) -> None:
    """With a user of our own: revoking the real token would pull it from under everybody else."""
    email, first, second = f"{uuid.uuid4().hex[:12]}@labelrig.local", "first-password-1", 'it\'s a "new" $one ñ 🙂'
    made = stage.client.sdk.users.create(email=email, username=email.split("@")[0], first_name="", last_name="")
    try:
        reset_password(stage.ctx.exec_in_label_studio, email, first)
        env = tmp_path / ".env"
        assert _token_changes(stage, env, email, first) == [
            f"make a personal access token for {email} and write it to .env (none is stored)"
        ]
        old = read_env_file(env)["LABEL_STUDIO_API_KEY"]
        assert _token_changes(stage, env, email, first) == []
        assert oct(env.stat().st_mode & 0o777) == "0o600"

        env.unlink()
        assert _token_changes(stage, env, email, first) == [
            f"make a personal access token for {email} and write it to .env (none is stored)"
        ]
        assert not token_works(stage.ctx.access.base_url, old)

        update_env_file(stage.ctx.host, str(env), {"LABEL_STUDIO_API_KEY": old})
        assert _token_changes(stage, env, email, second) == [
            f"make a personal access token for {email} and write it to .env (the stored one is not accepted)",
        ]
        with sign_in(stage.ctx.access.base_url, email, second):
            pass
        with pytest.raises(SignInRefused), sign_in(stage.ctx.access.base_url, email, first):
            pass
    finally:
        stage.client.sdk.users.delete(made.id)


def _token_changes(stage: Stage, env: Path, email: str, password: str) -> list[str]:
    access = Access(stage.ctx.access.base_url, email, password, read_env_file(env).get("LABEL_STUDIO_API_KEY"))
    report = Report(io.StringIO())
    record = PasswordRecord.of(stage.ctx.host, str(env.parent))
    operation = ApiKeyPresent(access, stage.ctx.host, str(env), stage.ctx.exec_in_label_studio, record, report)
    with report.stage("token"):
        converge([operation], report)
    return report.stages[0].changed


def _answers(stage: Stage, spec: ProjectSpec) -> bool:
    """Whether a mask with the right tag, label and size came back; how good it is, is judged elsewhere."""
    try:
        verify(spec, stage.ctx, Report(io.StringIO()))
    except ProofFailed as failed:
        return str(failed).startswith("the mask is not the clicked object: IoU")
    return True


def test_own_images_are_proven_by_a_click_that_hits(stage: Stage) -> None:
    """Without the truth the demo images are like anybody's: a pixel is found that the mask covers."""
    report = Report(io.StringIO())
    proof = verify(stage.spec, dataclasses.replace(stage.ctx, truth=None), report)
    assert (proof.iou, proof.on_click, report.notices) == (None, True, [])
