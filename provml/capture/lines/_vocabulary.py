"""The words that show what a printed number is: a metric, a step, an epoch, or none of these.

Most functions take a name as it is printed next to a number: ``val_loss`` or ``Avg. Loss``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from provml.base.context import Context, context_from_word

_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+|\d+")
_NAME_SEPARATORS: Final = re.compile(r"[/_.\-:\s]+")


def word_set(words: str) -> frozenset[str]:
    """Return the words in a text as a set."""
    return frozenset(words.split())


METRIC_PARTS: Final = word_set(
    "loss losses acc accuracy accuracies acces ppl perplexity bleu sacrebleu rouge wer cer f1 "
    "fscore auc auroc roc auprc logloss rmse mse mae rmsle mape smape nll elbo kld kl iou "
    "miou dice psnr ssim lpips fid reward rewards lr gnorm bpb bpc mrr ndcg r2 mcc xent bce "
    "crossentropy logprob likelihood mlogloss merror hinge grad gradnorm meteor cider chrf "
    "regret rew ret"
)
"""Words that mark the name of a metric, wherever they occur in the name."""
METRIC_PHRASES: Final = (
    "learning rate",
    "gradient norm",
    "cross entropy",
    "mean squared error",
    "absolute error",
    "episodic return",
    "episode return",
    "average return",
    "mean return",
    "ep rew",
    "ep ret",
    "ep len mean",
    "mean iou",
    "exact match",
    "explained variance",
    "coefficient of determination",
    "top 1",
    "top 5",
    "map 50",
    "mfu",
)
HINT_PARTS: Final = word_set(
    "error err score return returns entropy rate hits precision recall map cost objective "
    "fitness reg energy norm temperature eps epsilon alpha beta gamma value q best mean avg "
    "average acceptance"
)
"""Words that mark the name of a metric only if the line also counts steps or epochs."""
_SCORE_WORDS: Final = word_set("score precision recall")
_NOT_METRIC_PHRASES: Final = ("packet loss", "data loss", "loss scale", "map size", "acc name")
_SKIPPED_PARTS: Final = word_set(
    "eta elapsed remaining remain size sizes bytes byte memory mem ram vram port pid id ids "
    "seed rank version params parameters samples workers threads tokens images gpu cpu "
    "timestamp throughput speed ips wps ups fps sps wpb bsz wall clock progress duration took "
    "runtime latency qps tps rps rtt ttl jitter bandwidth uptime date batches examples "
    "vertices nodes files lines bar width height dim layers heads"
)
"""Words that mark a counter, a size, a setting, a throughput, or a time that is not a metric."""
_SETTING_PARTS: Final = word_set(
    "target threshold thresh patience coef coeff smoothing tolerance budget limit init initial"
)
_LAST_SETTING_PARTS: Final = word_set(
    "weight weights scale factor decay momentum margin dropout warmup interval every freq clip"
)
"""Words that mark a setting if they end a name. The words in `_SETTING_PARTS` mark a setting
anywhere in a name."""
_SETTING_METRICS: Final = word_set("lr learning rate base max min initial init")
_SECOND_WORDS: Final = word_set("s sec secs second seconds")
_LOADING_TIMES: Final = frozenset(
    tuple(name.split())
    for name in ("data", "load", "loading", "dataload", "dataloading", "data load", "data loading")
)
"""The names, split into parts, of the time spent waiting for data, as in ``Data 0.4 (0.5)``."""
_TIME_PARTS: Final = word_set("time t sec secs seconds s dt ms hours min minutes dur")
_RATE: Final = re.compile(r"(?i)\w*/ ?(?:s|sec|secs|second|seconds|min|thread|gpu|device)\b")

_EPOCH_WORDS: Final = word_set("epoch epochs epoches")
_STEP_RANKS: Final = (
    word_set("batch batches minibatch batchidx batch_idx batch_index"),
    word_set(
        "step steps iter iters iteration iterations it itr update updates timestep timesteps "
        "time_step env_step episode episodes ep trial round generation gen game sweep n_iter nit "
        "totalenvinteracts"
    ),
    word_set("global_step num_updates total_timesteps"),
)
_STEP_WORDS: Final = {word: rank for rank, words in enumerate(_STEP_RANKS, 1) for word in words}
"""The words for a step, each with a rank. If a line has several such words, the word with the
highest rank names the step."""
_PLACE_QUALIFIERS: Final = word_set(
    "best max maximum min total num number n last per skipped nan size every each warmup "
    "remaining at_best"
)
_CONTEXTS: Final = {
    "dev": Context.VALIDATION,
    "learn": Context.TRAINING,
    "trn": Context.TRAINING,
    "tst": Context.EVALUATION,
    "holdout": Context.EVALUATION,
    "evaluate": Context.EVALUATION,
    "validating": Context.VALIDATION,
    "evaluating": Context.EVALUATION,
}
_SET_WORDS: Final = word_set("set data dataset split sample samples phase results result")
_NUMBERED_SET: Final = re.compile(r"(?i)([a-z]+?)_?\d+(?:'s)?$")
_FILLERS: Final = word_set(
    "at with the is was are a an on in of for to and by after from than over under epoch: now"
)
_BREAKING: Final = word_set("with is was are and then at:")


class MetricName(NamedTuple):
    """A metric's name, split into the context that it implies and the rest."""

    context: Context | None
    name: str


