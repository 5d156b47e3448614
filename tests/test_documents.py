"""Every command and every snippet of the documents is tried: what is not in a table of this file fails.

Each block runs in a folder of its own, each command in a process of its own that has imported nothing of sdbench; a few
in a fresh interpreter. What several documents give word for word is tried once.

Stand-ins: videos, DAVIS and reports are small and made up;
weights that have to be downloaded are made up, of narrow networks, and lie in the cache as if they had been fetched;
those that a package index serves are the real ones. Nothing uses the network.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docs.blocks import Block, blocks_of, is_story
from sdbench import cli
from sdbench.assets import AssetStore, Url
from tests.conftest import moving_squares, write_video
from tests.history.conftest import REPORT
from tests.made.davis import make_davis
from tests.made.dots import make_dots
from tests.made.fewshot import published_model, save_whole
from tests.made.fork_server import run_python
from tests.made.small_zoo import COMMAND, bring_weights
from tests.made.stylised import annotation_files, make, write
from tests.zoo.adapters.small_checkpoints import small

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
SSV2 = [str(number) for number in range(101, 109)]

SAID = {
    "measure i3d_inception path/to/videos": "on videos: 2 clips, 2 samples, at least 2 pairs of each factor",
    "measure my_model.py:build --feed feed.json --scenes 8": "blocks.2",
    "measure i3d_inception path/to/videos --study appearance-free": "2 clips, 2 samples",
    "measure hf:MCG-NJU/videomae-base --scenes 8": "32 clips, 8 samples",
    "layers hf:MCG-NJU/videomae-base": "block2",
    "measure my_model.py:build --frames 8 --size 64 --layers early,middle,late --scenes 16 --picture layers.png": (
        "early"
    ),
    "measure my_model.py:motion --scenes 32 --controls --json motion.json --picture controls.png": "32 scenes",
    "measure my_model.py:texture --scenes 32 --json texture.json": "stage5",
    "measure my_model.py:both --scenes 32 --json both.json": "stage5",
    "measure control:frame_average --frames 8 --size 24 --scenes 32 --json control.json": "average",
    "compare motion.json both.json texture.json control.json --picture atlas.png": "control:frame_average",
    "list": "action/complexity/x3d_m",
    "record my_model.py:build rendered-2:64 lab/my_model.json --frames 8 --size 32 --layers early,late --seeds 3": (
        "wrote lab/my_model.json"
    ),
    "fetch action": "x3d_m_kinetics400: ",
    "fetch vos": "vos_checkpoints: ",
    "stylize ssv2/videos data/stylized_ssv2 --layout ssv2": "8 videos painted, 0 were there, 0 could not be read",
    "measure x3d_m data/stylized_ssv2 --stylised ssv2 --protocol corrected": "at least 4 pairs of each factor",
    "measure x3d_m data/stylized_ssv2 --stylised ssv2 --compile on": "Passes: compiled, as asked for",
    "measure x3d_m data/stylized_ssv2 --stylised ssv2 --precision bfloat16": "; in bfloat16; ",
    "measure x3d_m data/stylized_ssv2 --stylised ssv2 --ray auto --workers 2": "at least 4 pairs of each factor",
    "measure x3d_m data/stylized_ssv2 --stylised ssv2 --slice 1/2": "parts of measurement",
    "measure x3d_m data/stylized_ssv2 --stylised ssv2 --slice 2/2": "all are done: sdbench merge ",
    "merge KEY --json x3d_m.json": "at least 4 pairs of each factor",
    "flow DATA/davis2016": "flow pictures made in DATA/davis2016",
    "stylize DATA/davis2016 DATA/stylized_davis --layout davis": "3 videos painted, 0 were there, 0 could not be read",
    "stylize DATA/davis2016 DATA/painted --layout davis --painter fewshot "
    "--weights Lynx/model_00020.pth --weights Zuzka1/model_00020.pth": "3 videos painted, 0 were there",
    "measure fusionseg DATA/cinematograms --stylised davis_cinematograms --frames 2": "left out as published: ",
    "measure fusionseg DATA/stereograms --stylised davis_stereograms --frames 2": "fusion.layer5",
    "masks fusionseg DATA/davis2016": "J mean of fusionseg: ",
    "measure fusionseg DATA/davis2016 --stylised davis --painted DATA/stylized_davis --frames 5": "fusion.layer5",
    "ablate matnet DATA/davis2016 --painted DATA/stylized_davis --layer fusion.layer5 --picture ablation.png": (
        "mean IoU of the whole network: "
    ),
    "centre-bias DATA/davis2016 --picture centre.png": "15 masks",
    "history add reports/latest": "4 cases, 1 times, added to reports/history.jsonl",
    "history show": "2026-01-01",
    "history compare --issue issue.md": "nothing to compare",
    "history announce reports/latest": "pinned nightly: run ",
    "history overdue --hours 26": "the last night is not too long ago",
    "history sync --folder copy": "which holds all of the history",
    "history accept RUN --because 'new weights'": "is accepted; later runs are held against it",
    "history blame constraints.txt reports/latest/newest.txt -k x3d_xs": "0 a culprit was found",
}
"""What `sdbench` is given in the documents -> what it says; it must end with exit status 0."""

FRESH = ("list", "measure my_model.py:build --feed feed.json --scenes 8")
"""What is tried in a fresh interpreter, beside all that Ray takes part in."""

PRINTED = {
    'print(found.layer("layer4").estimate.shares, found.resampling)': "'static': ",
    'sdbench.Layer("blocks.2", item=0)': "",  # nothing: that it can be made
    "print(sdbench.estimate(first, second, factor).published_percent)": "'residual': ",
    'print(found.layer("Mixed_5c").estimate.shares)': "'dynamic': ",
    'print(found.paired, stage5.values["static"], stage5.intervals["static"])': "True -",
    'print([record["step"] for record in tracker.history])': "[0, 2, 4]",
}
"""The last line of a snippet, its comment left out -> what the snippet prints."""

SNIPPET = """
import sys
import numpy as np
import torch
from torch import nn
import sdbench.studies
draw = sdbench.studies.rendered
sdbench.studies.rendered = lambda scenes=None: draw(3)

