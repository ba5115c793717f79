"""A small model and a small search over it."""

from optuna.distributions import FloatDistribution
from sklearn.pipeline import Pipeline, make_pipeline

from dipkit import DipoleKernelRidge, DipoleSearchCV, SOAPScale, SOAPTransformer

ALPHAS, WEIGHTS = [1e-2, 1e-4], [0.0, 1e-2]
SMALL = {
    "dipolekernelridge__basis__kernel__degree": FloatDistribution(1.0, 3.0),
    "soaptransformer__scale1__weight": FloatDistribution(1e-3, 1e-1, log=True),
}


def small_model(**parameters) -> Pipeline:
    scales = (SOAPScale(2.2, 4, 3, 0.3, "gto", 1.0), SOAPScale(3.5, 3, 2, 0.5, "gto", 0.01))
    ridge = DipoleKernelRidge().set_params(**{"basis__n_inducing": 30} | parameters)
    return make_pipeline(SOAPTransformer(scales, n_jobs=1), ridge)


def small_search(space=SMALL, **parameters) -> DipoleSearchCV:
    usual = {"grid": {"alpha": ALPHAS, "charge_weight": WEIGHTS}, "n_trials": 3, "cv": 3}
    usual["guard"] = None
    return DipoleSearchCV(small_model(), space, random_state=0, **(usual | parameters))
