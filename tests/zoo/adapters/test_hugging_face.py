"""Checkpoints of the transformers library: every hidden state is the library's own, and what is damaged is refused."""

from __future__ import annotations

import itertools
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import sdbench
from sdbench import AssetError, InputError
from sdbench.assets import AssetStore
from sdbench.cli import main
from sdbench.networks import Network
from sdbench.zoo import network_named
from sdbench.zoo.adapters.hidden_states import FAMILIES, HiddenStates
from tests.zoo.adapters.small_checkpoints import SMALL, Small, small

pytestmark = pytest.mark.skipif(find_spec("transformers") is None, reason="needs sdbench[transformers]")

TOWERS = {
    "CLIPModel": "vision_model",
    "CLIPVisionModelWithProjection": "vision_model",
    "Dinov2ForImageClassification": "dinov2",
    "SiglipModel": "vision_model",
    "TimesformerForVideoClassification": "timesformer",
    "VJEPA2ForVideoClassification": "vjepa2",
    "VideoMAEForPreTraining": "videomae",
    "VideoMAEForVideoClassification": "videomae",
    "VideoPrismClipModel": "video_model.vision_model",
    "VivitForVideoClassification": "vivit",
    "XCLIPModel": "vision_model",
}
"""Class -> where it holds the part that answers hidden states; others are that part."""

IMAGES = {"CLIP", "DINOv2", "DINOv2 with registers", "DINOv3", "SigLIP"}
WITH_CLASS_TOKEN = IMAGES - {"SigLIP"} | {"TimeSformer", "ViViT", "X-CLIP"}


def module_of(network: Network) -> HiddenStates:
    assert isinstance(network.module, HiddenStates)
    return network.module


def clips_for(network: Network, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, network.feed.frames, 3, *network.feed.height_and_width, generator=generator)


def states_of_the_library(of: Small, folder: Path, clips: torch.Tensor) -> dict[str, torch.Tensor]:
    """Layer -> tokens (B, N, C) or class tokens, from the library's own call, put together one by one."""
    whole = getattr(import_module("transformers"), of.made).from_pretrained(folder)
    tower = whole.get_submodule(TOWERS.get(of.made, ""))
    batch, frames = clips.shape[:2]
    by_frame = of.family in IMAGES or of.family == "X-CLIP"
    shown = torch.stack([clips[b, t] for b in range(batch) for t in range(frames)]) if by_frame else clips
    options = {"skip_predictor": True} if of.family == "V-JEPA 2" else {}
    with torch.no_grad():
        answer = tower(shown, output_hidden_states=True, **options)
    states = list(answer.hidden_states)
    spatial = tower.config.num_spatial_layers if of.family == "VideoPrism" else len(states)
    if of.family == "VideoPrism":
        # The library ties the last of the states to what the norm answers; the block's own answer has another name.
        assert torch.equal(states[-1], answer.last_hidden_state)
        states[-1] = answer.last_temporal_hidden_state

    def regrouped(number: int, state: torch.Tensor) -> torch.Tensor:
        clip_by_clip = []
        for b in range(batch):
            if number > spatial:
                patches = len(state) // batch
                rows = [state[b * patches + patch, t] for t in range(frames) for patch in range(patches)]
            elif len(state) == batch:
                rows = list(state[b])
            else:
                rows = [token for t in range(frames) for token in state[b * frames + t]]
            clip_by_clip.append(torch.stack(rows))
        return torch.stack(clip_by_clip)

    def class_token(state: torch.Tensor) -> torch.Tensor:
        if not by_frame:
            return torch.stack([state[b, 0] for b in range(batch)])
        return torch.stack([torch.stack([state[b * frames + t, 0] for t in range(frames)]) for b in range(batch)])

    layers = {}
    for number, state in enumerate(states):
        layers[f"block{number}" if number else "embeddings"] = regrouped(number, state)
        if number and of.family in WITH_CLASS_TOKEN:
            layers[f"block{number}.cls"] = class_token(state)
    if of.family in {"CLIP", "X-CLIP"}:
        layers["norm.cls"] = class_token(answer.pooler_output[:, None])
    elif of.made != "VideoMAEForVideoClassification":
        layers["norm"] = regrouped(0, answer.last_hidden_state)
        if of.family in WITH_CLASS_TOKEN:
            layers["norm.cls"] = class_token(answer.last_hidden_state)
    return layers


