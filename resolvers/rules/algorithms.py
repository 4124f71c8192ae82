"""The families of algorithms. A change within a family is not a fundamental one.

Extend FAMILIES with further names; they are compared in lower case without blanks, dashes and underscores. An unknown
algorithm is a family of its own.
"""

import re

FAMILIES: dict[str, tuple[str, ...]] = {
    "gradient boosting": (
        "xgboost", "xgb", "xgbclassifier", "xgbregressor", "lightgbm", "lgbm", "lgbmclassifier", "lgbmregressor",
        "catboost", "gbm", "gbdt", "gradientboosting", "gradientboostedtrees", "histgradientboosting", "adaboost",
    ),
    "random forest": ("randomforest", "drf", "extratrees", "xrt", "isolationforest"),
    "decision tree": ("decisiontree", "cart"),
    "linear model": (
        "linear", "linearregression", "logistic", "logisticregression", "glm", "ridge", "lasso", "elasticnet", "sgd",
    ),
    "neural network": (
        "neuralnetwork", "deeplearning", "mlp", "dnn", "cnn", "rnn", "lstm", "gru", "transformer", "bert", "tabnet",
    ),
    "support vector machine": ("svm", "svc", "svr", "supportvectormachine"),
    "nearest neighbours": ("knn", "nearestneighbors", "nearestneighbours"),
    "naive Bayes": ("naivebayes", "gaussiannb", "multinomialnb"),
    "stacked ensemble": ("stackedensemble", "stacking", "ensemble", "voting"),
}  # fmt: skip
_FAMILY_OF = {name: family for family, names in FAMILIES.items() for name in names}


def family(algorithm: str) -> str:
    """The algorithm's family, or the algorithm itself in lower case if it is not known."""
    plain = re.sub(r"[\s_-]", "", algorithm).lower()
    return _FAMILY_OF.get(plain, plain)