def context_of(word: str) -> Context | None:
    """Return the context that a single word means, such as validation for ``Val`` or ``dev``."""
    own = word.lower().strip(".:*<>#!")
    own = own.removesuffix("'s")
    found = context_from_word(own) or _CONTEXTS.get(own)
    if found is None:
        numbered = _NUMBERED_SET.fullmatch(own)
        if numbered is not None:
            found = context_from_word(numbered[1])
    return found


@lru_cache(maxsize=4096)
def split_name(name: str) -> MetricName:
    """Split a name into its context and the rest: ``val loss`` and ``loss/val`` give ``loss``.

    If the name is only the word for a context, as in ``test: 0.68``, the rest is the whole name.
    """
    words = name.split()
    if len(words) > 1:
        for index, word in enumerate(words):
            found = context_of(word)
            if found is not None:
                rest = words[:index] + words[index + 1 :]
                if index < len(rest) and rest[index].lower() in _SET_WORDS and len(rest) > 1:
                    del rest[index]
                rest = trim_words(rest)
                return MetricName(found, " ".join(rest) if rest else name)
    parts = [part for part in _NAME_SEPARATORS.split(words[-1] if words else "") if part]
    if len(parts) > 1:
        for part, is_first in ((parts[0], True), (parts[-1], False)):
            found = context_of(part)
            if found is None and is_first and len(parts) > 2 and parts[1].isdigit():
                found = context_of(f"{part}_{parts[1]}")
            if found is not None:
                last = words[-1]
                rest_text = last[len(part) :] if is_first else last[: -len(part)]
                rest_text = rest_text.strip("/_.-: ")
                if is_first and len(parts) > 2 and parts[1].isdigit():
                    rest_text = rest_text[len(parts[1]) :].strip("/_.-: ")
                return MetricName(found, " ".join([*words[:-1], rest_text]))
    elif words and context_of(words[0]) is not None:
        return MetricName(context_of(words[0]), name)
    return MetricName(None, name)


