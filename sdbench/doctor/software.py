"""Python, packages, torch with its CUDA, torchvision: what is installed and what does not go together."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from sdbench.base.gpu_check import OLDEST_DRIVER
from sdbench.base.machine import gpus
from sdbench.doctor.finding import Finding

OLDEST, NEWEST = (3, 10), (3, 13)
"""The Pythons that the suite is tested with."""

_FOR_DEVELOPERS = ("docs", "lint", "test")
_INSTALL = "python -m pip install -c constraints.txt -e"


def python_finding(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """Whether this Python is one that the suite is tested with."""
    said = f"{platform.python_version()} in {sys.prefix}"
    tested = f"{'.'.join(map(str, OLDEST))} to {'.'.join(map(str, NEWEST))}"
    if version < OLDEST:
        return Finding("Python", "fails", f"{said}: too old", f"install Python {tested}", needed=True)
    if version > NEWEST:
        return Finding("Python", "note", f"{said}: newer than what was tried", f"if it fails, take Python {tested}")
    return Finding("Python", "ok", said)


def nox_finding(root: Path) -> Finding:
    """Whether there is a nox that runs the sessions."""
    places = [Path(sys.executable).parent, root / ".venv" / "bin", root / ".venv" / "Scripts"]
    found = next(filter(None, (shutil.which("nox", path=str(place)) for place in places)), None) or shutil.which("nox")
    if found is None:
        return Finding("nox", "fails", "not here", "python -m pip install -c constraints.txt nox", needed=True)
    return Finding("nox", "ok", found)


def installed(name: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def package_findings(requirements: Sequence[str], version_of: Callable[[str], str | None] = installed) -> list[Finding]:
    """What this package requires, and its extras, beside what is installed.

    Args:
        requirements: as the package's metadata lists them.
        version_of: the version of an installed package, or None.
    """
    wrong: dict[str, list[str]] = {}
    for text in requirements:
        requirement = Requirement(text)
        marker = str(requirement.marker or "")
        extra = next(iter(re.findall(r"extra == [\"']([\w-]+)[\"']", marker)), "")
        if extra in _FOR_DEVELOPERS or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        problems = wrong.setdefault(extra, [])
        version = version_of(requirement.name)
        if version is None:
            problems.append(requirement.name)
        elif not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{requirement.name} {version} ({requirement.specifier} is required)")
    own = wrong.pop("", [])
    findings = [
        Finding("packages", "fails", f"not as required: {', '.join(own)}", f"{_INSTALL} .", needed=True)
        if own
        else Finding("packages", "ok", "all that sdbench requires are installed")
    ]
    if there := [extra for extra, problems in wrong.items() if not problems]:
        findings.append(Finding("extras", "ok", f"installed: {', '.join(there)}"))
    if missing := {extra: problems for extra, problems in wrong.items() if problems}:
        said = "; ".join(f"{extra} (lacks {', '.join(problems)})" for extra, problems in missing.items())
        findings.append(Finding("other extras", "missing", said, f'{_INSTALL} ".[NAME]"'))
    return findings


@dataclass(frozen=True)
class TorchFacts:
    """What torch says of itself and of the GPUs.

    Attributes:
        version: of torch.
        cuda: the version of CUDA that it was built for; None for a build without.
        cudnn: the version of cuDNN as a number; None without.
        available: whether torch can use a GPU.
        architectures: those that it was compiled for, as sm_80 or compute_90.
        devices: name and compute capability of each GPU that it sees.
        seen: name and driver of each GPU that nvidia-smi sees, with a comma between them.
        smi_fails: whether nvidia-smi is there and lists nothing.
    """

    version: str
    cuda: str | None = None
    cudnn: int | None = None
    available: bool = False
    architectures: tuple[str, ...] = ()
    devices: tuple[tuple[str, tuple[int, int]], ...] = ()
    seen: tuple[str, ...] = ()
    smi_fails: bool = False


def torch_facts() -> TorchFacts:
    """Ask torch and nvidia-smi.

    Raises:
        Exception: torch does not import, whatever it raises.
    """
    seen = tuple(gpus())
    import torch  # noqa: PLC0415 - what is looked at is whether it imports

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a driver that is too old is a finding
        available = torch.cuda.is_available()
    count = torch.cuda.device_count() if available else 0
    return TorchFacts(
        torch.__version__,
        torch.version.cuda,
        torch.backends.cudnn.version() if available else None,  # type: ignore[no-untyped-call]
        available,
        tuple(torch.cuda.get_arch_list()) if available else (),
        tuple((torch.cuda.get_device_name(n), torch.cuda.get_device_capability(n)) for n in range(count)),
        seen,
        not seen and shutil.which("nvidia-smi") is not None,
    )


def torch_findings(facts: TorchFacts) -> list[Finding]:
    """What torch, CUDA, cuDNN, driver and GPUs are, and which of them do not go together."""
    build = f"for CUDA {facts.cuda}" if facts.cuda else "without CUDA"
    from sdbench.engine.placing import WRONG_CUDNN  # noqa: PLC0415 - imports torch, which may not import

    findings = [Finding("torch", "ok", f"{facts.version}, built {build}")]
    for number, each in enumerate(facts.seen):
        name, _, driver = (part.strip() for part in each.partition(","))
        findings.append(_driver_finding(f"GPU {number}", name, driver, facts.cuda))
    if facts.smi_fails:
        findings.append(
            Finding(
                "GPU",
                "fails" if facts.cuda else "note",
                "nvidia-smi is here and lists no GPU",
                "run nvidia-smi and read what it says: most often the driver was updated and waits for a restart",
            )
        )
    elif not facts.seen and not facts.devices:
        findings.append(Finding("GPU", "note", "none: networks run on the processor; --device cuda does not work"))
    if facts.cuda and facts.seen and not facts.available and all(finding.state == "ok" for finding in findings):
        findings.append(
            Finding(
                "CUDA",
                "fails",
                "there is a GPU, and torch cannot use it (torch.cuda.is_available() is false)",
                "see that CUDA_VISIBLE_DEVICES does not hide it and that this user may open /dev/nvidia*",
            )
        )
    for number, (name, capability) in enumerate(facts.devices):
        if facts.architectures and not runs_on(facts.architectures, capability):
            findings.append(
                Finding(
                    f"cuda:{number}",
                    "fails",
                    f"{name} has compute capability {capability[0]}.{capability[1]}, for which this torch was not "
                    f"compiled (it has {', '.join(facts.architectures)})",
                    "install a torch that was built for another CUDA, or use --device cpu",
                )
            )
        else:
            found = f"{name}, compute capability {capability[0]}.{capability[1]}: torch can use it"
            findings.append(Finding(f"cuda:{number}", "ok", found))
    if facts.cudnn in WRONG_CUDNN:
        findings.append(
            Finding(
                "cuDNN",
                "note",
                f"{facts.cudnn}: known to compute bfloat16 convolutions over time wrongly or slowly",
                "use --precision float32, or a torch with another cuDNN",
            )
        )
    elif facts.cudnn is not None:
        findings.append(Finding("cuDNN", "ok", str(facts.cudnn)))
    return findings


def _driver_finding(subject: str, name: str, driver: str, cuda: str | None) -> Finding:
    said = f"{name}, driver {driver}"
    if cuda is None:
        return Finding(
            subject,
            "note",
            f"{said}; this torch is built without CUDA and cannot use it",
            "install a torch with CUDA: see docs/container.md, or leave out --device cuda",
        )
    least = OLDEST_DRIVER.get(_leading(cuda))
    if least is not None and 0 < _leading(driver) < least:
        return Finding(
            subject,
            "fails",
            f"{said}; torch is built for CUDA {cuda}, which needs a driver of {least} or newer",
            f"update the driver, or install a torch built for CUDA {_newest_cuda(driver)}, or leave out --device cuda",
        )
    return Finding(subject, "ok", said)


def _leading(version: str) -> int:
    found = re.match(r"\d+", version)
    return int(found.group()) if found else 0


def _newest_cuda(driver: str) -> str:
    fitting = [major for major, least in OLDEST_DRIVER.items() if least <= _leading(driver)]
    return str(max(fitting)) if fitting else "of that driver"


def runs_on(architectures: Sequence[str], capability: tuple[int, int]) -> bool:
    """Whether code for one of the architectures runs on a GPU of this compute capability.

    Machine code (sm_80) runs on later minor versions of its major one; code with a letter (sm_90a) on its own version
    alone; what the driver compiles (compute_80) on all later ones.
    """
    for architecture in architectures:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", architecture)
        if found is None:
            continue
        kind, letter = found.group(1), found.group(4)
        known = (int(found.group(2)), int(found.group(3)))
        if known == capability or (letter == "f" and known[0] == capability[0] and known <= capability):
            return True
        if not letter and known <= capability and (kind == "compute" or known[0] == capability[0]):
            return True
    return False


def torchvision_finding(
    requires: Sequence[str] | None, torch: str | None, load: Callable[[str], object] = import_module
) -> Finding | None:
    """Whether torchvision, which is built for one torch, goes with the one that is here; None where it is not.

    Args:
        requires: the requirements of the installed torchvision; None where there is none.
        torch: the version of torch.
        load: imports it.
    """
    if requires is None:
        return None
    cure = "python -m pip install --upgrade torch torchvision, both in one command, or uninstall torchvision"
    wanted = next((need for need in map(Requirement, requires) if need.name == "torch"), None)
    if wanted is not None and torch is not None and not _fits(wanted, torch):
        said = f"built for torch{wanted.specifier}, and torch is {torch}"
        return Finding("torchvision", "fails", said, cure)
    try:
        load("torchvision")
    except Exception as error:
        return Finding("torchvision", "fails", f"does not import: {' '.join(str(error).split())[:200]}", cure)
    return Finding("torchvision", "ok", "imports, beside this torch")


def _fits(wanted: Requirement, version: str) -> bool:
    try:
        return wanted.specifier.contains(Version(version).public, prereleases=True)
    except InvalidVersion:  # of a torch that somebody built
        return True


def software_findings(root: Path, torch: Callable[[], TorchFacts] = torch_facts) -> list[Finding]:
    """All of it, of this Python."""
    findings = [python_finding(), nox_finding(root), *package_findings(metadata.requires("sdbench") or ())]
    try:
        facts = torch()
    except Exception as error:
        said = f"does not import: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        findings.append(Finding("torch", "fails", said, f"{_INSTALL} . --force-reinstall torch", needed=True))
        return findings
    findings += torch_findings(facts)
    requires = metadata.requires("torchvision") or () if installed("torchvision") else None
    found = torchvision_finding(requires, facts.version)
    return [*findings, found] if found else findings


def device_of(findings: Sequence[Finding]) -> str:
    """Where networks run best, as far as was found: "cuda" where torch can use a GPU, else "cpu"."""
    usable = any(finding.subject.startswith("cuda:") and finding.state == "ok" for finding in findings)
    return "cuda" if usable and not any(f.subject.startswith("GPU") and f.state == "fails" for f in findings) else "cpu"


def as_values(findings: Sequence[Finding]) -> list[Mapping[str, object]]:
    """Findings as plain values, for JSON."""
    return [{**vars(finding), "values": dict(finding.values)} for finding in findings]