class Small(nn.Sequential):
    def __init__(self):
        super().__init__()
        self.add_module("layer3", nn.Conv3d(3, 4, (3, 9, 9), stride=(1, 4, 4)))
        self.add_module("layer4", nn.Conv3d(4, 5, (3, 9, 9), stride=(1, 4, 4)))

torch.manual_seed(0)
draws = np.random.default_rng(0)
given = {
    "my_network": Small(),
    "first": draws.normal(size=(8, 6)),
    "second": draws.normal(size=(8, 6)),
    "factor": ["dynamic", "static"] * 4,
}
exec(sys.stdin.read(), given)
"""


PAGES = {document: blocks_of(ROOT / document, document) for document in DOCUMENTS}
BLOCKS = [block for blocks in PAGES.values() for block in blocks]
STORIES = [document for document, blocks in PAGES.items() if is_story(blocks)]
"""Pages that write files: all of their blocks are run in one folder, one after the other."""

SHOWN = [
    block
    for document in STORIES
    for block, after in itertools.pairwise(PAGES[document])
    if after.language == "text" and block.language == "sh"
]
"""Blocks of commands that a page shows the output of."""


def commands_of(block: Block) -> list[str]:
    """The commands of a block, where it has some."""
    return list(block.commands) if block.language == "sh" else []


def bare(command: str) -> str:
    """What `sdbench` is given."""
    return command.removeprefix(".venv/bin/sdbench ")


def fill_cache(folder: Path, store: AssetStore) -> None:
    """Make a cache in which all is that the commands take."""
    own = AssetStore(folder / "cache", quiet=True)
    for name in ("styles26", "transnetv2", "i3d_inception_kinetics400"):
        own.add(name, store.path(name))
    bring_weights(own, folder)
    other = folder / "other"
    other.write_bytes(b"made up")
    for group in ("action", "vos"):
        for name in own.manifest.group(group):
            if isinstance(own.manifest[name].source, Url) and not (own.why_by_hand(name) or own.is_present(name)):
                own.add(name, other)


def fill_data(folder: Path) -> None:
    """Make the data that the documents speak of."""
    for place, names, frames in (("path/to/videos", ["a", "b"], 17), ("ssv2/videos", SSV2, 9)):
        (folder / place).mkdir(parents=True)
        for seed, name in enumerate(names):
            write_video(folder / place / f"{name}.mp4", moving_squares(frames, seed=seed))
    write(folder / "ssv2", annotation_files("ssv2", dict.fromkeys(SSV2, 9)))
    make_davis(folder / "DATA" / "davis2016", flow=False)
    (folder / "data").mkdir(exist_ok=True)
    (folder / "reports" / "latest").mkdir(parents=True)
    (folder / "reports" / "latest" / "report.json").write_text(json.dumps(REPORT))


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def cache(store: AssetStore, make_once: Once, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of this process's own: commands leave parts in it."""
    made = make_once("documents-cache", lambda folder: fill_cache(folder, store)) / "cache"
    return Path(shutil.copytree(made, tmp_path_factory.mktemp("documents") / "cache", copy_function=link))


