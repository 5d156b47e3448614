"""A small MoCA, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (10, 20)
HEADER = ",file_list,spatial_coordinates,metadata\n"
ROWS = (
    '3,/adder/00001.jpg,"[2,10,4,5,2]",{}',  # as the row before it in the order of the files
    "0,/adder/00000.jpg,\"[2,2,2,6,4]\",{'1': '1'}",
    "1,/adder/00002.jpg,\"[2,2,2,6,4]\",{'1': '0'}",
    "2,/adder/00003.jpg,\"[2,2,2,6,4]\",{'1': '0'}",
    "4,/bear/00000.jpg,\"[2,-2,1,8,4]\",{'1': '2'}",
    "5,/bear/00001.jpg,[],{'1': '2'}",
    "6,/bear/00002.jpg,\"[2,1,1,2,2]\",{'1': '2'}",
    "7,/crab/00001.jpg,\"[2,1,1,2,2]\",{'1': '2'}",  # the last of its video: no flow
    "8,/dodo/00000.jpg,\"[2,1,1,2,2]\",{'1': '2'}",  # no frames
)


def blank(*rectangles: tuple[int, int, int, int], level: int = 255) -> np.ndarray:
    """A grey picture with bright rectangles (left, top, right, bottom)."""
    grey = np.zeros(SIZE, dtype=np.uint8)
    for left, top, right, bottom in rectangles:
        grey[top:bottom, left:right] = level
    return grey


# What is found in each frame is drawn as its flow picture: PNG keeps every value.
FOUND = {
    "adder": [
        blank((2, 2, 8, 6)),  # the annotated box itself: IoU 1
        blank((0, 0, 2, 2), (10, 4, 15, 8)),  # of the two, the larger; 10 of 20 pixels agree: IoU 0.5
        blank((2, 2, 8, 6), level=51),  # 0.2 is not above 0.2: nothing is found, IoU 0
    ],
    # Bright all around: inverted. The annotated box starts at -2, moves in to 0..8 x 1..5; 24 of 32: IoU 0.75
    "bear": [255 - blank((2, 1, 8, 5)), blank()],
    "crab": [blank()],
}


def make_moca(folder: Path) -> Path:
    """Write frames, annotations, and flow pictures that show what is found in each frame."""
    for video, pictures in FOUND.items():
        for kind in ("JPEGImages", "FlowImages_gap1"):
            (folder / kind / video).mkdir(parents=True)
        for number in range(len(pictures) + 1):
            frame = np.full((*SIZE, 3), 10 * number, dtype=np.uint8)
            Image.fromarray(frame).save(folder / "JPEGImages" / video / f"{number:05d}.jpg")
        for number, grey in enumerate(pictures):
            flow = np.stack([grey] * 3, axis=2)
            Image.fromarray(flow).save(folder / "FlowImages_gap1" / video / f"{number:05d}.png")
    (folder / "annotations.csv").write_text(HEADER + "\n".join(ROWS) + "\n", encoding="utf-8")
    return folder
