"""Which way a metric is better. Names are read by their parts, as trackers and libraries write them: what says where,
when or how a value was taken falls away (`val/`, `_epoch`, `macro`, `@10`), and what is left must be a known name.

A name that is not known, or that means different things to different people, is unknown: the registry never guesses. A
value's spread, difference or number of cases is another matter than the value, so `auc_std` is unknown too.
"""

import re
from functools import lru_cache
from urllib.parse import quote

from storage.vocabulary import MetricVerdict

HIGHER = """
    accuracy acc balancedaccuracy balancedacc categoricalaccuracy sparsecategoricalaccuracy binaryaccuracy
    subsetaccuracy topkaccuracy topkcategoricalaccuracy sparsetopkcategoricalaccuracy top1 top5 top1accuracy
    top5accuracy top1acc top5acc tokenaccuracy intervalregressionaccuracy exactmatch em auc rocauc aucroc auroc
    aucmu prauc aucpr auprc rocaucovr rocaucovo areaunderroc areaunderpr areaundercurve averageprecision ap map
    map50 map5095 map75 mar precision recall sensitivity specificity selectivity tpr tnr truepositiverate
    truenegativerate ppv npv f1 f1score f2 f05 fbeta fscore fmeasure totalf1 jaccard iou miou meaniou dice
    dicecoefficient mcc matthewscorrcoef matthewscorrelation kappa wkappa cohenkappa quadraticweightedkappa qwk
    gmean youdenj informedness gini ks ksstatistic lift concordance concordanceindex cindex r2 adjustedr2 rsquared
    d2 d2absoluteerror d2pinball explainedvariance pearson pearsonr spearman spearmanr kendalltau loglikelihood elbo
    ndcg dcg mrr meanreciprocalrank hitrate hitratio hits hit pfound bleu sacrebleu bleu1 bleu2 bleu3 bleu4 rouge
    rouge1 rouge2 rougel rougelsum meteor chrf bertscore bertscoref1 cider spice comet passrate pass winrate
    successrate solverate silhouette calinskiharabasz randindex rand adjustedrand adjustedrandindex ari
    adjustedmutualinfo normalizedmutualinfo nmi ami mutualinfo vmeasure homogeneity completeness fowlkesmallows
    purity psnr ssim msssim inceptionscore pesq stoi mos sdr sisdr snr reward episodereward episodereturn throughput
    uptime availability
"""
LOWER = """
    loss logloss multilogloss binarylogloss mlogloss totalloss crossentropy crossentropyloss categoricalcrossentropy
    sparsecategoricalcrossentropy binarycrossentropy bce xentropy nll nllloss nloglik poissonnloglik gammanloglik
    tweedienloglik coxnloglik aftnloglik kldivergence kullbackleibler kullbackleiblerdivergence multiclass focalloss
    contrastiveloss tripletloss ctcloss huber huberloss hinge hingeloss squaredhinge logcosh pinball pinballloss
    quantileloss crps zerooneloss hammingloss brier brierscore brierscoreloss mae mse rmse rmsle msle mape smape
    wape wmape mase rmsse mdape medae mphe l1 l2 queryrmse nrmse mad meanabsoluteerror meansquarederror
    rootmeansquarederror rmserror meansquaredlogerror meansquaredlogarithmicerror rootmeansquaredlogerror
    meanabsolutepercentageerror symmetricmeanabsolutepercentageerror medianabsoluteerror meanabsolutescalederror
    maxerror absoluteerror squarederror error err errorrate balancederrorrate classificationerror meanperclasserror
    multierror binaryerror merror fpr fnr fdr falsepositiverate falsenegativerate falsediscoveryrate
    falseomissionrate eer equalerrorrate mindcf deviance residualdeviance meanresidualdeviance poissondeviance
    gammadeviance tweediedeviance wer cer ter mer der mcd worderrorrate charactererrorrate editdistance levenshtein
    perplexity ppl bitsperchar bpc bitsperbyte bpb ece mce calibrationerror expectedcalibrationerror psi fid kid
    lpips hausdorff hausdorffdistance chamferdistance daviesbouldin aic bic latency latencyms regret
"""
HIGHER_IS_BETTER, LOWER_IS_BETTER = frozenset(HIGHER.split()), frozenset(LOWER.split())
# Known to mean several things: the mean of errors is a bias, and a score may be anything.
AMBIGUOUS = frozenset({"meanerror", "meanbias", "score", "totalerror", "averageerror"})
# What says where, when or how a value was taken, and in which unit.
AROUND = """
    at average avg b batch best binary class cls current cv dev epoch eval evaluation final fold global head holdout
    iter iteration k label last latest macro max mean median metric metrics micro min ms multi offline online ood
    oof oot overall ovo ovr p50 p75 p90 p95 p99 pct per percent private prod production public query run s samples
    score scores sec seconds seed shadow step steps task test testing top total tr train training us val valid
    validation value weighted
"""
FALL_AWAY = frozenset(AROUND.split())
NEGATIONS = frozenset({"neg", "negative", "minus"})
# Longer names have no direction that one could read.
MOST_PARTS = 12
_PARTS = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")


@lru_cache(10_000)
def higher_is_better(name: str) -> bool | None:
    parts = [part.lower() for part in _PARTS.findall(name)]
    if not 0 < len(parts) <= MOST_PARTS:
        return None
    negated = sum(part in NEGATIONS for part in parts) % 2 == 1
    direction = _direction([part for part in parts if part not in NEGATIONS])
    return direction if direction is None else direction is not negated


def _direction(parts: list[str]) -> bool | None:
    """The direction of the longest known name, if all that stands around it falls away."""
    for length in range(len(parts), 0, -1):
        for start in range(len(parts) - length + 1):
            around, plain = parts[:start] + parts[start + length :], "".join(parts[start : start + length])
            if plain in AMBIGUOUS and not all(map(_falls_away, parts[start : start + length])):
                return None
            if (plain in HIGHER_IS_BETTER or plain in LOWER_IS_BETTER) and all(map(_falls_away, around)):
                return plain in HIGHER_IS_BETTER
    return None


def _falls_away(part: str) -> bool:
    return part in FALL_AWAY or part.isdigit()


def verdict(name: str, before: float | None, now: float | None) -> MetricVerdict:
    """How a value of a metric compares with an earlier one."""
    if before is None or now is None:
        return MetricVerdict.MISSING
    if before == now:
        return MetricVerdict.EQUAL
    better = higher_is_better(name)
    if better is None:
        return MetricVerdict.NOT_COMPARABLE
    return MetricVerdict.BETTER if (now > before) is better else MetricVerdict.WORSE


def worse_by(before: float, now: float) -> float:
    """By which share of its earlier value a worse value differs from it; by how much, if that was 0."""
    return abs(now - before) / (abs(before) or 1.0)


def metric_path(model: str, metric: str) -> str:
    """Where the course of a metric over a model's versions is drawn."""
    return f"/models/{model}/metrics/{quote(metric, safe='')}.svg"
