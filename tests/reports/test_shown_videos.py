"""Public reports of videos and pictures that are not read as they are shown."""

from __future__ import annotations

import io
import os
import struct
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from sdbench.base.content import Contents
from sdbench.base.errors import InputError
from sdbench.data.davis_check import read_mask
from sdbench.data.make.flow import FlowJob, make_flow
from sdbench.data.video_folder import find_videos
from sdbench.video.decode import (
    decode_frames,
    frame_files,
    frames_at_rate,
    natural_key,
    ordered_pictures,
    outline,
    picture_size,
    read_picture,
)
from sdbench.video.flow import FlowMethod, draw_flow
from tests.reports.made import box, pan, pictures, quarters, seen, with_box, with_sound_first, write


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(
    ("degrees", "flips", "shown"),
    [
        (90, {}, "GYRB"),
        (180, {}, "YBGR"),
        (270, {}, "BRYG"),
        (0, {"hflip": True}, "GRYB"),
        (0, {"vflip": True}, "BYRG"),
        (90, {"vflip": True}, "RBGY"),
    ],
)
def test_a_phone_turns_its_videos(
    tmp_path: Path, ending: str, degrees: int, flips: dict[str, bool], shown: str
) -> None:
    """meta-pytorch/torchcodec #1084: a display matrix says how a video is held, and readers show it on its side."""
    path = write(tmp_path / f"a.{ending}", [quarters()] * 2, degrees=degrees, flips=flips)
    frames = list(decode_frames(path))
    assert [seen(frame) for frame in frames] == [shown] * 2
    assert frames[0].shape == ((64, 48, 3) if degrees % 180 else (48, 64, 3))
    with pytest.raises(InputError, match="turned by -45 degrees, which leaves corners empty"):
        next(decode_frames(write(tmp_path / f"b.{ending}", [quarters()] * 2, degrees=45)))


def test_a_tag_turns_a_video(tmp_path: Path) -> None:
    """PyAV-Org/PyAV #570: older files state the turn in a tag, in degrees clockwise."""
    path = write(tmp_path / "a.mkv", [quarters()] * 2, tags={"rotate": "90"})
    assert seen(next(decode_frames(path))) == "BRYG"


@pytest.mark.parametrize("ending", ["jpg", "png", "tiff", "webp"])
def test_a_camera_turns_its_pictures(tmp_path: Path, ending: str) -> None:
    """datachain-ai/datachain #1823: the orientation of EXIF, all eight of them."""
    shown = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(quarters()).save(tmp_path / f"a.{ending}", exif=exif)
        picture = read_picture(tmp_path / f"a.{ending}")
        assert picture_size(tmp_path / f"a.{ending}") == picture.shape[:2]
        shown.append(seen(picture))
    assert shown == ["RGBY", "GRYB", "YBGR", "BYRG", "RBGY", "BRYG", "YGBR", "GYRB"]


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4), (48, 256)), (Fraction(1, 2), (96, 64))])
def test_pixels_are_made_square(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    """dmlc/decord #24: recordings of television have pixels that are not square."""
    path = write(tmp_path / "a.mp4", [quarters()] * 2, pixel_aspect=aspect)
    assert next(decode_frames(path)).shape[:2] == size == (outline(path).height, outline(path).width)
    assert next(decode_frames(path, square=False)).shape == (48, 64, 3)


@pytest.mark.parametrize("ending", ["png", "tiff", "ppm"])
def test_sixteen_bits_are_scaled(tmp_path: Path, ending: str) -> None:
    """python-pillow/Pillow #2574: grey of 16 bits comes out white; #3011 and #5991 likewise."""
    ramp = np.linspace(0, 65535, 64)[None].repeat(8, 0).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / f"a.{ending}")
    np.testing.assert_allclose(read_picture(tmp_path / f"a.{ending}")[0, :, 1], ramp[0] / 257, atol=0.51)
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32)[None].repeat(8, 0)).save(tmp_path / "f.tiff")
    with pytest.raises(InputError, match=r"floating-point numbers \(mode F\)"):
        read_picture(tmp_path / "f.tiff")


