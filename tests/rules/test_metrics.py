"""The direction of metrics by their names, as trackers and libraries write them, and how two values compare."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.metrics import HIGHER_IS_BETTER, LOWER_IS_BETTER, higher_is_better, verdict, worse_by
from storage.vocabulary import MetricVerdict

# Names as scikit-learn, XGBoost, LightGBM, CatBoost, Keras, Lightning, transformers, Spark, H2O and others write them.
HIGHER = """
    accuracy eval_accuracy val/acc test_acc accuracy_score balanced_accuracy top_5_accuracy top_k_accuracy
    val_sparse_categorical_accuracy AUC ROC-AUC roc_auc_score auc_pr average_precision_score areaUnderROC
    areaUnderPR validation_0-auc valid_0's_auc aucpr aucmu f1 f1_macro f1-score weighted_f1 eval_f1
    macro_avg.f1-score test_f1_micro fbeta_score weightedFMeasure precision_at_5 recall@20 Recall precision_macro r2
    r2_score adjusted_r2 explained_variance_score neg_mean_squared_error neg_log_loss neg_root_mean_squared_error
    d2_absolute_error_score ndcg@10 NDCG mrr@10 MAP@50 hit_rate@10 hits@3 mean_reciprocal_rank matthews_corrcoef
    cohen_kappa_score quadratic_weighted_kappa jaccard_score mean_io_u val_miou dice_coefficient metrics/mAP50-95(B)
    metrics/precision(B) eval_rouge1 rougeL rougeLsum eval_bleu sacrebleu bleu_4 meteor chrf bertscore_f1
    exact_match pass@1 win_rate success_rate episode_reward_mean silhouette_score calinski_harabasz_score
    adjusted_rand_score normalized_mutual_info_score v_measure_score psnr val_ssim pesq stoi concordance_index
    c_index gini ks spearmanr eval_pearson log_likelihood eval_mean_token_accuracy sensitivity specificity tpr
    true_positive_rate BalancedAccuracy TotalF1 lift throughput fold_3_auc best_val_accuracy accuracy_class_3
    test/f1/epoch oof_auc
"""
LOWER = """
    loss val_loss eval_loss train/loss_step validation_0-logloss training_loss log_loss logloss LogLoss
    binary_logloss multi_logloss mlogloss cross_entropy CrossEntropy categorical_crossentropy nll neg_log_likelihood
    rmse RMSE val_rmse root_mean_squared_error mean_squared_error mean_absolute_error MAE mape sMAPE wape mase rmsle
    mean_absolute_percentage_error median_absolute_error max_error l1 valid_0's_l2 error_rate error@0.7 merror
    mean_per_class_error wer eval_wer cer perplexity eval_perplexity ppl bits_per_char brier_score_loss hamming_loss
    zero_one_loss hinge_loss pinball_loss quantile_loss_0.9 crps ece expected_calibration_error fpr
    false_positive_rate fnr eer fid lpips davies_bouldin_score mean_residual_deviance gamma-nloglik poisson-nloglik
    gamma-deviance tweedie-nloglik@1.5 latency_p99_ms latency_ms huber_loss kullback_leibler_divergence rmse_cv_mean
    hausdorff_distance BalancedErrorRate HammingLoss psi test_mse der
"""
# Ambiguous, no measure of quality, or another thing than the metric that they name.
UNKNOWN = """
    epoch step learning_rate grad_norm train_runtime eval_samples_per_second auc_std loss_std loss_ratio auc_diff
    delta_auc auc_gap weight_loss loss_weight score quality coverage diversity novelty bias mean_error
    disparate_impact cosine_similarity support tp fn num_parameters model_size memory_mb time_ms duration revenue
    conversion_rate churn_rate samples n count temperature kl entropy objective val_score accuracy_loss
    precision_recall_gap train_time f1_threshold best_threshold weights gain cost length mean average total rate
    ratio
"""


@pytest.mark.parametrize(("names", "better"), [(HIGHER, True), (LOWER, False), (UNKNOWN, None)])
def test_directions_are_read_from_names_and_never_guessed(names: str, better: bool | None) -> None:
    assert len(names.split()) > 50
    assert {name: read for name in names.split() if (read := higher_is_better(name)) is not better} == {}


@pytest.mark.parametrize("name", ["ROC AUC", "test-RMSE", "valid_0's l2", "F1 Score", "mean Average Precision"])
def test_names_with_blanks_and_marks_are_read(name: str) -> None:
    assert higher_is_better(name) is not None


def test_no_metric_is_better_both_ways() -> None:
    assert not HIGHER_IS_BETTER & LOWER_IS_BETTER


@pytest.mark.parametrize("name", sorted(HIGHER_IS_BETTER | LOWER_IS_BETTER))
def test_a_negated_metric_is_better_the_other_way(name: str) -> None:
    assert higher_is_better(f"neg_{name}") is not higher_is_better(name)
    assert higher_is_better(f"val/{name}_epoch") is higher_is_better(name) is not None


@given(st.text())
def test_any_name_is_read_without_a_guess_beyond_the_lists(name: str) -> None:
    assert higher_is_better(name) in (True, False, None)


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE, FINITE)
def test_a_verdict_says_what_the_direction_says(before: float, now: float) -> None:
    auc, loss = verdict("auc", before, now), verdict("val_loss", before, now)
    if before == now:
        assert auc is loss is MetricVerdict.EQUAL
    else:
        assert {auc, loss} == {MetricVerdict.BETTER, MetricVerdict.WORSE}
        assert (auc is MetricVerdict.BETTER) == (now > before)
        assert verdict("revenue", before, now) is MetricVerdict.NOT_COMPARABLE
    assert verdict("auc", None, now) is verdict("auc", before, None) is MetricVerdict.MISSING


def test_a_difference_from_nought_is_absolute() -> None:
    assert math.isclose(worse_by(0.0, 0.2), 0.2)
    assert math.isclose(worse_by(-2.0, -1.0), 0.5)
