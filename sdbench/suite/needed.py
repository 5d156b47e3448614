"""Which assets a case needs, so that they can be fetched before a run that has no network."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sdbench.assets.manifest import Manifest
from sdbench.cases.records import Claim, Record
from sdbench.data.davis_here import DAVIS, PAINTED
from sdbench.suite.at_hand import ABLATION, COMPLEXITY, PACKAGED, why_not
from sdbench.zoo import models


def assets_of(records: Iterable[Record], data: Path | None, manifest: Manifest) -> list[str]:
    """Names of the assets that those of `records` need which can run here, in the order of the manifest.

    Args:
        records: the cases.
        data: folder of the user's data sets.
        manifest: what there is.
    """
    weights = {(known.name, known.trained_on): known.asset for known in models()}
    needed: set[str] = set()
    for record in records:
        if why_not(record, data) is not None:
            continue
        if isinstance(record, Claim):
            sources = [
                quantity for comparison in record.comparisons for quantity in (comparison.greater, comparison.lesser)
            ]
            asked = {(source.network, source.trained_on, source.dataset) for source in sources}
        elif record.quantity == COMPLEXITY:
            continue
        else:
            asked = {(record.network, record.trained_on, record.dataset)}
            if record.quantity == ABLATION:  # unit scores are measured there
                asked.add((record.network, record.trained_on, PAINTED))
        for network, trained_on, dataset in asked:
            if dataset in PACKAGED:
                needed |= set(manifest.group("packaged"))
            if dataset == PAINTED:
                needed |= {name for name in (DAVIS, PAINTED) if data is None or not (data / name).is_dir()}
            if (network, trained_on) in weights:
                needed.add(weights[network, trained_on])
    return [asset.name for asset in manifest.assets if asset.name in needed]