def test_a_file_cut_without_encoding_shows_what_players_show(tmp_path: Path) -> None:
    """meta-pytorch/torchcodec #1502: the frames before a cut stay in the file, and an edit list hides them."""
    source = write(tmp_path / "long.mp4", pan(60), "libx264", options={"g": "30"})
    with av.open(str(source)) as read, av.open(str(tmp_path / "cut.mp4"), "w") as cut:
        stream = cut.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None and packet.pts * packet.time_base >= Fraction(6, 5):
                packet.pts, packet.dts = (int(t - 2 / packet.time_base) for t in (packet.pts, packet.dts))
                packet.stream = stream
                cut.mux(packet)
    with av.open(str(tmp_path / "cut.mp4")) as file:
        assert file.streams.video[0].frames == 30
    frames = list(decode_frames(tmp_path / "cut.mp4"))
    whole = list(decode_frames(source))
    np.testing.assert_array_equal(np.stack(frames), np.stack(whole[50:]))


CONTAINERS = [
    ("mp4", "libx264"),
    ("mp4", "mpeg4"),
    ("mkv", "libx264"),
    ("webm", "libvpx"),
    ("avi", "mpeg4"),
    ("flv", "libx264"),
    ("ts", "mpeg2video"),
    ("mkv", "libx265"),
]