def link(source: str, target: str) -> None:
    """A file whose content nobody changes lies in both places; what a lock is taken on does not."""
    if Path(source).stat().st_size > 1_000_000:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


@pytest.fixture
def here(tmp_path: Path, cache: Path, make_once: Once, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a block runs in, with the data that the documents speak of."""
    monkeypatch.setenv("SDBENCH_CACHE", str(cache))
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    for name in ("SDBENCH_DATA", "GITHUB_TOKEN", "GITHUB_STEP_SUMMARY", "NIGHTLY_WEBHOOK"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(make_once("documents-data", fill_data), tmp_path, dirs_exist_ok=True)
    return tmp_path


def run(folder: Path, *arguments: str, given: str = "", fresh: bool = False) -> str:
    """What Python prints in a folder, in a process of its own or, on top, a fresh interpreter; it must end well."""
    # Compiling takes a minute, and tests/engine/test_compiling.py does it; in this process nothing is switched off.
    environment = {**os.environ, "TORCH_COMPILE_DISABLE": "1"}
    if fresh:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            input=given,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    else:
        done = run_python(*arguments, cwd=folder, given=given, environment=environment)
    assert done.returncode == 0, f"{shlex.join(arguments)}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def alone(language: str) -> list[Any]:
    """The blocks that belong to no story; of those that are word for word the same the first, named like all."""
    same: dict[tuple[str, ...], list[Block]] = {}
    for block in BLOCKS:
        if block.language == language and block.document not in STORIES:
            same.setdefault(tuple(block.commands) if language == "sh" else (block.text,), []).append(block)
    return [pytest.param(blocks[0], id=" ".join(map(str, blocks))) for blocks in same.values()]


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.parametrize("block", alone("sh"))
def test_commands(block: Block, here: Path) -> None:
    run_commands(block, here)


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.parametrize("document", STORIES)
def test_stories(document: str, here: Path) -> None:
    printed = ""
    for block in PAGES[document]:
        if block.file:
            (here / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            printed = run_commands(block, here)
        elif block.language == "python":
            printed = run(here, "-W", "error", "-c", SNIPPET, given=block.text)
            assert PRINTED[block.last_line] in printed
        else:
            assert lines_missing(block.text, printed) == [], printed


def run_commands(block: Block, here: Path) -> str:
    """What all commands of a block print."""
    if "data/stylized_ssv2" in block.text and "stylize " not in block.text:
        make(here / "data" / "stylized_ssv2", "ssv2", dict.fromkeys(SSV2, 9), height=64, width=64)
    if "hf:" in block.text:
        bring_checkpoint(here)
    if "--painter fewshot" in block.text:
        for seed, style in enumerate(("Lynx", "Zuzka1")):
            save_whole(published_model(seed), here / style / "model_00020.pth")
    if "davis_cinematograms" in block.text:
        for folder in ("cinematograms", "stereograms"):
            make_dots(here / "DATA" / folder, frames=1)
    printed = ""
    for command in block.commands:
        words = shlex.split(command)
        program, rest = words[0].removeprefix(".venv/bin/"), words[1:]
        if program not in PROGRAMS:
            pytest.fail(f"{block}: nothing in tests/test_documents.py says how {command!r} is tried")
        printed += PROGRAMS[program](here, rest)
    return printed


def bring_checkpoint(here: Path) -> None:
    """Put a small VideoMAE into the hub's cache as if it had been fetched."""
    kept = here / "hub" / "hub" / "models--MCG-NJU--videomae-base"
    commit = "0" * 40
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(commit)
    small("VideoMAEForPreTraining").save(kept / "snapshots" / commit)


def lines_missing(shown: str, printed: str) -> list[str]:
    """The lines of what a page shows that were not printed, in its order.

    Numbers with a point may be off by 0.6: shares move with the order of sums from one machine to another. Of a line
    that ends with "..." the beginning is shown; a line of "..." alone stands for any.
    """
    rest, missing = printed.splitlines(), []
    for line in shown.splitlines():
        if line.strip() in ("", "..."):
            continue
        found = next((number for number, other in enumerate(rest) if shows(line, other)), None)
        if found is None:
            missing.append(line)
        else:
            rest = rest[found + 1 :]
    return missing


def shows(line: str, other: str) -> bool:
    """Whether a line of a page shows another that was printed."""
    words, others = line.split(), other.split()
    if words[-1] == "...":
        words = words[:-1]
        others = others[: len(words)]
    percent = [*(word.startswith("%") for word in words[1:]), False]
    return len(words) == len(others) and all(map(alike, words, others, percent))


def alike(word: str, other: str, percent: bool) -> bool:
    if percent and word.isdigit() and other.isdigit():  # a rounded one
        return abs(int(word) - int(other)) <= 1
    for drawn in ("-", "█▉▊▋▌▍▎▏░▒▓·"):  # rules and bars, of whatever length
        if set(word) <= set(drawn):
            return set(other) <= set(drawn)
    parts, others = (re.split(r"(\d+\.\d+)", text) for text in (word, other))
    return len(parts) == len(others) and all(
        abs(float(one) - float(two)) <= 0.6 if number % 2 else one == two
        for number, (one, two) in enumerate(zip(parts, others, strict=True))
    )


def sdbench(here: Path, words: list[str]) -> str:
    if words[0] == "doctor":  # what it says, and how it ends, is the machine's: see tests/doctor
        cli._parser().parse_args(words)
        return run(here, "-c", COMMAND, "doctor", "--help")
    command = shlex.join(words)
    shown = command in SAID or any(command in map(bare, block.commands) for block in SHOWN)
    assert shown, f"say in tests/test_documents.py what {command!r} prints, or show it on the page"
    if "RUN" in words:
        words[words.index("RUN")] = run_shown(here)
    if "KEY" in words:
        words[words.index("KEY")] = key_said(here)
    if words[:2] == ["history", "blame"]:  # it installs packages
        words.append("--help")
    printed = run(here, "-c", COMMAND, *words, fresh="--ray" in words or command in FRESH)
    assert SAID.get(command, "") in printed, printed
    for option in ("--html", "--json", "--picture"):
        if option in words:
            assert (here / words[words.index(option) + 1]).stat().st_size > 100
    return printed


def key_said(here: Path) -> str:
    """The key of the measurement that lies in slices in the cache."""
    (described,) = Path(os.environ["SDBENCH_CACHE"]).glob("parts/*/measurement.json")
    return described.parent.name[:16]


def run_shown(here: Path) -> str:
    """The number of the run that stands in the history."""
    return str(json.loads((here / "reports" / "history.jsonl").read_text().splitlines()[0])["run"]["id"])


def python(here: Path, words: list[str]) -> str:
    if words[:2] == ["-m", "venv"]:
        return environment_made(here, *words[2:])
    return run(ROOT, words[0], "--help")  # it measures for minutes


_made_environments: dict[tuple[str, ...], str] = {}


def environment_made(here: Path, *words: str) -> str:
    """What is printed where an environment is made; no block has anything that another begins with."""
    if words not in _made_environments:
        _made_environments[words] = run(here, "-m", "venv", *words, "--without-pip", fresh=True)
    return _made_environments[words]


def pip(here: Path, words: list[str]) -> str:
    """Installing is left out: what is named must be pinned, or an extra of the project."""
    assert words[0] == "install"
    rest = [word for word in words[1:] if word not in ("-q", "-e", "-c")]
    assert rest[0] == "constraints.txt"
    extras = re.findall(r"^(\w+) = \[", section("[project.optional-dependencies]"), re.MULTILINE)
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / rest[0]).read_text(), re.MULTILINE)
    for wanted in rest[1:]:
        project = re.fullmatch(r"\.(?:\[(\w+)\])?", wanted)
        assert project[1] in (None, *extras) if project else wanted in pinned, wanted
    return ""