@pytest.mark.parametrize("of", SMALL, ids=lambda of: of.made)
def test_every_layer_is_a_hidden_state_of_the_library(
    of: Small, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = of.save(tmp_path / "checkpoint")
    capfd.readouterr()
    network = network_named(f"hf:{folder}")
    assert capfd.readouterr() == ("", "")
    clips = clips_for(network)
    expected = states_of_the_library(of, folder, clips)
    assert network.module.layers == tuple(expected)
    with torch.no_grad():
        for name, activation in module_of(network).trace(**{network.feed.argument: clips}):
            assert activation.shape == expected[name].shape
            torch.testing.assert_close(activation, expected[name], atol=1e-6, rtol=0)
    units = sdbench.units(network.module, {network.feed.argument: clips})
    assert list(units) == list(expected)
    for name, tokens in expected.items():
        mean = torch.stack([clip.reshape(-1, tokens.shape[-1]).mean(0) for clip in tokens])
        torch.testing.assert_close(units[name], mean, atol=1e-6, rtol=0)


@pytest.mark.parametrize("made", ["VideoMAEForVideoClassification", "XCLIPModel", "DINOv3ViTModel"])
def test_a_network_that_has_run_can_go_to_another_process(made: str, tmp_path: Path) -> None:
    network = network_named(f"hf:{small(made).save(tmp_path)}")
    clips = {network.feed.argument: clips_for(network)}
    expected = sdbench.units(network.module, clips)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    again = pickle.loads(pickle.dumps(network))
    assert torch.equal(torch.get_rng_state(), before)
    assert again.weights == network.weights
    assert not again.module.training
    for name, values in sdbench.units(again.module, clips).items():
        torch.testing.assert_close(values, expected[name], atol=0, rtol=0)


def test_every_family_has_a_small_checkpoint() -> None:
    assert {of.family for of in SMALL} == {family.title for family in FAMILIES.values()}


def test_every_block_differs_from_the_one_before(tmp_path: Path) -> None:
    network = network_named(f"hf:{small('VideoPrismVisionModel').save(tmp_path)}")
    with torch.no_grad():
        states = [tokens for _, tokens in module_of(network).trace(clips_for(network))]
    for before, after in itertools.pairwise(states):
        assert not torch.allclose(before, after, atol=1e-3)


def test_image_networks_do_not_see_the_order_of_frames(tmp_path: Path) -> None:
    network = network_named(f"hf:{small('SiglipVisionModel').save(tmp_path)}")
    clips = clips_for(network)
    as_filmed = sdbench.units(network.module, {"pixel_values": clips})
    backwards = sdbench.units(network.module, {"pixel_values": clips.flip(1)})
    for name, values in as_filmed.items():
        torch.testing.assert_close(values, backwards[name], atol=1e-5, rtol=0)


def test_vjepa2_sees_any_even_number_of_frames(tmp_path: Path) -> None:
    folder = small("VJEPA2Model").save(tmp_path)
    network = network_named(f"hf:{folder}", feed={"frames": 10})
    assert clips_for(network).shape[1] == 10
    expected = states_of_the_library(small("VJEPA2Model"), folder, clips_for(network))
    with torch.no_grad():
        found = dict(module_of(network).trace(clips_for(network)))
    torch.testing.assert_close(found["norm"], expected["norm"], atol=1e-6, rtol=0)
    with pytest.raises(InputError, match="joins every 2 frames; got 7"):
        network_named(f"hf:{folder}", feed={"frames": 7})


def test_dinov2_sees_any_number_of_patches(tmp_path: Path) -> None:
    folder = small("Dinov2Model").save(tmp_path)
    network = network_named(f"hf:{folder}", feed={"size": (28, 70), "frames": 2})
    clips = clips_for(network)
    expected = states_of_the_library(small("Dinov2Model"), folder, clips)
    with torch.no_grad():
        found = dict(module_of(network).trace(clips))
    assert found["block2"].shape == (2, 2 * (1 + 2 * 5), 24)
    torch.testing.assert_close(found["block2"], expected["block2"], atol=1e-6, rtol=0)
    with pytest.raises(InputError, match="patches of 14 x 14 pixels; got frames of 30 x 30"):
        network_named(f"hf:{folder}", feed={"size": 30})


@pytest.mark.parametrize(
    "made",
    ["VideoMAEModel", "VivitModel", "TimesformerForVideoClassification", "XCLIPVisionModel", "VideoPrismVisionModel"],
)
def test_positions_that_are_fixed_refuse_other_numbers(made: str, tmp_path: Path) -> None:
    folder = small(made).save(tmp_path)
    size = network_named(f"hf:{folder}").feed.size
    with pytest.raises(InputError, match="has positions for 4 frames; got 8"):
        network_named(f"hf:{folder}", feed={"frames": 8})
    with pytest.raises(InputError, match=f"has positions for {size} x {size} pixels; got 64 x 64"):
        network_named(f"hf:{folder}", feed={"size": 64})


@pytest.mark.parametrize("made", ["XCLIPVisionModel", "TimesformerForVideoClassification"])
def test_clips_of_another_length_are_not_read_as_others_are(made: str, tmp_path: Path) -> None:
    # Two clips of 6 frames would pass through the library as three clips of 4.
    network = network_named(f"hf:{small(made).save(tmp_path)}")
    with pytest.raises(InputError, match="positions for 4 frames; got 6"):
        sdbench.units(network.module, {"pixel_values": torch.zeros(2, 6, 3, 32, 32)})
    with pytest.raises(InputError, match=r"expected clips \(B, T, C, H, W\)"):
        sdbench.units(network.module, {"pixel_values": torch.zeros(8, 3, 32, 32)})


def test_layers_are_named_or_matched(tmp_path: Path) -> None:
    folder = small("CLIPVisionModelWithProjection").save(tmp_path)
    network = network_named(f"hf:{folder}", layers=["block*.cls"])
    assert [layer.name for layer in network.read] == ["block1.cls", "block2.cls"]
    with pytest.raises(InputError, match="unknown layer"):
        network_named(f"hf:{folder}", layers=["blocks.1"])


# What is said of a network


def test_notes_say_what_was_read(tmp_path: Path) -> None:
    folder = small("VivitModel").save(tmp_path)
    network = network_named(f"hf:{folder}")
    assert network.name == f"hf:{folder}"
    assert network.notes == (
        "a checkpoint in a folder of the user's own",
        f"loaded as VivitModel by transformers {version('transformers')}",
        "read: the mean over all tokens; the class token as NAME.cls",
    )


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("---\nlicense: cc-by-nc-4.0\ntags:\n- video\n---\n# Card", "cc-by-nc-4.0, which forbids commercial use"),
        ("---\ntags: []\nlicense: 'mit'\n---\n", "mit"),
        ("---\nlicense: other\nlicense_name: dinov3-license\n---\n", "dinov3-license"),
        ("---\ntags: []\n---\nlicense: mit", None),
        ("license: mit", None),
    ],
)
def test_the_card_says_the_licence(card: str, said: str | None, tmp_path: Path) -> None:
    folder = small("SiglipVisionModel").save(tmp_path)
    (folder / "README.md").write_text(card)
    notes = network_named(f"hf:{folder}").notes
    assert notes[3:] == (() if said is None else (f"licence of the weights: {said}",))
    assert all("licence" not in note for note in network_named(f"hf:{folder}", untrained=0).notes)


