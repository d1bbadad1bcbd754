"""Stage `embed_text`: the frozen text encoder on every distinct sentence, once."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from pipelines.networks import made_by
from pipelines.params import Stage, run_stage
from tr2m_plugin.datasets.parquet import read_rows, write_text_features
from tr2m_plugin.device import pick_device
from tr2m_plugin.rows import DescriptionRow


def stage(run: Stage) -> None:
    """Embeds the sentences in batches of similar length."""
    from tr2m_plugin.registry import MODELS, scoped
    from tr2m_plugin.trusted import check_config

    check_config(run.params.get("model"), "text_encoder", "embed_text.model")
    texts = {row.text for row in read_rows(run.root / "descriptions.parquet", DescriptionRow)}
    ordered = sorted(texts, key=lambda text: (len(text), text))
    encoder = MODELS.build(scoped(run.params["model"])).to(pick_device(run.params.get("device", "auto")))
    size = run.count("batch_size", 256)
    features: list[np.ndarray] = []
    with tqdm(total=len(ordered), unit="sentence", desc="embed_text", mininterval=1) as bar:
        for start in range(0, len(ordered), size):
            batch = ordered[start : start + size]
            features.append(encoder(batch)[:, 0].cpu().numpy())
            bar.update(len(batch))
    path = run.root / "text_features.parquet"
    write_text_features(path, ordered, np.concatenate(features), made_by(run.params["model"]))


if __name__ == "__main__":
    run_stage("embed_text", __doc__, stage)