@pytest.mark.parametrize(("ending", "codec"), CONTAINERS)
def test_damage_is_named_in_every_container(tmp_path: Path, ending: str, codec: str) -> None:
    """dmlc/decord #194, meta-pytorch/torchcodec #165: a hole in a file, or an end that is missing."""
    options = {"libx265": {"x265-params": "log-level=none"}, "libvpx": {"deadline": "realtime", "cpu-used": "8"}}
    path = write(tmp_path / f"a.{ending}", pan(50), codec, options=options.get(codec))
    content = path.read_bytes()
    assert len(list(decode_frames(path))) == 50
    path.write_bytes(content[: int(0.8 * len(content)) + 1])
    with pytest.raises(InputError, match=r"cut off|damaged|cannot be decoded|hole|no frame|no video stream"):
        list(decode_frames(path))
    hole = slice(len(content) // 2, len(content) // 2 + len(content) // 8)
    path.write_bytes(content[: hole.start] + bytes(hole.stop - hole.start) + content[hole.stop :])
    with pytest.raises(InputError, match=r"cut off|damaged|cannot be decoded|hole"):
        list(decode_frames(path))


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_time_shows_the_frame_of_that_time(tmp_path: Path, ending: str) -> None:
    """dmlc/decord #26, meta-pytorch/torchcodec #1628: where the rate varies, a number of a frame is no time."""
    times = [*range(0, 1000, 100), *range(1000, 1980, 20)]
    path = write(tmp_path / f"a.{ending}", pan(59), times=times)
    every = list(decode_frames(path))
    found = list(frames_at_rate(path, 5))
    wanted = [0, 2, 4, 6, 8, 10, 20, 30, 40, 50]
    assert len(found) == len(wanted)
    for frame, number in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(frame, every[number])


def test_times_follow_the_rate_where_it_is_constant(tmp_path: Path) -> None:
    """NVIDIA/Megatron-Energon #148: the k-th frame is what is seen k / rate seconds after the first."""
    path = write(tmp_path / "a.mp4", pan(25))
    every = list(decode_frames(path))
    for rate in (5, 10, 50):
        expected = [every[number * 25 // rate] for number in range(rate)]
        np.testing.assert_array_equal(np.stack(list(frames_at_rate(path, rate))), np.stack(expected))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([f"{kind}_{n:05}.jpg" for n in range(9) for kind in ("img", "flow_x", "flow_y")], "pictures of 3 kinds"),
        ([*(f"{n:04}.jpg" for n in range(9)), "cover.jpg"], "pictures of 2 kinds"),
        ([f"{n:04}.{end}" for n in range(4) for end in ("jpg", "png")], "pictures of 2 kinds"),
        ([f"shot{s}_{n:03}.png" for s in range(2) for n in range(4)], "2 series of numbered pictures"),
        ([f"{n}.png" for n in (*range(8), *range(200, 204))], "7 is followed by 200"),
        ([f"{n}.png" for n in range(30) if n % 3 != 2], "1 is followed by 3"),
        (["1.png", "01.png", "2.png"], "two pictures with the number 1"),
    ],
)
def test_pictures_that_are_no_frames_of_a_video_are_told(tmp_path: Path, names: list[str], said: str) -> None:
    """open-mmlab/mmaction2 #577: frames and their flow side by side, told apart by a prefix."""
    with pytest.raises(InputError, match=said):
        list(decode_frames(pictures(tmp_path / "a", names)))


@pytest.mark.parametrize(
    "names",
    [
        [f"frame{n}.png" for n in range(1, 13)],
        [f"{n:04}.jpg" for n in range(0, 40, 5)],
        [f"cam2_take3_{n:03}.png" for n in range(4)],
        [f"{1305031102 + n // 3}.{(175304 + 333000 * n) % 1000000:06}.png" for n in range(12)],
        ["²1.png", "²2.png"],
    ],
)
def test_frames_of_one_video_are_taken_in_their_order(tmp_path: Path, names: list[str]) -> None:
    """open-mmlab/mmaction2 #577 from the other side: numbers, steps, several numbers, time stamps."""
    assert [path.name for path in frame_files(pictures(tmp_path / "a", names))] == sorted(names, key=natural_key)


def test_replaced_pictures_are_hashed_anew(tmp_path: Path) -> None:
    """web-infra-dev/rspack #10101, lisa-lab/pylearn2 #870: other content of the same size and time."""
    contents = Contents(tmp_path / "kept")
    hashes = []
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        place = pictures(tmp_path / "a", ["0.bmp"]) / "0.bmp"
        Image.fromarray(pixels).save(tmp_path / "new.bmp")
        if seed == 2:
            (tmp_path / "new.bmp").replace(place)
        else:
            place.write_bytes((tmp_path / "new.bmp").read_bytes())
        os.utime(place, (10**9, 10**9))
        hashes.append(contents.of(ordered_pictures(place.parent)))
    assert len(set(hashes)) == 3


def test_what_lies_in_a_folder_is_followed_or_told(tmp_path: Path) -> None:
    """Links to folders are how subsets of data sets are laid out; what is passed over is counted."""
    folder, elsewhere = tmp_path / "videos", tmp_path / "elsewhere"
    for place in (folder, elsewhere):
        place.mkdir()
    for name in ("videos/a.mp4", "elsewhere/b.mkv", "videos/notes.txt", "videos/c.gif", "videos/._a.mp4"):
        (tmp_path / name).write_bytes(b"x")
    (folder / "more").symlink_to(elsewhere)
    (folder / "again").symlink_to(elsewhere)
    (folder / "loop").symlink_to(folder)
    (folder / "gone.mp4").symlink_to("nowhere.mp4")
    pictures(folder, ["thumbnail.jpg"])
    found = find_videos(folder)
    assert set(found.sources) == {"a.mp4", "again/b.mkv"}
    told = "; ".join(found.passed_over)
    for sentence in (
        "links that lead nowhere (1): gone.mp4",
        "links to folders that were looked at already (2): loop, more",
        "files that are no videos by their ending (2: 1 .gif, 1 .txt): c.gif, notes.txt",
        "hidden files or folders (1): ._a.mp4",
        "pictures beside videos, which are not taken for frames (1): thumbnail.jpg",
    ):
        assert sentence in told


def test_flow_that_is_not_known_is_refused() -> None:
    """tomrunia/OpticalFlow_Visualization #7, hmorimitsu/ptlflow #68: one unknown pixel makes all others white."""
    flow = np.zeros((20, 20, 2), np.float32)
    flow[5:15, 5:15] = (3, 0)
    black = np.zeros((20, 20, 3), np.uint8)
    assert draw_flow(flow)[10, 10].tolist() == [255, 0, 0]
    for unknown in (1e10, 300.0, np.nan):
        marked = flow.copy()
        marked[2, 3] = unknown
        method = FlowMethod("own", partial(lambda answer, _first, _second: answer, marked))
        with pytest.raises(InputError, match=r"at row 2, column 3 of frames|NaN"):
            method(black, black)
    with pytest.raises(InputError, match="known everywhere"):
        draw_flow(np.where(flow > 0, 1e10, flow))


def test_flow_leads_to_the_next_frame(tmp_path: Path) -> None:
    """hmorimitsu/ptlflow #68 again: the method is given neighbours, and its flow is drawn as it is."""
    folder = pictures(tmp_path / "a", ["0.png", "1.png", "2.png"])
    frames = frame_files(folder)
    pairs: list[tuple[int, int]] = []

    def compute(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        pairs.append((int(first[0, 0, 0]), int(second[0, 0, 0])))
        return np.zeros((8, 8, 2), np.float32)

    assert make_flow(FlowJob(tmp_path, {"a": frames}, FlowMethod("own", compute)), 1, lambda: None) == 4
    assert sorted(pairs) == [(0, 10), (10, 0), (10, 20), (20, 10)]


@pytest.mark.parametrize("colour", [(128, 0, 0), (0, 128, 0), (0, 0, 1), (255, 255, 255)])
def test_a_mask_of_any_colour_is_one_object(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    """mcordts/cityscapesScripts #2, yatengLG/ISAT #16: what a mask holds is told by its values, not by one channel."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[10:20, 10:30] = colour
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").sum() == 200
    Image.fromarray(np.dstack([picture, np.full((40, 60), 255, np.uint8)])).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").sum() == 200
    picture[30:, :10] = (0, 64, 0)
    Image.fromarray(picture).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="tells several objects apart"):
        read_mask(tmp_path / "a.png")
    Image.fromarray(np.dstack([0 * picture, picture[..., :1] + picture[..., 1:2]])).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="transparent in places"):
        read_mask(tmp_path / "a.png")


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "libx264"), ("mov", "mpeg4"), ("ts", "libx264")])
def test_sound_may_stand_before_the_pictures(tmp_path: Path, ending: str, codec: str) -> None:
    """PyAV-Org/PyAV #976: the last frames, which wait in the decoder, were not asked for."""
    path = with_sound_first(tmp_path / f"a.{ending}", pan(30), codec)
    with av.open(str(path)) as file:
        assert [stream.type for stream in file.streams] == ["audio", "video"]
    assert len(list(decode_frames(path))) == 30


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    """quodlibet/mutagen #661: a cover that was written into a file later comes before its video."""
    cover = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), 200, np.uint8)).save(cover, "JPEG")
    items = box(b"ilst", box(b"covr", box(b"data", struct.pack(">II", 13, 0) + cover.getvalue())))
    handler = box(b"hdlr", struct.pack(">II4s4sII", 0, 0, b"mdir", b"appl", 0, 0) + b"\0")
    tags = box(b"udta", box(b"meta", bytes(4) + handler + items))
    path = with_box(write(tmp_path / "a.mp4", pan(10), index_first=False), tags, [b"moov"], first=True)
    with av.open(str(path)) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["mjpeg", "mpeg4"]
    assert [frame.shape for frame in decode_frames(path)] == [(48, 64, 3)] * 10
    assert outline(path).height == 48


