"""Run the Python snippets of README.md and of the pages of docs/, each page in a folder of its own.

    python .ci/snippets.py

The snippets of a page run one after the other, like the cells of a notebook. They find the files
train.xyz and new.xyz, and the variables that the page assumes (`GIVEN`). What cannot run in CI is
in `NOT_RUN`, with the reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "index.md"),
]
_SNIPPET = re.compile(r"```python\n(.*?)```", re.DOTALL)
# A text in a snippet, and why such a snippet is not run.
NOT_RUN = {
    'Client("scheduler': "needs a cluster; examples/large_sets.py does the same in one process",
    "LocalCUDACluster": "needs GPUs",
    "from rdkit": "RDKit is no dependency of dipkit",
}
# Texts of snippets, and what is run instead to save time.
SHORTER = {
    "n_trials=60": "n_trials=2",
    "geometries(modes, 200": "geometries(modes, 40",
    "k=50": "k=5",
}

# Fewer molecules than a reader has, so that all pages take about a minute.
PRELUDE = """
import warnings
import matplotlib
matplotlib.use("Agg")
import dipkit.data
bundled = dipkit.data.load_organics()
dipkit.data.load_organics = lambda: bundled[:60]
from dipkit import write, default_model
write("train.xyz", bundled[:40].replace(dipole_vector=None))
write("new.xyz", bundled[40:50])
train, new, molecules = bundled[:40], bundled[40:50], bundled[:40]
"""
# What a page assumes besides, by its name.
GIVEN = {
    "uncertainty.md": "from dipkit import predict_all\nmodel = default_model().fit(train)",
    "report.md": "model = default_model().fit(train)",
    "vibrations.md": "from ase.build import molecule\nfrom ase.optimize import BFGS\n"
    "from tblite.ase import TBLite\natoms = molecule('H2O')\natoms.calc = TBLite(verbosity=0)\n"
    "BFGS(atoms, logfile=None).run(fmax=1e-3, steps=50)\n"
    "from dipkit import save_model\nsave_model(default_model().fit(train), 'dipoles.dipkit')",
    "scaling.md": "from dipkit import DipoleKernelRidge, SOAPTransformer\n"
    "described = SOAPTransformer().fit_transform(molecules)\n"
    "described_first, described_more = described[:20], described[20:]",
    "suggest.md": "model = default_model().fit(train)\n"
    "write('pool.xyz', bundled[40:60].replace(dipole_magnitude=None, dipole_vector=None))",
    "tuning.md": "molecules = dipkit.data.load_organics()",
}


def main() -> int:
    """Run all pages; the status is 1 if one of them fails."""
    failed = []
    for page in PAGES:
        run = []
        for snippet in _SNIPPET.findall(page.read_text(encoding="utf-8")):
            reasons = [reason for text, reason in NOT_RUN.items() if text in snippet]
            if reasons:
                print(f"{page.name}: a snippet is not run: {reasons[0]}")
                continue
            for text, shorter in SHORTER.items():
                snippet = snippet.replace(text, shorter)
            run.append(snippet)
        if run and _run([PRELUDE, GIVEN.get(page.name, ""), *run]):
            failed.append(page.name)
        elif run:
            print(f"{page.name}: {len(run)} snippets run", flush=True)
    print("failed:" if failed else "all pages passed", *failed)
    return 1 if failed else 0


def _run(parts: list[str]) -> int:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "snippets.py")
        script.write_text("\n".join(parts), encoding="utf-8")
        return subprocess.run([sys.executable, script.name], cwd=folder, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
