"""Predictions on disk: shards that `tr2m evaluate` writes, and folders of files that any other program wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tr2m_plugin.benchmark.estimators import Facts, Returns
from tr2m_plugin.datasets.arrays import find_arrays, open_shard, read_array, read_stored, write_shard
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import write_whole

HEADER = "predictions.json"


class PredictionWriter:
    """Writes one dataset's predictions as shards; what a folder already holds need not be computed again.

    Args:
        folder: folder of the shards, made if need be.
        returns: what the numbers mean.
        facts: facts of the model.
        settings: all else that the numbers depend on; anything JSON can hold.
        shard_size: predictions per shard. Default: 64.

    Attributes:
        done: by sample id of what the folder holds, the stamp that it was written with.

    Raises:
        InputError: the folder holds predictions of another model or of other settings.
    """

    def __init__(
        self, folder: Path, returns: Returns, facts: Facts, settings: Mapping[str, Any], shard_size: int = 64
    ) -> None:
        self.folder, self.shard_size = folder, shard_size
        header = {"returns": asdict(returns), "facts": facts.as_dict(), "settings": dict(settings)}
        path = folder / HEADER
        if path.is_file():
            found = _read_header(path)
            differing = sorted(name for name in header if found.get(name) != json.loads(json.dumps(header[name])))
            if differing:
                raise InputError(f"{folder} holds predictions with other {', '.join(differing)}: give another folder")
        folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps(header, indent=1) + "\n"
        write_whole(path, lambda partial: partial.write_text(content, encoding="utf-8"))
        self.done: dict[str, str] = {}
        for shard in sorted(folder.glob("*.safetensors")):
            self.done |= json.loads((open_shard(shard).metadata() or {}).get("stamps", "{}"))
        self._waiting: dict[str, np.ndarray] = {}
        self._stamps: dict[str, str] = {}

    def add(self, sample_id: str, values: np.ndarray, stamp: str = "") -> None:
        """Takes a prediction, (h, w); a full shard is written at once.

        Args:
            sample_id: sample id of the picture.
            values: what the model says of it; a later one takes the place of an earlier one.
            stamp: differs when the prediction would. Default: none.
        """
        self._waiting[sample_id] = values.astype(np.float32)
        self._stamps[sample_id] = stamp
        if len(self._waiting) >= self.shard_size:
            self.flush()

    def flush(self) -> None:
        """Writes what is waiting."""
        if self._waiting:
            number = len(list(self.folder.glob("*.safetensors")))
            target = self.folder / f"{number:05d}-{os.getpid()}.safetensors"
            write_shard(target, self._waiting, {"stamps": json.dumps(self._stamps)})
            self.done |= self._stamps
            self._waiting, self._stamps = {}, {}


def _read_header(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: dict(found[name]) for name in ("returns", "facts", "settings")}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{path} does not describe predictions ({error!r}): remove its folder") from error


class StoredPredictions:
    """One dataset's predictions, from shards or from a folder of files.

    Args:
        folder: folder of shards, or of `SAMPLE_ID.npy` and 16-bit `SAMPLE_ID.png` files, folders of the id included.
        returns: what the numbers mean; needed for files, and known of shards.
        scale: factor from the numbers of a PNG to the unit (or to disparity); needed for PNG files.
        label: what tables call files. Default: the folder's name.

    Attributes:
        returns: what the numbers mean.
        facts: facts of the model.
        settings: what else the numbers of shards depended on; empty for files.

    Raises:
        InputError: the folder is neither, or does not say what its numbers mean.
    """

    def __init__(
        self, folder: Path, returns: Returns | None = None, scale: float | None = None, label: str | None = None
    ) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder of predictions")
        self.folder, self.scale = folder, scale
        header = folder / HEADER
        self._shards: dict[str, str] | None = None
        if header.is_file():
            if returns is not None:
                raise InputError(f"{folder} says itself what its numbers mean: leave out --returns and --unit")
            found = _read_header(header)
            self.returns, self.facts = Returns(**found["returns"]), Facts(**found["facts"])
            self.settings = found["settings"]
            self._shards = find_arrays(folder)
        elif returns is None:
            raise InputError(
                f"{folder} does not say what its files mean: give --returns depth or disparity and --unit m, mm or none"
            )
        else:
            self.returns, self.settings = returns, {}
            self.facts = Facts(label or folder.name, label or folder.name, "")

    def check(self, samples: Iterable[str]) -> None:
        """Raises an InputError that counts missing predictions and names the first, or where PNG files lack a scale."""
        wanted = list(samples)
        sources = [self._source(sample) for sample in wanted]
        missing = [sample for sample, source in zip(wanted, sources, strict=True) if source is None]
        if missing:
            form = "" if self._shards is not None else ".npy or .png"
            raise InputError(
                f"{self.folder} lacks {len(missing)} of {len(wanted)} predictions, such as {missing[0]}{form}"
            )
        whole = next((source for source in sources if source is not None and source.endswith(".png")), None)
        if self.scale is None and whole is not None:
            raise InputError(f"{whole} has whole numbers: give the factor to the unit as --png-scale")

    def __getitem__(self, sample: str) -> np.ndarray:
        """The numbers of a prediction, (h, w) float32.

        Raises:
            InputError: it is missing, unreadable, or a PNG without a scale or of other than 16 bits.
        """
        source = self._source(sample)
        if source is None:
            raise InputError(f"{self.folder} holds no prediction of {sample}")
        if self._shards is not None:
            return read_array(source)
        stored = read_stored(source)
        if not source.endswith(".png"):
            return stored.astype(np.float32)
        if self.scale is None:
            raise InputError(f"{source} has whole numbers: give the factor to the unit as --png-scale")
        if stored.dtype != np.uint16:
            raise InputError(f"{source} has {8 * stored.itemsize} bits, not 16: depth needs them")
        return stored.astype(np.float32) * np.float32(self.scale)

    def _source(self, sample: str) -> str | None:
        if self._shards is not None:
            return self._shards.get(sample)
        files = (f"{self.folder / sample}{suffix}" for suffix in (".npy", ".png"))
        return next((file for file in files if os.path.isfile(file)), None)
