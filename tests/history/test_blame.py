"""`sdbench history blame` with packages that only exist in words, and a run of cases that is a function."""

from __future__ import annotations

import copy
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from sdbench.base.errors import InputError
from sdbench.cli import main
from sdbench.history import blame
from sdbench.history.blame import NotAmongPackagesError, Question, Trials, ask
from sdbench.history.command import NOT_AMONG_PACKAGES
from sdbench.history.environments import Installer
from sdbench.history.file import Content
from sdbench.history.halving import Outcome
from sdbench.history.package_sets import Package, constraints_of_run, differences, set_of_report, taken_along
from sdbench.history.record import Run, run_of_report
from tests.history.conftest import RECORDED, REPORT, case

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
Change = Callable[[dict[str, Any]], object]


def packages(version: str, requires: dict[str, tuple[str, ...]] | None = None) -> dict[str, Package]:
    url, requires = f"https://host/{version}", requires or {}
    return {name: Package(version, f"{url}/{name}.whl", requires.get(name, ())) for name in NAMES}


def value(by: float) -> Change:
    return lambda content: case(content, RECORDED).update(measured={"dynamic": 12.0 + by}, verdict="changed")


class Runs:
    """Stands for the runs of cases: `moves` says how changed packages change the report, or why there is none."""

    def __init__(self, folder: Path, moves: Callable[[frozenset[str]], Change | str | None]) -> None:
        self.folder, self.moves, self.asked = folder, moves, list[frozenset[str]]()

    def __call__(self, changed: frozenset[str]) -> tuple[Path | None, str]:
        self.asked.append(changed)
        change = self.moves(changed)
        if isinstance(change, str):
            return None, change
        content = copy.deepcopy(REPORT)
        (change or (lambda content: None))(content)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "report.json").write_text(json.dumps(content))
        return self.folder, ""


@pytest.fixture
def trials(tmp_path: Path) -> Callable[..., Trials]:
    def make(
        moves: Callable[[frozenset[str]], Change | str | None], recorded: Run | None = None, **sets: dict[str, Package]
    ) -> Trials:
        both = {"good": packages("1.0"), "bad": packages("2.0")} | sets
        question = Question(both["good"], both["bad"], "net", (), recorded)
        (tmp_path / "checkout" / "sdbench").mkdir(parents=True, exist_ok=True)
        return Trials(question, tmp_path / "state", tmp_path / "checkout", print, Runs(tmp_path / "run", moves))

    return make


def moved_by(name: str) -> Callable[[frozenset[str]], Change | None]:
    return lambda changed: value(1.0) if name in changed else None


def test_the_culprit_is_a_sentence_and_every_step_a_row(trials: Callable[..., Trials]) -> None:
    answer = trials(moved_by("delta")).run()
    assert answer.sentence == (
        f"delta (1.0 -> 2.0) moved {RECORDED}: unchanged before, now changed; dynamic moved by +1.00: "
        "12.00 in [11.95, 12.05] before, 13.00 in [12.95, 13.05] now; the others do not"
    )
    assert answer.steps[0].outcome is Outcome.SAME
    assert answer.table().count("moved by +1.00") >= 1
    told = json.loads(answer.as_json())
    assert told["culprits"] == [{"packages": ["delta"], "with them": []}]
    assert len(told["steps"]) == len(answer.steps) <= 2 + 5


def test_what_improved_moved_too(trials: Callable[..., Trials]) -> None:
    better: Change = lambda content: case(content, RECORDED).update(verdict="reproduced", measured={"dynamic": 20.0})  # noqa: E731
    answer = trials(lambda changed: better if "beta" in changed else None).run()
    assert [set(each.names) for each in answer.culprits.found] == [{"beta"}]


def test_a_crash_of_the_bad_set_is_what_is_looked_for(trials: Callable[..., Trials]) -> None:
    answer = trials(lambda changed: "ended by signal 11" if "beta" in changed else None).run()
    assert answer.sentence == "beta (1.0 -> 2.0) breaks the run (ended by signal 11); the others do not"


def test_a_crash_on_the_way_is_no_evidence(trials: Callable[..., Trials]) -> None:
    def moves(changed: frozenset[str]) -> Change | str | None:
        if len(changed & {"beta", "delta"}) == 1:
            return "cannot import beta"
        return value(1.0) if "gamma" in changed else None

    answer = trials(moves).run()
    assert [set(each.names) for each in answer.culprits.found] == [{"gamma"}]
    assert Outcome.BROKEN in {step.outcome for step in answer.steps}


@pytest.mark.parametrize(
    ("moves", "said"),
    [
        (lambda changed: value(1.0), "the good set is not good here"),
        (lambda changed: None, "the bad set is not bad here"),
    ],
)
def test_what_no_package_did(
    trials: Callable[..., Trials], moves: Callable[[frozenset[str]], Change | None], said: str
) -> None:
    with pytest.raises(NotAmongPackagesError, match=f"{said}.*the culprit is not among the packages"):
        trials(moves).run()


def test_sets_that_are_one(trials: Callable[..., Trials]) -> None:
    asked = trials(lambda changed: None, bad=packages("1.0"))
    with pytest.raises(NotAmongPackagesError, match="both sets hold the same packages"):
        asked.run()


def test_a_recorded_run_must_be_met_again(trials: Callable[..., Trials], report: Callable[..., Path]) -> None:
    trials(moved_by("beta"), recorded=run_of_report(report(1))).run()
    with pytest.raises(NotAmongPackagesError, match="other than in run "):
        trials(moved_by("beta"), recorded=run_of_report(report(2, value(-3.0)))).run()
    with pytest.raises(InputError, match="make --options say the same"):
        trials(moved_by("beta"), recorded=run_of_report(report(3, lambda c: c["environment"].update(seed=1)))).run()


