"""The networks of this suite under the names of PyTorchVideo's hub."""

from __future__ import annotations

from typing import Any

import pytest

import sdbench
from sdbench.zoo import feed_of, network_named
from sdbench.zoo.adapters.pytorchvideo import _OURS


@pytest.mark.parametrize(("name", "ours"), _OURS.items())
def test_the_network_of_the_suite_under_its_name_there(name: str, ours: str) -> None:
    if name in ("x3d_l", "mvit_base_16x4", "slowfast_r50"):
        pytest.skip("as the others, and larger")
    network = network_named(f"pytorchvideo:{name}", untrained=0, feed={"size": 32, "short_side": 40})
    plain = network_named(ours, untrained=0)
    assert network.name == f"pytorchvideo:{name}"
    assert network.weights == plain.weights
    assert network.read == plain.read
    assert network.notes == (f"pytorchvideo:{name} is {ours} of this suite", *plain.notes)
    assert (network.feed.frames, network.feed.size) == (feed_of(ours).frames, 32)


def test_names_that_are_meant_all_exist() -> None:
    assert all(feed_of(ours) for ours in _OURS.values())


def test_says_whose_weights_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from sdbench.zoo.adapters import pytorchvideo

    monkeypatch.setattr(pytorchvideo, "network_named", lambda name, *_, **__: network_named(name, untrained=0))

    def note(name: str) -> str:
        return network_named(f"pytorchvideo:{name}").notes[0]

    assert note("i3d_r50").endswith(
        "with the weights that SlowFast's authors published, not those of PyTorchVideo's hub"
    )
    assert note("c2d_r50") == "pytorchvideo:c2d_r50 is c2d of this suite"


@pytest.mark.parametrize(
    ("name", "asked", "sentence"),
    [
        ("slow_r5", {}, "unknown network of PyTorchVideo in this suite 'slow_r5'; did you mean slow_r50"),
        ("csn_r101", {}, "unknown network of PyTorchVideo in this suite 'csn_r101'"),
        ("slow_r50", {"revision": "main"}, "revision says nothing of a network of the suite"),
    ],
)
def test_what_cannot_be_opened(name: str, asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(sdbench.InputError, match=sentence):
        network_named(f"pytorchvideo:{name}", **asked)
