"""Stage `list_objects`: what a segmentation network finds in every picture, as a Ray job."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from pipelines.describe import PictureProcessor, run_network
from pipelines.params import Stage, run_stage
from pipelines.sharded import remove_others
from tr2m_plugin.description.describers import check_role
from tr2m_plugin.rows import IndexRow, ListedRow

if TYPE_CHECKING:
    from tr2m_plugin.description.listers import ObjectLister


class ListProcessor(PictureProcessor):
    """Pictures in, `ListedRow`s out."""

    def compute(self, items: list[tuple[IndexRow, np.ndarray]]) -> list[list[ListedRow]]:
        """The objects of each picture, in the order the network gives them."""
        return [self._rows(row, image) for row, image in items]

    def _rows(self, row: IndexRow, image: np.ndarray) -> list[ListedRow]:
        lister = cast("ObjectLister", self.network)  # `check_role` saw to it
        found = lister.objects(image)
        labels: list[tuple[str | None, float | None]] = [*zip(found.labels, found.areas, strict=True)]
        return [
            ListedRow(
                dataset=row.dataset,
                sample_id=row.sample_id,
                label=label,
                area=area,
                source=lister.source,
                model=lister.model,
                revision=lister.revision,
            )
            for label, area in labels or [(None, None)]
        ]


def stage(run: Stage) -> None:
    """Lists the objects of every picture; an empty section lists none."""
    folder = run.root / "objects" / run.item
    folder.mkdir(parents=True, exist_ok=True)
    if not run.params:
        remove_others(folder)
        return
    check_role(run.params.get("type"), "lister", f"list_objects.{run.item}")
    run_network(ListProcessor, ListedRow, run, folder)


if __name__ == "__main__":
    run_stage("list_objects", __doc__, stage, items=True)
