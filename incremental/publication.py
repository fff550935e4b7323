"""The versions of a run, exported for serving."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..datasets import TableTransforms
from ..files import whole_file
from ..models import RankingModel

Lineage = Mapping[str, Any]


class Publication:
    """A folder of versions for TF Serving, each with its lineage.

    The version of a step has the number of the step, so that numbers are skipped where nothing was published. Beside
    the folder of version 3 lies `3.lineage.json`, and the version's own record of where it comes from
    (`assets.extra/provenance.json`) has the same under `lineage`.

    Most of a model's rows stay what they were in a period. So a version may be made of the one before and a delta. The
    delta is left in `deltas/VERSION` for servers that have the one before (`gr.serving.apply_delta`). The version is
    compared with the Keras model as a full export is.

    Args:
        folder: the model's folder, `saved_models/NAME`.
        full_every: each how many-th version is exported in full. A version whose graph is another one is always.
            Defaults to 1, all.

    Raises:
        ValueError: if `full_every` is below 1.

    Example:

    ```python
    Publication(Path("saved_models/clicks")).publish(3, model, transforms, {"period": "2024-01-31", "parent": 2})
    ```
    """

    def __init__(self, folder: Path, full_every: int = 1) -> None:
        if isinstance(full_every, bool) or not isinstance(full_every, int) or full_every < 1:
            raise ValueError(
                f"`full_every` must be an integer of at least 1, which exports every version in full. Received: "
                f"full_every={full_every!r}."
            )
        self.folder, self._full_every = folder, full_every

    def check(self, known: int) -> None:
        """Raise if the folder has versions that cannot be of this run.

        Args:
            known: the newest step that may have published one.

        Raises:
            ValueError: naming the versions.
        """
        from ..serving.version_folder import versions

        found = versions(self.folder) if self.folder.is_dir() else []
        others = [path.name for path in found if int(path.name) > known]
        if others:
            raise ValueError(
                f"{self.folder} holds versions of another run: {', '.join(others)}. A server would prefer them to "
                "those of this run. Export to another folder, or move them away."
            )

    def publish(
        self,
        version: int,
        model: RankingModel,
        transforms: TableTransforms,
        lineage: Lineage,
        reference: Mapping[str, Any] | None = None,
    ) -> Path:
        """Export a version, which appears in one rename; one that an interrupted step has published stays.

        Args:
            version: its number.
            model: the model.
            transforms: its transforms.
            lineage: where it comes from.
            reference: what logs of the version are compared with (see `export`). Defaults to `None`.

        Raises:
            FileExistsError: if the version exists and comes from elsewhere.
        """
        from .. import serving
        from ..serving.layout.provenance import PROVENANCE_FILE

        path = self.folder / str(version)
        lineage = json.loads(json.dumps(lineage))
        if path.exists():
            record = path / PROVENANCE_FILE
            known = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
            if known.get("lineage") != lineage:
                raise FileExistsError(
                    f"{path} exists and is not of this run. Nothing was overwritten. Move it away, and give the call "
                    "again."
                )
        elif not self._publish_delta(version, model, transforms, lineage, reference):
            serving.export(model, path, transforms=transforms, provenance={"lineage": lineage}, reference=reference)
        with whole_file(self.folder / f"{version}.lineage.json") as partial:
            partial.write_text(json.dumps(lineage, indent=2) + "\n", encoding="utf-8")
        return path

    def _publish_delta(
        self,
        version: int,
        model: RankingModel,
        transforms: TableTransforms,
        lineage: Lineage,
        reference: Mapping[str, Any] | None,
    ) -> bool:
        """Make the version of the one before and a delta, and leave both; `False` where it must be exported in full."""
        from .. import serving
        from ..serving.deltas.apply_delta import deltas_since_full_export
        from ..serving.layout.provenance import PROVENANCE_FILE, write_provenance
        from ..serving.unfinished_folder import unfinished_folder
        from ..serving.version_folder import versions

        earlier = [path for path in versions(self.folder) if int(path.name) < version] if self.folder.is_dir() else []
        if self._full_every == 1 or not earlier or deltas_since_full_export(earlier[-1]) + 1 >= self._full_every:
            return False
        with unfinished_folder(self.folder) as work:
            try:
                delta = serving.export_delta(
                    model, earlier[-1], work / "delta", transforms, {"lineage": lineage}, reference
                ).path
            except serving.FullExportNeededError:
                return False
            made = serving.apply_delta(earlier[-1], delta, work / str(version))
            report = serving.verify(model, made, transforms)
            known = json.loads((made / PROVENANCE_FILE).read_text(encoding="utf-8"))
            compared = {"verified_rows": report.rows, "largest_difference_to_keras": report.max_difference}
            write_provenance(made, {**known, **compared})
            place = self.folder / "deltas" / str(version)
            place.parent.mkdir(exist_ok=True)
            # A step that was interrupted may have left it. Its version did not appear, and this one has the same rows.
            shutil.rmtree(place, ignore_errors=True)
            delta.rename(place)
            made.rename(self.folder / str(version))
        return True
