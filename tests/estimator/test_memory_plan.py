"""Memory by budget: the forecast, the choice of where rows go, the file they go to."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import dipkit.estimator.memory_forecast
import dipkit.estimator.memory_plan
from dipkit import DipoleKernelRidge, InducingBasis, Reweighted
from dipkit.data.molecules import Molecules
from dipkit.estimator.memory_plan import default_n_inducing, plan_fit, plan_more
from dipkit.exceptions import InputError
from dipkit.support.backend import NUMPY
from dipkit.support.system_memory import process_memory


def test_rows_go_where_there_is_room(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(4,) * 2000)
    roomy = plan_fit(molecules, 500, NUMPY, None)
    assert not roomy.rows_on_disk
    assert roomy.rows == 24 * 2000 * 503
    tight = plan_fit(molecules, 500, NUMPY, roomy.peak - roomy.rows // 2)
    assert tight.rows_on_disk
    assert tight.peak <= tight.budget < roomy.peak
    assert "in a temporary file" in str(tight)
    assert tight.as_dict()["rows_in"] == "file"


def test_what_cannot_be_done_names_what_can(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(4,) * 50)
    budget = process_memory() + 120 * 10**6
    with pytest.raises(InputError, match=r"50 molecules with 90000 inducing") as caught:
        plan_fit(molecules, 90_000, NUMPY, budget)
    largest = int(str(caught.value).split("n_inducing <= ")[1].split(",")[0])
    assert 100 < largest < 90_000
    assert plan_fit(molecules, largest - 1, NUMPY, budget).peak <= budget


def test_a_card_has_no_file(toy: Callable[..., Molecules], monkeypatch: pytest.MonkeyPatch) -> None:
    molecules, needed = toy(sizes=(4,) * 2000), plan_fit(toy(sizes=(4,) * 2000), 500)
    monkeypatch.setattr(type(NUMPY), "on_host", False)
    with pytest.raises(InputError, match="n_inducing <= "):
        plan_fit(molecules, 500, NUMPY, needed.matrices + needed.blocks + needed.rows // 2)


def test_the_usual_number_respects_the_budget(toy: Callable[..., Molecules]) -> None:
    molecules = toy(sizes=(4,) * 3000)
    assert default_n_inducing(molecules) == 2798
    plan = plan_fit(molecules, 2798)
    budget = plan.peak - plan.rows // 2
    with pytest.warns(UserWarning, match=r"the memory budget allows \d+ .* usual 2798"):
        few = default_n_inducing(molecules, NUMPY, budget)
    assert 100 < few < 2798
    assert not plan_fit(molecules, few - 1, NUMPY, budget).rows_on_disk


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Pretend that so many bytes are free, and that nothing is taken yet."""

    def pretend(n_bytes: int) -> None:
        monkeypatch.setattr(type(NUMPY), "free_memory", lambda self: n_bytes)
        monkeypatch.setattr(dipkit.estimator.memory_plan, "process_memory", lambda: 0)

    return pretend


def test_the_default_size_takes_half_of_what_is_free(
    toy: Callable[..., Molecules], free: Callable[[int], None]
) -> None:
    molecules = toy(sizes=(4,) * 3000)
    free(10**12)
    needed = plan_fit(molecules, 2798).peak
    free(2 * needed + 2)
    assert default_n_inducing(molecules) == 2798
    free(2 * needed - 2 * 10**6)
    with pytest.warns(UserWarning, match=r"the free memory allows 27\d\d .* usual 2798"):
        few = default_n_inducing(molecules)
    assert 2700 < few < 2798


def test_a_fit_takes_four_fifths_of_what_is_free(
    toy: Callable[..., Molecules], free: Callable[[int], None]
) -> None:
    molecules = toy(sizes=(4,) * 2000)
    free(10**12)
    needed = plan_fit(molecules, 500).peak
    for n_bytes, on_disk in ((1.2501 * needed, False), (1.2499 * needed, True)):
        free(int(n_bytes))
        assert plan_fit(molecules, 500).rows_on_disk == on_disk