def section(title: str) -> str:
    return (ROOT / "pyproject.toml").read_text().partition(title)[2].partition("\n[")[0]


SESSION = """
import json, runpy, sys
from tests.test_noxfile import FakeSession
name, *given = sys.argv[1:]
session, function = FakeSession(*given), runpy.run_path("noxfile.py")[name].func
function.__globals__["_development"] = lambda session: ".nox/development/bin"
function(session)
print(json.dumps(session.runs))
"""


def nox(here: Path, words: list[str]) -> str:
    """The session decides what it would run; of that, pytest collects."""
    assert words[0] == "-s"
    given = words[words.index("--") + 1 :] if "--" in words else []
    *_, (program, *last) = (
        done for done in json.loads(session_of(words[1].replace("-", "_"), *given)) if "pip" not in done
    )
    last = [Path(program).name, *last]
    if last[0] == "pytest":
        return pytest_(here, last[1:])
    if last[:3] == ["python", "-m", "pytest"]:  # collected in one process
        return pytest_(here, ["tests", *last[3:], "--numprocesses", "0"])
    if last[:3] == ["python", "-m", "sdbench.container"]:
        from sdbench.container.command import _parser

        known, rest = _parser().parse_known_args(last[3:])
        return pytest_(here, [*rest, "--expected", str(known.expected)] if known.expected else rest)
    if last[:2] == ["python", "-m"]:
        return run(here, *last[1:], "--help")
    assert last[0] in ("sphinx-build", "check-jsonschema", "zizmor")
    return ""


