"""The published formats of video object segmentation, written from made-up weights of narrow networks and read back."""

from __future__ import annotations

import functools
import logging
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import sdbench
from sdbench.assets import AssetStore
from sdbench.base.errors import AssetError, InputError
from sdbench.networks import VideoNetwork, build
from sdbench.networks.vos.matnet import CROSS_CONNECTIONS, FUSIONS
from sdbench.zoo import Model, feed_of, model, models, read_checkpoint
from sdbench.zoo.archives import find_in, newest_parts
from sdbench.zoo.checkpoints import read_safetensors
from tests.made.filled import fill_state_dict

State = dict[str, torch.Tensor]
WIDTH = {"fusionseg": 4, "matnet": 4, "rtnet": 16}
TOP = "checkpoints_3models_staticdynamic_cvpr22_final/"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`sdbench.load` builds every network narrow and shallow, and its store lies in a folder of the test."""
    monkeypatch.setattr("sdbench.zoo.model", narrow)
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")


def narrow(name: str, trained_on: str | None = None) -> Model:
    known = model(name, trained_on)
    small: dict[str, Any] = {"width": WIDTH[known.architecture], "depths": (1, 1, 1, 1)}
    return replace(known, options={**known.options, **small})


@functools.cache
def _filled(name: str) -> State:
    module = narrow(name).build()
    fill_state_dict(module, 0)
    return module.state_dict()


def filled(name: str) -> State:
    """Random weights of a narrow and shallow network."""
    return dict(_filled(name))


def is_loaded(module: VideoNetwork, state: State, but: frozenset[str] = frozenset()) -> bool:
    own = module.state_dict()
    return all(torch.equal(own[name], value) for name, value in state.items() if name not in but)


def write_fusionseg(state: State, path: Path) -> None:
    """As the published training code saves it."""
    torch.save({"cur_itrs": 3, "model_state": state, "optimizer_state": {"state": {}}, "best_score": 0.5}, path)


def write_rtnet(state: State, path: Path) -> None:
    torch.save({"epoch": 9, "state_dict": {f"module.{name}": value for name, value in state.items()}}, path)


def write_matnet(state: State, folder: Path, epoch: int | str = 19, prefix: str = "module.") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("encoder", "decoder"):
        own = {f"{prefix}{name[8:]}": value for name, value in state.items() if name.startswith(part)}
        torch.save(own, folder / f"{part}_{epoch}.pt")


def zipped(folder: Path, target: Path, top: str = "") -> Path:
    assert folder not in target.parents, "it would hold itself"
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, top + path.relative_to(folder).as_posix())
    return target


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """What the published zip holds: three FusionSegs, MATNet at two epochs, RTNet."""
    folder = tmp_path / "published"
    for trained_on in ("davis", "taovos", "imagenetvid"):
        path = folder / str(model("fusionseg", trained_on).member)
        path.parent.mkdir(parents=True, exist_ok=True)
        state = filled("fusionseg")
        write_fusionseg({name: value + len(trained_on) for name, value in state.items()}, path)
    matnet = filled("matnet")
    write_matnet(matnet, folder / "checkpoints_matnet", 19)
    write_matnet({name: value * 0 for name, value in matnet.items()}, folder / "checkpoints_matnet", 9)
    write_rtnet(filled("rtnet"), folder / "model_RX50.pth")
    return folder


@pytest.mark.parametrize("top", ["", TOP])
@pytest.mark.slow
def test_the_published_zip_is_read_and_kept(tmp_path: Path, published: Path, top: str) -> None:
    store = AssetStore()
    store.add("vos_checkpoints", zipped(published, tmp_path / "own.zip", top))
    for _ in range(2):  # from the zip, then from the copies
        for trained_on in ("davis", "taovos", "imagenetvid"):
            state = filled("fusionseg")
            own = {name: value + len(trained_on) for name, value in state.items()}
            assert is_loaded(sdbench.load("fusionseg", trained_on=trained_on), own)
        assert is_loaded(sdbench.load("matnet"), filled("matnet"))
        assert is_loaded(sdbench.load("rtnet"), filled("rtnet"))
    assert len(list((store.folder / "converted").glob("*.safetensors"))) == 5
    assert not [path for path in (store.folder / "staging").rglob("*") if path.is_file()], "nothing unpacked stays"


def test_the_copy_is_read_without_the_zip_being_unpacked(tmp_path: Path, published: Path, monkeypatch) -> None:
    AssetStore().add("vos_checkpoints", zipped(published, tmp_path / "own.zip"))
    first = sdbench.load("matnet").state_dict()

    def never(*given: object, **options: object) -> None:
        raise AssertionError("unpacked again")

    monkeypatch.setattr("sdbench.zoo.archives.unpack", never)
    assert is_loaded(sdbench.load("matnet"), first)


@pytest.mark.slow
def test_files_zips_and_folders_of_the_users_own(tmp_path: Path, published: Path) -> None:
    archive = zipped(published, tmp_path / "own.zip", TOP)
    fseg = published / str(model("fusionseg").member)
    for path in (archive, fseg):
        state = filled("fusionseg")
        assert is_loaded(sdbench.load("fusionseg", weights=path), {name: value + 5 for name, value in state.items()})
    for path in (archive, published / "model_RX50.pth"):
        assert is_loaded(sdbench.load("rtnet", weights=str(path)), filled("rtnet"))
    for path in (archive, published / "checkpoints_matnet", published):
        assert is_loaded(sdbench.load("matnet", weights=path), filled("matnet"))


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_matnet_of_reciprocal_gates_takes_the_whole_zip(tmp_path: Path, prefix: str) -> None:
    state = filled("matnet_recip_gated")
    write_matnet(state, tmp_path / "run", 7, prefix)
    for top in ("", "ckpt_cctype_coatt_gating_recip/"):
        archive = zipped(tmp_path / "run", tmp_path / "own.zip", top)
        loaded = sdbench.load("matnet_recip_gated", weights=archive)
        assert is_loaded(loaded, state)
        assert "encoder.coa_res5.rgating.conv.0.weight" in state
    torch.save(state, tmp_path / "all.pt")
    with pytest.raises(AssetError, match=r"6 entries .*left over encoder\.coa_res3\.rgating\.conv\.0\.weight"):
        sdbench.load("matnet", weights=tmp_path / "all.pt")  # one file must fit entirely


def test_the_shapes_of_a_checkpoint_are_those_of_the_options(tmp_path: Path) -> None:
    state = filled("matnet_recip_gated")
    torch.save({f"model.{name}": value for name, value in state.items()}, tmp_path / "a.pt")
    options = narrow("matnet_recip_gated").options
    assert options["cross_connection"] == "coatt_gated_recip"
    assert read_checkpoint(tmp_path / "a.pt", "matnet", options).keys() == state.keys()
    with pytest.raises(InputError, match="cross connection 'coat'"):
        read_checkpoint(tmp_path / "a.pt", "matnet", {"cross_connection": "coat"})


def test_entries_that_are_not_used_are_named_and_unused_ones_may_lack(tmp_path: Path, caplog) -> None:
    state, unused = filled("matnet"), narrow("matnet").build().unused_entries()
    given = {name: value for name, value in state.items() if name not in unused}
    given |= {"encoder.fc.weight": torch.zeros(2), "decoder.aux.bias": torch.zeros(1)}
    write_matnet(given, tmp_path / "run", 3)
    with caplog.at_level(logging.INFO, logger="sdbench.zoo"):
        loaded = sdbench.load("matnet", weights=tmp_path / "run")
    assert is_loaded(loaded, state, but=unused)
    left_out, kept = (record.getMessage() for record in caplog.records)
    assert "run has 2 entries that the network does not use: encoder.fc.weight, decoder.aux.bias" in left_out
    assert f"lacks {len(unused)} entries that no layer depends on" in kept
    assert all(name in kept for name in unused)
    caplog.clear()
    write_matnet(state, tmp_path / "whole", 3)
    sdbench.load("matnet", weights=tmp_path / "whole")
    assert not caplog.records


def test_they_are_named_again_when_the_copy_is_read(tmp_path: Path, caplog) -> None:
    state = {**filled("matnet"), "encoder.fc.weight": torch.zeros(2)}
    del state["decoder.concat.bias"]
    write_matnet(state, tmp_path / "run" / "checkpoints_matnet")
    AssetStore().add("vos_checkpoints", zipped(tmp_path / "run", tmp_path / "own.zip"))
    for _ in range(2):
        caplog.clear()
        sdbench.load("matnet")
        assert "encoder.fc.weight" in caplog.text
        assert "decoder.concat.bias" in caplog.text


def test_other_entries_may_not_lack(tmp_path: Path) -> None:
    state = filled("matnet")
    for name in ("encoder.coa_res3.proja.weight", "decoder.bdry2.bn1.running_mean", "decoder.concat.weight"):
        del state[name]
    state["decoder.pred2.bias"] = torch.zeros(2)
    write_matnet(state, tmp_path / "run")
    with pytest.raises(AssetError) as caught:
        sdbench.load("matnet", weights=tmp_path / "run")
    message = str(caught.value)
    assert "the checkpoint run does not fit MATNet in 3 entries (2 missing, 0 left over, 1 of another shape)" in message
    assert "missing encoder.coa_res3.proja.weight; missing decoder.bdry2.bn1.running_mean" in message
    write_matnet(filled("matnet"), tmp_path / "plain")
    with pytest.raises(AssetError, match=r"6 missing.*missing encoder\.coa_res3\.rgating\.conv\.0\.weight"):
        sdbench.load("matnet_recip_gated", weights=tmp_path / "plain")
    fusionseg = filled("fusionseg")
    write_fusionseg({**fusionseg, "aux": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(AssetError, match="left over aux"):
        sdbench.load("fusionseg", weights=tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("cross_connection", "fusion"),
    [*((name, "gated") for name in CROSS_CONNECTIONS), *(("coatt", name) for name in FUSIONS if name != "gated")],
)
def test_unused_entries_are_those_that_no_layer_depends_on(cross_connection: str, fusion: str) -> None:
    module = build("matnet", cross_connection=cross_connection, fusion=fusion, width=16)
    fill_state_dict(module, 0)
    module = module.double()  # some dependences are weak
    unused = module.unused_entries()
    draw = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(1, 3, 64, 64, generator=draw, dtype=torch.float64) for name in ("image", "flow")}
    answers = dict(module.trace(**inputs))
    seen = [(torch.randn(x.shape, generator=draw, dtype=x.dtype) * x).sum() / x.abs().max() for x in answers.values()]
    torch.stack(seen).sum().backward()
    named = {name: parameter.grad for name, parameter in module.named_parameters()}
    # A norm's running moments are used if its weights are.
    assert {name for name, gradient in named.items() if gradient is None} == {name for name in unused if name in named}
    still = {name for name, gradient in named.items() if gradient is not None and not gradient.abs().sum()}
    # These move all scores of a softmax alike, which matters in the last digits alone.
    assert all(name.endswith(("proj1.bias", "proj2.bias")) for name in still)
    owners = {name.rpartition(".")[0] for name in unused if name in named}
    buffers = {name for name, _ in module.named_buffers()}
    assert {name for name in buffers - unused if name.rpartition(".")[0] in owners} == set()
    of_owners = {name for name in buffers & unused if name.rpartition(".")[0] not in owners}
    assert all(name.endswith("num_batches_tracked") for name in of_owners)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name in unused:
                value.fill_(float("nan") if value.is_floating_point() else 7)
        for layer, values in module.trace(**inputs):
            assert torch.equal(values, answers[layer]), layer


def spoiled_folder(folder: Path, spoil: Callable[[Path], Any]) -> Path:
    write_matnet(filled("matnet"), folder, 10)
    spoil(folder)
    return folder


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda at: (at / "encoder_10.pt").unlink(), "has no encoder: expected encoder_EPOCH.pt and decoder_EPOCH.pt"),
        (lambda at: (at / "decoder_10.pt").unlink(), r"has no decoder.*it holds encoder_10\.pt"),
        (lambda at: [path.unlink() for path in at.iterdir()], "has no encoder and no decoder.*it holds no .pt file"),
        (
            lambda at: (at / "decoder_10.pt").rename(at / "decoder_9.pt"),
            "has no epoch with encoder and decoder; epochs of encoder: 10; decoder: 9",
        ),
        (
            lambda at: (at / "encoder_010.pt").write_bytes(b"x"),
            r"two files of the encoder at epoch 10: encoder_010\.pt and encoder_10\.pt",
        ),
        (
            lambda at: write_matnet({"encoder.a": torch.zeros(1)}, at / "again", 10),
            r"two files of the decoder at epoch 10: again/decoder_10\.pt and decoder_10\.pt",
        ),
        (lambda at: (at / "encoder_10.pt").write_bytes(b"x"), r"encoder_10\.pt is not a checkpoint as torch writes it"),
        (
            lambda at: torch.save({"a": torch.zeros(1), "module.a": torch.zeros(1)}, at / "encoder_10.pt"),
            r"encoder_10\.pt holds a with and without module\.",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path, spoil: Callable[[Path], Any], said: str) -> None:
    folder = spoiled_folder(tmp_path / "top" / "checkpoints_matnet", spoil)
    with pytest.raises(AssetError, match=said) as caught:
        sdbench.load("matnet", weights=folder)
    assert "\n" not in str(caught.value)
    if any(folder.iterdir()):  # the same inside a zip, which is named as where it lies
        archive = zipped(tmp_path / "top", tmp_path / "own.zip")
        with pytest.raises(AssetError, match=r"own\.zip") as caught:
            sdbench.load("matnet", weights=archive)
        assert "staging" not in str(caught.value)


def test_the_highest_epoch_that_is_whole_is_taken(caplog) -> None:
    names = ["a/encoder_2.pt", "a/decoder_2.pt", "encoder_10.pt", "decoder_10.pt", "encoder_11.pt", "encoder_best.pt"]
    parts = ("encoder", "decoder")
    assert newest_parts(names, parts, "here") == {"encoder": "encoder_10.pt", "decoder": "decoder_10.pt"}
    assert "epoch 10 is read; of 11 not every part is there" in caplog.text


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["deep/er/model_RX50.pth"], "does not hold model_RX50.pth, nor one folder that does"),
        (["MODEL_RX50.pth", "model_RX50.pth.bak"], "it holds MODEL_RX50.pth, model_RX50.pth.bak"),
        (["a/model_RX50.pth", "b/model_RX50.pth"], "more than once: a/model_RX50.pth, b/model_RX50.pth"),
        (["model_RX50.pth", "a/model_RX50.pth"], "more than once: a/model_RX50.pth, model_RX50.pth"),
        ([], "it holds no file"),
    ],
)
def test_members_are_found_below_one_folder_and_no_deeper(names: list[str], said: str) -> None:
    with pytest.raises(AssetError, match=said):
        find_in(names, "model_RX50.pth", "the.zip")
    assert find_in([*names, "x/folder/a", "x/folder/b/c"], "folder/", "the.zip") == ["x/folder/a", "x/folder/b/c"]
    assert find_in(names, "", "the.zip") == names


def test_other_zips_folders_and_places_are_refused(tmp_path: Path, published: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../model_RX50.pth", b"x")
    with pytest.raises(AssetError, match=r"'\.\./model_RX50\.pth' climbs out of its folder"):
        sdbench.load("rtnet", weights=tmp_path / "evil.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("model.pth", b"x")
    with pytest.raises(AssetError, match=r"does not hold model_RX50\.pth.*it holds model\.pth"):
        sdbench.load("rtnet", weights=tmp_path / "other.zip")
    with pytest.raises(AssetError, match=r"does not hold checkpoints_matnet/.*it holds model\.pth"):
        sdbench.load("matnet", weights=tmp_path / "other.zip")
    with pytest.raises(InputError, match="is a folder; the weights of rtnet are one file"):
        sdbench.load("rtnet", weights=published)
    with pytest.raises(InputError, match=r"no checkpoint at .*a folder of encoder_EPOCH\.pt and decoder_EPOCH\.pt"):
        sdbench.load("matnet", weights=tmp_path / "nowhere")
    (tmp_path / "cut.zip").write_bytes(zipped(published, tmp_path / "own.zip").read_bytes()[:-100])
    with pytest.raises(AssetError, match=r"cut\.zip cannot be read.*if it is cut off, delete it"):
        sdbench.load("rtnet", weights=tmp_path / "cut.zip")
    with pytest.raises(AssetError, match="it seems to be a checkpoint of another network"):
        sdbench.load("fusionseg", weights=published / "model_RX50.pth")


def test_weights_that_were_never_published_are_said_to_be(tmp_path: Path) -> None:
    state = filled("matnet_noytb")
    for name in ("matnet_reproduced", "matnet_nobar", "matnet_noytb", "matnet_gated"):
        with pytest.raises(AssetError, match="never published; only its authors can give it to you"):
            sdbench.load(name)
    write_matnet(state, tmp_path / "run")
    assert is_loaded(sdbench.load("matnet_noytb", weights=tmp_path / "run"), state)
    AssetStore().add("matnet_noytb", zipped(tmp_path / "run", tmp_path / "given.zip", "run/"))
    assert is_loaded(sdbench.load("matnet_noytb"), state)


def test_the_copy_is_made_once(tmp_path: Path, published: Path) -> None:
    store = AssetStore()
    store.add("vos_checkpoints", zipped(published, tmp_path / "own.zip"))
    sdbench.load("rtnet")
    (copy,) = (store.folder / "converted").glob("*.safetensors")
    assert read_safetensors(copy).keys() == filled("rtnet").keys()
    before = copy.stat().st_mtime_ns
    sdbench.load("rtnet")
    assert [path.stat().st_mtime_ns for path in (store.folder / "converted").iterdir()] == [before]


def test_every_model_can_be_built_and_found_as_expected_values_name_it() -> None:
    vos = [known for known in models() if known.task == "video object segmentation"]
    assert {(known.name, known.trained_on) for known in vos} == {
        ("fusionseg", "davis"),
        ("fusionseg", "taovos"),
        ("fusionseg", "imagenetvid"),
        ("matnet", "davis+youtube-vos"),
        ("matnet_recip_gated", "davis+youtube-vos"),
        ("matnet_reproduced", "davis+youtube-vos"),
        ("matnet_nobar", "davis+youtube-vos, no boundary refinement"),
        ("matnet_noytb", "davis only"),
        ("matnet_gated", "not stated"),
        ("rtnet", "davis+duts"),
    }
    with torch.device("meta"):
        assert all(known.build().layers for known in vos)
    assert model("matnet", "davis+youtube-vos") == model("matnet")
    with pytest.raises(InputError, match=r"no weights of matnet trained on 'davis\+youtube-vos, a remark' are known"):
        model("matnet", "davis+youtube-vos, a remark")
    assert model("transnetv2", "clipshots, bbc, rai").trained_on == "clipshots, bbc, rai"
    with pytest.raises(InputError, match=r"no weights of matnet trained on 'duts' are known; known: davis\+youtube"):
        model("matnet", "duts")


def test_plain_videos_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sees frames together with their optical flow"):
        sdbench.studies.clips(tmp_path).plan(feed_of("fusionseg"), 0)