def test_it_goes_on_where_it_was_stopped(trials: Callable[..., Trials]) -> None:
    whole = trials(moved_by("gamma"))
    answer = whole.run()
    stopped = trials(moved_by("gamma"))
    assert isinstance(stopped._measure, Runs)
    assert stopped.run().sentence == answer.sentence
    assert stopped._measure.asked == [], "all outcomes were there"


def test_a_stop_in_the_middle_loses_no_trial(trials: Callable[..., Trials]) -> None:
    def stop(changed: frozenset[str]) -> Change | None:
        if 0 < len(changed) < len(NAMES):
            raise KeyboardInterrupt
        return moved_by("gamma")(changed)

    with pytest.raises(KeyboardInterrupt):
        trials(stop).run()
    later = trials(moved_by("gamma"))
    assert [set(each.names) for each in later.run().culprits.found] == [{"gamma"}]
    assert isinstance(later._measure, Runs)
    assert not {frozenset(), frozenset(NAMES)} & set(later._measure.asked)


def test_changed_code_makes_every_trial_anew(trials: Callable[..., Trials], tmp_path: Path) -> None:
    trials(moved_by("gamma")).run()
    (tmp_path / "checkout" / "sdbench" / "new.py").write_text("")
    later = trials(moved_by("gamma"))
    later.run()
    assert isinstance(later._measure, Runs)
    assert later._measure.asked


def test_requirements_say_what_changes_together() -> None:
    good = packages("1.0", {"alpha": ("beta==1.0",), "gamma": ("delta<2",), "epsilon": ('alpha==9; extra == "x"',)})
    bad = packages("2.0", {"alpha": ("beta==2.0", "delta>=1")})
    expected = {"alpha": {"beta"}, "beta": {"alpha"}, "gamma": set(), "delta": {"gamma"}, "epsilon": set()}
    assert taken_along(good, bad) == expected
    del bad["epsilon"]
    assert differences(good, bad)["epsilon"] == "1.0 -> none"


def test_a_run_is_constraints(report: Callable[..., Path]) -> None:
    run = run_of_report(report(1, lambda c: c["environment"]["packages"].update({"Two_Words": "3", "sdbench": "1"})))
    assert constraints_of_run(run) == "numpy==2.0\ntorch==2.12.0\ntwo-words==3\n"


def test_sets_are_resolved_once_and_named_wrongly_are_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[str] = []

    def resolve(self: Installer, constraints: str) -> str:
        resolved.append(constraints)
        metadata = {"name": "Alpha", "version": "1.0", "requires_dist": ["beta"]}
        return json.dumps({"install": [{"metadata": metadata, "download_info": {"url": "https://host/a.whl"}}]})

    monkeypatch.setattr(Installer, "resolve", resolve)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "good.txt").write_text("alpha==1.0\n")
    for _ in range(2):
        question = ask((str(tmp_path / "good.txt"), "newest"), Content(), "x", (), tmp_path / "state", tmp_path)
        assert question.good == {"alpha": Package("1.0", "https://host/a.whl", ("beta",))}
    assert resolved == ["alpha==1.0\n", ""]
    with pytest.raises(InputError, match=r"moon is no file of constraints .*; expected name==version"):
        ask(("moon", "newest"), Content(), "x", (), tmp_path / "state", tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        set_of_report("[]")


def test_the_command_says_where_no_package_did_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(blame, "ask", lambda *_: Question(packages("1.0"), packages("1.0"), "x"))
    words = ["history", "blame", "newest", "newest", "-k", "x", "--state", str(tmp_path)]
    assert main([*words, "--history", str(tmp_path / "none.jsonl")]) == NOT_AMONG_PACKAGES == 4
    assert "the culprit is not among them" in capsys.readouterr().err
    with FileLock(tmp_path / ".lock"):
        assert main([*words, "--history", str(tmp_path / "none.jsonl")]) == 1
    assert "another call is at work in" in capsys.readouterr().err


def wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> Package:
    """A wheel that pip installs."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    files = files | {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(f"{about}/RECORD", "".join(f"{file},,\n" for file in (*files, f"{about}/RECORD")))
    return Package(version, path.as_uri())


@pytest.mark.slow
def test_an_environment_holds_exactly_the_versions_of_its_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = {"one.py": "HERE = 1\n", "gone.py": "", "shared/one.txt": ""}
    good = {
        "one": wheel(tmp_path, "one", "1.0", one),
        "two": wheel(tmp_path, "two", "1.0", {"shared/two.py": "TWO = 1\n"}),
    }
    bad = {"one": wheel(tmp_path, "one", "2.0", {"one.py": "HERE = 2\n"}), "two": good["two"]}
    installer = Installer(Path("state"), Path())
    code = (
        "import importlib.metadata as m, importlib.util as u, one, shared.two; print(one.HERE, shared.two.TWO, "
        "u.find_spec('gone') is not None, sorted(f'{d.name} {d.version}' for d in m.distributions()))"
    )
    said = []
    for changed in ((), ("one",)):
        python = installer.environment(good, bad, changed)
        said.append(subprocess.run([python, "-c", code], cwd="/", capture_output=True, text=True, check=True).stdout)
    assert said == ["1 1 True ['one 1.0', 'two 1.0']\n", "2 1 False ['one 2.0', 'two 1.0']\n"]
    shared = [path for path in (tmp_path / "state").rglob("two.py") if path.stat().st_nlink == 3]
    assert len(shared) == 3, "the files of an unchanged package lie on the disk once"
