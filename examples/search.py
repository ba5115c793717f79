"""Search for better parameters, and find out whether they are better.

You learn how to run a search that can be stopped and continued, and why its best score is too good.
A fifth of the molecules takes no part in the search. The search itself compares its best trial with
the defaults and keeps the defaults unless the gain is clear.

    python examples/search.py
"""

import os
import tempfile
from pathlib import Path

from sklearn.model_selection import train_test_split

from dipkit import DipoleSearchCV
from dipkit.data import load_organics
from dipkit.estimator import compare

quick = "DIPKIT_EXAMPLES_QUICK" in os.environ
train, held_out = train_test_split(
    load_organics()[: 45 if quick else 150], test_size=0.2, random_state=0
)

# The same call with the same file continues the study, after Ctrl-C or a crash.
study = Path(tempfile.mkdtemp(prefix="dipkit-example-")) / "study.db"
search = DipoleSearchCV(n_trials=2 if quick else 20, cv=3, storage=study, random_state=0)
search.fit(train)

print(f"best score in the folds: {-search.best_score_:.3f} D")
error = compare(search.best_estimator_, held_out)["mae_debye"]
print(f"error on molecules that took no part: {error:.3f} D")
print(f"gain over the defaults: {search.gain_:+.3f} ± {search.gain_error_:.3f} D")
print("the defaults were kept" if search.kept_untuned_ else f"taken: {search.best_params_}")
