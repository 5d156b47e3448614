"""A build backend that runs nothing.

pip insists on the metadata of a source distribution even when it only downloads it, and would run the distribution's
setup.py to get it. With this module in the place of setuptools it is handed the PKG-INFO that lies in the archive, and
no code of the distribution ever runs. Python standard library only: pip imports it in a bare process.
"""

import pathlib
import shutil
from email.parser import Parser


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    info = Parser().parsestr(pathlib.Path("PKG-INFO").read_text(encoding="utf-8"))
    name = f"{info['Name'].replace('-', '_')}-{info['Version']}.dist-info"
    folder = pathlib.Path(metadata_directory) / name
    folder.mkdir()
    shutil.copy("PKG-INFO", folder / "METADATA")
    return name


class _Legacy:
    get_requires_for_build_wheel = staticmethod(get_requires_for_build_wheel)
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)


__legacy__ = _Legacy()
