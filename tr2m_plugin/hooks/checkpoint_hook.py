"""Checkpoints that no kill, full disk or foreign path destroys."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process, master_only
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from tr2m_plugin.checkpoint import load_checkpoint
from tr2m_plugin.errors import InputError
from tr2m_plugin.files import sweep, write_whole
from tr2m_plugin.registry import HOOKS
from tr2m_plugin.resuming import is_readable

OUTDATED, VALIDATED = "outdated_ckpts", "last_validation"
"""What a checkpoint's message hub holds beside MMEngine's: files to remove once it is there; the last validation."""


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's `CheckpointHook`, with which a kill at any moment costs the iterations since the last checkpoint only.

    MMEngine removes the old checkpoint, writes the new one in place and follows with `last_checkpoint`. Here a
    checkpoint is written beside its name, brought to the disk and renamed, `last_checkpoint` follows in the same way,
    and only then are older ones removed: `max_keep_ckpts` and one best checkpoint per metric stay. After a validation
    the checkpoint of that iteration is written again, so that it knows of it; a validation that a kill cut off is made
    up for when training resumes.

    A checkpoint says which files it makes superfluous. Only names count, inside the own work folder, that this hook
    gives to its checkpoints, and smaller numbers than the own: a checkpoint from elsewhere removes nothing else, and a
    copied work folder leaves the original alone.

    Args:
        **kwargs: options of MMEngine's `CheckpointHook`; `file_client_args`, `backend_args` and an `out_dir` that is no
            local folder are refused.

    Raises:
        InputError: the folder is not a local one, or `filename_tmpl` is not a plain file name with one `{}`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        name = self.filename_tmpl
        if name.count("{}") != 1 or os.path.basename(name) != name:
            raise InputError(f"filename_tmpl must be a file name with one {{}}, not {name!r}")
        if self.file_client_args or self.backend_args or "://" in str(self.out_dir or ""):
            raise InputError("SafeCheckpointHook writes to local folders only; for others take mmengine.CheckpointHook")
        self._pattern = re.compile(r"(best_.+_)?" + re.escape(name).replace(re.escape("{}"), r"(\d+)"))
        self._folder: Path | None = None
        self._saved: int | None = None  # the iteration of the last regular checkpoint

    def before_train(self, runner: Runner) -> None:
        """Finds the folder and, when training resumes, what is to be removed or made up for."""
        work_dir = Path(runner.work_dir)
        self._folder = work_dir if self.out_dir is None else Path(self.out_dir) / work_dir.name
        self._folder.mkdir(parents=True, exist_ok=True)
        if is_main_process():
            for folder in {work_dir, self._folder}:
                sweep(folder)
        runner.logger.info(f"Checkpoints will be saved to {self._folder}.")
        info = runner.message_hub.runtime_info
        kept = info.get("keep_ckpt_ids")
        self.keep_ckpt_ids = [step for step in kept if type(step) is int] if isinstance(kept, list) else []
        self._restore_best(runner)
        if runner.iter == 0:
            return
        self._saved = runner.iter
        self._remove_outdated(runner, runner.epoch if self.by_epoch else runner.iter)
        if _missed_validation(runner):
            runner.logger.warning(f"the validation after iteration {runner.iter} was cut off: it is made up for")
            runner.val_loop.run()

    def _restore_best(self, runner: Runner) -> None:
        """The best checkpoints so far; a score whose checkpoint is lost is forgotten, or nothing might be kept."""
        if self.save_best is None:
            return
        info = runner.message_hub.runtime_info
        found: list[dict[str, str | None]] = [{key: self._readable_best(info, key) for key in self.key_indicators}]
        broadcast_object_list(found)
        for key, path in found[0].items():
            score, checkpoint = self._names(key)
            if path is None and score in info:
                runner.logger.warning(
                    f"{info.get(checkpoint)}, the best checkpoint so far, is not in {self._folder} or cannot be read: "
                    "the best is chosen among those that follow"
                )
                for name in (score, checkpoint, VALIDATED):
                    info.pop(name, None)
            self._set_best(key, path)

    def _readable_best(self, info: dict[str, Any], key: str) -> str | None:
        file = self._own(info.get(self._names(key)[1])) if is_main_process() else None
        return str(file) if file and is_readable(file) else None

    def _names(self, key: str) -> tuple[str, str]:
        """What MMEngine calls a metric's best score and checkpoint in the message hub."""
        suffix = f"_{key}" if len(self.key_indicators) > 1 else ""
        return f"best_score{suffix}", f"best_ckpt{suffix}"

    def _set_best(self, key: str, path: str | None) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = path
        else:
            self.best_ckpt_path_dict[key] = path

    def _get_best(self, key: str) -> str | None:
        return self.best_ckpt_path if len(self.key_indicators) == 1 else self.best_ckpt_path_dict[key]

    def _own(self, path: Any, before: int | None = None) -> Path | None:
        """The file of that name in the own folder, if the name is one that this hook gives.

        Args:
            path: a file's name or path; only the name counts.
            before: its number must be smaller. Default: any.
        """
        assert self._folder is not None
        found = self._pattern.fullmatch(os.path.basename(path)) if isinstance(path, str) else None
        if found is None or (before is not None and int(found[2]) >= before):
            return None
        file = self._folder / found[0]
        return file if file.is_file() else None

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Saves the best checkpoint, and the regular one of this iteration again, which now knows of the validation."""
        if self._folder is None:  # validation without training
            return
        runner.message_hub.update_info(VALIDATED, runner.iter)
        super().after_val_epoch(runner, metrics or {})
        step = runner.epoch if self.by_epoch else runner.iter
        if self._saved == runner.iter:
            self._save_checkpoint_with_step(runner, step, {"epoch": runner.epoch, "iter": runner.iter})
        elif self.interval <= 0:  # no regular checkpoint follows that could
            self._remove_outdated(runner, step)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        if not self.save_best:
            return
        if "auto" in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        step = runner.epoch if self.by_epoch else runner.iter
        hub = runner.message_hub
        for key, rule in zip(self.key_indicators, self.rules, strict=True):
            score, checkpoint = self._names(key)
            best = hub.runtime_info.get(score, self.init_value_map[rule])
            if metrics[key] is None or not self.is_better_than[key](metrics[key], best):
                continue
            name = f"best_{key}_{self.filename_tmpl.format(step)}".replace("/", "_")
            path = str(self._folder / name)  # type: ignore[operator]
            previous = self._get_best(key)
            if previous and previous != path:
                hub.update_info(OUTDATED, [*hub.runtime_info.get(OUTDATED, []), os.path.basename(previous)])
            hub.update_info(score, metrics[key])
            hub.update_info(checkpoint, path)
            self._set_best(key, path)
            meta = {"epoch": runner.epoch, "iter": runner.iter}
            self._write(runner, name, save_optimizer=False, save_param_scheduler=False, meta=meta, by_epoch=False)
            runner.logger.info(f"The best checkpoint with {metrics[key]:0.4f} {key} is saved to {name}.")

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        hub, name = runner.message_hub, self.filename_tmpl.format(step)
        if self.max_keep_ckpts > 0:
            steps = [*(earlier for earlier in self.keep_ckpt_ids if earlier < step), step]
            outdated = [self.filename_tmpl.format(earlier) for earlier in steps[: -self.max_keep_ckpts]]
            self.keep_ckpt_ids = steps[-self.max_keep_ckpts :]
            hub.update_info("keep_ckpt_ids", self.keep_ckpt_ids)
            hub.update_info(OUTDATED, [*hub.runtime_info.get(OUTDATED, []), *outdated])
        self.last_ckpt = str(self._folder / name)
        hub.update_info("last_ckpt", self.last_ckpt)
        self._write(
            runner,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            **self.args,
        )
        self._saved = meta["iter"]
        self._point(runner)
        self._remove_outdated(runner, step)

    @master_only
    def _write(self, runner: Runner, name: str, **options: Any) -> None:
        """A checkpoint, whole and on the disk, under its name."""

        def write(partial: Path) -> None:
            runner.save_checkpoint(str(partial.parent), partial.name, **options)
            _to_disk(partial)

        write_whole(self._folder / name, write)  # type: ignore[operator]
        _to_disk(self._folder)  # type: ignore[arg-type]

    @master_only
    def _point(self, runner: Runner) -> None:
        """`last_checkpoint`, which names the last regular checkpoint."""

        def write(partial: Path) -> None:
            partial.write_text(str(self.last_ckpt))
            _to_disk(partial)

        write_whole(Path(runner.work_dir) / "last_checkpoint", write)

    def _remove_outdated(self, runner: Runner, step: int) -> None:
        """Removes what the checkpoint of a step makes superfluous."""
        names = runner.message_hub.runtime_info.get(OUTDATED, [])
        runner.message_hub.update_info(OUTDATED, [])
        if is_main_process():
            for name in names if isinstance(names, list) else ():
                file = self._own(name, step)
                if file is not None and str(file) not in self._bests():
                    file.unlink(missing_ok=True)

    def _bests(self) -> list[str | None]:
        return [] if self.save_best is None else [self._get_best(key) for key in self.key_indicators]

    @master_only
    def _publish_model(self, runner: Runner, ckpt_path: str) -> None:
        keys = self.published_keys or ()
        content = {key: value for key, value in load_checkpoint(ckpt_path).items() if key in keys}
        digest = hashlib.sha256(pickle.dumps(content)).hexdigest()[:8]
        path = write_whole(
            Path(f"{os.path.splitext(ckpt_path)[0]}-{digest}.pth"), lambda partial: torch.save(content, partial)
        )
        runner.logger.info(f"The checkpoint ({ckpt_path}) is published to {path}.")


def _missed_validation(runner: Runner) -> bool:
    """Whether the iteration that training resumes at should have ended with a validation and has not."""
    loop = runner.train_loop
    if not isinstance(loop, EpochBasedTrainLoop | IterBasedTrainLoop):
        return False
    if runner.val_loop is None or runner.message_hub.runtime_info.get(VALIDATED) == runner.iter:
        return False
    epochs = isinstance(loop, EpochBasedTrainLoop)
    if epochs and runner.iter != runner.epoch * len(loop.dataloader):
        return False
    done, last = (runner.epoch, loop.max_epochs) if epochs else (runner.iter, loop.max_iters)
    loop._decide_current_val_interval()
    return done >= loop.val_begin and (done % loop.val_interval == 0 or done == last)


def _to_disk(path: Path) -> None:
    """Brings a file or folder to the disk, so that a power cut cannot put a rename before its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
