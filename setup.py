"""Puts configs/ into the package when it is built; pyproject.toml says everything else."""

import pathlib

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copies configs/*.py to adapt_jax/configs/; editable installs find them in the repository."""

    def run(self):
        """Builds."""
        super().run()
        target = pathlib.Path(self.build_lib, "adapt_jax", "configs")
        if not self.editable_mode:
            self.mkpath(str(target))
            for file in pathlib.Path("configs").glob("*.py"):
                self.copy_file(str(file), str(target / file.name))


setup(cmdclass={"build_py": BuildWithConfigs})
