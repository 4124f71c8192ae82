"""The families of algorithms by the names that libraries give their classes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.algorithms import canonical, family

# By the families, classes of scikit-learn, XGBoost, LightGBM, CatBoost, Spark, Keras, PyTorch, transformers and H2O.
KNOWN = {
    "gradient boosting": "XGBClassifier XGBRegressor XGBRanker xgboost XGBoost xgb LGBMClassifier LightGBM lightgbm"
    " CatBoostClassifier CatBoostRanker GradientBoostingClassifier HistGradientBoostingRegressor AdaBoostClassifier"
    " GBTClassifier GBTRegressionModel GBM_1_AutoML_2_20260101 XGBoost_grid_1_AutoML_1_model_3",
    "random forest": "RandomForestClassifier RandomForestRegressionModel ExtraTreesClassifier DRF_1_AutoML_1 XRT"
    " XGBRFClassifier random-forest",
    "decision tree": "DecisionTreeClassifier DecisionTreeRegressionModel",
    "linear model": "LogisticRegression LogisticRegressionCV LinearRegression LinearRegressionModel Ridge RidgeCV Lasso"
    " ElasticNet SGDClassifier BayesianRidge HuberRegressor GLM_1_AutoML_1 GeneralizedLinearRegressionModel",
    "neural network": "MLPClassifier MultilayerPerceptronClassificationModel BertForSequenceClassification"
    " DistilBertForTokenClassification RobertaForQuestionAnswering GPT2LMHeadModel T5ForConditionalGeneration"
    " LlamaForCausalLM ViTForImageClassification ResNet50 EfficientNetB0 YOLOv8 LSTM DeepLearning_1_AutoML_1 TabNet",
    "support vector machine": "SVC LinearSVC SVR OneClassSVM LinearSVCModel",
    "nearest neighbours": "KNeighborsClassifier KNeighborsRegressor NearestCentroid",
    "naive Bayes": "GaussianNB MultinomialNB NaiveBayesModel",
    "stacked ensemble": "StackingClassifier VotingRegressor StackedEnsemble_BestOfFamily_1_AutoML_1",
    "clustering": "KMeans MiniBatchKMeans DBSCAN GaussianMixture BisectingKMeansModel",
    "anomaly detection": "IsolationForest LocalOutlierFactor",
    "matrix factorization": "ALS ALSModel NMF FMClassifier",
    "time series model": "Prophet ARIMA SARIMAX ExponentialSmoothing",
}
UNKNOWN = "Pipeline Model custom my_algorithm DummyClassifier AutoML_1 v2 Estimator churn_model 3f2a9c Booster2000X LDA"


@pytest.mark.parametrize("name", KNOWN)
def test_classes_are_read_as_their_family(name: str) -> None:
    assert {each: read for each in KNOWN[name].split() if (read := family(each)) != name} == {}


def test_there_are_many_names_and_none_is_guessed() -> None:
    assert sum(len(names.split()) for names in KNOWN.values()) >= 60
    assert {each: read for each in UNKNOWN.split() if (read := family(each)) is not None} == {}


@given(st.text())
def test_any_name_has_a_family_or_none(name: str) -> None:
    assert family(name) is None or isinstance(family(name), str)


@pytest.mark.parametrize(
    "names",
    [("XGBoost", "xgboost", "xgb", "XG-Boost", "xg boost"), ("LightGBM", "lgbm", "light_gbm"), ("BERT", "bert")],
)
def test_spellings_of_one_algorithm_are_one(names: tuple[str, ...]) -> None:
    assert len({canonical(name) for name in names}) == 1
    assert canonical("XGBClassifier") != canonical("xgboost")
