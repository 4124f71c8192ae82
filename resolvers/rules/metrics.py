"""Whether higher or lower values of a metric are better. Extend the two lists as needed. The direction of other names
is unknown.

Names are compared in lower case without blanks, dashes and underscores, after a prefix such as `val_` or `test_`.
"""

import re
from urllib.parse import quote

HIGHER_IS_BETTER = frozenset({
    "auc", "rocauc", "aucroc", "prauc", "aucpr", "averageprecision", "accuracy", "balancedaccuracy", "precision",
    "recall", "sensitivity", "specificity", "f1", "f1score", "f2", "fbeta", "mcc", "kappa", "gini", "ks", "lift", "r2",
    "explainedvariance", "ndcg", "map", "mrr", "hitrate", "bleu", "rouge", "iou", "dice", "silhouette",
})  # fmt: skip
LOWER_IS_BETTER = frozenset({
    "logloss", "loss", "crossentropy", "mae", "mse", "rmse", "rmsle", "mape", "smape", "wape", "medae", "brier",
    "brierscore", "error", "errorrate", "fpr", "fnr", "falsepositiverate", "falsenegativerate", "hinge", "perplexity",
    "ece", "deviance", "psi", "latency", "latencyms",
})  # fmt: skip
_PREFIX = re.compile(r"^(train|training|val|valid|validation|test|cv|mean)[\s_-]+")


def higher_is_better(name: str) -> bool | None:
    plain = re.sub(r"[\s_-]", "", _PREFIX.sub("", name.lower()))
    if plain in HIGHER_IS_BETTER:
        return True
    return False if plain in LOWER_IS_BETTER else None


def metric_path(model: str, metric: str) -> str:
    """The path of the picture of a metric over a model's versions."""
    return f"/models/{model}/metrics/{quote(metric, safe='')}.svg"