def test_untrained_is_another_network_and_always_the_same(tmp_path: Path) -> None:
    folder = small("VideoMAEForVideoClassification").save(tmp_path)
    trained = network_named(f"hf:{folder}")
    (folder / "model.safetensors").unlink()
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    fresh, again, other = (network_named(f"hf:{folder}", untrained=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), before)
    assert fresh.weights == again.weights
    assert len({fresh.weights, other.weights, trained.weights}) == 3
    assert fresh.notes[-1] == "untrained: the architecture with fresh weights of seed 0"
    assert fresh.module.layers == trained.module.layers


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    of = small("CLIPModel")
    of.model().half().save_pretrained(tmp_path)
    (tmp_path / of.name).write_text(json.dumps(of.file))
    for untrained in (None, 0):
        network = network_named(f"hf:{tmp_path}", untrained=untrained)
        assert {parameter.dtype for parameter in network.module.parameters()} == {torch.float32}


# Damaged checkpoints


def changed(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    entries = load_file(folder / "model.safetensors")
    change(entries)
    save_file(entries, folder / "model.safetensors", metadata={"format": "pt"})


BIAS = "videomae.encoder.layer.1.attention.output.dense.bias"
QUERY = "videomae.encoder.layer.1.attention.attention.q"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda entries: entries.pop(BIAS), f"it lacks {BIAS}"),
        (lambda entries: entries.pop("fc_norm.bias"), "it lacks fc_norm.bias"),
        (lambda entries: entries.pop(f"{QUERY}_bias"), f"it lacks {QUERY}uery.bias"),
        (
            lambda entries: entries.__setitem__("videomae.encoder.layer.1.attention.q.bias", entries.pop(BIAS)),
            f"it lacks {BIAS}; it holds entries that are not of the network: videomae.encoder.layer.1.attention.q.bias",
        ),
        (lambda entries: entries.__setitem__("head.weight", torch.zeros(3)), "not of the network: head.weight"),
        (lambda entries: entries.__setitem__(BIAS, torch.zeros(23)), f"it has another shape of {BIAS}"),
    ],
    ids=["dropped bias", "dropped norm of the head", "dropped bias of queries", "renamed", "left over", "wrong shape"],
)
def test_every_entry_is_accounted_for(
    change: Callable[[dict[str, torch.Tensor]], None], sentence: str, tmp_path: Path
) -> None:
    folder = small("VideoMAEForVideoClassification").save(tmp_path)
    changed(folder, change)
    with pytest.raises(AssetError) as refused:
        network_named(f"hf:{folder}")
    assert sentence in str(refused.value)
    assert "VideoMAEForVideoClassification" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_biases_of_videomae_are_those_of_the_file(tmp_path: Path) -> None:
    # Its files call them q_bias and v_bias; versions of the library in between read zeros in their place.
    folder = small("VideoMAEModel").save(tmp_path)
    loaded = module_of(network_named(f"hf:{folder}")).tower.encoder.layer[1].attention.attention
    entries = load_file(folder / "model.safetensors")
    for name, layer in (("q_bias", loaded.query), ("v_bias", loaded.value)):
        assert layer.bias.abs().min() > 0
        assert torch.equal(layer.bias, entries[f"encoder.layer.1.attention.attention.{name}"])


