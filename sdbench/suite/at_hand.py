"""What a case needs beside this package, and whether it is here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sdbench.assets.manifest import Url
from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError
from sdbench.calibration.measuring import DATASETS
from sdbench.calibration.trained import KINDS as SMALL_NETWORKS
from sdbench.cases.records import Claim, Record
from sdbench.cases.verdicts import NEEDS
from sdbench.data import StylisedDataset, stylised_activitynet, stylised_diving48, stylised_ssv2
from sdbench.data.davis_here import PAINTED, lacking_davis
from sdbench.networks import network_names
from sdbench.statistics.quantities import QUANTITIES
from sdbench.zoo import model

COMPLEXITY = "complexity"
"""The quantity of an architecture's size and work, which needs neither weights nor videos."""

SHUFFLED = "top1_change_when_shuffled"
"""The quantity that needs labelled videos."""

MOCA = "moca"
"""The quantity of a segmentation network's masks on MoCA, and the data set of the user's own that it needs."""

ABLATION = "ablation"
"""The quantity of what MoCA's masks lose when units are set to zero; it needs what `MOCA` and unit scores need."""

LOST = "accuracy_lost_without_units"
"""The quantity of what small networks lose without the units that score highest for a factor."""

FILLED = "filled"
"""Stands where a training set is named: made-up weights, to run a pipeline to the digit without published ones."""

STYLISED: dict[str, Callable[[Path], StylisedDataset]] = {
    "stylized_activitynet": stylised_activitynet,
    "stylized_diving48": stylised_diving48,
    "stylized_ssv2": stylised_ssv2,
}
"""Data sets of the user's own, below the folder of data sets under these names, and how they are read."""

LABELLED = ("kinetics400_validation", "diving48_validation", "ssv2_validation")
"""Labelled videos of the user's own, below the folder of data sets under these names."""

SEGMENTED = (PAINTED, "packaged_davis")
"""Data sets of segmented videos, on which networks are measured that see optical flow."""

PACKAGED = ("packaged", "packaged_stylised", "packaged_davis")
"""Data sets that need nothing of the user's own."""

CALIBRATION = DATASETS
"""Data sets that are drawn, for the small networks that come with this package."""


def why_not(record: Record, data: Path | None = None, store: AssetStore | None = None) -> str | None:
    """Why a case cannot run here, in one sentence with what it would need; None where it can.

    Whether assets can be fetched is not looked at: that shows when they are.

    Args:
        record: the case.
        data: folder of the user's data sets.
        store: where fetched data sets lie.
    """
    store = store or AssetStore(quiet=True)
    if isinstance(record, Claim):
        asked = [(q.network, q.trained_on, q.dataset) for c in record.comparisons for q in (c.greater, c.lesser)]
    elif record.quantity == COMPLEXITY:
        return None if record.network in network_names() else f"network {record.network} is not part of this version"
    else:
        asked = [(record.network, record.trained_on, record.dataset)]
    lacking: list[str] = []
    for network, trained_on, dataset in asked:
        lacking += [*_lacking_weights(network, trained_on, store), *_lacking_data(dataset, data, store)]
    if not isinstance(record, Claim) and record.quantity == ABLATION:
        lacking += _lacking_data(PAINTED, data, store)  # unit scores are measured there
    if not isinstance(record, Claim) and record.quantity not in (*QUANTITIES, SHUFFLED, MOCA, ABLATION, LOST):
        lacking.append(f"{record.quantity} is not measured by this version")
    if not lacking:
        return None
    return "; ".join(dict.fromkeys(lacking)) + (f"{NEEDS}{'; '.join(record.needs)}" if record.needs else "")


def _lacking_weights(network: str, trained_on: str, store: AssetStore) -> list[str]:
    if trained_on == FILLED:
        return [] if network in network_names() else [f"network {network} is not part of this version"]
    if network in SMALL_NETWORKS and trained_on in SMALL_NETWORKS[network].tasks:
        return []
    try:
        known = model(network, trained_on)
    except InputError:
        return [f"weights of {network} trained on {trained_on} are not part of this version"]
    source = store.manifest[known.asset].source
    if isinstance(source, Url) and source.how == "never published":
        return [f"weights of {network} trained on {trained_on} were never published"]
    return []


def _lacking_data(dataset: str, data: Path | None, store: AssetStore) -> list[str]:
    if dataset in (*PACKAGED, *CALIBRATION):
        return []
    if dataset == PAINTED:
        return lacking_davis(data, store)
    if dataset not in (*STYLISED, *LABELLED, MOCA):
        return [f"data set {dataset} is not part of this version"]
    if data is None:
        return [f"data set {dataset} is not here (name the folder that holds it with --data)"]
    if not (data / dataset).is_dir():
        return [f"data set {dataset} is not in {data}"]
    return []