def test_the_choice_of_environments_is_over_before_the_rest(toy: Callable[..., Molecules]) -> None:
    plan = plan_fit(toy(sizes=(4,) * 2000), 500)
    assert plan.peak == plan.present + max(plan.choosing, plan.matrices + plan.blocks + plan.rows)
    large = plan_fit(toy(sizes=(4,) * 2000), 4000)
    few = plan_fit(toy(sizes=(4,) * 20), 40)
    assert few.choosing < plan.choosing < large.choosing
    # Every element is chosen from alone: all candidates at once would be far more.
    assert large.choosing < 4 * 2 * 8000**2


def test_molecules_that_are_added_are_planned_with_those_before(
    toy: Callable[..., Molecules], free: Callable[[int], None]
) -> None:
    more, sizes = toy(sizes=(4,) * 100), (500, 480)
    free(10**12)
    plan = plan_more(more, 2000, *sizes)
    assert plan.rows == 24 * (2000 + 2 * 100) * 480  # all of them, and the new ones again
    assert not plan.rows_on_disk
    tight = plan_more(more, 2000, *sizes, budget=plan.peak - 1)
    assert tight.rows_on_disk
    assert tight.peak == plan.peak - plan.rows
    assert plan_more(more, 2000, *sizes, on_disk=True).rows_on_disk
    with pytest.raises(InputError, match=r"100 molecules added to 2000 .*add fewer at a time"):
        plan_more(more, 2000, *sizes, budget=tight.peak - 1)


def test_rows_in_a_file_give_the_same_model(described: Molecules) -> None:
    model = DipoleKernelRidge(
        basis=InducingBasis(n_inducing=60), solver=Reweighted(tol=1e-8), device="cpu"
    )
    held = model.fit(described).predict_together(described, return_std=True)
    assert model.memory_plan_["rows_in"] == "memory"
    plan = plan_fit(described, 60, precise=True, with_bonds=True)
    model.set_params(memory_budget=plan.peak - plan.rows // 2 + 2**20 // 4)
    with pytest.MonkeyPatch.context() as patch:
        # What the process has taken changes from call to call.
        patch.setattr(dipkit.estimator.memory_plan, "process_memory", lambda: plan.present)
        patch.setattr(
            dipkit.estimator.memory_forecast,
            "SLACK_BYTES",
            dipkit.estimator.memory_forecast.SLACK_BYTES + 2**20 // 4,
        )
        spilled = model.fit(described).predict_together(described, return_std=True)
    assert model.memory_plan_["rows_in"] == "file"
    for found, expected in zip(spilled, held, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


PROGRAM = """
import sys
import numpy as np
from dipkit import DipoleKernelRidge
from dipkit.descriptors.features import Features
from dipkit.data.molecules import Molecules

rng = np.random.default_rng(0)
n, size = 12_000, 3
x = rng.random((n * size, 16), dtype=np.float32)
molecules = Molecules(
    numbers=np.tile([1, 6, 8], n),
    positions=np.tile(1.2 * np.eye(3), (n, 1)) + 0.2 * rng.random((3 * n, 3)),
    offsets=np.arange(0, n * size + 1, size),
    dipole_magnitude=rng.random(n),
    features=Features((x / np.linalg.norm(x, axis=1, keepdims=True),), (1.0,)),
)
model = DipoleKernelRidge(memory_budget=int(sys.argv[1])).set_params(
    basis__n_inducing=900, solver__max_iter=3, solver__annealing=()
)
import warnings
warnings.simplefilter("ignore")
model.fit(molecules)
# Not ru_maxrss, which counts the program that started this one.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(model.memory_plan_["rows_in"], int(peak.split()[1]) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count resident pages otherwise")
@pytest.mark.parametrize(("budget", "where"), [(10**9, "memory"), (500 * 10**6, "file")])
def test_peak_memory_stays_under_the_budget(budget: int, where: str, tmp_path: Path) -> None:
    script = tmp_path / "fit.py"
    script.write_text(PROGRAM)
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script), str(budget)],
        capture_output=True, text=True, check=True, env=os.environ | one,
    )  # fmt: skip
    found, peak = done.stdout.split()
    assert found == where
    assert int(peak) < budget
