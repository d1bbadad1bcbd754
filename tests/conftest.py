"""A small world that went through the pipeline once, and a model trained on it for a moment."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# What is compared to the bit is compared on the processor, also where there is a GPU; see tests/test_gpu.py.
if "TR2M_TEST_GPU" not in os.environ:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
import torch
from filelock import FileLock

from pipelines import describe, descriptions, embed_text, index, relative_depth, render, train
from pipelines.params import Stage

pytest_plugins = ["tests.support.tiny_networks"]
WORKER = "PYTEST_XDIST_WORKER" in os.environ
REPOSITORY = Path(__file__).parent.parent
STARTING_RAY = (
    "test_describe_networks.py",
    "test_dvc.py",
    "test_ray_cluster.py",
    "test_ray_engine.py",
    "test_sharded.py",
)
RELATIVE_DEPTH = {
    "model": {"pretrained": "mini_depth_anything", "size": [112, 140]},
    "shard_size": 8,
    "batch_size": 4,
    "workers": 0,
    "device": "cpu",
}
EMBED_TEXT = {"model": {"type": "CLIPTextEncoder", "pretrained": "mini_clip_text"}, "device": "cpu"}
FEW_ITERATIONS = {
    "train_cfg.max_iters": 6,
    "train_cfg.val_interval": 3,
    "param_scheduler.0.end": 2,
    "param_scheduler.1.begin": 2,
    "param_scheduler.1.end": 6,
    "train_dataloader.batch_size": 4,
    "default_hooks.checkpoint.interval": 3,
    "default_hooks.logger.interval": 1,
}


def pytest_addoption(parser):
    parser.addoption("--rsa-folder", help="RSA's published folder `text`, all of which is then imported and exported")


def starts_ray(nodeid: str) -> bool:
    """Whether a test is of a file whose tests start Ray."""
    return nodeid.partition("::")[0].removeprefix("tests/pipelines/") in STARTING_RAY


def pytest_collection_modifyitems(items):
    """What starts Ray waits most, so it comes first."""
    items.sort(key=lambda item: not starts_ray(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file's tests stay on one worker, where they share fixtures; all that start Ray are on one, and take turns."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return "ray" if starts_ray(nodeid) else nodeid.partition("::")[0]

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def _threads():
    torch.set_num_threads(1 if WORKER else 2)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    """What somebody has downloaded by name is not here."""
    monkeypatch.setenv("TR2M_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TR2M_WEIGHTS_URL", raising=False)


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def data() -> Path:
    return REPOSITORY / "tests" / "data"


@pytest.fixture
def two_processes(tmp_path):
    """Runs a script as two ranks of a process group on this machine."""

    def launch(code: str) -> None:
        script = tmp_path / "job.py"
        script.write_text(code)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
        jobs = [
            subprocess.Popen(
                [sys.executable, str(script)],
                env={**os.environ, **settings, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(2)
        ]
        outputs = [job.communicate(timeout=180)[0] for job in jobs]
        assert all(job.returncode == 0 for job in jobs), "\n".join(output[-3000:] for output in outputs)

    return launch


def common_folder(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of all workers of a run of the suite."""
    return factory.getbasetemp().parent if WORKER else factory.getbasetemp()


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """A folder that whichever worker needs it first builds for all of them."""
    base = common_folder(factory)
    folder, ready = base / name, base / f"{name}.ready"
    with FileLock(base / f"{name}.lock"):
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            build(folder)
            ready.touch()
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """Folder with the tables of a small world, as the stages before training write them."""
    sizes = {"rooms": {"train": 8, "val": 2, "test": 4}, "colons": {"train": 6, "val": 2, "test": 3}}
    datasets = {**sizes, "miniatures": {"train": 4, "test": 2}, "hallway": {"test": 2}}
    sections = {
        render: {"shard_size": 4, "workers": 2, "datasets": datasets},
        index: {"datasets": [{"type": "MiniWorld"}]},
        describe: {"describers": [{"type": "SceneGraph", "objects": 2}]},
        descriptions: {},
        relative_depth: RELATIVE_DEPTH,
        embed_text: EMBED_TEXT,
    }

    def build(root: Path) -> None:
        root.mkdir()
        for module, params in sections.items():
            module.stage(Stage("test", params, root))

    return built_once(tmp_path_factory, "world", build)


@pytest.fixture(scope="session")
def trained(world, tmp_path_factory) -> Path:
    """A copy of it after a few iterations of training; its folder `model` is what training exports."""
    params = {"config": str(REPOSITORY / "configs" / "tr2m_mini.py"), "options": FEW_ITERATIONS}

    def build(root: Path) -> None:
        shutil.copytree(world, root)
        train.stage(Stage("test", params, root))

    return built_once(tmp_path_factory, "trained", build)