@lru_cache(maxsize=4096)
def name_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a name in lower case: ``avg``, ``ce``, ``loss`` for ``avg CELoss``."""
    return tuple(part.lower() for part in _PARTS.findall(name))


@lru_cache(maxsize=4096)
def is_metric_name(name: str) -> bool:
    """Return whether a name is one that only metrics have, such as ``val_loss``."""
    if is_skipped_name(name):
        return False
    parts = name_parts(name)
    joined = " ".join(parts)
    if any(phrase in joined for phrase in _NOT_METRIC_PHRASES):
        return False
    if "mAP" in name or any(phrase in joined for phrase in METRIC_PHRASES):
        return True
    return any(
        part in METRIC_PARTS or (part.endswith("loss") and len(part) < 16) for part in parts
    ) or any(first + second in METRIC_PARTS for first, second in pairwise(parts))


@lru_cache(maxsize=4096)
def is_also_setting(name: str) -> bool:
    """Return whether a name, such as ``learning rate``, can name either a metric or a setting."""
    return _SETTING_METRICS.issuperset(name_parts(name))


@lru_cache(maxsize=4096)
def hints_at_metric(name: str) -> bool:
    """Return whether a name, such as ``score``, is often but not always the name of a metric."""
    return not is_skipped_name(name) and not HINT_PARTS.isdisjoint(name_parts(name))


@lru_cache(maxsize=4096)
def ends_in_score(name: str) -> bool:
    """Return whether a name, such as ``set score``, ends in a word for how good a model is."""
    parts = name_parts(name)
    return bool(parts) and parts[-1] in _SCORE_WORDS and not is_skipped_name(name)


@lru_cache(maxsize=4096)
def is_skipped_name(name: str) -> bool:
    """Return whether a name marks a counter, a size, a throughput or a setting."""
    if _RATE.search(name) is not None:
        return True
    parts = name_parts(name)
    if not parts or parts in _LOADING_TIMES:
        return True
    if "per" in parts:
        if parts[-1] in _SECOND_WORDS:
            return True
        if is_time_name(name):
            return False
    if parts[-1] in _LAST_SETTING_PARTS or not _SETTING_PARTS.isdisjoint(parts):
        return True
    return parts[-1] in _SKIPPED_PARTS or (
        parts[0] in _SKIPPED_PARTS and not any(part in METRIC_PARTS for part in parts)
    )


@lru_cache(maxsize=4096)
def is_time_name(name: str) -> bool:
    """Return whether a name says how long something took, such as ``step time`` or ``dt``."""
    parts = name_parts(name)
    return bool(parts) and (parts[-1] in _TIME_PARTS or "time" in parts or parts[0] == "ms")


@lru_cache(maxsize=4096)
def place_of(name: str) -> tuple[str, int] | None:
    """Return ``epoch`` or ``step``, and the rank of the word; None if a name means neither."""
    words = name.lower().replace("-", "_").split()
    if not words:
        return None
    last = words[-1].strip(".#:*").partition("(")[0]
    first, slash, rest = last.partition("/")
    if slash and (context_of(first) is not None or first in _EPOCH_WORDS):
        last = rest
    if any(word in _PLACE_QUALIFIERS for word in words[:-1]):
        return None
    if last in _EPOCH_WORDS:
        return ("epoch", 2)
    first, _, end = last.rpartition("_")
    if end in _EPOCH_WORDS and first not in _PLACE_QUALIFIERS:
        return ("epoch", 1)
    two = "_".join(words[-2:])
    rank = _STEP_WORDS.get(two) or _STEP_WORDS.get(last)
    if rank is None and first and _PLACE_QUALIFIERS.isdisjoint(first.split("_")):
        rank = 1 if end in _STEP_WORDS and end[-1] != "s" else None  # ``env_it``, ``train_step``
    return None if rank is None else ("step", rank)


def trim_words(words: list[str]) -> list[str]:
    """Return the words of a name, without the words around the name.

    For example, the words ``finished with value`` give ``value``.
    """
    own = list(words)
    while own and own[-1].lower() in _FILLERS:
        own.pop()
    for index in range(len(own) - 1, -1, -1):
        if own[index].lower() in _BREAKING:
            own = own[index + 1 :]
            break
    while own and own[0].lower() in _FILLERS:
        del own[0]
    return own


_STEMS: Final = frozenset(
    METRIC_PARTS
    | HINT_PARTS
    | _EPOCH_WORDS
    | {part for word in _STEP_WORDS for part in word.split("_")}
    | {phrase.split()[0] for phrase in METRIC_PHRASES}
    | set(_CONTEXTS)
    | word_set("train training val valid validation test testing eval evaluation f r")
)


def may_name_metric(text: str) -> bool:
    """Return whether a text contains a word for a metric, step, epoch or context.

    A line without such a word contains no metrics.
    """
    for part in _PARTS.findall(text):
        own = part.lower()
        if own in _STEMS or own.endswith("loss"):
            return True
    return False
