"""The versions of a run, exported for serving."""

import json
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

    Args:
        folder: the model's folder, `saved_models/NAME`.

    Example:

    ```python
    Publication(Path("saved_models/clicks")).publish(3, model, transforms, {"period": "2024-01-31", "parent": 2})
    ```
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

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
        else:
            serving.export(model, path, transforms=transforms, provenance={"lineage": lineage}, reference=reference)
        with whole_file(self.folder / f"{version}.lineage.json") as partial:
            partial.write_text(json.dumps(lineage, indent=2) + "\n", encoding="utf-8")
        return path
