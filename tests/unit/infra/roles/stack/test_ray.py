"""What Ray's container gets: on the head beside Label Studio, on a worker alone; nothing where a host serves alone."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import SecretStr

from core.diff import masked
from infra.config.serving import Serving
from infra.config.settings import Settings, missing_secrets
from infra.roles.images.tags import CLUSTER, DB, HAPROXY
from infra.roles.stack.image_folders import ImageFolder
from infra.roles.stack.ray import Place, by_container, head_values, worker_values
from infra.roles.stack.render import (
    CLUSTER as CLUSTER_FILE,
)
from infra.roles.stack.render import (
    COMPOSE_SOURCES,
    POSTGRES,
    PROXY,
    RAY,
    RAY_GPU,
    StackFiles,
    parse_stack_env,
    render_stack,
    stack_values,
)
from infra.roles.stack.sizes import MachineSize

SERVING = Serving("lab", "gpu01", {"gpu01": "10.0.0.11", "gpu02": "10.0.0.12"}, 6379, (10100, 10163))
SETTINGS = Settings().model_copy(
    update={
        "password": SecretStr("password-of-a-person"),
        "secret_key": SecretStr("k" * 40),
        "postgres_password": SecretStr("p" * 20),
        "cluster_token": SecretStr("t" * 43),
        "uid": 61041,
    }
)
MACHINE = MachineSize(32, 8)
HEAD = StackFiles("/s", (POSTGRES, PROXY, RAY, CLUSTER_FILE))
WORKER = StackFiles("/s", (RAY,))
IMAGES = {"label-studio": "ls:1", CLUSTER: "cluster:1", "db": "db:1", "proxy": "proxy:1", HAPROXY: "haproxy:1"}


def place(host: str, gpus: int = 0) -> Place:
    replicas = {"gpu01": gpus, "gpu02": 2 * gpus} if gpus else {"gpu01": 1, "gpu02": 1}
    return Place(host, SERVING, replicas, bool(gpus))


def test_a_host_that_serves_alone_has_nothing_of_it() -> None:
    alone = StackFiles("/s", (POSTGRES, PROXY))
    assert alone.services == ("db", "sam2", "label-studio", "proxy")
    assert alone.images == (DB, "sam2", "label-studio", "proxy")
    assert alone.compose == ("/s/compose.yaml", "/s/postgres.yaml", "/s/proxy.yaml", "/s/machine.yaml")
    assert not alone.is_worker
    values = stack_values(SETTINGS.model_copy(update={"cluster_token": None}), {**IMAGES, "sam2": "s:1"}, "tiny")
    assert not [name for name in values if "RAY" in name or "CLUSTER" in name]
    assert "LABELRIG_CLUSTER_TOKEN" not in missing_secrets(Settings())


def test_head_has_ray_beside_its_stack() -> None:
    assert HEAD.services == ("db", "ray", "sam2", "label-studio", "proxy")
    assert HEAD.images == (DB, CLUSTER, HAPROXY, "label-studio", "proxy")
    assert HEAD.compose[0] == "/s/compose.yaml"
    assert not HEAD.is_worker


def test_worker_has_ray_alone() -> None:
    gpu = StackFiles("/s", (RAY, RAY_GPU))
    for files in (WORKER, gpu):
        assert files.is_worker
        assert (files.services, files.images) == (("ray",), (CLUSTER,))
    assert gpu.compose == ("/s/ray.yaml", "/s/ray-gpu.yaml", "/s/machine.yaml")


def test_values_of_the_head() -> None:
    """Those of a plain stack, and Ray's over them: who is where, and how many replicas there are to be."""
    values = stack_values(SETTINGS, by_container(IMAGES), "tiny", MACHINE) | head_values(
        SETTINGS, place("gpu01"), IMAGES, MACHINE
    )
    assert values["LABELRIG_HAPROXY_IMAGE"] == "haproxy:1"
    assert values["LABELRIG_SAM2_IMAGE"] == "cluster:1"
    assert values["LABELRIG_RAY_ADDRESS"] == "10.0.0.11"
    assert values["LABELRIG_RAY_HEAD"] == "10.0.0.11:6379"
    assert (values["LABELRIG_RAY_REPLICAS"], values["LABELRIG_RAY_GPUS"]) == ("1", "0")
    assert (values["LABELRIG_CLUSTER_REPLICAS"], values["LABELRIG_CLUSTER_REPLICA_GPUS"]) == ("2", "0")
    assert values["LABELRIG_CLUSTER_TOKEN"] == "t" * 43
    assert values["LABELRIG_LABEL_STUDIO_URL"] == "http://127.0.0.1:8080"


