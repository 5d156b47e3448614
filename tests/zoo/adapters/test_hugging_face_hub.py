"""Checkpoints by their name on the hub, of which a small one stands in on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sdbench import AssetError, InputError
from sdbench.assets import AssetStore
from sdbench.zoo import network_named
from sdbench.zoo.adapters.hugging_face_hub import silent
from tests.zoo.adapters.local_hub import COMMIT, Hub, point_to, serving
from tests.zoo.adapters.small_checkpoints import small

pytestmark = pytest.mark.skipif(find_spec("transformers") is None, reason="needs sdbench[transformers]")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    with serving(tmp_path, monkeypatch) as answers:
        yield answers


def refused(name: str, kind: type[Exception] = AssetError, store: AssetStore | None = None, **named: Any) -> str:
    with pytest.raises(kind) as error:
        network_named(f"hf:{name}", store=store, **named)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_name_is_fetched_once_and_its_commit_recorded(
    hub: type[Hub], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = small("VivitModel").save(tmp_path / "vivit")
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    (folder / "pytorch_model.bin").write_bytes(b"never fetched")
    hub.folders["lab/vivit"] = folder
    capfd.readouterr()
    network = network_named("hf:lab/vivit")
    assert capfd.readouterr() == ("", "")
    assert network.name == "hf:lab/vivit"
    assert network.notes[0] == f"lab/vivit of Hugging Face's hub, revision {COMMIT}"
    assert network.notes[-1] == "licence of the weights: cc-by-nc-4.0, which forbids commercial use"
    assert network.weights == network_named(f"hf:{folder}").weights
    assert not any("pytorch_model" in path for path in hub.asked)
    hub.asked.clear()
    offline = network_named("hf:lab/vivit", store=AssetStore(offline=True))
    assert offline.weights == network.weights
    assert offline.notes == network.notes
    assert not hub.asked


def test_untrained_fetches_no_weights(hub: type[Hub], tmp_path: Path) -> None:
    hub.folders["lab/siglip"] = small("SiglipVisionModel").save(tmp_path / "siglip")
    network_named("hf:lab/siglip", untrained=0)
    assert not any("safetensors" in path for path in hub.asked)
    sentence = refused("lab/siglip", store=AssetStore(offline=True))
    assert "offline, and lab/siglip at revision" in sentence
    assert "or not all of it" in sentence


def test_a_commit_is_a_revision(hub: type[Hub], tmp_path: Path) -> None:
    hub.folders["lab/siglip"] = small("SiglipVisionModel").save(tmp_path / "siglip")
    assert COMMIT in network_named("hf:lab/siglip", revision=COMMIT).notes[0]
    sentence = refused("lab/siglip", InputError, revision="v9")
    assert sentence == "lab/siglip has no revision 'v9'; expected a commit, tag or branch of it"


def test_a_name_that_is_not_there_is_one_sentence(
    hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sentence = refused("lab/none", InputError)
    assert sentence.startswith("the hub has no model 'lab/none' for you: check the name, or log in")
    (tmp_path / "lab" / "none").mkdir(parents=True)
    assert refused("lab/none", InputError).endswith("the folder of that name is hf:./lab/none")
    assert "is no name of the hub; expected hf:ORGANISATION/NAME" in refused("lab/none/at/all", InputError)


def test_a_gated_model_says_what_to_do(hub: type[Hub], tmp_path: Path) -> None:
    hub.folders["lab/gated"] = small("DINOv3ViTModel").save(tmp_path / "dino")
    hub.gated.add("lab/gated")
    sentence = refused("lab/gated")
    assert sentence.startswith("lab/gated is gated: accept its licence on the model's page, then log in")


def test_a_repository_of_another_kind_is_one_sentence(hub: type[Hub], tmp_path: Path) -> None:
    folder = small("SiglipVisionModel").save(tmp_path / "siglip")
    hub.folders["lab/pickled"] = folder
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    sentence = refused("lab/pickled")
    assert "weights are read from model.safetensors alone" in sentence
    assert "--revision refs/pr/NUMBER" in sentence
    (folder / "config.json").unlink()
    hub.folders["lab/timm"] = folder
    assert "has no config.json" in refused("lab/timm")


def test_without_a_network_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        port = server.server_address[1]
    point_to(f"http://127.0.0.1:{port}", tmp_path, monkeypatch)
    sentence = refused("lab/vivit")
    assert "lab/vivit is not in the hub's cache, and the hub cannot be reached" in sentence
    assert "name it hf:./FOLDER" in sentence


def test_the_libraries_speak_as_before() -> None:
    hub_utils: Any = import_module("huggingface_hub.utils")
    logging: Any = import_module("transformers.utils.logging")
    for bars, hub_bars in ((True, True), (True, False), (False, False)):
        (logging.enable_progress_bar if bars else logging.disable_progress_bar)()
        (hub_utils.enable_progress_bars if hub_bars else hub_utils.disable_progress_bars)()
        logging.set_verbosity_info()
        with silent():
            assert not logging.is_progress_bar_enabled()
            assert hub_utils.are_progress_bars_disabled()
            assert logging.get_verbosity() == logging.ERROR
        assert logging.is_progress_bar_enabled() == bars
        assert hub_utils.are_progress_bars_disabled() != hub_bars
        assert logging.get_verbosity() == logging.INFO
    logging.set_verbosity_warning()
    logging.enable_progress_bar()