@functools.cache
def session_of(*words: str) -> str:
    """What a session would run, as JSON."""
    return run(ROOT, "-c", SESSION, *words)


def pytest_(here: Path, words: list[str]) -> str:
    if "--expected" in words:  # a folder of the page's, not of the checkout
        place = words.index("--expected") + 1
        words = [*words[:place], str(here / words[place]), *words[place + 1 :]]
    return collected(*words)


@functools.cache
def collected(*words: str) -> str:
    """What pytest would run."""
    places = [word for word in words if word in ("benchmarks", "tests")] or ["benchmarks"]
    rest = [word for word in words if word not in places]
    found = run(ROOT, "-m", "pytest", *places, *rest, "--collect-only", "-q")
    assert re.search(r"^\d+(/\d+)? tests collected", found, re.MULTILINE), found
    return found


PROGRAMS = {
    "sdbench": sdbench,
    "python3": python,
    "python": python,
    "pip": pip,
    "nox": nox,
    "pytest": pytest_,
}
"""How the commands of each program are tried."""


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.parametrize("block", alone("python"))
def test_snippets(block: Block, here: Path) -> None:
    last = block.last_line
    assert last in PRINTED, f"{block}: say in tests/test_documents.py what the snippet that ends with {last!r} prints"
    fresh = block.document == "README.md"
    assert PRINTED[last] in run(here, "-W", "error", "-c", SNIPPET, given=block.text, fresh=fresh)


@pytest.mark.slow
@pytest.mark.assets
def test_the_array_script_runs_as_slurm_runs_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(here / "data", "ssv2", dict.fromkeys(SSV2, 9), height=64, width=64)
    program = here / "bin" / "sdbench"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(COMMAND)} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SDBENCH_CACHE", str(shutil.copytree(os.environ["SDBENCH_CACHE"], here / "cache")))
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    script = ROOT / "docs" / "slurm_array.sh"
    for number in ("2", "1"):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", number)
        command = [str(script), "x3d_m", "data", "--stylised", "ssv2"]
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "all are done: sdbench merge" in done.stdout
    assert "stage5" in run(here, "-c", COMMAND, "merge", key_said(here))
    monkeypatch.delenv("SDBENCH_CACHE")
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "name a folder that all nodes share" in done.stderr


def test_no_block_is_of_another_kind() -> None:
    assert {block.language for block in BLOCKS if not block.file} == {"sh", "python", "text"}
    assert {block.language for block in BLOCKS if block.file} <= {"json", "python"}
    assert not [str(block) for block in BLOCKS if block.language == "text" and block.document not in STORIES]


def test_the_tables_name_nothing_that_is_gone() -> None:
    commands = {bare(command) for block in BLOCKS for command in commands_of(block)}
    assert set(SAID) <= commands
    assert set(PRINTED) <= {block.last_line for block in BLOCKS}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_the_text_are_as_the_parser_knows_them(document: str) -> None:
    text = re.sub(r"^```.*?^```$", "", (ROOT / document).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for command in re.findall(r"`sdbench ([^`]+)`", text):
        words = shlex.split(command)
        try:
            cli._parser().parse_args(words if len(words) > 1 else [*words, "--help"])  # a name alone stands for itself
        except SystemExit as ended:
            if ended.code:
                pytest.fail(f"{document}: sdbench {command}")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    made = {word for block in PAGES[document] for command in commands_of(block) for word in shlex.split(command)}
    for target in re.findall(r"\]\(([^):#]+)\)", text):
        if target.startswith("_made/"):
            folder, _, picture = target.removeprefix("_made/").partition("/")
            assert folder == Path(document).stem
            assert picture in made, f"no command of the page draws {target}"
            continue
        assert (ROOT / document).parent.joinpath(target).exists(), target
