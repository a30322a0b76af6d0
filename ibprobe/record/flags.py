"""Every flag that an estimate can carry: what it means, where it comes from, what to do.

Tooltip, report, docs and ``ibprobe explain FLAG`` all read this one table.
"""

from __future__ import annotations

from dataclasses import dataclass

from ibprobe.errors import UnknownName


@dataclass(frozen=True, slots=True)
class Flag:
    """One reason to read a number with care."""

    meaning: str
    cause: str
    action: str
    line: str = ""
    """Where the line is drawn and why; nothing where there is none to draw."""


FLAGS: dict[str, Flag] = {
    "at_ceiling": Flag(
        "The value is within 0.5 nats of ln(distinct rows), the most that this many rows can show.",
        "Too little noise, or too few rows, to tell how much more the layer keeps.",
        "Measure with a larger sigma (compare layers at the same one), or with more rows.",
        "The lower end cannot pass ln(rows): at 0.5 nats below it, the truth may be nats higher (10 at 2,048 rows).",
    ),
    "wide_bracket": Flag(
        "The two ends of the bracket are more than 0.5 nats apart; the value leans on the lower end.",
        "Noisy rows are almost isolated: all of them near ln(rows) − 1.5 and above, or a few in heavy tails.",
        "Read the two ends, not the value; more rows or a larger sigma close the gap.",
        "Beyond 0.5 nats the middle of the two ends is worse than the lower end plus a quarter of a nat.",
    ),
    "outside_bracket": Flag(
        "The estimator beside the bracket reads more than its upper end, beyond both errors.",
        "A fault: repeated rows, rows that do not line up, or a leak between folds.",
        "Do not use either number; check that rows are distinct and aligned, and report it.",
        "1.96 combined standard errors, which chance passes in one of 40 such records.",
    ),
    "critic_behind": Flag(
        "The estimator beside the bracket reads less than its lower end, beyond both errors.",
        "A fact about that estimator: for a critic, too few rows or steps for this dependence.",
        "Use the bracket; the lower_confidence of a critic is still a valid, loose lower bound.",
        "1.96 combined standard errors, which chance passes in one of 40 such records.",
    ),
    "deterministic": Flag(
        "No noise was added (sigma = 0): the value counts distinct activation vectors.",
        "For continuous inputs I(X;T) of a deterministic layer is infinite or the constant ln N.",
        "Use a positive sigma; every published 'compression' without one is the estimator's.",
    ),
    "stochastic": Flag(
        "The layer draws random numbers, so it is no function of x; I(X;T̃) has no lower end.",
        "Dropout, sampling or batch statistics: the kernel bounds I(T;T̃), which exceeds I(X;T̃).",
        "Read the upper end as an upper bound; passes=16 gives both ends; or measure in eval mode (mode='replay').",
    ),
    "stale_rows": Flag(
        "The rows come from several optimizer steps, so they mix several versions of the layer.",
        "mode='stream' gathers rows over training batches while the weights move.",
        "Use mode='replay', or fewer rows or larger batches.",
        "Two standard errors of what the noisy rows tell of the step that they come from.",
    ),
    "repeated_rows": Flag(
        "Some inputs occurred more than once; each was counted once.",
        "The same input twice would void the upper end of the bracket.",
        "Nothing to do if dropped_rows is small; else give the probe distinct rows.",
    ),
    "clustered_rows": Flag(
        "Sequences of one batch are alike in length: the rows are of few lengths, and no random sample.",
        "A sampler that makes batches by length (buckets, group_by_length).",
        "Pass probe_set= with rows drawn at random; the value is of these lengths and its interval too narrow.",
        "More than half of the lengths' variance lies between batches; at random, none ± 0.13 for batches of two.",
    ),
    "nonfinite_rows": Flag(
        "Rows with NaN or infinite activations were left out.",
        "An overflow in the layer, often under half precision, or a diverging run.",
        "Check the layer; the value holds for the finite rows only.",
    ),
    "singleton_classes": Flag(
        "Classes with a single row were taken together as one class (a lone one was left out).",
        "A class seen once says nothing about what predicts it.",
        "Measure more rows, or read I(T̃;Y) as a statement about coarser labels.",
    ),
    "many_classes": Flag(
        "There are more classes than a tenth of the rows, so H(Y) and both ends of I(T̃;Y) are too low.",
        "The entropy of labels cannot be estimated from a few rows a class.",
        "Measure more rows, or coarser labels.",
        "At ten rows a class the entropy of the labels is 0.05 nats off, (K − 1)/2n.",
    ),
    "few_rows": Flag(
        "Fewer than 512 distinct rows.",
        "The ceiling ln(rows) is low and the errors are wide.",
        "Raise rows=, or give a probe_set= with at least 512 distinct inputs.",
        "A bracket is tight up to ln(rows) − 1.5, which is 4.7 nats at 512 rows: what hidden layers keep.",
    ),
    "low_ess": Flag(
        "Fewer than 100 effective samples carry the critic's normaliser.",
        "The dependence is too strong for this many rows; the bound has outliers that grow like eᴵ.",
        "Use the bracket, or more rows.",
        "The normaliser's relative error is 1/√ess: a tenth of a nat at 100.",
    ),
    "over_fitted": Flag(
        "The critic reads over 0.5 nats more on rows that it was fitted on than on rows that it has not seen.",
        "Too few rows for the critic's capacity.",
        "The value lies between the two and may be off by their gap: use more rows, or read lower_confidence.",
        "20 Gaussian columns: 2,048 rows have a gap of 0.2, 512 rows one of 0.5 to 0.6 and a value 0.1 off.",
    ),
    "outlier_units": Flag(
        "One unit holds more than half of the layer's variance, so it sets the noise for all.",
        "Common in residual streams of transformers.",
        "Measure with noise='per_unit', for all the layers that are compared.",
        "Above one half, that unit outweighs all others together.",
    ),
    "constant": Flag(
        "The layer gives the same activations for every row: it keeps nothing.",
        "Dead units, a saturated layer, or a layer that does not see the input.",
        "Look at the layer's weights and activations.",
    ),
    "collapsed": Flag(
        "The layer keeps less than 0.1 nats of its input at this noise.",
        "Its rows are almost identical, up to a few outliers.",
        "Look at its activations; if it should carry a signal, training has lost it here.",
        "A seventh of what one yes-or-no question tells (ln 2).",
    ),
    "low_rank": Flag(
        "The layer's rows lie along one direction (effective rank below 1.1), however many units it has.",
        "A collapsed representation, or one unit that outweighs all others.",
        "Look at the first principal direction: what tells rows apart along it is all that the next layer easily sees.",
        "One direction holds over 95 % of the variance; fewer than 8 units, or two classes, may be so by rights.",
    ),
    "dead_units": Flag(
        "More than half of the layer's units give every row the same value.",
        "ReLU units that never fire, saturated ones, or weights that are pruned or zero.",
        "Look at biases and weights of this layer; a lower learning rate or another activation keeps units alive.",
        "A few dead units are common under ReLU; above one half, most of the layer says nothing.",
    ),
    "memorises": Flag(
        "What the layer tells of the labels of training rows rises, and that of held-out rows does not.",
        "Training rows are learned by heart: too few of them, wrong labels, or more steps than there is to learn.",
        "Stop here or before, or regularise: weight decay, dropout, augmentation, more rows; and check the labels.",
        "Since half the steps, beyond both intervals, twice in a row; noise alone: one of 100 runs of 60 snapshots.",
    ),
    "dtype_resolution": Flag(
        "The activations are stored too coarsely for this noise: std is below 4 units in the last place.",
        "bfloat16 or float16 activations far from zero and a small sigma.",
        "Raise sigma, or measure the layer in float32.",
        "At 4 units rounding adds half a percent to the noise's variance, 1/(12 · 4²).",
    ),
    "one_class": Flag(
        "All measured rows carry the same label, so I(T̃;Y) is 0 whatever the layer does.",
        "Sorted data, or a probe set drawn from one class.",
        "Shuffle the data or give a probe_set= with all classes.",
    ),
    "sparse_bins": Flag(
        "More than half of the occupied bins hold one row, so that counting shows dependence where there is none.",
        "Bins too fine, or too many units, for this many rows: the value is near ln(rows), or near H(Y) for labels.",
        "Read the bracket, or measure with more rows; with other bins it is another number.",
        "With more than half of the cells holding one row, the entropy of the cells is that of the rows.",
    ),
    "guard:negative": Flag(
        "An interval lies entirely below 0, which no mutual information can.",
        "A fault of the estimate.",
        "Do not use the number; report it.",
    ),
    "guard:ty_above_xt": Flag(
        "I(T;Y) lies above I(X;T) beyond both intervals: the data processing inequality is broken.",
        "The two coordinates are not of the same variable, or an estimator failed.",
        "Do not read the point; measure both with one channel on the same rows.",
    ),
    "guard:ty_above_h_y": Flag(
        "I(T;Y) lies above the entropy of the labels beyond its interval.",
        "An estimator read on the rows that it was fitted on, or the wrong labels.",
        "Do not use the number.",
    ),
    "guard:xt_above_ln_n": Flag(
        "I(X;T) lies above ln(distinct rows) beyond its interval, on a finite set of inputs.",
        "An estimator read on the rows that it was fitted on, or repeated rows.",
        "Do not use the number.",
    ),
}


def explain(name: str) -> Flag:
    """Look a flag up.

    Raises:
        UnknownName: no such flag; close matches are named.
    """
    if name not in FLAGS:
        raise UnknownName("flag", name, FLAGS)
    return FLAGS[name]