def test_a_clean_aperture_crops(tmp_path: Path) -> None:
    """mpv-player/mpv #16278: what a file says of its edges is not to be shown."""
    aperture = box(b"clap", struct.pack(">8i", 32, 1, 40, 1, 4, 1, -2, 1))  # width, height, and its middle's place
    inside = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"*"]
    whole = list(decode_frames(write(tmp_path / "a.mp4", pan(3), index_first=False)))
    path = with_box(tmp_path / "a.mp4", aperture, inside, first=False)
    np.testing.assert_array_equal(np.stack(list(decode_frames(path))), np.stack(whole)[:, 2:42, 20:52])
    assert (outline(path).height, outline(path).width) == (40, 32)


@pytest.mark.parametrize("name", ["my:videos", "http:x", "a#b", "-a", "per%03d", "new\nline", "concat:a|b"])
def test_names_are_no_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """blinry/nordlicht #55, ytdl-org/youtube-dl #6286: what stands before a colon was taken for a protocol."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.mp4", [quarters()] * 2).rename(tmp_path / f"{name}.mp4")
    assert seen(next(decode_frames(Path(f"{name}.mp4")))) == "RGBY"


HOLE = np.dstack([quarters(), np.full((48, 64), 255, np.uint8)])
HOLE[:24, :32, 3] = 0


@pytest.mark.parametrize("kind", ["rgba", "webp", "palette", "colour", "grey"])
def test_transparent_pictures_are_refused(tmp_path: Path, kind: str) -> None:
    """kohya-ss/sd-scripts #1269, imageio/imageio #475: colours show that nobody sees, behind what is transparent."""
    path = tmp_path / ("a.webp" if kind == "webp" else "a.png")
    said: dict[str, Any] = {}
    picture = Image.fromarray(HOLE)
    if kind == "palette":
        picture = Image.fromarray(quarters()).quantize(4)
        said["transparency"] = picture.getpixel((0, 0))
    elif kind == "colour":
        picture, said["transparency"] = Image.fromarray(quarters()), tuple(quarters()[0, 0].tolist())
    elif kind == "grey":
        picture = Image.fromarray(HOLE[..., 2:], "LA")
    elif kind == "webp":
        said = {"lossless": True, "exact": True}
    picture.save(path, **said)
    with pytest.raises(InputError, match="transparent in places, and it is not known on which background"):
        read_picture(path)
    Image.fromarray(np.dstack([quarters(), np.full((48, 64), 255, np.uint8)])).save(path)
    assert seen(read_picture(path)) == "RGBY"


