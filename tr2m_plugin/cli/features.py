"""The command `tr2m features`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tr2m_plugin.cli.options import count
from tr2m_plugin.errors import InputError
from tr2m_plugin.replacing import PNG_MARK, check_file, is_drawing


def add(commands: Any) -> None:
    """Declares the command."""
    features = commands.add_parser(
        "features",
        help="how far a model's features are ordered by depth",
        description="For each checkpoint prints the class separation of a submodule's features on validation pictures "
        "and draws them in a plane, coloured by depth class.",
    )
    features.add_argument("config", help="config of the model and of its validation data")
    features.add_argument("checkpoints", nargs="+", help="checkpoints to compare, such as one with and one without SOC")
    features.add_argument("--feature", help="name of the submodule (default: the config's SOCHook's)")
    features.add_argument("--index", nargs="+", help="which part of its output, as SOCHook's `index`")
    features.add_argument("--pictures", type=count, default=16, help="how many (default: 16)")
    features.add_argument("--method", choices=["tsne", "pca"], default="tsne", help="(default: tsne)")
    features.add_argument("--data-root", help="folder with the pipeline's tables (default: the config's)")
    features.add_argument("--out", type=Path, default=Path("features.png"), help="(default: features.png)")
    features.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from tr2m_plugin.benchmark.features import LOADERS, collect_features, hooked, loader_name
    from tr2m_plugin.inference.outputs import write_png
    from tr2m_plugin.tools.train import load_config
    from tr2m_plugin.visualization.features import draw_features

    check_file(args.out, is_drawing, "a picture that tr2m drew")
    config = load_config(args.config, data_root=args.data_root)
    hook = hooked(config)
    feature = args.feature or hook.get("feature")
    if not feature:
        raise InputError(f"{args.config} has no SOCHook: name a submodule with --feature")
    if (source := loader_name(config)) != LOADERS[0]:
        print(f"no {LOADERS[0]}: the pictures are those of {source}", file=sys.stderr)
    given = hook.get("index", ()) if args.index is None else args.index
    given = [given] if isinstance(given, (int, str)) else given
    index = [int(step) if str(step).lstrip("-").isdigit() else step for step in given]
    panels = {}
    for number, checkpoint in enumerate(args.checkpoints, 1):
        found = collect_features(config, checkpoint, feature, index, args.pictures)
        name = f"{Path(checkpoint).parent.name}/{Path(checkpoint).name}"
        separation = f"class separation {found.separation():.3f}"
        print(f"{name}: {separation}", flush=True)
        panels[f"{number}: {name}\n{separation}"] = found
    write_png(args.out, draw_features(panels, args.method)[..., ::-1], PNG_MARK)
    print(f"written: {args.out}")
    return 0