def test_counted_positions_of_old_files_may_be_left_over(tmp_path: Path) -> None:
    folder = small("CLIPModel").save(tmp_path)
    changed(
        folder,
        lambda entries: entries.__setitem__("vision_model.embeddings.position_ids", torch.arange(5)[None]),
    )
    assert network_named(f"hf:{folder}").module.layers


def refused(folder: Path, **named: Any) -> str:
    with pytest.raises((AssetError, InputError)) as error:
        network_named(f"hf:{folder}", **named)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_pickle_in_place_of_safetensors_is_not_opened(tmp_path: Path) -> None:
    folder = small("SiglipVisionModel").save(tmp_path)

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.write_text, (tmp_path / "ran", "code"))

    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    sentence = refused(folder)
    assert "weights are read from model.safetensors alone" in sentence
    assert "only pytorch_model.bin, which can run any code" in sentence
    assert not (tmp_path / "ran").exists()


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    folder = small("SiglipVisionModel").save(tmp_path)
    whole = (folder / "model.safetensors").read_bytes()
    for length in (0, 5, 400, len(whole) - 4):
        (folder / "model.safetensors").write_bytes(whole[:length])
        assert "cannot be read" in refused(folder)


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    assert "no folder at" in refused(tmp_path / "elsewhere")
    assert "has no config.json" in refused(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": ')
    assert "is no JSON that can be read" in refused(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    assert "must hold an object" in refused(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    sentence = refused(tmp_path)
    assert "of type 'bert', which is not read" in sentence
    assert all(family.title in sentence for family in FAMILIES.values())
    (tmp_path / "config.json").write_text('{"model_type": "videomae"}')
    assert 'names no class; expected such as "architectures": ["VideoMAEModel"]' in refused(tmp_path)
    for name in ("VideoMAEForSomething", "AutoModel", "__version__", "pipeline"):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "videomae", "architectures": [name]}))
        assert f"has no model {name!r}" in refused(tmp_path)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    folder = small("SiglipVisionModel").save(tmp_path)
    (folder / "model.safetensors").unlink()
    assert "has none" in refused(folder)