@pytest.mark.parametrize(
    ("ending", "codec", "pixels"),
    [
        ("mov", "qtrle", "argb"),
        ("mkv", "ffv1", "bgra"),
        ("mov", "prores_ks", "yuva444p10le"),
        ("webm", "libvpx-vp9", "yuva420p"),
    ],
)
def test_transparent_videos_are_refused(tmp_path: Path, ending: str, codec: str, pixels: str) -> None:
    """mpv-player/mpv #10304: of VP8 and VP9 the usual decoder leaves it out, and shows what is behind."""
    for opaque in (True, False):
        with av.open(str(tmp_path / f"a.{ending}"), "w") as file:
            stream = file.add_stream(codec, rate=25)
            stream.height, stream.width, stream.pix_fmt = 48, 64, pixels
            picture = np.maximum(HOLE, [0, 0, 0, 255 * opaque]).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format=pixels)
            file.mux(stream.encode(frame))
            file.mux(stream.encode())
        if opaque:
            assert [seen(frame) for frame in decode_frames(tmp_path / f"a.{ending}")] == ["RGBY"]
        else:
            with pytest.raises(InputError, match=r"frame 0 of .* is transparent in places"):
                list(decode_frames(tmp_path / f"a.{ending}"))


@pytest.mark.parametrize("codec", ["wmv2", "msmpeg4"])
def test_a_short_end_is_missed(tmp_path: Path, codec: str) -> None:
    """dmlc/decord #194 once more: WMV, whose packets are padded, cut anywhere in the last of them or between two."""
    path = write(tmp_path / "a.wmv", pan(50), codec)
    content = path.read_bytes()
    assert len(list(decode_frames(path))) == 50
    for missing in (10, 1000, 3200, 5000):
        path.write_bytes(content[:-missing])
        with pytest.raises(InputError, match=r"cut off|damaged"):
            list(decode_frames(path))


def test_files_joined_into_one_have_no_times(tmp_path: Path) -> None:
    """xiph/rav1e #674: of joined files the times begin anew, and what is asked for by time is not what is shown."""
    parts = [write(tmp_path / f"{seed}.mpg", pan(20, seed), "mpeg2video").read_bytes() for seed in range(2)]
    path = tmp_path / "a.mpg"
    path.write_bytes(b"".join(parts))
    assert len(list(decode_frames(path))) == 40
    with pytest.raises(InputError, match=r"frame 20 of .* is to be shown before the one in front of it"):
        list(frames_at_rate(path, 5))


def test_frames_that_matroska_hides_are_not_shown(tmp_path: Path) -> None:
    """Matroska's own words: a block may be marked as invisible, which is decoded and never displayed."""
    path = write(tmp_path / "a.mkv", pan(10), "ffv1")
    whole = list(decode_frames(path))
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        places = [packet.pos for packet in file.demux() if packet.size]
    for number in (3, 4):
        content[places[number] + 3] |= 0x08
    path.write_bytes(content)
    np.testing.assert_array_equal(np.stack(list(decode_frames(path))), np.stack(whole[:3] + whole[5:]))
