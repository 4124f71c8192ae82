"""Which algorithms are of one family, so that a change between them is not a fundamental one.

Names are read by their parts, as libraries write their classes: `XGBClassifier`, `RandomForestClassificationModel`,
`BertForSequenceClassification`, `GBM_1_AutoML_2`. What says what the class is for falls away, as do numbers and ids of
runs, and what is left must be a known name. Anything else is unknown, and stays unknown: the registry never guesses.
"""

import re
from functools import lru_cache

FAMILIES = {
    "gradient boosting": """
    xgboost xgb lightgbm lgbm lgb catboost gbm gbdt gbt gbrt gradientboosting gradientboostedtree gradientboostedtrees
    gradientboostingmachine histgradientboosting adaboost ngboost explainableboosting ebm""",
    "random forest": "randomforest randomforests rf drf xgbrf extratrees extratree extremelyrandomizedtrees xrt",
    "decision tree": "decisiontree decisiontrees cart",
    "linear model": """
    linear linearmodel linearregression logistic logisticregression logreg generalizedlinear generalizedlinearregression
    glm gam ridge ridgeclassifier lasso lassolars elasticnet sgd bayesianridge ardregression huberregressor perceptron
    passiveaggressive poissonregressor gammaregressor tweedieregressor quantileregressor ols""",
    "neural network": """
    neuralnetwork neuralnet deeplearning mlp multilayerperceptron dnn cnn rnn lstm bilstm gru transformer bert
    distilbert roberta xlmroberta deberta albert electra gpt gpt2 gptneo t5 bart llama mistral mixtral qwen
    gemma vit swin resnet efficientnet mobilenet densenet inception vgg unet yolo yolov tabnet tabtransformer
    fttransformer autoencoder vae gan whisper wav2vec2 convnext clip sequential nbeats tft
    temporalfusiontransformer deepar""",
    "support vector machine": "svm svc svr linearsvc linearsvr linearsvm nusvc nusvr oneclasssvm supportvectormachine",
    "nearest neighbours": "knn kneighbors kneighbours nearestneighbors nearestneighbours nearestcentroid",
    "naive Bayes": "naivebayes gaussiannb multinomialnb bernoullinb complementnb categoricalnb",
    "discriminant analysis": "lineardiscriminantanalysis quadraticdiscriminantanalysis qda",
    "gaussian process": "gaussianprocess gp",
    "stacked ensemble": "stackedensemble stacking voting ensemble superlearner",
    "clustering": "kmeans minibatchkmeans bisectingkmeans dbscan hdbscan gaussianmixture gmm spectralclustering",
    "anomaly detection": "isolationforest localoutlierfactor lof ellipticenvelope",
    "matrix factorization": "als matrixfactorization svdpp nmf factorizationmachine factorizationmachines fm",
    "time series model": "arima sarima sarimax autoarima prophet ets exponentialsmoothing holtwinters theta tbats",
}
_FAMILY_OF = {name: family for family, names in FAMILIES.items() for name in names.split()}
# What says what a class is for, or which run made it.
AROUND = """
    classifier regressor classification regression ranker ranking model estimator learner cv multi output binary
    for sequence token question answering masked causal conditional generation lm head image object detection
    pretrained base small medium large xlarge tiny mini uncased cased v b auto ml grid best of family all models
    run fold
"""
FALL_AWAY = frozenset(AROUND.split())
SPELLINGS = {
    "xgb": "xgboost",
    "lgbm": "lightgbm",
    "lgb": "lightgbm",
    "rf": "randomforest",
    "logreg": "logisticregression",
}
MOST_PARTS = 20
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@lru_cache(10_000)
def family(algorithm: str) -> str | None:
    """The algorithm's family; None if it is not known."""
    parts = [part.lower() for part in _PARTS.findall(algorithm)]
    if len(parts) > MOST_PARTS:
        return None
    for length in range(len(parts), 0, -1):
        for start in range(len(parts) - length + 1):
            around, plain = parts[:start] + parts[start + length :], "".join(parts[start : start + length])
            if plain in _FAMILY_OF and all(part in FALL_AWAY or part.isdigit() for part in around):
                return _FAMILY_OF[plain]
    return None


def canonical(algorithm: str) -> str:
    """The algorithm without case, blanks and marks, in its usual spelling: names with one form are one algorithm."""
    plain = re.sub(r"[\W_]", "", algorithm).lower()
    return SPELLINGS.get(plain, plain)