def test_a_config_that_the_library_does_not_take_is_refused(tmp_path: Path) -> None:
    folder = small("SiglipVisionModel").save(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": "wide"}))
    assert "config.json" in refused(folder)


def test_a_class_without_hidden_states_is_refused(tmp_path: Path) -> None:
    of = small("CLIPModel")
    with torch.random.fork_rng(devices=[]):
        transformers = import_module("transformers")
        text = transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(**of.config["text_config"]))
    text.save_pretrained(tmp_path)
    assert "'clip_text_model', which is not read" in refused(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "clip"}))
    (tmp_path / of.name).write_text(json.dumps(of.file))
    assert "saved from CLIPTextModelWithProjection, which is not read" in refused(tmp_path)


def test_what_says_nothing_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    assert "trained on says nothing" in refused(tmp_path, trained_on="kinetics")
    assert "named hf:./FOLDER" in refused(tmp_path, weights="my.pt")
    assert "revision says nothing of a folder" in refused(tmp_path, revision="main")


def test_a_library_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.__version__", "5.10.2")
    sentence = refused(tmp_path)
    assert "transformers 5.10.2 loads some checkpoints wrongly" in sentence
    assert 'pip install --upgrade "sdbench[transformers]"' in sentence


# Measured


def test_the_command_measures_a_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small("VivitModel").save(tmp_path / "vivit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    capfd.readouterr()
    given = ["measure", "hf:./vivit", "--scenes", "8", "--workers", "0", "--layers", "block*", "--json", "found.json"]
    assert main(given) == 0
    printed = capfd.readouterr().out
    for layer in ("block1", "block1.cls", "block2", "block2.cls"):
        assert layer in printed
    measurement = json.loads((tmp_path / "found.json").read_text())["measurement"]
    assert measurement["network"] == "hf:./vivit"
    assert "read: the mean over all tokens; the class token as NAME.cls" in measurement["notes"]
    assert measurement["feed"]["mean"] == [0.75, 0.75, 0.75]


@pytest.mark.parametrize("of", {of.family: of for of in SMALL}.values(), ids=lambda of: of.family)
def test_every_family_is_measured(of: Small, tmp_path: Path) -> None:
    network = network_named(f"hf:{of.save(tmp_path / 'checkpoint')}")
    found = sdbench.measure(network, sdbench.studies.rendered(8), workers=0, store=AssetStore(tmp_path / "store"))
    assert found.layers == module_of(network).layers
    for layer in found.layers:
        assert sum(found.layer(layer).estimate.shares.values()) == pytest.approx(100)
    assert network.notes[0] in found.notes


# The hub, of which nothing is here


@pytest.mark.slow
def test_offline_a_name_of_the_hub_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sdbench", "measure", "hf:MCG-NJU/videomae-base", "--scenes", "8"],
        env={"HF_HOME": str(tmp_path / "hub"), "SDBENCH_OFFLINE": "1", "SDBENCH_CACHE": str(tmp_path / "cache")},
        cwd=Path(sdbench.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.strip().count("\n") == 0
    assert "offline, and MCG-NJU/videomae-base is not in the hub's cache" in done.stderr
    assert "unset SDBENCH_OFFLINE" in done.stderr