def test_values_of_a_worker_with_gpus() -> None:
    """Of the machine it gets all that is not the system's, and no secret but the token."""
    values = worker_values(SETTINGS, place("gpu02", gpus=2), IMAGES, "tiny", MACHINE)
    assert (values["LABELRIG_HOST_NAME"], values["LABELRIG_RAY_ADDRESS"]) == ("gpu02", "10.0.0.12")
    assert (values["LABELRIG_RAY_REPLICAS"], values["LABELRIG_RAY_GPUS"]) == ("4", "4")
    assert values["LABELRIG_RAY_MEMORY_MB"] == str(28 * 1024)
    assert values["LABELRIG_RAY_THREADS"] == "2"
    assert "password-of-a-person" not in values.values()
    assert "k" * 40 not in values.values()
    head = head_values(SETTINGS, place("gpu01", gpus=2), IMAGES, MACHINE)
    assert (head["LABELRIG_CLUSTER_REPLICAS"], head["LABELRIG_CLUSTER_REPLICA_GPUS"]) == ("6", "1")


def rendered(files: StackFiles, values: dict[str, str]) -> dict[str, bytes]:
    folders = [ImageFolder("RGB", "/NAS/RGB")]
    made = render_stack(files, values, folders, folders, [1003], {"MASK_KEEP": "clicked"})
    return {Path(one.path).name: one.content for one in made}


def test_each_file_names_what_its_values_have() -> None:
    """No variable of a compose file is left without a value, on either kind of host."""
    head = stack_values(SETTINGS, by_container(IMAGES), "tiny") | head_values(SETTINGS, place("gpu01"), IMAGES, MACHINE)
    worker = worker_values(SETTINGS, place("gpu02"), IMAGES, "tiny", MACHINE)
    for files, values in ((HEAD, head), (WORKER, worker)):
        made = rendered(files, values)
        known = parse_stack_env(made["stack.env"])
        for name in files.compose:
            text = made[Path(name).name].decode()
            wanted = {part.split("}")[0].rstrip("?:-").split(":")[0].split("?")[0] for part in text.split("${")[1:]}
            assert wanted <= set(known), (name, wanted - set(known))


def test_images_and_settings_reach_what_computes() -> None:
    """On a worker nothing else is mentioned, as compose would take it for a service without an image."""
    machine = yaml.safe_load(rendered(WORKER, {"A": "b"})["machine.yaml"])["services"]
    assert list(machine) == ["ray"]
    assert machine["ray"]["environment"] == {"MASK_KEEP": "clicked"}
    assert machine["ray"]["volumes"][0]["target"] == "/label-studio/files/RGB"
    machine = yaml.safe_load(rendered(HEAD, {"A": "b"})["machine.yaml"])["services"]
    assert set(machine) == {"label-studio", "proxy", "ray", "stand-in"}
    assert [name for name, one in machine.items() if "environment" in one] == ["ray", "stand-in"]


def test_shared_cache_reaches_what_computes() -> None:
    """To be written to there, and nowhere else."""
    folders = [ImageFolder("RGB", "/NAS/RGB")]
    for files in (HEAD, WORKER):
        made = render_stack(files, {"A": "b"}, folders, folders, [], {}, "/NAS/ca$he")
        services = yaml.safe_load(made[-2].content)["services"]
        assert services["ray"]["environment"] == {"EMBEDDING_CACHE_SHARED_DIR": "/shared-cache"}
        (mount,) = (one for one in services["ray"]["volumes"] if one["target"] == "/shared-cache")
        assert (mount["source"], mount.get("read_only")) == ("/NAS/ca$$he", None)
        assert mount["bind"] == {"create_host_path": False}
        others = [one for name, one in services.items() if name not in ("ray", "stand-in")]
        assert all("environment" not in one and len(one["volumes"]) == 1 for one in others)


def test_token_stands_in_no_environment() -> None:
    """It is a file in a volume, and masked where files are compared."""
    for path in (RAY, CLUSTER_FILE, RAY_GPU):
        assert "CLUSTER_TOKEN:?" not in (COMPOSE_SOURCES / path).read_text().replace("CLUSTER_TOKEN_ID", "")
    assert masked(f"LABELRIG_CLUSTER_TOKEN='{'t' * 43}'") == "LABELRIG_CLUSTER_TOKEN=(secret)"


def test_token_is_made_where_hosts_serve_together() -> None:
    made = missing_secrets(SETTINGS.model_copy(update={"cluster_token": None}), cluster=True)
    assert len(made["LABELRIG_CLUSTER_TOKEN"]) >= 40
    assert "LABELRIG_CLUSTER_TOKEN" not in missing_secrets(SETTINGS, cluster=True)
